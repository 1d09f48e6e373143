"""What the machine has, asked of stand-ins for its drivers."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    hardware.nvidia.cache_clear()
    yield
    hardware.nvidia.cache_clear()


class Driver:
    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count

    def cuInit(self, _: int) -> int:  # noqa: N802  its name
        return self.start

    def cuDeviceGetCount(self, where: Any) -> int:  # noqa: N802
        where._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, where: Any) -> int:  # noqa: N802
        where._obj.value = 13010
        return 0

    def cuDeviceGet(self, where: Any, number: int) -> int:  # noqa: N802
        where._obj.value = number
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        assert length == 256
        name.value = f"NVIDIA {device.value}".encode()
        return 0

    def cuDeviceGetAttribute(self, where: Any, attribute: int, device: Any) -> int:  # noqa: N802
        where._obj.value = {75: 8, 76: 6 + device.value}[attribute]
        return 0


@pytest.mark.parametrize(
    ("driver", "gpus", "why"),
    [
        (Driver(0, 2), 2, ""),
        (Driver(0, 0), 0, "the NVIDIA driver finds no GPU"),
        (Driver(100, 0), 0, "the NVIDIA driver finds no GPU that it can use (CUDA error 100)"),
        (None, 0, "no NVIDIA driver found"),
    ],
)
def test_nvidia(
    driver: Driver | None, gpus: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Driver:
        assert name in ("libcuda.so.1", "nvcuda.dll")
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    found = hardware.nvidia()
    assert (found.gpus, found.why) == (gpus, why)
    devices = [hardware.Gpu(f"NVIDIA {i}", (8, 6 + i)) for i in range(gpus)]
    assert list(found.devices) == devices
    assert found.cuda == ((13, 1) if gpus else (0, 0))


def test_cores_are_those_that_this_process_may_use() -> None:
    if not hasattr(os, "sched_setaffinity"):
        assert hardware.cores() == os.cpu_count()
        return
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_cores)})
    try:
        assert hardware.cores() == 1
    finally:
        os.sched_setaffinity(0, all_cores)
    assert hardware.cores() == len(all_cores)
