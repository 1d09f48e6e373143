"""OpenEXR: scene-linear light in half or float, premultiplied, with all that headers say.

The one file that knows the OpenEXR library, which lets other threads run while it works.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.colour import FLOAT, LARGEST_HALF, LINEAR, PRIMARIES_BT709, PRIMARIES_BT2020
from streammatte.errors import DependencyError, InputError, OutputError
from streammatte.frames import Layout, Picture
from streammatte.images import Box, Image, Layer, Manner
from streammatte.ocio import CHROMATICITIES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.colour import Colour

    Planes = dict[str, NDArray[Any]]

_STRUCTURE = {
    *("channels", "chunkCount", "compression", "dwaCompressionLevel", "zipCompressionLevel"),
    *("dataWindow", "displayWindow", "lineOrder", "tiles", "type", "version", "preview"),
    *("maxSamplesPerPixel", "multiView", "name", "view"),
    *("pixelAspectRatio", "chromaticities", "colorInteropID"),
}
"""Attributes that say how a file is made, or that are told in another way."""
_ALPHA, _PREMULTIPLIED, _STRAIGHT = "streammatte/alpha", "premultiplied", "straight"
_NEAR = 2e-3
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")
_MAIN = ("", "rgba.", "rgb.", "beauty.")
_MAIN_PASSES = ("comp", "premult")
"""Passes whose channels bear no name of a layer in a file of several."""
_WIDE = {PRIMARIES_BT709: "lin_rec709", PRIMARIES_BT2020: "lin_rec2020"}


def _library() -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise DependencyError(
            "OpenEXR is not installed; run: pip install 'streammatte[vfx]'"
        ) from error
    return OpenEXR


# ---- reading


def read(path: Path, canvas: Box | None = None) -> Image:
    """Read the first part with a picture, or else a matte; see ``images.Kind``."""
    header, channels = _part(path)
    data, display = _box(header["dataWindow"]), _box(header["displayWindow"])
    canvas = canvas or data.union(display)
    names = _names(path, list(channels))
    planes = [_placed(channels[name], data, canvas) for name in names]
    mended = sum(_mend(plane) for plane in planes)
    if len(planes) == 4 and header.get(_ALPHA) != _STRAIGHT:  # noqa: PLR2004
        _divide(planes)
    xy = header.get("chromaticities")
    xy = None if xy is None else tuple(float(value) for value in xy)
    light, notes = _light(xy)
    layout = Layout("rgb", FLOAT, alpha=len(planes) == 4)  # noqa: PLR2004
    notes += [f"{mended} samples were no numbers or infinite, and became 0"] if mended else []
    kept = {name: value for name, value in header.items() if name not in _STRUCTURE}
    # The file's own window is kept, not the canvas', so that what is written has it again.
    kept["dataWindow"] = data
    return Image(
        Picture.of([planes[1], planes[2], planes[0], *planes[3:]], layout, light),
        "float" if channels[names[0]].dtype == np.float32 else "half",
        kept,
        _rate(header.get("framesPerSecond")),
        _told(header.get("timeCode")),
        Fraction(header.get("pixelAspectRatio", 1.0)).limit_denominator(1000),
        display,
        canvas,
        xy,
        tuple(notes),
    )


def _part(path: Path) -> tuple[dict[str, Any], Planes]:
    library = _library()
    try:
        with library.File(str(path), separate_channels=True) as file:
            for wanted, part in product(("RY", "A"), file.parts):
                if any(name.rpartition(".")[2] in wanted for name in part.channels):
                    planes = {
                        name: channel.pixels
                        for name, channel in part.channels.items()
                        if channel.xSampling == channel.ySampling == 1
                    }
                    return dict(part.header), planes
            if file.parts:
                raise InputError(f"{path} has no channels R, G and B, no Y and no A")
    except (RuntimeError, ValueError, TypeError) as error:
        reason = "is not there" if not path.exists() else f"cannot be read: {error}"
        raise InputError(f"{path} {reason}") from error
    raise InputError(f"{path} is damaged or cut short; get the frame again, or --missing hold")


def _names(path: Path, channels: list[str]) -> list[str]:
    """Return the channels of R, G, B and maybe A; of Y, if it is grey; of A, if that is all."""
    prefixes = [
        *_MAIN,
        *sorted({name.rpartition(".")[0] + "." for name in channels if "." in name}),
    ]
    for prefix in prefixes:
        names = [prefix + letter for letter in "RGB"]
        if all(name in channels for name in names):
            return [*names, *([f"{prefix}A"] if f"{prefix}A" in channels else [])]
    for prefix in prefixes:
        if f"{prefix}Y" in channels:
            alpha = [f"{prefix}A"] if f"{prefix}A" in channels else []
            return [*[f"{prefix}Y"] * 3, *alpha]
    for prefix in prefixes:
        if f"{prefix}A" in channels:
            return [f"{prefix}A"] * 3
    raise InputError(
        f"{path} has no channels R, G and B at full size; it has {', '.join(channels)}"
    )


def _box(window: Any) -> Box:
    (left, top), (right, bottom) = window
    return Box(int(left), int(top), int(right), int(bottom))


def _placed(plane: NDArray[Any], data: Box, canvas: Box) -> NDArray[np.float32]:
    if data == canvas:
        return plane.astype(np.float32)
    whole = np.zeros(canvas.size[::-1], np.float32)
    whole[data.within(canvas)] = plane[canvas.within(data)]
    return whole


def _mend(plane: NDArray[np.float32]) -> int:
    """Put 0 for what is no number: a blur would spread it. Return how often."""
    good = np.isfinite(plane)
    if good.all():
        return 0
    plane[~good] = 0
    return int((~good).sum())


def _divide(planes: list[NDArray[np.float32]]) -> None:
    """Make premultiplied colours straight; what shines though it is clear stays as it is."""
    alpha = planes[3]
    soft = (alpha > 0) & (alpha != 1)
    for plane in {id(plane): plane for plane in planes[:3]}.values():
        np.divide(plane, alpha, out=plane, where=soft)
    np.clip(alpha, 0, 1, out=alpha)


def _light(xy: tuple[float, ...] | None) -> tuple[Colour, list[str]]:
    if xy is None:
        return replace(LINEAR, assumed="primaries of BT.709"), []
    for name, known in CHROMATICITIES.items():
        if max(abs(one - other) for one, other in zip(xy, known, strict=True)) < _NEAR:
            if name in _WIDE.values():
                code = next(code for code, each in _WIDE.items() if each == name)
                return replace(LINEAR, primaries=code), []
            return replace(LINEAR, space=name), [
                f"the plate's primaries are those of {name}: backgrounds match with --ocio alone"
            ]
    return LINEAR, ["the plate's chromaticities are kept, and were taken for BT.709's meanwhile"]


def _rate(value: Any) -> Fraction | None:
    try:
        rate = Fraction(value).limit_denominator(1001)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return rate if 0 < rate <= 1000 else None  # noqa: PLR2004


def _told(code: Any) -> str:
    if code is None:
        return ""
    mark = ";" if code.dropFrame else ":"
    return f"{code.hours:02}:{code.minutes:02}:{code.seconds:02}{mark}{code.frame:02}"


# ---- writing


def write(path: Path, layers: list[Layer], header: Mapping[str, Any], manner: Manner) -> None:
    """Write one part, each further layer with its name before its channels."""
    library = _library()
    crop, window = _window(layers, header, manner)
    channels: Planes = {}
    main = next((layer for layer in layers if layer.name in _MAIN_PASSES), layers[0])
    for layer in layers:
        whole = len(layers) == 1 or (layer is main and layer.name in _MAIN_PASSES)
        for name, plane in _planes(layer, alone=len(layers) == 1).items():
            channels[name if whole else f"{layer.name}.{name}"] = _sampled(plane[crop], manner)
    lossless = all(layer.data for layer in layers) and manner.compression == "dwaa"
    named = "zips" if lossless else manner.compression
    try:
        attributes = _attributes(library, header, manner, window)
        attributes["compression"] = getattr(library, _COMPRESSIONS[named])
        attributes[_ALPHA] = _PREMULTIPLIED if manner.multiplied else _STRAIGHT
        library.File(attributes, channels).write(str(path))
    except (RuntimeError, ValueError, TypeError) as error:
        raise OutputError(f"{path.name} cannot be written as OpenEXR: {error}") from error


def _sampled(plane: NDArray[Any], manner: Manner) -> NDArray[Any]:
    if manner.full_float:
        return np.ascontiguousarray(plane, np.float32)
    return np.ascontiguousarray(np.clip(plane, -LARGEST_HALF, LARGEST_HALF), np.float16)


_COMPRESSIONS = {
    "none": "NO_COMPRESSION",
    "rle": "RLE_COMPRESSION",
    "zips": "ZIPS_COMPRESSION",
    "zip": "ZIP_COMPRESSION",
    "piz": "PIZ_COMPRESSION",
    "dwaa": "DWAA_COMPRESSION",
}


def _window(
    layers: list[Layer], header: Mapping[str, Any], manner: Manner
) -> tuple[tuple[slice, slice], Box]:
    """Return what is written of the pictures, and where that is.

    A comp fills all that is to be seen; a layer is no larger than the plate was.
    """
    width, height = layers[0].picture.width, layers[0].picture.height
    canvas = manner.canvas or Box(0, 0, width - 1, height - 1)
    data = header.get("dataWindow", canvas)
    full = any(layer.name == "comp" and not layer.alpha for layer in layers)
    if full or data == canvas:
        return (slice(None), slice(None)), canvas
    rows, columns = data.within(canvas)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return (slice(None), slice(None)), canvas
    left, top = canvas.left + columns.start, canvas.top + rows.start
    box = Box(left, top, canvas.left + columns.stop - 1, canvas.top + rows.stop - 1)
    return (rows, columns), box


def _planes(layer: Layer, *, alone: bool) -> Planes:
    """Return a layer's channels, 1 being white and opaque.

    A matte that is alone is white light, premultiplied, too: nothing but an A is black to people
    and no picture to many readers.
    """
    picture, peak = layer.picture, layer.picture.layout.peak

    def share(plane: NDArray[Any]) -> NDArray[Any]:
        return plane if peak == 1 else plane / np.float32(peak)

    green, blue, red = picture.planes
    if layer.data:
        names = "RGBA" if alone and layer.name == "matte" else "A" if layer.name == "matte" else "Y"
        return dict.fromkeys(names, share(green))
    planes = {"R": share(red), "G": share(green), "B": share(blue)}
    if layer.alpha and picture.alpha is not None:
        planes["A"] = share(picture.alpha)
    return planes


def _attributes(
    library: Any, header: Mapping[str, Any], manner: Manner, window: Box
) -> dict[str, Any]:
    kept = {name: value for name, value in header.items() if name not in _STRUCTURE}
    code = kept.get("timeCode")
    if isinstance(code, str):
        kept["timeCode"] = _timecode(library, code)
        if kept["timeCode"] is None:
            del kept["timeCode"]
    if manner.rate is not None:
        kept["framesPerSecond"] = manner.rate
    if manner.chromaticities is not None:
        kept["chromaticities"] = manner.chromaticities
    display = manner.display or manner.canvas or window
    return {
        **kept,
        "type": library.scanlineimage,
        "dataWindow": _corners(window),
        "displayWindow": _corners(display),
        "pixelAspectRatio": float(manner.pixel_aspect),
    }


def _corners(box: Box) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.array(box[:2], np.int32), np.array(box[2:], np.int32)


def _timecode(library: Any, told: str) -> Any:
    match = _TIMECODE.fullmatch(told)
    if match is None:
        return None
    hours, minutes, seconds, frame = (int(match[place]) for place in (1, 2, 3, 5))
    flags = (match[4] != ":", *[False] * 5)
    return library.TimeCode(hours, minutes, seconds, frame, *flags, *[0] * 8)


def stored(manner: Manner, *, data: bool) -> str:
    """Return it in words."""
    compression = "zips" if data and manner.compression == "dwaa" else manner.compression
    return f"OpenEXR, {'float' if manner.full_float else 'half'}, {compression.upper()}"
