"""PyTorch on our streams: frames overlap, and one CUDA graph asks for a whole network.

A large network is a thousand kernels, and Python needs longer to ask for them, one by one, than the
GPU to run them. Noted down once, they are asked for in one call.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from streammatte.runtimes.contract import failure, reason
from streammatte.runtimes.cuda import Device, OutOfMemory
from streammatte.runtimes.ring import SLOTS, Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Exactly = Callable[[], AbstractContextManager[Any]]

WARM = 2
"""Runs before a network is noted down: in these, libraries choose kernels and take memory."""


class Overlapped:
    """A module whose frames overlap; see ``runtimes.base.InFlight``."""

    def __init__(
        self,
        module: torch.nn.Module,
        place: torch.device,
        image: Sequence[int],
        matte: Sequence[int],
        exactly: Exactly,
        *,
        graph: bool = True,
    ) -> None:
        """Take streams and buffers, and run the module until it is quick.

        Args:
            module: On the GPU; takes uint8 ``image``, returns ``matte``.
            place: The GPU, with its number.
            image: ``(batch, height, width, 3)``.
            matte: ``(batch, 1, height, width)``.
            exactly: Returns what holds while the module runs.
            graph: Whether it is noted down as a CUDA graph, if it can be.

        Raises:
            DependencyError: if CUDA's Python bindings are not there.
            RuntimeFailure: if the memory is too small, or the module fails.
        """
        self._device = Device(place.index or 0)
        self._work = Work(module, place, tuple(image), tuple(matte), exactly)
        self.why_no_graphs = "nobody asked for them"
        try:
            self.ring = Ring(self._device, self._work, image, matte)
            self._warm(np.zeros(image, np.uint8), graph=graph)
        except BaseException:
            self.close()
            raise

    def _warm(self, black: NDArray[np.uint8], *, graph: bool) -> None:
        for _ in range(WARM):
            self.submit(black)
            self.collect()
        if graph:
            self.why_no_graphs = self._work.note_down(self.ring.compute)
        for _ in range(SLOTS):
            self.submit(black)
        for _ in range(SLOTS):
            self.collect()

    def submit(self, images: NDArray[np.uint8]) -> None:
        """Send a whole batch on its way."""
        self._device.use()
        try:
            self.ring.submit(images)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"the memory of {self._device.facts.name} is too small for {len(images)} at once; "
                "use a smaller --batch or --size, or end what else uses it"
            ) from error
        except RuntimeError as error:
            raise failure("PyTorch", error) from error

    def collect(self) -> NDArray[np.float32]:
        """Return the mattes of the batch that was submitted first."""
        self._device.use()
        return self.ring.collect()

    def close(self) -> None:
        """Let go of the module and of all memory; may be called twice."""
        self._device.settle()
        self._work.close()
        self._device.close()


class Work:
    """``ring.Work``: a module between two addresses."""

    def __init__(
        self,
        module: torch.nn.Module,
        place: torch.device,
        image: tuple[int, ...],
        matte: tuple[int, ...],
        exactly: Exactly,
    ) -> None:
        self._module: Any = module
        self._place, self._shapes, self._exactly = place, (image, matte), exactly
        self._views: dict[int, torch.Tensor] = {}
        self._graph: Any = None
        self._image: Any = None
        self._alpha: Any = None

    def __call__(self, source: int, target: int, stream: Any) -> None:
        """Ask a stream for one run; see ``ring.Work``."""
        image, matte = self._view(source, "|u1"), self._view(target, "<f4")
        with self._on(stream):
            if self._graph is None:
                matte.copy_(self._module(image))
            else:
                self._image.copy_(image)
                self._graph.replay()
                matte.copy_(self._alpha)

    def note_down(self, stream: Any) -> str:
        """Note the module down as a CUDA graph; return why that cannot be done, or nothing.

        Its memory is in a pool of its own: what a graph writes to must never be given to others.
        """
        graph = torch.cuda.CUDAGraph()
        _forget_work_space()  # or it would note that down, which is not in its pool
        try:
            with self._on(stream):
                image = torch.zeros(self._shapes[0], dtype=torch.uint8, device=self._place)
                ours = torch.cuda.current_stream(self._place)
                # Other threads may go on meanwhile: with the network before this one, say.
                with torch.cuda.graph(graph, stream=ours, capture_error_mode="thread_local"):
                    alpha = self._module(image)
        except RuntimeError as error:
            return reason(error)
        self._graph, self._image, self._alpha = graph, image, alpha
        return ""

    def _view(self, address: int, kind: str) -> torch.Tensor:
        """Return the ring's memory as a tensor."""
        if address not in self._views:
            there = There(address, self._shapes[kind != "|u1"], kind)
            self._views[address] = torch.as_tensor(there, device=self._place)
        return self._views[address]

    @contextlib.contextmanager
    def _on(self, stream: Any) -> Iterator[None]:
        """Let all that is asked for here be asked of a stream."""
        ours: Any = torch.cuda.ExternalStream(int(stream), device=self._place)  # type: ignore[no-untyped-call]
        with torch.inference_mode(), torch.cuda.stream(ours), self._exactly():
            yield

    def close(self) -> None:
        """Let go of it; nothing may be under way."""
        if self._graph is not None:
            self._graph.reset()
        self._graph = self._module = self._image = self._alpha = None
        self._views.clear()
        _forget_work_space()


def _forget_work_space() -> None:
    """Let go of what cuBLAS works in, which PyTorch keeps for every stream that there ever was.

    32 MiB each on Hopper; nothing public does that. Whoever needs it again gets it again.
    """
    getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()  # noqa: SLF001


@dataclass(frozen=True)
class There:
    """Memory on the GPU, as PyTorch understands it."""

    address: int
    shape: tuple[int, ...]
    kind: str
    """``|u1`` or ``<f4``."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """See numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, version 3."""
        return {
            "shape": self.shape,
            "typestr": self.kind,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
        }
