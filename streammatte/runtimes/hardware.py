"""What this machine has, asked cheaply: no engine is imported only to look."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_INTEL = "0x8086"
_CAPABILITY = (75, 76)
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


@dataclass(frozen=True)
class Gpu:
    """One of them."""

    name: str
    capability: tuple[int, int]
    """Compute capability, such as ``(8, 9)``."""


@dataclass(frozen=True)
class Nvidia:
    """What the NVIDIA driver says."""

    gpus: int
    why: str = ""
    """Why there is none, in a few words."""
    cuda: tuple[int, int] = (0, 0)
    """The newest CUDA that the driver knows, such as ``(13, 0)``."""
    devices: tuple[Gpu, ...] = ()


@cache
def nvidia() -> Nvidia:
    """Ask the driver which GPUs it has."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Nvidia(0, "no NVIDIA driver found")
    if code := driver.cuInit(0):
        return Nvidia(0, f"the NVIDIA driver finds no GPU that it can use (CUDA error {code})")
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return Nvidia(0, f"the NVIDIA driver does not answer (CUDA error {code})")
    if not count.value:
        return Nvidia(0, "the NVIDIA driver finds no GPU")
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    cuda = version.value // 1000, version.value % 1000 // 10
    return Nvidia(count.value, "", cuda, tuple(_gpu(driver, i) for i in range(count.value)))


def _gpu(driver: ctypes.CDLL, number: int) -> Gpu:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    numbers = []
    for attribute in _CAPABILITY:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return Gpu(name.value.decode(errors="replace"), (numbers[0], numbers[1]))


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
