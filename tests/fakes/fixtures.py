"""Fixtures that put the fakes in place; a ``conftest.py`` imports those that its tests need."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fakes.fake_cuda import FakeCuda
from fakes.fake_tensorrt import make
from streammatte.engines.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLICIES = (("latest", 0), ("eager", 0), *(("random", seed) for seed in range(12)))
"""Ways to let things happen, and seeds; for ``pytest.mark.parametrize``."""


@pytest.fixture
def plug_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeCuda]]:
    """Return a function that makes a ``FakeCuda`` of its arguments be the GPU that we see.

    After the test nothing may be taken any more, and nothing may have been done that must not be
    done, unless it is plugged in with ``checked=False``.
    """
    made: list[FakeCuda] = []

    def plug(*arguments: Any, checked: bool = True, **changes: Any) -> FakeCuda:
        gpu = FakeCuda(*arguments, **changes)
        monkeypatch.setattr("streammatte.runtimes.cuda.api", lambda: gpu)
        if checked:
            made.append(gpu)
        return gpu

    yield plug
    if any(gpu.taken() for gpu in made):
        gc.collect()
    for gpu in made:
        gpu.assert_clean()
        gpu.assert_all_returned()


@pytest.fixture
def gpu(plug_gpu: Callable[..., FakeCuda]) -> FakeCuda:
    """Plug a GPU in that does nothing before somebody waits for it."""
    return plug_gpu("latest")


@pytest.fixture
def plug_tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a function that makes ``fake_tensorrt.make`` of its arguments be what is imported.

    It takes the place of the module of that kind, and returns it.
    """

    def forget() -> None:
        for kind in KINDS.values():
            for name in ("api", "log"):
                vars(kind).pop(name, None)

    def plug(kind: str = "tensorrt", *arguments: Any, **changes: Any) -> Any:
        forget()
        module = make(kind, *arguments, **changes)
        monkeypatch.setitem(sys.modules, kind, module)
        return module

    yield plug
    forget()
