"""On a real GPU, by every way that is installed; skipped where there is none.

    pytest -m gpu tests/gpu

What is measured, and at full size, is the work of ``tools/gpu_acceptance.py``.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.errors import DependencyError
from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import gpu_acceptance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not hardware.nvidia().gpus, reason="needs an NVIDIA GPU"),
]
NAME, WEIGHTS, SIDE = "birefnet-lite", "random", 256
IN_FLIGHT = ("tensorrt", "tensorrt-rtx", "torch")


def opened(way: str) -> Any:
    """Return a runtime, or skip the test where it cannot be had."""
    pytest.importorskip("streammatte.models.birefnet.export", reason="needs the extra export")
    try:
        return gpu_acceptance.make_ready(way, NAME, SIDE, WEIGHTS)[0]
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=gpu_acceptance.WAYS)
def any_runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    runtime = opened(request.param)
    yield runtime
    runtime.close()


def check(facts: dict[str, Any]) -> None:
    assert facts["right"], facts


def test_mattes_are_those_of_onnx_runtime_on_the_cpu(any_runtime: Any) -> None:
    shown = gpu_acceptance.pictures(SIDE, 4)
    mattes = [any_runtime.infer(picture) for picture in shown]
    truth = gpu_acceptance.reference(NAME, SIDE, WEIGHTS, None)
    check(gpu_acceptance.parity(mattes, truth, NAME, SIDE))


def test_500_frames_are_right_and_memory_stays_flat(any_runtime: Any) -> None:
    check(gpu_acceptance.speed(any_runtime, SIDE, 500))


@pytest.mark.parametrize("way", IN_FLIGHT)
def test_graphs_change_nothing(way: str) -> None:
    runtime = opened(way)
    try:
        told = Namespace(weights=WEIGHTS, frames=100)
        check(gpu_acceptance.without_graphs(runtime, way, NAME, SIDE, told))
        times = gpu_acceptance.gpu_times(runtime)
        assert times["compute_ms"]["p50"] > times["copy_out_ms"]["p50"] > 0
    finally:
        runtime.close()


@pytest.mark.parametrize("way", IN_FLIGHT)
def test_opening_and_closing_leaves_nothing(way: str) -> None:
    opened(way).close()
    check(gpu_acceptance.reopened(way, NAME, SIDE, WEIGHTS))


def test_streams_keep_frames_apart() -> None:
    try:
        check(gpu_acceptance.streams())
    except DependencyError as error:
        pytest.skip(str(error))


def test_memory_that_runs_out_is_told_and_does_no_harm() -> None:
    check(gpu_acceptance.memory_runs_out())
