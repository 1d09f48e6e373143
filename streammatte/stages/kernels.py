"""The loops over samples, compiled by numba: serial, without the GIL, exact to rounding.

Each is written once and compiled for uint8 and uint16 planes (those named ``float`` for float32);
plain row-by-row loops, because
LLVM vectorises those and a parallel version was slower (``tools/benchmark`` tells). An alpha has
the depth of its dtype: 255 or 65535 (or 1.0) is opaque, whatever the depth of the picture.

What keeps the loops fast, and is easily lost: rows whose samples numba knows to lie side by side
(see ``whole``), indices that start at 0 (others are checked for being negative), and 32-bit
numbers (numba turns a mixture into 64 bits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]
    Scalar = Any

F = TypeVar("F", bound="Callable[..., Any]")

_BLOCK = 128
"""Columns that are looked at together when soft pixels are sought."""


def compiled(function: F) -> F:
    """Compile a loop: serial, without the GIL; what was compiled is kept on disk."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        loop: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it (read-only package, no home): compiled every time
        loop = numba.njit(**options)(function)
    return cast("F", loop)


def blend8(out: Samples, front: Samples, back: Samples, alpha: Samples) -> None:
    """``out = round(alpha * front + (1 - alpha) * back)``; planes uint8, alpha uint8."""
    _blend8(whole(out), whole(front), whole(back), whole(alpha), out.shape[1])


def blend16(out: Samples, front: Samples, back: Samples, alpha: Samples) -> None:
    """``out = round(alpha * front + (1 - alpha) * back)``; planes uint16, alpha uint16."""
    _blend16(whole(out), whole(front), whole(back), whole(alpha), out.shape[1])


def blend_float(out: Samples, front: Samples, back: Samples, alpha: Samples) -> None:
    """The same in float32; exactly ``front`` where alpha is 1, exactly ``back`` where it is 0."""
    _blend_float(whole(out), whole(front), whole(back), whole(alpha), out.shape[1])


def unmix_float(
    out: Samples, front: Samples, alpha: Samples, means: Floats, low: Scalar, high: Scalar
) -> None:
    """Write the subject's own colours in float32: as ``unmix``, which see for the arguments."""
    limits = np.float32(low), np.float32(high)
    _unmix_float(whole(out), whole(front), whole(alpha), out.shape[1], means, *limits)


def thin(out: Samples, plane: Samples, step_x: int, step_y: int, cosited: bool) -> None:
    """Bring a luma-sized plane to the size of the chroma planes, where chroma samples lie.

    Vertically chroma lies between two rows. Horizontally it lies on the even columns (``cosited``,
    MPEG-2 and its heirs: weights 1 2 1) or between two columns (JPEG: weights 1 1). Rounded once,
    halves up. At the border the last sample repeats.

    Args:
        out: uint8 or uint16 ``[ceil(h / 2^step_y), ceil(w / 2^step_x)]``, written.
        plane: Of the same dtype, ``[h, w]``.
        step_x: log2 of how many columns share a sample: 0 or 1.
        step_y: log2 of how many rows share a sample: 0 or 1.
        cosited: Where chroma lies horizontally.
    """
    _thin(whole(out), whole(plane), plane.shape[1], step_x, step_y, cosited)


def blend_soft(
    out: Samples,
    front: Samples,
    back: Samples,
    alpha: Samples,
    means: Floats,
    low: Scalar,
    high: Scalar,
) -> None:
    """Where alpha is soft, blend the subject's own colour instead of the camera's mixture.

    Changes only where ``0 < alpha < 1``; everything else stands as ``blend8`` or ``blend16`` left
    it. The estimate is blur fusion's (Forte 2021), see ``_own_colour``.

    Args:
        out: The composite's plane, uint8 or uint16 ``[h, w]``.
        front: The camera's plane.
        back: The new background's plane.
        alpha: uint8 or uint16 ``[h, w]``.
        means: float32 ``[h', w', 2]``: local mean of the subject and of the old background, in
            sample values, covering the same area at a lower resolution.
        low: The least value a subject's colour may take, unless the camera saw less.
        high: The greatest, unless the camera saw more.
    """
    _blend_soft(
        whole(out),
        whole(front),
        whole(back),
        whole(alpha),
        out.shape[1],
        means,
        np.float32(low),
        np.float32(high),
    )


