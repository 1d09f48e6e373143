"""What the product does, called in one place: only this file knows how its stages are called.

What is not there (yet, or any more) raises ``Missing``, and the benchmark says so in its tables.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, get_args

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from matting import damage
from streammatte import pipeline
from streammatte.colour import SRGB
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.meters import Meters
from streammatte.models import load_card
from streammatte.options import NetworkOptions
from streammatte.runtimes.base import Port
from streammatte.stages import composite, foreground, matte, refine, smooth
from streammatte.stages.scenes import is_other_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matting.clips import Clip
    from streammatte.models.base import Precision, Size
    from streammatte.options import Every
    from streammatte.runtimes.base import Runtime

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

DAMAGE = "damage"
"""The name of the network that is none: the truth, damaged."""
REFINEMENTS = ("bilinear", "bicubic", "fast", "fine")
DECONTAMINATIONS = ("off", "fast", "fine")
CARRYING = "propagate"
"""What the product's meters call carrying mattes to frames between."""


class Missing(Exception):  # noqa: N818  it is no fault
    """Something that the product cannot do."""


def frames_of(pictures: Sequence[Bytes], rate: float) -> list[Frame]:
    """Return pictures, uint8 R'G'B' ``[h, w, 3]``, as the frames of a clip."""
    tick = 1 / Fraction(rate).limit_denominator(1001)
    return [Frame(picture_of(rgb), index, 1, tick) for index, rgb in enumerate(pictures)]


def picture_of(rgb: Bytes) -> Picture:
    """Return uint8 R'G'B' ``[h, w, 3]`` as a picture with the very same samples."""
    return Picture.of([rgb[..., 1], rgb[..., 2], rgb[..., 0]], Layout("rgb", 8), SRGB)


def rgb_of(picture: Picture) -> Bytes:
    """Return the samples of an 8-bit R'G'B' picture: uint8 ``[h, w, 3]``."""
    green, blue, red = picture.planes
    return np.ascontiguousarray(np.dstack([red, green, blue]), np.uint8)


# ---- where mattes come from


class Recorded:
    """A runtime that answers with mattes made before; it knows a picture by its samples.

    So a network runs once however many ways its mattes are used in, its time is not counted among
    theirs, and damaged truths take the place of a network's. Pictures that are the same to the last
    bit get the same matte, as from any network.
    """

    precision: Precision = "fp32"
    device = "cpu"
    batch = 1

    def __init__(self, views: Sequence[Bytes], alphas: Sequence[Floats], description: str) -> None:
        """Remember the mattes.

        Args:
            views: uint8 R'G'B' ``[h, w, 3]``, what the network sees.
            alphas: float32 ``[h, w]`` for each.
            description: Who made them.
        """
        height, width = alphas[0].shape
        self.description, self.seen = description, 0
        self._known = {_digest(view): alpha for view, alpha in zip(views, alphas, strict=True)}
        self.inputs: tuple[Port, ...] = (Port("image", "uint8", (1, height, width, 3)),)
        self.outputs: tuple[Port, ...] = (Port("alpha", "float32", (1, 1, height, width)),)

    def infer(self, images: Bytes) -> Floats:
        """Return what was made of these images; see ``runtimes.base.Runtime``."""
        self.seen += len(images)
        return np.stack([self._known[_digest(image)] for image in images])[:, None]

    def close(self) -> None:
        """Nothing to let go of."""


