"""Figures of mattes against hand-made cases, slow ways and an independent program.

The cases: an edge that is a pixel off, a pixel half covered, a step (Grad), two islands of which
one is lost (Conn), a pixel that pulses (dtSSD, flicker), a square that moves with an error that
moves along (MESSDdt) or stays behind (ghost), colours with the old background in them, masks that
are a pixel apart (J, F). What each must give is worked out in the test's docstring.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def metrics() -> Any:
    """``tools/matting/metrics.py``, which finds its parts beside it."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from matting import metrics
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return metrics


@pytest.fixture(scope="module")
def prototype() -> Any:
    """The independent program in the shared folder."""
    shared = Path(os.environ.get("STREAMMATTE_SHARED", ROOT.parent / "shared"))
    path = shared / "clips" / "metrics.py"
    if not path.exists():
        pytest.skip(f"no {path}: set STREAMMATTE_SHARED to the folder that holds clips/")
    spec = importlib.util.spec_from_file_location("shared_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def zeros(height: int = 20, width: int = 30) -> Floats:
    return np.zeros((height, width), np.float32)


def square(x: int, y: int = 5, side: int = 8, height: int = 30, width: int = 40) -> Floats:
    alpha = zeros(height, width)
    alpha[y : y + side, x : x + side] = 1
    return alpha


class TestOneFrame:
    def test_an_edge_that_is_a_pixel_off(self, metrics: Any) -> None:
        """20 rows, one wrong pixel each: SAD 20 / 1000; MAD = MSE = 20 / 600 * 1000."""
        truth, matte = zeros(), zeros()
        truth[:, 10:], matte[:, 11:] = 1, 1
        assert metrics.sad(matte, truth) == pytest.approx(0.02)
        assert metrics.mad(matte, truth) == pytest.approx(1000 / 30)
        assert metrics.mse(matte, truth) == pytest.approx(1000 / 30)

    def test_a_pixel_that_is_half_covered(self, metrics: Any) -> None:
        """Half a pixel of 600 is missing: MAD 0.5 / 600, MSE 0.25 / 600, times 1000."""
        truth, matte = zeros(), zeros()
        truth[7, 8], matte[7, 8] = 1, 0.5
        assert metrics.mad(matte, truth) == pytest.approx(0.5 / 0.6)
        assert metrics.mse(matte, truth) == pytest.approx(0.25 / 0.6)
        assert metrics.sad(matte, truth) == pytest.approx(0.0005)

    def test_gradient_of_a_step_against_nothing(self, metrics: Any) -> None:
        """Worked out by sums: no matte at all against a vertical step between two columns.

        At a pixel d to the right of the step's first column the slope filter (of unit norm, as the
        bell across it) answers with the sum of its weights up to d, times the sum of the bell's.
        """
        truth = zeros(20, 30)
        truth[:, 15:] = 1
        x = np.arange(-4, 5)
        bell = np.exp(-(x**2) / (2 * 1.4**2))
        slope = x * bell
        bell, slope = bell / np.sqrt((bell**2).sum()), slope / np.sqrt((slope**2).sum())
        expected = 0.0
        for column in range(30):
            seen = [1.0 if min(max(column + int(k), 0), 29) >= 15 else 0.0 for k in x]
            expected += 20 * (bell.sum() * (slope * seen).sum()) ** 2
        assert metrics.grad(zeros(20, 30), truth) == pytest.approx(expected / 1000, rel=1e-5)
        assert expected > 100

    def test_a_flat_error_has_no_gradient(self, metrics: Any) -> None:
        truth = square(10) * np.float32(0.5)
        assert metrics.grad(truth + np.float32(0.25), truth) == pytest.approx(0, abs=1e-9)

    def test_of_two_islands_the_smaller_is_unconnected(self, metrics: Any) -> None:
        """The matte has both islands (9 and 4 pixels), the truth the larger one only.

        Common to both is the larger one at all levels. The smaller one is at level 0: there the
        matte is 1 above it, so its connectedness is 0, the truth's 1: 4 pixels differ by 1.
        """
        truth, matte = zeros(), zeros()
        truth[2:5, 2:5] = matte[2:5, 2:5] = 1
        matte[10:12, 20:22] = 1
        assert metrics.conn(matte, truth) == pytest.approx(0.004)

    def test_two_islands_that_both_have(self, metrics: Any) -> None:
        """The smaller island is unconnected in both alike where both are opaque: no difference.

        Where the matte has 0.6 of it, it is 0.6 above level 0, the truth 1: they differ by 0.4.
        """
        truth = zeros()
        truth[2:5, 2:5] = truth[10:12, 20:22] = 1
        assert metrics.conn(truth, truth) == 0
        matte = truth.copy()
        matte[10:12, 20:22] = 0.6
        assert metrics.conn(matte, truth) == pytest.approx(4 * 0.4 / 1000, rel=1e-5)

    def test_what_touches_at_a_corner_only_is_unconnected(self, metrics: Any) -> None:
        truth, matte = zeros(), zeros()
        truth[2:5, 2:5] = matte[2:5, 2:5] = 1
        matte[5, 5] = 1
        assert metrics.conn(matte, truth) == pytest.approx(0.001)

    def test_a_little_above_its_level_is_connected(self, metrics: Any) -> None:
        """Common is a plateau of 0.5. A matte 0.14 above that is connected still, at 0.2 is not."""
        truth = square(10) * np.float32(0.5)
        assert metrics.conn(truth * np.float32(1.28), truth) == 0
        assert metrics.conn(truth * np.float32(1.4), truth) == pytest.approx(0.0128, rel=1e-5)


class TestTwoFrames:
    def test_a_pixel_that_pulses(self, metrics: Any) -> None:
        """The truth stands still, one pixel of 600 goes from 1 to 0.4: sqrt(0.36 / 600) * 100.

        Flicker is looked for within 15 pixels of the half-covered one, which here is everywhere:
        0.6 over 600 pixels, times 1000.
        """
        truth = zeros()
        truth[10, 15] = 0.5
        before, now = truth.copy(), truth.copy()
        before[9, 14], now[9, 14] = 1, 0.4
        pair = metrics.Pair(before, now, truth, truth)
        assert metrics.dtssd(pair) == pytest.approx(100 * (0.36 / 600) ** 0.5)
        still = metrics.still_at_edge(truth, truth)
        assert np.count_nonzero(still) == 20 * 30
        assert metrics.flicker(pair, still) == pytest.approx(1000 * 0.6 / 600)

    def test_flicker_is_looked_for_near_the_edge_and_where_nothing_moves(
        self, metrics: Any
    ) -> None:
        before, now = zeros(60, 80), zeros(60, 80)
        before[30, 40] = now[30, 40] = 0.5
        now[30, 41] = 0.5  # it moves there
        still = metrics.still_at_edge(before, now)
        assert not still[30, 41]
        assert still[15, 25]
        assert not still[14, 25]
        assert not still[30, 24]
        assert np.count_nonzero(still) == 31 * 32 - 1

    def test_no_edge_no_flicker(self, metrics: Any) -> None:
        pair = metrics.Pair(zeros(), zeros() + 1, zeros(), zeros())
        assert metrics.flicker(pair, metrics.still_at_edge(zeros(), zeros())) == 0

    def test_a_change_that_is_right_is_no_unrest(self, metrics: Any) -> None:
        """The subject moves and the matte with it, always 0.1 too low: dtSSD sees no change.

        Outside the squares the error is 0, so it does change where they go: in 2 * 8 pixels.
        """
        one, two = square(10), square(11)
        pair = metrics.Pair(one * np.float32(0.9), two * np.float32(0.9), one, two)
        assert metrics.dtssd(pair) == pytest.approx(100 * (16 * 0.01 / 1200) ** 0.5, rel=1e-5)
        assert metrics.dtssd_parts(pair) == pytest.approx((0, metrics.dtssd(pair)))

    def test_flicker_and_what_moves_add_up(self, metrics: Any) -> None:
        """A pixel that pulses by 0.6 where all is still, and one by 0.8 where the truth jumps."""
        truth_before, truth, before, now = (zeros() for _ in range(4))
        before[9, 14], now[9, 14] = 1, 0.4
        truth[3, 3], now[3, 3] = 1, 0.2
        pair = metrics.Pair(before, now, truth_before, truth)
        parts = [100 * (square / 600) ** 0.5 for square in (0.36, 0.64)]
        assert metrics.dtssd_parts(pair) == pytest.approx(parts)
        assert metrics.dtssd(pair) == pytest.approx(100 * (1 / 600) ** 0.5)

    def test_a_moving_square_with_a_constant_error(self, metrics: Any) -> None:
        """Along the motion (3 pixels to the right) the error stays what it is: 0.

        Without motion 8 rows of 3 pixels lose it and as many get it, 0.2 squared each.
        """
        one, two = square(10), square(13)
        pair = metrics.Pair(one * np.float32(0.8), two * np.float32(0.8), one, two)
        flow = np.zeros((30, 40, 2), np.float32)
        still = metrics.targets(flow)
        assert metrics.messddt(pair, still) == pytest.approx(1000 * 48 * 0.04 / 1200, rel=1e-5)
        flow[..., 0] = 2.8  # rounded
        # Pixels just left of where the square was come to lie on nothing, too: nothing is wrong.
        assert metrics.messddt(pair, metrics.targets(flow)) == pytest.approx(0, abs=1e-9)

    def test_targets_stay_inside(self, metrics: Any) -> None:
        flow = np.zeros((2, 3, 2), np.float32)
        flow[0, 0] = (1.4, 0.6)
        flow[1, 2] = (5, 5)
        flow[0, 1] = (-7, -0.4)
        assert metrics.targets(flow).tolist() == [[4, 0, 2], [3, 4, 5]]


class TestGhost:
    def test_what_stays_behind(self, metrics: Any) -> None:
        """A square goes from x 4 to 16: 64 pixels are left, 64 are entered, a trail of 0.5 stays.

        32 of an error over 128 pixels: 250. One that is matted everywhere but in new places gets
        64 of an error: 500.
        """
        truths = [square(4), square(16)]
        trail = [truths[0], np.maximum(truths[1], truths[0] * np.float32(0.5))]
        assert metrics.ghost(trail, truths) == pytest.approx(250)
        assert metrics.ghost([truths[0], zeros(30, 40)], truths) == pytest.approx(500)
        assert metrics.ghost(truths, truths) == 0

    def test_only_the_recent_past_counts(self, metrics: Any) -> None:
        still = [square(16)] * 9
        truths = [square(4), *still]
        wrong = [truths[0], *[np.maximum(one, square(4)) for one in still]]
        for last in (6, 10):  # the places count for five frames, then no more
            assert metrics.ghost(wrong[:last], truths[:last]) == pytest.approx(500)
        assert metrics.ghost(still, still) == 0

    def test_soft_places_do_not_count(self, metrics: Any) -> None:
        truths = [square(4), np.maximum(square(16), square(4) * np.float32(0.1))]
        assert np.count_nonzero(metrics.just_changed(truths[:1], truths[1])) == 64


class TestColours:
    def test_half_of_the_old_background(self, metrics: Any) -> None:
        """10 of 20 pixels of the subject are half soft and 0.3 off in one channel of three.

        Plain: 0.1 over half the subject. In the soft band, weighted by alpha: 0.1.
        """
        alpha = zeros()
        alpha[4, :10], alpha[5, :10] = 1, 0.5
        truth = np.full((20, 30, 3), 0.5, np.float32)
        colours = truth.copy()
        colours[5, :10, 1] += 0.3
        colours[10:] = 0  # nobody sees these
        figures = metrics.colour_figures(colours, truth, alpha)
        assert figures["colour"] == pytest.approx(50)
        assert figures["colour, soft"] == pytest.approx(100, rel=1e-5)

    def test_what_is_more_opaque_weighs_more(self, metrics: Any) -> None:
        """Errors of 0.4 at alpha 0.25 and none at 0.75: 0.4 * 0.25 / 1."""
        alpha, truth = zeros(1, 2), np.zeros((1, 2, 3), np.float32)
        alpha[0] = (0.25, 0.75)
        colours = truth.copy()
        colours[0, 0] = 0.4
        figures = metrics.colour_figures(colours, truth, alpha)
        assert figures["colour, soft"] == pytest.approx(100, rel=1e-5)

    def test_a_composite_on_green(self, metrics: Any) -> None:
        """One soft pixel, alpha 0.5, its colour 0.6 off in all channels: 0.3 over 5 x 5 pixels."""
        alpha, truth = zeros(), np.zeros((20, 30, 3), np.float32)
        alpha[10, 15] = 0.5
        assert metrics.composite_error(truth + np.float32(0.6), alpha, truth, alpha) == (
            pytest.approx(1000 * 0.3 / 25)
        )

    def test_a_wrong_alpha_shows_as_green(self, metrics: Any) -> None:
        """Black subject, alpha 0 instead of 0.5: half of (0.2 + 0.8 + 0.1) / 3 over 25 pixels."""
        alpha, truth = zeros(), np.zeros((20, 30, 3), np.float32)
        alpha[10, 15] = 0.5
        found = metrics.composite_error(truth, zeros(), truth, alpha)
        assert found == pytest.approx(1000 * 0.5 * 1.1 / 3 / 25, rel=1e-5)

    def test_restless_colours(self, metrics: Any) -> None:
        """One of two soft pixels changes by 0.2 in one of three channels and should not."""
        alpha, truth = zeros(), np.zeros((20, 30, 3), np.float32)
        alpha[3, 3] = alpha[3, 4] = 0.5
        now = truth.copy()
        now[3, 3, 0] = 0.2
        found = metrics.colour_restlessness([truth, now], [truth, truth], alpha)
        assert found == pytest.approx(100 * (0.04 / 6) ** 0.5, rel=1e-5)

    def test_no_subject(self, metrics: Any) -> None:
        nothing = np.zeros((20, 30, 3), np.float32)
        assert set(metrics.colour_figures(nothing, nothing, zeros()).values()) == {0}
        assert metrics.composite_error(nothing, zeros(), nothing, zeros()) == 0


class TestMasks:
    def test_overlap(self, metrics: Any) -> None:
        """Two squares of 64 pixels, 2 apart: 48 in common of 80."""
        assert metrics.jaccard(square(12), square(10)) == pytest.approx(48 / 80)
        assert metrics.jaccard(zeros(), zeros()) == 1

    def test_outlines_within_reach_agree(self, metrics: Any) -> None:
        """Of 480 x 640 the reach is ceil(0.008 * 800) = 7 pixels."""
        truth = square(100, 100, 200, 480, 640)
        assert metrics.boundary_f(square(107, 100, 200, 480, 640), truth) == 1
        assert metrics.boundary_f(square(108, 100, 200, 480, 640), truth) < 0.99
        assert metrics.boundary_f(square(108, 108, 200, 480, 640), truth) < 0.1

    def test_an_outline_that_is_missing(self, metrics: Any) -> None:
        truth = square(100, 100, 200, 480, 640)
        assert metrics.boundary_f(np.zeros_like(truth), truth) == 0
        assert metrics.boundary_f(np.zeros_like(truth), np.zeros_like(truth)) == 1

    def test_f_is_that_of_the_slow_way(self, metrics: Any) -> None:
        """Every pixel of an outline looks at every pixel of the other."""
        rng = np.random.default_rng(3)
        one, two = (rng.random((12, 16)) > 0.9 for _ in range(2))
        alphas = [mask.astype(np.float32) for mask in (one, two)]
        reach = int(np.ceil(0.008 * np.hypot(12, 16)))
        outlines = []
        for mask in (one, two):
            found = []
            for y, x in np.ndindex(12, 16):
                near = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (1, 1))]
                near = [(min(b, 11), min(a, 15)) for b, a in near]
                if any(mask[y, x] != mask[place] for place in near):
                    found.append((y, x))
            outlines.append(np.array(found))
        hits = []
        for mine, other in (outlines, outlines[::-1]):
            away = np.hypot(*(mine[:, None] - other[None]).transpose(2, 0, 1)).min(axis=1)
            hits.append(float((away <= reach).mean()))
        assert 0.1 < min(hits) < 0.95
        expected = 2 * hits[0] * hits[1] / (hits[0] + hits[1])
        assert metrics.boundary_f(*alphas) == pytest.approx(expected)


