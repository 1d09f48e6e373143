"""The virtual GPU finds what it is there to find; a test that passes with it says something."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.fake_cuda import FakeCuda, cudaMemcpyKind, cudaStreamCaptureMode

if TYPE_CHECKING:
    from collections.abc import Callable

UP, DOWN = cudaMemcpyKind.cudaMemcpyHostToDevice, cudaMemcpyKind.cudaMemcpyDeviceToHost
THREAD_LOCAL = cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal


class Bench:
    """A GPU with two streams, an event and memory on both sides."""

    def __init__(self, policy: str = "latest") -> None:
        self.gpu = gpu = FakeCuda(policy)
        self.one, self.two = (gpu.cudaStreamCreateWithFlags(1)[1] for _ in range(2))
        self.event = gpu.cudaEventCreateWithFlags(2)[1]
        self.device = gpu.cudaMalloc(16)[1]
        self.pinned, self.back = (gpu.cudaHostAlloc(16, 1)[1] for _ in range(2))

    @property
    def array(self) -> Any:
        return self.gpu.memory.span(self.pinned, 16).bytes

    def up(self, stream: Any) -> None:
        self.gpu.cudaMemcpyAsync(self.device, self.pinned, 16, UP, stream)

    def read(self) -> Any:
        return self.gpu.memory.span(self.back, 16).bytes

    def down(self, stream: Any, to: int = 0) -> None:
        self.gpu.cudaMemcpyAsync(to or self.pinned, self.device, 16, DOWN, stream)

    def order(self, first: Any, second: Any) -> None:
        self.gpu.cudaEventRecord(self.event, first)
        self.gpu.cudaStreamWaitEvent(second, self.event, 0)


def test_what_is_in_order_is_no_violation() -> None:
    bench = Bench()
    bench.array[:] = 7
    bench.up(bench.one)
    bench.order(bench.one, bench.two)
    bench.down(bench.two, bench.back)
    assert bench.gpu.done == 0  # nobody waited for anything yet
    assert bench.read()[0] == 255
    bench.gpu.cudaStreamSynchronize(bench.two)
    assert np.all(bench.read() == 7)
    bench.gpu.assert_clean()


@pytest.mark.parametrize("policy", ["latest", "eager", "random"])
def test_a_missing_wait_is_found_however_it_went(policy: str) -> None:
    bench = Bench(policy)
    bench.up(bench.one)
    bench.down(bench.two)
    assert any("may be under way" in one for one in bench.gpu.violations)


def test_an_event_stands_for_its_last_record_when_it_is_waited_for() -> None:
    bench = Bench()
    bench.gpu.cudaStreamWaitEvent(bench.two, bench.event, 0)  # never recorded: nothing to wait for
    bench.order(bench.one, bench.two)
    bench.up(bench.one)  # after the record
    bench.gpu.cudaStreamSynchronize(bench.two)
    assert bench.gpu.done == 0
    bench.gpu.cudaEventRecord(bench.event, bench.one)  # again
    bench.gpu.cudaEventSynchronize(bench.event)
    assert bench.gpu.done == 1
    bench.gpu.assert_clean()


def overwritten(bench: Bench) -> None:
    bench.up(bench.one)
    bench.array[:] = 9
    bench.up(bench.one)


def scribbled(bench: Bench) -> None:
    bench.down(bench.one)
    bench.array[:] = 9
    bench.gpu.cudaStreamSynchronize(bench.one)


def never_read(bench: Bench) -> None:
    bench.down(bench.one)
    bench.down(bench.one)


def used_when_freed(bench: Bench) -> None:
    bench.gpu.cudaFree(bench.device)
    bench.up(bench.one)


def freed_under_way(bench: Bench) -> None:
    bench.up(bench.one)
    bench.gpu.cudaFree(bench.device)


def freed_twice(bench: Bench) -> None:
    bench.gpu.cudaFreeHost(bench.pinned)
    bench.gpu.cudaFreeHost(bench.pinned)


def too_long(bench: Bench) -> None:
    bench.gpu.cudaMemcpyAsync(bench.device, bench.pinned, 17, UP, bench.one)


def backwards(bench: Bench) -> None:
    bench.gpu.cudaMemcpyAsync(bench.device, bench.pinned, 16, DOWN, bench.one)


def default_stream(bench: Bench) -> None:
    bench.up(0)


def destroyed_stream(bench: Bench) -> None:
    bench.gpu.cudaStreamDestroy(bench.one)
    bench.up(bench.one)


def destroyed_event(bench: Bench) -> None:
    bench.gpu.cudaEventDestroy(bench.event)
    bench.gpu.cudaEventRecord(bench.event, bench.one)


def mixed_up(bench: Bench) -> None:
    bench.gpu.cudaEventRecord(bench.one, bench.event)


def waiting_stream(bench: Bench) -> None:
    bench.gpu.cudaStreamCreateWithFlags(0)


def outside(bench: Bench) -> None:
    bench.gpu.kernel(bench.one, "wild", [(bench.device - 4, 4)], [], lambda _: None)


def other_device(bench: Bench) -> None:
    bench.gpu.devices = 2
    bench.gpu.cudaSetDevice(1)
    bench.up(bench.one)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (overwritten, "the CPU wrote to"),
        (scribbled, "before a copy to it was over"),
        (never_read, "before the CPU waited"),
        (used_when_freed, "was freed"),
        (freed_under_way, "may still be under way"),
        (freed_twice, "freed twice"),
        (too_long, "beyond"),
        (backwards, "cudaMemcpyDeviceToHost from"),
        (default_stream, "default stream"),
        (destroyed_stream, "no stream any more"),
        (destroyed_event, "no event any more"),
        (mixed_up, "no stream"),
        (waiting_stream, "non-blocking"),
        (outside, "no memory of this GPU"),
        (other_device, "has set device 1"),
    ],
)
def test_mistakes_are_found(mistake: Callable[[Bench], None], words: str) -> None:
    bench = Bench()
    mistake(bench)
    assert any(words in one for one in bench.gpu.violations), bench.gpu.violations
    with pytest.raises(AssertionError):
        bench.gpu.assert_clean()


def test_what_is_not_given_back_is_told() -> None:
    with pytest.raises(AssertionError, match=r"stream .*event .*device memory .*pinned memory"):
        Bench().gpu.assert_all_returned()


def test_a_graph_does_again_what_was_noted_down() -> None:
    bench = Bench()
    gpu = bench.gpu
    gpu.cudaStreamBeginCapture(bench.one, THREAD_LOCAL)
    bench.up(bench.one)
    status, graph = gpu.cudaStreamEndCapture(bench.one)
    assert int(status) == 0
    executable = gpu.cudaGraphInstantiate(graph, 0)[1]
    gpu.cudaGraphDestroy(graph)
    gpu.cudaStreamSynchronize(bench.one)
    assert gpu.done == 0
    for value in (3, 4):
        bench.array[:] = value
        gpu.cudaGraphLaunch(executable, bench.one)
        bench.down(bench.one, bench.back)
        gpu.cudaStreamSynchronize(bench.one)
        assert np.all(bench.read() == value)
    gpu.assert_clean()


@pytest.mark.parametrize("name", ["cudaMalloc", "cudaStreamSynchronize", "cudaEventSynchronize"])
def test_what_cannot_be_noted_down_spoils_the_note(name: str) -> None:
    bench = Bench()
    things = {"cudaMalloc": 8, "cudaStreamSynchronize": bench.two}
    bench.gpu.cudaStreamBeginCapture(bench.one, THREAD_LOCAL)
    (status, *_) = getattr(bench.gpu, name)(things.get(name, bench.event))
    assert status.name == "cudaErrorStreamCaptureUnsupported"
    status, graph = bench.gpu.cudaStreamEndCapture(bench.one)
    assert (status.name, graph) == ("cudaErrorStreamCaptureInvalidated", None)
    bench.up(bench.one)  # it can be used again
    bench.gpu.assert_clean()


def test_other_threads_do_not_spoil_what_one_notes_down() -> None:
    bench = Bench()
    bench.gpu.cudaStreamBeginCapture(bench.one, THREAD_LOCAL)
    thread = threading.Thread(target=bench.gpu.cudaStreamSynchronize, args=(bench.two,))
    thread.start()
    thread.join()
    assert int(bench.gpu.cudaStreamEndCapture(bench.one)[0]) == 0


def test_failures_come_when_they_should_and_lost_devices_stay_lost() -> None:
    gpu = FakeCuda()
    gpu.fail("cudaMalloc", "cudaErrorMemoryAllocation", after=2)
    assert [gpu.cudaMalloc(8)[0].name for _ in range(3)] == [
        "cudaSuccess",
        "cudaErrorMemoryAllocation",
        "cudaSuccess",
    ]
    assert gpu.cudaGetLastError()[0].name == "cudaErrorMemoryAllocation"
    assert gpu.cudaGetLastError()[0].name == "cudaSuccess"
    gpu.fail("cudaMalloc", "cudaErrorLaunchFailure")
    assert {gpu.cudaMalloc(8)[0].name, gpu.cudaMemGetInfo()[0].name} == {"cudaErrorLaunchFailure"}
    assert gpu.cudaMemGetInfo()[1:] == (None, None)


def test_memory_ends() -> None:
    gpu = FakeCuda(memory=100)
    assert int(gpu.cudaMalloc(60)[0]) == 0
    assert gpu.cudaMalloc(60)[0].name == "cudaErrorMemoryAllocation"
    assert gpu.cudaMemGetInfo()[1:] == (40, 100)


def test_nothing_waits_for_everything() -> None:
    assert not hasattr(FakeCuda(), "cudaDeviceSynchronize")
