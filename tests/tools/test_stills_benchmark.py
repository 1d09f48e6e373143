"""What measures photographs in bulk measures real work."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TOOLS = str(Path(__file__).parents[2] / "tools")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    pytest.importorskip("psutil")
    sys.path.insert(0, TOOLS)
    module = importlib.import_module("stills_benchmark")
    small = {name: replace(row, size=(320, 240)) for name, row in module.ROWS.items()}
    monkeypatch.setattr(module, "ROWS", small)
    yield module
    sys.path.remove(TOOLS)


@pytest.mark.parametrize("name", ["small", "large"])
def test_both_sides_look_at_every_photograph(name: str, tool: ModuleType, tmp_path: Path) -> None:
    row = tool.ROWS[name]
    photographs = tool.make_photographs(tmp_path, row.size, 8)
    assert len(list(photographs.iterdir())) == 8
    assert tool.make_photographs(tmp_path, row.size, 8) == photographs
    ours, bare = tool.take_ours(row, photographs), tool.take_bare(row, photographs)
    assert ours["count"] == bare["count"] == 8
    assert len(ours["peak_mb"]) == 4
    assert min(ours["cpu_seconds"], bare["cpu_seconds"]) > 0


def test_the_table_has_a_row_for_each_answer(tool: ModuleType) -> None:
    answer = {
        "ours_a_second": 2.0, "bare_a_second": 2.5, "ratio": 0.8, "rest": 0.06,
        "peak_mb": [900.4, 910, 911, 911],
    }  # fmt: skip
    *_, row = tool.table({"small": answer}).splitlines()
    assert row.endswith("| 2.00 | 2.50 | 0.80 | 0.06 | 900, 910, 911, 911 |")


def test_rows_that_there_are_not_are_refused(
    tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tool.parse(["--only", "small,huge"])
    assert "small,large,network" in capsys.readouterr().err
