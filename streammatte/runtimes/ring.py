"""Several frames in flight on a GPU: one is copied in while another is computed.

::

    copy in   |  0  |  1  |  2  |     |
    compute         |   0   |   1   |   2   |
    copy out                |  0 |  |  1 |

A ring of slots, each with buffers of its own on both sides and an event for each step, and three
streams, one a step. What orders the steps of a slot are its events; what orders frames is that
streams do things in turn. The CPU waits in one place only: ``collect``, for a slot's last event.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streammatte.runtimes.cuda import Device, Pinned

SLOTS = 3
"""One a step. More would hold frames back without doing more at once."""


class Work(Protocol):
    """What is computed between the copies."""

    def __call__(self, source: int, target: int, stream: Any) -> None:
        """Ask a stream to make of the image at one address the matte at another.

        It must not wait, and ask nothing of any other stream.
        """


@dataclass
class Slot:
    """A place for one frame, from its image to its matte."""

    image: Pinned
    source: int
    """Address of the image on the device."""
    target: int
    """Address of the matte on the device."""
    matte: Pinned
    uploaded: Any
    computed: Any
    downloaded: Any
    graph: Any = None
    """The work on this slot's addresses, noted down once; ``None`` to ask for it every time."""


class Ring:
    """Keeps several frames in flight; used by one thread at a time."""

    def __init__(
        self,
        device: Device,
        work: Work,
        image: Sequence[int],
        matte: Sequence[int],
        slots: int = SLOTS,
    ) -> None:
        """Take streams, events and buffers from a device; nothing is done yet.

        Args:
            device: Whose ``close`` gives them back.
            work: What makes mattes of images.
            image: Shape of the uint8 input.
            matte: Shape of the float32 output.
            slots: How many frames may be in flight.

        Raises:
            OutOfMemory: if the device has no room for the buffers.
        """
        self._device, self._work = device, work
        self._copy_in, self.compute, self._copy_out = (device.stream() for _ in range(3))
        self._slots = [_slot(device, image, matte) for _ in range(slots)]
        self._free = deque(self._slots)
        self._in_flight: deque[Slot] = deque()

    def __len__(self) -> int:
        """Return how many frames are in flight."""
        return len(self._in_flight)

    def capture(self) -> None:
        """Note the work of every slot down as a CUDA graph, which costs less to start.

        The work must have been done once before, so that nothing is set up during the capture.

        Raises:
            RuntimeFailure: if the work cannot be noted down; it can still be done.
        """
        graphs = []
        for slot in self._slots:
            self._device.begin_capture(self.compute)
            try:
                self._work(slot.source, slot.target, self.compute)
                graphs.append(self._device.end_capture(self.compute))
            except BaseException:
                self._device.abandon_capture(self.compute)
                raise
        for slot, graph in zip(self._slots, graphs, strict=True):
            slot.graph = graph

    def submit(self, image: NDArray[np.uint8]) -> None:
        """Send an image on its way; the caller may change it afterwards.

        Raises:
            RuntimeFailure: if something cannot be asked for.
            IndexError: if every slot is taken; ``collect`` frees one.
        """
        slot, device = self._free.popleft(), self._device
        np.copyto(slot.image.array, image)
        device.upload(slot.source, slot.image, self._copy_in)
        device.record(slot.uploaded, self._copy_in)
        device.order(self.compute, slot.uploaded)
        if slot.graph is None:
            self._work(slot.source, slot.target, self.compute)
        else:
            device.launch(slot.graph, self.compute)
        device.record(slot.computed, self.compute)
        device.order(self._copy_out, slot.computed)
        device.download(slot.matte, slot.target, self._copy_out)
        device.record(slot.downloaded, self._copy_out)
        self._in_flight.append(slot)

    def collect(self) -> NDArray[np.float32]:
        """Return the matte of the image that was submitted first; the caller may keep it.

        Raises:
            RuntimeFailure: if what was asked for failed.
            IndexError: if nothing is in flight.
        """
        slot = self._in_flight.popleft()
        self._device.wait(slot.downloaded)
        matte: NDArray[np.float32] = slot.matte.array.copy()
        self._free.append(slot)
        return matte


def _slot(device: Device, image: Sequence[int], matte: Sequence[int]) -> Slot:
    picture, alpha = device.pinned(image, np.uint8), device.pinned(matte, np.float32)
    return Slot(
        image=picture,
        source=device.malloc(picture.array.nbytes),
        target=device.malloc(alpha.array.nbytes),
        matte=alpha,
        uploaded=device.event(),
        computed=device.event(),
        downloaded=device.event(),
    )
