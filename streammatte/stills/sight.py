"""What the network sees of photographs in colour profiles of their own: the same, as sRGB.

Networks learnt from sRGB. Of samples in a wider gamut they make mattes that differ in a few pixels
of a thousand, and in one of thirty where the contrast is faint. Only the small picture that a
network sees is converted: the photograph's own samples stay as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import DependencyError, InputError
from streammatte.stills.pillow import converter

if TYPE_CHECKING:
    from numpy.typing import NDArray

AS_SRGB = "the network saw its colours as if they were sRGB"
_STEPS = 9
"""Codes of R, G and B each by which two profiles are compared."""


def as_srgb(view: NDArray[np.uint8], profile: bytes, notes: list[str]) -> NDArray[np.uint8]:
    """Return a picture converted to sRGB; as it is, and a note, where that is impossible.

    Args:
        view: R, G, B ``[h, w, 3]``, untouched.
        profile: Its ICC profile; empty for sRGB.
        notes: Told what was assumed.
    """
    if not profile:
        return view
    try:
        change = _to_srgb(profile)
    except DependencyError as error:
        notes.append(f"{AS_SRGB}: {error}")
        return view
    except InputError:
        notes.append(AS_SRGB)
        return view
    return view if change is None else np.asarray(change(view), np.uint8)


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes) -> Any:
    """Return what converts from a profile; ``None`` if it is sRGB by another name."""
    change = converter(profile, b"")
    codes = np.linspace(0, 255, _STEPS).astype(np.uint8)
    all_ = np.stack(np.meshgrid(codes, codes, codes), -1).reshape(1, -1, 3)
    off = np.abs(change(all_).astype(int) - all_).max()
    return change if off > 1 else None
