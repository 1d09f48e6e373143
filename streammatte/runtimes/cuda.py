"""CUDA's streams, events and memory: every call checked, nothing on the default stream.

The one file that knows ``cuda.bindings``. Streams and events are CUDA's own handles; memory is an
address on the device (``Device.malloc``) or an array that the device can read (``Pinned``).
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import DependencyError, RuntimeFailure, StreamMatteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

_NON_BLOCKING = 1
"""``cudaStreamNonBlocking``: no waiting for the default stream, on which others may work."""
_NO_TIMING = 2
"""``cudaEventDisableTiming``: events that only order are cheaper."""
_ANYWHERE = 1
"""``cudaHostAllocPortable``: pinned for every context of the process."""
_LOST = {
    "cudaErrorIllegalAddress",
    "cudaErrorLaunchFailure",
    "cudaErrorHardwareStackError",
    "cudaErrorIllegalInstruction",
    "cudaErrorMisalignedAddress",
    "cudaErrorLaunchTimeout",
    "cudaErrorECCUncorrectable",
    "cudaErrorNvlinkUncorrectable",
    "cudaErrorContextIsDestroyed",
    "cudaErrorAssert",
    "cudaErrorUnknown",
}
"""After these, a process can do nothing on the device any more."""
_DRIVER = {
    "cudaErrorInsufficientDriver",
    "cudaErrorSystemDriverMismatch",
    "cudaErrorCallRequiresNewerDriver",
    "cudaErrorCompatNotSupportedOnDevice",
    "cudaErrorStubLibrary",
}
_ABSENT = {
    "cudaErrorNoDevice",
    "cudaErrorInvalidDevice",
    "cudaErrorInitializationError",
    "cudaErrorDevicesUnavailable",  # somebody has it to himself
}


class OutOfMemory(RuntimeFailure):
    """There is not enough memory on the device, or none that can be pinned."""


@dataclass(frozen=True)
class Facts:
    """What a device is."""

    name: str
    """Such as ``NVIDIA GeForce RTX 4090``."""
    capability: tuple[int, int]
    """Compute capability, such as ``(8, 9)``."""
    memory: int
    """Bytes, of all."""
    processors: int
    """Streaming multiprocessors."""
    driver: tuple[int, int]
    """The newest CUDA that the driver knows, such as ``(13, 0)``."""
    cuda: tuple[int, int]
    """The CUDA that we call it with."""


def api() -> Any:
    """Return CUDA's runtime as Python sees it.

    Raises:
        DependencyError: if the package is missing or does not load.
    """
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise DependencyError(
            f"CUDA's Python bindings do not load ({error}): pip install cuda-bindings"
        ) from error
    return runtime


def memory() -> tuple[int, int]:
    """Return the free bytes of this thread's device, and all of them."""
    status, free, whole = api().cudaMemGetInfo()
    if int(status):
        raise _error("cudaMemGetInfo", status, 0)
    return int(free), int(whole)


