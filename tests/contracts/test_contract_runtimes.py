"""Every runtime in the table runs every network that it can, as ``runtimes.base`` promises."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny
from fakes import graphs

from streammatte.engines.kinds import KINDS
from streammatte.errors import DependencyError
from streammatte.models import MODELS, load_card, open_model
from streammatte.models.weights import Embedded
from streammatte.runtimes import RUNTIMES, Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.runtimes import Runtime

    Make = Callable[..., Runtime]

EMBEDDED = [name for name in MODELS if isinstance(load_card(name).weights, Embedded)]
ONNX_FILES = [(runtime, name) for runtime in RUNTIMES for name in EMBEDDED if runtime != "torch"]
SIZES = [(256, 256), (448, 256), (192, 352)]


ON_GPU = {name: kind for name, kind in KINDS.items() if name in RUNTIMES.entries}
"""These run on a GPU alone, here on one that is not there."""


@pytest.fixture
def ready(
    plug_gpu: Callable[..., Any],
    plug_tensorrt: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], tuple[Any, str, Any]]:
    """Return a function that gives a runtime, the device it runs on, and a model it can run."""

    def load(name: str) -> tuple[Any, str, Any]:
        if name in ON_GPU:
            monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
            plug_tensorrt(ON_GPU[name].module, "10.13.3.9", plug_gpu())
            return RUNTIMES.load(name), "cuda:0", graphs.Plain(tmp_path)
        try:
            return RUNTIMES.load(name), "cpu", tiny.Tiny(tmp_path)
        except DependencyError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture(params=[*ONNX_FILES, *((name, "tiny") for name in RUNTIMES)], ids="-".join)
def make(request: pytest.FixtureRequest, ready: Any) -> Iterator[Make]:
    """Return a maker of networks of one runtime and model, closed at the end."""
    runtime, name = request.param
    engine, device, model = ready(runtime)
    model = model if name == "tiny" else open_model(name)
    made: list[Runtime] = []

    def maker(size: tuple[int, int] = (256, 256), batch: int | None = None) -> Runtime:
        made.append(engine(model, size, Placement(device, "fp32", batch=batch)))
        return made[-1]

    yield maker
    for network in made:
        network.close()
        network.close()


def images(size: tuple[int, int] = (256, 256), seed: int = 0, n: int = 1) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, size[1], size[0], 3)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_an_image_becomes_a_matte_of_its_size(make: Make, size: tuple[int, int]) -> None:
    alpha = make(size).infer(images(size))
    assert alpha.shape == (1, 1, size[1], size[0])
    assert alpha.dtype == np.float32
    assert np.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_the_same_image_gives_the_same_matte(make: Make) -> None:
    network = make()
    one = network.infer(images())
    network.infer(images(seed=1))
    assert (network.infer(images()) == one).all()


def test_the_caller_may_keep_the_matte_and_the_image_is_left_alone(make: Make) -> None:
    network = make()
    seen = images()
    first = network.infer(seen)
    kept = first.copy()
    second = network.infer(images(seed=1))
    second[:] = 0.5
    assert (first == kept).all()
    assert (seen == images()).all()
    assert (network.infer(seen) == kept).all()


def test_images_may_be_read_only(make: Make) -> None:
    network, seen = make(), images()
    seen.flags.writeable = False
    assert (network.infer(seen) == network.infer(images())).all()


def test_black_and_white_are_images_too(make: Make) -> None:
    network = make()
    for level in (0, 255):
        alpha = network.infer(np.full((1, 256, 256, 3), level, np.uint8))
        assert np.isfinite(alpha).all()


def test_another_thread_may_run_it(make: Make) -> None:
    network, found = make(), []
    thread = threading.Thread(target=lambda: found.append(network.infer(images())))
    thread.start()
    thread.join()
    assert (found[0] == network.infer(images())).all()


def test_it_says_what_it_is(make: Make) -> None:
    network = make()
    assert network.description
    assert "\n" not in network.description
    assert network.device == ("cuda:0" if "TensorRT" in network.description else "cpu")
    assert network.precision == "fp32"
    assert network.batch == 1
    (image,), (alpha,) = network.inputs, network.outputs
    assert (image.name, image.dtype, len(image.shape)) == ("image", "uint8", 4)
    assert (alpha.name, alpha.dtype, len(alpha.shape)) == ("alpha", "float32", 4)
    assert image.shape[3] == 3
    assert alpha.shape[1] == 1
    for length, port in ((256, image.shape[1]), (256, alpha.shape[3])):
        assert port in (length, None)


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_a_batch_is_as_good_as_one_by_one(name: str, ready: Any) -> None:
    engine, device, model = ready(name)
    size = (96, 64)
    seen = images(size, n=3)
    one = engine(model, size, Placement(device, "fp32"))
    several = engine(model, size, Placement(device, "fp32", batch=3))
    assert (one.batch, several.batch) == (1, 3)
    apart = np.concatenate([one.infer(image[None]) for image in seen])
    for n in (3, 2, 1):  # the last batch of a clip may be smaller
        together = several.infer(seen[:n])
        assert together.shape == (n, 1, 64, 96)
        np.testing.assert_allclose(together, apart[:n], atol=1e-5)
    one.close()
    several.close()


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_all_runtimes_agree(name: str, tmp_path: Path) -> None:
    size, model = (96, 64), tiny.Tiny(tmp_path)
    try:
        engine = RUNTIMES.load(name)
    except DependencyError as error:
        pytest.skip(str(error))
    expected = RUNTIMES.load("onnxruntime")(model, size, Placement(device="cpu"))
    alpha = engine(model, size, Placement(device="cpu")).infer(images(size))
    assert alpha.std() > 0.03
    np.testing.assert_allclose(alpha, expected.infer(images(size)), atol=2e-5)
