"""What this machine has, asked cheaply: no engine is imported only to look."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_INTEL = "0x8086"


@dataclass(frozen=True)
class Nvidia:
    """What the NVIDIA driver says."""

    gpus: int
    why: str = ""
    """Why there is none, in a few words."""


@cache
def nvidia() -> Nvidia:
    """Ask the driver how many GPUs it has."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Nvidia(0, "no NVIDIA driver found")
    if code := driver.cuInit(0):
        return Nvidia(0, f"the NVIDIA driver finds no GPU that it can use (CUDA error {code})")
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return Nvidia(0, f"the NVIDIA driver does not answer (CUDA error {code})")
    return Nvidia(count.value, "" if count.value else "the NVIDIA driver finds no GPU")


def amd() -> bool:
    """Whether AMD's compute driver (ROCm) is there."""
    return Path("/dev/kfd").exists()


def intel() -> bool:
    """Whether there is an Intel GPU; only Linux is asked."""
    vendors = Path("/sys/class/drm").glob("renderD*/device/vendor")
    return any(_read(vendor) == _INTEL for vendor in vendors)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
