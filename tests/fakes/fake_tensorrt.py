"""Stands in for ``tensorrt`` and ``tensorrt_rtx``, as far as we call them.

``make`` returns something like the module. It parses real ONNX files, "compiles" them into plans
that hold the graph, refuses plans that are not its own, and computes by ONNX Runtime when the
virtual GPU (``fake_cuda.FakeCuda``) comes to it. Whatever the real one has and we do not call is
missing on purpose: who calls more adds it here, and ``test_fake_conformance.py`` checks the names
against the real ones.

::

    api = make("tensorrt", "11.4.0.106", gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", api)
    api.fake.fail("IExecutionContext.execute_async_v3", after=3, says="out of luck")
    api.fake.calls["Builder.build_serialized_network"]
"""

from __future__ import annotations

import json
import struct
import weakref
import zlib
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fakes.fake_cuda import FakeCuda

RTX_ONLY = {
    "ComputeCapability",
    "EngineInvalidityDiagnostics",
    "EngineValidity",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "IExecutionContext.is_stream_capturable",
    "IRuntimeCache",
    "IRuntimeConfig.create_runtime_cache",
    "IRuntimeConfig.set_runtime_cache",
    "Runtime.engine_header_size",
    "Runtime.get_engine_validity",
}
"""What ``tensorrt`` does not have."""


# --- words --------------------------------------------------------------------------------------


class _Words(Enum):
    """An enum as pybind makes it: no number, but it converts to one."""

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


class Severity(_Words):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class NetworkDefinitionCreationFlag(_Words):
    STRONGLY_TYPED = 0


class BuilderFlag(_Words):
    REFIT, TF32, VERSION_COMPATIBLE, STRIP_PLAN = 4, 6, 12, 18


class MemoryPoolType(_Words):
    WORKSPACE = 0


class TensorIOMode(_Words):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(_Words):
    DEVICE, HOST = range(2)


class DataType(_Words):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8 = range(6)
    BF16, INT64 = 7, 8


class LayerType(_Words):
    CONVOLUTION, CAST, ACTIVATION, POOLING = 0, 1, 2, 3
    SCALE, SOFTMAX, DECONVOLUTION, CONCATENATION, ELEMENTWISE = 5, 6, 7, 8, 9
    UNARY, PADDING, SHUFFLE, REDUCE, TOPK, GATHER, MATRIX_MULTIPLY = 11, 12, 13, 14, 15, 16, 17
    CONSTANT, IDENTITY, SLICE, SHAPE, RESIZE, SELECT, FILL = 19, 20, 22, 23, 25, 30, 31
    SCATTER, EINSUM, GRID_SAMPLE, NORMALIZATION, PLUGIN_V3 = 37, 38, 42, 45, 46
    SQUEEZE, UNSQUEEZE = 47, 48


class ComputeCapability(_Words):
    NONE, CURRENT = 0, 1
    SM75, SM80, SM86, SM89, SM120, SM121 = 75, 80, 86, 89, 120, 121


class EngineValidity(_Words):
    VALID, SUBOPTIMAL, INVALID = range(3)


class EngineInvalidityDiagnostics(_Words):
    VERSION_MISMATCH, UNSUPPORTED_CC, MALFORMED_ENGINE = 1, 2, 32


_DTYPES = {
    TensorProto.FLOAT: DataType.FLOAT,
    TensorProto.DOUBLE: DataType.FLOAT,
    TensorProto.FLOAT16: DataType.HALF,
    TensorProto.BFLOAT16: DataType.BF16,
    TensorProto.INT8: DataType.INT8,
    TensorProto.UINT8: DataType.UINT8,
    TensorProto.INT32: DataType.INT32,
    TensorProto.INT64: DataType.INT64,
    TensorProto.BOOL: DataType.BOOL,
}
_NUMPY = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT32": "int32"}
_LAYERS = {
    "CONVOLUTION": "Conv",
    "DECONVOLUTION": "ConvTranspose",
    "MATRIX_MULTIPLY": "MatMul Gemm",
    "NORMALIZATION": "LayerNormalization GroupNormalization InstanceNormalization",
    "SCALE": "BatchNormalization",
    "CAST": "Cast",
    "SOFTMAX": "Softmax",
    "ACTIVATION": "Relu Sigmoid Tanh LeakyRelu HardSigmoid HardSwish Clip Gelu",
    "UNARY": "Erf Exp Log Sqrt Abs Neg Floor Ceil Round Not Reciprocal IsNaN IsInf",
    "ELEMENTWISE": "Add Sub Mul Div Pow Min Max Equal Greater Less And Or GreaterOrEqual",
    "SHUFFLE": "Reshape Transpose Flatten",
    "SQUEEZE": "Squeeze",
    "UNSQUEEZE": "Unsqueeze",
    "CONCATENATION": "Concat",
    "SLICE": "Slice Split Expand Tile",
    "PADDING": "Pad",
    "GATHER": "Gather GatherElements GatherND",
    "SCATTER": "ScatterND ScatterElements",
    "RESIZE": "Resize",
    "GRID_SAMPLE": "GridSample",
    "REDUCE": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd GlobalAveragePool",
    "POOLING": "AveragePool MaxPool",
    "EINSUM": "Einsum",
    "SELECT": "Where",
    "TOPK": "TopK ArgMax",
    "SHAPE": "Shape",
    "FILL": "Range ConstantOfShape",
    "CONSTANT": "Constant",
    "IDENTITY": "Identity",
}
_LAYER_OF = {op: LayerType[kind] for kind, ops in _LAYERS.items() for op in ops.split()}


