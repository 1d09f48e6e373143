"""The contract of a runtime: what runs a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streammatte.models.base import ModelCard


class Runtime(Protocol):
    """Runs one network on one device; used by one thread at a time.

    A runtime is made with a card and the size ``(width, height)`` of its input, and is ready to
    infer when the constructor returns.
    """

    description: str
    """Name, version and device in words, such as ``ONNX Runtime 1.32.0 on the CPU``."""

    def __init__(self, card: ModelCard, size: tuple[int, int]) -> None: ...

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the matte of an image.

        Args:
            image: uint8 R'G'B' ``[1, height, width, 3]``, C-contiguous.

        Returns:
            float32 ``[1, 1, height, width]`` in 0..1; the caller may keep it.

        Raises:
            RuntimeFailure: if the engine fails.
        """

    def close(self) -> None:
        """Let go of the engine; may be called twice."""
