"""What samples mean: matrices, ranges, transfer functions, and exact conversions between them.

swscale's conversions are fast but biased, and wrong beyond 8 bit; here every conversion names its
matrix and range and is exact to rounding. Sources: ITU-T H.273 (code points), BT.601, BT.709,
BT.2020 (matrices), BT.2087 (primaries), SMPTE ST 2084 and BT.2100 (PQ, HLG), BT.2408 (where
SDR white lies in HDR).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Matrix(IntEnum):
    """How R'G'B' becomes Y'CbCr; the values are H.273 MatrixCoefficients."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    BT2020 = 9

    @property
    def label(self) -> str:
        """The name people use."""
        return _MATRIX_LABELS[self]


_MATRIX_LABELS = {
    Matrix.RGB: "RGB",
    Matrix.BT709: "BT.709",
    Matrix.UNSPECIFIED: "untagged",
    Matrix.FCC: "FCC",
    Matrix.BT470BG: "BT.601",
    Matrix.SMPTE170M: "BT.601",
    Matrix.SMPTE240M: "SMPTE 240M",
    Matrix.BT2020: "BT.2020",
}

_LUMA_WEIGHTS = {  # Kr, Kb
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020: (0.2627, 0.0593),
}

LARGEST_HALF = 65504.0
"""What no sample of half precision goes beyond."""
FLOAT = 32
"""The depth of float32 samples: black is 0, white 1, nothing is clipped."""
UNSPECIFIED = 2
PRIMARIES_BT709 = 1
PRIMARIES_BT2020 = 9
TRANSFER_BT709 = 1
TRANSFER_GAMMA22 = 4
TRANSFER_GAMMA28 = 5
TRANSFER_LINEAR = 8
TRANSFER_SRGB = 13
TRANSFER_PQ = 16
TRANSFER_HLG = 18

HD_LINES = 720
"""Untagged pictures of at least so many lines are taken for BT.709, smaller ones for BT.601."""


@dataclass(frozen=True, slots=True)
class Colour:
    """What the samples of a picture mean."""

    matrix: Matrix
    """Never ``UNSPECIFIED``: what was untagged has been guessed, and ``assumed`` says so."""
    full_range: bool
    """``True``: black is 0; ``False``: black is 16 (times 2^(depth - 8))."""
    primaries: int = UNSPECIFIED
    """H.273 ColourPrimaries; 2 where the source does not say."""
    transfer: int = UNSPECIFIED
    """H.273 TransferCharacteristics; 2 where the source does not say."""
    centred_chroma: bool = False
    """``True``: chroma lies between luma columns (JPEG); ``False``: on the even ones (MPEG-2)."""
    assumed: str = ""
    """What the source left untagged and was taken for granted, in words; empty if nothing."""
    space: str = ""
    """The colour space's name in the OpenColorIO configuration, where that rules; else empty."""

    @property
    def is_linear(self) -> bool:
        """Whether samples are proportional to light."""
        return self.transfer == TRANSFER_LINEAR

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer function is PQ or HLG."""
        return self.transfer in (TRANSFER_PQ, TRANSFER_HLG)

    @property
    def is_wide(self) -> bool:
        """Whether the primaries are BT.2020's."""
        return self.primaries == PRIMARIES_BT2020

    def __str__(self) -> str:
        """Such as ``BT.709 limited`` or ``BT.2020 limited HLG``."""
        words = [self.matrix.label, "full" if self.full_range else "limited"]
        if self.is_hdr:
            words.append("PQ" if self.transfer == TRANSFER_PQ else "HLG")
        if self.is_linear:
            words = [*(["BT.2020"] if self.is_wide else []), "linear light"]
        if self.space:
            words = [self.space]
        return " ".join(words)


SRGB = Colour(Matrix.RGB, full_range=True, primaries=PRIMARIES_BT709, transfer=TRANSFER_SRGB)
"""What an image file without a profile is."""
LINEAR = Colour(Matrix.RGB, full_range=True, primaries=PRIMARIES_BT709, transfer=TRANSFER_LINEAR)
"""What an OpenEXR file without chromaticities is."""