# --- the library and what it does on request ----------------------------------------------------


@dataclass
class Library:
    """What a module has besides its names: what it is, what it was asked, how it should fail."""

    kind: str
    """``tensorrt`` or ``tensorrt_rtx``."""
    version: str
    cuda: FakeCuda | None
    """The GPU; ``None`` if there is neither one nor a driver."""
    calls: Counter[str] = field(default_factory=Counter)
    """By name, such as ``IExecutionContext.set_tensor_address``."""
    order: list[str] = field(default_factory=list)
    """The same names as they came; ``~ICudaEngine`` is the end of one."""
    networks: list[dict[str, Any]] = field(default_factory=list)
    """The settings of each build."""
    compiled: int = 0
    """How often kernels were compiled on first use, for lack of a runtime cache that has them."""
    timed: int = 0
    """How often kernels were timed by a build, for lack of a timing cache that knows them."""
    padding: int = 0
    """Bytes that every plan is too long."""
    before_step: Callable[[str, int], None] = lambda _phase, _step: None
    """Called before every step of a build: to block there, or to be slow."""
    _plans: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def rtx(self) -> bool:
        """Whether it is TensorRT-RTX."""
        return self.kind == "tensorrt_rtx"

    def fail(self, name: str, after: int = 1, says: str = "made to fail") -> None:
        """Let the ``after``-th call of a method from now on, counted from 1, fail once.

        It then returns what the real one does: ``False`` or ``None``, and logs an error.
        ``Builder`` and ``Runtime`` raise ``TypeError``.
        """
        self._plans[name, self.calls[name] + after] = says

    def counted(self, name: str, logger: ILogger | None = None) -> bool:
        """Count a call; return whether it should go well."""
        self.calls[name] += 1
        self.order.append(name)
        says = self._plans.pop((name, self.calls[name]), None)
        if says is not None and logger is not None:
            _say(logger, says)
        return says is None

    def violate(self, what: str) -> None:
        """Record what must not be done, where the GPU keeps it."""
        if self.cuda is not None:
            self.cuda.violate(what)

    @property
    def no_gpu(self) -> str:
        """Why there is no GPU, in the words of the real one; empty if there is one."""
        if self.cuda is None:
            return "CUDA initialization failure with error: 35"
        broken = self.cuda.broken
        return f"Cuda Runtime (cudaError {int(broken)}: {broken.name})" if broken else ""


class _Native:
    """An object of the library: it has no attributes but those that it was born with."""

    _lib: Library

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


class ILogger:
    """To be derived from."""

    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    """To be derived from."""

    def __init__(self) -> None:
        self._made = True

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


def _checked(value: Any, kind: type) -> Any:
    """Refuse what pybind would refuse."""
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: {value!r} is no {kind.__name__}")
    if kind in (ILogger, IProgressMonitor) and not getattr(value, "_made", False):
        raise TypeError(f"{kind.__name__}.__init__() must be called when overriding __init__")
    return value


class IHostMemory(bytes):
    """Memory of the library: it can be viewed, and has a size, but is no sequence."""

    @property
    def nbytes(self) -> int:
        return bytes.__len__(self)

    @property
    def dtype(self) -> DataType:
        return DataType.INT8

    def __len__(self) -> int:
        raise TypeError(f"object of type {type(self).__name__!r} has no len()")

    def __getitem__(self, key: Any) -> Any:
        raise TypeError(f"{type(self).__name__!r} object is not subscriptable")


def _say(logger: ILogger, what: str) -> None:
    logger.log(Severity.ERROR, what)


# --- networks -----------------------------------------------------------------------------------


