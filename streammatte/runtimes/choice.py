"""Chooses what runs a network: the quickest way that works, and why no quicker one was taken."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streammatte.errors import (
    DependencyError,
    ModelError,
    RuntimeFailure,
    StreamMatteError,
    UsageError,
)
from streammatte.runtimes import RUNTIMES, hardware
from streammatte.runtimes.contract import BIG, reason, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.models.base import Model, Size
    from streammatte.runtimes.base import Placement, Runtime

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A network that is ready to run."""

    runtime: Runtime
    passed_over: list[str]
    """A line for every quicker way that was not taken, and for every GPU that is not used."""


@dataclass(frozen=True)
class _Way:
    runtime: str
    device: str
    unasked: bool = True
    """Whether it is tried without being asked for; if not, it is only told of."""

    def __str__(self) -> str:
        if self.device == AUTO:
            return self.runtime
        kind, colon, number = self.device.partition(":")
        return f"{self.runtime} on {_NAMES.get(kind, kind.upper())}{colon}{number}"


@dataclass(frozen=True)
class _Miss:
    """A way that did not work; the error itself would keep all that it failed with in memory."""

    way: str
    reason: str
    kind: type[StreamMatteError]
    text: str


_NAMES = {"cpu": "the CPU", "migraphx": "MIGraphX", "coreml": "CoreML", "dml": "DirectML"}
# The quickest first, by what others publish; those that nobody reports on are not tried unasked.
_ON_GPU = (
    _Way("tensorrt", "cuda"),
    _Way("tensorrt-rtx", "cuda"),
    _Way("torch", "cuda"),
    _Way("onnxruntime", "cuda"),
    _Way("torch", "mps"),
    _Way("onnxruntime", "migraphx"),
    _Way("onnxruntime", "dml", unasked=False),
    _Way("onnxruntime", "coreml", unasked=False),
    _Way("openvino", "gpu", unasked=False),
)
# BiRefNet's lite variant at 1024 x 1024 takes 4.1, 5.1 and 15 s of processor time a frame, and
# 1.4, 2.3 and 1.9 GB.
_ON_CPU = ("openvino", "onnxruntime", "torch")
_ON_CPU_IF_SMALL = ("onnxruntime", "openvino", "torch")
_INSTEAD = "; see 'streammatte doctor', or leave out --runtime and --device"
_ON_CUDA_ALONE = ("tensorrt", "tensorrt-rtx")
_WHO_HAS = {
    "cpu": _ON_CPU,
    "cuda": (*_ON_CUDA_ALONE, "torch", "onnxruntime"),
    "mps": ("torch",),
    "xpu": ("torch",),
    "gpu": ("openvino",),
    "npu": ("openvino",),
}
"""Runtimes by kind of device; all other kinds are those of ONNX Runtime."""


def open_runtime(name: str, model: Model, size: Size, placement: Placement) -> Choice:
    """Make a network ready to run.

    Args:
        name: In ``RUNTIMES``, or ``auto`` for the quickest that works; what is named is never
            replaced by something else.
        model: The network.
        size: ``(width, height)`` of its input.
        placement: A ``device`` other than ``auto`` is never replaced either.

    Raises:
        UsageError: if there is no such runtime, or nobody knows such a device.
        ModelError: if the weights are missing or changed, or nothing here runs such a network.
        DependencyError: if a package or a device is missing; always, if a GPU is required and none
            can be used.
        RuntimeFailure: if an engine does not start.
        OutputError: if a graph cannot be written where exports are kept.
    """
    name = AUTO if name.lower() == AUTO else RUNTIMES.known(name)
    if placement.require_gpu and placement.device.lower() == "cpu":
        raise UsageError("--require-gpu and --device cpu contradict each other; leave out one")
    _ = model.digest  # weights that are missing or changed are no runtime's fault
    small = _is_small(model)
    ways = list(_ways(name, placement, small=small))
    if len(ways) == 1 and not placement.require_gpu:
        return Choice(_open(ways[0], model, size, placement), _unused(name, placement, ways, small))
    misses: list[_Miss] = []
    for way in ways:
        try:
            runtime = _open(way, model, size, placement)
        except (DependencyError, ModelError, RuntimeFailure, UsageError) as error:
            misses.append(_Miss(*_told(way, error), type(error), str(error)))
        else:
            lines = _lines([miss for miss in misses if miss.kind is not UsageError])
            unused = _unused(name, placement, ways, small) if runtime.device == "cpu" else []
            return Choice(runtime, list(dict.fromkeys([*lines, *unused])))
    raise _verdict(misses, placement, model.card.name)


def _ways(name: str, placement: Placement, *, small: bool) -> Iterator[_Way]:
    """Yield what to try, the quickest first."""
    kind = placement.device.lower().replace(".", ":").partition(":")[0]
    on_cpu = _ON_CPU_IF_SMALL if small else _ON_CPU
    if name in _ON_CUDA_ALONE and kind == AUTO:
        yield _Way(name, "cuda")
    elif name not in (AUTO, *_ON_CPU):
        yield _Way(name, placement.device)
    elif kind != AUTO:
        able = on_cpu if kind == "cpu" else _WHO_HAS.get(kind, ("onnxruntime",))
        for one in able if name == AUTO else (name,):
            yield _Way(one, placement.device)
    elif placement.require_gpu:
        yield from (way for way in _ON_GPU if name in (AUTO, way.runtime) and _thinkable(way))
    else:
        for way in _ON_GPU:
            if name in (AUTO, way.runtime) and way.unasked and not small and _is_there(way):
                yield way
        yield from (_Way(one, "cpu") for one in on_cpu if name in (AUTO, one))


