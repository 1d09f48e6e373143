"""Figures for yes-or-no segmentation: S-, F-, E- and weighted F-measure, and MAE.

All follow the evaluation that the tables of the literature were made with: the truth is split at
128, the prediction is stretched to the full range (unless it is flat), both are 8-bit pictures of
one size. ``tests/tools/test_evaluate.py`` holds them against numbers of pysodmetrics 1.6.2.

Nearly everything is a function of how often each of the 256 levels occurs inside and outside the
truth, in each of four quarters of the picture, so every picture is counted once and the rest is
arithmetic on tables. Only the weighted F-measure looks at the pixels again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

LEVELS = 256
SPLIT = 128
"""The greatest level of the truth that is background."""
F_BETA_SQUARED = 0.3
OBJECT_SHARE = 0.5
"""The S-measure's alpha: how much the objects count against the regions."""
EPSILON = float(np.spacing(1))
ROWS = 256
"""Counted at a time."""


@dataclass(frozen=True)
class Scores:
    """What one picture got; all between 0 and 1, and more is better except for ``mae``."""

    s: float
    weighted_f: float
    mae: float
    adaptive_f: float
    """At twice the mean of the prediction."""
    adaptive_e: float
    f_curve: Floats
    """``[256]``, at the thresholds 0 to 255."""
    e_curve: Floats

    @property
    def figures(self) -> dict[str, float]:
        """The figures by the names that ``tools/evaluate.py`` prints."""
        return {
            "S": self.s,
            "wF": self.weighted_f,
            "maxF": float(self.f_curve.max()),
            "meanF": float(self.f_curve.mean()),
            "adpF": self.adaptive_f,
            "maxE": float(self.e_curve.max()),
            "meanE": float(self.e_curve.mean()),
            "adpE": self.adaptive_e,
            "MAE": self.mae,
        }


def mean(scores: Sequence[Scores]) -> Scores:
    """Return the scores of a data set: curves are averaged before their maximum is taken."""

    def average(name: str) -> Any:
        return np.mean([getattr(score, name) for score in scores], axis=0)

    plain = ("s", "weighted_f", "mae", "adaptive_f", "adaptive_e")
    return Scores(*(float(average(name)) for name in plain), average("f_curve"), average("e_curve"))


def score(prediction: Bytes, truth: Bytes) -> Scores:
    """Return what a prediction gets.

    Args:
        prediction: uint8 ``[h, w]``, 255 is foreground.
        truth: uint8 ``[h, w]``.
    """
    inside = truth > SPLIT
    quarters = _counts(prediction, inside)
    whole = quarters.sum(0)
    values = _stretched(whole)
    bins = _reached(whole, (values * 255).astype(np.uint8))
    mean_value = float(whole.sum(0) @ values) / inside.size
    threshold = min(2 * mean_value, 1.0)
    adaptive = whole[:, values >= threshold].sum(1, keepdims=True)
    of = whole.sum(1)
    return Scores(
        s=_s_measure(quarters, values),
        weighted_f=_weighted_f(prediction, inside, values),
        mae=float(whole[0] @ values + whole[1] @ (1 - values)) / inside.size,
        adaptive_f=float(_f_measure(adaptive, of)[0]),
        adaptive_e=float(_e_measure(adaptive, of)[0]),
        f_curve=_f_measure(bins, of),
        e_curve=_e_measure(bins, of),
    )


# ---- counting


def _counts(prediction: Bytes, inside: Mask) -> Counts:
    """Return how often each level occurs: ``[quarter, outside or inside, level]``.

    The quarters meet at the truth's centre of gravity, whose own row and column belong to the
    upper and the left ones; a picture without foreground is quartered in the middle.
    """
    (height, width), (y, x) = inside.shape, _centre(inside)
    quarters = [
        (slice(rows, end), columns)
        for rows, end in ((0, y), (y, height))
        for columns in (slice(0, x), slice(x, width))
    ]
    counts = np.zeros((4, 2 * LEVELS), np.int64)
    for quarter, (rows, columns) in enumerate(quarters):
        for row in range(rows.start, rows.stop, ROWS):
            part = slice(row, min(row + ROWS, rows.stop)), columns
            levels = prediction[part] + inside[part] * np.int64(LEVELS)
            counts[quarter] += np.bincount(levels.ravel(), minlength=2 * LEVELS)
    return counts.reshape(4, 2, LEVELS)