class ITensor(_Native):
    def __init__(self, network: INetworkDefinition, name: str) -> None:
        self._network, self._name = network, name

    @property
    def name(self) -> str:
        return self._name

    @property
    def dtype(self) -> DataType:
        return self._network._types[self._name][0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._network._types[self._name][1]

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        self._network._reshape(self._name, tuple(shape))


class ILayer(_Native):
    def __init__(self, network: INetworkDefinition, node: onnx.NodeProto, name: str) -> None:
        self._name = node.name or name
        self._type = _LAYER_OF.get(node.op_type, LayerType.PLUGIN_V3)
        self._inputs = [
            ITensor(network, one) if one else None
            for one in node.input
            if one not in network._constants
        ]
        self._outputs = [ITensor(network, one) for one in node.output if one]

    @property
    def name(self) -> str:
        return self._name

    @property
    def type(self) -> LayerType:
        return self._type

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> ITensor | None:
        return _at(self._inputs, index)

    def get_output(self, index: int) -> ITensor | None:
        return _at(self._outputs, index)


def _at(things: list[Any], index: int) -> Any:
    return things[index] if 0 <= index < len(things) else None


class INetworkDefinition(_Native):
    def __init__(self, lib: Library, flags: int) -> None:
        self._lib, self._flags = lib, flags
        self._proto = onnx.ModelProto()
        self._constants: set[str] = set()
        self._types: dict[str, tuple[DataType, tuple[int, ...]]] = {}
        self._inputs: list[ITensor] = []
        self._outputs: list[ITensor] = []
        self._layers: list[ILayer] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_input(self, index: int) -> ITensor | None:
        return _at(self._inputs, index)

    def get_output(self, index: int) -> ITensor | None:
        return _at(self._outputs, index)

    def get_layer(self, index: int) -> ILayer | None:
        return _at(self._layers, index)

    def _take(self, proto: onnx.ModelProto) -> None:
        """Be what an ONNX file says."""
        self._proto = proto
        self._constants = {tensor.name for tensor in proto.graph.initializer}
        self._infer()
        graph = proto.graph
        self._inputs = [
            ITensor(self, one.name) for one in graph.input if one.name not in self._constants
        ]
        self._outputs = [ITensor(self, one.name) for one in graph.output]
        self._layers = [
            ILayer(self, node, f"node {index} ({node.op_type})")
            for index, node in enumerate(graph.node)
        ]

    def _infer(self) -> None:
        """Find the type of every tensor."""
        graph = onnx.shape_inference.infer_shapes(self._proto).graph
        for one in (*graph.value_info, *graph.input, *graph.output):
            found = one.type.tensor_type
            lengths = (
                side.dim_value if side.HasField("dim_value") else -1 for side in found.shape.dim
            )
            self._types[one.name] = _DTYPES[found.elem_type], tuple(lengths)
        for one in graph.initializer:
            self._types[one.name] = _DTYPES[one.data_type], tuple(one.dims)

    def _reshape(self, name: str, shape: tuple[int, ...]) -> None:
        graph = self._proto.graph
        value = next((one for one in graph.input if one.name == name), None)
        if value is None:
            raise ValueError(f"{name} is no input of the network")
        for side, length in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            side.dim_value = length
        for one in graph.output:
            for side in one.type.tensor_type.shape.dim:
                side.Clear()
        del graph.value_info[:]
        self._infer()


class ParserError(_Native):
    def __init__(self, desc: str, node_name: str = "", node_operator: str = "") -> None:
        self._desc, self._node_name, self._node_operator = desc, node_name, node_operator

    def desc(self) -> str:
        return self._desc

    def node_name(self) -> str:
        return self._node_name

    def node_operator(self) -> str:
        return self._node_operator


class OnnxParser(_Native):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._logger = _checked(network, INetworkDefinition), logger
        _checked(logger, ILogger)
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse_from_file(self, model: str) -> bool:
        _checked(model, str)
        if not self._lib.counted("OnnxParser.parse_from_file"):
            return self._refuse("made to fail")
        try:
            proto = onnx.load(model)
        except Exception as error:  # noqa: BLE001  whatever it is, it cannot be read
            return self._refuse(f"Failed to parse the ONNX model: {error}")
        for node in proto.graph.node:
            if why := self._why_not(node.op_type):
                return self._refuse(why, node.name, node.op_type)
        self._network._take(proto)
        return True

    def _why_not(self, op: str) -> str:
        if op == "DeformConv" and not self._lib.rtx:
            return ""
        if op in ("DeformConv", "NonZero"):
            return "Plugin not found, are the plugin name, version, and namespace correct?"
        return "" if op in _LAYER_OF else f"No importer registered for op: {op}"

    def _refuse(self, desc: str, name: str = "", op: str = "") -> bool:
        self._errors.append(ParserError(desc, name, op))
        _say(self._logger, f"In node 0 with name: {name} and operator: {op}: {desc}")
        return False


# --- building -----------------------------------------------------------------------------------


class _Kept(_Native):
    """What was found out once, for one version and one GPU."""

    def __init__(self, lib: Library) -> None:
        self._lib = lib
        self._known: set[int] = set()
        """Checksums of graphs."""

    def serialize(self) -> IHostMemory | None:
        if not self._lib.counted(f"{type(self).__name__}.serialize"):
            return None
        return IHostMemory(json.dumps([*self._tag, sorted(self._known)]).encode())

    @property
    def _tag(self) -> list[str]:
        kind = type(self).__name__
        return [kind, self._lib.version, self._lib.cuda.name if self._lib.cuda else ""]

    def _read(self, blob: Any) -> bool:
        """Take what was serialised; return whether it is for this version and this GPU."""
        try:
            *tag, known = json.loads(bytes(memoryview(blob).cast("B")))
        except ValueError:
            return False
        if tag == self._tag:
            self._known |= set(known)
        return tag == self._tag


class ITimingCache(_Kept):
    """How quick which kernel is."""


class IBuilderConfig(_Native):
    def __init__(self, lib: Library) -> None:
        self._lib = lib
        self._flags = {BuilderFlag.TF32}
        self._monitor: IProgressMonitor | None = None
        self._limits: dict[MemoryPoolType, int] = {}
        self._level, self._aux = 3, -1
        self._targets: list[ComputeCapability] = []
        self._timings: ITimingCache | None = None

    def create_timing_cache(self, serialized_timing_cache: Any) -> ITimingCache | None:
        cache = ITimingCache(self._lib)
        good = self._lib.counted("IBuilderConfig.create_timing_cache")
        empty = not memoryview(serialized_timing_cache).nbytes
        return cache if good and (empty or cache._read(serialized_timing_cache)) else None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:  # noqa: ARG002
        good = self._lib.counted("IBuilderConfig.set_timing_cache")
        if good:
            self._timings = _checked(cache, ITimingCache)
        return good

    def get_timing_cache(self) -> ITimingCache | None:
        return self._timings

    @property
    def progress_monitor(self) -> IProgressMonitor | None:
        return self._monitor

    @progress_monitor.setter
    def progress_monitor(self, monitor: IProgressMonitor) -> None:
        self._monitor = _checked(monitor, IProgressMonitor)

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        self._level = _checked(level, int)

    @property
    def max_aux_streams(self) -> int:
        return self._aux

    @max_aux_streams.setter
    def max_aux_streams(self, number: int) -> None:
        self._aux = _checked(number, int)

    def set_flag(self, flag: BuilderFlag) -> None:
        self._flags.add(_checked(flag, BuilderFlag))

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(_checked(flag, BuilderFlag))

    def get_flag(self, flag: BuilderFlag) -> bool:
        return _checked(flag, BuilderFlag) in self._flags

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._limits[_checked(pool, MemoryPoolType)] = _checked(pool_size, int)

    def _settings(self) -> dict[str, Any]:
        """Return what tests ask for."""
        return {
            "flags": {flag.name for flag in self._flags},
            "level": self._level,
            "aux_streams": self._aux,
            "limits": {pool.name: size for pool, size in self._limits.items()},
            "targets": [target.name for target in self._targets],
        }


class RtxBuilderConfig(IBuilderConfig):
    @property
    def num_compute_capabilities(self) -> int:
        return len(self._targets)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, number: int) -> None:
        self._targets = [ComputeCapability.NONE] * number

    def set_compute_capability(self, compute_capability: ComputeCapability, index: int) -> bool:
        _checked(compute_capability, ComputeCapability)
        if not 0 <= index < len(self._targets):
            return False
        good = self._lib.counted("IBuilderConfig.set_compute_capability")
        if good:
            self._targets[index] = compute_capability
        return good


