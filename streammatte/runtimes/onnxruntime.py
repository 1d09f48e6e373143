"""ONNX Runtime on the CPU: one thread, because the pipeline supplies the parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from streammatte.errors import RuntimeFailure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.models.base import ModelCard

_ERRORS_ONLY = 3


class OnnxRuntime:
    """Runs a card's ONNX file; see ``runtimes.base.Runtime``."""

    def __init__(self, card: ModelCard, size: tuple[int, int]) -> None:
        """Load the weights and run the network once, so that its first frame is as quick as any.

        Raises:
            ModelError: if the weights are missing or changed.
            RuntimeFailure: if ONNX Runtime refuses them.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        weights = card.verified_weights()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                weights, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RuntimeFailure(f"ONNX Runtime cannot load {card.name}: {error}") from error
        self.description = f"ONNX Runtime {onnxruntime.__version__} on the CPU"
        width, height = size
        self.infer(np.zeros((1, height, width, 3), np.uint8))

    def infer(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the matte of an image; see ``runtimes.base.Runtime``."""
        try:
            (alpha,) = self._session.run(["alpha"], {"image": image})
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise RuntimeFailure(f"ONNX Runtime failed on a frame: {reason}") from error
        return np.asarray(alpha, np.float32)

    def close(self) -> None:
        """Let go of the session."""
        self._session = None
