"""What all tests may use: clips made once a session, and the shared footage where it lies."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]

# A shell that runs the suite in the background has it ignore Ctrl-C, and so would all it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a clip (``clips.write``), each different one only once."""
    import clips

    made: dict[str, Path] = {}

    def make(name: str, **changes: Any) -> Path:
        key = f"{name} {sorted(changes.items())}"
        if key not in made:
            made[key] = clips.write(tmp_path_factory.mktemp("clip") / name, **changes)
        return made[key]

    return make


@pytest.fixture(scope="session")
def footage() -> Callable[[str], Path]:
    """Return a function that finds real footage by its name, or skips the test."""
    shared = Path(os.environ.get("STREAMMATTE_SHARED", ROOT.parent / "shared"))

    def find(name: str) -> Path:
        path = shared / "footage" / name
        if not path.exists():
            pytest.skip(f"no {path}: set STREAMMATTE_SHARED to the folder that holds footage/")
        return path

    return find