class Builder(_Native):
    def __init__(self, logger: ILogger) -> None:
        self._logger = _checked(logger, ILogger)
        if not self._lib.counted("Builder", logger) or (self._lib.no_gpu and not self._lib.rtx):
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        _checked(flags, int)
        return INetworkDefinition(self._lib, flags)

    def create_builder_config(self) -> IBuilderConfig:
        return (RtxBuilderConfig if self._lib.rtx else IBuilderConfig)(self._lib)

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        lib = self._lib
        lib.networks.append({"network_flags": network._flags, **config._settings()})
        if not lib.counted("Builder.build_serialized_network", self._logger):
            return None
        targets = self._targets(config)
        if targets is None or not self._static(network) or not self._report(config._monitor):
            return None
        self._time(network, config._timings)
        return IHostMemory(_plan(lib, network, targets))

    def _time(self, network: INetworkDefinition, cache: ITimingCache | None) -> None:
        """Time kernels, if nobody remembers how quick they are; only TensorRT does."""
        graph = zlib.crc32(network._proto.SerializeToString())
        if not self._lib.rtx and (cache is None or graph not in cache._known):
            self._lib.timed += 1
        if cache is not None:
            cache._known.add(graph)

    def _targets(self, config: IBuilderConfig) -> list[int] | None:
        """Return the GPUs that it is for, as 89; ``None`` if that cannot be."""
        here = _here(self._lib)
        if not self._lib.rtx:
            return [here]
        targets = [int(target) for target in config._targets]
        if int(ComputeCapability.CURRENT) in targets and self._lib.no_gpu:
            _say(self._logger, self._lib.no_gpu)
            return None
        return [here if target == int(ComputeCapability.CURRENT) else target for target in targets]

    def _static(self, network: INetworkDefinition) -> bool:
        for tensor in network._inputs:
            if any(length < 0 for length in tensor.shape):
                _say(
                    self._logger,
                    "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network has "
                    "dynamic or shape inputs, but no optimization profile has been defined.)",
                )
                return False
        return True

    def _report(self, monitor: IProgressMonitor | None) -> bool:
        """Tell a monitor how far it is, nested as the real one does; return whether to go on."""
        if monitor is None or _phase(self._lib, monitor, _PHASES[0], None):
            return True
        _say(
            self._logger,
            "IBuilder::buildSerializedNetwork: Error Code 7: Build canceled by user",
        )
        return False


