"""Ctrl-C, SIGTERM and kill -9 at any moment: nothing unfinished under the final name, no noise."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import av
import pytest
from conftest import QUICK, SHORT, Result, finish, start

from streammatte import cli as commands
from streammatte import pipeline
from streammatte.sinks import base

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LONG = "synthetic:320x180@30x3000"


def interrupted(result: Result, number: signal.Signals) -> None:
    by = "interrupted;" if number is signal.SIGINT else f"interrupted by {number.name};"
    result.refused(130, by, "nothing unfinished was left behind")


def job(folder: Path, footage: str = LONG) -> subprocess.Popen[str]:
    words = ("render", footage, *QUICK, "--bg", "red", "-o", "out.mp4", "--json")
    return start(*words, cwd=folder)


def wait_for(process: subprocess.Popen[str], event: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        news = json.loads(line)
        if event in (news["event"], news.get("stage")):
            return
    pytest.fail(f"ended before {event}: {finish(process)}")


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "start"),
        (signal.SIGINT, "rendering"),
        (signal.SIGTERM, "progress"),
        (signal.SIGHUP, "progress"),
    ],
)
def test_while_it_works(number: signal.Signals, moment: str, folder: Path) -> None:
    process = job(folder)
    wait_for(process, moment)
    process.send_signal(number)
    result = finish(process)
    interrupted(result, number)
    assert json.loads(result.out.splitlines()[-1])["exit_code"] == 130
    assert not list(folder.iterdir())


@pytest.mark.parametrize("number", SIGNALS[:2])
def test_while_it_finishes(number: signal.Signals, folder: Path) -> None:
    """It may be too late, and then the result is whole."""
    process = job(folder, "synthetic:320x180@30x100")
    wait_for(process, "finishing")
    process.send_signal(number)
    result = finish(process)
    names = [path.name for path in folder.iterdir()]
    if names:
        assert names == ["out.mp4"]
        assert count_frames(folder / "out.mp4") == 100
    else:
        interrupted(result, number)


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_an_impatient_user_changes_nothing(folder: Path) -> None:
    process = job(folder)
    wait_for(process, "progress")
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    interrupted(finish(process), signal.SIGINT)
    assert not list(folder.iterdir())


SLOW = """
import atexit, pathlib, sys, threading
from streammatte.cli import main
from streammatte.runtimes.stub import Stub
from streammatte.sinks.video_file import VideoFileSink

atexit.register(print, "Python ends in peace")
seen, inside, infer = [], threading.Event(), Stub.infer

def slow(self, images):
    # The second frame takes long, and nothing interrupts a thread that waits like this.
    seen.append(images)
    if len(seen) == 2:
        inside.set()
        pathlib.Path({marker!r}).touch()
        threading.Event().wait({seconds})
    return infer(self, images)

def full(self, frame):
    inside.wait()
    raise OSError("the disk is full")

Stub.infer = slow
if {full}:
    VideoFileSink.write = full
