"""The loops over samples, compiled by numba: serial, without the GIL, exact to rounding.

Each is written once and compiled for uint8 and uint16 planes; plain row-by-row loops, because
LLVM vectorises those and a parallel version was slower (``tools/benchmark`` tells). An alpha has
the depth of its dtype: 255 or 65535 is opaque, whatever the depth of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Scalar = Any

F = TypeVar("F", bound="Callable[..., Any]")


def _compiled(function: F) -> F:
    compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return cast("F", compiled)


@_compiled
def blend8(out: Samples, front: Samples, back: Samples, alpha: Samples) -> None:
    """``out = round(alpha * front + (1 - alpha) * back)``; planes uint8, alpha uint8.

    Division by 255 by shifts is exact for every pair of products (Blinn 1995).
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            a = np.uint16(alpha[y, x])
            b = np.uint16(np.uint16(255) - a)
            v = np.uint16(
                np.uint16(a * np.uint16(front[y, x]))
                + np.uint16(b * np.uint16(back[y, x]))
                + np.uint16(128)
            )
            out[y, x] = np.uint8(np.uint16(v + np.uint16(v >> np.uint16(8))) >> np.uint16(8))


@_compiled
def blend16(out: Samples, front: Samples, back: Samples, alpha: Samples) -> None:
    """``out = round(alpha * front + (1 - alpha) * back)``; planes uint16, alpha uint16."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            a = np.uint32(alpha[y, x])
            b = np.uint32(np.uint32(65535) - a)
            v = np.uint32(
                np.uint32(a * np.uint32(front[y, x]))
                + np.uint32(b * np.uint32(back[y, x]))
                + np.uint32(32768)
            )
            out[y, x] = np.uint16(np.uint32(v + np.uint32(v >> np.uint32(16))) >> np.uint32(16))


@_compiled
def thin(out: Samples, plane: Samples, step_x: int, step_y: int, cosited: bool) -> None:
    """Bring a luma-sized plane to the size of the chroma planes, where chroma samples lie.

    Vertically chroma lies between two rows. Horizontally it lies on the even columns (``cosited``,
    MPEG-2 and its heirs: weights 1 2 1) or between two columns (JPEG: weights 1 1). Rounded once.
    At the border the last sample repeats.
    """
    rows, columns = plane.shape
    line = np.empty(columns, np.uint32)
    for y in range(out.shape[0]):
        top = plane[y << step_y]
        bottom = plane[min((y << step_y) + step_y, rows - 1)]
        for x in range(columns):
            line[x] = np.uint32(top[x]) + np.uint32(bottom[x])
        if step_x == 0:
            for x in range(out.shape[1]):
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


@_compiled
def _own_colour(
    means: Samples, u: Scalar, v: Scalar, a: Scalar, seen: Scalar, low: Scalar, high: Scalar
) -> Scalar:
    """Return the subject's colour at one sample: ``f + a (seen - a f - (1 - a) b)``.

    ``f`` and ``b``, the local mean colours of subject and old background, are read from ``means``
    (float32 ``[h', w', 2]``) at row ``v`` and column ``u``, bilinearly. The result stays between
    ``low`` and ``high`` unless the camera itself left them.
    """
    v = min(max(v, np.float32(0)), np.float32(means.shape[0] - 1))
    u = min(max(u, np.float32(0)), np.float32(means.shape[1] - 1))
    top, left = int(v), int(u)
    bottom, right = min(top + 1, means.shape[0] - 1), min(left + 1, means.shape[1] - 1)
    fy, fx = np.float32(v - top), np.float32(u - left)
    gy, gx = np.float32(1) - fy, np.float32(1) - fx
    f = gy * (gx * means[top, left, 0] + fx * means[top, right, 0]) + fy * (
        gx * means[bottom, left, 0] + fx * means[bottom, right, 0]
    )
    b = gy * (gx * means[top, left, 1] + fx * means[top, right, 1]) + fy * (
        gx * means[bottom, left, 1] + fx * means[bottom, right, 1]
    )
    own = f + a * (seen - a * f - (np.float32(1) - a) * b)
    return np.float32(min(max(own, min(seen, low)), max(seen, high)))


@_compiled
def blend_soft(
    out: Samples,
    front: Samples,
    back: Samples,
    alpha: Samples,
    means: Samples,
    low: Scalar,
    high: Scalar,
) -> None:
    """Where alpha is soft, blend the subject's own colour instead of the camera's mixture.

    Writes only where ``0 < alpha < 1``; everything else stands as ``blend8`` or ``blend16`` left
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
    opaque = 255 if alpha.itemsize == 1 else 65535
    unit = np.float32(1.0 / opaque)
    scale_y = np.float32(means.shape[0] / out.shape[0])
    scale_x = np.float32(means.shape[1] / out.shape[1])
    for y in range(out.shape[0]):
        v = (np.float32(y) + np.float32(0.5)) * scale_y - np.float32(0.5)
        for x in range(out.shape[1]):
            if 0 < alpha[y, x] < opaque:
                u = (np.float32(x) + np.float32(0.5)) * scale_x - np.float32(0.5)
                a = np.float32(alpha[y, x]) * unit
                own = _own_colour(means, u, v, a, np.float32(front[y, x]), low, high)
                mixed = a * own + (np.float32(1) - a) * np.float32(back[y, x])
                out[y, x] = int(mixed + np.float32(0.5))


@_compiled
def unmix(
    out: Samples, front: Samples, alpha: Samples, means: Samples, low: Scalar, high: Scalar
) -> None:
    """Write the subject's own colours: the camera's where alpha is 1, estimates elsewhere.

    Where alpha is 0 the estimate is the local mean of the subject, so that a player which scales
    straight alpha finds no fringe, and nothing of the old room stays in the file. The arguments
    are those of ``blend_soft``.
    """
    opaque = 255 if alpha.itemsize == 1 else 65535
    unit = np.float32(1.0 / opaque)
    scale_y = np.float32(means.shape[0] / out.shape[0])
    scale_x = np.float32(means.shape[1] / out.shape[1])
    for y in range(out.shape[0]):
        v = (np.float32(y) + np.float32(0.5)) * scale_y - np.float32(0.5)
        for x in range(out.shape[1]):
            if alpha[y, x] == opaque:
                out[y, x] = front[y, x]
            else:
                u = (np.float32(x) + np.float32(0.5)) * scale_x - np.float32(0.5)
                a = np.float32(alpha[y, x]) * unit
                # Far from the subject nothing of the camera's picture may count.
                seen = np.float32(front[y, x])
                own = _own_colour(means, u, v, a, seen, low, high)
                if alpha[y, x] == 0:
                    own = min(max(own, low), high)
                out[y, x] = int(own + np.float32(0.5))
