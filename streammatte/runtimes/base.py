"""The contract of a runtime: what runs a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
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
