"""What the tests compute on the virtual GPU: the mean of an image, spread over its matte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fakes.fake_cuda import FakeCuda
    from numpy.typing import NDArray

IMAGE, MATTE = (1, 4, 6, 3), (1, 1, 4, 6)


def images(number: int) -> list[NDArray[np.uint8]]:
    """Return images of which no two have the same mean."""
    rng = np.random.default_rng(11)
    return [
        np.clip(rng.integers(0, 9, IMAGE) + 7 * index, 0, 255).astype(np.uint8)
        for index in range(number)
    ]


def mean(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the matte of an image."""
    return np.full(MATTE, image.mean(dtype=np.float64), np.float32)


class Work:
    """``ring.Work`` that asks a virtual GPU for the mean."""

    def __init__(self, gpu: FakeCuda) -> None:
        self._gpu = gpu

    def __call__(self, source: int, target: int, stream: Any) -> None:
        reads = [(source, int(np.prod(IMAGE)))]
        writes = [(target, 4 * int(np.prod(MATTE)))]
        self._gpu.kernel(stream, "the mean", reads, writes, _compute)


def _compute(image: NDArray[np.uint8], matte: NDArray[np.uint8]) -> None:
    matte.view(np.float32)[:] = mean(image.reshape(IMAGE)).ravel()
