"""Every runtime in the table runs every network in its table, as ``runtimes.base`` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from streammatte.errors import DependencyError
from streammatte.models import MODELS, load_card
from streammatte.runtimes import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from streammatte.runtimes import Runtime

Make = "Callable[[tuple[int, int]], Runtime]"


@pytest.fixture(params=[(r, m) for r in RUNTIMES for m in MODELS], ids="-".join)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[tuple[int, int]], Runtime]]:
    """Return a maker of networks of one runtime and model, closed at the end."""
    runtime, model = request.param
    try:
        engine = RUNTIMES.load(runtime)
    except DependencyError as error:
        pytest.skip(str(error))
    made: list[Runtime] = []

    def maker(size: tuple[int, int]) -> Runtime:
        made.append(engine(load_card(model), size))
        return made[-1]

    yield maker
    for network in made:
        network.close()
        network.close()


def image(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (1, size[1], size[0], 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(256, 256), (448, 256), (192, 352)])
def test_an_image_becomes_a_matte_of_its_size(
    make: Callable[[tuple[int, int]], Runtime], size: tuple[int, int]
) -> None:
    alpha = make(size).infer(image(size))
    assert alpha.shape == (1, 1, size[1], size[0])
    assert alpha.dtype == np.float32
    assert np.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_the_same_image_gives_the_same_matte(make: Callable[[tuple[int, int]], Runtime]) -> None:
    network = make((256, 256))
    one = network.infer(image((256, 256)))
    network.infer(image((256, 256), 1))
    assert (network.infer(image((256, 256))) == one).all()


def test_the_caller_may_keep_the_matte_and_the_image_is_left_alone(
    make: Callable[[tuple[int, int]], Runtime],
) -> None:
    network = make((256, 256))
    seen = image((256, 256))
    first = network.infer(seen)
    kept = first.copy()
    second = network.infer(image((256, 256), 1))
    second[:] = 0.5
    assert (first == kept).all()
    assert (seen == image((256, 256))).all()
    assert (network.infer(seen) == kept).all()


def test_black_and_white_are_images_too(make: Callable[[tuple[int, int]], Runtime]) -> None:
    network = make((256, 256))
    for level in (0, 255):
        alpha = network.infer(np.full((1, 256, 256, 3), level, np.uint8))
        assert np.isfinite(alpha).all()


def test_it_says_what_it_is(make: Callable[[tuple[int, int]], Runtime]) -> None:
    description = make((256, 256)).description
    assert description
    assert "\n" not in description
