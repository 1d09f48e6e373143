"""OpenVINO: on any x86 or Arm CPU, and on Intel's GPUs and NPUs."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if "openvino" not in sys.modules:
    # Importing OpenVINO tells its maker so, over the network; without this package it cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino
from openvino import opset8
from openvino.frontend.onnx import ConversionExtension

from streammatte.errors import DependencyError, RuntimeFailure, UsageError
from streammatte.models.base import Graph
from streammatte.runtimes.base import Port
from streammatte.runtimes.contract import (
    BIG,
    PRECISION,
    batch_of,
    check_contract,
    check_gpu,
    failure,
    filled,
    precision_of,
    reason,
    weight_bytes,
)
from streammatte.runtimes.hardware import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streammatte.models.base import Model, Size
    from streammatte.runtimes.base import Placement

_KINDS = ("CPU", "GPU", "NPU")
_BIAS, _MASK = 3, 4
_DONTNEED = 4
"""Linux' MADV_DONTNEED: pages may leave memory, and are read from the file when they are wanted."""


class OpenVino:
    """Runs a model's ONNX file; see ``runtimes.base.Runtime``."""

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:
        """Load the weights, and run a network once whose first frame would else be slow.

        Args:
            model: Whose ``onnx()`` is run.
            size: ``(width, height)`` of its input.
            placement: ``device`` is ``cpu``, ``gpu``, ``npu``, ``gpu.1``, ...; ``auto`` is the CPU
                (``runtimes.choice`` tries GPUs first).

        Raises:
            UsageError: if OpenVINO knows no such device.
            ModelError: if the weights are missing or changed, or the graph does not fit.
            DependencyError: if this machine has no such device.
            RuntimeFailure: if OpenVINO refuses the graph.
        """
        core = _core()
        device = _device(core, placement.device)
        check_gpu(placement, "OpenVINO", device.lower())
        wish = placement.precision
        if wish == "auto":
            wish = "fp32" if device == "CPU" else "fp16"
        path = model.onnx(size, Graph("openvino", wish, placement.batch or 1))
        small = weight_bytes(path) <= BIG
        name = model.card.name
        network = _read(core, path, name)
        self.precision = precision_of(name, model, _said(network), placement.precision)
        self._request: Any = None
        _fix(network, name, size, placement.batch or 1)
        compiled = _compiled(core, network, device, name, 1 if small else cores())
        del network
        _forget_pages_of(path)
        self._request = compiled.create_infer_request()
        self.inputs = tuple(map(_port, compiled.inputs))
        self.outputs = tuple(map(_port, compiled.outputs))
        self.batch = batch_of(self.inputs, placement.batch)
        self.device = device.lower()
        version = openvino.__version__.partition("-")[0]
        words = "the CPU" if device == "CPU" else core.get_property(device, "FULL_DEVICE_NAME")
        self.description = f"OpenVINO {version} on {words}"
        if small or device != "CPU":
            self.infer(np.zeros((self.batch, size[1], size[0], 3), np.uint8))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images; see ``runtimes.base.Runtime``."""
        try:
            (alpha,) = self._request.infer({"image": filled(images, self.inputs)}).values()
        except Exception as error:
            raise failure("OpenVINO", error) from error
        return np.asarray(alpha[: len(images)], np.float32)

    def close(self) -> None:
        """Let go of the compiled network."""
        self._request = None


def devices() -> list[str]:
    """Return what OpenVINO finds here, as ``Placement.device`` names it."""
    return [name.lower() for name in _core().available_devices]


def _core() -> Any:
    try:
        core = openvino.Core()
        core.add_extension(ConversionExtension("DeformConv", _deform_conv))
    except Exception as error:
        raise RuntimeFailure(f"OpenVINO does not start: {reason(error)}") from error
    return core


def _device(core: Any, wish: str) -> str:
    name = wish.upper().replace(":", ".")
    if name == "AUTO":
        return "CPU"
    there: Sequence[str] = core.available_devices
    if name.partition(".")[0] not in _KINDS:
        raise UsageError(
            f"--device: OpenVINO knows no {wish!r}; it has {', '.join(there).lower()} here"
        )
    # One GPU is called GPU, several are GPU.0, GPU.1, ...; GPU alone always means the first.
    if name not in there and name not in {one.removesuffix(".0") for one in there}:
        raise DependencyError(
            f"OpenVINO finds no {name} here, only {', '.join(there)}: install its driver"
        )
    return name


def _read(core: Any, path: Path, name: str) -> Any:
    try:
        return core.read_model(path)
    except Exception as error:
        raise RuntimeFailure(f"OpenVINO cannot load {name}: {reason(error)}") from error


def _said(network: Any) -> str | None:
    where = ["framework", PRECISION]  # OpenVINO keeps an ONNX file's metadata there
    return str(network.get_rt_info(where).value) if network.has_rt_info(where) else None


def _fix(network: Any, name: str, size: Size, batch: int) -> None:
    """Check a graph, and give it the lengths that it leaves open: what is fixed runs faster."""
    check_contract(
        name, size, tuple(map(_port, network.inputs)), tuple(map(_port, network.outputs))
    )
    shape = network.inputs[0].partial_shape
    if shape.is_dynamic:
        fixed = [batch if shape[0].is_dynamic else shape[0].get_length(), size[1], size[0], 3]
        network.reshape({"image": fixed})


def _compiled(core: Any, network: Any, device: str, name: str, threads: int) -> Any:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # Or CPUs that can would calculate in bfloat16, whatever the graph says.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    else:
        # What the graph keeps in single precision stays in it: positions, for instance.
        settings["EXECUTION_MODE_HINT"] = "ACCURACY"
    try:
        return core.compile_model(network, device, settings)
    except Exception as error:
        raise RuntimeFailure(f"OpenVINO cannot load {name}: {reason(error)}") from error


def _forget_pages_of(path: Path) -> None:
    """Let the weights' file leave memory: the compiled network has its own copy, in its own order.

    OpenVINO keeps the file mapped for as long as the network lives, a gigabyte of it for the large
    ones. Only shared, read-only mappings are touched, which lose nothing; only Linux has this.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, *_, name = line.split(maxsplit=5)
        if access == "r--s" and name.startswith(str(path.resolve())):
            first, end = (int(address, 16) for address in span.split("-"))
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _DONTNEED)