def random_clip(seed: int, count: int = 8) -> tuple[Floats, Floats]:
    """Mattes and truths ``[t, h, w]``: a soft blob that moves and a noisy guess, from 0 to 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64].astype(np.float32)
    truths, mattes = [], []
    for index in range(count):
        away = np.hypot(rows - 24, columns - 20 - 3 * index)
        truth = np.rint(255 * np.clip((16 - away) / 5, 0, 1)) / 255
        guess = np.clip(truth + 0.3 * rng.standard_normal(truth.shape), 0, 1)
        guess[0, 0], guess[0, 1] = 0, 1
        truths.append(truth)
        mattes.append(guess)
    return np.float32(mattes), np.float32(truths)


class TestAgainstThePrototype:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_every_figure_agrees(self, metrics: Any, prototype: Any, seed: int) -> None:
        mattes, truths = random_clip(seed)
        for name in ("sad", "mad", "mse", "grad", "conn"):
            mine = [getattr(metrics, name)(*pair) for pair in zip(mattes, truths, strict=True)]
            other = [getattr(prototype, name)(*pair) for pair in zip(mattes, truths, strict=True)]
            assert mine == pytest.approx(other, rel=1e-6), name
        assert metrics.ghost(mattes, truths) == pytest.approx(
            prototype.ghost(mattes, truths), rel=1e-6
        )

    def test_pairs_agree(self, metrics: Any, prototype: Any) -> None:
        mattes, truths = random_clip(4)
        rng = np.random.default_rng(5)
        flows = rng.uniform(-9, 9, (len(truths) - 1, *truths.shape[1:], 2)).astype(np.float32)
        pairs = [
            metrics.Pair(mattes[t], mattes[t + 1], truths[t], truths[t + 1])
            for t in range(len(truths) - 1)
        ]
        dtssd = [metrics.dtssd(pair) for pair in pairs]
        assert dtssd == pytest.approx(prototype.dtssd(mattes, truths)[1:], rel=1e-6)
        messddt = [
            metrics.messddt(pair, metrics.targets(flow))
            for pair, flow in zip(pairs, flows, strict=True)
        ]
        assert messddt == pytest.approx(prototype.messddt(mattes, truths, flows), rel=1e-6)
        flicker = [
            metrics.flicker(pair, metrics.still_at_edge(pair.truth_before, pair.truth_now))
            for pair in pairs
        ]
        assert flicker == pytest.approx(prototype.flicker(mattes, truths), rel=1e-6)

    def test_colours_and_masks_agree(self, metrics: Any, prototype: Any) -> None:
        mattes, truths = random_clip(6, 2)
        rng = np.random.default_rng(7)
        made, right = (rng.random((48, 64, 3), np.float32) for _ in range(2))
        mine = metrics.colour_figures(made, right, truths[0])
        other = prototype.colour(made, right, truths[0])
        assert mine["colour"] == pytest.approx(other["fgr_mad"], rel=1e-6)
        assert mine["colour, soft"] == pytest.approx(other["fgr_edge"], rel=1e-6)
        assert metrics.jaccard(mattes[0], truths[0]) == pytest.approx(
            prototype.jaccard(mattes[0], truths[0])
        )


class TestWholeClip:
    def test_it_is_the_mean_of_the_parts(self, metrics: Any) -> None:
        mattes, truths = random_clip(8)
        codes = np.rint(truths * 255).astype(np.uint8)
        flow = np.full((48, 64, 2), 3, np.float32)
        moves = [metrics.targets(flow)] * (len(codes) - 1)
        figures = metrics.Truth(codes, moves, binary=True).figures(iter(mattes))
        frames = list(zip(mattes, truths, strict=True))
        pairs = [
            metrics.Pair(mattes[t], mattes[t + 1], truths[t], truths[t + 1])
            for t in range(len(truths) - 1)
        ]
        expected = {
            "SAD": np.mean([metrics.sad(*one) for one in frames]),
            "MAD": np.mean([metrics.mad(*one) for one in frames]),
            "MSE": np.mean([metrics.mse(*one) for one in frames]),
            "Grad": np.mean([metrics.grad(*one) for one in frames]),
            "Conn": np.mean([metrics.conn(*one) for one in frames]),
            "J": 100 * np.mean([metrics.jaccard(*one) for one in frames]),
            "F": 100 * np.mean([metrics.boundary_f(*one) for one in frames]),
            "dtSSD": np.mean([metrics.dtssd(one) for one in pairs]),
            "dtSSD, still": np.mean([metrics.dtssd_parts(one)[0] for one in pairs]),
            "dtSSD, moving": np.mean([metrics.dtssd_parts(one)[1] for one in pairs]),
            "MESSDdt": np.mean([metrics.messddt(one, moves[0]) for one in pairs]),
            "flicker": np.mean(
                [metrics.flicker(one, metrics.still_at_edge(one[2], one[3])) for one in pairs]
            ),
            "ghost": metrics.ghost(mattes, truths),
        }
        assert figures == pytest.approx(expected, rel=1e-6)

    def test_grad_and_conn_of_some_frames_only(self, metrics: Any) -> None:
        mattes, truths = random_clip(9)
        codes = np.rint(truths * 255).astype(np.uint8)
        figures = metrics.Truth(codes, stride=4).figures(iter(mattes))
        some = [metrics.conn(mattes[index], truths[index]) for index in (0, 4)]
        assert figures["Conn"] == pytest.approx(np.mean(some), rel=1e-6)
        assert "MESSDdt" not in figures
        assert "F" not in figures

    def test_mattes_that_are_missing_are_an_error(self, metrics: Any) -> None:
        mattes, truths = random_clip(10)
        codes = np.rint(truths * 255).astype(np.uint8)
        with pytest.raises(ValueError, match="7 mattes for 8 frames"):
            metrics.Truth(codes).figures(iter(mattes[:-1]))