def _centre(inside: Mask) -> tuple[int, int]:
    """Return how many rows are in the upper and how many columns in the left quarters."""
    height, width = inside.shape
    area = np.count_nonzero(inside)
    if not area:
        return round(height / 2) + 1, round(width / 2) + 1
    y = np.count_nonzero(inside, axis=1) @ np.arange(height) / area
    x = np.count_nonzero(inside, axis=0) @ np.arange(width) / area
    return round(float(y)) + 1, round(float(x)) + 1


def _stretched(whole: Counts) -> Floats:
    """Return the value that each level stands for: ``[256]``, its least 0 and its greatest 1."""
    values = np.arange(LEVELS) / 255
    present = np.flatnonzero(whole.sum(0))
    least, greatest = values[present[0]], values[present[-1]]
    if least != greatest:
        values = (values - least) / (greatest - least)
    return np.clip(values, 0, 1)


def _reached(whole: Counts, bins: Bytes) -> Counts:
    """Return how many pixels reach each threshold: ``[outside or inside, threshold]``."""
    told = np.stack([np.bincount(bins, weights=counts, minlength=LEVELS) for counts in whole])
    return np.cumsum(told[:, ::-1], axis=1)[:, ::-1].astype(np.int64)


# ---- F-measure (Achanta et al. 2009) and E-measure (Fan et al. 2018, arXiv 1805.10421)


def _f_measure(reached: Counts, of: Counts) -> Floats:
    """Return the F-measure of thresholded predictions.

    Args:
        reached: ``[outside or inside, n]``: pixels taken for foreground.
        of: ``[outside or inside]``: all pixels.
    """
    hits, taken = reached[1], reached.sum(0)
    precision = hits / np.maximum(taken, 1)
    recall = hits / max(int(of[1]), 1)
    weight = F_BETA_SQUARED * precision + recall
    product = (1 + F_BETA_SQUARED) * precision * recall
    return np.divide(product, weight, out=np.zeros_like(product), where=hits > 0)


def _e_measure(reached: Counts, of: Counts) -> Floats:
    """Return the enhanced alignment of thresholded predictions; arguments as above.

    A pixel's alignment depends on nothing but whether it is foreground in the truth and in the
    prediction, so four products with four counts make the sum over the picture.
    """
    size = int(of.sum())
    taken = reached.sum(0)
    if not of[1]:
        return (size - taken) / (size - 1 + EPSILON)
    if not of[0]:
        return taken / (size - 1 + EPSILON)
    total = np.zeros(taken.shape)
    for truth in (0, 1):
        for told, counts in ((1, reached[truth]), (0, of[truth] - reached[truth])):
            a, b = told - taken / size, truth - of[1] / size
            aligned = 2 * a * b / (a * a + b * b + EPSILON)
            total += (aligned + 1) ** 2 / 4 * counts
    return total / (size - 1 + EPSILON)


# ---- S-measure (Fan et al. 2017, arXiv 1708.00786)


def _s_measure(quarters: Counts, values: Floats) -> float:
    whole = quarters.sum(0)
    outside, inside = whole.sum(1)
    if not inside or not outside:
        average = float(whole.sum(0) @ values) / whole.sum()
        return float(average if inside else 1 - average)
    share = inside / whole.sum()
    objects = share * _uniform(whole[1], values) + (1 - share) * _uniform(whole[0], 1 - values)
    regions = sum(quarter.sum() / whole.sum() * _similar(quarter, values) for quarter in quarters)
    return float(max(0.0, OBJECT_SHARE * objects + (1 - OBJECT_SHARE) * regions))


def _uniform(counts: Counts, values: Floats) -> float:
    """How near to 1, and how uniform, the values of a region are."""
    size = counts.sum()
    average, squares = _moments(counts, values)
    deviation = np.sqrt(squares / (size - 1)) if size > 1 else 0.0
    return float(2 * average / (average**2 + 1 + deviation + EPSILON))