sys.exit(main())
"""


def marker(folder: Path) -> Path:
    """A file beside the folder, there once the network is inside the long call."""
    return folder.with_name(f"{folder.name}.inside")


def slow_job(folder: Path, seconds: float, *words: str, full: bool = False) -> Any:
    """Start a render whose network is inside a call for so long."""
    code = SLOW.format(seconds=seconds, full=full, marker=str(marker(folder)))
    # Steadied by the frames after it, too, no frame would be written while the network is inside.
    options = (*QUICK, "--bg", "red", "-o", "out.mp4", "--temporal", "live", *words)
    return subprocess.Popen(
        [sys.executable, "-c", code, "render", LONG, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip


def wait_until_it_is_inside(folder: Path) -> None:
    due = time.monotonic() + 60
    while not marker(folder).exists():
        assert time.monotonic() < due
        time.sleep(0.02)


WAITING = "finishing the current frame; press Ctrl-C again to stop at once"


def test_the_current_frame_is_waited_for(folder: Path) -> None:
    process = slow_job(folder, 5)
    wait_until_it_is_inside(folder)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    told, end = result.err.splitlines()
    assert told == WAITING
    assert result.out == "Python ends in peace\n"
    assert end == "streammatte: interrupted; nothing unfinished was left behind"
    assert result.code == 130
    assert not list(folder.iterdir())


def test_twice_ends_it_at_once(folder: Path) -> None:
    process = slow_job(folder, 45, "--json")
    wait_until_it_is_inside(folder)
    process.send_signal(signal.SIGINT)
    wait_for(process, "stopping")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.code, result.err) == (130, "")
    assert not (folder / "out.mp4").exists()


def test_the_waiting_after_a_fault_can_be_ended(folder: Path) -> None:
    """Then it is the first signal, and what is unfinished is still cleared away.

    Python itself does not end in peace then: it would tear the thread out of its call.
    """
    process = slow_job(folder, 45, full=True)
    assert process.stderr.readline() == f"{WAITING}\n"
    process.send_signal(signal.SIGINT)
    result = finish(process)
    interrupted(result, signal.SIGINT)
    assert result.out == ""
    assert not list(folder.iterdir())


def test_what_the_caller_ignores_stays_ignored(folder: Path) -> None:
    """As under ``nohup``."""
    words = ("render", "synthetic:320x180@30x100", *QUICK, "--bg", "red", "-o", "out.mp4", "--json")
    process = start(
        *words, cwd=folder, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    wait_for(process, "start")
    process.send_signal(signal.SIGHUP)
    finish(process).worked()
    assert count_frames(folder / "out.mp4") == 100


def test_an_old_result_survives(folder: Path) -> None:
    (folder / "out.mp4").write_text("old", encoding="utf-8")
    words = ("render", LONG, *QUICK, "--bg", "red", "-o", "out.mp4", "-y", "--json")
    process = start(*words, cwd=folder)
    wait_for(process, "progress")
    process.send_signal(signal.SIGINT)
    interrupted(finish(process), signal.SIGINT)
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert (folder / "out.mp4").read_text() == "old"


def test_kill_at_random_moments(folder: Path) -> None:
    """Nothing can be cleaned up; the next run takes over what is left."""
    dice = random.Random(0)
    for _ in range(4):
        process = job(folder)
        wait_for(process, dice.choice(["start", "progress", "rendering"]))
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        assert finish(process).code == -signal.SIGKILL
        assert [path.name for path in folder.iterdir()] == ["out.mp4.part"]
    finish(job(folder, "synthetic:320x180@30x20")).worked()
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert count_frames(folder / "out.mp4") == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "place",
    ["open_source", "open_engine", "open_sink", "open_background", "_start", "_write", "_report"],
)
def test_at_every_step(
    place: str,
    number: signal.Signals,
    render: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signal comes right after the step."""
    step = getattr(pipeline, place)

    def struck(*args: object, **kwargs: object) -> object:
        result = step(*args, **kwargs)
        signal.raise_signal(number)
        return result

    monkeypatch.setattr(pipeline, place, struck)
    result = render(SHORT, "--bg", "red", "-o", "out.mp4")
    interrupted(result, number)
    left = ["out.mp4"] if place == "_report" else []
    assert [path.name for path in folder.iterdir()] == left
    assert not [t for t in threading.enumerate() if t.name.startswith("streammatte")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_around_the_renaming(
    when: str, render: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = base.PartFile.commit

    def struck(self: base.PartFile) -> None:
        if when == "before":
            signal.raise_signal(signal.SIGINT)
        commit(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(base.PartFile, "commit", struck)
    interrupted(render(SHORT, "--bg", "red", "-o", "out.mp4"), signal.SIGINT)
    names = [path.name for path in folder.iterdir()]
    assert names == ([] if when == "before" else ["out.mp4"])
    assert all(count_frames(folder / name) == 60 for name in names)


def test_a_library_that_turns_it_into_something_else(
    render: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loading(*_: object) -> object:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("numpy.core.multiarray failed to import") from error

    monkeypatch.setattr(pipeline, "open_engine", loading)
    interrupted(render(SHORT, "--bg", "red", "-o", "out.mp4"), signal.SIGTERM)
    assert not list(folder.iterdir())


def test_while_another_error_is_told(render: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def telling(_: str) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(commands.console, "say", telling)
    assert render("gone.mp4", "--bg", "red").code == 130


def test_handlers_are_put_back(render: Run, unchanged: Callable[[], None]) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    unchanged()
    render("gone.mp4", "--bg", "red").refused(3)
    unchanged()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_off_the_main_thread(folder: Path) -> None:
    """Python allows handlers on the main thread only; elsewhere the command works without."""
    codes: list[int] = []
    words = ["render", "synthetic:64x64@30x3", *QUICK, "--bg", "red", "-o", "out.mp4", "-q"]
    thread = threading.Thread(target=lambda: codes.append(commands.main(words)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert (folder / "out.mp4").exists()