def _digest(view: Bytes) -> bytes:
    return hashlib.blake2b(view.tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class Shown:
    """A clip as the product sees it, and what makes its mattes."""

    frames: list[Frame]
    views: list[Bytes]
    """What the network sees of them: uint8 R'G'B' ``[h, w, 3]``."""
    size: Size
    """``(width, height)`` of the network's input."""
    runtime: Recorded
    coarse: bool
    """Whether ``refine.snap`` belongs to the network, as the product decides."""

    def mattes(self, quality: refine.Quality = "fast") -> list[Matte]:
        """Return the per-frame mattes, snapped if the product would."""
        return list(snapped(self.unsnapped(), self, quality))

    def unsnapped(self) -> list[Matte]:
        """Return the per-frame mattes as they come from the network."""
        return list(matte.infer(self.frames, self.runtime, self.size, Meters()))


def snapped(
    mattes: Iterable[Matte], shown: Shown, quality: refine.Quality = "fast"
) -> Iterable[Matte]:
    """Return what the product's own first refinement makes of a network's mattes."""
    return refine.snap(mattes, quality) if shown.coarse else mattes


class Source(Protocol):
    """Makes per-frame mattes."""

    name: str

    def show(self, clip: Clip, frames: list[Frame], lines: int | None = None) -> Shown:
        """Return a clip with its mattes, at about so many rows; ``None`` for the usual size."""


class Damage:
    """The truth, damaged: see ``damage``."""

    name = DAMAGE

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def show(self, clip: Clip, frames: list[Frame], lines: int | None = None) -> Shown:
        """See ``Source``."""
        picture = frames[0].picture
        height = lines or picture.height // damage.REDUCED
        size = (max(2, round(picture.width * height / picture.height / 2) * 2), height)
        name = f"{self._seed}/{clip.name}".encode()
        seed = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big")
        alphas = damage.damaged(clip.truths(), seed, clip.rate, size)
        views = _views(frames, size)
        runtime = Recorded(views, alphas, "the truth, damaged")
        return Shown(frames, views, size, runtime, coarse=False)


class Network:
    """A network of the product's, or an ONNX file."""

    def __init__(self, model: str, cache: Path, size: int | Size | None = None) -> None:
        """Find out about the network.

        Args:
            model: Its name or path.
            cache: Where its mattes are kept.
            size: Of its input: the shorter side, or ``(width, height)``; ``None`` for its default.

        Raises:
            StreamMatteError: if there is none of that name.
        """
        self.name = model
        self._wish, self._cache, self._size = NetworkOptions(model=model), cache, size
        self._card = load_card(model)
        self._engines: dict[Size, pipeline.Engine] = {}

    def show(self, clip: Clip, frames: list[Frame], lines: int | None = None) -> Shown:
        """See ``Source``."""
        del clip
        picture = frames[0].picture
        if lines is not None:  # small pictures are tried with the least it takes
            least, most = self._card.short_side_range
            lines = min(max(lines, least), most)
        size = self._card.input_size(picture.width, picture.height, lines or self._size)
        views = _views(frames, size)
        runtime = Recorded(views, self._mattes(views, size), self.name)
        return Shown(frames, views, size, runtime, self._card.coarse)

    def _mattes(self, views: list[Bytes], size: Size) -> list[Floats]:
        """Return the network's mattes, which are kept: large networks take seconds each."""
        if size not in self._engines:
            self._engines[size] = pipeline.open_engine(self._wish, size)
        engine = self._engines[size]
        about = hashlib.sha256(f"{engine.model.digest} {engine.runtime.description}".encode())
        for view in views:
            about.update(view.tobytes())
        path = self._cache / "mattes" / f"{about.hexdigest()[:24]}.npy"
        if path.exists():
            return list(np.load(path))
        alphas = _inferred(engine.runtime, views)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"part-{time.time_ns()}-{path.name}")
        np.save(part, np.stack(alphas))
        part.replace(path)
        return alphas


def _inferred(runtime: Runtime, views: list[Bytes]) -> list[Floats]:
    return [runtime.infer(view[None])[0, 0] for view in views]


def _views(frames: Sequence[Frame], size: Size) -> list[Bytes]:
    scaler = VideoReformatter()
    return [frame.picture.view(*size, scaler) for frame in frames]


def open_source(name: str, cache: Path, size: int | Size | None = None) -> Source:
    """Return a source of mattes: ``damage``, a network's name, or the path of an ONNX file."""
    return Damage() if name == DAMAGE else Network(name, cache, size)


# ---- stages over mattes


