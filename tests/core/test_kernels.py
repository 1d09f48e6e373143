"""The kernels against plain numpy in integers or float64, on awkward sizes and padded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streammatte.stages import kernels

Array = NDArray[Any]

SIZES = st.tuples(st.integers(1, 37), st.integers(1, 150))
DTYPES = st.sampled_from([np.uint8, np.uint16])
SEEDS = st.integers(0, 2**32 - 1)
SAMPLING = st.sampled_from([(0, 0), (1, 0), (1, 1), (0, 1)])
quick = settings(max_examples=120, deadline=None)


class Padded:
    """A plane inside a larger array, like FFmpeg's, whose surroundings must not be touched."""

    def __init__(self, plane: Array, filler: int, pad: int) -> None:
        height, width = plane.shape
        self.whole = np.full((height + 2, width + 2 * pad + 1), filler, plane.dtype)
        self.view = self.whole[1 : 1 + height, pad : pad + width]
        self.view[:] = plane

    def is_intact_around(self, filler: int) -> bool:
        around = np.ones(self.whole.shape, bool)
        around[1:-1][:, self._columns()] = False
        return bool((self.whole[around] == filler).all())

    def _columns(self) -> slice:
        pad = (self.whole.shape[1] - 1 - self.view.shape[1]) // 2
        return slice(pad, pad + self.view.shape[1])


def opaque_of(dtype: Any) -> int:
    return int(np.iinfo(dtype).max)


