"""Masks that people drew: read from all kinds of files, matched to frames, exact at last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from streammatte.errors import InputError
from streammatte.frames import Frame, Layout, Matte
from streammatte.meters import Meters
from streammatte.options import (
    BackgroundSpec,
    Choice,
    EdgeOptions,
    MatteOptions,
    RenderOptions,
    Zone,
)
from streammatte.sources.base import Window
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import composite
from streammatte.stages.finish import Finish
from streammatte.stages.mask_files import open_masks, ranges, read_mask
from streammatte.stages.override import Override
from streammatte.stages.zones import Garbage, finished

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WIDTH, HEIGHT = 96, 64
RAMP = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1)).astype(np.float32)


def frames(count: int, first: int | None = None) -> list[Frame]:
    made = Synthetic(WIDTH, HEIGHT, count).frames()
    if first is None:
        return list(made)
    return [replace(frame, number=first + index) for index, frame in enumerate(made)]


def mattes(shown: list[Frame]) -> list[Matte]:
    view, alpha = np.zeros((16, 24, 3), np.uint8), np.full((16, 24), 0.25, np.float32)
    return [Matte(frame, view, alpha) for frame in shown]


def write(path: Path, mask: Floats, depth: type = np.uint16) -> Path:
    samples = mask if depth is np.float32 else np.rint(mask * np.iinfo(depth).max).astype(depth)
    assert cv2.imwrite(str(path), samples)
    return path


# ---- files


@pytest.mark.parametrize(
    ("name", "depth", "step"),
    [("m.png", np.uint8, 255), ("m.png", np.uint16, 65535), ("m.tif", np.uint16, 65535)],
)
def test_integers_are_read_at_their_depth(tmp_path: Path, name: str, depth: Any, step: int) -> None:
    mask = read_mask(write(tmp_path / name, RAMP, depth))
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(np.rint(mask * step), np.rint(RAMP * step))
    assert mask.max() == 1


def test_floating_point_is_read_as_it_is_and_kept_in_range(tmp_path: Path) -> None:
    wild = RAMP.copy()
    wild[0, :4] = (np.nan, 7, -3, np.inf)
    mask = read_mask(write(tmp_path / "m.tif", wild, np.float32))
    np.testing.assert_array_equal(mask[1:], RAMP[1:])
    assert mask[0, :4].tolist() == [0, 1, 0, 1]


def test_an_alpha_counts_unless_it_is_opaque_throughout(tmp_path: Path) -> None:
    grey = np.rint(RAMP * 255).astype(np.uint8)
    path = tmp_path / "m.png"
    for alpha, wanted in ((255 - grey, 255 - grey), (np.full_like(grey, 255), grey)):
        cv2.imwrite(str(path), np.dstack([grey, grey, grey, alpha]))
        np.testing.assert_array_equal(np.rint(read_mask(path) * 255), wanted)


def test_colours_count_by_their_brightness(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), np.full((2, 2, 3), (0, 255, 0), np.uint8))
    assert read_mask(path) == pytest.approx(0.7152, abs=1e-4)


def test_openexr_by_its_layers_and_windows(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")

    def written(planes: dict[str, Any], begin: int = 0, end: int = 7) -> Floats:
        path = tmp_path / "m.exr"
        header = {
            "compression": exr.ZIPS_COMPRESSION,
            "type": exr.scanlineimage,
            "displayWindow": (np.zeros(2, np.int32), np.full(2, 7, np.int32)),
            "dataWindow": (np.full(2, begin, np.int32), np.full(2, end, np.int32)),
        }
        exr.File(header, planes).write(str(path))
        return read_mask(path)

    one, half = np.ones((8, 8), np.float32), np.full((8, 8), 0.5, np.float16)
    colours = {"R": one, "G": one, "B": one}
    assert (written({**colours, "A": half}) == 0.5).all()
    assert (written({**colours, "A": one * 0.25, "matte.A": half}) == 0.5).all()
    assert (written({"R": half, "G": half, "B": half, "A": one}) == 0.5).all()
    assert (written({"Y": half}) == 0.5).all()
    inside = written({"Y": half[:4, :4]}, 2, 5)
    assert inside[2:6, 2:6].tolist() == [[0.5] * 4] * 4
    assert inside.sum() == 8
    outside = written({"Y": np.arange(100, dtype=np.float32).reshape(10, 10) / 100}, -1, 8)
    assert outside[0, 0] == pytest.approx(0.11)
    assert outside.shape == (8, 8)
    (tmp_path / "m.exr").write_bytes(b"none")
    with pytest.raises(InputError, match="cannot be read"):
        read_mask(tmp_path / "m.exr")


# ---- in time


def shown_at(masks: Any, shown: list[Frame]) -> list[float | None]:
    found = [masks.at(frame) for frame in shown]
    return [None if mask is None else round(float(mask.mean()), 2) for mask in found]


def numbered(folder: Path, *numbers: int) -> None:
    for number in numbers:
        write(folder / f"mask.{number:04d}.png", np.full((4, 4), number % 100 / 100, np.float32))


@pytest.mark.parametrize("name", ["mask.%04d.png", "mask.####.png", ""])
def test_a_sequence_goes_by_number_and_is_held(tmp_path: Path, name: str) -> None:
    numbered(tmp_path, 1002, 1003, 1005)
    masks = open_masks(str(tmp_path / name))
    assert shown_at(masks, frames(6, 1001)) == [0.02, 0.02, 0.03, 0.03, 0.05, 0.05]
    (note,) = masks.notes
    assert "no mask for frames 1001, 1004, 1006" in note


def test_frames_without_numbers_are_counted(tmp_path: Path) -> None:
    numbered(tmp_path, 11, 12)
    masks = open_masks(str(tmp_path), first=10, hold=False)
    assert shown_at(masks, frames(4)) == [None, 0.11, 0.12, None]


def test_a_folder_must_say_which_is_which(tmp_path: Path) -> None:
    write(tmp_path / "a_0001.png", RAMP)
    (tmp_path / "notes 1.txt").write_text("no picture")
    assert open_masks(str(tmp_path), first=1).at(frames(1)[0]) is not None
    write(tmp_path / "b-1.png", RAMP)
    with pytest.raises(InputError, match=r"both .* are frame 1"):
        open_masks(str(tmp_path))
    (tmp_path / "no").mkdir()
    write(tmp_path / "no" / "mask.png", RAMP)
    with pytest.raises(InputError, match="has a number"):
        open_masks(str(tmp_path / "no"))


def grey_clip(path: Path, levels: list[float], rate: int = 25) -> Path:
    """Write a lossless video of grey pictures."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "gray16le"
        for level in levels:
            samples = np.full((16, 32), round(level * 65535), np.uint16)
            for packet in stream.encode(av.VideoFrame.from_ndarray(samples, "gray16le")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_a_video_goes_by_the_clock_and_its_last_mask_is_held(tmp_path: Path) -> None:
    """At half the footage's rate, beginning with its first frame, and shorter."""
    path = grey_clip(tmp_path / "mask.mkv", [0.1, 0.2, 0.3], 15)
    masks = open_masks(str(path))
    assert shown_at(masks, frames(8)) == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3]
    assert any("shorter than the footage" in note for note in masks.notes)
    masks.close()
    masks = open_masks(str(path))
    shown_at(masks, frames(6))
    assert not masks.notes
    masks.close()
    masks = open_masks(str(path), hold=False)
    assert shown_at(masks, frames(8))[5:] == [0.3, None, None]
    masks.close()


