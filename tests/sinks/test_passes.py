"""One render to several files: names, what is in them, and all of them or none."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import clips
import numpy as np
import pytest

from streammatte import pipeline
from streammatte.colour import TRANSFER_PQ, Colour, Matrix
from streammatte.convert import to_rgb
from streammatte.errors import OutputError, UsageError
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.options import BackgroundSpec, EncodeOptions, RenderOptions
from streammatte.sinks import open_sink
from streammatte.sinks.estimate import estimate
from streammatte.sinks.passes import DATA, of_pass, targets
from streammatte.sinks.video_file import VideoFileSink
from streammatte.sources.synthetic import Synthetic
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TICK = Fraction(1, 12800)
LIMITED = Colour(Matrix.BT709, full_range=False, primaries=1, transfer=1)
ALL = ("comp", "matte", "fgr", "premult", "confidence", "plate")


class Footage(Synthetic):
    """Footage that is what a test says."""

    def __init__(self, info: VideoInfo) -> None:
        super().__init__(96, 64, 1)
        self.info = info


def made_up(
    size: tuple[int, int] = (96, 64),
    layout: Layout = Layout("yuv", 8, 1, 1),  # noqa: B008  it is frozen
    colour: Colour = LIMITED,
    **more: Any,
) -> VideoInfo:
    return VideoInfo(None, *size, layout, colour, TICK, Fraction(25), **more)


def grey(size: tuple[int, int], seed: int = 0) -> Any:
    """Return a matte of 16 bits: white, black, a ramp, and noise like hair."""
    width, height = size
    matte = np.tile(np.linspace(0, 65535, width), (height, 1))
    noise = np.random.default_rng(seed).normal(0.5, 0.3, (height - height // 2, width))
    matte[height // 2 :] = np.clip(noise, 0, 1) * matte[0]
    matte[: height // 8], matte[height // 8 : height // 4] = 65535, 0
    return np.rint(matte).astype(np.uint16)


def frames(info: VideoInfo, count: int = 4) -> Iterator[Frame]:
    """Yield frames with all passes."""
    size = (info.width, info.height)
    rgb, deep = Layout("rgb", 16), replace(info.colour, matrix=Matrix.RGB, full_range=True)
    for index in range(count):
        planes = clips.planes(index, size, info.layout.with_alpha(alpha=True))
        clear = Picture.of(planes, info.layout.with_alpha(alpha=True), info.colour)
        plain = Picture.of(planes[:3], info.layout, info.colour)
        matte = Picture.of([grey(size, index)] * 3, rgb, deep)
        layers = dict.fromkeys(ALL, plain) | {"matte": matte, "confidence": matte}
        yield Frame(plain, index * 512, 512, TICK, layers=layers | {"premult": clear})


def options(*passes: Any, codec: str | None = None, **more: Any) -> RenderOptions:
    encode = EncodeOptions(codec)
    return RenderOptions(BackgroundSpec("blur"), passes=passes, encode=encode, **more)


def write(path: Path, info: VideoInfo, wish: RenderOptions) -> list[str]:
    with open_sink(path, Footage(info), wish, info) as sink:
        for frame in frames(info):
            sink.write(frame)
    return list(sink.notes)


def read(path: Path) -> list[Frame]:
    with VideoFile(path) as source:
        return list(source.frames())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("shot.mov", "shot_matte.mov"),
        ("shot.%04d.exr", "shot_matte.%04d.exr"),
        ("shot_####.png", "shot_matte_####.png"),
        ("%04d.exr", "matte.%04d.exr"),
        ("100%d sure.mp4", "100%d sure_matte.mp4"),
        ("a.b.mkv", "a.b_matte.mkv"),
    ],
)
def test_names(tmp_path: Path, name: str, told: str) -> None:
    assert targets(tmp_path / name, ("comp", "matte"))["matte"] == tmp_path / told
    assert targets(tmp_path / name, ("matte",)) == {"matte": tmp_path / name}


@pytest.mark.parametrize(
    ("suffix", "most", "mean"), [(".mkv", 0, 0), (".mov", 0.9, 0.15), (".mp4", 20, 1.5)]
)
def test_a_matte_is_as_exact_as_its_container_allows(
    tmp_path: Path, suffix: str, most: float, mean: float
) -> None:
    path, size = tmp_path / f"m{suffix}", (128, 96)
    notes = write(path, made_up(size), options("matte"))
    assert any("keeps mattes to 8 bits" in note for note in notes) == (suffix == ".mp4")
    for index, frame in enumerate(read(path)):
        shown = to_rgb(frame.picture)[..., 1]
        error = np.abs(shown - grey(size, index) / 65535) * 255
        assert error.max() <= most + 0.01, error.max()
        assert error.mean() <= mean + 0.01, error.mean()
        assert abs(shown[4].mean() - 1) < 0.002
        assert abs(shown[16].mean()) < 0.006


def test_no_transfer_function_touches_a_matte(tmp_path: Path) -> None:
    hdr = Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=TRANSFER_PQ)
    info = made_up(layout=Layout("yuv", 10, 1, 1), colour=hdr)
    write(tmp_path / "m.mkv", info, options("matte"))
    picture = read(tmp_path / "m.mkv")[0].picture
    assert np.array_equal(picture.planes[0], grey((96, 64)))
    assert of_pass("matte", info).colour == DATA


def test_each_pass_has_its_own_codec_and_alpha(tmp_path: Path) -> None:
    notes = write(tmp_path / "s.mov", made_up(), options(*ALL))
    found = {}
    for name in ALL:
        with VideoFile(tmp_path / f"s_{name}.mov") as source:
            found[name] = (source.info.codec, source.info.layout.alpha)
    assert found.pop("comp") == ("h264", False)
    assert found.pop("premult") == ("prores", True)
    assert set(found.values()) == {("prores", False)}
    assert any("multiplied by alpha" in note for note in notes)
    assert any("alpha was read back" in note for note in notes)


def test_quality_is_for_the_passes_whose_codec_knows_it(tmp_path: Path) -> None:
    wish = replace(options("comp", "matte"), encode=EncodeOptions(crf=30))
    write(tmp_path / "s.mov", made_up(), wish)
    assert (tmp_path / "s_matte.mov").exists()
    with pytest.raises(UsageError, match="no --crf"):
        write(tmp_path / "t.mov", made_up(), replace(wish, passes=("matte",)))


def fails(self: VideoFileSink) -> None:
    raise OutputError(f"{self.path} does not want to")


@pytest.mark.parametrize("when", ["finish", "commit"])
@pytest.mark.parametrize("which", ["comp", "matte", "fgr"])
def test_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, which: str
) -> None:
    own = getattr(VideoFileSink, when)

    def step(self: VideoFileSink) -> None:
        if which in self.path.name:
            fails(self)
        own(self)

    monkeypatch.setattr(VideoFileSink, when, step)
    with pytest.raises(OutputError, match="does not want to"):
        write(tmp_path / "s.mkv", made_up(), options("comp", "matte", "fgr"))
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "s_fgr.mkv").touch()
    with pytest.raises(OutputError, match=r"s_fgr\.mkv exists"):
        write(tmp_path / "s.mkv", made_up(), options("comp", "matte", "fgr"))
    assert [file.name for file in tmp_path.iterdir()] == ["s_fgr.mkv"]
    with pytest.raises(UsageError, match="h264 carries no alpha"):
        write(tmp_path / "t.mkv", made_up(), options("comp", "premult", codec="h264"))
    assert [file.name for file in tmp_path.iterdir()] == ["s_fgr.mkv"]


@pytest.mark.parametrize("size", [(96, 64), (97, 63)])
@pytest.mark.parametrize("left", ["fgr", "premult"])
def test_packed_is_colours_left_and_matte_right(
    tmp_path: Path, size: tuple[int, int], left: str
) -> None:
    info = made_up(size, Layout("yuv", 8, 1, 1))
    wish = options(left, "matte", purpose="packed")
    write(tmp_path / "p.mp4", info, replace(wish, encode=EncodeOptions("h264", crf=1)))
    picture, original = read(tmp_path / "p.mp4")[0].picture, next(frames(info))
    half = size[0] + size[0] % 2
    assert (picture.width, picture.height) == (2 * half, size[1] + size[1] % 2)
    shown = to_rgb(picture) * 255
    wanted = to_rgb(original.layers[left]) * 255
    height, width = wanted.shape[:2]
    assert np.abs(shown[:height, :width] - wanted).mean() < 1.5
    matte = shown[:height, half : half + width]
    assert np.abs(matte[..., 0] - grey(size) / 257).mean() < 1.5
    assert matte[: height // 8 - 1].min() > 253


@pytest.mark.parametrize("passes", [("matte",), ("matte", "confidence"), ("comp", "fgr", "matte")])
def test_packed_needs_one_colour_and_the_matte(tmp_path: Path, passes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--out fgr,matte"):
        open_sink(tmp_path / "p.mp4", Footage(made_up()), options(*passes, purpose="packed"))


def test_time_code_and_aspect_are_in_every_video(tmp_path: Path, clip: Callable[..., Path]) -> None:
    source = clip(
        "tc.mov", metadata={"timecode": "01:00:00:20"}, count=12, aspect=Fraction(16, 11),
        sounds=(clips.Sound(),),
    )  # fmt: skip
    for window, begin in ((None, "01:00:00:20"), ("0.24", "01:00:01:01")):
        from streammatte.options import make_window

        wish = replace(
            options("comp", "matte", "premult", overwrite=True), window=make_window(window)
        )
        pipeline.render(source, tmp_path / "s.mov", wish)
        for name in ("comp", "matte", "premult"):
            with VideoFile(tmp_path / f"s_{name}.mov") as result:
                assert result.info.timecode == begin
                assert result.info.pixel_aspect == Fraction(16, 11)
            assert len(clips.packets(tmp_path / f"s_{name}.mov")) == 1


DEEP = [
    ("libx264", "yuv420p", (96, 64)),
    ("libx264", "yuv420p10le", (96, 64)),
    ("ffv1", "yuv422p10le", (95, 63)),
    ("ffv1", "yuv444p16le", (97, 65)),
    ("ffv1", "gbrp16le", (96, 64)),
    ("ffv1", "bgr0", (35, 33)),
    ("libx264", "yuv444p", (96, 64)),
]


@pytest.mark.parametrize(("codec", "pixel_format", "size"), DEEP)
def test_footage_of_all_kinds_comes_through_with_its_samples(
    tmp_path: Path, clip: Callable[..., Path], codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    source = clip("x.mkv", codec=codec, pixel_format=pixel_format, size=size, count=3)
    wish = options("plate", "matte", "fgr", "premult", codec="ffv1")
    pipeline.render(source, tmp_path / "s.mkv", wish)
    plates, originals = read(tmp_path / "s_plate.mkv"), read(source)
    assert len(plates) == len(originals) == 3
    for plate, original in zip(plates, originals, strict=True):
        assert plate.picture.layout == original.picture.layout
        pairs = zip(plate.picture.planes, original.picture.planes, strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
    for name in ("matte", "fgr", "premult"):
        picture = read(tmp_path / f"s_{name}.mkv")[0].picture
        assert (picture.width, picture.height) == size


def test_4k(tmp_path: Path) -> None:
    info = made_up((3840, 2160))
    with open_sink(tmp_path / "s.mov", Footage(info), options("matte"), info) as sink:
        sink.write(next(frames(info)))
    picture = read(tmp_path / "s.mov")[0].picture
    assert (picture.width, picture.height) == (3840, 2160)
    assert np.abs(to_rgb(picture)[..., 0] * 255 - grey((3840, 2160)) / 257).mean() < 0.5


def test_a_hand_over_that_cannot_be_opened_leaves_no_folders(tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    shot.mkdir()
    (shot / "AlphaHint").touch()
    with pytest.raises((OutputError, UsageError)):
        open_sink(shot, Footage(made_up()), options("plate", "matte", purpose="corridorkey"))
    assert [path.name for path in shot.iterdir()] == ["AlphaHint"]


# --- Room on the disk


@pytest.mark.parametrize("suffix", [".exr", ".tif", ".dpx", ".png"])
@pytest.mark.parametrize("name", ["comp", "premult", "matte"])
def test_images_are_estimated(suffix: str, name: Any, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR", reason="needs the extra vfx")
    info = made_up((1920, 1080), seconds=1.0)
    wish = options(name)
    with open_sink(tmp_path / "new" / f"x.%04d{suffix}", Footage(info), wish) as sink:
        assert sink.bytes_expected is not None
        assert 25 * 1920 * 1080 / 20 < sink.bytes_expected < 25 * 1920 * 1080 * 8
    assert not (tmp_path / "new").exists()  # nothing was written into it


def test_an_estimate_grows_with_the_footage(tmp_path: Path) -> None:
    from streammatte.sinks.codecs import plan

    info = made_up((1920, 1080), seconds=10.0)
    plain = plan(tmp_path / "x.mov", info, EncodeOptions("prores"), alpha=True)
    expected = estimate(plain, info)
    assert expected is not None
    assert 200e6 < expected < 2e9  # Apple tells 330 Mbit/s for 1080p at 29.97, without alpha
    assert estimate(plain, replace(info, seconds=20.0)) == pytest.approx(2 * expected, rel=0.01)
    assert estimate(plain, replace(info, seconds=None)) is None


def test_what_surely_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    info = made_up((1920, 1080), seconds=10.0)
    wish = options("comp", codec="prores")

    def left(free: float) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    left(1e6)
    with pytest.raises(OutputError, match=r"will take about .* MB, and the disk"):
        open_sink(tmp_path / "x.mov", Footage(info), wish, info)
    assert list(tmp_path.iterdir()) == []
    left(50e6)
    with open_sink(tmp_path / "x.mov", Footage(info), wish, info) as sink:
        sink.write(next(frames(info)))
    assert any("only 48 MB are free" in note for note in sink.notes)
    left(1e12)
    with open_sink(tmp_path / "y.mov", Footage(info), wish, info) as sink:
        sink.write(next(frames(info)))
    assert not any("free" in note for note in sink.notes)