def _similar(quarter: Counts, values: Floats) -> float:
    """The structural similarity of prediction and truth in a quarter; 0 if it is empty."""
    counts, size = quarter.sum(0), quarter.sum()
    if not size:
        return 0.0
    x, squares = _moments(counts, values)
    y = quarter[1].sum() / size
    degrees = size - 1 + EPSILON
    variance = squares / degrees
    spread = size * y * (1 - y) / degrees
    together = float(quarter[1] @ (values - x)) * (1 - y) - float(quarter[0] @ (values - x)) * y
    alike = 4 * x * y * together / degrees
    unlike = (x * x + y * y) * (variance + spread)
    if alike:
        return float(alike / (unlike + EPSILON))
    return 0.0 if unlike else 1.0


def _moments(counts: Counts, values: Floats) -> tuple[float, float]:
    """Return the mean of values, and the sum of their squared distances from it."""
    present = np.flatnonzero(counts)
    if present.size == 1:  # rounding would turn none into nearly none
        return float(values[present[0]]), 0.0
    average = float(counts @ values) / counts.sum()
    return average, float(counts @ (values - average) ** 2)


# ---- weighted F-measure (Margolin et al. 2014)

SMOOTHING = 7, 5.0
"""Width of the Gaussian that errors are smoothed with, and its sigma, in pixels."""
HALF_LIFE = 5.0
"""Pixels from the foreground at which a false alarm has half of its way to double weight."""
_REACH = SMOOTHING[0] // 2


def _weighted_f(prediction: Bytes, inside: Mask, values: Floats) -> float:
    area = int(np.count_nonzero(inside))
    if not area:
        return 0.0
    error = np.where(inside, cv2.LUT(prediction, 1 - values), cv2.LUT(prediction, values))
    missed = float(_forgiven(error, inside)[inside].sum())
    alarms = np.nonzero(~inside & (error > 0))
    outside = (~inside).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[alarms]
    # Squared distances are whole numbers, which single precision had to round.
    distance = np.sqrt(np.rint(np.square(distance, dtype=np.float64)))
    false = float(error[alarms] @ (2 - np.exp(np.log(0.5) / HALF_LIFE * distance)))
    hits = area - missed
    recall, precision = 1 - missed / area, hits / (hits + false + EPSILON)
    return 2 * recall * precision / (recall + precision + EPSILON)


def _forgiven(error: Floats, inside: Mask) -> Floats:
    """Return errors in the foreground after what their neighbours have right is taken off."""
    width, sigma = SMOOTHING
    bell = np.exp(-((np.arange(width) - _REACH) ** 2) / (2 * sigma**2))
    bell /= bell.sum()
    smooth = cv2.sepFilter2D(
        _extended(error, inside), -1, bell, bell, borderType=cv2.BORDER_CONSTANT
    )
    return np.minimum(error, smooth)


def _extended(error: Floats, inside: Mask) -> Floats:
    """Give background pixels the error of the nearest foreground pixel, as far as smoothing sees.

    Of several nearest ones it is the leftmost, then the uppermost: that is what SciPy's distance
    transform answers, and pysodmetrics with it.
    """
    dilated = cv2.dilate(inside.astype(np.uint8), np.ones((SMOOTHING[0], SMOOTHING[0])))
    farthest = int(_REACH * np.sqrt(2))  # that a nearest one can lie away along an axis
    padded = np.pad(inside, farthest).ravel()
    stride = inside.shape[1] + 2 * farthest
    rows, columns = np.nonzero(dilated.astype(bool) & ~inside)
    extended = error.copy()
    for dy, dx in _nearest_first(farthest):
        found = padded[(rows + dy + farthest) * stride + columns + dx + farthest]
        y, x = rows[found], columns[found]
        extended[y, x] = error[y + dy, x + dx]
        rows, columns = rows[~found], columns[~found]
        if not rows.size:
            break
    return extended


def _nearest_first(farthest: int) -> list[tuple[int, int]]:
    """Return steps ``(down, right)`` by their length."""
    span = range(-farthest, farthest + 1)
    steps = [(dy, dx) for dy in span for dx in span]
    return sorted(steps, key=lambda step: (step[0] ** 2 + step[1] ** 2, step[1], step[0]))
