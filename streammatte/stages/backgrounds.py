"""What goes behind the subject, in the clip's own layout and colour.

Colours and stills are converted once; a video keeps its own time and starts over at its end; an
image sequence goes along frame by frame, from the footage's own number on where it has that; a blur
is made from the frame itself, without the subject smeared into it.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.colour import FLOAT, SRGB
from streammatte.convert import convert, from_rgb
from streammatte.errors import InputError
from streammatte.frames import Layout, Picture
from streammatte.images import SEQUENCE_ONLY
from streammatte.numbered import Pattern
from streammatte.options import SequenceOptions
from streammatte.sources.sequence import Sequence
from streammatte.sources.video_file import VideoFile
from streammatte.stages.foreground import black, plane_alphas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.colour import Colour
    from streammatte.frames import Frame, VideoInfo
    from streammatte.options import BackgroundFit as Fit
    from streammatte.options import BackgroundSpec
    from streammatte.sources import Source
    from streammatte.threads import Threads

    Floats = NDArray[np.float32]
    Adapt = Callable[[Picture, Layout, Colour], Picture]


class Background(Protocol):
    """Something to put behind the subject."""

    notes: list[str]
    """What was lost or guessed of it, one sentence each; complete after the last frame."""

    def behind(self, frame: Frame, alpha: Floats) -> Picture:
        """Return the picture for a frame, in its size, layout and colour.

        Args:
            frame: The camera's; called with growing time stamps.
            alpha: Its matte, float32 ``[h, w]`` in 0..1 at any size.
        """


def open_background(
    spec: BackgroundSpec,
    fit: Fit,
    info: VideoInfo,
    threads: Threads,
    adapt: Adapt = convert,
    begin: Fraction | None = None,
) -> Background | None:
    """Open what ``spec`` names for footage like ``info``; ``None`` if nothing goes behind.

    Args:
        spec: What it is.
        fit: How a file fills the frame.
        info: The footage, or what layers are put together in; see ``light.Working``.
        threads: Where a video is read ahead.
        adapt: Brings a picture to the layout and colour of ``info``.
        begin: When a video begins to play, in the footage's seconds; ``None`` for when it is first
            asked for a picture.

    Raises:
        InputError: if a file cannot be read.
        DependencyError: if a library for it is missing.
    """
    if spec.kind == "transparent":
        return None
    if spec.kind == "colour":
        return Still(_solid(spec.rgb, info, adapt))
    if spec.kind == "blur":
        return Blur(spec.radius)
    opened = partial(_opened, Path(spec.path), info)
    try:
        clip = opened()
    except InputError as error:
        raise InputError(f"--bg: {error}") from error
    if clip.info.still:
        with clip:
            picture = next(clip.frames()).picture
        still = fitted(picture, clip.info.pixel_aspect, fit, info, VideoReformatter(), adapt)
        return Still(still, notes_on(clip))
    fits = partial(
        fitted,
        aspect=clip.info.pixel_aspect,
        fit=fit,
        info=info,
        scaler=VideoReformatter(),
        adapt=adapt,
    )
    return Clip(clip, opened, fits, threads, begin)


def _opened(path: Path, info: VideoInfo) -> Source:
    """Open a background's file, or a sequence from the footage's first number on."""
    pattern = Pattern(path)
    numbers = pattern.files() if pattern.is_numbered else {}
    if not numbers and path.suffix.lower() not in SEQUENCE_ONLY:
        return VideoFile(path)
    first, last = info.first_number, max(numbers, default=0)
    along = None if first not in numbers else (first, last)
    return Sequence(path, None, SequenceOptions(along, rate=info.rate, missing="hold"))


def _solid(rgb: tuple[int, int, int], info: VideoInfo, adapt: Adapt) -> Picture:
    pixel = np.full((2, 2, 3), rgb, np.float32) / np.float32(255)
    layout = info.layout.with_alpha(alpha=False)
    picture = Picture.empty(info.width, info.height, layout, info.colour)
    # In floating point, so that what is converted is not rounded twice.
    small = adapt(from_rgb(pixel, Layout("rgb", FLOAT), SRGB), layout, info.colour)
    for target, plane in zip(picture.planes, small.planes, strict=True):
        target[:] = plane[0, 0]
    return picture


def fitted(
    picture: Picture,
    aspect: Fraction,
    fit: Fit,
    info: VideoInfo,
    scaler: VideoReformatter,
    adapt: Adapt = convert,
) -> Picture:
    """Return a background's picture in the footage's size, layout and colour; clear is black.

    It is scaled first, in its own colour, so that a large photograph costs no more than a frame.

    Args:
        picture: The background's.
        aspect: Width to height of its pixels.
        fit: How it fills the frame.
        info: The footage.
        scaler: Used from this thread alone.
        adapt: Brings a picture to the footage's layout and colour.
    """
    target, own = info.layout.with_alpha(alpha=False), picture.layout
    size, (x, y) = fit_size((picture.width * aspect, picture.height), info, fit, step=2)
    chroma = (target.chroma_x, target.chroma_y) if own.family == "yuv" else (0, 0)
    layout = Layout(own.family, own.depth, *chroma, alpha=own.alpha).stored
    picture = _on_black(picture.scaled(*size, layout, scaler))
    if size != (info.width, info.height):
        picture = _placed(picture, info, x, y)
    return adapt(picture, target, info.colour)


def _on_black(picture: Picture) -> Picture:
    if picture.alpha is None:
        return picture
    layout = picture.layout.with_alpha(alpha=False)
    result = Picture.empty(picture.width, picture.height, layout, picture.colour)
    for index, coverage in enumerate(plane_alphas(picture, picture.alpha)):
        share = coverage / np.float32(picture.layout.peak)
        level = np.float32(black(picture)[index])
        mixed = level + share * (picture.planes[index] - level)
        result.planes[index][:] = mixed if layout.is_float else np.rint(mixed)
    return result


def fit_size(
    size: tuple[Fraction | int, int], info: VideoInfo, fit: Fit, step: int = 1
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size to scale a background to, and where its corner lies in the frame.

    Args:
        size: The background's ``(width, height)``, the width as if its pixels were square.
        info: The footage, whose pixels need not be.
        fit: ``cover`` fills the frame and crops, ``contain`` shows all, ``stretch`` distorts.
        step: Size and corner become multiples of this, so that chroma samples stay whole.

    Returns:
        ``(width, height)`` and ``(x, y)``; the corner is negative where the frame crops.
    """
    frame = (info.width, info.height)
    if fit == "stretch":
        return frame, (0, 0)
    wide = info.width * info.pixel_aspect / size[0]
    high = Fraction(info.height) / size[1]
    scale = max(wide, high) if fit == "cover" else min(wide, high)
    scaled = [
        max(step, round(size[0] * scale / info.pixel_aspect / step) * step),
        max(step, round(size[1] * scale / step) * step),
    ]
    if fit == "cover":
        scaled = [max(side, need + need % step) for side, need in zip(scaled, frame, strict=True)]
    # Rounded towards zero: a corner further out would leave the other edge bare.
    corner = [
        int(Fraction(need - side, 2 * step)) * step
        for side, need in zip(scaled, frame, strict=True)
    ]
    return (scaled[0], scaled[1]), (corner[0], corner[1])


