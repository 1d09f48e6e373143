"""Every codec in the table writes into every container it names, and can be read back."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streammatte.convert import to_rgb
from streammatte.frames import Frame, Layout, Matte
from streammatte.options import BackgroundSpec, EncodeOptions, RenderOptions
from streammatte.sinks import CODECS, open_sink
from streammatte.sinks.codecs import EXTENSIONS
from streammatte.sources.synthetic import Synthetic
from streammatte.sources.video_file import VideoFile
from streammatte.stages import composite

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = [
    (name, suffix)
    for name in CODECS
    for suffix, muxer in EXTENSIONS.items()
    if muxer in CODECS.load(name).containers
]
ALPHA_PAIRS = [(name, suffix) for name, suffix in PAIRS if CODECS.load(name).alpha]
LOSSLESS = {"ffv1", "qtrle", "png"}


def write(path: Path, name: str, layout: Layout, *, alpha: bool) -> list[Frame]:
    """Write five frames of a synthetic clip, with its true alpha if asked; return them."""
    source = Synthetic(128, 96, 5, Fraction(30000, 1001), layout)
    background = BackgroundSpec("transparent") if alpha else BackgroundSpec("blur")
    options = RenderOptions(background=background, encode=EncodeOptions(name))
    frames = list(source.frames())
    if alpha:
        view = np.zeros((2, 2, 3), np.uint8)
        mattes = [Matte(f, view, source.truth(i)) for i, f in enumerate(frames)]
        frames = list(composite.cut_out(mattes, composite.Edges("fast", "off")))
    with open_sink(path, source, options) as sink:
        for frame in frames:
            sink.write(frame)
        assert sink.description
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return frames


def read(path: Path) -> tuple[VideoFile, list[Frame]]:
    with VideoFile(path) as result:
        return result, list(result.frames())


def limit(name: str) -> float:
    return 1.6 / 255 if name in LOSSLESS else 12 / 255


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize(("name", "suffix"), PAIRS)
def test_what_is_written_is_read(name: str, suffix: str, depth: int, tmp_path: Path) -> None:
    """The same frames at the same times, the colours near enough for the codec."""
    path = tmp_path / f"out{suffix}"
    written = write(path, name, Layout("yuv", depth, 1, 1), alpha=False)
    result, frames = read(path)
    assert (result.info.width, result.info.height) == (128, 96)
    assert not result.damage
    assert len(frames) == len(written)
    for one, other in zip(written, frames, strict=True):
        assert other.seconds == pytest.approx(one.seconds, abs=0.0011)  # mkv counts milliseconds
        error = np.abs(to_rgb(other.picture) - to_rgb(one.picture))
        assert error.mean() < limit(name)
    if suffix in (".mp4", ".mov"):
        assert [frame.seconds for frame in frames] == [frame.seconds for frame in written]


@pytest.mark.parametrize(("name", "suffix"), ALPHA_PAIRS)
def test_what_promises_alpha_carries_it(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    written = write(path, name, Layout("yuv", 8, 1, 1), alpha=True)
    _, frames = read(path)
    for one, other in zip(written, frames, strict=True):
        assert one.picture.alpha is not None
        assert other.picture.alpha is not None
        alpha = other.picture.alpha / other.picture.layout.peak
        truth = one.picture.alpha / one.picture.layout.peak
        assert np.abs(alpha - truth).mean() < (1e-6 if name in LOSSLESS else 0.01)
        seen = truth == 1
        error = np.abs(to_rgb(other.picture) - to_rgb(one.picture))[seen]
        assert error.mean() < limit(name)


@pytest.mark.parametrize(("name", "suffix"), PAIRS)
def test_a_fault_leaves_nothing(name: str, suffix: str, tmp_path: Path) -> None:
    source = Synthetic(128, 96, 3)
    options = RenderOptions(BackgroundSpec("blur"), encode=EncodeOptions(name))

    def work() -> None:
        with open_sink(tmp_path / f"out{suffix}", source, options) as sink:
            sink.write(next(source.frames()))
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        work()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", list(CODECS))
def test_the_line_in_the_table(name: str) -> None:
    codec = CODECS.load(name)
    assert CODECS.entry(name).summary
    assert codec.containers
    assert set(codec.containers) <= set(EXTENSIONS.values())
