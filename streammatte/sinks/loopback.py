"""What a virtual camera's driver is asked beside FFmpeg, which does not look at the answers.

v4l2loopback takes any size while nobody uses a device. While somebody does, it answers a wish for
another one with the one that is, and FFmpeg sends pictures that no reader can make sense of.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from typing import TYPE_CHECKING

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from fractions import Fraction

_OUTPUT = 2
"""``V4L2_BUF_TYPE_VIDEO_OUTPUT``."""
# videodev2.h: a type and a union of 200 bytes, which is aligned as pointers are in a format.
_FORMAT = struct.Struct(f"=I{struct.calcsize('P') - 4}x2I4s188x")
_PARAMETERS = struct.Struct("=5I184x")
_G_FMT = 3 << 30 | _FORMAT.size << 16 | ord("V") << 8 | 4
_S_PARM = 3 << 30 | _PARAMETERS.size << 16 | ord("V") << 8 | 22


def accepted(path: str) -> tuple[str, int, int] | None:
    """Return the format, width and height that a device takes now; ``None`` if it does not say."""
    try:
        answer = _asked(path, _G_FMT, _FORMAT.pack(_OUTPUT, 0, 0, bytes(4)))
    except OSError:
        return None
    _, width, height, code = _FORMAT.unpack(answer)
    return code.decode("latin-1"), width, height


def tell_rate(path: str, rate: Fraction) -> None:
    """Let readers know how many pictures come a second; FFmpeg leaves them at 30."""
    words = (_OUTPUT, 0, 0, rate.denominator, rate.numerator)
    with contextlib.suppress(OSError):  # it is only a hint, and some drivers take none
        _asked(path, _S_PARM, _PARAMETERS.pack(*words))


def _asked(path: str, request: int, question: bytes) -> bytes:
    answer = bytearray(question)
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(handle, request, answer)
    finally:
        os.close(handle)
    return bytes(answer)
