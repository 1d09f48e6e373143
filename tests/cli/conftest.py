"""Two ways to run a command: in this process, and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from streammatte.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = ("--runtime", "stub")
SHORT = "synthetic:320x180@30x60"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """Check that it ended with ``code`` and one helpful line that has all ``words``."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("streammatte: ")
        assert "internal error" not in self.err
        assert "Traceback" not in self.err
        missing = [word for word in words if word not in self.err]
        assert not missing, self.err
        assert self.code == code, self.err

    def worked(self) -> None:
        """Check that it ended well."""
        assert self.code == 0, self.err


class Run(Protocol):
    def __call__(self, *words: str | Path, **settings: Any) -> Result: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the working directory of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def astronaut() -> Path:
    return EXAMPLES / "astronaut.mp4"


@pytest.fixture
def beach() -> Path:
    return EXAMPLES / "beach.jpg"


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; what libraries print is caught as well."""

    def run(*words: str | Path) -> Result:
        capfd.readouterr()
        code = main([str(word) for word in words])
        caught = capfd.readouterr()
        return Result(code, caught.out, caught.err)

    return run


@pytest.fixture
def render(cli: Run) -> Run:
    """Run ``streammatte render`` in this process, with the stub instead of a network."""

    def run(*words: str | Path) -> Result:
        return cli("render", *QUICK, *words)

    return run


def start(*words: str | Path, **settings: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    settings["env"] = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", **settings.get("env", {})}
    command = [*settings.pop("before", []), sys.executable, "-m", "streammatte", *map(str, words)]
    return subprocess.Popen(command, **{**pipes, **settings})


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for its end, which is due soon."""
    with process:
        out, err = process.communicate(timeout=60)
    return Result(process.returncode, out or "", err or "")


@pytest.fixture
def shell() -> Run:
    """Run a command as a process of its own."""

    def run(*words: str | Path, **settings: Any) -> Result:
        return finish(start(*words, **settings))

    return run


@pytest.fixture
def unchanged(folder: Path) -> Callable[[], None]:
    """Return a check that the folder holds what it held when the check was made, and no more."""

    def listing() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_ino, path.stat().st_size) for path in folder.rglob("*")}

    before: dict[str, tuple[int, int]] | None = None

    def check() -> None:
        nonlocal before
        if before is None:
            before = listing()
        else:
            assert listing() == before

    return check