def _deform_conv(node: Any) -> list[Any]:
    """Turn ONNX's DeformConv, which OpenVINO does not read, into OpenVINO's own.

    The two agree once samples fade out beyond the border instead of being cut off there.
    """

    def attribute(name: str, default: Any) -> Any:
        return node.get_attribute(name) if node.has_attribute(name) else default

    def optional(index: int) -> Any:
        if index >= node.get_input_size():
            return None
        source = node.get_input(index)
        return None if source.get_node().get_type_name() == "NullNode" else source

    pads = list(attribute("pads", [0, 0, 0, 0]))
    image, weight, offset = (node.get_input(index) for index in range(3))
    result = opset8.deformable_convolution(
        image,
        offset,
        weight,
        strides=list(attribute("strides", [1, 1])),
        pads_begin=pads[:2],
        pads_end=pads[2:],
        dilations=list(attribute("dilations", [1, 1])),
        mask=optional(_MASK),
        auto_pad="EXPLICIT",
        group=attribute("group", 1),
        deformable_group=attribute("offset_group", 1),
        bilinear_interpolation_pad=True,
    )
    bias = optional(_BIAS)
    if bias is not None:
        result = opset8.add(result, opset8.unsqueeze(bias, np.array([0, 2, 3])))
    return list(result.outputs())


def _port(port: Any) -> Port:
    shape = tuple(n.get_length() if n.is_static else None for n in port.partial_shape)
    name = port.any_name if port.names else ""
    return Port(name, port.element_type.to_dtype().name, shape)
