"""ONNX Runtime: on the CPU, and on whatever else the installed build of it can use."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from onnxruntime import InferenceSession, SessionOptions

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
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.models.base import Model, Size
    from streammatte.runtimes.base import Placement

_ERRORS_ONLY, _FATAL_ONLY, _DEFAULT = 3, 4, 2
_SUFFIX = "ExecutionProvider"
_CPU = "CPUExecutionProvider"
_ALIASES = {"auto": "cpu", "directml": "dml", "trt": "tensorrt"}
_ABSENT = {
    "cuda": 'pip install "onnxruntime-gpu[cuda,cudnn]" instead of onnxruntime',
    "dml": "pip install onnxruntime-directml instead of onnxruntime",
    "migraphx": "pip install onnxruntime-migraphx instead of onnxruntime",
    "openvino": "pip install onnxruntime-ep-openvino, or use --runtime openvino",
    "coreml": "Apple's computers have it",
    "rocm": "AMD builds it; the newer one is migraphx",
    "tensorrt": "onnxruntime-gpu has it",
}
"""What people may ask for, and what to do where a build lacks it."""
_IN_FP32 = ("cpu", "openvino")
_NUMBERED = ("cuda", "dml", "migraphx", "rocm", "tensorrt")
_OPTIONS = {"coreml": {"ModelFormat": "MLProgram"}}  # the older format has no half precision
_AWAY = ("azure",)
"""Providers that send pictures to somebody else's computer."""
_TYPES = {"float": "float32", "double": "float64"}


class OnnxRuntime:
    """Runs a model's ONNX file; see ``runtimes.base.Runtime``."""

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:
        """Load the weights, and run a network once whose first frame would else be slow.

        Args:
            model: Whose ``onnx()`` is run.
            size: ``(width, height)`` of its input.
            placement: ``device`` is a name in ``devices()``, with ``:n`` for the n-th of its kind;
                ``auto`` is the CPU (``runtimes.choice`` tries GPUs first).

        Raises:
            UsageError: if nobody has heard of such a device.
            ModelError: if the weights are missing or changed, or the graph does not fit.
            DependencyError: if this build of ONNX Runtime cannot use the device, or is too old.
            RuntimeFailure: if ONNX Runtime refuses the graph, or took the CPU instead.
        """
        target = _target(placement.device)
        check_gpu(placement, "ONNX Runtime", target.device)
        wish = placement.precision
        if wish == "auto":
            wish = "fp32" if target.kind in _IN_FP32 else "fp16"
        path = model.onnx(size, Graph("onnxruntime", wish, placement.batch or 1))
        small = weight_bytes(path) <= BIG
        self._session: Any = _opened(path, target, model.card.name, 1 if small else cores())
        name, session = model.card.name, self._session
        said = session.get_modelmeta().custom_metadata_map.get(PRECISION)
        self.precision = precision_of(name, model, said, placement.precision)
        self.description = f"ONNX Runtime {onnxruntime.__version__} on {_really(session, target)}"
        self.device = target.device
        self.inputs = tuple(map(_port, session.get_inputs()))
        self.outputs = tuple(map(_port, session.get_outputs()))
        check_contract(name, size, self.inputs, self.outputs)
        self.batch = batch_of(self.inputs, placement.batch)
        if small or target.kind != "cpu":
            self.infer(np.zeros((self.batch, size[1], size[0], 3), np.uint8))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images; see ``runtimes.base.Runtime``."""
        try:
            (alpha,) = self._session.run(["alpha"], {"image": filled(images, self.inputs)})
        except Exception as error:
            raise failure("ONNX Runtime", error) from error
        return np.asarray(alpha[: len(images)], np.float32)

    def close(self) -> None:
        """Let go of the session."""
        self._session = None


@dataclass(frozen=True)
class _Target:
    """Where a session is asked to run."""

    kind: str
    """As in ``devices()``."""
    provider: str
    device: str
    """``kind``, with the number of the device where there may be several."""
    options: dict[str, str] = field(default_factory=dict)
    plugin: tuple[Any, ...] = ()
    """ONNX Runtime's own descriptions of the device, if a package of its own brings it."""


def devices() -> list[str]:
    """Return what this build can run on, as ``Placement.device`` names it; the CPU comes last."""
    there = (_kind(name) for name in onnxruntime.get_available_providers())
    names = [kind for kind in there if kind not in (*_AWAY, "cpu")]
    return [*dict.fromkeys([*names, *(_kind(one.ep_name) for one in _plugins())]), "cpu"]


def _kind(provider: str) -> str:
    return provider.removesuffix(_SUFFIX).lower()


@cache
def _plugins() -> tuple[Any, ...]:
    """Return the devices of installed packages that add to ONNX Runtime, and register these."""
    register = getattr(onnxruntime, "register_execution_provider_library", None)
    names = [one.name for one in importlib.metadata.distributions()]
    for name in filter(lambda name: name and name.startswith("onnxruntime-ep-"), names):
        with contextlib.suppress(Exception):  # a package that does not load brings no devices
            register(name, importlib.import_module(name.replace("-", "_")).get_library_path())  # type: ignore[misc]
    found = onnxruntime.get_ep_devices() if register else ()
    return tuple(one for one in found if _kind(one.ep_name) not in (*_AWAY, "cpu"))


