"""What runs a network. A new runtime is a class in a file here and a line in ``RUNTIMES``."""

from __future__ import annotations

from streammatte.registry import Entry, Registry
from streammatte.runtimes.base import Runtime

__all__ = ["RUNTIMES", "Runtime"]

RUNTIMES = Registry(
    "runtime",
    {
        "onnxruntime": Entry(
            "streammatte.runtimes.onnxruntime:OnnxRuntime", "ONNX Runtime on the CPU"
        ),
        "stub": Entry("streammatte.runtimes.stub:Stub", "a disc instead of a network, for tests"),
    },
)
