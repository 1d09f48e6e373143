"""ONNX Runtime on the CPU: one thread, because the pipeline supplies the parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from streammatte.errors import RuntimeFailure
from streammatte.models.base import Graph
from streammatte.runtimes.base import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.models.base import Model, Precision, Size
    from streammatte.runtimes.base import Placement

_ERRORS_ONLY = 3


class OnnxRuntime:
    """Runs a model's ONNX file; see ``runtimes.base.Runtime``."""

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:
        """Load the weights and run the network once, so that its first frame is as quick as any.

        Raises:
            ModelError: if the weights are missing or changed.
            RuntimeFailure: if ONNX Runtime refuses them.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        path = model.onnx(size, Graph("onnxruntime"))
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RuntimeFailure(f"ONNX Runtime cannot load {model.card.name}: {error}") from error
        self.description = f"ONNX Runtime {onnxruntime.__version__} on the CPU"
        self.device = "cpu"
        self.precision: Precision = "fp32"
        self.batch = 1
        width, height = size
        self.inputs = (Port("image", "uint8", (1, height, width, 3)),)
        self.outputs = (Port("alpha", "float32", (1, 1, height, width)),)
        self.infer(np.zeros((1, height, width, 3), np.uint8))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images; see ``runtimes.base.Runtime``."""
        try:
            (alpha,) = self._session.run(["alpha"], {"image": images})
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise RuntimeFailure(f"ONNX Runtime failed on a frame: {reason}") from error
        return np.asarray(alpha, np.float32)

    def close(self) -> None:
        """Let go of the session."""
        self._session = None
