"""A test double with the face of a runtime, shipped so that users' tests can use it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streammatte.runtimes.base import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.models.base import Model, Precision, Size
    from streammatte.runtimes.base import Placement


class Stub:
    """Answers every image with the same matte: a disc in the middle, its edge 10 % soft."""

    def __init__(self, model: Model, size: Size, placement: Placement) -> None:  # noqa: ARG002
        width, height = size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        distance = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / min(width, height)
        self._alpha: NDArray[np.float32] = np.clip((0.4 - distance) / 0.1, 0, 1)[None, None].astype(
            np.float32
        )
        self.description = "stub (a disc, for tests)"
        self.device = "cpu"
        self.precision: Precision = "fp32"
        self.batch = placement.batch or 1
        self.inputs = (Port("image", "uint8", (None, height, width, 3)),)
        self.outputs = (Port("alpha", "float32", (None, 1, height, width)),)

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the disc, whatever the image; see ``runtimes.base.Runtime``."""
        if images.shape[1:3] != self._alpha.shape[2:]:
            raise ValueError(f"images have {images.shape = }, the stub was made for another size")
        return self._alpha.repeat(len(images), axis=0)

    def close(self) -> None:
        """Nothing to let go of."""
