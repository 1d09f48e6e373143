"""The colour-guided filter's loops against plain numpy, on awkward sizes and padded planes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.stages import guided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float32]

SEEDS = st.integers(0, 10**6)
SAMPLING = [(0, 0, False), (1, 0, True), (1, 0, False), (1, 1, True), (1, 1, False), (0, 1, False)]


def windows(shape: tuple[int, int], radius: int) -> Any:
    """Yield each pixel with its window's rows and columns, cut off at the border."""
    for y, x in np.ndindex(*shape):
        rows, columns = slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), None)
        yield y, x, rows, slice(columns.start, x + radius + 1)


def fitted(colours: Array, alpha: Array, smoothness: float) -> Array:
    """Return three slopes by numpy's own solver, in float64."""
    colours, alpha = colours.reshape(3, -1).astype(np.float64), alpha.ravel().astype(np.float64)
    centred, off = colours - colours.mean(1, keepdims=True), alpha - alpha.mean()
    covariance = centred @ centred.T / alpha.size + smoothness * np.eye(3)
    return np.asarray(np.linalg.solve(covariance, centred @ off / alpha.size))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 3), st.sampled_from([1e-4, 1e-2]))
def test_the_colour_filter_is_the_textbooks(seed: int, radius: int, smoothness: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 16)), int(rng.integers(8, 16)))
    guide = (rng.integers(0, 256, (3, *shape)) / 255).astype(np.float32)
    alpha = rng.random(shape, np.float32)
    pad = 2 * radius
    edged = np.pad(guide, ((0, 0), (pad, pad), (pad, pad)), "reflect")
    target = np.pad(alpha, pad, "reflect")
    coefficients = np.zeros((4, *target.shape))
    for y, x, rows, columns in windows(target.shape, radius):
        slope = fitted(edged[:, rows, columns], target[rows, columns], smoothness)
        means = edged[:, rows, columns].mean((1, 2), np.float64)
        coefficients[:, y, x] = [*slope, target[rows, columns].mean() - slope @ means]
    wanted = np.zeros(shape)
    for y, x in np.ndindex(*shape):
        window = coefficients[:, y + pad - radius : y + pad + radius + 1]
        mean = window[:, :, x + pad - radius : x + pad + radius + 1].mean((1, 2))
        wanted[y, x] = mean[:3] @ guide[:, y, x] + mean[3]
    result = guided.colour_filter(guide, alpha, radius, smoothness)
    assert result.dtype == np.float32
    assert np.abs(result - wanted).max() < 1e-3


def test_slopes_are_those_of_an_affine_function_of_colour() -> None:
    rng = np.random.default_rng(1)
    guide = rng.random((3, 20, 30), np.float32)
    slope = np.array([0.5, -0.3, 0.2], np.float32)
    alpha = np.tensordot(slope, guide, 1) + np.float32(0.3)
    found = guided.slopes(guide, alpha, np.ones((20, 30), bool), 2, 1e-9)
    assert np.abs(found - slope[:, None, None]).max() < 1e-3


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_slopes_count_for_as_much_as_colour_explains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    guide = rng.random((3, 9, 12), np.float32)
    alpha = guide[0] + np.float32(0.25) * rng.random((9, 12), np.float32)
    single = np.zeros((3, 9, 12))
    for y, x, rows, columns in windows((9, 12), 2):
        colours, target = guide[:, rows, columns], alpha[rows, columns]
        slope = fitted(colours, target, 1e-3)
        with_alpha = np.cov(np.vstack([colours.reshape(3, -1), target.ravel()]), ddof=0)[3]
        explained = slope @ with_alpha[:3] / with_alpha[3]
        trust = np.clip((explained - guided.DOUBTFUL) / (guided.SURE - guided.DOUBTFUL), 0, 1)
        single[:, y, x] = trust * slope
    wanted = [cv2.blur(plane, (5, 5), borderType=cv2.BORDER_REPLICATE) for plane in single]
    found = guided.slopes(guide, alpha, np.ones((9, 12), bool), 2, 1e-3)
    assert np.abs(found - wanted).max() < 1e-4


def test_noise_says_nothing_of_alpha() -> None:
    rng = np.random.default_rng(2)
    guide = (0.5 + 0.01 * rng.standard_normal((3, 40, 40))).astype(np.float32)
    alpha = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None], 40, 0)
    assert np.abs(guided.slopes(guide, alpha, guided.edges(alpha), 2, 1e-3)).max() < 1e-3


def test_edges_are_where_alpha_changes() -> None:
    alpha = np.zeros((9, 9), np.float32)
    alpha[:, 5:] = 1
    alpha[0, 0] = guided.LEAST_CHANGE / 2
    assert (np.flatnonzero(guided.edges(alpha).all(0)) == [4, 5]).all()
    assert guided.edges(alpha).sum() == 18