def steadied(mattes: Iterable[Matte], how: str) -> Iterator[Matte]:
    """Return mattes made steady.

    Args:
        mattes: In order.
        how: ``live`` or ``file``; ``old``, which the product did before; or ``limit``, what
            ``file`` could do if it held the whole clip and remembered for twice as long: what is
            restless then, no steadying along the motion takes away.

    Raises:
        Missing: if the product has no such thing.
    """
    if how == "old":
        return _settled(mattes)
    if how == "limit":
        return smooth.file(mattes, strength=2, held=WHOLE)
    stage = getattr(smooth, how, None)
    if stage is None:
        raise Missing(f"stages.smooth has no {how}()")
    return stage(mattes)  # type: ignore[no-any-return]


WHOLE = 1_000_000
"""Frames: more than any clip here has."""
OLD_MEMORY = 0.065
"""Seconds: what the product's first smoothing remembered."""


def _settled(mattes: Iterable[Matte]) -> Iterator[Matte]:
    """Do what the product did at first: lean unsure pixels on the frame before, in place."""
    last: Matte | None = None
    for now in mattes:
        if last is not None and not is_other_scene(last.view, now.view):
            gap = now.frame.seconds - last.frame.seconds
            unsure = 1 - np.abs(2 * now.alpha - 1)
            weight = np.exp(-gap / (OLD_MEMORY * np.maximum(unsure, np.float32(1e-6))))
            alpha = now.alpha + weight * (last.alpha - now.alpha)
            now = replace(now, alpha=np.asarray(alpha, np.float32))  # noqa: PLW2901
        last = now
        yield now


def held(mattes: Sequence[Matte], every: int) -> Iterator[Matte]:
    """Repeat every N-th matte, which is what is done without a way to carry it along."""
    for index, now in enumerate(mattes):
        yield replace(now, alpha=mattes[index - index % every].alpha)


def carried(shown: Shown, every: Every, meters: Meters, *, ahead: bool) -> Iterator[Matte]:
    """Let the network see some of the frames, and carry its mattes to the others.

    Args:
        shown: The clip.
        every: N, or ``auto``.
        meters: Told how long it takes, as ``CARRYING``.
        ahead: Whether later frames may be waited for.
    """
    seen = matte.infer(shown.frames, shown.runtime, shown.size, meters, every, ahead=ahead)
    return iter(snapped(seen, shown))


def enlarged(alpha: Floats, rgb: Bytes, how: str) -> Floats:
    """Bring a matte to a picture's size.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        rgb: uint8 R'G'B' ``[H, W, 3]``.
        how: One of ``REFINEMENTS``.

    Returns:
        float32 ``[H, W]`` in 0..1.

    Raises:
        Missing: if the product has no such refinement.
    """
    height, width = rgb.shape[:2]
    plain = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    if how in plain:
        if alpha.shape == (height, width):
            return alpha
        large = cv2.resize(alpha, (width, height), interpolation=plain[how])
        return np.asarray(np.clip(large, 0, 1), np.float32)
    stage: Callable[..., Any] | None = getattr(refine, how, None)
    if stage is None:
        raise Missing(f"stages.refine has no {how}()")
    return np.asarray(stage(alpha, rgb), np.float32)


def decontaminated(rgb: Bytes, alpha: Floats, how: str) -> Floats:
    """Return the subject's own colours.

    Args:
        rgb: uint8 R'G'B' ``[h, w, 3]``.
        alpha: float32 ``[h, w]`` in 0..1.
        how: One of ``DECONTAMINATIONS``.

    Returns:
        float32 R'G'B' ``[h, w, 3]`` in 0..1.

    Raises:
        Missing: if the product has no such way.
    """
    if how == "off":
        return np.asarray(rgb / np.float32(255))
    quality = next((known for known in get_args(foreground.Quality) if known == how), None)
    if quality is None:
        raise Missing(f"stages.foreground has no {how} way")
    picture = composite.with_room(picture_of(rgb))
    samples = np.rint(alpha * np.float32(255)).astype(np.uint8)
    means = foreground.local_means(picture, alpha, VideoReformatter(), quality)
    return np.asarray(rgb_of(composite.isolate(picture, samples, means)) / np.float32(255))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what work gives, and the processor seconds it took."""
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun
