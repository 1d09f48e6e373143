"""How wrong mattes are, how restless, and how wrong the colours under them.

SAD, MSE, MAD, Grad and Conn: Rhemann et al., "A Perceptually Motivated Online Benchmark for Image
Matting", CVPR 2009, over the whole picture. dtSSD and MESSDdt: Erofeev et al., "Perceptually
Motivated Benchmark for Video Matting", BMVC 2015. All are scaled as in the evaluation of Robust
Video Matting (Lin et al. 2022): SAD, Grad and Conn are divided by 1000, MSE, MAD and MESSDdt are
times 1000, dtSSD is times 100. No alpha is stretched before Grad, which that evaluation does: with
alphas from 0 to 1 it makes no difference, and without a subject it makes a mountain of a haze.
J and F: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016.

Alphas are float32 ``[h, w]`` in 0..1, colours float32 R'G'B' ``[h, w, 3]`` in 0..1.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from evaluation.matting import steepness, unconnected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

SOFT = 0.02
"""Alphas at least so far from 0 and from 1 are soft."""
STILL = 1.5 / 255
"""The truth stands still where it changes by less than this: not by two codes of 255."""
NEAR_EDGE = 31
"""Side of the square around soft pixels, in pixels, in which flicker is looked for: elsewhere
mattes are black or white, and a mean over them says how large the picture is."""
RECENT = 5
"""Frames for which a place counts as just left or just entered."""
GREEN = np.array([0.2, 0.8, 0.1], np.float32)
"""The background that composites are judged on, R'G'B'."""
AROUND_SOFT = 5
"""Side of the square around soft pixels, in pixels, that composites are judged in."""
BOUND = 0.008
"""How far apart outlines may be and still agree for F, as a share of the picture's diagonal."""


# ---- one matte against one truth


def sad(matte: Floats, truth: Floats) -> float:
    """Return the sum of absolute differences, divided by 1000."""
    return float(np.abs(matte - truth).sum(dtype=np.float64)) / 1e3


def mad(matte: Floats, truth: Floats) -> float:
    """Return the mean absolute difference, times 1000."""
    return float(np.abs(matte - truth).mean(dtype=np.float64)) * 1e3


def mse(matte: Floats, truth: Floats) -> float:
    """Return the mean squared difference, times 1000."""
    return float(np.square(matte - truth).mean(dtype=np.float64)) * 1e3


def grad(matte: Floats, truth: Floats) -> float:
    """Return the summed squared difference of gradients (sigma 1.4 pixels), divided by 1000."""
    return _grad(steepness(matte), steepness(truth))


def conn(matte: Floats, truth: Floats) -> float:
    """Return the summed difference in how connected pixels are, divided by 1000."""
    return float(unconnected(matte, truth).sum(dtype=np.float64)) / 1e3


def _grad(matte: Floats, truth: Floats) -> float:
    return float(np.square(matte - truth).sum(dtype=np.float64)) / 1e3


def jaccard(matte: Floats, truth: Floats) -> float:
    """Return J: the share of what either has that both have, at alpha 0.5; 1 if neither has any."""
    one, other = matte >= 0.5, truth >= 0.5
    either = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / either if either else 1.0


def boundary_f(matte: Floats, truth: Floats) -> float:
    """Return F: how far the outlines at alpha 0.5 agree, as precision and recall joined, 0 to 1."""
    one, other = outline(matte >= 0.5), outline(truth >= 0.5)
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    reach = int(np.ceil(BOUND * np.hypot(*truth.shape)))
    precision = np.count_nonzero(one & _grown(other, reach)) / np.count_nonzero(one)
    recall = np.count_nonzero(other & _grown(one, reach)) / np.count_nonzero(other)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: Mask) -> Mask:
    """Return the pixels that differ from the one to the right, below, or right below."""
    wide = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here, right, below, beyond = wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]
    return np.asarray((here ^ right) | (here ^ below) | (here ^ beyond))


def _grown(mask: Mask, reach: int) -> Mask:
    """Return what is within ``reach`` pixels of a mask."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= reach + 1e-3)


# ---- two mattes after each other


class Pair(NamedTuple):
    """Two frames after each other: mattes, and what they should be."""

    before: Floats
    now: Floats
    truth_before: Floats
    truth_now: Floats


def dtssd(pair: Pair) -> float:
    """Return the root mean square of what the change of the matte is wrong by, times 100."""
    return float(np.hypot(*dtssd_parts(pair)))


def dtssd_parts(pair: Pair) -> tuple[float, float]:
    """Return dtSSD where the truth stands still, and where it moves.

    Both are over all pixels, so that their squares add up to dtSSD's. What is wrong where the truth
    stands still is flicker; where it moves, an error that travels with the subject counts as well.
    """
    change = pair.truth_now - pair.truth_before
    wrong = np.square((pair.now - pair.before) - change)
    total = float(wrong.sum(dtype=np.float64))
    still = float(wrong[np.abs(change) < STILL].sum(dtype=np.float64))
    parts = np.sqrt(np.maximum([still, total - still], 0) / wrong.size) * 1e2
    return float(parts[0]), float(parts[1])


def messddt(pair: Pair, target: NDArray[np.int32]) -> float:
    """Return the mean change of the squared error along the motion, times 1000.

    An error that travels with the subject counts nothing here.

    Args:
        pair: The frames.
        target: int32 ``[h, w]``: for every pixel of the frame before, where what it shows has gone,
            as an index into the flattened frame; see ``targets``.
    """
    before = np.square(pair.before - pair.truth_before)
    now = np.square(pair.now - pair.truth_now).ravel()[target]
    return float(np.abs(before - now).mean(dtype=np.float64)) * 1e3


def targets(flow: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return where each pixel goes, rounded and kept inside the picture, as an index.

    Args:
        flow: ``[h, w, 2]``: x and y, in pixels, from a frame to the next one.
    """
    height, width = flow.shape[:2]
    x = np.clip(np.rint(np.arange(width) + flow[..., 0]), 0, width - 1)
    y = np.clip(np.rint(np.arange(height)[:, None] + flow[..., 1]), 0, height - 1)
    return np.asarray(y * width + x, np.int32)


def still_at_edge(truth_before: Floats, truth_now: Floats) -> Mask:
    """Return where the truth stands still, near its edge."""
    soft = (truth_now > SOFT) & (truth_now < 1 - SOFT)
    near = cv2.dilate(soft.astype(np.uint8), np.ones((NEAR_EDGE, NEAR_EDGE), np.uint8)) > 0
    return np.asarray(near & (np.abs(truth_now - truth_before) < STILL))


def flicker(pair: Pair, still: Mask) -> float:
    """Return how much the matte changes where the truth does not, on average, times 1000.

    Args:
        pair: The frames.
        still: From ``still_at_edge``; 0 is returned if it is empty.
    """
    if not still.any():
        return 0.0
    return float(np.abs(pair.now - pair.before)[still].mean(dtype=np.float64)) * 1e3


# ---- places that the subject has just left or entered


def just_changed(past: Sequence[Floats], now: Floats) -> Mask:
    """Return where the subject is gone that was there within ``past``, or there that was not.

    Only where the truth of now is solid, so that soft edges are no trails.
    """
    was, was_not = np.max(past, axis=0) > 0.5, np.min(past, axis=0) < 0.5
    return np.asarray(((now < SOFT) & was) | ((now > 1 - SOFT) & was_not))


def ghost(mattes: Sequence[Floats], truths: Sequence[Floats]) -> float:
    """Return the mean error on what the subject has just left or entered, times 1000.

    It is what trails and late mattes make; 0 where nothing moves.
    """
    wrong, count = 0.0, 0
    for index in range(1, len(truths)):
        where = just_changed(truths[max(0, index - RECENT) : index], truths[index])
        wrong += float(np.abs(mattes[index] - truths[index])[where].sum(dtype=np.float64))
        count += int(np.count_nonzero(where))
    return 1e3 * wrong / max(count, 1)


# ---- foreground colours


def colour_figures(colours: Floats, truth: Floats, alpha: Floats) -> dict[str, float]:
    """Return how wrong foreground colours are, by name, all times 1000.

    Args:
        colours: R'G'B' ``[h, w, 3]`` in 0..1.
        truth: Likewise.
        alpha: The true one, ``[h, w]``.

    Returns:
        ``colour``, the mean where there is any subject; ``colour, soft``, weighted by alpha where
        it is soft: there wrong colours are the old background's.
    """
    away = np.abs(colours - truth).mean(axis=-1)
    soft = (alpha > SOFT) & (alpha < 1 - SOFT)
    weight = alpha[soft]
    return {
        "colour": _mean(away[alpha > 0]),
        "colour, soft": _mean(away[soft] * weight) / max(float(weight.mean()), 1e-9)
        if weight.size
        else 0.0,
    }


def composite_error(colours: Floats, alpha: Floats, truth: Floats, true_alpha: Floats) -> float:
    """Return how wrong a composite on green is in and around the soft band, times 1000.

    Args:
        colours: R'G'B' ``[h, w, 3]`` in 0..1, of the foreground.
        alpha: ``[h, w]``, the matte that it is composited with.
        truth: The true colours.
        true_alpha: The true matte.
    """
    made, wanted = (
        a[..., None] * f + (1 - a[..., None]) * GREEN
        for f, a in ((colours, alpha), (truth, true_alpha))
    )
    soft = (true_alpha > SOFT) & (true_alpha < 1 - SOFT)
    near = cv2.dilate(soft.astype(np.uint8), np.ones((AROUND_SOFT, AROUND_SOFT), np.uint8)) > 0
    return _mean(np.abs(made - wanted).mean(axis=-1)[near])


