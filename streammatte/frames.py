"""What travels down the pipeline: pictures, frames (a picture in time) and mattes.

A picture stays what the decoder made of it, planar Y'CbCr or G'B'R' at its own depth, or R, G and
B in floating point; numpy sees the very memory that FFmpeg reads and writes, so nothing is copied
on the way to the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import av
import cv2
import numpy as np

from streammatte.colour import FLOAT, Colour, Matrix, display_curve
from streammatte.hdr import Hdr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

    from streammatte.images import Box

    Plane = NDArray[Any]


_DEPTHS = (8, 9, 10, 12, 14, 16)
_NO_HEADER: Mapping[str, Any] = MappingProxyType({})
_FORMATS = frozenset(av.video.format.names)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples are stored: always planar, little-endian, 8 to 16 bits, or float32."""

    family: Literal["yuv", "rgb"]
    depth: int
    """Bits a sample: 8, 9, 10, 12, 14 or 16; above 8 in the low bits of a uint16. 32 is float32,
    of R, G and B only: black is 0, white 1, and what is brighter or negative stays so."""
    chroma_x: int = 0
    """log2 of how many luma columns share a chroma sample: 0 or 1."""
    chroma_y: int = 0
    """log2 of how many luma rows share a chroma sample: 0 or 1."""
    alpha: bool = False

    def __post_init__(self) -> None:
        """Refuse what no FFmpeg format stores."""
        if self.depth not in (*_DEPTHS, FLOAT):
            raise ValueError(f"depth must be 8, 9, 10, 12, 14, 16 or 32, got {self.depth}")
        if self.is_float and self.family != "rgb":
            raise ValueError("only R, G and B are stored in floating point")
        if self.chroma_x not in (0, 1) or self.chroma_y not in (0, 1):
            raise ValueError(f"no such chroma subsampling: {self.chroma_x}, {self.chroma_y}")

    @property
    def name(self) -> str:
        """FFmpeg's name for it, such as ``yuv420p10le`` or ``gbrap``."""
        tail = {8: "", FLOAT: "f32le"}.get(self.depth, f"{self.depth}le")
        if self.family == "rgb":
            return ("gbrap" if self.alpha else "gbrp") + tail
        ratio = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440"}
        letters = "yuva" if self.alpha else "yuv"
        return f"{letters}{ratio[self.chroma_x, self.chroma_y]}p{tail}"

    @property
    def is_float(self) -> bool:
        """Whether samples are float32."""
        return self.depth == FLOAT

    @property
    def dtype(self) -> type[np.uint8 | np.uint16 | np.float32]:
        """The numpy type of a sample."""
        if self.is_float:
            return np.float32
        return np.uint8 if self.depth == 8 else np.uint16  # noqa: PLR2004

    @property
    def peak(self) -> int:
        """The largest sample value; for floating point, white and an opaque alpha."""
        return 1 if self.is_float else (1 << self.depth) - 1

    @property
    def neutral(self) -> int:
        """The chroma sample of grey."""
        return 1 << (self.depth - 1)

    def with_alpha(self, *, alpha: bool) -> Layout:
        """Return the same layout with or without an alpha plane, or the ``stored`` one of it."""
        return replace(self, alpha=alpha).stored

    @property
    def stored(self) -> Layout:
        """The layout itself if FFmpeg has it, else the least one that holds the same samples.

        Deeper if there is one (4:2:0 with alpha has no 12 bits, but 16), else with whole chroma
        (4:4:0 has no alpha at all).
        """
        return _stored(self)

    @staticmethod
    @lru_cache(maxsize=64)
    def nearest(pixel_format: str) -> Layout:
        """Return the layout that holds FFmpeg's ``pixel_format`` without loss.

        Packed, semi-planar, palette and big-endian formats map to their planar relatives.

        Raises:
            ValueError: for formats that no such layout holds: other floating point, Bayer, XYZ, on
                a GPU.
        """
        if pixel_format in ("gbrpf32le", "gbrapf32le"):
            return Layout("rgb", FLOAT, alpha=pixel_format == "gbrapf32le")
        fmt = av.VideoFormat(pixel_format, 64, 64)
        depth = max((component.bits for component in fmt.components), default=0)
        unknown = fmt.is_bayer or pixel_format.startswith("xyz") or "f16" in fmt.name
        if unknown or not 0 < depth <= _DEPTHS[-1]:
            raise ValueError(f"pictures in {pixel_format} are not supported")
        alpha = any(component.is_alpha for component in fmt.components)
        depth = next(known for known in _DEPTHS if known >= depth)
        if fmt.is_rgb or fmt.has_palette:
            return Layout("rgb", depth, alpha=alpha or fmt.has_palette).stored
        chroma = [part for part in fmt.components if not (part.is_luma or part.is_alpha)]
        x = int(not chroma or chroma[0].width < 64)  # noqa: PLR2004
        y = int(not chroma or chroma[0].height < 64)  # noqa: PLR2004
        return Layout("yuv", depth, x, y, alpha).stored


