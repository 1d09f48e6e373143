"""Virtual cameras of a real v4l2loopback 0.12.7, with exclusive_caps (20) and without (21)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    assert found["description"] == "virtual camera /dev/video21, 320x180"
    assert found["read 0"] == [[320, 180], 100, 90, 170]


def test_readers_come_and_go(found: dict[str, Any]) -> None:
    assert found["read 1"] == [[320, 180], 150, 90, 170]
    assert found["readers 0"] == [0, 1]
    assert found["readers 1"][-1] == 1  # what was known of the first one is a second old at most


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "OutputError: there is no /dev/video9; virtual cameras are /dev/video20"),
        ("camera", "OutputError: /dev/video0 is no virtual camera"),
        ("file", "OutputError: /dev/null is no virtual camera"),
        ("busy", "OutputError: /dev/video20 is fed by another program"),
        ("stuck", "OutputError: /dev/video20 is stuck, as v4l2loopback 0.12.7 gets; reload it"),
    ],
)
def test_what_takes_no_pictures_says_why(what: str, words: str, found: dict[str, Any]) -> None:
    assert words in found[what]


def test_auto_takes_the_one_that_works(found: dict[str, Any]) -> None:
    assert found["auto"] == "virtual camera /dev/video21, 320x180"
