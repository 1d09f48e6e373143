"""The loops that bring a matte to the frame's size along the frame's colours.

Guided image filtering (He, Sun and Tang, "Guided Image Filtering", PAMI 2013) with a guide of
three channels, its coefficients taken at the low resolution and evaluated at the high one (He and
Sun, "Fast Guided Filter", 2015). Three things differ:

- The offset is such that the matte itself is reproduced: the filter only adds what the picture
  shows between the matte's pixels. Where colour says nothing of alpha (the share of alpha's
  variance that it explains is low), the result is the cubic interpolation.
- One step of back-projection (Irani and Peleg 1991): what the result, averaged over a pixel of the
  matte, is off by is added to it. It takes back the blur of cubic interpolation and the guesses of
  the filter that the matte contradicts.
- All is done only where alpha changes within a window. Elsewhere nothing is read or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.stages.kernels import compiled, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]
    Bits = NDArray[np.bool_]

LEAST_CHANGE = 0.01
"""Of alpha from pixel to pixel of the matte: below it there is no edge to refine."""
DOUBTFUL, SURE = 0.8, 1.0
"""Shares of alpha's variance in a window: colours that explain no more than the first count
nothing, those that explain all count in full."""
_CUBIC = -0.75
"""The cubic kernel's free parameter: that of OpenCV, whose result is continued here."""
_PAD = 2
"""Columns that lines of the low size are longer at either end, so that four taps need no limits."""


def edges(alpha: Floats) -> Bits:
    """Return where alpha changes: bool ``[h, w]``, the pixels with another alpha beside them."""
    square = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(alpha, square) - cv2.erode(alpha, square) >= LEAST_CHANGE)


def slopes(guide: Floats, alpha: Floats, where: Bits, radius: int, smoothness: float) -> Floats:
    """Return how alpha changes with colour around every pixel of a matte.

    Args:
        guide: float32 ``[3, h, w]``, the picture at the matte's size, 0..1.
        alpha: float32 ``[h, w]`` in 0..1.
        where: Around which pixels windows are looked at, bool ``[h, w]``.
        radius: Of the square windows in which alpha is taken for an affine function of colour.
        smoothness: The regulariser: colour variances below it say nothing.

    Returns:
        float32 ``[3, h, w]``: alpha per unit of each channel, averaged over all windows that a
        pixel is in; exactly 0 away from ``where``.
    """
    single = np.zeros((3, *alpha.shape), np.float32)
    _slopes(
        single, np.ascontiguousarray(guide), np.ascontiguousarray(alpha), where, radius, smoothness
    )
    size = (2 * radius + 1, 2 * radius + 1)
    return np.stack([cv2.blur(plane, size, borderType=cv2.BORDER_REPLICATE) for plane in single])


