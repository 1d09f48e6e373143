"""Stands in for ``cuda.bindings.runtime``, as far as ``streammatte/runtimes/cuda.py`` uses it.

Every function answers as the real one: a tuple of a status and of what it returns, ``None`` where
it failed. What a real GPU lets pass until the day it does not is recorded in ``violations``: races,
memory used after it was freed, work on the default stream. What is taken is counted, and any call
can be made to fail. There is no ``cudaDeviceSynchronize``: nothing may wait for everything.

::

    gpu = FakeCuda(policy="random", seed=7)
    monkeypatch.setattr("streammatte.runtimes.cuda.api", lambda: gpu)
    gpu.kernel(stream, "mean", reads=[(source, 12)], writes=[(target, 4)], work=mean)
    gpu.fail("cudaMalloc", "cudaErrorMemoryAllocation", after=3)
    gpu.assert_clean()
    gpu.assert_all_returned()
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from fakes.memory import CPU, POISON, Access, BadAddressError, Clock, Memory, Span
from fakes.streams import Capture, Event, Graph, Mark, Operation, Stream, policy, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fakes.streams import Work

STATUSES = {
    "cudaSuccess": 0,
    "cudaErrorInvalidValue": 1,
    "cudaErrorMemoryAllocation": 2,
    "cudaErrorInitializationError": 3,
    "cudaErrorStubLibrary": 34,
    "cudaErrorInsufficientDriver": 35,
    "cudaErrorCallRequiresNewerDriver": 36,
    "cudaErrorDevicesUnavailable": 46,
    "cudaErrorNoDevice": 100,
    "cudaErrorInvalidDevice": 101,
    "cudaErrorECCUncorrectable": 214,
    "cudaErrorNvlinkUncorrectable": 220,
    "cudaErrorInvalidResourceHandle": 400,
    "cudaErrorIllegalState": 401,
    "cudaErrorNotReady": 600,
    "cudaErrorIllegalAddress": 700,
    "cudaErrorLaunchTimeout": 702,
    "cudaErrorContextIsDestroyed": 709,
    "cudaErrorAssert": 710,
    "cudaErrorHardwareStackError": 714,
    "cudaErrorIllegalInstruction": 715,
    "cudaErrorMisalignedAddress": 716,
    "cudaErrorLaunchFailure": 719,
    "cudaErrorSystemDriverMismatch": 803,
    "cudaErrorCompatNotSupportedOnDevice": 804,
    "cudaErrorStreamCaptureUnsupported": 900,
    "cudaErrorStreamCaptureInvalidated": 901,
    "cudaErrorStreamCaptureIsolation": 905,
    "cudaErrorStreamCaptureWrongThread": 908,
    "cudaErrorUnknown": 999,
}
"""For where the real package is not installed, as are the next two."""
COPIES = {
    "cudaMemcpyHostToHost": 0,
    "cudaMemcpyHostToDevice": 1,
    "cudaMemcpyDeviceToHost": 2,
    "cudaMemcpyDeviceToDevice": 3,
}
CAPTURES = {
    "cudaStreamCaptureModeGlobal": 0,
    "cudaStreamCaptureModeThreadLocal": 1,
    "cudaStreamCaptureModeRelaxed": 2,
}
try:
    from cuda.bindings.runtime import cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode
except ImportError:  # the names are CUDA's
    cudaError_t = IntEnum("cudaError_t", STATUSES)  # noqa: N816
    cudaMemcpyKind = IntEnum("cudaMemcpyKind", COPIES)  # noqa: N816
    cudaStreamCaptureMode = IntEnum("cudaStreamCaptureMode", CAPTURES)  # noqa: N816

STICKY = {
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
}
"""After these, every call fails in the same way."""
_DEFAULT_STREAMS = (0, 1, 2)
"""The default stream, and its two other names."""
_NO_TIMING = 2
_SPACES = {  # of which kind source and target of a copy must be
    "cudaMemcpyHostToDevice": ("pinned", "device"),
    "cudaMemcpyDeviceToHost": ("device", "pinned"),
    "cudaMemcpyDeviceToDevice": ("device", "device"),
}


class RefusedError(Exception):
    """Ends a call with a status."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.status = getattr(cudaError_t, name)


@dataclass(frozen=True)
class Call:
    """One line of the log."""

    name: str
    arguments: dict[str, Any]
    """By the names of the parameters; handles as integers."""
    status: Any
    thread: str


