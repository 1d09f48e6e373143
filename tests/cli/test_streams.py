"""Standard output and standard error: events, silence, and streams that are closed or broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from conftest import QUICK, SHORT, finish, start

from streammatte.pipeline import Progress, Report, Start

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
JOB = ("render", SHORT, *QUICK, "--bg", "red", "-o", "out.mp4")


def names(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}


@pytest.mark.usefixtures("folder")
def test_events(shell: Run) -> None:
    result = shell(*JOB, "--json")
    result.worked()
    assert result.err == ""
    events = [json.loads(line) for line in result.out.splitlines()]
    kinds = [event.pop("event") for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) == {"progress"}
    assert set(events[0]) == names(Start)
    assert events[0]["size"] == [320, 180]
    assert all(set(event) == names(Progress) for event in events[1:-1])
    assert events[-2]["stage"] == "finishing"
    counts = [event["frames"] for event in events[1:-1]]
    assert counts == sorted(counts)
    assert set(events[-1]) == names(Report)
    assert events[-1]["frames"] == 60


def test_an_error_is_an_event(cli: Run, folder: Path) -> None:
    result = cli("render", "gone.mp4", "--bg", "red", "--json")
    result.refused(3, "gone.mp4 does not exist")
    event = json.loads(result.out)
    assert event == {
        "event": "error",
        "exit_code": 3,
        "message": result.err.removeprefix("streammatte: ").rstrip("\n"),
    }
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("folder")
def test_quiet(shell: Run) -> None:
    result = shell(*JOB, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.usefixtures("folder")
def test_no_terminal_no_progress(shell: Run) -> None:
    result = shell(*JOB)
    result.worked()
    assert result.out == ""
    assert result.err.startswith("out.mp4: 60 frames in ")
    assert result.err.isprintable() is False  # line breaks, and nothing else
    assert result.err.replace("\n", "").isprintable()


@posix
def test_reader_of_events_goes_away(folder: Path) -> None:
    job = ("render", "synthetic:320x180@30x600", *QUICK, "--bg", "red", "-o", "out.mp4", "--json")
    process = start(*job, cwd=folder)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    finish(process).refused(7, "whoever read the events of --json is gone")
    assert not list(folder.iterdir())


@posix
@pytest.mark.parametrize("words", [("models", "list"), ("doctor",), ("--help",), ("--version",)])
def test_reader_that_has_seen_enough(words: tuple[str, ...]) -> None:
    """As in ``streammatte doctor | head -1``: not a word."""
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*words, stdout=writing)
    os.close(writing)
    result = finish(process)
    assert result.err == ""
    assert result.code in (0, 7)  # argparse keeps a failure to itself where nothing is buffered


@posix
@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(redirection: str, folder: Path) -> None:
    """Nothing that is printed may end up in the result."""
    command = [sys.executable, "-m", "streammatte", *JOB]
    code = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command], cwd=folder, check=False
    ).returncode
    assert code == 0
    content = (folder / "out.mp4").read_bytes()
    assert content[4:8] == b"ftyp"
    assert b"frames in" not in content
    gone = [sys.executable, "-m", "streammatte", "render", "gone.mp4", "--bg", "red"]
    code = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *gone], cwd=folder, check=False,
        stderr=subprocess.DEVNULL,
    ).returncode  # fmt: skip
    assert code == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_full_disk_behind_the_streams(folder: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        finish(start(*JOB, "--json", cwd=folder, stdout=full)).refused(7, "No space left")
        assert not list(folder.iterdir())
        finish(start("models", stdout=full)).refused(7, "standard output", "No space left")
        assert finish(start(*JOB, cwd=folder, stderr=full)).code == 0
        assert finish(start("render", "gone.mp4", "--bg", "red", stderr=full)).code == 3