def _target(device: str) -> _Target:
    """Read ``cpu``, ``cuda``, ``cuda:1``, ``openvino:gpu``, ...

    Raises:
        UsageError: if nobody has heard of such a device.
        DependencyError: if this build does not have it.
    """
    kind, _, unit = device.lower().partition(":")
    kind = _ALIASES.get(kind, kind)
    if kind == "cpu" and not unit:
        return _Target(kind, _CPU, kind)
    options = dict(_OPTIONS.get(kind, {}))
    if kind == "openvino" and unit in ("cpu", "gpu", "npu"):
        options["device_type"] = unit.upper()
    elif kind in _NUMBERED and (not unit or unit.isdecimal()):
        options["device_id"] = unit = unit or "0"
    elif unit:
        raise UsageError(f"--device: ONNX Runtime knows no {device!r}; it has {_listed()}")
    name = f"{kind}:{unit}" if unit else kind
    for provider in onnxruntime.get_available_providers():
        if _kind(provider) == kind and kind not in _AWAY:
            return _Target(kind, provider, name, options)
    plugin = tuple(one for one in _plugins() if _kind(one.ep_name) == kind and _is(one, unit))
    if plugin:
        return _Target(kind, plugin[0].ep_name, name, plugin=plugin[:1])
    if kind not in _ABSENT:
        raise UsageError(f"--device: ONNX Runtime knows no {device!r}; it has {_listed()}")
    raise DependencyError(
        f"this ONNX Runtime has no {kind} provider (it has {_listed()}): {_ABSENT[kind]}"
    )


def _is(one: Any, unit: str) -> bool:
    return unit in ("", "0", one.device.type.name.lower())


def _listed() -> str:
    return ", ".join(devices())


def _opened(path: Path, target: _Target, name: str, threads: int) -> Any:
    options = SessionOptions()
    options.intra_op_num_threads = threads
    if threads > 1:
        # Plans for memory hold a third more of it than they save time; threads that wait in a
        # loop take the cores from the rest of the pipeline.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    providers: list[Any] = [_CPU]
    if target.kind == "dml":
        options.enable_mem_pattern = False  # DirectML cannot have it
    if target.kind != "cpu":
        options.log_severity_level = _FATAL_ONLY  # what matters is said in one line, by us
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        providers.insert(0, (target.provider, target.options))
    try:
        if target.plugin:
            options.add_provider_for_devices(target.plugin, target.options)
        with _quiet(target):
            return InferenceSession(
                path, options, None if target.plugin else providers, enable_fallback=0
            )
    except Exception as error:
        if "DeformConv" in str(error):
            raise DependencyError(
                f"{name} needs ONNX Runtime 1.25 or newer, this is {onnxruntime.__version__}: "
                'pip install -U "onnxruntime>=1.25"'
            ) from error
        raise RuntimeFailure(f"ONNX Runtime cannot load {name}: {reason(error)}") from error


@contextlib.contextmanager
def _quiet(target: _Target) -> Iterator[None]:
    """Keep a provider's libraries from writing on the terminal while they load."""
    if target.kind == "cpu":
        yield
        return
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    try:
        if target.kind in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):
                onnxruntime.preload_dlls()  # those of pip's nvidia packages
        yield
    finally:
        onnxruntime.set_default_logger_severity(_DEFAULT)


def _really(session: Any, target: _Target) -> str:
    """Return in words where a session really runs.

    Raises:
        RuntimeFailure: if it was to run elsewhere; ONNX Runtime takes the CPU without a word.
    """
    if target.kind == "cpu":
        return "the CPU"
    words = target.provider.removesuffix(_SUFFIX)
    words = f"{words} {target.device.partition(':')[2]}".strip()
    nodes = _nodes(session)
    if session.get_providers()[0] != target.provider or nodes.get(target.provider) == 0:
        cuda = getattr(onnxruntime, "cuda_version", "") if target.kind == "cuda" else ""
        raise RuntimeFailure(
            f"ONNX Runtime took the CPU instead of {words}: its libraries or its driver are "
            f"missing{f' (CUDA {cuda}, cuDNN 9)' if cuda else ''}; see 'streammatte doctor'"
        )
    elsewhere = sum(nodes.values()) - nodes.get(target.provider, 0)
    return f"{words} ({elsewhere} operators on the CPU)" if elsewhere else words


def _nodes(session: Any) -> dict[str, int]:
    """Return how many of the graph's nodes each provider took; empty if this build cannot say."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts = dict.fromkeys(session.get_providers(), 0)
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _port(argument: Any) -> Port:
    plain = str(argument.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in argument.shape)
    return Port(argument.name, _TYPES.get(plain, plain), shape)
