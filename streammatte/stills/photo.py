"""A photograph, decoded: upright R, G and B in 8 or 16 bits, and what it says beside them.

JPEG, PNG, WebP and BMP are decoded by OpenCV; TIFF, whose alpha OpenCV multiplies into the
colours, and what is damaged by FFmpeg; HEIC, AVIF, CMYK and TIFF packed as JPEG by Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.colour import SRGB
from streammatte.convert import convert
from streammatte.errors import InputError
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.sources.video_file import VideoFile
from streammatte.stills.headers import Header, header_of, mapped
from streammatte.stills.metadata import Tags, profile_space, upright

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Samples = NDArray[np.uint8 | np.uint16]

_BY_OPENCV = ("jpeg", "png", "webp", "bmp")
_TURN = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
"""EXIF's orientation -> whether to transpose, then how to flip in OpenCV's words."""
SECOND = Fraction(1)
ANY = VideoInfo(
    path=None,
    width=64,
    height=64,
    layout=Layout("rgb", 8),
    colour=SRGB,
    time_base=SECOND,
    rate=SECOND,
    seconds=1.0,
    still=True,
)
"""What all photographs have in common."""


@dataclass(frozen=True)
class Photo:
    """A photograph as the pipeline takes it."""

    path: Path
    frame: Frame
    info: VideoInfo
    tags: Tags
    """What goes along to results: upright, a profile only if it is one of R, G and B."""
    notes: list[str] = field(default_factory=list)
    """What was lost or assumed, one sentence each."""


def read_photo(path: Path) -> Photo:
    """Read and decode a photograph.

    Raises:
        InputError: if it cannot be read.
        DependencyError: if it needs a package that is missing.
    """
    with mapped(path) as data:
        header = header_of(path, data)
        notes: list[str] = []
        picture = None
        if header.by_pillow:
            from streammatte.stills.pillow import decoded_by_pillow

            pixels, header = decoded_by_pillow(path, header, notes)
            picture = picture_of(pixels)
        elif header.kind in _BY_OPENCV:
            picture = _by_opencv(np.frombuffer(data, np.uint8), header.orientation)
    if picture is None:
        picture = _by_ffmpeg(path, notes)
        if header.multiplied:
            picture = _divided(picture)
    if header.moves:
        notes.append("it is an animation, of which the first picture was taken")
    return Photo(path, *_framed(path, picture), _carried(header, notes), notes)


def _by_opencv(data: NDArray[np.uint8], orientation: int) -> Picture | None:
    """Decode what OpenCV decodes well; ``None`` if it does not."""
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None
    return picture_of(turned(pixels, orientation))


def _by_ffmpeg(path: Path, notes: list[str]) -> Picture:
    with VideoFile(path) as source:
        if not source.info.still:
            raise InputError(f"{path} is footage, not a photograph; render it on its own")
        frames = list(source.frames())  # to the end, where it says whether the file was cut off
        damage = source.damage
    picture = frames[0].picture
    notes += damage.notes
    if damage.corrupt_frames:
        notes.append("it is damaged, and was decoded as far as possible")
    layout = Layout("rgb", 8 if picture.layout.depth == 8 else 16, alpha=picture.alpha is not None)  # noqa: PLR2004
    return convert(picture, layout, SRGB)


def _divided(picture: Picture) -> Picture:
    """Return a picture whose colours were multiplied by its alpha as if they had not been."""
    if picture.alpha is None:
        return picture
    peak = picture.layout.peak
    by = peak / np.maximum(picture.alpha, 1).astype(np.float32)
    planes = [np.minimum(np.rint(plane * by), peak).astype(plane.dtype) for plane in picture.planes]
    return Picture.of([*planes, picture.alpha], picture.layout, picture.colour)


def turned(pixels: Samples, orientation: int) -> Samples:
    """Return stored pixels upright."""
    if orientation not in _TURN:
        return pixels
    transpose, flip = _TURN[orientation]
    if transpose:
        pixels = cv2.transpose(pixels)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip))


def picture_of(pixels: Samples) -> Picture:
    """Return pixels ``[h, w]`` (grey) or ``[h, w, 3 or 4]`` (B, G, R, A) as a picture."""
    planes = [pixels] * 3 if pixels.ndim == 2 else list(cv2.split(pixels))  # noqa: PLR2004
    blue, green, red, *alpha = planes if len(planes) > 1 else planes * 3
    layout = Layout("rgb", 8 if pixels.dtype == np.uint8 else 16, alpha=bool(alpha))
    return Picture.of([green, blue, red, *alpha], layout, SRGB)


def _framed(path: Path, picture: Picture) -> tuple[Frame, VideoInfo]:
    frame = Frame(picture, 0, 1, SECOND)
    width, height = picture.width, picture.height
    info = replace(ANY, path=path, layout=picture.layout, width=width, height=height)
    return frame, info


def _carried(header: Header, notes: list[str]) -> Tags:
    """Return what goes along to results, and note what cannot."""
    tags: Tags = replace(header.tags, exif=upright(header.tags.exif))
    if tags.dpi and header.orientation >= 5:  # noqa: PLR2004  it lay on its side
        tags = replace(tags, dpi=tags.dpi[::-1])
    space = profile_space(tags.profile)
    if not tags.profile or space == "RGB":
        return tags
    what = {"GRAY": "a greyscale", "CMYK": "a CMYK"}.get(space, "a damaged")
    notes.append(f"it has {what} colour profile, which results in R, G and B cannot keep")
    return replace(tags, profile=b"")
