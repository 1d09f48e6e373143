"""The contract of a runtime: what runs a network."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from streammatte.models.base import Model, Precision, Size


@dataclass(frozen=True)
class Placement:
    """Where a network should run, and how exactly."""

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... as the runtime names it."""
    precision: Literal["auto", "fp32", "fp16"] = "auto"
    """``auto`` is fp32 on a CPU and fp16 on a GPU; fp32 there, too, if a runtime finds out that
    half precision cannot hold what the network computes."""
    require_gpu: bool = False
    """Whether to fail rather than run on a CPU."""
    batch: int | None = None
    """Images at once; ``None`` for what the runtime gains from."""
    tell: Callable[[str], None] = field(default=lambda _: None, compare=False)
    """Told each step of what is done once and kept, such as compiling an engine."""


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph, as its engine describes it."""

    name: str
    dtype: str
    """In numpy's words: ``uint8``, ``float32``."""
    shape: tuple[int | None, ...]
    """``None`` where any length will do."""


class Runtime(Protocol):
    """Runs one network on one device; used by one thread at a time.

    A runtime is made with a model and the size ``(width, height)`` of its input, and is ready to
    infer when the constructor returns.
    """

    description: str
    """Name, version and device in words, such as ``ONNX Runtime 1.32.0 on the CPU``."""
    device: str
    """Where it really runs, such as ``cpu`` or ``cuda:0``."""
    precision: Precision
    """Of the arithmetic in the graph."""
    batch: int
    """The most images that ``infer`` takes at once; more than 1 only where it is faster."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __init__(self, model: Model, size: Size, placement: Placement) -> None: ...

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images.

        Args:
            images: uint8 R'G'B' ``[n, height, width, 3]``, C-contiguous, ``1 <= n <= batch``.

        Returns:
            float32 ``[n, 1, height, width]`` in 0..1; the caller may keep it. Where a precision
            cannot hold what a network computes, they may be no numbers: ``stages.matte`` looks.

        Raises:
            RuntimeFailure: if the engine fails.
        """

    def close(self) -> None:
        """Let go of the engine; may be called twice."""


class InFlight(Runtime, Protocol):
    """A runtime that takes images before it has given the mattes of those before them.

    On a GPU that is what keeps it busy: one group is copied there while another is computed.
    """

    slots: int
    """How many groups of images may be submitted and not yet collected; 1 if only ``infer`` is to
    be used."""

    def submit(self, images: NDArray[np.uint8]) -> None:
        """Send images on their way, as ``infer`` takes them; they may be changed afterwards.

        Raises:
            RuntimeFailure: if the engine fails.
        """

    def collect(self) -> NDArray[np.float32]:
        """Return the mattes of the images that were submitted first, once they are there.

        There are ``batch`` of them, whatever was submitted; the caller may keep them.

        Raises:
            RuntimeFailure: if the engine fails.
        """


class Flight:
    """Any runtime as one that takes images ahead; those that cannot take one group at a time."""

    def __init__(self, runtime: Runtime) -> None:
        """Wrap a runtime, which is still the caller's to close."""
        self._runtime = runtime
        ahead = getattr(runtime, "slots", 1) > 1
        self._ahead: InFlight | None = runtime if ahead else None  # type: ignore[assignment]
        self._done: deque[NDArray[np.float32]] = deque()
        self.slots = self._ahead.slots if self._ahead else 1

    def submit(self, images: NDArray[np.uint8]) -> None:
        """See ``InFlight``."""
        if self._ahead is not None:
            self._ahead.submit(images)
        else:
            self._done.append(self._runtime.infer(images))

    def collect(self) -> NDArray[np.float32]:
        """See ``InFlight``."""
        return self._done.popleft() if self._ahead is None else self._ahead.collect()
