"""The VFX benchmark: its table, and one short turn of both sides of a row, made small."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TOOLS = str(Path(__file__).parents[2] / "tools")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    pytest.importorskip("psutil")
    sys.path.insert(0, TOOLS)
    yield importlib.import_module("vfx_benchmark")
    sys.path.remove(TOOLS)


@pytest.fixture
def small(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(tool, "SIZES", dict.fromkeys(tool.SIZES, (192, 108)))
    return tool


def test_table_has_a_row_for_each_answer(tool: ModuleType) -> None:
    answer = {
        "ours_fps": 1.234, "other_fps": 2.0, "frame_rate_ratio": 0.617, "cpu_ratio": 0.9,
        "encoder": "prores_ks",
    }  # fmt: skip
    *_, row = tool.table({"over": answer}).splitlines()
    assert row.endswith("| 1.23 fps | 2.00 fps | 0.62 | 0.90 | prores_ks |")


def test_rows_that_there_are_not_are_refused(
    tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tool.parse(["--only", "over,under"])
    assert "over,cutout,exr" in capsys.readouterr().err


@needs_ffmpeg
@pytest.mark.parametrize("row", ["over", "cutout"])
def test_both_sides_make_the_same(row: str, small: ModuleType, tmp_path: Path) -> None:
    media = small.make_media(tmp_path / "cache", row, 4)
    one, two = tmp_path / "ours", tmp_path / "ffmpeg"
    one.mkdir()
    two.mkdir()
    taken = small.take_turn(row, media, 4, one)
    assert taken["frames"] == 4
    encoder = small.encoder_of(row, media, small.output(row, one))
    assert encoder.startswith("prores")
    sample = small.sample_ffmpeg(row, media, 4, two, encoder)
    assert sample.frames == 4
    assert sample.cpu_seconds > 0
    same = small.benchmark.likeness(small.output(row, one), small.output(row, two))
    if row == "over":
        assert same["psnr_least"] > 45


@needs_ffmpeg
def test_ffmpegs_open_exr_has_the_matte_it_was_given(small: ModuleType, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    media = small.make_media(tmp_path / "cache", "exr", 3)
    small.sample_ffmpeg("exr", media, 3, tmp_path, "exr")
    names = sorted(path.name for path in tmp_path.glob("*.exr"))
    assert names == [
        f"shot_{what}.{n}.exr" for what in ("comp", "matte") for n in range(1001, 1004)
    ]
    (channel,) = exr.File(str(tmp_path / "shot_matte.1003.exr")).channels().values()
    matte = cv2.imread(str(media.matte), cv2.IMREAD_UNCHANGED) / 65535
    assert float(np.abs(channel.pixels - matte).max()) < 1 / 1000


@needs_ffmpeg
def test_ours_makes_the_open_exr_that_ffmpeg_makes(small: ModuleType, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    media = small.make_media(tmp_path / "cache", "exr", 4)
    one, two = tmp_path / "ours", tmp_path / "ffmpeg"
    one.mkdir()
    two.mkdir()
    assert small.take_turn("exr", media, 4, one)["frames"] == 4
    small.sample_ffmpeg("exr", media, 4, two, "exr")

    def green(folder: Path) -> np.ndarray:
        channels = exr.File(str(folder / "shot_comp.1003.exr"), separate_channels=True).channels()
        return np.asarray(channels["G"].pixels, np.float32)

    apart = np.abs(green(one) - green(two))
    assert np.median(apart) < 0.002  # but for edges, which are cleaned of the old background
    assert apart.mean() < 0.02