@lru_cache(maxsize=256)
def _stored(layout: Layout) -> Layout:
    deeper = [depth for depth in (*_DEPTHS, FLOAT) if depth >= layout.depth]
    if layout.family == "yuv":
        deeper = deeper[:-1]
    offers = [replace(layout, depth=depth) for depth in deeper]
    offers += [replace(offer, chroma_x=0, chroma_y=0) for offer in offers]
    return next(offer for offer in offers if offer.name in _FORMATS)


@dataclass(frozen=True, slots=True)
class Picture:
    """Planes of samples and what they mean, over an FFmpeg frame's own memory."""

    native: av.VideoFrame
    """The FFmpeg frame that owns the memory; its format is ``layout.name``."""
    layout: Layout
    colour: Colour
    planes: tuple[Plane, ...]
    """Y, Cb, Cr or G, B, R: views ``[rows, columns]`` of uint8 or uint16; chroma subsampled. Or
    G, B, R of float32."""
    alpha: Plane | None = None
    """``[rows, columns]`` over the full range of the layout's depth, straight; or ``None``."""

    @property
    def width(self) -> int:
        """Luma columns."""
        return self.native.width

    @property
    def height(self) -> int:
        """Luma rows."""
        return self.native.height

    @staticmethod
    def over(native: av.VideoFrame, colour: Colour) -> Picture:
        """Look at an FFmpeg frame, which must be in one of our layouts, without copying it."""
        layout = Layout.nearest(native.format.name)
        views = tuple(_view(plane, layout) for plane in native.planes)
        if len(views) < 3:  # noqa: PLR2004
            raise ValueError(f"{native.format.name} is not planar colour")
        return Picture(native, layout, colour, views[:3], views[3] if layout.alpha else None)

    @staticmethod
    def empty(width: int, height: int, layout: Layout, colour: Colour) -> Picture:
        """Return a picture of undefined samples to write into."""
        native = av.VideoFrame(width, height, layout.name)
        native.colorspace = int(colour.matrix)
        native.color_range = 2 if colour.full_range else 1
        native.color_primaries = colour.primaries
        native.color_trc = colour.transfer
        return Picture.over(native, colour)

    @staticmethod
    def of(planes: Sequence[NDArray[Any]], layout: Layout, colour: Colour) -> Picture:
        """Copy planes (3, or 4 with alpha), shaped as the layout asks, into a new picture."""
        height, width = planes[0].shape
        picture = Picture.empty(width, height, layout, colour)
        targets = (*picture.planes, picture.alpha)
        for target, plane in zip(targets, planes, strict=False):
            assert target is not None
            target[:] = plane
        return picture

    def view(self, width: int, height: int, scaler: VideoReformatter) -> NDArray[np.uint8]:
        """Return the picture scaled down, as a display would show it, for a network to look at.

        Fast and biased by about one code value; HDR is bent to standard range.

        Returns:
            uint8 R'G'B' ``[height, width, 3]``, C-contiguous.
        """
        if self.layout.is_float:
            return self._float_view(width, height)
        yuv = self.colour.matrix is not Matrix.RGB
        small = scaler.reformat(
            self.native,
            width,
            height,
            "rgb24",
            src_colorspace=int(self.colour.matrix) if yuv else None,
            src_color_range=2 if self.colour.full_range else 1,
            dst_color_range=2,
            interpolation="AREA",
            threads=1,
        )
        rgb = np.ascontiguousarray(small.to_ndarray())
        return np.asarray(display_curve(self.colour)[rgb] if self.colour.is_hdr else rgb, np.uint8)

    def _float_view(self, width: int, height: int) -> NDArray[np.uint8]:
        from streammatte.colour import SRGB, through_light

        green, blue, red = (_resized(plane, width, height) for plane in self.planes)
        rgb = through_light(np.stack([red, green, blue], -1), self.colour, SRGB)
        return np.asarray(np.rint(np.clip(rgb, 0, 1) * 255), np.uint8)

    def scaled(self, width: int, height: int, layout: Layout, scaler: VideoReformatter) -> Picture:
        """Return the picture at another size, its samples meaning what they meant.

        Args:
            width: Of the result.
            height: Of the result.
            layout: Of the result; same family and depth, any chroma.
            scaler: Used from this thread alone.
        """
        if self.layout.is_float:
            planes = self.planes if self.alpha is None else (*self.planes, self.alpha)
            small = [_resized(plane, width, height) for plane in planes]
            return Picture.of(small, self.layout, self.colour)
        native = rescaled(self.native, (width, height), layout, self.colour, scaler)
        return Picture.over(native, self.colour)

    def small(self, width: int, height: int, scaler: VideoReformatter) -> NDArray[np.float32]:
        """Return the samples scaled down, chroma at luma's size.

        Returns:
            float32 ``[3, height, width]`` in sample values, in the order of ``planes``.
        """
        whole = Layout(self.layout.family, self.layout.depth)
        return np.stack(self.scaled(width, height, whole, scaler).planes).astype(np.float32)


