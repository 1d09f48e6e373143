"""What only Pillow reads, the one file that knows it: HEIC, AVIF, CMYK, some TIFF; and profiles.

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

    Pixels = NDArray[np.uint8 | np.uint16]


_HEAD = 1 << 16
"""Bytes in which a container says what its pictures are like."""


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
            # Not by its name: Pillow (13.0) would map it, and garble TIFF that is to be turned.
            with path.open("rb") as file, Image.open(file) as image:
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
    """Read what a HEIC, HEIF or AVIF photograph says.

    HEIC is turned by the library, which says so in EXIF. AVIF is not: EXIF has what its container
    says, whatever was in it.

    Raises:
        InputError: if it is damaged.
        DependencyError: if Pillow or pillow-heif is missing.
    """
    from streammatte.stills.headers import Header, upright

    with _opened(path, "HEIC" if kind == "heif" else "AVIF") as image:
        told = image.info
        exif = bytes(told.get("exif") or b"").removeprefix(b"Exif\0\0")
        dpi = told.get("dpi")
        sides = (float(dpi[0]), float(dpi[1])) if dpi and all(dpi) else None
        width, height = image.size
        tags = Tags(exif, bytes(told.get("icc_profile") or b""), sides)
        return upright(Header(kind, width, height, tags, by_pillow=True))


def decoded_by_pillow(path: Path, header: Header, notes: list[str]) -> tuple[Pixels, Header]:
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
    if header.kind == "avif" and _is_deep(path):
        notes.append("it has more than 8 bits a sample, of which AVIF is read as 8")
    with _opened(path, "CMYK" if header.ink else header.kind.upper()) as image:
        if header.ink:
            notes.append("its cyan, magenta, yellow and black were converted to sRGB")
            pixels: Pixels = _swapped(np.asarray(_from_ink(image, header.tags.profile)))
            header = replace(header, tags=replace(header.tags, profile=b""))
        else:
            pixels = _plain(image)
    if header.kind == "tiff":  # which Pillow turns as it loads it
        return pixels, header
    from streammatte.stills.photo import turned

    return turned(pixels, header.orientation), header


def _is_deep(path: Path) -> bool:
    """Whether an AVIF has 10 or 12 bits a sample, which Pillow does not tell."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    at = head.find(b"av1C")  # its third byte: tier, whether it is deep, and more
    return 0 <= at < len(head) - 6 and bool(head[at + 6] & 0x40)


def _plain(image: Any) -> Pixels:
    """Return pixels of grey, or of B, G, R[, A]; their alpha, if any, is not in their colours."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a sample are too many; convert it to 16")
    mode = "RGBA" if image.mode.endswith(("A", "a")) else "RGB"
    return _swapped(np.asarray(image.convert(mode)))


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


def _by_heif(path: Path) -> Pixels:
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
        raise _missing("converting colour profiles", "Pillow") from error

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