_PHASES = ("Building engine", "Cloning network graph", "Optimizing graph", "Timing tactics")
_STEPS = 3


def _phase(lib: Library, monitor: IProgressMonitor, name: str, parent: str | None) -> bool:
    monitor.phase_start(name, parent, _STEPS)
    try:
        for step in range(_STEPS):
            if parent is None and not _phase(lib, monitor, _PHASES[1 + step], name):
                return False
            lib.before_step(name, step)
            if not monitor.step_complete(name, step):
                return False
        return True
    finally:
        monitor.phase_finish(name)


# --- plans --------------------------------------------------------------------------------------

_HEADER = struct.Struct("<8s12s16s8sQI8x")
"""Magic, kind, version, capabilities, length and checksum of what follows: 64 bytes."""
_MAGIC = b"FAKEPLAN"
_PORTABLE = (80, 86, 89, 120, 121)
"""Where a plan of TensorRT-RTX runs that is for no GPU in particular."""


def _here(lib: Library) -> int:
    """Return the compute capability of the GPU here, as 89."""
    return 10 * lib.cuda.capability[0] + lib.cuda.capability[1] if lib.cuda else 0


def _plan(lib: Library, network: INetworkDefinition, targets: list[int]) -> bytes:
    proto = network._proto.SerializeToString()
    ports = [
        (one.name, one.dtype.name, one.shape, mode)
        for mode, tensors in (("INPUT", network._inputs), ("OUTPUT", network._outputs))
        for one in tensors
    ]
    device = lib.cuda.name if lib.cuda and not lib.rtx else ""
    facts = json.dumps({"ports": ports, "device": device, "onnx": len(proto)}).encode()
    body = facts + b"\n" + proto + bytes(lib.padding)
    kind, version = lib.kind.encode(), lib.version.encode()
    head = _HEADER.pack(_MAGIC, kind, version, bytes(targets), len(body), zlib.crc32(body))
    return head + body


@dataclass(frozen=True)
class _Reason:
    """Why a plan cannot be used here."""

    flag: EngineInvalidityDiagnostics
    said: str


def _reason(lib: Library, head: bytes) -> _Reason | None:
    """Return why a plan cannot be used here, from its first bytes; nothing if it can."""
    foreign = _Reason(
        EngineInvalidityDiagnostics.MALFORMED_ENGINE,
        "magicTag check failed: the plan was not made by this library, or is corrupt",
    )
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        return foreign
    _, kind, version, targets, *_ = _HEADER.unpack_from(head)
    if kind.rstrip(b"\0").decode() != lib.kind:
        return foreign
    version = version.rstrip(b"\0").decode()
    if version != lib.version:
        return _Reason(
            EngineInvalidityDiagnostics.VERSION_MISMATCH,
            "The engine plan file is not compatible with this version of TensorRT, expecting "
            f"library version {lib.version} got {version}",
        )
    good, here = tuple(targets.rstrip(b"\0")) or _PORTABLE, _here(lib)
    if lib.no_gpu or here in good:
        return None
    return _Reason(
        EngineInvalidityDiagnostics.UNSUPPORTED_CC,
        "The engine plan file is generated on an incompatible device, expecting compute "
        f"{here / 10} got compute {good[0] / 10}, please rebuild.",
    )


