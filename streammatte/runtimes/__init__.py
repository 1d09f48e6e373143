"""What runs a network. A new runtime is a class in a file here and a line in ``RUNTIMES``."""

from __future__ import annotations

import os

from streammatte.registry import Entry, Registry
from streammatte.runtimes.base import Placement, Port, Runtime

__all__ = ["RUNTIMES", "Placement", "Port", "Runtime"]

# ONNX Runtime reports to its maker from 1.29 on, and asks this when it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

RUNTIMES = Registry(
    "runtime",
    {
        "onnxruntime": Entry(
            "streammatte.runtimes.onnxruntime:OnnxRuntime", "ONNX Runtime on a CPU, or what it has"
        ),
        "openvino": Entry(
            "streammatte.runtimes.openvino:OpenVino",
            "OpenVINO on a CPU, or Intel's GPUs and NPUs",
            extra="openvino",
        ),
        "torch": Entry(
            "streammatte.runtimes.torch:Torch", "PyTorch on a CPU or a GPU", extra="export"
        ),
        "tensorrt": Entry(
            "streammatte.runtimes.tensorrt:TensorRt",
            "TensorRT on an NVIDIA GPU, compiled for it",
            extra="tensorrt",
        ),
        "tensorrt-rtx": Entry(
            "streammatte.runtimes.tensorrt:TensorRtRtx",
            "TensorRT-RTX on an NVIDIA GPU of a PC",
            extra="rtx",
        ),
        "stub": Entry("streammatte.runtimes.stub:Stub", "a disc instead of a network, for tests"),
    },
    aliases={
        "ort": "onnxruntime",
        "ov": "openvino",
        "pytorch": "torch",
        "trt": "tensorrt",
        "rtx": "tensorrt-rtx",
    },
)
