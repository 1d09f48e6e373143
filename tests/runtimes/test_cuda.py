"""CUDA as we call it: what fails is told, and whatever happens, all that was taken is returned."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
from fakes.fake_cuda import STICKY, FakeCuda
from fakes.fixtures import POLICIES
from gpu_work import IMAGE, MATTE, Work, images, mean

from streammatte.errors import DependencyError, RuntimeFailure, StreamMatteError
from streammatte.runtimes import cuda
from streammatte.runtimes.cuda import Device, Facts, OutOfMemory

RETURNS = (
    "cudaGraphDestroy",
    "cudaGraphExecDestroy",
    "cudaEventDestroy",
    "cudaFree",
    "cudaFreeHost",
    "cudaStreamDestroy",
)
"""What gives back tells of no failure: there is nothing to be done about it."""


def everything(gpu: FakeCuda, device: Device) -> None:
    """Do all that a device can do, and leave it open."""
    stream, other = device.stream(), device.stream()
    begin, end = device.event(timed=True), device.event(timed=True)
    ordered = device.event()
    source, target = device.malloc(int(np.prod(IMAGE))), device.malloc(4 * int(np.prod(MATTE)))
    image, matte = device.pinned(IMAGE, np.uint8), device.pinned(MATTE, np.float32)
    image.array[:] = images(1)[0]
    device.record(begin, stream)
    device.upload(source, image, stream)
    device.begin_capture(stream)
    try:
        Work(gpu)(source, target, stream)
        graph = device.end_capture(stream)
    except BaseException:
        device.abandon_capture(stream)
        raise
    device.launch(graph, stream)
    device.record(ordered, stream)
    device.order(other, ordered)
    device.download(matte, target, other)
    device.record(end, other)
    device.wait(end)
    device.finish(stream)
    assert device.between(begin, end) > 0
    assert device.free_memory() > 0
    assert np.array_equal(matte.array, mean(image.array))


def _calls() -> list[tuple[str, int]]:
    """Return each call of a life without failures: its name, and the how manieth of that name."""
    with pytest.MonkeyPatch.context() as patch:
        gpu = FakeCuda()
        patch.setattr(cuda, "api", lambda: gpu)
        device = Device(0)
        everything(gpu, device)
        device.close()
    names = sorted(name for name in gpu.calls if name != "cudaGetLastError")
    return [(name, turn + 1) for name in names for turn in range(gpu.calls[name])]


CALLS = _calls()


@pytest.mark.parametrize(("policy", "seed"), POLICIES)
def test_a_device_does_what_it_is_asked_for(plug_gpu: Any, policy: str, seed: int) -> None:
    gpu = plug_gpu(policy, seed)
    device = Device(0)
    everything(gpu, device)
    device.close()
    device.close()  # a second time does nothing
    gpu.assert_all_returned()


def test_every_call_is_tried() -> None:
    asked = {name for name, _ in CALLS}
    assert len(asked) >= 24
    assert {name for name in dir(FakeCuda) if name.startswith("cuda") and not name.endswith(
        ("_t", "Kind", "Mode", "LastError")
    )} == asked  # fmt: skip


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("cudaErrorInvalidValue", RuntimeFailure, "CUDA failed"),
        ("cudaErrorMemoryAllocation", OutOfMemory, "--size"),
        ("cudaErrorLaunchFailure", RuntimeFailure, "was lost"),
        ("cudaErrorInsufficientDriver", DependencyError, "install driver 580"),
        ("cudaErrorNoDevice", DependencyError, "finds no cuda:0"),
    ],
)
@pytest.mark.parametrize(("name", "turn"), CALLS)
def test_whatever_fails_is_told_and_everything_is_returned(
    name: str, turn: int, status: str, error: type[Exception], words: str, plug_gpu: Any
) -> None:
    gpu = plug_gpu(checked=False)
    gpu.fail(name, status, after=turn)
    device: Device | None = None
    raised: Exception | None = None
    try:
        device = Device(0)
        everything(gpu, device)
    except StreamMatteError as caught:
        raised = caught
    if device is not None:
        device.close()
    gpu.assert_all_returned()
    assert gpu.calls[name] >= turn
    if raised is None:  # it failed in close
        assert name in (*RETURNS, "cudaSetDevice", "cudaStreamSynchronize")
    else:
        assert type(raised) is error
        assert words in str(raised)
        silent = "cudaGraphDestroy"  # what is called next tells of the loss
        assert f"{status} in {name if name != silent else ''}" in str(raised)
        assert "\n" not in str(raised)
    gpu.assert_clean()


@pytest.mark.parametrize("status", sorted(STICKY))
def test_of_a_lost_device_everything_is_returned(plug_gpu: Any, status: str) -> None:
    gpu = plug_gpu()
    device = Device(0)
    stream, _ = device.stream(), device.pinned((4,), np.uint8)
    gpu.lose(status)
    with pytest.raises(RuntimeFailure, match=rf"cuda:0 was lost \({status} in cudaStreamSync"):
        device.finish(stream)
    device.close()
    gpu.assert_all_returned()


def test_a_fault_on_the_device_is_told_where_it_is_waited_for(plug_gpu: Any) -> None:
    gpu = plug_gpu(checked=False)
    device = Device(0)
    stream = device.stream()
    gpu.kernel(stream, "wild", [(0x10, 4)], [], lambda _: None)
    with pytest.raises(RuntimeFailure, match="cudaErrorIllegalAddress"):
        device.finish(stream)
    device.close()


def test_copies_are_as_long_as_their_arrays(gpu: FakeCuda) -> None:
    device = Device(0)
    stream, address = device.stream(), device.malloc(4 * 15)
    there, back = (device.pinned((3, 5), np.float32) for _ in range(2))
    there.array[:] = np.arange(15).reshape(3, 5)
    device.upload(address, there, stream)
    device.download(back, address, stream)
    assert np.isnan(back.array).all()  # nobody waited yet
    device.finish(stream)
    assert np.array_equal(back.array, there.array)
    device.close()


def test_facts(plug_gpu: Any) -> None:
    plug_gpu(name="NVIDIA Thing", capability=(12, 0), memory=1 << 20)
    device = Device(0)
    assert device.facts == Facts("NVIDIA Thing", (12, 0), 1 << 20, 128, (13, 0), (13, 0))
    address = device.malloc(1000)
    assert device.free_memory() == (1 << 20) - 1000
    assert address > 0
    device.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("cudaErrorNoDevice", "finds no cuda:0"),
        ("cudaErrorInvalidDevice", "finds no cuda:0"),
        ("cudaErrorInitializationError", "finds no cuda:0"),
        ("cudaErrorDevicesUnavailable", "finds no cuda:0"),
        ("cudaErrorInsufficientDriver", "install driver 580"),
        ("cudaErrorSystemDriverMismatch", "install driver 580"),
        ("cudaErrorCallRequiresNewerDriver", "install driver 580"),
        ("cudaErrorCompatNotSupportedOnDevice", "install driver 580"),
        ("cudaErrorStubLibrary", "install driver 580"),
    ],
)
def test_without_a_gpu(plug_gpu: Any, status: str, words: str) -> None:
    plug_gpu(absent=status)
    with pytest.raises(DependencyError, match=words):
        Device(0)


def test_a_number_too_high(plug_gpu: Any) -> None:
    plug_gpu(devices=2)
    Device(1).close()
    with pytest.raises(DependencyError, match="there is no cuda:2; CUDA counts 2"):
        Device(2)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(DependencyError, match="pip install cuda-bindings"):
        cuda.api()


def test_memory_that_is_not_there(plug_gpu: Any) -> None:
    plug_gpu(memory=1000)
    device = Device(0)
    device.malloc(900)
    with pytest.raises(OutOfMemory, match=r"cuda:0 is too small .*use a smaller --size"):
        device.malloc(200)
    device.close()


def test_memory_that_cannot_be_pinned(gpu: FakeCuda) -> None:
    device = Device(0)
    gpu.fail("cudaHostAlloc", "cudaErrorMemoryAllocation")
    with pytest.raises(OutOfMemory, match="the memory that can be pinned for cuda:0 is too small"):
        device.pinned((4,), np.uint8)
    device.close()


def test_each_thread_says_which_device(plug_gpu: Any) -> None:
    """What the checker does if ``use`` is forgotten is in ``test_fake_cuda.py``."""
    plug_gpu(devices=2)
    device = Device(1)
    stream, failed = device.stream(), []

    def work() -> None:
        try:
            device.use()
            device.finish(stream)
        except Exception as error:  # noqa: BLE001  it is looked at below
            failed.append(error)

    for target in (work, device.close):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert not failed


def test_a_capture_that_failed_leaves_the_stream_usable(plug_gpu: Any) -> None:
    gpu = plug_gpu()
    device = Device(0)
    stream = device.stream()
    device.begin_capture(stream)
    with pytest.raises(RuntimeFailure, match="cudaErrorStreamCaptureUnsupported"):
        device.malloc(8)
    device.abandon_capture(stream)
    device.finish(stream)
    assert gpu.cudaGetLastError()[0].name == "cudaSuccess"
    device.begin_capture(stream)
    device.end_capture(stream)
    device.close()


def test_close_after_a_capture_that_nobody_ended(plug_gpu: Any) -> None:
    plug_gpu()
    device = Device(0)
    device.begin_capture(device.stream())
    device.close()
