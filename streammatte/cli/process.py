"""What may be set where the whole process is ours, and must not be where we are a library."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE, _SPARE = 16 << 20, 256 << 20
"""Bytes from which memory goes back to the system when it is freed, by itself and at the end of
what there is: more than a matte of 1024 x 1024, and than all that a frame's steps are made in. What
goes back is cleared, page by page, before it is had again, which took 20 to 50 ms a frame."""
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
            libc.mallopt(_M_TRIM_THRESHOLD, _SPARE)
            libc.mallopt(_M_ARENA_MAX, 1)
        except (OSError, AttributeError):
            return  # another C library, with other habits
