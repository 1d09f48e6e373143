"""PyTorch: to compare with, and for GPUs that nothing quicker runs on.

On NVIDIA's, frames overlap and a CUDA graph asks for the whole network: ``torch_overlap.py``.
Elsewhere it goes operator by operator, several frames at a time.
"""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from streammatte.errors import DependencyError, RuntimeFailure, UsageError
from streammatte.runtimes import cuda
from streammatte.runtimes.base import Port
from streammatte.runtimes.contract import check_contract, check_gpu, failure, filled_to, reason
from streammatte.runtimes.ring import SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streammatte.models.base import Model, Precision, Size
    from streammatte.runtimes.base import Placement

_KINDS = ("cpu", "cuda", "mps", "xpu")
_BYTES_A_PIXEL = 1500
"""Memory that an image in half precision takes: 8 images of 1024 x 1024 in 12 GB."""
_GREATEST_BATCH = 8


class Torch:
    """Runs a model's torch module; see ``runtimes.base.InFlight``."""

    wants_graphs: ClassVar[bool] = True
    """Whether the work is noted down as a CUDA graph, if that can be done; ``why_no_graphs`` says
    why it was not."""
    _module: Any = None
    _overlapped: Any = None

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:
        """Load the weights; on a GPU, run the network, so that its first frame is quick.

        Nothing tells beforehand whether half precision holds what a network computes, so a GPU
        is shown a few pictures. Where it does not, single precision is taken instead, and said in
        ``description``; unless half precision was asked for.

        Args:
            model: Whose ``module()`` is run.
            size: ``(width, height)`` of its input.
            placement: ``device`` is ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; ``auto`` is the
                GPU, if PyTorch has one here. ``batch`` is 1 where frames overlap, else chosen by
                the GPU's free memory.

        Raises:
            UsageError: if PyTorch knows no such device, or half precision is asked of a CPU.
            ModelError: if the weights are missing or changed, the network has no PyTorch form, or
                its output does not fit.
            DependencyError: if PyTorch cannot use the device.
            RuntimeFailure: if PyTorch fails, the GPU's memory is too small, or the mattes are no
                numbers.
        """
        self._place = _place(placement.device)
        self.device = str(self._place)
        check_gpu(placement, "PyTorch", self.device)
        on_cpu = self.device == "cpu"
        wish = placement.precision
        if on_cpu and wish == "fp16":
            raise UsageError(
                "--precision fp16: PyTorch takes minutes a frame in half precision on a CPU; leave "
                "it out, or use --runtime onnxruntime or openvino"
            )
        self.description = f"PyTorch {torch.__version__} on {_words(self._place)}"
        self.inputs = (Port("image", "uint8", (None, size[1], size[0], 3)),)
        self.precision: Precision = ("fp32" if on_cpu else "fp16") if wish == "auto" else wish
        alpha = self._opened(model, size, placement.batch)
        if wish == "auto" and self.precision == "fp16" and not self._sound(alpha):
            self.close()
            self.precision = "fp32"
            self.description += ", in fp32: half precision cannot hold what this network computes"
            alpha = self._opened(model, size, placement.batch)
        if not self._sound(alpha):
            self.close()
            raise RuntimeFailure(_no_numbers(model.card.name, self.precision))
        dtype = str(alpha.dtype).removeprefix("torch.")
        self.outputs = (Port("alpha", dtype, (None, *alpha.shape[1:])),)
        check_contract(model.card.name, size, self.inputs, self.outputs)
        self.slots, self.has_graphs, self.why_no_graphs = 1, False, _why_not_overlapped(self._place)
        if not self.why_no_graphs:
            self._overlap(size)

    def _overlap(self, size: Size) -> None:
        """Let frames overlap; where they cannot, they come one after the other, as elsewhere."""
        from streammatte.runtimes.torch_overlap import Overlapped

        image, matte = (self.batch, size[1], size[0], 3), (self.batch, 1, size[1], size[0])
        exactly = partial(_as_exact_as_asked, self.precision)
        try:
            self._overlapped = Overlapped(
                self._module, self._place, image, matte, exactly, graph=self.wants_graphs
            )
        except (DependencyError, RuntimeFailure) as error:
            self.why_no_graphs = str(error)
            self.description += f", one frame at a time: {error}"
            return
        self.slots, self.why_no_graphs = SLOTS, self._overlapped.why_no_graphs
        self.has_graphs = not self.why_no_graphs
        if not self.has_graphs:
            self.description += " without CUDA graphs"

    def _opened(self, model: Model, size: Size, batch: int | None) -> torch.Tensor:
        """Load the weights in ``precision``, and return what the network makes of pictures."""
        overlaps = not _why_not_overlapped(self._place)
        self.batch = batch or (1 if overlaps else _fitting(self._place, size, self.precision))
        module = model.module(size).eval().requires_grad_(False)
        self._module = _placed(module, self._place, self.precision)
        del module
        shape = (self.batch, size[1], size[0], 3)
        if self.device == "cpu":  # where a frame would take seconds
            with contextlib.suppress(Exception):  # modules may do what stand-ins cannot
                return _shaped(self._module, torch.zeros(shape, dtype=torch.uint8))
        return self._tried(_pictures(size), fixed=batch is not None)

    def _sound(self, alpha: torch.Tensor) -> bool:
        """Whether mattes are numbers; what stands for them on a CPU has none to look at."""
        return self.device == "cpu" or bool(alpha.isfinite().all())

    def _tried(self, pictures: NDArray[np.uint8], *, fixed: bool) -> torch.Tensor:
        """Return the mattes of pictures, with as large a batch as there is memory for."""
        while True:
            turns = range(0, len(pictures), self.batch)
            try:
                # A whole batch each time: that is what there must be memory for.
                shown = (np.resize(pictures[i:], (self.batch, *pictures.shape[1:])) for i in turns)
                return torch.cat([self._run(each) for each in shown])
            except _MemoryFull:
                if fixed or self.batch == 1:
                    raise
            self.batch //= 2

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mattes of images; see ``runtimes.base.Runtime``.

        Not while frames are in flight.
        """
        if self._overlapped is not None:
            self.submit(images)
            return self.collect()[: len(images)]
        alpha: NDArray[np.float32] = self._run(images).cpu().numpy()
        return alpha

    def submit(self, images: NDArray[np.uint8]) -> None:
        """Send images on their way, if there are ``slots``; see ``runtimes.base.InFlight``."""
        self._overlapped.submit(filled_to(self.batch, images))

    def collect(self) -> NDArray[np.float32]:
        """Return the mattes of what was submitted first; see ``runtimes.base.InFlight``."""
        alpha: NDArray[np.float32] = self._overlapped.collect()
        return alpha

    def _run(self, images: NDArray[np.uint8]) -> torch.Tensor:
        if not images.flags.writeable:
            images = images.copy()  # PyTorch warns of memory that it must not write to
        try:
            with torch.inference_mode(), _as_exact_as_asked(self.precision):
                alpha: torch.Tensor = self._module(torch.from_numpy(images).to(self._place))
                if self._place.type != "cpu":
                    torch.accelerator.synchronize(self._place)  # what fails, fails here
                return alpha
        except torch.OutOfMemoryError as error:
            _let_go()
            raise _MemoryFull(
                f"the memory of {_words(self._place)} is too small for {len(images)} at once in "
                f"{self.precision}; use a smaller --batch or --size, or end what else uses it"
            ) from error
        except Exception as error:
            raise failure("PyTorch", error) from error

    def close(self) -> None:
        """Let go of the network and its memory; may be called twice."""
        if self._overlapped is not None:
            self._overlapped.close()
        self._overlapped = self._module = None
        _let_go()


class _MemoryFull(RuntimeFailure):
    """There is not enough of it on the GPU."""


def _no_numbers(name: str, precision: Precision) -> str:
    if precision == "fp16":
        return f"half precision cannot hold what {name} computes; use --precision fp32"
    return f"{name} gives no numbers, not even in single precision; its weights must be damaged"


def _pictures(size: Size) -> NDArray[np.uint8]:
    """Return what a network is tried with: black, white, both side by side, and noise.

    Returns:
        uint8 ``[4, height, width, 3]``.
    """
    pictures = np.zeros((4, size[1], size[0], 3), np.uint8)
    pictures[1] = 255
    pictures[2, :, size[0] // 3 :] = 255
    pictures[3] = np.random.default_rng(0).integers(0, 256, pictures.shape[1:], np.uint8)
    return pictures


def _place(device: str) -> torch.device:
    """Read ``cpu``, ``cuda:1``, ``mps``, ...

    Raises:
        UsageError: if PyTorch knows no such device.
        DependencyError: if it is not here.
    """
    kind, _, index = device.lower().partition(":")
    if kind == "auto":
        kind = next((name for name in _KINDS[1:] if not why_not(name)), "cpu")
    if kind not in _KINDS or (index and not index.isdecimal()) or (index and kind == "cpu"):
        raise UsageError(f"--device: PyTorch knows no {device!r}; it knows {', '.join(_KINDS)}")
    if kind == "cpu":
        return torch.device("cpu")
    if why := why_not(kind):
        raise DependencyError(why)
    number, count = int(index or 0), getattr(torch, kind).device_count()
    if number >= count:
        raise DependencyError(f"PyTorch finds no {kind}:{number} here; it counts {count}, from 0")
    return torch.device(kind, number)


def why_not(kind: str) -> str:
    """Return why PyTorch cannot use a kind of GPU here; nothing if it can."""
    module = getattr(torch, kind)
    with warnings.catch_warnings(record=True) as caught:  # it warns of drivers that are too old
        warnings.simplefilter("always")
        if module.is_available():
            return ""
    version = torch.__version__
    if kind == "cuda" and not (torch.version.cuda or torch.version.hip):
        return f"this PyTorch ({version}) was built without CUDA; pytorch.org says how to get one"
    if caught:
        return f"PyTorch {version} cannot use {kind}: {reason(caught[0].message)}"  # type: ignore[arg-type]
    return f"PyTorch {version} finds no {kind} device"


def _why_not_overlapped(place: torch.device) -> str:
    """Return why frames cannot overlap on a device; nothing if they can."""
    if place.type != "cuda" or torch.version.hip:
        return "that is for NVIDIA's GPUs"
    try:
        cuda.api()
    except DependencyError as error:
        return str(error)
    return ""


def _words(place: torch.device) -> str:
    if place.type == "cpu":
        return "the CPU"
    if place.type == "mps":
        return "the Apple GPU (mps)"
    return f"{getattr(torch, place.type).get_device_name(place)} ({place})"


def _fitting(place: torch.device, size: Size, precision: Precision) -> int:
    """Return how many images a GPU's free memory has room for; 1 on a CPU, which gains nothing."""
    if place.type == "cpu":
        return 1
    need = size[0] * size[1] * _BYTES_A_PIXEL * (1 if precision == "fp16" else 2)
    return max(1, min(_GREATEST_BATCH, _free(place) // need))


def _free(place: torch.device) -> int:
    if place.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free: int = getattr(torch, place.type).mem_get_info(place)[0]
    return free


def _placed(module: torch.nn.Module, place: torch.device, precision: Precision) -> torch.nn.Module:
    try:
        if precision == "fp16":
            module = module.half()
        module = module.to(place)
    except torch.OutOfMemoryError as error:
        raise _MemoryFull(f"the memory of {_words(place)} is too small for the weights") from error
    except Exception as error:
        raise RuntimeFailure(f"PyTorch cannot load the network: {reason(error)}") from error
    if place.type != "cpu":
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d):
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _shaped(module: Any, images: torch.Tensor) -> torch.Tensor:
    """Return a stand-in for a module's output: its shape and dtype, without the work."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, torch.no_grad():
        alpha: torch.Tensor = module(mode.from_tensor(images))
    return alpha


@contextlib.contextmanager
def _as_exact_as_asked(precision: Precision) -> Iterator[None]:
    """Let convolutions be tried out for the quickest, and keep single precision whole."""
    if not torch.cuda.is_available():
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=True, deterministic=False, allow_tf32=precision == "fp16"
    ):
        yield


def _let_go() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()