def running_mean(
    alpha: Floats,
    past: Floats,
    weight: Floats,
    trust: Floats,
    doubt: float,
    most: float,
    least: float,
) -> tuple[Floats, Floats]:
    """Return the mean of a matte and the past, and its weight; see ``stages.smooth.continued``.

    Args:
        alpha: float32 ``[h, w]`` in 0..1, which weighs 1.
        past: Likewise.
        weight: float32 ``[h, w]``: what the past weighs, ...
        trust: float32 ``[h, w]`` in 0..1: ... how far, ...
        doubt: ... how much less where ``alpha`` is sure of the opposite, ...
        most: ... and how much at the most.
        least: Differences below this are none.
    """
    mean, heavy = np.empty_like(alpha), np.empty_like(alpha)
    planes = [np.ascontiguousarray(each) for each in (alpha, past, weight, trust)]
    numbers = [np.float32(each) for each in (doubt, most, least)]
    _running_mean(mean, heavy, *planes, *numbers)
    return mean, heavy


def joined_mean(
    alpha: Floats, past: Floats, past_weight: Floats, future: Floats, future_weight: Floats
) -> Floats:
    """Return the mean of two means, float32 ``[h, w]`` each, that have one matte in common."""
    mean = np.empty_like(alpha)
    planes = (alpha, past, past_weight, future, future_weight)
    _joined_mean(mean, *(np.ascontiguousarray(plane) for plane in planes))
    return mean


def unmix(
    out: Samples, front: Samples, alpha: Samples, means: Floats, low: Scalar, high: Scalar
) -> None:
    """Write the subject's own colours: the camera's where alpha is 1, estimates elsewhere.

    Where alpha is 0 the estimate is the local mean of the subject, so that a player which scales
    straight alpha finds no fringe, and nothing of the old room stays in the file. The arguments
    are those of ``blend_soft``.
    """
    _unmix(
        whole(out),
        whole(front),
        whole(alpha),
        out.shape[1],
        means,
        np.float32(low),
        np.float32(high),
    )


def whole(plane: Samples) -> Samples:
    """Widen a plane to the padding at the end of its rows, as a C-contiguous view.

    FFmpeg pads its rows, and of a view that leaves the padding out numba no longer knows that the
    samples of a row lie side by side: 16-bit loops were ten times slower. The padding after the
    last row may not exist; it is neither read nor written.
    """
    row, sample = plane.strides
    if plane.flags.c_contiguous or sample != plane.itemsize or row < plane.shape[1] * sample:
        return plane
    columns, rest = divmod(row, sample)
    return plane if rest else as_strided(plane, (plane.shape[0], columns))


@compiled
def _blend8(out: Samples, front: Samples, back: Samples, alpha: Samples, width: int) -> None:
    """Blend; division by 255 by shifts is exact for every pair of products (Blinn 1995)."""
    for y in range(out.shape[0]):
        for x in range(width):
            a = np.uint16(alpha[y, x])
            b = np.uint16(np.uint16(255) - a)
            v = np.uint16(
                np.uint16(a * np.uint16(front[y, x]))
                + np.uint16(b * np.uint16(back[y, x]))
                + np.uint16(128)
            )
            out[y, x] = np.uint8(np.uint16(v + np.uint16(v >> np.uint16(8))) >> np.uint16(8))


@compiled
def _blend16(out: Samples, front: Samples, back: Samples, alpha: Samples, width: int) -> None:
    """Blend; the same as ``_blend8`` with every number twice as wide."""
    for y in range(out.shape[0]):
        for x in range(width):
            a = np.uint32(alpha[y, x])
            b = np.uint32(np.uint32(65535) - a)
            v = np.uint32(
                np.uint32(a * np.uint32(front[y, x]))
                + np.uint32(b * np.uint32(back[y, x]))
                + np.uint32(32768)
            )
            out[y, x] = np.uint16(np.uint32(v + np.uint32(v >> np.uint32(16))) >> np.uint32(16))


@compiled
def _blend_float(out: Samples, front: Samples, back: Samples, alpha: Samples, width: int) -> None:
    one = np.float32(1)
    for y in range(out.shape[0]):
        for x in range(width):
            a = alpha[y, x]
            # Choices: a product with 0 would keep what is infinite or no number.
            mixed = a * front[y, x] + (one - a) * back[y, x]
            mixed = front[y, x] if a >= one else mixed
            out[y, x] = back[y, x] if a <= np.float32(0) else mixed