class _Plan:
    """What a plan holds, ready to compute; shared by an engine and its contexts."""

    def __init__(self, content: memoryview) -> None:
        line, _, rest = bytes(content[_HEADER.size :]).partition(b"\n")
        facts = json.loads(line)
        self.device: str = facts["device"]
        self.onnx = rest[: facts["onnx"]]
        self.digest = zlib.crc32(self.onnx)
        self.ports = {
            name: (DataType[dtype], tuple(shape), TensorIOMode[mode])
            for name, dtype, shape, mode in facts["ports"]
        }
        self._session: Any = None

    def names(self, mode: TensorIOMode) -> list[str]:
        """Return the tensors of one side."""
        return [name for name, port in self.ports.items() if port[2] is mode]

    def nbytes(self, name: str) -> int:
        """Return the size of a tensor."""
        dtype, shape, _ = self.ports[name]
        return prod(shape) * np.dtype(_NUMPY[dtype.name]).itemsize

    def compute(self, *memory: NDArray[np.uint8]) -> None:
        """Compute from the memory of the inputs to that of the outputs, as ONNX Runtime does."""
        views = dict(zip(self.ports, memory, strict=True))
        feed = {name: self._typed(name, views[name]) for name in self.names(TensorIOMode.INPUT)}
        outputs = self.names(TensorIOMode.OUTPUT)
        for name, value in zip(outputs, self._run(outputs, feed), strict=True):
            self._typed(name, views[name])[...] = value

    def _typed(self, name: str, memory: NDArray[np.uint8]) -> NDArray[Any]:
        dtype, shape, _ = self.ports[name]
        return memory.view(_NUMPY[dtype.name]).reshape(shape)

    def _run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        import onnxruntime

        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(
                self.onnx, options, providers=["CPUExecutionProvider"]
            )
        found: list[Any] = self._session.run(outputs, feed)
        return found


# --- running ------------------------------------------------------------------------------------


class Runtime(_Native):
    def __init__(self, logger: ILogger) -> None:
        self._logger = _checked(logger, ILogger)
        self._engines: weakref.WeakSet[ICudaEngine] = weakref.WeakSet()
        if not self._lib.counted("Runtime", logger) or (self._lib.no_gpu and not self._lib.rtx):
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        lib, content = self._lib, memoryview(serialized_engine).cast("B")
        if not lib.counted("Runtime.deserialize_cuda_engine", self._logger):
            return None
        reason = _reason(lib, bytes(content[: _HEADER.size]))
        why = lib.no_gpu or (reason.said if reason else "")
        if not why:
            *_, length, checksum = _HEADER.unpack_from(content)
            body = content[_HEADER.size :]
            if len(body) != length or zlib.crc32(body) != checksum:
                why = "Serialization assertion failed: the plan is cut off or corrupt"
        if not why:
            assert lib.cuda is not None
            plan = _Plan(content)
            weights = lib.cuda.reserve(len(plan.onnx))
            if weights is not None:
                engine = ICudaEngine(lib, self._logger, plan, weights)
                self._engines.add(engine)
                return engine
            why = "Requested amount of GPU memory could not be allocated: out of memory"
        _say(self._logger, f"IRuntime::deserializeCudaEngine: Error Code 6: {why}")
        return None

    def __del__(self) -> None:
        if len(getattr(self, "_engines", ())):
            self._lib.violate("a runtime ends before its engines")
        self._lib.order.append("~Runtime")


class RtxRuntime(Runtime):
    @property
    def engine_header_size(self) -> int:
        return _HEADER.size

    def get_engine_validity(self, buffer: Any) -> tuple[EngineValidity, int]:
        reason = _reason(self._lib, bytes(memoryview(buffer).cast("B")[: _HEADER.size]))
        why = reason.said if reason else self._lib.no_gpu
        if why:
            _say(self._logger, why)
        flag = int(reason.flag) if reason else 0  # a number, as the real one, and no enum
        return (EngineValidity.INVALID if why else EngineValidity.VALID), flag


class IRuntimeCache(_Kept):
    """Kernels that were compiled for the GPU here."""

    def __del__(self) -> None:
        self._lib.order.append("~IRuntimeCache")

    def deserialize(self, blob: Any) -> bool:
        return self._lib.counted("IRuntimeCache.deserialize") and self._read(blob)


