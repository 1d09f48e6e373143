"""How the subject's colours meet the background's: spill taken out, light wrapped round."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.convert import convert, from_rgb, to_rgb
from streammatte.stages.foreground import plane_alphas
from streammatte.stages.refine import opaque

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Picture
    from streammatte.options import Despill

    Samples = NDArray[Any]

WRAP = 20.0
"""Standard deviation of the light that wraps round, in lines of a 1080-line picture."""


def despilled(picture: Picture, screen: Despill, amount: float) -> Picture:
    """Take the light of a key screen out of the subject's colours.

    Green (or blue) beyond the larger of the two other channels is spill, and goes by ``amount``.

    Args:
        picture: The subject's own colours, straight.
        screen: Of which colour the screen was; ``auto`` for the one there is more of.
        amount: 0 leaves the spill, 1 takes all of it.
    """
    rgb = to_rgb(picture)
    spill = {
        "green": rgb[..., 1] - np.maximum(rgb[..., 0], rgb[..., 2]),
        "blue": rgb[..., 2] - np.maximum(rgb[..., 0], rgb[..., 1]),
    }
    spill = {name: np.maximum(each, 0) for name, each in spill.items()}
    if screen == "auto":
        screen = "green" if spill["green"].sum() >= spill["blue"].sum() else "blue"
    rgb[..., 1 if screen == "green" else 2] -= np.float32(amount) * spill[screen]
    result = from_rgb(rgb, picture.layout, picture.colour)
    if result.alpha is not None and picture.alpha is not None:
        result.alpha[:] = picture.alpha
    return result


def wrapped(comp: Picture, behind: Picture, alpha: Samples, amount: float) -> Picture:
    """Let the background's light reach round the subject's edges.

    Args:
        comp: The composite.
        behind: The background in it.
        alpha: uint8, uint16 or float32 ``[h, w]``.
        amount: 0 is none of it, 1 as bright as the background itself at the very edge.
    """
    result = convert(comp, replace(comp.layout), comp.colour)
    sigma = WRAP * comp.height / 1080
    for plane, light, coverage in zip(
        result.planes, behind.planes, plane_alphas(comp, alpha), strict=True
    ):
        share = coverage / np.float32(opaque(coverage))
        spread = sigma * plane.shape[0] / comp.height
        reach = cv2.GaussianBlur(1 - share, (0, 0), spread) * share * np.float32(amount)
        soft = cv2.GaussianBlur(light.astype(np.float32), (0, 0), spread)
        mixed = plane + reach * (soft - plane)
        plane[:] = mixed if comp.layout.is_float else np.rint(mixed)
    return result
