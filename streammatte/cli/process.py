"""What may be set where the whole process is ours, and must not be where we are a library."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE = 16 << 20
"""Bytes from which memory goes back to the system when it is freed: above a 1080p frame, and above
a matte of 1024 x 1024, which would be cleared anew, page by page, for every step: 20 ms a frame."""
_CORES_A_THREAD = 4
"""Cores for each thread that OpenCV may use: the pipeline's own threads use the others."""


def own_process() -> None:
    """Keep memory low and threads out of each other's way.

    glibc keeps what threads free, each in an arena of its own: a fifth of a render's memory held
    nothing. OpenCV would spread small pictures over all cores, which the pipeline uses already.
    """
    import cv2

    from streammatte.runtimes.hardware import cores

    cv2.setNumThreads(max(1, cores() // _CORES_A_THREAD))
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
            libc.mallopt(_M_ARENA_MAX, 1)
        except (OSError, AttributeError):
            return  # another C library, with other habits