def _is_small(model: Model) -> bool:
    """Whether a network is so small that no GPU, and no second thread, is worth the way to it."""
    path = getattr(model.card.weights, "path", None)
    with contextlib.suppress(OSError):
        return path is not None and path.is_file() and weight_bytes(path) <= BIG
    return False


def _thinkable(way: _Way) -> bool:
    """Whether a way exists on such a system, with the right hardware."""
    if way.device in ("mps", "coreml"):
        return sys.platform == "darwin"
    if way.device == "dml":
        return sys.platform == "win32"
    return sys.platform != "darwin" and (way.device != "migraphx" or hardware.amd())


def _is_there(way: _Way) -> bool:
    """Whether the hardware for a way is there, as far as can be told without importing much."""
    if way.device == "cuda":
        return hardware.nvidia().gpus > 0 or _is_amd(way)
    if way.device == "gpu":
        return hardware.intel()
    return _thinkable(way)


def _is_amd(way: _Way) -> bool:
    return way.runtime == "torch" and hardware.amd()  # whose GPUs PyTorch calls cuda, too


def _open(way: _Way, model: Model, size: Size, placement: Placement) -> Runtime:
    if way.device.partition(":")[0] == "cuda" and not _is_there(_Way(way.runtime, "cuda")):
        raise DependencyError(f"{way} cannot be used: {hardware.nvidia().why}{_INSTEAD}")
    try:
        engine = RUNTIMES.load(way.runtime)
    except StreamMatteError:
        raise
    except Exception as error:
        raise DependencyError(
            f"{way.runtime} does not load ({reason(error)}); reinstall it"
        ) from error
    # A file that takes its own number of images, and no other, is given that many.
    batch = placement.batch or getattr(model, "batch", None)
    runtime: Runtime = engine(model, size, replace(placement, device=way.device, batch=batch))
    if placement.require_gpu and runtime.device == "cpu":
        runtime.close()
        raise DependencyError(f"a GPU is required, but {way.runtime} has none")
    return runtime


def _told(way: _Way, error: StreamMatteError) -> tuple[str, str]:
    """Return what a way is, and why it was passed over."""
    if str(error).startswith(f"{RUNTIMES.kind} {way.runtime} needs"):
        extra = RUNTIMES.entry(way.runtime).extra
        how = f'pip install "streammatte[{extra}]"' if extra else "reinstall it"
        return way.runtime, f"not installed ({how})"
    return str(way), str(error).removeprefix(f"{way} cannot be used: ").removesuffix(_INSTEAD)


def _lines(misses: list[_Miss]) -> list[str]:
    """Return a line for every reason, with all ways that it stands in."""
    ways: dict[str, list[str]] = {}
    for miss in misses:
        here = ways.setdefault(miss.reason, [])
        if miss.way not in here:
            here.append(miss.way)
    return [f"{_together(those)}: {reason}" for reason, those in ways.items()]


def _together(ways: list[str]) -> str:
    """Return ``torch, onnxruntime on CUDA`` for ways to one place, else all in full."""
    places = {way.partition(" on ")[2] for way in ways}
    if len(places) > 1 or "" in places:
        return ", ".join(ways)
    return f"{', '.join(way.partition(' on ')[0] for way in ways)} on {places.pop()}"


def _unused(name: str, placement: Placement, tried: list[_Way], small: bool) -> list[str]:
    """Return a line for every GPU that is there and that nothing tried to use."""
    if placement.device != AUTO or name == "stub":
        return []
    if small:
        there = hardware.nvidia().gpus
        return ["the GPU: not needed, the CPU is quick enough for this network"] if there else []
    lines = [
        f"{way}: not used unless --device {way.device} asks for it"
        for way in _ON_GPU
        if not way.unasked and name in (AUTO, way.runtime) and _is_there(way)
    ]
    if name == AUTO and not any(map(_is_there, _ON_GPU)):
        lines.append(f"a GPU: {hardware.nvidia().why}")
    elif hardware.nvidia().gpus and all(way.device != "cuda" for way in tried):
        lines.append(f"the NVIDIA GPU: {name} does not use it")
    return lines


def _verdict(misses: list[_Miss], placement: Placement, name: str) -> StreamMatteError:
    """Return what to raise when nothing worked."""
    if not misses:
        return DependencyError("a GPU is required, but this runtime uses none on such a system")
    told = [miss for miss in misses if miss.kind is not UsageError] or misses
    first = told[0]
    lines = "; ".join(_lines(told))
    if placement.require_gpu and first.kind is not UsageError:
        return DependencyError(f"a GPU is required, but none can be used: {lines}")
    text, times = Counter(miss.text for miss in told).most_common(1)[0]
    if times > 1 or len(told) == 1:  # no runtime's fault
        return next(miss for miss in told if miss.text == text).kind(text)
    return _worst(told)(f"{name} cannot be run here: {lines}")


def _worst(misses: list[_Miss]) -> type[StreamMatteError]:
    """Return the kind of error of the engine that got furthest."""
    kinds = [miss.kind for miss in misses]
    return RuntimeFailure if RuntimeFailure in kinds else kinds[0]