def some_alpha(rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
    """All three kinds of pixels, in runs: clear, opaque and soft."""
    opaque = opaque_of(dtype)
    kind = np.repeat(rng.integers(0, 3, (shape[0], shape[1] // 5 + 1)), 5, axis=1)[:, : shape[1]]
    soft = rng.integers(0, opaque, shape, endpoint=True)
    return np.choose(kind, [np.zeros(shape), np.full(shape, opaque), soft]).astype(dtype)


def some_plane(rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
    return rng.integers(0, opaque_of(dtype), shape, endpoint=True).astype(dtype)


def blend(out: Array, front: Array, back: Array, alpha: Array) -> None:
    kernel = kernels.blend8 if out.dtype == np.uint8 else kernels.blend16
    kernel(out, front, back, alpha)


def blended(front: Array, back: Array, alpha: Array) -> Array:
    """Return ``round(alpha * front + (1 - alpha) * back)`` in exact integers."""
    opaque = opaque_of(alpha.dtype)
    a, f, b = (plane.astype(np.int64) for plane in (alpha, front, back))
    return (2 * (a * f + (opaque - a) * b) + opaque) // (2 * opaque)


def test_blend8_is_exact_for_every_input() -> None:
    front, back = (plane.astype(np.uint8) for plane in np.mgrid[:256, :256])
    out = np.empty_like(front)
    for alpha in range(256):
        coverage = np.full((256, 256), alpha, np.uint8)
        kernels.blend8(out, front, back, coverage)
        assert (out == blended(front, back, coverage)).all(), alpha


def test_blend16_is_exact_at_the_ends_of_its_range() -> None:
    ends = np.array([0, 1, 2, 255, 256, 32767, 32768, 65279, 65533, 65534, 65535])
    front, back, alpha = (
        plane.reshape(11, -1).astype(np.uint16) for plane in np.meshgrid(ends, ends, ends)
    )
    out = np.empty_like(front)
    kernels.blend16(out, front, back, alpha)
    assert (out == blended(front, back, alpha)).all()


@quick
@given(SIZES, DTYPES, SEEDS, st.integers(0, 9))
def test_blend_is_exact_and_stays_inside(
    shape: tuple[int, int], dtype: Any, seed: int, pad: int
) -> None:
    rng = np.random.default_rng(seed)
    front, back = some_plane(rng, shape, dtype), some_plane(rng, shape, dtype)
    alpha = some_alpha(rng, shape, dtype)
    out = Padded(np.zeros(shape, dtype), 77, pad)
    blend(out.view, *(Padded(plane, 99, pad).view for plane in (front, back, alpha)))
    assert (out.view == blended(front, back, alpha)).all()
    assert (out.view[alpha == opaque_of(dtype)] == front[alpha == opaque_of(dtype)]).all()
    assert (out.view[alpha == 0] == back[alpha == 0]).all()
    assert out.is_intact_around(77)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blend_takes_any_view(dtype: Any) -> None:
    """Turned, mirrored and every-other-sample views are slower but right."""
    rng = np.random.default_rng(1)
    front, back = some_plane(rng, (20, 31), dtype), some_plane(rng, (20, 31), dtype)
    alpha = some_alpha(rng, (20, 31), dtype)
    wide = np.zeros((20, 62), dtype)
    views = (front.T.copy().T, back[::-1, ::-1], np.asfortranarray(alpha))
    blend(wide[:, ::2], *views)
    assert (wide[:, ::2] == blended(*views)).all()
    assert not wide[:, 1::2].any()


def thinned(plane: Array, step_x: int, step_y: int, *, cosited: bool) -> Array:
    """Average in float64, halves up."""
    rows, columns = plane.shape
    full = np.pad(plane.astype(np.float64), ((0, 1), (1, 1)), "edge")
    full = (full[0:rows:2] + full[1 : rows + 1 : 2]) / 2 if step_y else full[:rows]
    if not step_x:
        full = full[:, 1 : 1 + columns]
    elif cosited:
        left, middle, right = full[:, :-2:2], full[:, 1:-1:2], full[:, 2::2]
        full = (left + 2 * middle + right) / 4
    else:
        full = (full[:, 1:-1:2] + full[:, 2::2]) / 2
    return np.floor(full + 0.5)


@quick
@given(SIZES, DTYPES, SEEDS, st.integers(0, 9), SAMPLING, st.booleans())
def test_thin_is_exact_and_stays_inside(
    shape: tuple[int, int],
    dtype: Any,
    seed: int,
    pad: int,
    steps: tuple[int, int],
    cosited: bool,
) -> None:
    plane = some_alpha(np.random.default_rng(seed), shape, dtype)
    step_x, step_y = steps
    small = ((shape[0] + step_y) >> step_y, (shape[1] + step_x) >> step_x)
    out = Padded(np.zeros(small, dtype), 77, pad)
    kernels.thin(out.view, Padded(plane, 99, pad).view, step_x, step_y, cosited)
    assert (out.view == thinned(plane, step_x, step_y, cosited=cosited)).all()
    assert out.is_intact_around(77)


@pytest.mark.parametrize("cosited", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)])
def test_thin_keeps_what_is_flat(shape: tuple[int, int], dtype: Any, cosited: bool) -> None:
    out = np.zeros(((shape[0] + 1) // 2, (shape[1] + 1) // 2), dtype)
    for value in (0, 1, opaque_of(dtype) - 1, opaque_of(dtype)):
        kernels.thin(out, np.full(shape, value, dtype), 1, 1, cosited)
        assert (out == value).all()


def bilinear(means: Array, shape: tuple[int, int]) -> Array:
    """Return float64 ``[h, w, 2]``: the means at every sample of a plane."""
    spots = []
    for cells, size in zip(means.shape[:2], shape, strict=True):
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
        first = place.astype(int)
        spots.append((first, np.minimum(first + 1, cells - 1), place - first))
    (top, bottom, fy), (left, right, fx) = spots
    fy, fx = fy[:, None, None], fx[None, :, None]
    wide = means.astype(np.float64)
    above = (1 - fx) * wide[top][:, left] + fx * wide[top][:, right]
    below = (1 - fx) * wide[bottom][:, left] + fx * wide[bottom][:, right]
    return np.asarray((1 - fy) * above + fy * below)


def own_colours(front: Array, alpha: Array, means: Array, low: float, high: float) -> Array:
    """Blur fusion in float64; the limits give way to what the camera saw."""
    subject, behind = np.moveaxis(bilinear(means, front.shape), -1, 0)
    a = alpha / opaque_of(alpha.dtype)
    seen = front.astype(np.float64)
    own = subject + a * (seen - a * subject - (1 - a) * behind)
    return np.clip(own, np.minimum(seen, low), np.maximum(seen, high))


Soft = tuple[Array, Array, Array, Array, float, float]


@st.composite
def soft_cases(draw: st.DrawFn) -> Soft:
    """Planes as ``blend_soft`` gets them: any depth, means coarser, finer or flat."""
    shape, dtype = draw(SIZES), draw(DTYPES)
    rng = np.random.default_rng(draw(SEEDS))
    peak = 255 if dtype == np.uint8 else draw(st.sampled_from([1023, 4095, 65535]))
    front, back = (rng.integers(0, peak, shape, endpoint=True).astype(dtype) for _ in range(2))
    cells = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    means = rng.uniform(0, peak, (*cells, 2)).astype(np.float32)
    low, high = draw(st.sampled_from([(0.0, 1.0), (16 / 255, 235 / 255)]))
    return front, back, some_alpha(rng, shape, dtype), means, round(low * peak), round(high * peak)


@quick
@given(soft_cases(), st.integers(0, 9))
def test_blend_soft_is_within_a_code_and_leaves_the_rest(case: Soft, pad: int) -> None:
    front, back, alpha, means, low, high = case
    out = Padded(np.full(front.shape, 55, front.dtype), 77, pad)
    views = (Padded(plane, 99, pad).view for plane in (front, back, alpha))
    kernels.blend_soft(out.view, *views, means, low, high)
    a = alpha / opaque_of(alpha.dtype)
    wanted = a * own_colours(front, alpha, means, low, high) + (1 - a) * back
    soft = (alpha > 0) & (alpha < opaque_of(alpha.dtype))
    assert (np.abs(out.view - np.floor(wanted + 0.5))[soft] <= 1).all()
    assert (out.view[~soft] == 55).all()
    assert out.is_intact_around(77)


@quick
@given(soft_cases(), st.integers(0, 9))
def test_unmix_is_within_a_code_and_keeps_what_is_opaque(case: Soft, pad: int) -> None:
    front, _, alpha, means, low, high = case
    out = Padded(np.zeros_like(front), 77, pad)
    views = (Padded(plane, 99, pad).view for plane in (front, alpha))
    kernels.unmix(out.view, *views, means, low, high)
    wanted = own_colours(front, alpha, means, low, high)
    wanted = np.where(alpha == 0, np.clip(wanted, low, high), wanted)
    opaque = alpha == opaque_of(alpha.dtype)
    assert (np.abs(out.view - np.floor(wanted + 0.5))[~opaque] <= 1).all()
    assert (out.view[opaque] == front[opaque]).all()
    assert out.is_intact_around(77)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unmix_shows_nothing_of_the_camera_where_alpha_is_0(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    alpha = np.zeros((30, 50), dtype)
    means = rng.uniform(16, 200, (8, 9, 2)).astype(np.float32)
    results = []
    for _ in range(2):
        results.append(np.empty((30, 50), dtype))
        kernels.unmix(results[-1], some_plane(rng, (30, 50), dtype), alpha, means, 16, 235)
    assert (results[0] == results[1]).all()


def test_estimates_are_not_biased() -> None:
    """Where the means agree with the camera, unmixing gives back what the camera saw."""
    front = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    alpha = np.repeat(np.arange(1, 65, dtype=np.uint8)[:, None], 256, axis=1)
    out, exact = np.empty_like(front), np.repeat(front[..., None], 2, axis=2).astype(np.float32)
    kernels.unmix(out, front, alpha, exact, 0, 255)
    assert (out == front).all()


def test_rows_with_padding_are_told_to_numba_as_contiguous() -> None:
    """Else 16-bit loops are not vectorised, and ten times slower."""
    padded = np.zeros((10, 64), np.uint16)[:, :54]
    assert not padded.flags.c_contiguous
    assert kernels.whole(padded).flags.c_contiguous
    assert kernels.whole(padded).shape == (10, 64)
    assert kernels.whole(padded[::-1]).shape == (10, 54)