@compiled
def _unmix_float(
    out: Samples,
    front: Samples,
    alpha: Samples,
    width: int,
    means: Floats,
    low: Scalar,
    high: Scalar,
) -> None:
    one = np.float32(1)
    lines = np.empty((2, 2, width), np.float32)
    held = np.full(2, -1)
    for y in range(out.shape[0]):
        upper, lower, below = _mean_lines(lines, held, means, y, out.shape[0])
        for x in range(width):
            a = alpha[y, x]
            f = lines[upper, 0, x] + below * (lines[lower, 0, x] - lines[upper, 0, x])
            b = lines[upper, 1, x] + below * (lines[lower, 1, x] - lines[upper, 1, x])
            seen = front[y, x] if a > np.float32(0) else low
            own = _own_colour(f, b, a, seen, low, high)
            out[y, x] = front[y, x] if a >= one else own


@compiled
def _thin(
    out: Samples, plane: Samples, columns: int, step_x: int, step_y: int, cosited: bool
) -> None:
    """Add up two rows, then average along them."""
    rows = plane.shape[0]
    line = np.empty(columns, np.uint32)
    for y in range(out.shape[0]):
        top = plane[y << step_y]
        bottom = plane[min((y << step_y) + step_y, rows - 1)]
        for x in range(columns):
            line[x] = np.uint32(top[x]) + np.uint32(bottom[x])
        if step_x == 0:
            for x in range(columns):
                out[y, x] = (line[x] + np.uint32(1)) >> np.uint32(1)
        elif cosited:
            out[y, 0] = (line[0] * 3 + line[min(1, columns - 1)] + 4) >> 3
            for x in range(1, columns // 2):
                total = line[2 * x - 1] + np.uint32(2) * line[2 * x] + line[2 * x + 1]
                out[y, x] = (total + np.uint32(4)) >> np.uint32(3)
            if columns % 2 and columns > 1:
                last = columns - 1
                out[y, last // 2] = (line[last - 1] + 3 * line[last] + 4) >> 3
        else:
            for x in range(columns // 2):
                total = line[2 * x] + line[2 * x + 1]
                out[y, x] = (total + np.uint32(2)) >> np.uint32(2)
            if columns % 2:
                out[y, columns // 2] = (line[columns - 1] + np.uint32(1)) >> np.uint32(1)


@compiled
def _blend_soft(
    out: Samples,
    front: Samples,
    back: Samples,
    alpha: Samples,
    width: int,
    means: Floats,
    low: Scalar,
    high: Scalar,
) -> None:
    """Find the soft part of every row and blend it."""
    opaque = 255 if alpha.itemsize == 1 else 65535
    lines = np.empty((2, 2, width), np.float32)
    held = np.full(2, -1)
    for y in range(out.shape[0]):
        first, last = width, 0
        for begin in range(0, width, _BLOCK):
            end = min(begin + _BLOCK, width)
            if _is_mixed(alpha[y, begin:end], opaque):
                first, last = min(first, begin), end
        if first < last:
            part = slice(first, last)
            upper, lower, below = _mean_lines(lines, held, means, y, out.shape[0])
            _blend_run(
                out[y, part],
                front[y, part],
                back[y, part],
                alpha[y, part],
                opaque,
                lines[upper, 0, part],
                lines[lower, 0, part],
                lines[upper, 1, part],
                lines[lower, 1, part],
                below,
                low,
                high,
            )


@compiled
def _is_mixed(alpha: Samples, opaque: int) -> Scalar:
    """Whether a row is neither all clear nor all opaque."""
    least = most = alpha[0]
    for x in range(alpha.shape[0]):
        least, most = min(least, alpha[x]), max(most, alpha[x])
    return (most != 0) & (least != opaque)


@compiled
def _blend_run(
    out: Samples,
    front: Samples,
    back: Samples,
    alpha: Samples,
    opaque: int,
    subject: Floats,
    subject_next: Floats,
    behind: Floats,
    behind_next: Floats,
    below: Scalar,
    low: Scalar,
    high: Scalar,
) -> None:
    """Blend a part of a row: rows of means above and below it, and how far below the upper one."""
    unit = np.float32(1.0 / opaque)
    for x in range(out.shape[0]):
        a = np.float32(alpha[x]) * unit
        f = subject[x] + below * (subject_next[x] - subject[x])
        b = behind[x] + below * (behind_next[x] - behind[x])
        own = _own_colour(f, b, a, np.float32(front[x]), low, high)
        mixed = a * own + (np.float32(1) - a) * np.float32(back[x])
        soft = (alpha[x] != 0) & (alpha[x] != opaque)
        # Written as a choice, not as a branch: LLVM vectorises this.
        out[x] = np.int32(mixed + np.float32(0.5)) if soft else np.int32(out[x])


@compiled
def _unmix(
    out: Samples,
    front: Samples,
    alpha: Samples,
    width: int,
    means: Floats,
    low: Scalar,
    high: Scalar,
) -> None:
    """Estimate every sample, and keep the camera's where alpha is 1."""
    opaque = 255 if alpha.itemsize == 1 else 65535
    unit = np.float32(1.0 / opaque)
    lines = np.empty((2, 2, width), np.float32)
    held = np.full(2, -1)
    for y in range(out.shape[0]):
        upper, lower, below = _mean_lines(lines, held, means, y, out.shape[0])
        for x in range(width):
            a = np.float32(alpha[y, x]) * unit
            f = lines[upper, 0, x] + below * (lines[lower, 0, x] - lines[upper, 0, x])
            b = lines[upper, 1, x] + below * (lines[lower, 1, x] - lines[upper, 1, x])
            # Far from the subject nothing of the camera's picture may count, not even as a limit.
            seen = np.float32(front[y, x]) if alpha[y, x] else low
            own = _own_colour(f, b, a, seen, low, high)
            kept = alpha[y, x] == opaque
            out[y, x] = np.int32(front[y, x]) if kept else np.int32(own + np.float32(0.5))


@compiled
def _own_colour(f: Scalar, b: Scalar, a: Scalar, seen: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """Return the subject's colour at one sample: ``f + a (seen - a f - (1 - a) b)``.

    ``f`` and ``b`` are the local mean colours of subject and old background. The result stays
    between ``low`` and ``high`` unless the camera itself left them.
    """
    own = f + a * (seen - a * f - (np.float32(1) - a) * b)
    return min(max(own, min(seen, low)), max(seen, high))


@compiled
def _mean_lines(
    lines: Floats, held: Samples, means: Floats, y: int, height: int
) -> tuple[int, int, Scalar]:
    """Make the two rows of means that row ``y`` of ``height`` lies between, as wide as the plane.

    Args:
        lines: float32 ``[2, 2, width]``, written: two rows, for subject and background each.
        held: int ``[2]``, updated: which row of ``means`` each of the two is.
        means: float32 ``[h', w', 2]``.
        y: The row, growing from call to call.
        height: Of the plane.

    Returns:
        Which of ``lines`` is the upper one, which the lower, and the lower one's weight.
    """
    bottom = means.shape[0] - 1
    v = min(max(np.float32((y + 0.5) * means.shape[0] / height - 0.5), np.float32(0)), bottom)
    upper = int(v)
    lower = min(upper + 1, bottom)
    for row in (upper, lower):
        if held[row & 1] != row:
            _widen(lines[row & 1], means, row)
            held[row & 1] = row
    return upper & 1, lower & 1, np.float32(v - upper)


@compiled
def _widen(line: Floats, means: Floats, row: int) -> None:
    """Interpolate a row of means to the width of ``line``, float32 ``[2, width]``."""
    cells = means.shape[1]
    scale = np.float32(cells / line.shape[1])
    for x in range(line.shape[1]):
        u = (np.float32(x) + np.float32(0.5)) * scale - np.float32(0.5)
        u = min(max(u, np.float32(0)), np.float32(cells - 1))
        left = np.int32(u)
        right = min(left + np.int32(1), np.int32(cells - 1))
        part = u - np.float32(left)
        for k in range(2):
            line[k, x] = means[row, left, k] + part * (means[row, right, k] - means[row, left, k])


@compiled
def _running_mean(
    mean: Floats,
    heavy: Floats,
    alpha: Floats,
    past: Floats,
    weight: Floats,
    trust: Floats,
    doubt: Scalar,
    most: Scalar,
    least: Scalar,
) -> None:
    one, two, nothing = np.float32(1), np.float32(2), np.float32(0)
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            here = alpha[y, x]
            difference = past[y, x] - here
            apart = abs(difference)
            belief = max(one - doubt * abs(two * here - one) * apart, nothing)
            share = min(weight[y, x] * trust[y, x] * belief, most)
            moved = difference if apart >= least else nothing
            mean[y, x] = here + share / (share + one) * moved
            heavy[y, x] = share + one


@compiled
def _joined_mean(
    mean: Floats,
    alpha: Floats,
    past: Floats,
    past_weight: Floats,
    future: Floats,
    future_weight: Floats,
) -> None:
    one, nothing = np.float32(1), np.float32(0)
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            here, before, after = alpha[y, x], past_weight[y, x], future_weight[y, x]
            # Differences, so that what all agree on stays exactly what it is.
            apart = before * (past[y, x] - here) + after * (future[y, x] - here)
            mean[y, x] = min(max(here + apart / (before + after - one), nothing), one)
