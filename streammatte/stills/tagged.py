"""Results that say what their photograph said, whatever kind of file they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.stills import jpeg, png, tiff, webp

if TYPE_CHECKING:
    from streammatte.stills.metadata import Tags


def tagged(
    content: bytes, suffix: str, tags: Tags, *, alpha: bool, multiplied: bool = False
) -> bytes:
    """Return an image, as OpenCV writes it, that says what ``tags`` does; BMP says nothing.

    Args:
        content: The file.
        suffix: Of its name, which says what it is.
        tags: What it is to say.
        alpha: Whether it has alpha.
        multiplied: Whether its colours are multiplied by that, which only TIFF can say.
    """
    if suffix in (".jpg", ".jpeg"):
        return jpeg.tagged(content, tags)
    if suffix in (".tif", ".tiff"):
        return tiff.tagged(content, tags, alpha=alpha, multiplied=multiplied)
    plain = {".png": png.tagged, ".webp": webp.tagged}.get(suffix)
    return content if plain is None else plain(content, tags)