def test_a_video_is_cut_like_the_footage(tmp_path: Path) -> None:
    from fractions import Fraction

    path = grey_clip(tmp_path / "mask.mkv", [0.1, 0.2, 0.3, 0.4], 30)
    masks = open_masks(str(path), Window(Fraction(2, 30)))
    assert shown_at(masks, frames(2)) == [0.3, 0.4]
    masks.close()


def test_a_zone_may_be_a_sequence(tmp_path: Path) -> None:
    for number, value in ((7, 0.0), (8, 1.0)):
        write(tmp_path / f"g.{number}.png", np.full((HEIGHT, WIDTH), value, np.float32))
    garbage = Garbage(Choice(drop=(Zone(path=str(tmp_path / "g.#.png")),)))
    found = [matte.alpha.max() for matte in finished(mattes(frames(3, 7)), garbage)]
    assert found == pytest.approx([0.25, 0, 0], abs=1e-4)
    assert "no mask for frames 9" in garbage.notes[0]


# ---- overriding


@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("rgb", 32)])
def test_the_artists_matte_is_the_matte(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path / "fix.1002.png", RAMP)
    override = Override(str(tmp_path / "fix.%04d.png"))
    shown = mattes(frames(3, 1001))
    edges = EdgeOptions(choke=20, feather=20)
    done = list(override.overridden(finished(shown, Garbage(Choice()), by_hand=edges)))
    np.testing.assert_array_equal(np.rint(done[1].alpha * 65535), np.rint(RAMP * 65535))
    for index in (0, 2):
        np.testing.assert_allclose(done[index].alpha, 0.25, atol=1e-4)
    wanted = composite.Wanted(("matte",))
    passes = list(composite.layers(done, None, Meters(), wanted=wanted))
    np.testing.assert_array_equal(passes[1].picture.planes[0], np.rint(RAMP * 65535))
    assert override.notes == [f"1 frame was overridden by {tmp_path}/fix.%04d.png: 1002"]
    assert composite.full_size(done[1], layout=layout).dtype == layout.dtype