def chroma_at(y: int, x: int, plane: Array, chroma: tuple[int, int, bool]) -> float:
    """Interpolate a chroma plane at a luma pixel, linearly; beyond the edge the last repeats."""
    step_x, step_y, cosited = chroma
    u = x / 2 if cosited else (x - 0.5) / 2
    v = (y - 0.5) / 2 if step_y else float(y)
    u = u if step_x else float(x)
    u, v = min(max(u, 0), plane.shape[1] - 1), min(max(v, 0), plane.shape[0] - 1)
    left, top = int(u), int(v)
    right, bottom = min(left + 1, plane.shape[1] - 1), min(top + 1, plane.shape[0] - 1)
    above = plane[top, left] * (left + 1 - u) + plane[top, right] * (u - left)
    below = plane[bottom, left] * (left + 1 - u) + plane[bottom, right] * (u - left)
    return float(above * (top + 1 - v) + below * (v - top))


@settings(max_examples=40, deadline=None)
@given(
    SEEDS,
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(SAMPLING),
    st.integers(0, 5),
)
def test_details_are_the_interpolated_coefficients_and_their_back_projection(
    seed: int, deep: Any, sample: Any, chroma: tuple[int, int, bool], pad: int
) -> None:
    rng = np.random.default_rng(seed)
    low = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    height, width = (int(size + rng.integers(0, 4 * size + 1)) for size in low)
    half = (-(-height // 2) if chroma[1] else height, -(-width // 2) if chroma[0] else width)
    peak, opaque = np.iinfo(sample).max, np.iinfo(deep).max
    planes = [
        rng.integers(0, peak, (shape[0], shape[1] + pad), endpoint=True).astype(sample)[
            :, : shape[1]
        ]
        for shape in ((height, width), half, half)
    ]
    alpha, offset = rng.random((2, *low), np.float32)
    slope = rng.uniform(-1, 1, (3, *low)).astype(np.float32)
    whole = np.zeros((height, width + pad), deep)
    where = np.ones(low, bool)
    guided.add_details(whole[:, :width], planes, alpha, slope, offset, where, peak, chroma)

    value = cv2.resize(offset, (width, height), interpolation=cv2.INTER_CUBIC)
    for k, plane in enumerate(planes):
        at = [chroma_at(y, x, plane, chroma) for y, x in np.ndindex(height, width)]
        colour = plane / peak if k == 0 else np.reshape(at, (height, width)) / peak
        value = value + cv2.resize(slope[k], (width, height)) * colour
    value = np.clip(value, 0, 1)
    rest = alpha - cv2.resize(value, low[::-1], interpolation=cv2.INTER_AREA)
    wanted = np.clip(value + cv2.resize(rest, (width, height)), 0, 1) * opaque
    assert np.abs(whole[:, :width] - wanted).max() < 0.51 + 1e-4 * opaque
    assert not whole[:, width:].any()


def test_only_edges_and_their_neighbours_are_written() -> None:
    rng = np.random.default_rng(4)
    alpha = rng.random((10, 12), np.float32)
    planes = [rng.integers(0, 256, (45, 50), np.uint8) for _ in range(3)]
    slope = np.zeros((3, 10, 12), np.float32)
    where = np.zeros((10, 12), bool)
    where[4, 6] = True
    out = np.full((45, 50), 77, np.uint8)
    guided.add_details(out, planes, alpha, slope, alpha, where, 255, (0, 0, False))
    changed = np.zeros((45, 50), bool)
    changed[int(3 * 4.5) : int(6 * 4.5) + 1, int(5 * 50 / 12) : int(8 * 50 / 12) + 1] = True
    assert (out[~changed] == 77).all()
    assert (out != 77).sum() > 100


@pytest.mark.parametrize("where", [False, True])
def test_no_edge_no_change(where: bool) -> None:
    alpha = np.full((4, 4), float(where), np.float32)
    planes = [np.zeros((16, 16), np.uint8)] * 3
    nothing = np.zeros((3, 4, 4), np.float32)
    out = np.full((16, 16), 9, np.uint8)
    edge = guided.edges(alpha)
    guided.add_details(out, planes, alpha, nothing, alpha, edge, 255, (0, 0, False))
    assert (out == 9).all()


def test_threads_do_not_disturb_each_other() -> None:
    def work(seed: int) -> Array:
        rng = np.random.default_rng(seed % 3)
        alpha = rng.random((30, 40), np.float32)
        planes = [rng.integers(0, 256, (120, 160), np.uint8) for _ in range(3)]
        guide = rng.random((3, 30, 40), np.float32)
        edge = guided.edges(alpha)
        slope = guided.slopes(guide, alpha, edge, 2, 1e-3)
        out = np.zeros((120, 160), np.uint8)
        guided.add_details(out, planes, alpha, slope, alpha, edge, 255, (0, 0, False))
        return out

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(24)))
    for seed, result in enumerate(results):
        assert (result == work(seed)).all()