def resolve(
    *, matrix: int, full_range: bool | None, primaries: int, transfer: int, height: int, jpeg: bool
) -> Colour:
    """Turn a Y'CbCr stream's tags into a ``Colour``, guessing what they leave open.

    Untagged pictures are BT.709 from 720 lines upwards and BT.601 below; JPEG-like ones are
    BT.601 full range with centred chroma, as JFIF says; BT.2020's primaries go with its matrix.

    Args:
        matrix: H.273 MatrixCoefficients as the decoder gives them; 2 means untagged.
        full_range: The tagged range, or ``None`` if the stream does not say.
        primaries: H.273 ColourPrimaries.
        transfer: H.273 TransferCharacteristics.
        height: Lines of the picture.
        jpeg: Whether the stream follows JPEG's conventions (Motion JPEG, ``yuvj`` formats).
    """
    guesses = []
    if matrix in _LUMA_WEIGHTS:
        known = Matrix(matrix)
    else:
        known = Matrix.BT709 if height >= HD_LINES and not jpeg else Matrix.SMPTE170M
        if primaries == PRIMARIES_BT2020:
            known = Matrix.BT2020
        guesses.append(f"{known.label} matrix")
    if full_range is None:
        full_range = jpeg
        guesses.append(f"{'full' if full_range else 'limited'} range")
    return Colour(known, full_range, primaries, transfer, jpeg, " and ".join(guesses))


def sample_levels(colour: Colour, depth: int) -> tuple[Floats, Floats]:
    """Return which samples are nothing, and how many codes it is from there to 1.

    Returns:
        Two float32 ``[3]``, for Y, Cb, Cr or R, G, B: ``(samples - nothing) / codes`` is in 0..1,
        chroma in -0.5..0.5; white is exactly 1.
    """
    if depth == FLOAT:
        nothing, codes = [0.0] * 3, [1.0] * 3
    elif colour.matrix is Matrix.RGB:
        nothing = [float(black_level(colour, depth))] * 3
        codes = [white_level(colour, depth) - nothing[0]] * 3
    else:
        unit = 2.0 ** (depth - 8)
        nothing = [float(black_level(colour, depth)), 128 * unit, 128 * unit]
        codes = [2.0**depth - 1] * 3 if colour.full_range else [219 * unit, *[224 * unit] * 2]
    return np.array(nothing, np.float32), np.array(codes, np.float32)


def rgb_from_parts(colour: Colour) -> Floats:
    """Return the matrix from Y, Cb and Cr, as ``sample_levels`` has them, to R'G'B'.

    Returns:
        float32 ``[3, 3]``; the first column is 1. The identity for ``Matrix.RGB``.
    """
    if colour.matrix is Matrix.RGB:
        return np.eye(3, dtype=np.float32)
    kr, kb = _LUMA_WEIGHTS[colour.matrix]
    kg = 1 - kr - kb
    rows = [
        [1, 0, 2 * (1 - kr)],
        [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
        [1, 2 * (1 - kb), 0],
    ]
    return np.array(rows, np.float32)


def rgb_from_samples(colour: Colour, depth: int) -> Floats:
    """Return the affine map from Y'CbCr (or R'G'B') samples to R'G'B' in 0..1.

    Returns:
        float32 ``[3, 4]``: ``rgb = m[:, :3] @ samples + m[:, 3]``; samples in the order Y, Cb, Cr
        or, for ``Matrix.RGB``, R, G, B.
    """
    if depth == FLOAT:
        return np.eye(3, 4, dtype=np.float32)
    nothing, codes = (part.astype(np.float64) for part in sample_levels(colour, depth))
    linear = rgb_from_parts(colour) / codes
    return np.hstack([linear, -(linear @ nothing)[:, None]]).astype(np.float32)


def samples_from_rgb(colour: Colour, depth: int) -> Floats:
    """Return the inverse of ``rgb_from_samples``: float32 ``[3, 4]``."""
    forward = np.vstack([rgb_from_samples(colour, depth).astype(np.float64), [0, 0, 0, 1]])
    return np.linalg.inv(forward)[:3].astype(np.float32)


def black_level(colour: Colour, depth: int) -> int:
    """Return the luma (or R, G, B) sample of black."""
    return 0 if colour.full_range or depth == FLOAT else 16 << (depth - 8)


def white_level(colour: Colour, depth: int) -> int:
    """Return the luma (or R, G, B) sample of nominal white."""
    if depth == FLOAT:
        return 1
    return (1 << depth) - 1 if colour.full_range else 235 << (depth - 8)


# --- Light -------------------------------------------------------------------------------------

SDR_WHITE_NITS = 203.0
"""Where SDR white is placed in HDR (BT.2408)."""
HLG_PEAK_NITS = 1000.0
PQ_PEAK_NITS = 10000.0
BT1886 = 2.4
"""The power that a reference monitor shows BT.709 and BT.601 with."""
_GAMMAS = {TRANSFER_GAMMA22: 2.2, TRANSFER_GAMMA28: 2.8}

_BT2020_FROM_BT709 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], np.float32
)  # BT.2087