def _paste(canvas: NDArray[np.generic], patch: NDArray[np.generic], x: int, y: int) -> None:
    """Lay ``patch`` on ``canvas`` with its corner at ``(x, y)``, cropping what hangs over."""
    top, left = max(y, 0), max(x, 0)
    part = patch[top - y :, left - x :]
    height = min(part.shape[0], canvas.shape[0] - top)
    width = min(part.shape[1], canvas.shape[1] - left)
    canvas[top : top + height, left : left + width] = part[:height, :width]


class Still:
    """One picture for all frames."""

    def __init__(self, picture: Picture, notes: Iterable[str] = ()) -> None:
        self._picture = picture
        self.notes = list(notes)

    def behind(self, frame: Frame, alpha: Floats) -> Picture:  # noqa: ARG002  the contract
        """Return the picture."""
        return self._picture


class Clip:
    """A video that plays at its own pace and starts over at its end."""

    def __init__(
        self,
        clip: Source,
        again: Callable[[], Source],
        fit: Callable[[Picture], Picture],
        threads: Threads,
        begin: Fraction | None,
    ) -> None:
        self._clip = clip
        self._again = again
        self._fit = fit
        self._pictures = threads.ahead(self._played(), "background", capacity=2)
        self.notes: list[str] = []
        self._now: Picture | None = None
        self._next: tuple[Fraction, Picture] | None = None
        self._begin = begin

    def behind(self, frame: Frame, alpha: Floats) -> Picture:  # noqa: ARG002  the contract
        """Return the picture that the video shows at the frame's time."""
        time = frame.pts * frame.time_base
        if self._begin is None:
            self._begin = time
        if self._next is None:
            self._next = next(self._pictures)
        while self._now is None or self._next[0] <= time - self._begin:
            self._now = self._next[1]
            self._next = next(self._pictures)
        return self._now

    def _played(self) -> Iterator[tuple[Fraction, Picture]]:
        """Yield ``(seconds since the start, picture)``, over and over, exactly in time."""
        base = Fraction(0)
        while True:
            begin = end = None
            with self._clip:
                for frame in self._clip.frames():
                    time = frame.pts * frame.time_base
                    begin = time if begin is None else begin
                    end = time + (frame.duration * frame.time_base or 1 / self._clip.info.rate)
                    yield base + time - begin, self._fit(frame.picture)
            self.notes = notes_on(self._clip)
            assert begin is not None
            assert end is not None
            base += end - begin
            self._clip = self._again()


