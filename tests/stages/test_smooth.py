"""Mattes hold still where the network is unsure, in seconds, and forget at a cut."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.frames import Matte
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import smooth

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    View = NDArray[np.uint8]

(FRAME,) = Synthetic(64, 48, 1).frames()
ROOM = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)


def matte_at(seconds: Fraction, alpha: float | Floats, view: View = ROOM) -> Matte:
    frame = replace(FRAME, pts=seconds.numerator, time_base=Fraction(1, seconds.denominator))
    return Matte(frame, view, np.broadcast_to(np.float32(alpha), view.shape[:2]))


def settled(rate: int, seconds: int, signal: Callable[[float], float]) -> list[float]:
    """Return what ``settle`` makes of a signal, at every 1/12 s."""
    mattes = (matte_at(Fraction(i, rate), signal(i / rate)) for i in range(rate * seconds + 1))
    values = [float(matte.alpha[0, 0]) for matte in smooth.settle(mattes)]
    return values[:: rate // 12]


@pytest.mark.parametrize("rate", [36, 60, 120])
@pytest.mark.parametrize("level", [0.7, 0.3])
def test_every_frame_rate_settles_alike(rate: int, level: float) -> None:
    """What was sure (0) becomes unsure, and reaches the new level in the same time."""

    def signal(seconds: float) -> float:
        return 0.0 if seconds == 0 else level

    for one, other in zip(settled(24, 1, signal), settled(rate, 1, signal), strict=True):
        assert one == pytest.approx(other, abs=0.01)


def test_the_time_constant_is_in_seconds() -> None:
    values = settled(60, 1, lambda seconds: 0.0 if seconds == 0 else 0.5)
    for twelfth, value in enumerate(values):
        assert value == pytest.approx(0.5 * (1 - np.exp(-twelfth / 12 / smooth.MEMORY)), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), min_size=4, max_size=4), max_size=8)
)
def test_what_the_network_is_sure_of_is_never_changed(rows: list[list[float]]) -> None:
    """And what is changed lies between the past and the network."""
    view = ROOM[:2, :2]
    alphas = [np.array(row, np.float32).reshape(2, 2) for row in rows]
    mattes = [matte_at(Fraction(i, 30), alpha, view) for i, alpha in enumerate(alphas)]
    last = None
    for alpha, result in zip(alphas, smooth.settle(mattes), strict=True):
        sure = (alpha == 0) | (alpha == 1)
        assert (result.alpha[sure] == alpha[sure]).all()
        if last is not None:
            assert (result.alpha >= np.minimum(alpha, last) - 1e-6).all()
            assert (result.alpha <= np.maximum(alpha, last) + 1e-6).all()
        last = result.alpha


def test_flicker_on_unsure_pixels_is_damped() -> None:
    rng = np.random.default_rng(5)
    noisy = [0.5 + 0.2 * rng.standard_normal() for _ in range(90)]
    mattes = [matte_at(Fraction(i, 30), np.clip(a, 0, 1)) for i, a in enumerate(noisy)]
    after = [float(matte.alpha[0, 0]) for matte in smooth.settle(mattes)]
    assert np.abs(np.diff(after)).mean() < 0.7 * np.abs(np.diff(np.clip(noisy, 0, 1))).mean()


def test_frames_keep_their_pictures_and_times() -> None:
    mattes = [matte_at(Fraction(i, 25), 0.5) for i in range(5)]
    for one, other in zip(mattes, smooth.settle(mattes), strict=True):
        assert other.frame is one.frame
        assert other.view is one.view


def second_alpha(gap: Fraction, view: View) -> float:
    """Return what becomes of 0.5 after a 0 in the room."""
    *_, last = smooth.settle([matte_at(Fraction(0), 0.0), matte_at(gap, 0.5, view)])
    return float(last.alpha[0, 0])


def test_a_gap_in_time_forgets() -> None:
    assert second_alpha(Fraction(1, 25), ROOM) < 0.4
    assert second_alpha(Fraction(51, 100), ROOM) == 0.5


def test_a_cut_forgets() -> None:
    """Another place, and another size."""
    assert smooth.is_new_scene(moment_of(views(1)[0]), matte_of(place(3, 255), 1))
    assert second_alpha(Fraction(1, 25), np.zeros((12, 16, 3), np.uint8)) == 0.5


def views(count: int) -> list[View]:
    from av.video.reformatter import VideoReformatter

    scaler = VideoReformatter()
    return [frame.picture.view(448, 256, scaler) for frame in Synthetic(count=count).frames()]


def moment_of(view: NDArray[np.uint8]) -> smooth.Moment:
    matte = matte_of(view, 0)
    return smooth.Moment(matte.frame.seconds, matte.view, matte.alpha)


def matte_of(view: View, pts: int) -> Matte:
    return matte_at(Fraction(pts, 30), 0.5, view)


@pytest.mark.parametrize("later", [1, 5, 11])
def test_a_subject_that_moves_is_no_cut(later: int) -> None:
    seen = views(later + 1)
    assert not smooth.is_new_scene(moment_of(seen[0]), matte_of(seen[later], 1))


def test_a_hand_held_camera_is_no_cut() -> None:
    (view,) = views(1)
    moved = np.ascontiguousarray(np.roll(view, 5, axis=1))
    assert not smooth.is_new_scene(moment_of(view), matte_of(moved, 1))


@pytest.mark.parametrize("gain", [0.7, 1.08, 1.3])
def test_a_change_of_light_is_no_cut(gain: float) -> None:
    (view,) = views(1)
    lit = np.clip(np.round(view * gain), 0, 255).astype(np.uint8)
    assert not smooth.is_new_scene(moment_of(view), matte_of(lit, 1))


def place(seed: int, brightest: int = 90) -> View:
    """A dark place, all in the same few colours: large soft shapes."""
    rough = np.random.default_rng(seed).integers(0, brightest, (4, 6), dtype=np.uint8)
    return cv2.cvtColor(
        cv2.resize(rough, (448, 256), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB
    )


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_cut_between_dark_places_is_a_cut(seed: int) -> None:
    assert smooth.is_new_scene(moment_of(place(0)), matte_of(place(seed), 1))


def test_resemblance_goes_from_opposite_to_same() -> None:
    one = smooth.thumbnail(place(0))
    assert smooth.resemblance(one, one) == pytest.approx(1, abs=1e-5)
    assert smooth.resemblance(one, -one) == pytest.approx(-1, abs=1e-5)
