"""Locks: between threads and processes, let go of by the dead, and with a way out."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import filelock
import pytest

from streammatte.errors import OutputError
from streammatte.locks import WAITING, exclusive, if_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from streammatte.locks import exclusive
with exclusive(Path(sys.argv[1]), lambda words: print(words, flush=True)):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that takes the lock and keeps it for long."""
    command = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_whoever_is_alone_is_told_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):  # the file that is left behind means nothing
        with exclusive(tmp_path / "lock", told.append):
            pass
    assert not told


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0
    told: list[str] = []

    def work() -> None:
        nonlocal inside, most
        with exclusive(tmp_path / "lock", told.append):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert told == [WAITING] * len(told) != []


def test_it_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path / "lock"):
        raise KeyError
    with if_free(tmp_path / "lock") as free:
        assert free


def test_the_dead_hold_nothing(tmp_path: Path) -> None:
    with another(tmp_path / "lock") as process:
        assert said(process) == "held"
        with if_free(tmp_path / "lock") as free:
            assert not free
        process.kill()
        with exclusive(tmp_path / "lock"):
            assert process.wait(10) != 0
    with if_free(tmp_path / "lock") as free:
        assert free


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
def test_waiting_ends_with_ctrl_c(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"), another(tmp_path / "lock") as process:
        assert said(process) == WAITING
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
        assert error.strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    "error", [OSError(errno.EROFS, "Read-only"), PermissionError(13, "Denied")]
)
def test_a_folder_that_cannot_be_written(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    words = f"cannot be locked: {error.strerror}; set STREAMMATTE_HOME"
    with pytest.raises(OutputError, match=words), exclusive(tmp_path / "lock"):
        pass
    with pytest.raises(OutputError, match=words), if_free(tmp_path / "lock"):
        pass


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), exclusive(tmp_path / "file" / "lock"):
        pass
