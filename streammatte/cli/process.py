"""What may be set where the whole process is ours, and must not be where we are a library."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE = 4 << 20
"""Bytes from which memory goes back to the system when it is freed: above a 1080p frame."""


def own_process() -> None:
    """Keep memory low and threads out of each other's way.

    glibc keeps what threads free, each in an arena of its own: a fifth of a render's memory held
    nothing. OpenCV would spread small pictures over all cores, which the pipeline uses already.
    """
    import cv2

    cv2.setNumThreads(1)
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
            libc.mallopt(_M_ARENA_MAX, 1)
        except (OSError, AttributeError):
            return  # another C library, with other habits
