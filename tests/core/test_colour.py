"""Colours land on the code values of the standards, in every matrix, range and depth."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.colour import (
    SRGB,
    TRANSFER_HLG,
    TRANSFER_PQ,
    Colour,
    Matrix,
    black_level,
    display_curve,
    needs_light,
    resolve,
    rgb_from_samples,
    samples_from_rgb,
    through_light,
    white_level,
)

BARS = {
    "white": (1, 1, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "green": (0, 1, 0),
    "magenta": (1, 0, 1),
    "red": (1, 0, 0),
    "blue": (0, 0, 1),
    "black": (0, 0, 0),
}

SD_8 = {  # BT.601 colour bars, limited range
    "white": (235, 128, 128),
    "yellow": (210, 16, 146),
    "cyan": (170, 166, 16),
    "green": (145, 54, 34),
    "magenta": (106, 202, 222),
    "red": (81, 90, 240),
    "blue": (41, 240, 110),
    "black": (16, 128, 128),
}
HD_8 = {  # BT.709 colour bars, limited range
    "white": (235, 128, 128),
    "yellow": (219, 16, 138),
    "cyan": (188, 154, 16),
    "green": (173, 42, 26),
    "magenta": (78, 214, 230),
    "red": (63, 102, 240),
    "blue": (32, 240, 118),
    "black": (16, 128, 128),
}
JPEG_8 = {  # BT.601 full range, as JFIF has it
    "white": (255, 128, 128),
    "green": (150, 44, 21),
    "red": (76, 85, 255),
    "blue": (29, 255, 107),
    "black": (0, 128, 128),
}
HD_10_75 = {  # SMPTE RP 219, 75 % bars
    "white": (721, 512, 512),
    "yellow": (674, 176, 543),
    "cyan": (581, 589, 176),
    "green": (534, 253, 207),
    "magenta": (251, 771, 817),
    "red": (204, 435, 848),
    "blue": (111, 848, 481),
    "black": (64, 512, 512),
}
UHD_10 = {  # BT.2020, limited range
    "white": (940, 512, 512),
    "green": (658, 189, 100),
    "red": (294, 387, 960),
    "blue": (116, 960, 476),
    "black": (64, 512, 512),
}


@pytest.mark.parametrize(
    ("matrix", "full", "depth", "level", "table"),
    [
        (Matrix.SMPTE170M, False, 8, 1, SD_8),
        (Matrix.BT470BG, False, 8, 1, SD_8),
        (Matrix.BT709, False, 8, 1, HD_8),
        (Matrix.SMPTE170M, True, 8, 1, JPEG_8),
        (Matrix.BT709, False, 10, 0.75, HD_10_75),
        (Matrix.BT2020, False, 10, 1, UHD_10),
    ],
)
def test_colour_bars(
    matrix: Matrix, full: bool, depth: int, level: float, table: dict[str, tuple[int, int, int]]
) -> None:
    matrix_3x4 = samples_from_rgb(Colour(matrix, full_range=full), depth).astype(np.float64)
    for name, wanted in table.items():
        samples = matrix_3x4[:, :3] @ (level * np.array(BARS[name])) + matrix_3x4[:, 3]
        rounded = np.clip(np.round(samples), 0, 2**depth - 1)
        assert tuple(map(int, rounded)) == wanted, name


MATRICES = [matrix for matrix in Matrix if matrix is not Matrix.UNSPECIFIED]
DEPTHS = (8, 9, 10, 12, 14, 16)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("matrix", MATRICES)
def test_the_two_ways_are_inverse_and_white_is_one(matrix: Matrix, full: bool, depth: int) -> None:
    colour = Colour(matrix, full_range=full)
    there, back = (
        np.vstack([m(colour, depth).astype(np.float64), [0, 0, 0, 1]])
        for m in (samples_from_rgb, rgb_from_samples)
    )
    assert np.abs(there @ back - np.eye(4))[:3, :3].max() < 1e-5
    white, black = white_level(colour, depth), black_level(colour, depth)
    neutral = [1 << (depth - 1)] * 2
    for level, value in ((white, 1.0), (black, 0.0)):
        grey = [level] * 3 if matrix is Matrix.RGB else [level, *neutral]
        assert np.abs((back @ [*grey, 1])[:3] - value).max() < 1e-6
        assert np.abs((there @ [value, value, value, 1])[:3] - grey).max() < 0.02


@pytest.mark.parametrize("depth", DEPTHS)
def test_levels(depth: int) -> None:
    unit = 2 ** (depth - 8)
    limited, full = (Colour(Matrix.BT709, full_range=full) for full in (False, True))
    assert (black_level(limited, depth), white_level(limited, depth)) == (16 * unit, 235 * unit)
    assert (black_level(full, depth), white_level(full, depth)) == (0, 2**depth - 1)


@pytest.mark.parametrize(
    ("matrix", "height", "jpeg", "primaries", "wanted"),
    [
        (2, 1080, False, 2, "BT.709 limited, BT.709 matrix and limited range assumed"),
        (2, 720, False, 2, "BT.709 limited, BT.709 matrix and limited range assumed"),
        (2, 719, False, 2, "BT.601 limited, BT.601 matrix and limited range assumed"),
        (2, 1080, True, 2, "BT.601 full, BT.601 matrix and full range assumed"),
        (0, 480, False, 2, "BT.601 limited, BT.601 matrix and limited range assumed"),
        (2, 2160, False, 9, "BT.2020 limited, BT.2020 matrix and limited range assumed"),
        (5, 1080, False, 2, "BT.601 limited, limited range assumed"),
        (9, 480, False, 9, "BT.2020 limited, limited range assumed"),
    ],
)
def test_what_untagged_pictures_are_taken_for(
    matrix: int, height: int, jpeg: bool, primaries: int, wanted: str
) -> None:
    colour = resolve(
        matrix=matrix,
        full_range=None,
        primaries=primaries,
        transfer=2,
        height=height,
        jpeg=jpeg,
    )
    assert f"{colour}, {colour.assumed} assumed" == wanted
    assert colour.centred_chroma == jpeg
    assert colour.matrix is not Matrix.UNSPECIFIED


def test_what_is_tagged_is_not_guessed() -> None:
    colour = resolve(
        matrix=9, full_range=False, primaries=9, transfer=TRANSFER_PQ, height=480, jpeg=False
    )
    assert colour == Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=TRANSFER_PQ)
    assert str(colour) == "BT.2020 limited PQ"
    assert colour.is_hdr
    assert colour.is_wide
    assert str(replace(colour, transfer=TRANSFER_HLG, full_range=True)) == "BT.2020 full HLG"


# --- Light ---------------------------------------------------------------------------------------

PQ = Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=TRANSFER_PQ)
HLG = replace(PQ, transfer=TRANSFER_HLG)
WIDE = replace(SRGB, primaries=9)

REFERENCE = [  # BT.2408 table 1: cd/m2 of greys and of SDR white, and their signals
    (26, 0.38, 0.38),
    (162, 0.56, 0.71),
    (179, 0.57, 0.73),
    (203, 0.58, 0.75),
]


def grey(level: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((1, 1, 3), level, np.float32)


def srgb_of(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


@pytest.mark.parametrize(("nits", "pq", "hlg"), REFERENCE)
def test_greys_lie_where_bt2408_puts_them(nits: float, pq: float, hlg: float) -> None:
    signal = grey(srgb_of(nits / 203))
    for target, wanted in ((PQ, pq), (HLG, hlg)):
        assert np.abs(through_light(signal, SRGB, target) - wanted).max() < 0.006


@pytest.mark.parametrize(
    ("signal", "nits"),
    [(0.0, 0), (0.50807843, 100), (0.5806889, 203), (0.75182706, 1000), (1, 10000)],
)
def test_pq_signals_of_st_2084(signal: float, nits: float) -> None:
    """Seen through HLG's curve, which is exact at 1000 cd/m2, and the SDR's at 203."""
    shown = through_light(grey(signal), PQ, HLG)
    # BT.2100 HLG, system gamma 1.2 on 1000 cd/m2
    scene = min(nits, 1000) / 1000
    scene = scene ** (1 / 1.2)
    wanted = (
        np.sqrt(3 * scene)
        if scene <= 1 / 12
        else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    )
    assert np.abs(shown - wanted).max() < 2e-3


def test_hlg_joins_at_one_half_and_ends_at_one() -> None:
    values = np.linspace(0.49, 0.51, 201, dtype=np.float32)[:, None].repeat(3, 1)[None]
    shown = through_light(values, HLG, PQ)
    assert (np.diff(shown[0, :, 0]) > 0).all()
    assert np.abs(np.diff(shown[0, :, 0], 2)).max() < 1e-4
    assert np.abs(through_light(grey(1), HLG, PQ) - 0.75182706).max() < 1e-4


PAIRS = [(SRGB, PQ), (SRGB, HLG), (SRGB, WIDE), (HLG, PQ)]
levels = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)


@settings(max_examples=100, deadline=None)
@given(levels, st.sampled_from(PAIRS))
def test_there_and_back_again(rgb: list[float], pair: tuple[Colour, Colour]) -> None:
    """Whatever fits and does not roll off comes back; a code of 8 bits is 0.004."""
    small, large = pair
    limit = 0.7 if large.is_hdr and not small.is_hdr else 1.0
    signal = np.array(rgb, np.float32)[None, None] * np.float32(limit)
    if small is HLG:
        signal = signal.max(axis=-1, keepdims=True).repeat(3, -1)  # colours may not fit
    back = through_light(through_light(signal, small, large), large, small)
    assert np.abs(back - signal).max() < 2e-3


@pytest.mark.parametrize("source", [SRGB, WIDE, PQ, HLG])
@pytest.mark.parametrize("target", [SRGB, WIDE, PQ, HLG])
def test_light_is_monotone_neutral_and_within_range(source: Colour, target: Colour) -> None:
    ramp = np.linspace(0, 1, 1025, dtype=np.float32)[:, None].repeat(3, 1)[None]
    result = through_light(ramp, source, target)
    assert result.dtype == np.float32
    assert (np.diff(result[0, :, 1]) >= -1e-6).all()
    assert np.abs(result - result[..., 1:2]).max() < 2e-3
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.abs(result[0, 0]).max() < 1e-3
    if source == target:
        return
    assert result[0, -1, 0] > 0.5


@pytest.mark.parametrize("target", [PQ, HLG, SRGB])
@pytest.mark.parametrize("source", [PQ, HLG, WIDE])
def test_pure_colours_stay_within_range(source: Colour, target: Colour) -> None:
    result = through_light(np.eye(3, dtype=np.float32)[None], source, target)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_what_is_brighter_than_sdr_white_keeps_its_differences() -> None:
    signal = np.linspace(0.58, 0.9, 33, dtype=np.float32)[:, None].repeat(3, 1)[None]
    shown = through_light(signal, PQ, SRGB)[0, :, 0]
    assert all(a < b for a, b in pairwise(shown))
    assert shown[-1] < 1


def test_light_is_needed_only_where_a_matrix_does_not_do() -> None:
    hd = Colour(Matrix.BT709, full_range=False, primaries=1, transfer=1)
    assert not needs_light(hd, SRGB)
    assert not needs_light(hd, Colour(Matrix.SMPTE170M, full_range=True))
    assert not needs_light(PQ, replace(PQ, matrix=Matrix.RGB, full_range=True))
    for target in (PQ, HLG, WIDE):
        assert needs_light(hd, target)
        assert needs_light(target, hd)
    assert needs_light(PQ, HLG)


@pytest.mark.parametrize("colour", [PQ, HLG])
def test_the_display_curve_is_monotone_and_uses_the_range(colour: Colour) -> None:
    curve = display_curve(colour)
    assert curve.shape == (256,)
    assert curve.dtype == np.uint8
    assert (np.diff(curve.astype(int)) >= 0).all()
    assert curve[0] == 0
    assert curve[-1] >= 250
    white = round(255 * (0.58 if colour is PQ else 0.75))
    assert 235 <= curve[white] <= 248  # SDR white, at the beginning of the roll-off
