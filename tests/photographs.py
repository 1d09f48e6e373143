"""Photographs made on the fly, with what cameras put beside the pixels; Pillow reads and writes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="needs the extra stills")
from PIL import ImageCms  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

STUB: dict[str, Any] = {"runtime": "stub", "bg": "#ff0000"}
SIZE = (96, 64)
ORIENTATION, MAKER, DATE = 0x0112, 0x010F, 0x0132


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """Return R, G, B ``[h, w, 3]`` that looks different from every side."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    blue = np.full_like(x, 40 + seed % 100)
    return np.stack([x * 255 // width, y * 255 // height, blue], -1).astype(np.uint8)


def stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return what a camera that was held so stores."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    return np.ascontiguousarray(turned)


def exif(orientation: int = 1) -> bytes:
    told = Image.Exif()
    told[ORIENTATION], told[MAKER], told[DATE] = orientation, "Maker", "2026:11:27 10:00:00"
    return bytes(told.tobytes())


def opened(path: Path) -> Any:
    """Return a picture that keeps no file open."""
    with Image.open(path) as image:
        image.load()
        return image


def profile(name: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


@lru_cache
def wide() -> bytes:
    """Return a profile of wider primaries: sRGB's with red and green changed places of width."""
    made = bytearray(profile())
    place = made.index(b"rXYZ", 128)
    offset = int.from_bytes(made[place + 4 : place + 8], "big")
    made[offset + 8 : offset + 12] = int(0.6 * 65536).to_bytes(4, "big")
    return bytes(made)


def save(path: Path, pixels: NDArray[Any] | None = None, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene() if pixels is None else pixels).save(path, **more)
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def folder_of(root: Path, count: int, size: tuple[int, int] = SIZE) -> Path:
    for number in range(count):
        save(root / f"{number:03}.png", scene(size, number))
    return root
