"""Virtual cameras of a real v4l2loopback 0.12.7, with exclusive_caps (20) and without (21)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STREAMMATTE_SHARED", ROOT.parent / "shared"))
RIG = SHARED / "camera-rig" / "run"

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(not RIG.exists(), reason=f"no {RIG}"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that was seen, in one run of the rig."""
    folder = tmp_path_factory.mktemp("rig")
    output = folder / "found.json"
    command = [ROOT / "tests/rig/run", "-o", folder, "-t", "200", sys.executable, "-u"]
    inside = [ROOT / "tests/rig/inside_vcam.py", output]
    done = subprocess.run([*command, *inside], capture_output=True, text=True, check=False)
    assert output.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(output.read_text())
    return seen


def test_samples_pass_through_byte_for_byte(found: dict[str, Any]) -> None:
    read = found["read"]
    assert read["description"] == "virtual camera /dev/video21, 322x180"
    for turn in range(2):
        size, seen = read[f"read {turn}"]["size"], read[f"read {turn}"]["seen"]
        assert size == [322, 180, 25.0, "yuv420p"]
        assert set(seen) == set(read["known"])
        order = [read["known"].index(one) for one in seen]
        steps = [(after - before) % 3 for before, after in pairwise(order)]
        assert steps.count(1) >= len(steps) - 2  # one CPU for both: some may be missed


def test_the_rate_is_kept(found: dict[str, Any]) -> None:
    for turn in range(2):
        read = found["read"][f"read {turn}"]
        assert len(read["seen"]) / read["seconds"] == pytest.approx(25, rel=0.1)


def test_readers_come_and_go(found: dict[str, Any]) -> None:
    counts = [count for count in found["read"]["readers"] if count is not None]
    assert [count for count, _ in groupby(counts)] == [0, 1, 0, 1, 0]


def test_readers_see_the_colours_that_were_meant(found: dict[str, Any]) -> None:
    asked, seen = found["colours"]["asked"], found["colours"]["seen"]
    off = [abs(a - b) for one, other in zip(asked, seen, strict=True)
           for a, b in zip(one, other, strict=True)]  # fmt: skip
    assert max(off) <= 2, seen


def test_a_reader_that_stays_holds_the_size(found: dict[str, Any]) -> None:
    held = found["held"]
    assert held["other"].startswith("OutputError: /dev/video21 is held at 322x180 (YU12) by a")
    assert "(python" in held["other"]
    assert held["same"] == "opened"
    assert held["still"]
    assert held["after"] == "opened"


@pytest.mark.parametrize(
    ("scene", "what", "words"),
    [
        ("refusals", "missing", "OutputError: there is no /dev/video9; virtual cameras are /dev/v"),
        ("refusals", "camera", "OutputError: /dev/video0 is no virtual camera"),
        ("refusals", "file", "OutputError: /dev/null is no virtual camera"),
        ("another_program", "said", "sending a moving picture to virtual camera /dev/video20"),
        ("another_program", "busy", "OutputError: /dev/video20 is fed by another program (python"),
        ("another_program", "stuck", "OutputError: /dev/video20 is stuck, as v4l2loopback 0.12.7"),
        ("another_program", "stuck", "reload: sudo modprobe -r v4l2loopback && sudo modprobe"),
    ],
)
def test_what_takes_no_pictures_says_why(
    scene: str, what: str, words: str, found: dict[str, Any]
) -> None:
    assert words in found[scene][what]


def test_auto_takes_the_one_that_works(found: dict[str, Any]) -> None:
    assert found["another_program"]["auto"] == "virtual camera /dev/video21, 322x180"