def needs_light(source: Colour, target: Colour) -> bool:
    """Whether going from one to the other takes more than a matrix: HDR, linear, wide primaries."""
    if source.is_linear or target.is_linear:
        return (source.transfer, source.is_wide) != (target.transfer, target.is_wide)
    return (source.is_hdr, source.is_wide) != (target.is_hdr, target.is_wide) or (
        source.is_hdr and source.transfer != target.transfer
    )


def through_light(rgb: Floats, source: Colour, target: Colour) -> Floats:
    """Carry R'G'B' from one transfer function and set of primaries to another.

    Works in display light: SDR white is 203 cd/m2, HLG is shown on a 1000 cd/m2 display. What is
    brighter than an SDR target can show rolls off softly above 80 % of its white, if it comes from
    HDR or linear light.

    Args:
        rgb: float32 ``[..., 3]``, nominally 0..1; linear light knows no limits.
        source: The transfer function and primaries ``rgb`` has.
        target: Those it gets.

    Returns:
        float32 ``[..., 3]``; 0..1 unless it is linear.
    """
    if source.is_linear or target.is_linear:
        light = to_linear(rgb, source)
    else:
        light = _to_nits(np.clip(rgb, 0, 1), source) / np.float32(SDR_WHITE_NITS)
    if not (target.is_hdr or target.is_linear) and (source.is_hdr or source.is_linear):
        light = _roll_off(light)
    if source.is_wide != target.is_wide:
        primaries = _BT2020_FROM_BT709 if target.is_wide else np.linalg.inv(_BT2020_FROM_BT709)
        light = light @ primaries.T.astype(np.float32)
        light = light if target.is_linear else np.maximum(light, 0)
    if target.is_linear:
        return np.asarray(light, np.float32)
    if source.is_linear:
        return np.clip(from_linear(light, target), 0, 1)
    if target.is_hdr:
        most = HLG_PEAK_NITS if target.transfer == TRANSFER_HLG else PQ_PEAK_NITS
        light = np.minimum(light, np.float32(most / SDR_WHITE_NITS))
    return np.clip(_from_nits(light * np.float32(SDR_WHITE_NITS), target), 0, 1).astype(np.float32)


def to_linear(rgb: Floats, colour: Colour) -> Floats:
    """Return linear light, in the same primaries: 1 is SDR white, 203 cd/m2; nothing is clipped.

    BT.709 and its heirs are what a reference monitor shows of them: a power of 2.4 (BT.1886 with a
    black of 0). Negative values are mirrored, and curves go on above 1, so that every value comes
    back from ``from_linear``.

    Args:
        rgb: float32 ``[..., 3]``.
        colour: Its transfer function.
    """
    if colour.is_linear:
        return rgb
    if colour.is_hdr:
        return np.asarray(_to_nits(rgb, colour) / np.float32(SDR_WHITE_NITS), np.float32)
    size = np.abs(rgb)
    if colour.transfer == TRANSFER_SRGB:
        low, high = size / np.float32(12.92), ((size + 0.055) / 1.055) ** np.float32(2.4)
        light = np.where(size <= 0.04045, low, high)  # noqa: PLR2004  IEC 61966-2-1
    else:
        light = size ** np.float32(_GAMMAS.get(colour.transfer, BT1886))
    return np.copysign(light, rgb).astype(np.float32)


def from_linear(light: Floats, colour: Colour) -> Floats:
    """Return the inverse of ``to_linear``; nothing is clipped."""
    if colour.is_linear:
        return light
    if colour.is_hdr:
        return _from_nits(light * np.float32(SDR_WHITE_NITS), colour)
    size = np.abs(light)
    if colour.transfer == TRANSFER_SRGB:
        high = np.float32(1.055) * size ** np.float32(1 / 2.4) - np.float32(0.055)
        rgb = np.where(size <= 0.0031308, size * np.float32(12.92), high)  # noqa: PLR2004
    else:
        rgb = size ** np.float32(1 / _GAMMAS.get(colour.transfer, BT1886))
    return np.copysign(rgb, light).astype(np.float32)


