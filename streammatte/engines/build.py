"""Compiles an ONNX file into an engine, and refuses one that is not what was asked for.

Precision comes from the graph's own types: TensorRT 11 has no switch for it, and a graph in single
precision would silently become an engine in single precision, twice as large and as slow. So what
the parser made of the graph is looked at before it is compiled, and the engine's size after.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streammatte.engines.kinds import numpy_dtype, words_of
from streammatte.engines.lint import refuse
from streammatte.errors import Interrupted, ModelError, RuntimeFailure
from streammatte.models.onnx_card import EXPORTER
from streammatte.models.onnx_reader import read_onnx
from streammatte.runtimes.base import Port
from streammatte.runtimes.contract import check_contract, weight_bytes
from streammatte.whole import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from streammatte.engines.kinds import Capability, Kind
    from streammatte.engines.log import Log
    from streammatte.engines.recipe import Builder
    from streammatte.models.base import Precision, Size

LARGEST, SMALLEST = 1.7, 0.5
"""An engine's size over that of its graph's weights: in single precision it would be twice that of
a graph in half precision, and there are releases that make engines of gigabytes."""
_SLACK, _ALWAYS = 32 << 20, 192 << 20
"""Bytes that do not count, and bytes that any engine may have: kernels are in it, too."""
_IN_HALF = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "NORMALIZATION")
"""Layers that take the time, and must be in the precision of the graph."""
_PLUGINS = ("PLUGIN", "PLUGIN_V2", "PLUGIN_V3")
_TELL_EVERY = 0.2
"""Seconds between two tellings."""


@dataclass(frozen=True)
class Wanted:
    """What an engine has to be."""

    name: str
    """Of the network, for messages."""
    size: Size
    batch: int
    precision: Precision
    capabilities: tuple[Capability, ...] = ()
    """The GPUs that it is for; empty for the one here or, where a kind can, for most."""


def build(
    kind: Kind,
    path: Path,
    wanted: Wanted,
    options: Builder,
    tell: Callable[[str], None] = lambda _: None,
    timings: Path | None = None,
    begin: Callable[[], None] = lambda: None,
) -> memoryview:
    """Compile an ONNX file; takes seconds to minutes, and can be interrupted.

    Args:
        kind: Which TensorRT.
        path: Of the ONNX file.
        wanted: What must come out.
        options: What the builder is told.
        tell: Told how far it is, from a thread of the builder's.
        timings: Where TensorRT may keep how quick which kernel was on this GPU; the next engine
            takes a fraction of the time by it. TensorRT-RTX measures nothing.
        begin: Called first on the thread that compiles, for which a GPU other than the first must
            be made the current one.

    Returns:
        The engine; the memory is TensorRT's.

    Raises:
        ModelError: if TensorRT does not know the graph, or its types are not those wanted.
        RuntimeFailure: if it cannot be compiled.
        DependencyError: if this TensorRT is missing or too old.
        Interrupted: if the user ended it.
    """
    api = kind.api
    ours = EXPORTER in read_onnx(path).metadata
    refuse(path, kind.name, (wanted.batch, wanted.size[1], wanted.size[0], 3), untried=not ours)
    log = kind.log
    builder = kind.start("Builder")
    flags = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    _parse(api, network, path, wanted, log)
    check_network(network, wanted, options.half_share)
    config, monitor = builder.create_builder_config(), _monitor(api, tell)
    _configure(api, config, wanted, options)
    config.progress_monitor = monitor
    if timings is not None and not kind.for_any_gpu:
        _take_timings(config, timings)

    def compile_it() -> Any:
        begin()
        return builder.build_serialized_network(network, config)

    log.forget()
    plan = _compiled(compile_it, monitor)
    if plan is None:
        raise RuntimeFailure(f"{kind.title} cannot compile {wanted.name}: {log.said()}")
    check_plan(kind, plan.nbytes, weight_bytes(path), wanted.name)
    if timings is not None and not kind.for_any_gpu:
        _keep_timings(config, timings)
    return memoryview(plan)


def _parse(api: Any, network: Any, path: Path, wanted: Wanted, log: Log) -> None:
    parser = api.OnnxParser(network, log.logger)
    if not parser.parse_from_file(str(path)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        told = next((_words(error) for error in errors), log.said())
        raise ModelError(f"TensorRT cannot read {wanted.name}: {told}")
    image = network.get_input(0)
    if image is not None and any(length < 0 for length in image.shape):
        image.shape = (wanted.batch, wanted.size[1], wanted.size[0], 3)


def _words(error: Any) -> str:
    node = f"{error.node_operator()} {error.node_name()}".strip()
    return f"{error.desc()} (in {node})" if node else str(error.desc())


# --- is it what was asked for? ------------------------------------------------------------------


def check_network(network: Any, wanted: Wanted, half_share: float = 1.0) -> None:
    """Refuse a network whose inputs, outputs or types are not what was asked for.

    Args:
        network: As parsed.
        wanted: What it should be.
        half_share: The least share of layers that take the time that must be in half precision,
            if that is wanted.

    Raises:
        ModelError: if it is something else.
    """
    inputs = [_port(network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [_port(network.get_output(index)) for index in range(network.num_outputs)]
    check_contract(wanted.name, wanted.size, inputs, outputs)
    for port in (*inputs, *outputs):
        if None in port.shape or port.shape[0] != wanted.batch:
            raise ModelError(
                f"{wanted.name} cannot be compiled: its {port.name} is {list(port.shape)}, not of "
                f"one fixed size with {wanted.batch} at once"
            )
    layers = list(_layers(network))
    if wanted.precision == "fp16":
        _refuse_single(wanted.name, layers, half_share)
    _refuse_rough_positions(wanted.name, layers)


def _port(tensor: Any) -> Port:
    shape = tuple(length if length >= 0 else None for length in tensor.shape)
    return Port(tensor.name, numpy_dtype(tensor.dtype.name), shape)


@dataclass(frozen=True)
class _Layer:
    name: str
    kind: str
    takes: tuple[str, ...]
    gives: str


def _layers(network: Any) -> Iterator[_Layer]:
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        inputs = (layer.get_input(place) for place in range(layer.num_inputs))
        takes = tuple(tensor.dtype.name for tensor in inputs if tensor is not None)
        yield _Layer(layer.name, layer.type.name, takes, layer.get_output(0).dtype.name)


def _refuse_single(name: str, layers: list[_Layer], half_share: float) -> None:
    slow = [layer for layer in layers if layer.kind in _IN_HALF]
    single = [layer for layer in slow if layer.gives != "HALF"]
    if len(single) > (1 - half_share) * len(slow):
        first = single[0]
        raise ModelError(
            f"{name} is not in half precision for TensorRT: {len(single)} of {len(slow)} "
            f"convolutions, products and norms are not, the first is {first.name} "
            f"({first.gives}); export it as fp16, or use --precision fp32"
        )


def _refuse_rough_positions(name: str, layers: list[_Layer]) -> None:
    """Refuse sampling positions in half precision: beyond 128 they are an eighth of a pixel off."""
    for layer in layers:
        to_whole = layer.kind == "CAST" and layer.gives in ("INT32", "INT64")
        if (to_whole or layer.kind in _PLUGINS) and "HALF" in layer.takes:
            raise ModelError(
                f"{name}: {layer.name} takes positions in half precision, which shifts what "
                "deformable convolutions see; export it again with streammatte models export"
            )


def check_plan(kind: Kind, length: int, weights: int, name: str) -> None:
    """Refuse an engine of a senseless size.

    Args:
        kind: Which TensorRT made it.
        length: Bytes of the engine.
        weights: Bytes of the graph that it was made from.
        name: Of the network, for the message.

    Raises:
        RuntimeFailure: if it is far larger or smaller than its weights.
    """
    most = max(LARGEST * weights + _SLACK, _ALWAYS)
    if not SMALLEST * weights - _SLACK <= length <= most:
        raise RuntimeFailure(
            f"{kind.title} {kind.version} made an engine of {length >> 20} MiB from the "
            f"{weights >> 20} MiB of {name}, which cannot be right; try another version of it"
        )


# --- telling the builder, and being told --------------------------------------------------------


def _configure(api: Any, config: Any, wanted: Wanted, options: Builder) -> None:
    config.builder_optimization_level = options.optimization_level
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    if not options.tf32:
        config.clear_flag(api.BuilderFlag.TF32)
    if wanted.capabilities:
        _aim(api, config, wanted.capabilities)


def _take_timings(config: Any, path: Path) -> None:
    kept = b""
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
    for content in (kept, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _keep_timings(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        with contextlib.suppress(OSError):  # they are measured again, then
            write_file(path, memoryview(cache.serialize()))


def _aim(api: Any, config: Any, capabilities: Sequence[Capability]) -> None:
    """Compile for these GPUs, which need not be here; only TensorRT-RTX can."""
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        target = getattr(api.ComputeCapability, f"SM{capability[0]}{capability[1]}", None)
        if target is None or not config.set_compute_capability(target, index):
            raise RuntimeFailure(
                f"this TensorRT compiles nothing for compute capability {words_of(capability)}"
            )


def _monitor(api: Any, tell: Callable[[str], None]) -> Any:
    """Return something that tells how far the builder is and can stop it."""

    class Monitor(api.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self.cancelled = threading.Event()
            self._begun = time.monotonic()
            self._steps: dict[str, int] = {}
            self._told = 0.0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002
            self._steps[phase] = steps
            self._say(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            self._say(phase, step)
            return not self.cancelled.is_set()

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

        def _say(self, phase: str, step: int) -> None:
            now = time.monotonic()
            if now - self._told < _TELL_EVERY:
                return
            self._told = now
            steps = self._steps.get(phase, 0)
            share = f" {step} of {steps}" if steps > 1 else ""
            tell(f"{phase.lower()}{share}, {now - self._begun:.0f} s")

    return Monitor()


def _compiled(compile_it: Callable[[], Any], monitor: Any) -> Any:
    """Compile on a thread of its own, so that this one hears Ctrl-C and can cancel.

    Raises:
        Interrupted: if it was cancelled.
    """
    found: list[Any] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            found.append(compile_it())
        except BaseException as error:  # noqa: BLE001  it is raised again below
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=work, name="streammatte-engine", daemon=True)
    try:
        thread.start()
        while not done.wait(0.1):
            pass
    except RuntimeError:  # there are too many threads, so nothing was begun
        raise
    except BaseException:
        monitor.cancelled.set()
        # Not by Thread.join: if it is interrupted, Python up to 3.12 takes the thread for ended.
        done.wait()
        raise
    if failed:
        raise RuntimeFailure(f"TensorRT failed: {failed[0]}") from failed[0]
    if found[0] is None and monitor.cancelled.is_set():
        raise Interrupted("the engine was not compiled to the end")
    return found[0]
