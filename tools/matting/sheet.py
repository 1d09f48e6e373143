"""The contact sheet: what the figures are of, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matting.runs import Scene

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

TILE = (240, 135)
"""Width and height of a picture on the sheet."""
CAPTION = 16
FRAMES = 3
"""Of every clip."""
GAIN = 3
"""Differences are shown so many times as strong."""
GREEN = (0, 177, 64)
WAYS = ("per frame", "live", "file")


def moments(count: int) -> list[int]:
    """Return which frames of a clip are shown: none of the first or last."""
    return sorted({round(count * (index + 1) / (FRAMES + 1)) for index in range(FRAMES)} - {count})


class Sheet:
    """Collects pictures as they go by, and puts them on one page."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], dict[str, Bytes]] = {}

    # ---- steadiness: whole frames

    def watch(
        self, source: str, scene: Scene, method: str, mattes: Iterable[Floats]
    ) -> Iterator[Floats]:
        """Pass mattes on, and keep some of them."""
        wanted = moments(len(scene.truth)) if method in WAYS else []
        before: Floats | None = None
        for index, matte in enumerate(mattes):
            if index in wanted:
                row = self._row(source, scene.clip.name, f"frame {index}")
                truth = scene.truth[index]
                row.setdefault("picture", _tile(scene.pictures[index]))
                row.setdefault("truth", _tile(_grey(truth)))
                row[method] = _tile(_grey(matte))
                row[f"{method}: error"] = _tile(_signed(matte - truth))
                if before is not None:
                    change = (matte - before) - (truth - scene.truth[index - 1])
                    row[f"{method}: unrest"] = _tile(_signed(change))
            before = matte
            yield matte

    # ---- edges and colours: pieces at their own size

    def edge(self, name: str, scene: Scene, how: str, mattes: Sequence[Floats]) -> None:
        """Keep a piece of the softest part of the last frame."""
        index = len(mattes) - 1
        truth = scene.truth[index]
        piece = _softest(truth)
        row = self._row("edges", name, scene.clip.name)
        row.setdefault("picture", scene.pictures[index][piece])
        row.setdefault("truth", _grey(truth[piece]))
        row[how] = _grey(mattes[index][piece])
        row[f"{how}: error"] = _signed(mattes[index][piece] - truth[piece])

    def colours(
        self, name: str, scene: Scene, how: str, made: Floats, alpha: Floats, true: Floats
    ) -> None:
        """Keep a piece of the first frame over green, with colours that were made for it."""
        truth = scene.truth[0]
        piece = _softest(truth)
        row = self._row("colours", name, scene.clip.name)
        row.setdefault("picture", scene.pictures[0][piece])
        row.setdefault("truth", _over_green(true[piece], truth[piece]))
        row[how] = _over_green(made[piece], alpha[piece])

    def _row(self, *key: str) -> dict[str, Bytes]:
        return self._rows.setdefault(key, {})

    # ---- the page

    def write(self, path: Path) -> None:
        """Write the page as PNG; nothing is written if nothing was kept."""
        if not self._rows:
            return
        strips = [_strip(" / ".join(key), row) for key, row in self._rows.items()]
        width = max(strip.shape[1] for strip in strips)
        page = np.vstack(
            [
                cv2.copyMakeBorder(
                    strip, 0, 0, 0, width - strip.shape[1], cv2.BORDER_CONSTANT, value=(32, 32, 32)
                )
                for strip in strips
            ]
        )
        path.write_bytes(cv2.imencode(".png", page[..., ::-1])[1].tobytes())


def _strip(title: str, row: dict[str, Bytes]) -> Bytes:
    """Return a row of tiles, errors last, each with its caption."""
    names = sorted(row, key=lambda name: (name.partition(": ")[2], list(row).index(name)))
    tiles = []
    for position, name in enumerate(names):
        tile = np.full((CAPTION + TILE[1], TILE[0], 3), 32, np.uint8)
        piece = row[name]
        tile[CAPTION : CAPTION + piece.shape[0], : piece.shape[1]] = piece
        words = f"{title}: {name}" if position == 0 else name
        cv2.putText(tile, words, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 0), 1)
        tiles.append(tile)
    return np.hstack(tiles)


def _tile(picture: Bytes) -> Bytes:
    return np.asarray(cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA), np.uint8)


def _grey(alpha: Floats) -> Bytes:
    plane = np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)
    return np.dstack([plane] * 3)


def _signed(difference: Floats) -> Bytes:
    """Return red where there is too much, blue where there is too little."""
    strong = np.clip(difference * GAIN, -1, 1) * 255
    zero = np.zeros_like(strong)
    planes = [np.maximum(strong, 0), zero, np.maximum(-strong, 0)]
    return np.rint(np.dstack(planes)).astype(np.uint8)


def _over_green(colours: Floats, alpha: Floats) -> Bytes:
    share = alpha[..., None]
    mixed = share * colours * 255 + (1 - share) * np.array(GREEN, np.float32)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def _softest(truth: Floats) -> tuple[slice, slice]:
    """Return the piece, of a tile's size, that has most soft pixels."""
    height, width = truth.shape
    columns, rows = min(TILE[0], width), min(TILE[1], height)
    soft = ((truth > 0.1) & (truth < 0.9)).astype(np.float32)
    sums = cv2.boxFilter(soft, -1, (columns, rows), normalize=False, anchor=(0, 0))
    valid = sums[: height - rows + 1, : width - columns + 1]
    y, x = np.unravel_index(int(np.argmax(valid)), valid.shape)
    return slice(int(y), int(y) + rows), slice(int(x), int(x) + columns)