class Device:
    """One GPU, and all that was taken from it: what is open is let go of by ``close``.

    Used by one thread at a time; each says ``use`` first, since CUDA has a current device a thread.
    """

    def __init__(self, number: int = 0) -> None:
        """Take a device.

        Args:
            number: From 0, as CUDA counts.

        Raises:
            DependencyError: if there is no such device, or its driver is missing or too old.
        """
        self._api = api()
        self.number = number
        self._streams: list[Any] = []
        self._events: list[Any] = []
        self._graphs: list[Any] = []
        self._memory: list[int] = []
        self._pinned: list[Pinned] = []
        count = self._call("cudaGetDeviceCount")
        if number >= count:
            raise DependencyError(f"there is no cuda:{number}; CUDA counts {count} here, from 0")
        self.use()
        self.facts = self._facts()

    def _facts(self) -> Facts:
        found = self._call("cudaGetDeviceProperties", self.number)
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        return Facts(
            name=name.rstrip("\0"),
            capability=(int(found.major), int(found.minor)),
            memory=int(found.totalGlobalMem),
            processors=int(found.multiProcessorCount),
            driver=_version(self._call("cudaDriverGetVersion")),
            cuda=_version(self._call("cudaRuntimeGetVersion")),
        )

    def use(self) -> None:
        """Make it this thread's device."""
        self._call("cudaSetDevice", self.number)

    def free_memory(self) -> int:
        """Return how many bytes nobody uses."""
        return int(self._call("cudaMemGetInfo")[0])

    # --- what is taken ---

    def stream(self) -> Any:
        """Return a new stream, independent of the default one."""
        stream = self._call("cudaStreamCreateWithFlags", _NON_BLOCKING)
        self._streams.append(stream)
        return stream

    def event(self, *, timed: bool = False) -> Any:
        """Return a new event."""
        event = self._call("cudaEventCreateWithFlags", 0 if timed else _NO_TIMING)
        self._events.append(event)
        return event

    def malloc(self, length: int) -> int:
        """Return the address of memory on the device, of so many bytes."""
        address = int(self._call("cudaMalloc", length))
        self._memory.append(address)
        return address

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> Pinned:
        """Return an array that the device can copy from and to while the CPU does other things."""
        kind = np.dtype(dtype)
        length = int(np.prod(shape)) * kind.itemsize
        address = int(self._call("cudaHostAlloc", length, _ANYWHERE))
        pinned = Pinned(address, _array_at(address, shape, kind))
        self._pinned.append(pinned)
        return pinned

    # --- what is done on streams ---

    def upload(self, address: int, source: Pinned, stream: Any) -> None:
        """Copy to the device, in a stream's turn."""
        self._copy(address, source.address, source.array.nbytes, "cudaMemcpyHostToDevice", stream)

    def download(self, target: Pinned, address: int, stream: Any) -> None:
        """Copy from the device, in a stream's turn."""
        self._copy(target.address, address, target.array.nbytes, "cudaMemcpyDeviceToHost", stream)

    def _copy(self, to: int, source: int, length: int, kind: str, stream: Any) -> None:
        kind = getattr(self._api.cudaMemcpyKind, kind)
        self._call("cudaMemcpyAsync", to, source, length, kind, stream)

    def record(self, event: Any, stream: Any) -> None:
        """Let an event happen when a stream comes to here."""
        self._call("cudaEventRecord", event, stream)

    def order(self, stream: Any, event: Any) -> None:
        """Let a stream wait for an event before it goes on."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: Any) -> None:
        """Wait, here on the CPU, for an event."""
        self._call("cudaEventSynchronize", event)

    def finish(self, stream: Any) -> None:
        """Wait, here on the CPU, for all that a stream has to do."""
        self._call("cudaStreamSynchronize", stream)

    def between(self, first: Any, second: Any) -> float:
        """Return the milliseconds from one timed event to another, both of which happened."""
        return float(self._call("cudaEventElapsedTime", first, second))

    def begin_capture(self, stream: Any) -> None:
        """Note down what this thread asks of a stream from here on, instead of doing it."""
        mode = self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """Return what was noted down, ready to ``launch``."""
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            executable = self._call("cudaGraphInstantiate", graph, 0)
            self._graphs.append(executable)
        finally:
            self._each("cudaGraphDestroy", [graph])
        return executable

    def abandon_capture(self, stream: Any) -> None:
        """End a capture in which something failed; the stream can be used again."""
        with contextlib.suppress(RuntimeFailure, DependencyError):  # it is invalid, as expected
            self._call("cudaGraphDestroy", self._call("cudaStreamEndCapture", stream))
        self._api.cudaGetLastError()

    def launch(self, graph: Any, stream: Any) -> None:
        """Do what a graph says, in a stream's turn."""
        self._call("cudaGraphLaunch", graph, stream)

    def drop_graphs(self) -> None:
        """Let go of what was captured: before that whose work it notes down, if that ends first.

        Nothing may be under way (``settle``).
        """
        self._each("cudaGraphExecDestroy", self._graphs)
        self._graphs.clear()

    def settle(self) -> None:
        """Wait for what is under way on all streams; what fails is not told."""
        with contextlib.suppress(RuntimeFailure, DependencyError):
            self.use()
        self._each("cudaStreamSynchronize", self._streams)

    def close(self) -> None:
        """Wait for what is under way and give everything back; may be called twice.

        What fails here is not told: a device that was lost has nothing left to give back.
        """
        self.settle()
        self.drop_graphs()
        self._each("cudaEventDestroy", self._events)
        self._each("cudaFree", self._memory)
        self._each("cudaFreeHost", [pinned.address for pinned in self._pinned])
        self._each("cudaStreamDestroy", self._streams)
        for taken in (self._events, self._memory, self._pinned, self._streams):
            taken.clear()

    def _each(self, name: str, things: Sequence[Any]) -> None:
        for thing in things:
            with contextlib.suppress(RuntimeFailure, DependencyError):
                self._call(name, thing)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call CUDA; return what it returns besides its status.

        Raises:
            OutOfMemory: if there is not enough of it.
            DependencyError: if there is no device, or its driver is too old.
            RuntimeFailure: for all else.
        """
        status, *results = getattr(self._api, name)(*arguments)
        if int(status):
            raise _error(name, status, self.number)
        return results[0] if len(results) == 1 else tuple(results)


@dataclass(frozen=True)
class Pinned:
    """Memory of the CPU that the device can reach by itself."""

    address: int
    array: NDArray[Any]
    """Of that very memory; not to be used once the device is closed."""


def _array_at(address: int, shape: Sequence[int], kind: np.dtype[Any]) -> NDArray[Any]:
    length = int(np.prod(shape)) * kind.itemsize
    memory = (ctypes.c_uint8 * length).from_address(address)
    return np.ctypeslib.as_array(memory).view(kind).reshape(tuple(shape))


def _version(number: int) -> tuple[int, int]:
    return int(number) // 1000, int(number) % 1000 // 10


def _error(call: str, status: Any, number: int) -> StreamMatteError:
    """Return what to raise when CUDA refuses."""
    name = getattr(status, "name", str(status))
    where = f"{name} in {call}"
    if name == "cudaErrorMemoryAllocation":
        what = "that can be pinned for" if call == "cudaHostAlloc" else "of"
        return OutOfMemory(
            f"the memory {what} cuda:{number} is too small ({where}): use a smaller --size, or end "
            "what else uses it"
        )
    if name in _DRIVER:
        return DependencyError(
            f"the NVIDIA driver is missing or too old for CUDA 13 ({where}): install driver 580 or "
            "newer"
        )
    if name in _ABSENT:
        return DependencyError(f"CUDA finds no cuda:{number} that it can use ({where})")
    if name in _LOST:
        return RuntimeFailure(
            f"cuda:{number} was lost ({where}); run again, and if it comes back see 'dmesg' and "
            "'nvidia-smi'"
        )
    return RuntimeFailure(f"CUDA failed: {where}")