def add_details(
    out: Samples,
    planes: Sequence[Samples],
    alpha: Floats,
    slope: Floats,
    offset: Floats,
    where: Bits,
    peak: int,
    chroma: tuple[int, int, bool],
) -> None:
    """Write ``slope . colour + offset`` around edges, at the frame's size, and back-project it.

    Args:
        out: uint8 or uint16 ``[H, W]``: the interpolated matte, changed in place.
        planes: The frame's three, uint8 or uint16; the last two may be subsampled.
        alpha: float32 ``[h, w]``: the matte, no larger than the frame either way.
        slope: float32 ``[3, h, w]``, interpolated linearly.
        offset: float32 ``[h, w]``, interpolated cubically.
        where: bool ``[h, w]``: the edges, whose every neighbour is written, too.
        peak: The sample value that is 1 in units of the slopes' guide.
        chroma: log2 of how many columns and rows share a sample of the last two planes, and
            whether such a sample lies on the first of the columns rather than between them.
    """
    around = cv2.dilate(where.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not around.any():
        return
    coefficients = np.concatenate([slope * np.float32(1 / peak), offset[None]])
    ends = ((0, 0), (0, 0), (_PAD, _PAD))
    padded = np.ascontiguousarray(np.pad(coefficients, ends, "edge").transpose(1, 0, 2))
    first, second, third = (whole(plane) for plane in planes)
    height, width = out.shape
    fine = np.empty((height, width), np.float32)
    mean = np.zeros(alpha.shape, np.float32)
    _evaluate(fine, mean, first, second, third, planes[1].shape[1], padded, around, *chroma)
    rest = np.where(where, alpha - mean, np.float32(0))
    _back_project(whole(out), fine, np.pad(rest, 1, "edge"), around)


def colour_filter(guide: Floats, alpha: Floats, radius: int, smoothness: float) -> Floats:
    """Return the local affine function of colour that is nearest to ``alpha`` (He et al. 2013).

    Args:
        guide: float32 ``[3, h, w]`` in 0..1.
        alpha: float32 ``[h, w]`` in 0..1.
        radius: Of the square window, in pixels.
        smoothness: The regulariser, in squared guide units.

    Returns:
        float32 ``[h, w]``, not clipped.
    """
    size = (2 * radius + 1, 2 * radius + 1)
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    # About their middle, or float32 loses small variances of bright colours.
    middle = guide - np.float32(0.5)
    moments = [*middle, alpha, *(middle[i] * middle[j] for i, j in pairs), *(middle * alpha)]
    coefficients = np.empty((4, *alpha.shape), np.float32)
    means = np.stack([cv2.blur(moment, size) for moment in moments])
    _solve_all(coefficients, means, smoothness)
    slope_r, slope_g, slope_b, offset = (cv2.blur(plane, size) for plane in coefficients)
    result = slope_r * middle[0] + slope_g * middle[1] + slope_b * middle[2] + offset
    return np.asarray(result, np.float32)


@compiled
def _slopes(
    out: Floats, guide: Floats, alpha: Floats, where: Bits, radius: int, smoothness: float
) -> None:
    """Fit alpha to colour in the window around every pixel (He et al. 2013, equation 19)."""
    height, width = alpha.shape
    for y in range(height):
        for x in range(width):
            if where[y, x]:
                top, bottom = max(y - radius, 0), min(y + radius + 1, height)
                left, right = max(x - radius, 0), min(x + radius + 1, width)
                window = alpha[top:bottom, left:right]
                colours = guide[:, top:bottom, left:right]
                _fit(out[:, y, x], colours[0], colours[1], colours[2], window, smoothness)


@compiled
def _fit(
    out: Floats, red: Floats, green: Floats, blue: Floats, alpha: Floats, smoothness: float
) -> None:
    """Solve the regularised least squares of one window: three slopes, less where they fail."""
    count = 1.0 / alpha.size
    mr = mg = mb = ma = 0.0
    for j in range(alpha.shape[0]):
        for i in range(alpha.shape[1]):
            mr += red[j, i]
            mg += green[j, i]
            mb += blue[j, i]
            ma += alpha[j, i]
    mr, mg, mb, ma = mr * count, mg * count, mb * count, ma * count
    aa = rr = gg = bb = rg = rb = gb = ra = ga = ba = 0.0
    for j in range(alpha.shape[0]):
        for i in range(alpha.shape[1]):
            dr, dg, db, da = red[j, i] - mr, green[j, i] - mg, blue[j, i] - mb, alpha[j, i] - ma
            rr, gg, bb = rr + dr * dr, gg + dg * dg, bb + db * db
            rg, rb, gb = rg + dr * dg, rb + dr * db, gb + dg * db
            ra, ga, ba = ra + dr * da, ga + dg * da, ba + db * da
            aa += da * da
    rr, gg, bb = rr * count + smoothness, gg * count + smoothness, bb * count + smoothness
    rg, rb, gb = rg * count, rb * count, gb * count
    ra, ga, ba = ra * count, ga * count, ba * count
    a, b, c = _solve(rr, rg, rb, gg, gb, bb, ra, ga, ba)
    explained = (a * ra + b * ga + c * ba) / max(aa * count, 1e-12)
    trust = min(max((explained - DOUBTFUL) / (SURE - DOUBTFUL), 0.0), 1.0)
    out[0], out[1], out[2] = trust * a, trust * b, trust * c


@compiled
def _solve(
    rr: float,
    rg: float,
    rb: float,
    gg: float,
    gb: float,
    bb: float,
    ra: float,
    ga: float,
    ba: float,
) -> tuple[float, float, float]:
    """Solve for three slopes: colour's covariances (regularised) times them are alpha's with it."""
    # The inverse of a symmetric matrix by its cofactors; the regulariser keeps it from 0.
    c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    scale = 1.0 / (rr * c00 + rg * c01 + rb * c02)
    a = (c00 * ra + c01 * ga + c02 * ba) * scale
    b = (c01 * ra + c11 * ga + c12 * ba) * scale
    c = (c02 * ra + c12 * ga + c22 * ba) * scale
    return a, b, c


@compiled
def _solve_all(out: Floats, mean: Floats, smoothness: float) -> None:
    """Turn windows' moments into coefficients.

    Args:
        out: float32 ``[4, h, w]``, written: three slopes, the offset.
        mean: float32 ``[13, h, w]``, the means of r, g, b, alpha, rr, rg, rb, gg, gb, bb, and of
            alpha times r, g, b.
        smoothness: The regulariser.
    """
    for y in range(mean.shape[1]):
        for x in range(mean.shape[2]):
            r, g = float(mean[0, y, x]), float(mean[1, y, x])
            b, alpha = float(mean[2, y, x]), float(mean[3, y, x])
            out[0, y, x], out[1, y, x], out[2, y, x] = _solve(
                max(mean[4, y, x] - r * r, 0.0) + smoothness,
                mean[5, y, x] - r * g,
                mean[6, y, x] - r * b,
                max(mean[7, y, x] - g * g, 0.0) + smoothness,
                mean[8, y, x] - g * b,
                max(mean[9, y, x] - b * b, 0.0) + smoothness,
                mean[10, y, x] - alpha * r,
                mean[11, y, x] - alpha * g,
                mean[12, y, x] - alpha * b,
            )
            out[3, y, x] = alpha - out[0, y, x] * r - out[1, y, x] * g - out[2, y, x] * b


@compiled
def _evaluate(
    fine: Floats,
    mean: Floats,
    first: Samples,
    second: Samples,
    third: Samples,
    chroma_width: int,
    coefficients: Floats,
    around: Bits,
    step_x: int,
    step_y: int,
    cosited: bool,
) -> None:
    """Evaluate the filter at the frame's size, and average it over the matte's pixels.

    Args:
        fine: float32 ``[H, W]``, written where the pixel's centre lies in ``around``.
        mean: float32 ``[h, w]``, zeros, added to; whole where all neighbours are in ``around``.
        first: The plane that is never subsampled.
        second: A chroma plane, or one like the first.
        third: The other one.
        chroma_width: Their columns, without padding.
        coefficients: float32 ``[h, 4, w + 2 * _PAD]``: three slopes, the offset.
        around: bool ``[h, w]``.
        step_x: As in ``add_details``.
        step_y: As in ``add_details``.
        cosited: As in ``add_details``.
    """
    height, width = fine.shape
    rows, columns = around.shape
    starts = _starts(width, columns)
    at, weights, shares = _taps(width, columns)
    line = np.empty((4, coefficients.shape[2]), np.float32)
    colours = np.empty((2, width), np.float32)
    sums = np.empty(columns + 1, np.float32)
    for y in range(height):
        row = ((2 * y + 1) * rows) // (2 * height)
        if not around[row].any():
            continue
        v = (y + 0.5) * rows / height - 0.5
        upper = int(np.floor(v))
        _mix_rows(line, coefficients, upper, v - upper)
        sums[:] = 0
        for column in range(columns):
            if not around[row, column]:
                continue
            begin, end = starts[column], starts[column + 1]
            _chroma(colours[0], second, chroma_width, y, begin, end, step_x, step_y, cosited)
            _chroma(colours[1], third, chroma_width, y, begin, end, step_x, step_y, cosited)
            for x in range(begin, end):
                i = at[x]
                part = weights[x, 4]
                a = line[0, i + 1] + part * (line[0, i + 2] - line[0, i + 1])
                b = line[1, i + 1] + part * (line[1, i + 2] - line[1, i + 1])
                c = line[2, i + 1] + part * (line[2, i + 2] - line[2, i + 1])
                value = a * np.float32(first[y, x]) + b * colours[0, x] + c * colours[1, x]
                for tap in range(4):
                    value += weights[x, tap] * line[3, i + tap]
                value = min(max(value, np.float32(0)), np.float32(1))
                fine[y, x] = value
                cell = x * columns // width
                sums[cell] += shares[x] * value
                sums[cell + 1] += (np.float32(1) - shares[x]) * value
        cell = y * rows // height
        share = np.float32(_share(y, height, rows))
        unit = np.float32(columns * rows / (width * height))
        for column in range(columns):
            mean[cell, column] += share * unit * sums[column]
        if share < 1 and cell + 1 < rows:
            for column in range(columns):
                mean[cell + 1, column] += (np.float32(1) - share) * unit * sums[column]


@compiled
def _back_project(out: Samples, fine: Floats, rest: Floats, around: Bits) -> None:
    """Add the linearly interpolated ``rest`` (padded by one pixel) and round to ``out``."""
    height, width = fine.shape
    rows, columns = around.shape
    opaque = np.float32(255 if out.itemsize == 1 else 65535)
    starts = _starts(width, columns)
    at, weights, _ = _taps(width, columns)
    line = np.empty(columns + 2, np.float32)
    for y in range(height):
        row = ((2 * y + 1) * rows) // (2 * height)
        if not around[row].any():
            continue
        v = (y + 0.5) * rows / height - 0.5
        upper = int(np.floor(v))
        part = np.float32(v - upper)
        for column in range(columns + 2):
            above, below = rest[upper + 1, column], rest[upper + 2, column]
            line[column] = above + part * (below - above)
        for column in range(columns):
            if around[row, column]:
                for x in range(starts[column], starts[column + 1]):
                    i = at[x]
                    value = fine[y, x] + line[i] + weights[x, 4] * (line[i + 1] - line[i])
                    value = min(max(value, np.float32(0)), np.float32(1))
                    out[y, x] = np.int32(value * opaque + np.float32(0.5))


@compiled
def _starts(width: int, columns: int) -> Samples:
    """Return for each column of the matte the first of the frame's whose centre lies in it."""
    starts = np.empty(columns + 1, np.int64)
    for column in range(columns + 1):
        starts[column] = (2 * column * width + columns - 1) // (2 * columns)
    return starts


@compiled
def _taps(width: int, columns: int) -> tuple[Samples, Floats, Floats]:
    """Return how the frame's columns lie on the matte's.

    Returns:
        int ``[width]``: the left neighbour at the low size, plus 1. float32 ``[width, 5]``: the
        weights of four neighbours (cubic) and the distance from the left one. float32 ``[width]``:
        how much of the column lies in the first pixel of the matte that it touches.
    """
    at = np.empty(width, np.int64)
    weights = np.empty((width, 5), np.float32)
    shares = np.empty(width, np.float32)
    for x in range(width):
        u = (x + 0.5) * columns / width - 0.5
        left = int(np.floor(u))
        at[x] = left + 1
        for tap in range(4):
            weights[x, tap] = _cubic(u - left, tap)
        weights[x, 4] = u - left
        shares[x] = _share(x, width, columns)
    return at, weights, shares


@compiled
def _share(x: int, width: int, columns: int) -> float:
    """Return how much of column ``x`` of ``width`` lies in the first of ``columns`` it touches."""
    cell = x * columns // width
    return min(((cell + 1) * width - x * columns) / columns, 1.0)


@compiled
def _cubic(part: float, tap: int) -> float:
    """Return the weight of the ``tap``-th of four neighbours (Keys 1981)."""
    away = abs(part + 1 - tap)
    if away <= 1:
        return ((_CUBIC + 2) * away - (_CUBIC + 3)) * away * away + 1
    return _CUBIC * (((away - 5) * away + 8) * away - 4)


@compiled
def _mix_rows(line: Floats, coefficients: Floats, upper: int, part: float) -> None:
    """Interpolate a row of slopes linearly, of offsets cubically."""
    bottom = coefficients.shape[0] - 1
    above, below = coefficients[max(upper, 0)], coefficients[min(upper + 1, bottom)]
    lower = np.float32(part)
    for k in range(3):
        for x in range(line.shape[1]):
            line[k, x] = above[k, x] + lower * (below[k, x] - above[k, x])
    line[3] = 0
    for tap in range(4):
        row = coefficients[min(max(upper - 1 + tap, 0), bottom), 3]
        weight = np.float32(_cubic(part, tap))
        for x in range(line.shape[1]):
            line[3, x] += weight * row[x]


@compiled
def _chroma(
    line: Floats,
    plane: Samples,
    columns: int,
    y: int,
    begin: int,
    end: int,
    step_x: int,
    step_y: int,
    cosited: bool,
) -> None:
    """Interpolate a part of a row of a subsampled plane to luma's columns."""
    bottom = plane.shape[0] - 1
    if step_y:  # chroma lies between two rows
        above = (y - 1) >> 1
        part = np.float32(0.25 if y & 1 else 0.75)
        upper, lower = plane[max(above, 0)], plane[min(above + 1, bottom)]
    else:
        part = np.float32(0)
        upper = lower = plane[y]
    for x in range(begin, end):
        if not step_x:
            i, j, right = x, x, np.float32(0)
        elif cosited:
            i, right = x >> 1, np.float32(0.5 if x & 1 else 0)
            j = min(i + 1, columns - 1)
        else:
            i, right = max((x - 1) >> 1, 0), np.float32(0.25 if x & 1 else 0.75)
            j = min(((x - 1) >> 1) + 1, columns - 1)
        a = np.float32(upper[i]) + part * (np.float32(lower[i]) - np.float32(upper[i]))
        b = np.float32(upper[j]) + part * (np.float32(lower[j]) - np.float32(upper[j]))
        line[x] = a + right * (b - a)