def test_all_that_people_decided(tmp_path: Path) -> None:
    """Edges by hand, then zones, then the artist; and nothing of it again afterwards."""
    write(tmp_path / "fix.1002.png", RAMP)
    source = Synthetic(WIDTH, HEIGHT, 2)
    options = RenderOptions(
        BackgroundSpec("transparent"),
        matte=MatteOptions(drop=(Zone.parse("0,0,0.5,1"),)),
        mask_override=str(tmp_path),
    )
    by_hand = EdgeOptions(gamma=2)
    with Finish(options, source.info) as finish:
        assert finish
        made, edges = finish.done(iter(mattes(frames(2))), composite.Edges(by_hand=by_hand))
        assert not edges.by_hand
        found = [matte.alpha for matte in made]
        assert (found[0][:, : WIDTH // 2] == 0).all()
        np.testing.assert_allclose(found[0][:, WIDTH // 2 :], 0.5, atol=1e-4)
        np.testing.assert_array_equal(np.rint(found[1] * 65535), np.rint(RAMP * 65535))
        assert any("overridden" in note for note in finish.notes)


def test_where_nobody_decided_mattes_pass() -> None:
    options = RenderOptions(BackgroundSpec("transparent"))
    given, wish = iter(mattes(frames(1))), composite.Edges(by_hand=EdgeOptions(gamma=2))
    with Finish(options, Synthetic(WIDTH, HEIGHT, 1).info) as finish:
        assert not finish
        assert finish.done(given, wish) == (given, wish)


def test_untouched_mattes_pass_as_they_are(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    shown = mattes(frames(2))
    override = Override(str(tmp_path))
    assert all(a is b for a, b in zip(override.overridden(shown), shown, strict=True))
    assert "none was overridden" in override.notes[0]


def test_a_matte_of_another_size_is_resized_and_told(tmp_path: Path) -> None:
    write(tmp_path / "fix.0000.png", RAMP[::2, ::2])
    override = Override(str(tmp_path))
    (done,) = override.overridden(mattes(frames(1)))
    assert done.alpha.shape == (HEIGHT, WIDTH)
    assert np.abs(done.alpha - RAMP).mean() < 0.01
    assert any("have another size" in note for note in override.notes)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([], ""), ([3], "3"), ([1, 2, 3, 7, 9, 10], "1-3, 7, 9-10")],
)
def test_ranges(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words
