"""The memory of the virtual GPU, and who may touch it when.

Whether two accesses to the same bytes are in order is decided by vector clocks, not by luck: a
clock says, for every stream and for the CPU, up to which of its operations all is known to be over.
An access that conflicts with an earlier one which its clock does not know to be over is a race,
however this run happened to go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

POISON = 0xFF
"""Every byte of memory that holds nothing yet: NaN in float32 and float16."""
_FIRST, _GAP = 0x7_0000_0000, 1 << 16
"""Addresses on the device are no real ones: who follows one on the CPU crashes."""
CPU = "the CPU"


class Clock(dict[str, int]):
    """For every stream and the CPU: how many of its operations are known to be over."""

    def tick(self, key: str) -> int:
        """Count one more operation of one's own."""
        self[key] = self.get(key, 0) + 1
        return self[key]

    def join(self, other: Clock) -> None:
        """Learn what another knows."""
        for key, time in other.items():
            self[key] = max(time, self.get(key, 0))

    def knows(self, access: Access) -> bool:
        """Return whether an access is over for sure."""
        return self.get(access.key, 0) >= access.time


@dataclass(frozen=True)
class Access:
    """Somebody reads or writes some bytes of a buffer."""

    low: int
    high: int
    writes: bool
    key: str
    """Whose it is: a stream's."""
    time: int
    what: str
    """In words, for violations."""

    def meets(self, low: int, high: int) -> bool:
        """Return whether it is about some of these bytes."""
        return self.low < high and low < self.high

    def stands_for(self, old: Access, clock: Clock) -> bool:
        """Return whether who is in order with this one is so with an older one, too."""
        covers = self.low <= old.low and old.high <= self.high
        return (
            covers
            and clock.knows(old)
            and (self.writes or (self.key, False) == (old.key, old.writes))
        )


@dataclass(eq=False)
class Buffer:
    """A piece of memory, of the device or pinned."""

    address: int
    data: NDArray[np.uint8]
    kind: str
    """``device``, ``pinned`` or ``reserved``: taken by a library, not by us."""
    device: int
    alive: bool = True
    accesses: list[Access] = field(default_factory=list)
    seen: NDArray[np.uint8] | None = None
    """Of pinned memory: what was in it when we last looked; the CPU writes without telling us."""

    def __str__(self) -> str:
        return f"the {self.kind} memory at {self.address:#x}"

    @property
    def end(self) -> int:
        """The address after its last."""
        return self.address + len(self.data)


@dataclass(frozen=True, eq=False)
class Span:
    """Some bytes of a buffer."""

    buffer: Buffer
    low: int
    high: int

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """A view of them."""
        return self.buffer.data[self.low : self.high]

    @property
    def seen(self) -> NDArray[np.uint8]:
        """What was in them when we last looked."""
        assert self.buffer.seen is not None
        return self.buffer.seen[self.low : self.high]

    def earlier(self) -> list[Access]:
        """Return who touched them so far."""
        return [access for access in self.buffer.accesses if access.meets(self.low, self.high)]

    def fill(self, content: NDArray[np.uint8] | int) -> None:
        """Write, as the device does."""
        self.bytes[:] = content
        if self.buffer.seen is not None:
            self.seen[:] = content


class BadAddressError(Exception):
    """There is no such memory."""


class Memory:
    """All buffers; tells ``violate`` of what must not be done."""

    def __init__(self, violate: Callable[[str], None], total: int) -> None:
        self._violate, self._total = violate, total
        self.buffers: list[Buffer] = []
        self._next = _FIRST

    @property
    def free(self) -> int:
        """Bytes that nobody uses."""
        taken = (len(one.data) for one in self.buffers if one.alive and one.kind != "pinned")
        return self._total - sum(taken)

    def take(self, length: int, kind: str, device: int) -> Buffer | None:
        """Return new memory full of poison; ``None`` if there is not enough."""
        if kind != "pinned" and length > self.free:
            return None
        data = np.full(length, POISON, np.uint8)
        if kind == "pinned":  # the CPU gets to it by its address
            buffer = Buffer(data.ctypes.data, data, kind, device, seen=data.copy())
        else:
            buffer = Buffer(self._next, data, kind, device)
            self._next += -(-length // _GAP) * _GAP + _GAP
        self.buffers.append(buffer)
        return buffer

    def give_back(self, address: int, kind: str, host: Clock) -> bool:
        """Free a buffer; return whether there was one."""
        buffer = next((one for one in self.buffers if one.alive and one.address == address), None)
        if buffer is None or buffer.kind != kind:
            known = any(one.address == address and one.kind == kind for one in self.buffers)
            why = "twice" if known else "but was never taken"
            self._violate(f"{kind} memory at {address:#x} is freed {why}")
            return False
        for access in buffer.accesses:
            if not host.knows(access):
                self._violate(f"{buffer} is freed while {access.what} may still be under way")
        buffer.alive = False
        buffer.data[:] = POISON  # kept, so that who still has a view sees nonsense, not a crash
        return True

    def span(self, address: int, length: int) -> Span:
        """Return some bytes.

        Raises:
            BadAddressError: if they are not all in one buffer that is there.
        """
        for buffer in self.buffers:
            if buffer.alive and buffer.address <= address < buffer.end:
                if address + length > buffer.end:
                    beyond = address + length - buffer.end
                    self._violate(f"{length} bytes at {address:#x} go {beyond} beyond {buffer}")
                    raise BadAddressError
                return Span(buffer, address - buffer.address, address + length - buffer.address)
        freed = any(one.address <= address < one.end for one in self.buffers)
        why = "memory that was freed" if freed else "no memory of this GPU"
        self._violate(f"{address:#x} is {why}")
        raise BadAddressError

    def touch(self, span: Span, access: Access, clock: Clock) -> None:
        """Note down an access; it is a violation if it may meet another one."""
        for old in span.earlier():
            if (old.writes or access.writes) and not clock.knows(old):
                self._violate(
                    f"{access.what} {'writes' if access.writes else 'reads'} {span.buffer} while "
                    f"{old.what}, which {'writes' if old.writes else 'reads'} it, may be under way"
                )
        old = [one for one in span.buffer.accesses if not access.stands_for(one, clock)]
        span.buffer.accesses[:] = [*old, access]

    def look(self, host: Clock) -> None:
        """Notice if the CPU wrote to pinned memory, and whether it was its turn."""
        for buffer in self.buffers:
            if buffer.seen is None or not buffer.alive or np.array_equal(buffer.data, buffer.seen):
                continue
            (changed,) = np.nonzero(buffer.data != buffer.seen)
            span = Span(buffer, int(changed[0]), int(changed[-1]) + 1)
            for access in span.earlier():
                if not host.knows(access):
                    self._violate(f"{CPU} wrote to {buffer} while {access.what} may be under way")
            span.seen[:] = span.bytes
