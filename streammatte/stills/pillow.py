"""What only Pillow reads, the one file that knows it: HEIC, HEIF, AVIF, CMYK; and profiles.

It comes with the extra ``stills``.
"""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import DependencyError, InputError
from streammatte.stills.metadata import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.stills.headers import Header, Kind


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Any]:
    """Open a photograph by Pillow."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise _missing(f"{path}: {what}", "Pillow") from error
    if what == "HEIC":
        _register(path)
    try:
        with warnings.catch_warnings():  # of its size, which is for web servers to worry about
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UnidentifiedImageError):
            raise InputError(f"{path} is no {what} photograph that can be read") from error
        raise InputError(f"{path} is damaged: {error}; copy it again") from error


def _register(path: Path) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise _missing(f"{path}: HEIC", "pillow-heif") from error
    pillow_heif.register_heif_opener()


def _missing(what: str, package: str) -> DependencyError:
    return DependencyError(f"{what} needs {package}: pip install 'streammatte[stills]'")


def header_by_pillow(path: Path, kind: Kind) -> Header:
    """Read what a HEIC, HEIF or AVIF photograph says; it is decoded upright.

    Raises:
        InputError: if it is damaged.
        DependencyError: if Pillow or pillow-heif is missing.
    """
    from streammatte.stills.headers import Header

    with _opened(path, "HEIC" if kind == "heif" else "AVIF") as image:
        told = image.info
        exif = bytes(told.get("exif") or b"").removeprefix(b"Exif\0\0")
        dpi = told.get("dpi")
        sides = (float(dpi[0]), float(dpi[1])) if dpi and all(dpi) else None
        width, height = image.size
        tags = Tags(exif, bytes(told.get("icc_profile") or b""), sides)
        return Header(kind, width, height, tags)


def decoded_by_pillow(
    path: Path, header: Header, notes: list[str]
) -> tuple[NDArray[np.uint8 | np.uint16], Header]:
    """Decode a photograph.

    Args:
        path: Of the file.
        header: What it says.
        notes: Told what was lost.

    Returns:
        Upright pixels ``[h, w, 3 or 4]``, B, G, R, A, and the header that belongs to them.

    Raises:
        InputError: if it is damaged.
        DependencyError: if Pillow or pillow-heif is missing.
    """
    if header.kind == "heif":
        return _by_heif(path), header
    with _opened(path, "CMYK" if header.ink else header.kind.upper()) as image:
        if not header.ink:
            mode = "RGBA" if image.mode.endswith("A") else "RGB"
            return _swapped(np.asarray(image.convert(mode))), header
        notes.append("its cyan, magenta, yellow and black were converted to sRGB")
        rgb = _from_ink(image, header.tags.profile)
    from streammatte.stills.photo import turned

    pixels = turned(_swapped(np.asarray(rgb)), header.orientation)
    return pixels, replace(header, tags=replace(header.tags, profile=b""))


def _from_ink(image: Any, profile: bytes) -> Any:
    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")


def _by_heif(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Decode HEIC, of more than 8 bits to 16."""
    with _opened(path, "HEIC"):
        import pillow_heif

        file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False, bgr_mode=True)
        return np.array(file)  # of the main picture


def _swapped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return R, G, B[, A] as B, G, R[, A]."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return np.ascontiguousarray(pixels[..., order])


def converter(source: bytes, target: bytes) -> Any:
    """Return a function that brings uint8 ``[h, w, 3]`` R, G, B from one profile to another.

    Args:
        source: The profile of the pixels; empty for sRGB.
        target: The profile that is wanted; empty for sRGB.

    Raises:
        DependencyError: if Pillow is missing.
        InputError: if it cannot be converted.
    """
    try:
        from PIL import Image, ImageCms
    except ImportError as error:
        raise _missing("a background in a photograph's colour profile", "Pillow") from error

    def opened(profile: bytes) -> Any:
        if profile:
            return ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.createProfile("sRGB")

    try:
        change = ImageCms.buildTransform(opened(source), opened(target), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise InputError(f"the colour profile cannot be used: {error}") from error

    def convert(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(np.ascontiguousarray(rgb))
        ImageCms.applyTransform(image, change, inPlace=True)
        return np.asarray(image)

    return convert
