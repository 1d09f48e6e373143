"""Whether alpha survived: read back from the finished file and compared, pixel by pixel.

A few frames are kept for it: the first, one from the middle, and the last.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streammatte.errors import InputError, OutputError
from streammatte.sources.base import Window
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.sinks.codecs import Plan

    Samples = NDArray[Any]

STEPS = 255.0
"""Errors are told in steps of 8 bits."""
EXACT = 1e-3
"""Steps that are nothing but the rounding of this comparison."""


class Error(NamedTuple):
    """How far an alpha is from another, in steps of 8 bits."""

    largest: float
    mean: float


class Kept:
    """The alphas of some frames, by a key that says which: the first, a middle and the last.

    The middle is the latest one of those whose number is a power of two; so four are held at the
    most, however long the footage is.
    """

    def __init__(self) -> None:
        self._powers: list[tuple[Any, Samples]] = []
        self._last: tuple[Any, Samples] | None = None
        self._count = 0

    def take(self, key: Any, alpha: Samples) -> None:
        """Look at the next frame's alpha; it must not change afterwards.

        Args:
            key: What the frame will be found by again, such as its time or its number.
            alpha: ``[h, w]``: full range of its type's depth, or float32 0..1.
        """
        number, self._count = self._count, self._count + 1
        self._last = (key, alpha)
        if number & (number - 1) == 0:  # 0, 1, 2, 4, 8 ...
            held = self._powers[-1:] if len(self._powers) > 1 else []
            self._powers = [*self._powers[:1], *held, (key, alpha.copy())]

    def __iter__(self) -> Iterator[tuple[Any, Samples]]:
        """Yield the first, a middle and the last, as far as they are different frames."""
        chosen = [*self._powers[:1], *self._powers[-1:], *([self._last] if self._last else [])]
        seen: set[Any] = set()
        for key, alpha in chosen:
            if key not in seen:
                seen.add(key)
                yield key, alpha


def difference(one: Samples, other: Samples, peaks: tuple[int, int]) -> Error:
    """Compare two alphas of one size.

    Args:
        one: ``[h, w]``.
        other: ``[h, w]``.
        peaks: What is opaque in each.
    """
    first, second = (
        alpha * np.float32(STEPS / peak) for alpha, peak in zip((one, other), peaks, strict=True)
    )
    apart = np.abs(first - second)
    return Error(float(apart.max()), float(apart.mean()))


def check(kept: Kept, path: Path, plan: Plan) -> list[str]:
    """Read a video's alpha back: that it did not survive is an error, not a surprise.

    Args:
        kept: Of what was written, by time in seconds, in the depth of ``plan``.
        path: Of the finished file.
        plan: How it was written.

    Returns:
        Sentences for the report.

    Raises:
        OutputError: if the alpha is not there, or farther off than the codec explains.
    """
    worst = Error(0.0, 0.0)
    begin: Fraction | None = None
    for time, alpha in kept:
        begin = time if begin is None else begin
        try:
            frame = _frame_at(path, time - begin)
        except InputError as error:
            raise OutputError(f"{plan.path} was written but cannot be read back") from error
        read = frame.picture.alpha
        if read is None or read.shape != alpha.shape:
            raise OutputError(_lost(plan, "it is not there"))
        apart = difference(alpha, read, (plan.layout.peak, frame.picture.layout.peak))
        worst = Error(max(worst.largest, apart.largest), max(worst.mean, apart.mean))
    allowed = plan.codec.alpha_error
    if worst.largest > allowed[0] + EXACT or worst.mean > allowed[1] + EXACT:
        raise OutputError(_lost(plan, _told(worst)))
    return (
        [f"alpha was read back from the file and is right: {_told(worst)}"]
        if begin is not None
        else []
    )


def _told(error: Error) -> str:
    if error.largest <= EXACT:
        return "not one sample differs"
    return f"of 255 steps it is off by {error.mean:.2f} on average, {error.largest:.1f} at most"


def _lost(plan: Plan, why: str) -> str:
    return (
        f"the alpha in {plan.path} did not survive {plan.name}: {why}; use .mov (ProRes 4444) or "
        "a lower --crf"
    )


def _frame_at(path: Path, after: Fraction) -> Frame:
    """Return the frame that is shown so many seconds after the first."""
    with VideoFile(path) as result:
        first = next(result.frames())
        if after <= 0:
            return first
        # Half a frame early, since Matroska rounds times to milliseconds.
        own = first.pts * first.time_base - result.shift - result.origin
        start = own + after - Fraction(1, 2) / result.info.rate
    with VideoFile(path, Window(max(start, Fraction(0)))) as result:
        return next(result.frames())
