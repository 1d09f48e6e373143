"""Cameras as a kernel has them: opened, refused, starved, unplugged. See ``inside_camera.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MACHINE = ROOT.parent / "shared" / "camera-rig" / "run"
USUAL = 0.5
"""Seconds that a step may take beyond what it waits for, on a busy machine."""

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(not MACHINE.exists(), reason=f"there is no {MACHINE}"),
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rig")
    done = subprocess.run(
        [HERE / "run", "-o", folder, "-t", "150",
         sys.executable, HERE / "inside_camera.py", folder / "seen.json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    failed = {scene: told for scene, told in found.items() if isinstance(told, str)}
    assert not failed
    return found


def test_cameras_are_told_from_what_else_is_there(seen: dict[str, Any]) -> None:
    found = seen["what_there_is"]
    assert found["cameras"][0] == ["/dev/video0", "vivid"]
    assert [path for path, _ in found["virtual"]] == ["/dev/video20", "/dev/video21"]
    assert {path for path, _ in found["cameras"]} <= {"/dev/video0", "/dev/video21"}
    assert {"YUYV", "NV12", "YU12", "RGB3"} <= set(found["formats"])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "there is no /dev/video9; there are: /dev/video0 (vivid)"),
        ("no camera", "/dev/null is no camera"),
        ("output", "another part of a camera"),
        ("unfed, exclusive", "that nobody feeds; start the program that does"),
        ("unfed", "that nobody feeds; start the program that does"),
        ("name", "'C920' is neither a camera nor a file; there are: /dev/video0"),
        ("format", "does not know that mode; 'streammatte devices' lists"),
    ],
)
def test_what_cannot_be_opened_is_said(seen: dict[str, Any], what: str, words: str) -> None:
    kind, said = seen["refused"][what]
    assert kind == "InputError"
    assert words in said


def test_a_busy_camera_is_said_to_be(seen: dict[str, Any]) -> None:
    kind, said = seen["busy"]
    assert kind == "InputError"
    assert "/dev/video0 (vivid) is in use by " in said


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("auto", "vivid at /dev/video0, 640x360 at 30 fps, yuyv422"),
        ("name", "vivid at /dev/video0, 640x480 at 15 fps, nv12"),
        ("too quick", "1920x1080 at 5 fps, yuyv422 (1920x1080@60:yuyv422 was asked for)"),
        ("odd", "320x180 at 30 fps, yuyv422 (123x77 was asked for)"),
    ],
)
def test_what_is_really_given_is_said(seen: dict[str, Any], what: str, words: str) -> None:
    kind, said = seen["given"][what]
    assert kind == ""
    assert words in said


def test_colours_are_those_of_the_webcam(seen: dict[str, Any]) -> None:
    """In all formats, and where it gives BT.709 or full range."""
    assert len(seen["colours"]) == 8
    assert max(seen["colours"].values()) <= 2, seen["colours"]


def test_jpegs_are_in_full_range(seen: dict[str, Any]) -> None:
    assert "mjpeg" in seen["jpeg"]["description"]
    assert max(seen["jpeg"]["off"]) <= 2


def test_no_picture_is_stale(seen: dict[str, Any]) -> None:
    found = seen["ages"]
    assert found["worst"] < 0.1
    assert found["after"] < 0.1
    assert found["dropped"] > 30


def test_damaged_pictures_do_no_harm(seen: dict[str, Any]) -> None:
    assert seen["damaged"] == ["running"]


def test_a_camera_that_is_unplugged_is_found_again(seen: dict[str, Any]) -> None:
    found = seen["unplugged"]
    assert found["lost"] < 1
    assert "it was lost" in found["reason"]
    assert found["still"] == "lost"
    assert found["back"] < 0.5 + 2 * USUAL
    assert found["newer"]
    assert found["reason after"] == ""
    assert found["sizes"] == [640, 640]


def test_a_starved_camera_is_noticed_and_found_again(seen: dict[str, Any]) -> None:
    found = seen["stalled"]
    assert found["noticed"] < 1
    assert "no picture for" in found["reason"]
    assert found["again"] < USUAL
    assert found["lost"] < 3 + USUAL
    assert found["back"] < 0.5 + 2 * USUAL


def test_one_that_comes_back_smaller_is_made_as_large_as_it_was(seen: dict[str, Any]) -> None:
    assert seen["stalled"]["size"] == [640, 480]
    assert "320x240" in seen["stalled"]["description"]


def test_closing_never_waits(seen: dict[str, Any]) -> None:
    assert seen["stalled"]["closed"] < 1
    assert seen["closed_while_unplugged"] < 1


def test_nothing_is_left_behind(seen: dict[str, Any]) -> None:
    before, after = seen["held"]
    assert after == before