def notes_on(clip: Source) -> list[str]:
    """Return what a background's file lost and left untold."""
    damage = clip.damage
    notes = list(damage.notes)
    if lost := damage.lost_packets + damage.corrupt_frames + damage.dropped_frames:
        notes.append(f"{lost} of its packets or frames are damaged")
    if assumed := clip.info.colour.assumed:
        notes.append(f"its colour is not tagged, assumed: {assumed}")
    return [f"background: {note}" for note in notes]


def _placed(picture: Picture, info: VideoInfo, x: int, y: int) -> Picture:
    """Return ``picture`` cropped or framed in black to the footage's size."""
    layout = picture.layout
    placed = Picture.empty(info.width, info.height, layout, picture.colour)
    for index, (canvas, patch) in enumerate(zip(placed.planes, picture.planes, strict=True)):
        canvas[:] = round(float(black(picture)[index]))
        subsampled = index > 0 and layout.family == "yuv"
        shift_x, shift_y = (layout.chroma_x, layout.chroma_y) if subsampled else (0, 0)
        _paste(canvas, patch, x >> shift_x, y >> shift_y)
    return placed


WIDER = 4
"""How much wider the blur is that fills in deep behind the subject."""
PURITY = 4
"""Power of the surroundings' share that a place counts with: mixtures show the subject's colour."""


class Blur:
    """The frame itself, out of focus, the subject taken out before it is blurred."""

    def __init__(self, radius: float) -> None:
        """Remember the blur.

        Args:
            radius: Standard deviation of the Gaussian, in lines of a 1080-line picture.
        """
        self._radius = radius
        self.notes: list[str] = []
        self._scaler = VideoReformatter()

    def behind(self, frame: Frame, alpha: Floats) -> Picture:
        """Return the frame's surroundings, blurred."""
        picture = frame.picture
        layout = picture.layout.with_alpha(alpha=False)
        grown = Picture.empty(picture.width, picture.height, layout, picture.colour)
        sigma = self._radius * picture.height / 1080
        shrink = min(max(sigma / 3, 1.0), 8.0)
        width = max(8, round(picture.width / shrink))
        height = max(8, round(picture.height / shrink))
        seen = picture.small(width, height, self._scaler)
        rest = 1 - cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
        rest = cv2.pow(cv2.erode(rest, np.ones((3, 3), np.uint8)), PURITY)

        def spread(plane: Floats, lines: float) -> Floats:
            return np.asarray(cv2.GaussianBlur(plane, (0, 0), lines / shrink), np.float32)

        near = spread(rest, sigma)
        far = spread(near, WIDER * sigma)
        for index, (target, level) in enumerate(zip(grown.planes, black(picture), strict=True)):
            soft = spread(seen[index] * rest, sigma)
            # Deep behind the subject only the wider blur still holds any of the surroundings.
            around = (spread(soft, WIDER * sigma) + 1e-4 * level) / (far + 1e-4)
            _grow((soft + 0.02 * around) / (near + 0.02), target, layout.peak)
        return grown


def _grow(samples: Floats, target: NDArray[Any], peak: int) -> None:
    """Bring samples ``[h, w]`` to the size of a plane and write them there, rounded."""
    size = (target.shape[1], target.shape[0])
    scaled = cv2.resize(samples, size, interpolation=cv2.INTER_LINEAR)
    target[:] = scaled if target.dtype == np.float32 else np.clip(np.rint(scaled), 0, peak)
