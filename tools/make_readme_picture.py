"""Makes docs/before_after.jpg: the example clip before and after, by the tool itself.

Run: ``python tools/make_readme_picture.py``
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

import streammatte
from streammatte.convert import to_rgb
from streammatte.sources import open_source

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 2.0
GAP = 12


def picture_at(path: Path, seconds: float) -> np.ndarray:
    """Return the frame shown at a time: uint8 B, G, R ``[height, width, 3]``."""
    with open_source(path) as source:
        frame = next(frame for frame in source.frames() if frame.seconds >= seconds)
        rgb = to_rgb(frame.picture)
    return np.clip(np.rint(rgb[..., ::-1] * 255), 0, 255).astype(np.uint8)


def main() -> None:
    """Render the example and write the two frames side by side."""
    clip, beach = ROOT / "examples" / "astronaut.mp4", ROOT / "examples" / "beach.jpg"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "astronaut_beach.mp4"
        streammatte.render(clip, result, bg=str(beach))
        before, after = picture_at(clip, SECONDS), picture_at(result, SECONDS)
    gap = np.full((before.shape[0], GAP, 3), 255, np.uint8)
    target = ROOT / "docs" / "before_after.jpg"
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), np.hstack([before, gap, after]), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
