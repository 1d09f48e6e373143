"""TensorRT and TensorRT-RTX: engines for NVIDIA's GPUs, with several frames in flight."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from streammatte.engines.build import Wanted
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX, numpy_dtype
from streammatte.engines.load import load
from streammatte.engines.recipe import recipe_for
from streammatte.errors import DependencyError, RuntimeFailure, UsageError
from streammatte.models.base import Graph
from streammatte.models.onnx_reader import read_onnx
from streammatte.runtimes.base import Port
from streammatte.runtimes.contract import PRECISION, check_contract, filled, precision_of
from streammatte.runtimes.cuda import Device
from streammatte.runtimes.ring import SLOTS, Ring
from streammatte.whole import write_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.engines.kinds import Kind
    from streammatte.engines.load import Loaded
    from streammatte.models.base import Model, Size
    from streammatte.runtimes.base import Placement

_DEVICE = re.compile(r"(?:auto|cuda|gpu)(?:[:.]([0-9]+))?")
_KERNELS = "kernels.cache"
"""Beside an engine of TensorRT-RTX: what it compiled for the GPU here when it first ran."""


class TensorRt:
    """Runs a model's engine, compiled first if it is not there; see ``runtimes.base.InFlight``."""

    kind: ClassVar[Kind] = TENSORRT
    slots = SLOTS
    wants_graphs: ClassVar[bool] = True
    """Whether the work is noted down as CUDA graphs, if that can be done; ``why_no_graphs`` says
    why it was not."""

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:
        """Get the engine, and run it once so that the first frame is quick.

        Args:
            model: Whose ``onnx()`` is compiled.
            size: ``(width, height)`` of its input.
            placement: ``device`` is ``cuda``, ``cuda:1``, ... or ``auto``; ``precision`` ``auto``
                is fp16; ``batch`` is 1 unless asked for, since frames overlap anyway.

        Raises:
            UsageError: if this runs on no such device.
            DependencyError: if the library, the driver or the GPU is missing or too old.
            ModelError: if the weights are missing or changed, or the graph does not fit.
            RuntimeFailure: if the engine cannot be compiled or started.
            OutputError: if there is nowhere to keep it.
        """
        number = _number(self.kind, placement.device)
        _ = self.kind.api  # a package that is missing is told before a GPU that is
        self._loaded: Loaded | None = None
        self._context: Any = None
        self._kernels: Any = None
        self.has_graphs, self.why_no_graphs = False, "nobody asked for them"
        self._device = Device(number)
        try:
            self._start(model, size, placement)
        except BaseException:
            self.close()
            raise

    def _start(self, model: Model, size: Size, placement: Placement) -> None:
        facts, name = self._device.facts, model.card.name
        if why := self.kind.why_not(facts.capability):
            raise DependencyError(why)
        self.batch = placement.batch or 1
        wish = "fp16" if placement.precision == "auto" else placement.precision
        recipe = recipe_for(name, size, wish)
        graph = Graph("tensorrt", wish, self.batch, recipe.deform_for(self.kind))
        path = model.onnx(size, graph)
        said = read_onnx(path).metadata.get(PRECISION)
        self.precision = precision_of(name, model, said, placement.precision)
        aim = (facts.capability,) if self.kind.for_any_gpu else ()
        wanted = Wanted(name, size, self.batch, self.precision, aim)
        self._loaded = load(
            self.kind, facts, path, wanted, recipe, placement.tell, self._device.use
        )
        self.inputs, self.outputs = _ports(self.kind.api, self._loaded.engine)
        check_contract(name, size, self.inputs, self.outputs)
        self._make_context()
        self.ring = self._warm(size)
        self.device = f"cuda:{self._device.number}"
        self.description = f"{self.kind.title} {self.kind.version} on {facts.name} ({self.device})"
        if not self.has_graphs:
            self.description += " without CUDA graphs"

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images; see ``runtimes.base.Runtime``.

        Not while frames are in flight.
        """
        self.submit(images)
        return self.collect()[: len(images)]

    def submit(self, images: NDArray[np.uint8]) -> None:
        """Send images on their way; see ``runtimes.base.InFlight``."""
        self._device.use()
        self.ring.submit(filled(images, self.inputs))

    def collect(self) -> NDArray[np.float32]:
        """Return the mattes of what was submitted first; see ``runtimes.base.InFlight``."""
        self._device.use()
        return self.ring.collect()

    def close(self) -> None:
        """Let go of the engine and of all memory; may be called twice."""
        self._device.settle()
        if self._loaded is not None:
            self._keep_kernels(self._loaded.entry.folder / _KERNELS)
        # TensorRT wants what was made last to go first.
        self._device.drop_graphs()
        self._context = None
        self._kernels = None
        self._loaded = None  # which lets go of the engine and then of what runs it
        self._device.close()

    # --- the engine's side ---

    def _make_context(self) -> None:
        # No names but self: who holds an error holds what its frames name, and here that is the
        # GPU's memory.
        assert self._loaded is not None
        config = self._loaded.engine.create_runtime_config()
        if hasattr(config, "create_runtime_cache"):
            self._kernels = _kept_kernels(config, self._loaded.entry.folder / _KERNELS)
        self._context = self._loaded.engine.create_execution_context(config)
        if self._context is None:
            raise self._failure("cannot be started")
        if missing := self._context.infer_shapes():
            raise self._failure(f"leaves open what {', '.join(missing)} is")

    def _work(self, source: int, target: int, stream: Any) -> None:
        """Ask for one run; see ``ring.Work``."""
        for name, address in (("image", source), ("alpha", target)):
            if not self._context.set_tensor_address(name, address):
                raise self._failure(f"does not take the memory for its {name}")
        if not self._context.execute_async_v3(int(stream)):
            raise self._failure("did not run")

    def _failure(self, what: str) -> RuntimeFailure:
        said = self._loaded.log.said() if self._loaded else ""
        text = f"the engine of {self.kind.title} {what}: {said}"
        if "memory" in said.lower():
            text += "; use a smaller --size, or end what else uses the GPU"
        return RuntimeFailure(text)

    def _warm(self, size: Size) -> Ring:
        """Return a ring whose every slot has been through once, what it does noted down."""
        image = (self.batch, size[1], size[0], 3)
        ring = Ring(self._device, self._work, image, (self.batch, 1, size[1], size[0]), self.slots)
        black = np.zeros(image, np.uint8)
        ring.submit(black)
        ring.collect()
        if self.wants_graphs:
            self._capture(ring)
        for _ in range(self.slots):
            ring.submit(black)
        for _ in range(self.slots):
            ring.collect()
        return ring

    def _capture(self, ring: Ring) -> None:
        """Use CUDA graphs, if they can be had; not all that runs can be noted down."""
        try:
            ring.capture()
        except (DependencyError, RuntimeFailure) as error:
            self.why_no_graphs = str(error)
            if self._loaded is not None:
                self._loaded.log.forget()  # or the next failure is told in the words of this one
        else:
            self.has_graphs, self.why_no_graphs = True, ""

    def _keep_kernels(self, path: Path) -> None:
        """Keep what was compiled for this GPU, so that the next start is quick."""
        if self._kernels is None:
            return
        with contextlib.suppress(OSError):  # it is compiled again, then
            kernels = self._kernels.serialize()
            if kernels is None or (path.exists() and path.stat().st_size == kernels.nbytes):
                return
            write_file(path, memoryview(kernels))


class TensorRtRtx(TensorRt):
    """The same for the GPUs in people's computers; engines may be compiled elsewhere."""

    kind = TENSORRT_RTX


def _number(kind: Kind, device: str) -> int:
    match = _DEVICE.fullmatch(device.lower())
    if match is None:
        raise UsageError(f"--device: {kind.title} runs on cuda, cuda:1, ..., not on {device!r}")
    return int(match[1] or 0)


def _kept_kernels(config: Any, path: Path) -> Any:
    """Return TensorRT-RTX's cache of kernels, filled with what was kept if it fits this GPU."""
    cache = config.create_runtime_cache()
    if cache is None:
        return None
    with contextlib.suppress(OSError):
        cache.deserialize(path.read_bytes())  # it says no, and stays empty, if that is for another
    config.set_runtime_cache(cache)
    return cache


def _ports(api: Any, engine: Any) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return the engine's inputs and outputs."""
    sides: tuple[list[Port], list[Port]] = ([], [])
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = engine.get_tensor_dtype(name).name
        shape = tuple(n if n >= 0 else None for n in engine.get_tensor_shape(name))
        is_output = engine.get_tensor_mode(name) == api.TensorIOMode.OUTPUT
        sides[is_output].append(Port(name, numpy_dtype(dtype), shape))
    return tuple(sides[0]), tuple(sides[1])
