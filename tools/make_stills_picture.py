"""Makes docs/stills.jpg: a product, and the shot that is made of it, by the tool itself.

The mug is painted here and brings its alpha along, so that what the picture shows is how products
are placed, and their shadow.

Run: ``python tools/make_stills_picture.py``
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from make_readme_picture import GAP, ROOT

import streammatte
from streammatte.options import StillOptions

SIDE = 400
FINER = 4
"""Times as many pixels are painted as are kept, for smooth edges."""
WISH = StillOptions(trim=True, pad_share=0.14, centre=True, canvas=(SIDE, SIDE), shadow="soft")
GLAZE, INSIDE, COFFEE = (150, 92, 30), (225, 228, 232), (24, 38, 60)
"""Colours of the mug: B, G, R."""


def painted(width: int, height: int) -> np.ndarray:
    """Return the mug in a corner of its photograph: uint8 B, G, R, A ``[height, width, 4]``."""
    big = (height * FINER, width * FINER)
    colours = np.empty((*big, 3), np.float32)
    rows = np.linspace(0, 1, big[0], dtype=np.float32)[:, None, None]
    colours[:] = np.array((132, 152, 168), np.float32) * (1.1 - 0.45 * rows)
    alpha = np.zeros(big, np.uint8)

    def part(where: np.ndarray, colour: tuple[int, int, int], light: np.ndarray | float) -> None:
        inside = where > 0
        lit = np.broadcast_to(np.atleast_3d(light), (*big, 1))
        colours[inside] = np.clip(np.array(colour, np.float32) * lit, 0, 255)[inside]
        alpha[inside] = 255

    def ellipse(x: float, y: float, across: float, down: float, line: float = -1) -> np.ndarray:
        mask = np.zeros(big, np.uint8)
        middle, axes = ((round(a * FINER), round(b * FINER)) for a, b in ((x, y), (across, down)))
        cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, round(line * FINER) if line > 0 else -1)
        return mask

    left, right, top, bottom = width * 0.09, width * 0.43, height * 0.38, height * 0.86
    middle, radius = (left + right) / 2, (right - left) / 2
    across = (np.arange(big[1]) / FINER - middle) / radius
    round_ = np.exp(-(((across + 0.45) / 0.42) ** 2)) * 0.75 + 0.45  # lit from the left
    light = np.broadcast_to(round_, big).astype(np.float32)
    part(ellipse(right + 4, (top + bottom) / 2, radius * 0.52, radius * 0.68, 17), GLAZE, 0.62)
    body = ellipse(middle, bottom, radius, radius * 0.2)
    rows_, columns = (
        slice(round(a * FINER), round(b * FINER)) for a, b in ((top, bottom), (left, right))
    )
    body[rows_, columns] = 255
    part(body, GLAZE, light)
    part(ellipse(middle, top, radius, radius * 0.2), INSIDE, 1.0)
    part(ellipse(middle, top + 3, radius * 0.92, radius * 0.155), INSIDE, 1.5 - light * 0.8)
    part(ellipse(middle, top + 9, radius * 0.82, radius * 0.105), COFFEE, light)
    whole = np.dstack([colours, alpha]).astype(np.uint8)
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Paint a photograph, make a product shot of it, and write both side by side."""
    photograph = painted(SIDE * 4 // 3, SIDE)
    with tempfile.TemporaryDirectory() as folder:
        path, result = Path(folder) / "mug.png", Path(folder) / "shot.png"
        cv2.imwrite(str(path), photograph)
        streammatte.render(path, result, bg="white", still=WISH)
        shot = cv2.imread(str(result))
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    both = np.hstack([photograph[..., :3], gap, shot])
    cv2.imwrite(str(ROOT / "docs" / "stills.jpg"), both, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
