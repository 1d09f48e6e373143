"""``streammatte live`` as a command: what is refused, what is told, and how it ends."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from conftest import EXAMPLES, finish, start

from streammatte.cli.live_told import beat_line, closing_report
from streammatte.live.events import Beat, LiveReport

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

CAMERA = ("--camera", "synthetic:96x64@30x30")
REHEARSAL = (*CAMERA, "--vcam", "null", "--bg", "red")


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--bg", "transparent"], 2, "no transparency"),
        (["--bg", "gone.png"], 3, "gone.png"),
        (["--bg", "gren"], 2, "did you mean green"),
        (["--fps", "fast"], 2, "--fps: 'fast' is not a rate"),
        (["--fps", "1000"], 2, "--fps must be 1 to 240"),
        (["--frames", "0"], 2, "--frames must be at least 1"),
        (["-t", "-1"], 2, "-t must be above 0"),
        (["--softness", "2"], 2, "softness must be 0 to 1"),
        (["--model", "nobody"], 5, "nobody"),
        (["--size", "10"], 2, "--size for selfie must be 192 to 512"),
        (["--slate", "gone.png"], 3, "gone.png"),
        (["--scenes", "gone.toml"], 3, "gone.toml"),
        (["--backgrounds", "gone"], 2, "gone is no folder"),
        (["--vcam", "somewhere"], 2, "is no output"),
        (["--vcam", "gone/talk.mp4"], 7, "gone"),
        (["--control", "somewhere"], 2, "somewhere"),
        (["--align", "best"], 2, "--align"),
        (["--record", "null"], 2, "--record: null must be a file that ends in .mp4"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], code: int, message: str, cli: Run, folder: Path
) -> None:
    cli("live", *REHEARSAL[:2], "--vcam", "null", *words).refused(code, message)
    assert [path.name for path in folder.iterdir()] in ([], ["home"])


def test_a_camera_that_is_not_there_is_said(cli: Run) -> None:
    cli("live", "--camera", "gone.mp4", "--vcam", "null").refused(3, "gone.mp4")
    cli("live", "--camera", "synthetic:0x0", "--vcam", "null").refused(2, "synthetic")


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_programs_are_told_all(cli: Run) -> None:
    told = events(cli("live", *REHEARSAL, "--frames", "45", "--json").out)
    assert told[0]["event"] == "started"
    assert told[0]["size"] == [96, 64]
    assert told[0]["fps"] == 30
    assert next(one["state"] for one in told if one["event"] == "entered") == "starting"
    assert any(one["event"] == "beat" for one in told)
    done = told[-1]
    assert done["event"] == "done"
    assert done["frames"] == 45
    assert done["model"] == "selfie"
    assert done["digest" if "digest" in done else "runtime"]


def test_people_are_told_in_words(cli: Run) -> None:
    result = cli("live", *REHEARSAL, "--frames", "20")
    result.worked()
    for words in ("camera ", "output    nowhere", "picture   96x64 at 30 fps, matched"):
        assert words in result.err
    assert "20 pictures in" in result.err
    assert cli("live", *REHEARSAL, "--frames", "5", "-q").err == ""


def test_it_is_recorded(cli: Run, folder: Path) -> None:
    cli("live", *REHEARSAL, "--frames", "20", "--record", "talk.mp4").worked()
    assert (folder / "talk.mp4").stat().st_size > 500
    cli("live", *REHEARSAL, "--frames", "20", "--record", "talk.mp4").refused(7, "exists")
    cli("live", *REHEARSAL, "--frames", "20", "--record", "talk.mp4", "-y").worked()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_to_and_says_how_it_was(number: signal.Signals, folder: Path) -> None:
    beach = EXAMPLES / "beach.jpg"
    words = ("--vcam", "null", "--bg", beach, "--record", folder / "talk.mp4", "--json")
    process = start("live", *CAMERA, *words, cwd=folder)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "beat":
            break
    process.send_signal(number)
    result = finish(process)
    assert result.code == 0
    assert events(result.out)[-1]["event"] == "done"
    assert (folder / "talk.mp4").exists()
    assert not list(folder.glob("*.part"))


def test_the_line_that_moves() -> None:
    beat = Beat("live", 29.97, 15.0, 83.4, 2, 1, 0.42, 1)
    assert beat_line(beat) == (
        "live  30.0 fps  83 ms late  network 15.0 fps  2 dropped  1 repeated  CPU 42%  level 1"
    )
    assert "late" not in beat_line(Beat("starting", 0.0, 0.0, None, 0, 0, 0.0, 0))


def test_the_closing_report() -> None:
    report = LiveReport(
        "C920", ["/dev/video20"], 60.0, 1800, 30.0, 1790, 10, 0, 3, 900, 890,
        {"p50": 83.0, "p99": 120.0}, "selfie", "ONNX Runtime", "cpu", "matched",
        [[0.0, "starting", "waiting"], [0.4, "live", ""]], [[7.0, "level 1: x"]], {}, ["a note"],
    )  # fmt: skip
    text = "\n".join(closing_report(report))
    for words in (
        "1800 pictures in 60.0 s, 30.0 fps",
        "83 ms, 99 % within 120 ms",
        "0.0 s: starting: waiting",
        "0.4 s: live",
        "7.0 s: level 1: x",
        "a note",
    ):
        assert words in text
