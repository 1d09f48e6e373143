"""DPX and TIFF, with time code, rate and pixel aspect. The one file that knows OpenImageIO."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.colour import FLOAT, LINEAR, SRGB, TRANSFER_BT709
from streammatte.errors import DependencyError, InputError, OutputError
from streammatte.images import Box, Image, Layer, Manner
from streammatte.images.coded import EIGHT, picture_of, pixels
from streammatte.options import SequenceOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.colour import Colour

_DEEP = 16
_VIDEO = replace(SRGB, transfer=TRANSFER_BT709)
_LOG = ("log", "density", "kodak", "cineon")
_REEL = "reelName"
_CARRIED = {_REEL: "dpx:InputDevice", "capDate": "DateTime", "owner": "Copyright"}
"""OpenEXR's name of what is kept -> OpenImageIO's."""


def _library() -> Any:
    try:
        import OpenImageIO
    except ImportError as error:
        raise DependencyError(
            "OpenImageIO is not installed; run: pip install 'streammatte[vfx]'"
        ) from error
    return OpenImageIO


# ---- reading


def read(path: Path, canvas: Box | None = None) -> Image:  # noqa: ARG001  the contract
    """Read the first picture of a file; see ``images.Kind``."""
    library = _library()
    wish = library.ImageSpec()
    wish.attribute("oiio:UnassociatedAlpha", 1)  # straight alpha comes as it is
    file = library.ImageInput.open(str(path), wish)
    if file is None:
        what = "is not there" if not path.exists() else "cannot be read"
        raise InputError(f"{path} {what}: {_reason(library.geterror())}")
    spec = file.spec()
    floats = "float" in str(spec.format) or "half" in str(spec.format)
    depth = FLOAT if floats else _depth(spec)
    eight = depth <= EIGHT
    wanted = library.FLOAT if floats else library.UINT8 if eight else library.UINT16
    channels = min(spec.nchannels, 4)
    found = file.read_image(0, 0, 0, channels, wanted)
    if found is None:
        error = _reason(file.geterror())
        raise InputError(f"{path} is damaged: {error}; get the frame again, or --missing hold")
    file.close()
    if not floats and not eight and depth != _DEEP:
        found = found >> (_DEEP - depth)
    if channels in (2, 4) and not spec.get_int_attribute("oiio:UnassociatedAlpha", 0):
        found = _straight(found, path)
    colour, notes = _meaning(spec, path, floats=floats)
    header = {
        name: value for name, own in _CARRIED.items() if (value := spec.get_string_attribute(own))
    }
    return Image(
        picture_of(found, depth, colour),
        "float" if floats else f"{depth} bit",
        header,
        _rate(spec),
        spec.get_string_attribute("dpx:TimeCode"),
        _aspect(spec),
        notes=notes,
    )


def _reason(told: str) -> str:
    return told.strip().splitlines()[0] if told.strip() else "it is no picture"


def _depth(spec: Any) -> int:
    stored = spec.get_int_attribute("oiio:BitsPerSample", 0) or 8 * spec.format.size()
    return next(depth for depth in (8, 10, 12, 16) if depth >= min(stored, _DEEP))


def _straight(found: NDArray[Any], path: Path) -> NDArray[Any]:
    """Make premultiplied colours straight: TIFF says so, DPX has no say and is taken as it is."""
    if path.suffix.lower() == ".dpx":
        return found
    alpha = found[..., -1:].astype(np.float32)
    peak = 1.0 if found.dtype == np.float32 else float(np.iinfo(found.dtype).max)
    soft = (alpha > 0) & (alpha < peak)
    colours = np.where(soft, found[..., :-1] * (peak / np.where(soft, alpha, 1)), found[..., :-1])
    if found.dtype != np.float32:
        colours = np.clip(np.rint(colours), 0, peak)
    return np.concatenate([colours, alpha], axis=-1).astype(found.dtype)


def _meaning(spec: Any, path: Path, *, floats: bool) -> tuple[Colour, tuple[str, ...]]:
    if path.suffix.lower() != ".dpx":
        if floats:
            return replace(LINEAR, assumed="linear light, primaries of BT.709"), ()
        return SRGB, ()
    told = spec.get_string_attribute("dpx:Transfer").lower()
    if any(word in told for word in _LOG):
        note = f"{path.name} says it is {told}: with --ocio, --input-space can name its log"
        return _VIDEO, (note,)
    return replace(_VIDEO, assumed="BT.709"), ()


def _rate(spec: Any) -> Fraction | None:
    rate = spec.get_float_attribute("dpx:FrameRate", 0.0)
    if not math.isfinite(rate) or not 1 <= rate <= 1000:  # noqa: PLR2004  many headers are garbage
        return None
    return SequenceOptions.parse_rate(f"{rate:.3f}")


def _aspect(spec: Any) -> Fraction:
    aspect = spec.get_float_attribute("PixelAspectRatio", 1.0)
    if not math.isfinite(aspect) or not 0.1 < aspect < 10:  # noqa: PLR2004
        return Fraction(1)
    return Fraction(aspect).limit_denominator(200)


# ---- writing


def write(path: Path, layers: list[Layer], header: Mapping[str, Any], manner: Manner) -> None:
    """Write the only layer; see ``images.Kind``."""
    library, layer = _library(), layers[0]
    dpx = manner.suffix == ".dpx"
    depth = _written_depth(manner.depth, dpx=dpx)
    array = pixels(layer, depth)
    if dpx and array.shape[2] == 1:  # DPX of one channel is read by few
        array = np.repeat(array, 3, axis=2)
    if EIGHT < depth < _DEEP:  # as OpenImageIO wants them: filled up by their own first bits
        array = (array << (_DEEP - depth)) | (array >> (2 * depth - _DEEP))
    height, width, channels = array.shape
    spec = library.ImageSpec(width, height, channels, "uint8" if depth <= EIGHT else "uint16")
    spec.attribute("oiio:BitsPerSample", depth)
    spec.attribute("PixelAspectRatio", float(manner.pixel_aspect))
    spec.attribute("Software", "StreamMatte")
    if not manner.multiplied:
        spec.attribute("oiio:UnassociatedAlpha", 1)
    _tell(spec, header, manner, dpx=dpx)
    file = library.ImageOutput.create("dpx" if dpx else "tiff")
    done = file.open(str(path), spec) and file.write_image(np.ascontiguousarray(array))
    if not (file.close() and done):
        raise OutputError(f"{path.name} cannot be written: {_reason(file.geterror())}")


def _tell(spec: Any, header: Mapping[str, Any], manner: Manner, *, dpx: bool) -> None:
    for name, own in _CARRIED.items():
        if isinstance(header.get(name), str):
            spec.attribute(own, header[name])
    if not dpx:
        spec.attribute("compression", "zip")
        return
    spec.attribute("dpx:Transfer", "ITU-R 709-4")
    spec.attribute("dpx:Colorimetric", "ITU-R 709-4")
    if manner.rate is not None:
        spec.attribute("dpx:FrameRate", float(manner.rate))
    if isinstance(header.get("timeCode"), str):
        spec.attribute("dpx:TimeCode", header["timeCode"].replace(";", ":"))


def _written_depth(depth: int, *, dpx: bool) -> int:
    if dpx:  # 8 bits are too few for what is graded further
        return 16 if depth > 12 else 12 if depth > 10 else 10  # noqa: PLR2004
    return EIGHT if depth <= EIGHT else _DEEP


def stored(manner: Manner, *, data: bool) -> str:  # noqa: ARG001  the contract
    """Return it in words."""
    dpx = manner.suffix == ".dpx"
    return f"{'DPX' if dpx else 'TIFF'}, {_written_depth(manner.depth, dpx=dpx)} bit"
