"""The foreground benchmark: scenes that are what they say, and a small clip through the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 108, 192


@pytest.fixture(scope="module")
def tool() -> Any:
    """``tools/foreground_benchmark.py``, which finds its parts beside it."""
    threads = cv2.getNumThreads()
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import foreground_benchmark

        yield foreground_benchmark
    finally:
        sys.path.remove(str(ROOT / "tools"))
        cv2.setNumThreads(threads)


@pytest.fixture
def quick(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool.known, "SIZES", ((HEIGHT, WIDTH),))
    monkeypatch.setattr(tool, "SEEDS", (0,))
    monkeypatch.setattr(tool, "TRIES", 1)


def clip(tool: Any, folder: Path) -> Path:
    """Write a clip of one frame: a soft, grey disc before stripes."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(rows - 60, columns - 96)
    alpha = np.rint(255 * np.clip((35 - away) / 9 + 0.5, 0, 1)).astype(np.uint8)
    colours = np.full((HEIGHT, WIDTH, 3), (105, 100, 120), np.uint8)
    wall: NDArray[Any] = np.where(columns[..., None] // 20 % 2, (200, 220, 90), (150, 200, 60))
    share = alpha[..., None] / 255
    seen = np.rint(share * colours + (1 - share) * wall).astype(np.uint8)
    tool.clips.write_frame(folder, 0, {"com": seen, "pha": alpha, "fgr": colours})
    return folder


def test_it_tells_and_writes(
    tool: Any, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psutil")
    docs, output = tmp_path / "docs.md", tmp_path / "figures.json"
    docs.write_text(f"before\n{tool.MARKERS[0]}\nold\n{tool.MARKERS[1]}\nafter\n")
    folder = clip(tool, tmp_path / "clips" / "one")
    told = ["--clips", str(folder.parent), "--docs", str(docs), "--output", str(output)]
    assert tool.main(told) == 0
    told_text = capsys.readouterr().out.strip()
    written = docs.read_text()
    assert told_text in written
    assert written.startswith("before\n")
    assert "old" not in written
    records = json.loads(output.read_text())["records"]
    errors = {
        (one["part"], one["method"]): one["error"] for one in records if one["part"] == "clips"
    }
    assert errors["clips", "fine"] < errors["clips", "fast"] < 0.6 * errors["clips", "none"]
    spill = {one["method"]: one for one in records if one["part"] == "spill"}
    assert spill["despill, R'G'B'"]["soft"] < spill["none"]["soft"]
    assert spill["despill, R'G'B'"]["skin"] == pytest.approx(0, abs=1e-3)
    assert spill["green up to (R + B) / 2"]["skin"] > 1


def test_scenes_are_mixed_of_what_they_say(tool: Any) -> None:
    scene = tool.known.made_up((HEIGHT, WIDTH), 0)
    assert scene.error(scene.truth) == 0
    assert 4 < scene.error(scene.seen) < 20
    light = tool.known.in_light(scene, glints=True)
    assert light.seen.max() == tool.known.GLINT_LIGHT
    assert not light.soft[light.ignored].any()
    spilt = tool.known.spilt_only(scene)
    assert (spilt.seen[..., 1] >= scene.truth[..., 1] - 0.01).all()
    assert (spilt.seen - scene.truth)[..., 1].mean() > (spilt.seen - scene.truth)[..., 0].mean()


def test_markers_must_be_there(tool: Any, quick: None, tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    docs = tmp_path / "docs.md"
    docs.write_text("nothing")
    folder = clip(tool, tmp_path / "clips" / "one")
    assert tool.main(["--clips", str(folder.parent), "--docs", str(docs)]) == 2
