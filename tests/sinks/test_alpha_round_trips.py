"""Every kind of file with alpha, read back by readers that are not ours: ffmpeg and OpenCV.

The alpha is a ramp over noise like hair; colours differ everywhere, so that some are where alpha is
0. How far each codec may be off is what was measured for it, in steps of 8 bits.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pytest

from streammatte.colour import SRGB, Colour, Matrix
from streammatte.convert import to_rgb
from streammatte.errors import OutputError
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.options import BackgroundSpec, EncodeOptions, RenderOptions
from streammatte.sinks import open_sink, verify
from streammatte.sinks.codecs import VP9, plan
from streammatte.sinks.video_file import VideoFileSink
from streammatte.sources.synthetic import Synthetic
from streammatte.stages.composite import premultiplied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = (128, 72)
COUNT = 9
TICK = Fraction(1, 25)
LIMITED = Colour(Matrix.BT709, full_range=False, primaries=1, transfer=1)

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg command is absent")


class Kind(NamedTuple):
    """A kind of file, and how far its alpha may be off: at most, and on average."""

    codec: str
    suffix: str
    layout: Layout
    colour: Colour
    most: float
    mean: float
    colours: float
    """On average, of the colours."""


YUV8, YUV10 = Layout("yuv", 8, 1, 1), Layout("yuv", 10)
YUV16, RGB8, RGB16 = Layout("yuv", 16), Layout("rgb", 8), Layout("rgb", 16)
KINDS = [
    Kind("prores", ".mov", YUV10, LIMITED, 0.16, 0.037, 1.0),
    Kind("prores", ".mov", YUV8, LIMITED, 0.16, 0.06, 1.0),
    Kind("vp9", ".webm", YUV8, LIMITED, 21, 2.0, 4.0),
    Kind("vp9", ".mkv", YUV8, LIMITED, 21, 2.0, 4.0),
    Kind("ffv1", ".mkv", YUV8, LIMITED, 0, 0, 1.0),
    Kind("ffv1", ".mkv", YUV10, LIMITED, 0, 0, 1.0),
    Kind("ffv1", ".mkv", YUV16, LIMITED, 0, 0, 1.0),
    Kind("ffv1", ".mkv", RGB16, SRGB, 0, 0, 0.01),
    Kind("qtrle", ".mov", RGB8, SRGB, 0, 0, 1.0),
    Kind("png", ".mov", RGB8, SRGB, 0, 0, 1.0),
    Kind("png", ".mov", RGB16, SRGB, 0, 0, 0.01),
]


def info_of(kind: Kind) -> VideoInfo:
    return VideoInfo(None, *SIZE, kind.layout, kind.colour, TICK, Fraction(25))


def alpha_of(index: int, layout: Layout) -> Any:
    """Return a ramp, and below it noise like hair, that moves."""
    width, height = SIZE
    alpha = np.tile(np.linspace(0, 1, width), (height, 1))
    noise = np.random.default_rng(index).normal(0.5, 0.35, (height // 2, width))
    alpha[height // 2 :] *= np.clip(noise, 0, 1)
    alpha[:6], alpha[6:12] = 1, 0
    return np.rint(alpha * layout.peak).astype(layout.dtype)


def picture_of(index: int, kind: Kind) -> Picture:
    """Return straight colours that change slowly, also where alpha is 0."""
    width, height = SIZE
    layout = kind.layout.with_alpha(alpha=True)
    planes = []
    for number in range(3):
        sub = number > 0 and layout.family == "yuv"
        w, h = (width >> layout.chroma_x, height >> layout.chroma_y) if sub else (width, height)
        y, x = np.mgrid[:h, :w] / np.array([h, w]).reshape(2, 1, 1)
        value = 0.25 + 0.4 * [x, y, (x + y) / 2][number] + 0.005 * index
        planes.append(np.rint(value * layout.peak).astype(layout.dtype))
    return Picture.of([*planes, alpha_of(index, layout)], layout, kind.colour)


def written(path: Path, kind: Kind, *, premult: bool) -> tuple[list[Picture], list[str]]:
    """Write a file as a render does; return what went in, and what the sink had to say."""
    info, pictures = info_of(kind), [picture_of(index, kind) for index in range(COUNT)]
    if premult:
        pictures = [premultiplied(picture) for picture in pictures]
    source = Synthetic(*SIZE, COUNT)
    options = RenderOptions(
        BackgroundSpec("transparent"),
        encode=EncodeOptions(kind.codec),
        alpha="premult" if premult else "straight",
    )
    with open_sink(path, source, options, info) as sink:
        for index, picture in enumerate(pictures):
            sink.write(Frame(picture, index, 1, TICK))
    return pictures, list(sink.notes)


def by_ffmpeg(path: Path, codec: str, filters: str) -> bytes:
    """Return what Debian's ffmpeg makes of a file."""
    decoder = ["-c:v", "libvpx-vp9"] if codec == "vp9" else []
    command = ["ffmpeg", "-v", "error", *decoder, "-i", str(path), "-vf", filters]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    return done.stdout