def _resized(plane: Plane, width: int, height: int) -> NDArray[np.float32]:
    smaller = width < plane.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, (width, height), interpolation=how), np.float32)


def rescaled(
    native: av.VideoFrame,
    size: tuple[int, int],
    layout: Layout,
    colour: Colour,
    scaler: VideoReformatter,
) -> av.VideoFrame:
    """Return an FFmpeg frame at another size or in another format, its samples' meaning untouched.

    Args:
        native: In any format that holds what ``layout`` holds.
        size: ``(width, height)`` of the result.
        layout: Of the result.
        colour: What the samples mean, before and after.
        scaler: Used from this thread alone.
    """
    yuv = layout.family == "yuv"
    matrix = int(colour.matrix) if yuv else None
    span = 2 if colour.full_range or not yuv else 1
    return scaler.reformat(
        native,
        *size,
        layout.name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=span,
        dst_color_range=span,
        interpolation="AREA" if size[0] < native.width else "BICUBIC",
        threads=1,
    )


def _view(plane: Any, layout: Layout) -> Plane:
    samples: NDArray[Any] = np.frombuffer(plane, layout.dtype)
    stride = plane.line_size // samples.itemsize
    rows = samples[: stride * plane.height].reshape(plane.height, stride)
    return rows[:, : plane.width]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture at a point in time."""

    picture: Picture
    pts: int
    """Presentation time in units of ``time_base``, exactly the source's."""
    duration: int
    """In units of ``time_base``; 0 where unknown."""
    time_base: Fraction
    """Seconds a tick."""
    number: int | None = None
    """Of a frame of an image sequence, as its file is numbered."""
    header: Mapping[str, Any] = field(default_factory=lambda: _NO_HEADER)
    """What a file of a sequence says beside its picture, such as its time code: goes along to a
    sink that can keep it. The names are OpenEXR's."""
    shown: Picture | None = None
    """What a display would show, where the picture is not like that: a plate in linear light, or
    in a camera's log. Of the same size; R'G'B' of 8 to 16 bits."""
    layers: Mapping[str, Picture] = field(default_factory=lambda: _NO_HEADER)
    """On the way to the sink: all passes that are wanted, by name; ``picture`` is the first."""

    @property
    def looks(self) -> Picture:
        """What a network, or anything that compares colours by eye, should look at."""
        return self.picture if self.shown is None else self.shown

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class Matte:
    """A frame and how much of each of its pixels belongs to the subject."""

    frame: Frame
    view: NDArray[np.uint8]
    """What the network saw: uint8 R'G'B' ``[h, w, 3]``, smaller than the frame."""
    alpha: NDArray[np.float32]
    """float32 ``[h, w]`` in 0..1, at the size of ``view`` or at that of the frame."""
    inferred: bool = True
    """Whether it was made for this frame, rather than carried here from others."""


@dataclass(frozen=True)
class VideoInfo:
    """What a source says of itself before its first frame; sizes are those of upright pictures."""

    path: Path | None
    width: int
    height: int
    layout: Layout
    colour: Colour
    time_base: Fraction
    rate: Fraction
    """Average frames a second: for encoders and estimates, never for timing."""
    seconds: float | None = None
    """Length, where known."""
    pixel_aspect: Fraction = field(default=Fraction(1))
    """Width to height of a pixel."""
    codec: str = ""
    decoder: str = "cpu"
    """Where it is decoded: ``cpu``, or ``cuda`` for an NVIDIA GPU."""
    still: bool = False
    """Whether this is a photograph rather than footage."""
    first_number: int | None = None
    """Of the first file, if this is an image sequence."""
    display: Box | None = None
    """Of OpenEXR: what is to be seen, if that is not the whole picture from 0, 0 on."""
    canvas: Box | None = None
    """Of OpenEXR: where the picture lies in the same coordinates."""
    chromaticities: tuple[float, ...] | None = None
    """x and y of red, green, blue and white of linear light, where ``colour`` does not say it."""
    timecode: str = ""
    """Of the first frame, such as ``01:00:00:00``; empty if there is none."""
    hdr: Hdr = field(default_factory=Hdr)
    """What HDR footage says of its mastering, if it does."""

    @property
    def frames_expected(self) -> int | None:
        """About how many frames will come; ``None`` if nobody knows."""
        return max(1, round(self.seconds * self.rate)) if self.seconds else None