def colour_restlessness(colours: Sequence[Floats], truth: Sequence[Floats], alpha: Floats) -> float:
    """Return what the change of colours is wrong by on soft pixels: root mean square, times 100.

    Args:
        colours: Of two frames after each other, R'G'B' ``[h, w, 3]`` in 0..1.
        truth: Likewise.
        alpha: The true one of the second, ``[h, w]``.
    """
    soft = (alpha > SOFT) & (alpha < 1 - SOFT)
    wrong = ((colours[1] - colours[0]) - (truth[1] - truth[0]))[soft]
    return float(np.sqrt(np.square(wrong).mean(dtype=np.float64))) * 1e2 if wrong.size else 0.0


def _mean(values: Floats) -> float:
    return float(values.mean(dtype=np.float64)) * 1e3 if values.size else 0.0


# ---- a whole clip


class Truth:
    """The truth of a clip, prepared so that many mattes can be compared with it.

    It holds about 20 bytes a pixel and frame.
    """

    def __init__(
        self,
        alphas: Bytes,
        moves: Sequence[NDArray[np.int32]] | None = None,
        *,
        binary: bool = False,
        stride: int = 1,
        connected: bool = True,
    ) -> None:
        """Look at the truth.

        Args:
            alphas: uint8 ``[t, h, w]``.
            moves: For every frame but the last, ``targets`` to the next; MESSDdt needs them.
            binary: Whether the truth has no soft edges, so that F, which takes long, says more.
            stride: Grad and Conn, which take long, are of every so-manieth frame.
            connected: Whether Conn, which takes longest, is wanted at all.
        """
        self._alphas, self._moves = alphas, moves
        self._binary, self._connected = binary, connected
        self._steep = {index: steepness(self[index]) for index in range(0, len(alphas), stride)}
        self._changed = [
            just_changed([self[past] for past in range(max(0, index - RECENT), index)], self[index])
            for index in range(1, len(alphas))
        ]
        self._still = [
            still_at_edge(self[index - 1], self[index]) for index in range(1, len(alphas))
        ]

    def __len__(self) -> int:
        return len(self._alphas)

    def __getitem__(self, index: int) -> Floats:
        """Return one frame's alpha in 0..1."""
        return np.asarray(self._alphas[index] / np.float32(255))

    def figures(self, mattes: Iterable[Floats]) -> dict[str, float]:
        """Return the means over the frames (dtSSD, MESSDdt and flicker: over the pairs), by name.

        Args:
            mattes: One for every frame, in order; one at a time is held.
        """
        sums: defaultdict[str, list[float]] = defaultdict(list)
        trailing, places = 0.0, 0
        before: Floats | None = None
        for index, matte in enumerate(mattes):
            truth = self[index]
            for name, value in self._of_frame(index, matte, truth).items():
                sums[name].append(value)
            if before is not None:
                for name, value in self._of_pair(index, before, matte, truth).items():
                    sums[name].append(value)
                where = self._changed[index - 1]
                trailing += float(np.abs(matte - truth)[where].sum(dtype=np.float64))
                places += int(np.count_nonzero(where))
            before = matte
        if len(sums["MAD"]) != len(self):
            raise ValueError(f"{len(sums['MAD'])} mattes for {len(self)} frames")
        figures = {name: float(np.mean(values)) for name, values in sums.items()}
        return {**figures, "ghost": 1e3 * trailing / max(places, 1)}

    def _of_frame(self, index: int, matte: Floats, truth: Floats) -> dict[str, float]:
        figures = {"SAD": sad(matte, truth), "MAD": mad(matte, truth), "MSE": mse(matte, truth)}
        if index in self._steep:
            figures["Grad"] = _grad(steepness(matte), self._steep[index])
            if self._connected:
                figures["Conn"] = conn(matte, truth)
        figures["J"] = 100 * jaccard(matte, truth)
        if self._binary:
            figures["F"] = 100 * boundary_f(matte, truth)
        return figures

    def _of_pair(
        self, index: int, before: Floats, matte: Floats, truth: Floats
    ) -> dict[str, float]:
        pair = Pair(before, matte, self[index - 1], truth)
        still, moving = dtssd_parts(pair)
        figures = {
            "dtSSD": float(np.hypot(still, moving)),
            "dtSSD, still": still,
            "dtSSD, moving": moving,
            "flicker": flicker(pair, self._still[index - 1]),
        }
        if self._moves is not None:
            figures["MESSDdt"] = messddt(pair, self._moves[index - 1])
        return figures