def _to_nits(signal: Floats, colour: Colour) -> Floats:
    if colour.transfer == TRANSFER_PQ:
        return _pq_to_nits(signal)
    if colour.transfer == TRANSFER_HLG:
        return _hlg_to_nits(signal)
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    return np.asarray(SDR_WHITE_NITS * linear, np.float32)


def _from_nits(light: Floats, colour: Colour) -> Floats:
    if colour.transfer == TRANSFER_PQ:
        return _pq_from_nits(light)
    if colour.transfer == TRANSFER_HLG:
        return _hlg_from_nits(light)
    linear = np.minimum(light / SDR_WHITE_NITS, 1)
    return np.asarray(
        np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055),  # noqa: PLR2004
        np.float32,
    )


_PQ_M1, _PQ_M2 = 0.1593017578125, 78.84375
_PQ_C1, _PQ_C2, _PQ_C3 = 0.8359375, 18.8515625, 18.6875
_PQ_STEEP = (_PQ_C2 - _PQ_C1 * _PQ_C3) / ((_PQ_C2 - _PQ_C3) ** 2 * _PQ_M1 * _PQ_M2)
"""How fast the logarithm of light grows with the signal at its end; it goes on so beyond."""


def _pq_to_nits(signal: Floats) -> Floats:
    # In double precision: the root of a power of 79 leaves float32 too few digits for 16 bit.
    size = np.abs(signal, dtype=np.float64)
    root = np.power(np.minimum(size, 1), 1 / _PQ_M2)
    base = np.maximum(root - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * root)
    light = np.power(base, 1 / _PQ_M1) * np.exp(_PQ_STEEP * np.maximum(size - 1, 0))
    return np.asarray(np.copysign(PQ_PEAK_NITS * light, signal), np.float32)


def _pq_from_nits(light: Floats) -> Floats:
    size = np.abs(light, dtype=np.float64) / PQ_PEAK_NITS
    power = np.power(np.minimum(size, 1), _PQ_M1)
    signal = np.power((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power), _PQ_M2)
    signal += np.log(np.maximum(size, 1)) / _PQ_STEEP
    return np.asarray(np.copysign(signal, light), np.float32)


_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_HLG_DARK = 1e-6
"""Scene luminance below which the gain of the system's gamma of 1.2 no longer falls."""


def _hlg_to_nits(signal: Floats) -> Floats:
    size = np.abs(signal)
    bright = (np.exp((size - _HLG_C) / _HLG_A) + _HLG_B) / 12
    scene = np.copysign(np.where(size <= 0.5, size**2 / 3, bright), signal)  # noqa: PLR2004
    gain = np.power(np.maximum(scene @ _HLG_LUMINANCE, _HLG_DARK), 0.2)[..., None]
    return np.asarray(HLG_PEAK_NITS * scene * gain, np.float32)


def _hlg_from_nits(light: Floats) -> Floats:
    shown = light / np.float32(HLG_PEAK_NITS)
    gain = np.power(np.maximum(shown @ _HLG_LUMINANCE, _HLG_DARK**1.2), -1 / 6)[..., None]
    scene = shown * gain
    size = np.abs(scene)
    bright = _HLG_A * np.log(np.maximum(12 * size - _HLG_B, 1e-6)) + _HLG_C
    signal = np.where(size <= 1 / 12, np.sqrt(3 * size), bright)
    return np.asarray(np.copysign(signal, scene), np.float32)


def _roll_off(light: Floats, knee: float = 0.8) -> Floats:
    """Bend everything above ``knee`` so that no light ever reaches 1."""
    above = np.maximum(light - knee, 0)
    bent = 1 - (1 - knee) ** 2 / (above + 1 - knee)
    return np.asarray(np.where(light <= knee, light, bent), np.float32)


def display_curve(colour: Colour) -> NDArray[np.uint8]:
    """Return a lookup table from 8-bit HDR code values to 8-bit SDR ones.

    For pictures that only a network looks at; it leaves the primaries alone.
    """
    grey = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 3, axis=1)
    target = replace(SRGB, primaries=colour.primaries)
    return np.rint(through_light(grey, colour, target)[:, 0] * 255).astype(np.uint8)