def colours_by_ffmpeg(path: Path, codec: str) -> Any:
    """Return R'G'B' 0..255, ``[frames, h, w, 3]``."""
    raw = by_ffmpeg(path, codec, "format=rgba64le")
    return np.frombuffer(raw, "<u2").reshape(-1, SIZE[1], SIZE[0], 4)[..., :3] / 257


def alpha_by_ffmpeg(path: Path, codec: str) -> Any:
    """Return the alpha 0..255, ``[frames, h, w]``, which no conversion has touched."""
    raw = by_ffmpeg(path, codec, "alphaextract")
    deep = len(raw) > COUNT * SIZE[0] * SIZE[1]
    samples = np.frombuffer(
        raw, (">u2" if codec == "png" else "<u2") if deep else np.uint8
    ).reshape(-1, SIZE[1], SIZE[0])
    peak = next(peak for peak in (255, 1023, 4095, 65535) if samples.max() <= peak)
    return samples * (255 / peak)


@needs_ffmpeg
@pytest.mark.parametrize("premult", [False, True], ids=["straight", "premult"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.codec}-{kind.layout.name}")
def test_videos(tmp_path: Path, kind: Kind, premult: bool) -> None:
    path = tmp_path / f"a{kind.suffix}"
    pictures, notes = written(path, kind, premult=premult)
    assert any("alpha was read back from the file and is right" in note for note in notes)
    assert any("multiplied by alpha" in note for note in notes) == premult
    alphas, shown = alpha_by_ffmpeg(path, kind.codec), colours_by_ffmpeg(path, kind.codec)
    assert len(alphas) == len(shown) == COUNT
    for index, picture in enumerate(pictures):
        wanted = alpha_of(index, kind.layout) * (255 / kind.layout.peak)
        apart = np.abs(alphas[index] - wanted)
        assert apart.max() <= kind.most + 0.001, apart.max()
        assert apart.mean() <= kind.mean + 0.001, apart.mean()
        colours = np.abs(shown[index] - np.clip(to_rgb(picture), 0, 1) * 255)
        assert colours.mean() <= kind.colours, colours.mean()


@pytest.mark.parametrize("premult", [False, True], ids=["straight", "premult"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("layout", [RGB8, RGB16], ids=["8", "16"])
def test_images(tmp_path: Path, suffix: str, layout: Layout, premult: bool) -> None:
    kind = Kind("", suffix, layout, SRGB, 0, 0, 0)
    picture = picture_of(3, kind)
    picture = premultiplied(picture) if premult else picture
    info = replace(info_of(kind), still=True)
    path = tmp_path / f"a{suffix}"
    options = RenderOptions(BackgroundSpec("transparent"))
    with open_sink(path, Synthetic(*SIZE, 1), options, info) as sink:
        sink.write(Frame(picture, 0, 1, TICK))
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert read.dtype == layout.dtype
    assert picture.alpha is not None
    assert np.array_equal(read[..., 3], picture.alpha)
    for channel, plane in zip((1, 0, 2), picture.planes, strict=True):
        assert np.array_equal(read[..., channel], plane)


# --- How the sink sees it itself


def frames(alphas: list[Any]) -> Iterator[tuple[int, Any]]:
    yield from enumerate(alphas)


@pytest.mark.parametrize(
    ("count", "keys"),
    [(1, [0]), (2, [0, 1]), (3, [0, 2]), (4, [0, 2, 3]), (9, [0, 8]), (12, [0, 8, 11])],
)
def test_the_first_a_middle_and_the_last_are_kept(count: int, keys: list[int]) -> None:
    kept = verify.Kept()
    for index in range(count):
        kept.take(index, np.full((2, 2), index, np.uint8))
    assert [key for key, _ in kept] == keys
    assert all((alpha == key).all() for key, alpha in kept)


@pytest.mark.parametrize("wrong", [0, 8, COUNT - 1])
def test_one_wrong_frame_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    kind = KINDS[4]
    taken = verify.Kept.take

    def take(self: verify.Kept, key: Any, alpha: Any) -> None:
        changed = alpha.copy()
        if key == wrong * TICK:
            changed[20, 20] ^= 255
        taken(self, key, changed)

    monkeypatch.setattr(verify.Kept, "take", take)
    with pytest.raises(OutputError, match="did not survive ffv1: of 255 steps"):
        written(tmp_path / "a.mkv", kind, premult=False)
    assert list(tmp_path.iterdir()) == []


def test_alpha_that_is_not_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As VP9 in mp4, where no player finds it."""
    from streammatte.sinks import codecs

    monkeypatch.setattr(codecs, "VP9", replace(VP9, containers=("mp4",)))
    kind = KINDS[2]
    decided = plan(tmp_path / "a.mp4", info_of(kind), EncodeOptions("vp9"), alpha=True)
    sink = VideoFileSink(decided, info_of(kind), EncodeOptions("vp9"))
    with pytest.raises(OutputError, match="it is not there"), sink:
        sink.write(Frame(picture_of(0, kind), 0, 1, TICK))
    assert list(tmp_path.iterdir()) == []