class IRuntimeConfig(_Native):
    def __init__(self, lib: Library) -> None:
        self._lib = lib
        self._cache: IRuntimeCache | None = None


class RtxRuntimeConfig(IRuntimeConfig):
    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache(self._lib)

    def set_runtime_cache(self, cache: IRuntimeCache | None = None) -> bool:
        good = self._lib.counted("IRuntimeConfig.set_runtime_cache")
        if good:
            self._cache = cache
        return good


class ICudaEngine(_Native):
    def __init__(self, lib: Library, logger: ILogger, plan: _Plan, weights: int) -> None:
        self._lib, self._logger, self._plan, self._weights = lib, logger, plan, weights
        self._contexts: weakref.WeakSet[IExecutionContext] = weakref.WeakSet()
        assert lib.cuda is not None
        self._device = lib.cuda.device

    @property
    def num_io_tensors(self) -> int:
        return len(self._plan.ports)

    @property
    def device_memory_size_v2(self) -> int:
        return _SCRATCH

    def get_tensor_name(self, index: int) -> str:
        return list(self._plan.ports)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._plan.ports[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._plan.ports[name][1]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self._plan.ports[name][2] if name in self._plan.ports else TensorIOMode.NONE

    def get_tensor_location(self, name: str) -> TensorLocation:  # noqa: ARG002  all are there
        return TensorLocation.DEVICE

    def create_runtime_config(self) -> IRuntimeConfig | None:
        if not self._lib.counted("ICudaEngine.create_runtime_config", self._logger):
            return None
        return (RtxRuntimeConfig if self._lib.rtx else IRuntimeConfig)(self._lib)

    def create_execution_context(
        self, runtime_config: IRuntimeConfig | None = None
    ) -> IExecutionContext | None:
        lib = self._lib
        if not lib.counted("ICudaEngine.create_execution_context", self._logger):
            return None
        assert lib.cuda is not None
        scratch = None if lib.no_gpu else lib.cuda.reserve(_SCRATCH)
        if scratch is None:
            why = lib.no_gpu or "Requested amount of GPU memory could not be allocated"
            _say(self._logger, why)
            return None
        self._compile(runtime_config)
        kind = RtxExecutionContext if lib.rtx else IExecutionContext
        context = kind(lib, self._logger, self._plan, weakref.ref(self), scratch)
        self._contexts.add(context)
        return context

    def _compile(self, config: IRuntimeConfig | None) -> None:
        """Compile kernels for the GPU here, if no cache has them; only TensorRT-RTX does."""
        cache = config._cache if config is not None else None
        if self._lib.rtx and (cache is None or self._plan.digest not in cache._known):
            self._lib.compiled += 1
            if cache is not None:
                cache._known.add(self._plan.digest)

    def __del__(self) -> None:
        if len(self._contexts):
            self._lib.violate("an engine ends before its execution contexts")
        self._lib.order.append("~ICudaEngine")
        assert self._lib.cuda is not None
        self._lib.cuda.release(self._weights)


_SCRATCH = 4096
"""Bytes that every context has for itself, so that it can do one thing at a time only."""


class IExecutionContext(_Native):
    def __init__(
        self,
        lib: Library,
        logger: ILogger,
        plan: _Plan,
        engine: weakref.ref[ICudaEngine],
        scratch: int,
    ) -> None:
        self._lib, self._logger, self._plan, self._engine = lib, logger, plan, engine
        self._scratch = scratch
        self._addresses: dict[str, int] = {}
        self._ran = False
        """Whether it is set up, which happens when it runs first and cannot be noted down."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        _checked(memory, int)
        if not self._lib.counted("IExecutionContext.set_tensor_address", self._logger):
            return False
        if name not in self._plan.ports or memory % 256:
            _say(self._logger, f"IExecutionContext::setTensorAddress: {name}, {memory}")
            return False
        self._addresses[name] = memory
        return True

    def infer_shapes(self) -> list[str]:
        good = self._lib.counted("IExecutionContext.infer_shapes")
        return [] if good else self._plan.names(TensorIOMode.INPUT)

    def execute_async_v3(self, stream_handle: int) -> bool:
        _checked(stream_handle, int)
        good = self._lib.counted("IExecutionContext.execute_async_v3", self._logger)
        why = self._why_not(stream_handle)
        if not good or why:
            _say(self._logger, f"IExecutionContext::enqueueV3: {why}")
            return False
        cuda, engine = self._lib.cuda, self._engine()
        assert cuda is not None
        assert engine is not None
        sides = [
            [(self._addresses[name], self._plan.nbytes(name)) for name in self._plan.names(mode)]
            for mode in (TensorIOMode.INPUT, TensorIOMode.OUTPUT)
        ]
        reads = [(engine._weights, len(self._plan.onnx)), *sides[0]]
        writes = [*sides[1], (self._scratch, _SCRATCH)]
        plan = self._plan

        def work(_: Any, *memory: NDArray[np.uint8]) -> None:
            plan.compute(*memory[:-1])  # the first are the weights, the last is scratch

        cuda.kernel(stream_handle, "the network", reads, writes, work)
        self._ran = True
        return not cuda.broken

    def _why_not(self, stream: int) -> str:
        """Return why it cannot run; nothing if it can."""
        if self._lib.no_gpu:
            return self._lib.no_gpu
        engine, cuda = self._engine(), self._lib.cuda
        assert cuda is not None
        if engine is None:
            self._lib.violate("an execution context is used after its engine ended")
            return "no engine"
        if engine._device != cuda.device:
            self._lib.violate(f"an engine of device {engine._device} runs on {cuda.device}")
        missing = [name for name in self._plan.ports if name not in self._addresses]
        if missing:
            return f"Error Code 3: Address is not set for tensor {missing[0]}"
        if cuda.capturing(stream) and not self._ran:
            cuda.invalidate(stream)
            return "Error Code 1: Cuda Runtime (operation not permitted when stream is capturing)"
        return ""

    def __del__(self) -> None:
        self._lib.order.append("~IExecutionContext")
        assert self._lib.cuda is not None
        self._lib.cuda.release(self._scratch)


class RtxExecutionContext(IExecutionContext):
    def is_stream_capturable(self, stream: int) -> bool:
        _checked(stream, int)
        return self._lib.counted("IExecutionContext.is_stream_capturable")


# --- the module ---------------------------------------------------------------------------------

_CLASSES: dict[str, tuple[type, type | None]] = {
    "Builder": (Builder, Builder),
    "BuilderFlag": (BuilderFlag, BuilderFlag),
    "ComputeCapability": (ComputeCapability, None),
    "DataType": (DataType, DataType),
    "EngineInvalidityDiagnostics": (EngineInvalidityDiagnostics, None),
    "EngineValidity": (EngineValidity, None),
    "IBuilderConfig": (RtxBuilderConfig, IBuilderConfig),
    "ICudaEngine": (ICudaEngine, ICudaEngine),
    "IExecutionContext": (RtxExecutionContext, IExecutionContext),
    "IHostMemory": (IHostMemory, IHostMemory),
    "ILayer": (ILayer, ILayer),
    "ILogger": (ILogger, ILogger),
    "INetworkDefinition": (INetworkDefinition, INetworkDefinition),
    "IProgressMonitor": (IProgressMonitor, IProgressMonitor),
    "IRuntimeCache": (IRuntimeCache, None),
    "IRuntimeConfig": (RtxRuntimeConfig, IRuntimeConfig),
    "ITensor": (ITensor, ITensor),
    "ITimingCache": (ITimingCache, ITimingCache),
    "LayerType": (LayerType, LayerType),
    "MemoryPoolType": (MemoryPoolType, MemoryPoolType),
    "NetworkDefinitionCreationFlag": (NetworkDefinitionCreationFlag,) * 2,
    "OnnxParser": (OnnxParser, OnnxParser),
    "ParserError": (ParserError, ParserError),
    "Runtime": (RtxRuntime, Runtime),
    "TensorIOMode": (TensorIOMode, TensorIOMode),
    "TensorLocation": (TensorLocation, TensorLocation),
}
"""Of TensorRT-RTX and of TensorRT."""
_MADE_BY_US = ("Builder", "OnnxParser", "Runtime")


def make(kind: str = "tensorrt", version: str = "11.4.0.106", cuda: FakeCuda | None = None) -> Any:
    """Return something like the module.

    Args:
        kind: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of four parts.
        cuda: The GPU; without one, TensorRT does not even start, and TensorRT-RTX only compiles.

    Returns:
        The module; its ``fake`` is the ``Library``.
    """
    library = Library(kind, version, cuda)
    module: Any = ModuleType(kind)
    module.__version__, module.fake = version, library
    for name, (rtx, plain) in _CLASSES.items():
        found = rtx if library.rtx else plain
        if found is not None and name in _MADE_BY_US:
            found = type(name, (found,), {"_lib": library})
        if found is not None:
            setattr(module, name, found)

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        return library.counted("init_libnvinfer_plugins", logger)

    module.init_libnvinfer_plugins = init_libnvinfer_plugins
    return module