@dataclass(frozen=True)
class Handle:
    """What CUDA gives out for a stream, an event or a graph."""

    number: int
    kind: str

    def __int__(self) -> int:
        return self.number


def _entry(
    results: int = 0,
    *,
    tells_late: bool = False,
    in_capture: bool = True,
    anywhere: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., tuple[Any, ...]]]:
    """Make a function of CUDA's of one that raises ``RefusedError`` or returns its results.

    Args:
        results: How many it returns besides the status.
        tells_late: Whether it does what it does even while it fails, since it may tell of errors
            of earlier work: what waits, and what gives back.
        in_capture: Whether a thread may call it while it notes down.
        anywhere: Whether it works without a GPU.
    """

    def decorate(body: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
        signature = inspect.signature(body)

        @functools.wraps(body)
        def call(self: FakeCuda, *arguments: Any, **named: Any) -> tuple[Any, ...]:
            given = signature.bind(self, *arguments, **named)  # TypeError, as the real ones
            with self.lock:
                self.pass_time()
                planned = self.planned(body.__name__) or (None if anywhere else self.broken)
                answer: tuple[Any, ...] = ()
                status = planned
                if status is None or (tells_late and not self.absent):
                    try:
                        self.check_capture(in_capture)
                        answer = self.results(body(*given.args))
                    except (RefusedError, BadAddressError) as error:
                        wrong = RefusedError("cudaErrorInvalidValue")
                        status = (
                            status or (error if isinstance(error, RefusedError) else wrong).status
                        )
                    if not anywhere:
                        status = status or self.broken  # it broke while we waited
                return self.answered(body.__name__, given, status, answer or (None,) * results)

        return call

    return decorate


class FakeCuda:
    """A virtual GPU with CUDA's functions as methods."""

    cudaError_t = cudaError_t  # noqa: N815  as it is called there
    cudaMemcpyKind = cudaMemcpyKind  # noqa: N815
    cudaStreamCaptureMode = cudaStreamCaptureMode  # noqa: N815

    def __init__(
        self,
        policy_name: str = "latest",
        seed: int = 0,
        *,
        devices: int = 1,
        absent: str = "",
        memory: int = 1 << 30,
        name: str = "NVIDIA GeForce RTX 4090",
        capability: tuple[int, int] = (8, 9),
    ) -> None:
        """Plug it in.

        Args:
            policy_name: When things happen: ``latest``, ``eager`` or ``random``.
            seed: Of ``random``.
            devices: How many there are, all alike; one memory is all that they have.
            absent: The status of every call if there is none: ``cudaErrorNoDevice``, or
                ``cudaErrorInsufficientDriver`` as without a driver.
            memory: Bytes of the device.
            name: Of the device.
            capability: Its compute capability.
        """
        self.policy = policy(policy_name, seed)
        self.name, self.capability, self.total, self.devices = name, capability, memory, devices
        self.absent = getattr(cudaError_t, absent) if absent else None
        self.lock = threading.RLock()
        self.violations: list[str] = []
        """What must not be done, in words; look here whenever something is odd."""
        self.log: list[Call] = []
        self.calls: Counter[str] = Counter()
        self.done = 0
        """How many operations the GPU has done."""
        self.memory = Memory(self.violations.append, memory)
        self.host = Clock()
        """What the CPU knows to be over."""
        self.streams: list[Stream] = [Stream(0, 0)]
        self.events: list[Event] = []
        self.graphs: list[Graph] = []
        self._lost: Any = None
        self._numbers = 0x10000
        self._current: dict[int, int] = {}
        self._last_error: dict[int, Any] = {}
        self._plans: dict[tuple[str, int], Any] = {}

    # --- for tests ---

    def fail(self, name: str, status: str, after: int = 1) -> None:
        """Let the ``after``-th call of a function from now on, counted from 1, fail once.

        What waits and what gives back does so nevertheless, and tells of the failure then. Statuses
        after which a real GPU is lost stay.
        """
        self._plans[name, self.calls[name] + after] = getattr(cudaError_t, status)

    def lose(self, status: str = "cudaErrorLaunchFailure") -> None:
        """Break it: from now on every call fails, and what was being noted down is forgotten."""
        for stream in self.streams:
            stream.capture = None
        self._lost = getattr(cudaError_t, status)

    def assert_clean(self) -> None:
        """Fail if something was done that must not be done."""
        assert not self.violations, "\n".join(self.violations)

    def assert_all_returned(self) -> None:
        """Fail if something that was taken was not given back."""
        left = self.taken()
        assert not left, f"not given back: {left}"

    def taken(self) -> list[str]:
        """Return what was taken and not given back."""
        things = [str(one) for one in self.streams[1:] if one.alive]
        things += [f"event {one.number:#x}" for one in self.events if one.alive]
        for graph in self.graphs:
            if graph.alive:
                kind = "executable graph" if graph.executable else "graph"
                things.append(f"{kind} {graph.number:#x}")
        return things + [str(one) for one in self.memory.buffers if one.alive]

    # --- for what computes: tests, and the fake TensorRT ---

    def kernel(
        self,
        stream: Any,
        name: str,
        reads: Sequence[tuple[int, int]],
        writes: Sequence[tuple[int, int]],
        work: Callable[..., None],
    ) -> None:
        """Put a computation into a stream's queue.

        Args:
            stream: A handle, or its number.
            name: For violations.
            reads: Address and length in bytes of what it reads.
            writes: The same of what it writes.
            work: Called when it happens, with a view of bytes for each of these, first what it
                reads and then what it writes.
        """
        with self.lock:
            self.pass_time()
            try:
                kernel = _Kernel(self, name, self._spans(reads), self._spans(writes), work)
                self._ask(self._stream(stream), kernel)
            except (BadAddressError, RefusedError):  # it is the GPU that finds out
                self.lose("cudaErrorIllegalAddress")

    def reserve(self, length: int) -> int | None:
        """Take memory of the device as a library does for itself; ``None`` if there is not enough.

        It counts as taken until it is given back by ``release``.
        """
        with self.lock:
            buffer = self.memory.take(length, "reserved", self.device)
            return buffer.address if buffer else None

    def release(self, address: int) -> None:
        """Give back what was reserved; a violation if it may still be in use, or used again."""
        with self.lock:
            for graph in self.graphs:
                spans = (span for work in graph.work for span in (*work.reads, *work.writes))
                if graph.alive and any(span.buffer.address == address for span in spans):
                    self.violate(f"graph {graph.number:#x} outlives memory that it uses")
            self.memory.give_back(address, "reserved", self.host)

    def violate(self, what: str) -> None:
        """Record what must not be done."""
        self.violations.append(what)

    def capturing(self, stream: Any) -> bool:
        """Return whether a stream notes down instead of doing."""
        with self.lock:
            return self._stream(stream).capture is not None

    def invalidate(self, stream: Any) -> None:
        """Spoil what a stream notes down, as a library that must wait or allocate then does."""
        with self.lock:
            capture = self._stream(stream).capture
            if capture is not None:
                capture.valid = False

    @property
    def device(self) -> int:
        """The current one of this thread."""
        return self._current.get(threading.get_ident(), 0)

    @property
    def broken(self) -> Any:
        """The status of every call, if it is broken or not there."""
        return self._lost or self.absent

    # --- how calls are answered ---

    def pass_time(self) -> None:
        """See what the CPU did since the last call, and let the GPU do what it may."""
        self.memory.look(self.host)
        self.policy.passing(self.streams)

    def planned(self, name: str) -> Any:
        """Count a call; return the status that a test wants it to have."""
        self.calls[name] += 1
        status = self._plans.pop((name, self.calls[name]), None)
        if status is not None and status.name in STICKY:
            self.lose(status.name)
        return status

    def check_capture(self, allowed: bool) -> None:
        """Refuse what must not be called while this thread notes down, and spoil the note."""
        for stream in self.streams:
            capture = stream.capture
            if not allowed and capture is not None and capture.thread == threading.get_ident():
                capture.valid = False
                raise RefusedError("cudaErrorStreamCaptureUnsupported")

    @staticmethod
    def results(value: Any) -> tuple[Any, ...]:
        """Return what goes behind the status."""
        if value is None:
            return ()
        return value if isinstance(value, tuple) else (value,)

    def answered(
        self, name: str, given: inspect.BoundArguments, status: Any, answer: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Write a call down and return its answer."""
        arguments = {
            key: int(value) if isinstance(value, Handle) else value
            for key, value in given.arguments.items()
            if key != "self"
        }
        status = status or cudaError_t.cudaSuccess
        self.log.append(Call(name, arguments, status, threading.current_thread().name))
        if not int(status):
            return (status, *answer)
        self._last_error[threading.get_ident()] = status
        return (status, *(None for _ in answer))

    # --- what is here ---

    @_entry(1)
    def cudaGetDeviceCount(self) -> Any:  # noqa: N802  all of these are called so there
        return self.devices

    @_entry()
    def cudaSetDevice(self, device: int) -> Any:  # noqa: N802
        self._check_device(device)
        self._current[threading.get_ident()] = device

    @_entry(1)
    def cudaGetDeviceProperties(self, device: int) -> Any:  # noqa: N802
        self._check_device(device)
        return SimpleNamespace(
            name=self.name.encode(),
            major=self.capability[0],
            minor=self.capability[1],
            totalGlobalMem=self.total,
            multiProcessorCount=128,
        )

    @_entry(1, anywhere=True)
    def cudaDriverGetVersion(self) -> Any:  # noqa: N802
        return 0 if self.absent else 13000

    @_entry(1, anywhere=True)
    def cudaRuntimeGetVersion(self) -> Any:  # noqa: N802
        return 13000

    def cudaGetLastError(self) -> Any:  # noqa: N802
        with self.lock:
            self.calls["cudaGetLastError"] += 1
            last = self._last_error.pop(threading.get_ident(), None)
            return (self.broken or last or cudaError_t.cudaSuccess,)

    def _check_device(self, device: int) -> None:
        if not 0 <= device < self.devices:
            raise RefusedError("cudaErrorInvalidDevice")

    # --- memory ---

    @_entry(2)
    def cudaMemGetInfo(self) -> Any:  # noqa: N802
        return self.memory.free, self.total

    @_entry(1, in_capture=False)
    def cudaMalloc(self, size: int) -> Any:  # noqa: N802
        return self._taken(size, "device")

    @_entry(1, in_capture=False)
    def cudaHostAlloc(self, size: int, flags: int) -> Any:  # noqa: ARG002, N802
        return self._taken(size, "pinned")

    def _taken(self, size: int, kind: str) -> int:
        buffer = self.memory.take(size, kind, self.device)
        if buffer is None:
            raise RefusedError("cudaErrorMemoryAllocation")
        return buffer.address

    @_entry(tells_late=True, in_capture=False)
    def cudaFree(self, devPtr: int) -> Any:  # noqa: N802, N803
        if devPtr and not self.memory.give_back(int(devPtr), "device", self.host):
            raise RefusedError("cudaErrorInvalidValue")

    @_entry(tells_late=True, in_capture=False)
    def cudaFreeHost(self, ptr: int) -> Any:  # noqa: N802
        if ptr and not self.memory.give_back(int(ptr), "pinned", self.host):
            raise RefusedError("cudaErrorInvalidValue")

    @_entry()
    def cudaMemcpyAsync(  # noqa: N802
        self, dst: int, src: int, count: int, kind: Any, stream: Any
    ) -> Any:
        if not isinstance(kind, cudaMemcpyKind):
            raise TypeError(f"Argument 'kind' has incorrect type: {kind!r}")
        source, target = self.memory.span(int(src), count), self.memory.span(int(dst), count)
        if (source.buffer.kind, target.buffer.kind) != _SPACES.get(kind.name):
            self.violate(f"{kind.name} from {source.buffer} to {target.buffer}")
            raise RefusedError("cudaErrorInvalidValue")
        self._ask(self._stream(stream), _Copy(self, kind.name, source, target))

    # --- streams ---

    @_entry(1)
    def cudaStreamCreateWithFlags(self, flags: int) -> Any:  # noqa: N802
        if flags != 1:
            self.violate("a stream waits for the default stream: create it non-blocking")
        stream = Stream(self._number(), self.device)
        self.streams.append(stream)
        return Handle(stream.number, "stream")

    @_entry(tells_late=True)
    def cudaStreamDestroy(self, stream: Any) -> Any:  # noqa: N802
        self._stream(stream).alive = False  # what is in its queue is done nevertheless

    @_entry(tells_late=True, in_capture=False)
    def cudaStreamSynchronize(self, stream: Any) -> Any:  # noqa: N802
        found = self._stream(stream)
        if found.capture is not None:
            found.capture.valid = False
            raise RefusedError("cudaErrorStreamCaptureUnsupported")
        end = self._mark(found)
        reach(end)
        self.host.join(end.clock)

    @_entry()
    def cudaStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> Any:  # noqa: ARG002, N802
        waiting, mark = self._stream(stream), self._event(event).mark
        if waiting.capture is not None:
            waiting.capture.valid = False  # what it waits for is not in the graph
            raise RefusedError("cudaErrorStreamCaptureIsolation")
        if mark is None:
            return
        waiting.clock.join(mark.clock)
        waiting.queue.append(Operation(lambda: None, needs=mark))
        self.policy.asked(self.streams)

    # --- events ---

    @_entry(1)
    def cudaEventCreateWithFlags(self, flags: int) -> Any:  # noqa: N802
        event = Event(self._number(), timed=not flags & _NO_TIMING)
        self.events.append(event)
        return Handle(event.number, "event")

    @_entry(tells_late=True)
    def cudaEventDestroy(self, event: Any) -> Any:  # noqa: N802
        self._event(event).alive = False

    @_entry()
    def cudaEventRecord(self, event: Any, stream: Any) -> Any:  # noqa: N802
        found, moment = self._stream(stream), self._event(event)
        if found.capture is not None:
            raise NotImplementedError("events inside of graphs are nothing that this fake knows")
        moment.mark = self._mark(found)

    @_entry(tells_late=True, in_capture=False)
    def cudaEventSynchronize(self, event: Any) -> Any:  # noqa: N802
        mark = self._event(event).mark
        if mark is not None:
            reach(mark)
            self.host.join(mark.clock)

    @_entry(1)
    def cudaEventElapsedTime(self, start: Any, end: Any) -> Any:  # noqa: N802
        events = self._event(start), self._event(end)
        marks = [event.mark for event in events if event.timed and event.mark is not None]
        if len(marks) != 2:
            raise RefusedError("cudaErrorInvalidResourceHandle")
        if not all(mark.come for mark in marks):
            raise RefusedError("cudaErrorNotReady")
        return float(marks[1].at - marks[0].at)

    # --- graphs ---

    @_entry()
    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> Any:  # noqa: N802
        if not isinstance(mode, cudaStreamCaptureMode):
            raise TypeError(f"Argument 'mode' has incorrect type: {mode!r}")
        if mode is not cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal:
            self.violate(f"{mode.name} breaks, or is broken by, what other threads do")
        found = self._stream(stream)
        if found.capture is not None:
            raise RefusedError("cudaErrorIllegalState")
        found.capture = Capture(threading.get_ident())

    @_entry(1)
    def cudaStreamEndCapture(self, stream: Any) -> Any:  # noqa: N802
        found = self._stream(stream)
        capture = found.capture
        if capture is None:
            raise RefusedError("cudaErrorIllegalState")
        if capture.thread != threading.get_ident():
            raise RefusedError("cudaErrorStreamCaptureWrongThread")
        found.capture = None
        if not capture.valid:
            raise RefusedError("cudaErrorStreamCaptureInvalidated")
        return self._graph(capture.work, executable=False)

    @_entry(1)
    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:  # noqa: ARG002, N802
        return self._graph(self._find(self.graphs, graph, "graph").work, executable=True)

    @_entry(tells_late=True)
    def cudaGraphDestroy(self, graph: Any) -> Any:  # noqa: N802
        self._find(self.graphs, graph, "graph").alive = False

    @_entry(tells_late=True)
    def cudaGraphExecDestroy(self, graphExec: Any) -> Any:  # noqa: N802, N803
        self._find(self.graphs, graphExec, "executable graph").alive = False

    @_entry()
    def cudaGraphLaunch(self, graphExec: Any, stream: Any) -> Any:  # noqa: N802, N803
        graph = self._find(self.graphs, graphExec, "executable graph")
        found = self._stream(stream)
        if found.capture is not None:
            raise NotImplementedError("graphs inside of graphs are nothing that this fake knows")
        if graph.last is not None:
            found.clock.join(graph.last.clock)
            found.queue.append(Operation(lambda: None, needs=graph.last))
        for work in graph.work:
            self._ask(found, work)
        graph.last = self._mark(found)

    def _graph(self, work: list[Work], *, executable: bool) -> Handle:
        graph = Graph(self._number(), work, executable)
        self.graphs.append(graph)
        return Handle(graph.number, "executable graph" if executable else "graph")

    # --- queues ---

    def _ask(self, stream: Stream, work: Work) -> None:
        """Put work into a queue, or note it down."""
        if stream.capture is not None:
            if not stream.capture.valid:
                raise RefusedError("cudaErrorStreamCaptureInvalidated")
            stream.capture.work.append(work)
            return
        key, what = str(stream), f"{work.name} on {stream}"
        stream.clock.join(self.host)
        time = stream.clock.tick(key)
        work.asked()
        for spans, writes in ((work.reads, False), (work.writes, True)):
            for span in spans:
                access = Access(span.low, span.high, writes, key, time, what)
                self.memory.touch(span, access, stream.clock)
        stream.queue.append(Operation(functools.partial(self._do, work)))
        self.policy.asked(self.streams)

    def _do(self, work: Work) -> None:
        """Let it happen."""
        self.done += 1
        if self.broken:
            return
        for span in (*work.reads, *work.writes):
            if not span.buffer.alive:
                self.violate(f"{work.name} uses {span.buffer}, which was freed")
                self.lose("cudaErrorIllegalAddress")
                return
        work.do()

    def _mark(self, stream: Stream) -> Mark:
        """Put a moment into a queue."""
        stream.clock.join(self.host)
        stream.clock.tick(str(stream))
        mark = Mark(stream, Clock(stream.clock))

        def come() -> None:
            mark.come, mark.at = True, self.done

        stream.queue.append(Operation(come))
        self.policy.asked(self.streams)
        return mark

    # --- handles ---

    def _number(self) -> int:
        self._numbers += 0x40
        return self._numbers

    def _stream(self, handle: Any) -> Stream:
        number = int(handle or 0)
        if number in _DEFAULT_STREAMS:
            self.violate("something is asked of the default stream")
            return self.streams[0]
        stream = self._find(self.streams, handle, "stream")
        if stream.device != self.device:
            self.violate(
                f"{stream} of device {stream.device} is used by a thread that has set "
                f"device {self.device}"
            )
        return stream

    def _event(self, handle: Any) -> Event:
        event: Event = self._find(self.events, handle, "event")
        return event

    def _find(self, things: Iterable[Any], handle: Any, kind: str) -> Any:
        """Return what a handle stands for; a violation if there is none, or none any more."""
        number = int(handle)
        thing = next((one for one in things if one.number == number), None)
        if getattr(thing, "executable", False) != (kind == "executable graph"):
            thing = None
        if thing is None or not thing.alive:
            self.violate(f"{number:#x} is no {kind}" + (" any more" if thing is not None else ""))
            raise RefusedError("cudaErrorInvalidResourceHandle")
        return thing

    def _spans(self, places: Sequence[tuple[int, int]]) -> list[Span]:
        return [self.memory.span(int(address), length) for address, length in places]


class _Kernel:
    """A computation."""

    def __init__(
        self,
        gpu: FakeCuda,
        name: str,
        reads: list[Span],
        writes: list[Span],
        work: Callable[..., None],
    ) -> None:
        self._gpu, self._work = gpu, work
        self.name, self.reads, self.writes = name, reads, writes

    def asked(self) -> None:
        """Nothing to do: it has its addresses."""

    def do(self) -> None:
        self._work(*(span.bytes for span in self.reads + self.writes))


class _Copy:
    """A copy between pinned memory and the device.

    It reads its source when it happens, not when it is asked for. Until then its target, if that is
    pinned, is poison: who reads it too early finds no numbers.
    """

    def __init__(self, gpu: FakeCuda, name: str, source: Span, target: Span) -> None:
        self._gpu, self.name = gpu, name
        self.reads, self.writes = [source], [target]
        self._source, self._target = source, target
        self._sent: list[NDArray[np.uint8]] = []
        """What was in the pinned source when it was asked for, for each time."""

    def asked(self) -> None:
        if self._source.buffer.seen is not None:
            self._sent.append(self._source.bytes.copy())
        if self._target.buffer.seen is not None:
            self._check_unread()
            self._target.fill(POISON)

    def _check_unread(self) -> None:
        """What came before into the same memory must have been waited for, or it is lost."""
        for access in self._target.earlier():
            if access.writes and not self._gpu.host.knows(access):
                self._gpu.violate(
                    f"{self.name} overwrites what {access.what} brought before {CPU} waited for it"
                )

    def do(self) -> None:
        if self._source.buffer.seen is not None and not np.array_equal(
            self._source.bytes, self._sent.pop(0)
        ):
            self._gpu.violate(f"{CPU} changed {self._source.buffer} before it was copied")
        if self._target.buffer.seen is not None and not np.all(self._target.bytes == POISON):
            self._gpu.violate(f"{CPU} wrote to {self._target.buffer} before a copy to it was over")
        self._target.fill(self._source.bytes)
