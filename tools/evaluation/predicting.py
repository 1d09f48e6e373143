"""Where predictions come from: a folder of them, or a network of ours."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from evaluation.data_sets import read_colour, read_grey
from streammatte.errors import InputError
from streammatte.meters import Meters
from streammatte.models import open_model
from streammatte.models.weights import Hub
from streammatte.runtimes import Placement
from streammatte.runtimes.choice import open_runtime
from streammatte.sources import open_source
from streammatte.stages import matte, refine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluation.data_sets import Item
    from streammatte.models.base import Model, Size
    from streammatte.runtimes.base import Runtime

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Shape = tuple[int, int]
    Prediction = Callable[[Shape], Bytes]
    """Makes a prediction, on any thread: uint8 ``[h, w]``, at best of the truth's shape."""


class Predictor(Protocol):
    """Makes predictions."""

    names: tuple[str, ...]
    """What the network may be known as, for those who look up what others measured."""
    description: str
    """Who made the predictions, and how; complete when all are made."""
    notes: list[str]
    """What else should be known of that, a sentence each; likewise."""

    def predictions(self, items: Iterable[Item]) -> Generator[tuple[Item, Prediction]]:
        """Yield a prediction for every item, in any order."""


class Folder:
    """Predictions that somebody made before."""

    def __init__(self, folder: Path, found: dict[str, Path]) -> None:
        """Remember where they are.

        Args:
            folder: Where they are from.
            found: The files by the names of their pictures.
        """
        self.names = (folder.resolve().name,)
        self.description = f"predictions from {folder}"
        self.notes: list[str] = []
        self._found = found

    def predictions(self, items: Iterable[Item]) -> Generator[tuple[Item, Prediction]]:
        """Yield them; they are read when they are called for."""
        for item in items:
            path = self._found[item.name]
            yield item, lambda _, path=path: read_grey(path)


@dataclass(frozen=True)
class Wish:
    """How a network of ours is to be run."""

    model: str
    weights: str | None = None
    """Others than its own; see ``open_model``."""
    runtime: str = "auto"
    placement: Placement = field(default_factory=Placement)
    size: int | Size | None = None
    """The shorter side, or ``(width, height)``; ``None`` for the card's default."""
    official: bool = True
    """Whether to treat pictures as the authors of BiRefNet do, rather than as ``render`` does."""


class Network:
    """Predictions by our own engine, one picture after the other, without temporal steps.

    The official way (``official_view``, ``official_matte``) is that of BiRefNet's own evaluation:
    the picture is squashed to the shape that the network was trained on by linear interpolation
    without smoothing, the matte goes back the same way with the corners aligned, and its 8-bit
    levels are rounded down. The product's way is that of ``streammatte render``: FFmpeg decodes,
    the view is area-averaged, ``stages.refine`` snaps a coarse matte to the picture and enlarges
    it.
    """

    def __init__(self, wish: Wish) -> None:
        """Find the weights.

        Raises:
            StreamMatteError: if the network cannot be had.
        """
        self._wish = wish
        self._model: Model = open_model(wish.model, weights=wish.weights)
        card = self._model.card
        repository = card.weights.repository if isinstance(card.weights, Hub) else ""
        self.names = (wish.weights,) if wish.weights else (repository, card.name, wish.model)
        self.notes: list[str] = []
        self._sizes: set[Size] = set()
        self._engine = ""

    @property
    def description(self) -> str:
        """Network, protocol and engine in words."""
        sizes = sorted(f"{width}x{height}" for width, height in self._sizes)
        shown = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
        way = "official" if self._wish.official else "product"
        return f"{self._model.card.name} at {shown}, {way} protocol, {self._engine}"

    def predictions(self, items: Iterable[Item]) -> Generator[tuple[Item, Prediction]]:
        """Yield them, those of one input size together, so that each engine is opened once."""
        sized = sorted(((self._size(item), item) for item in items), key=lambda one: one[0])
        for size, group in itertools.groupby(sized, key=lambda one: one[0]):
            with closing(self._open(size)) as network:
                for _, item in group:
                    yield item, self._predicted(item, size, network)

    def _predicted(self, item: Item, size: Size, network: Runtime) -> Prediction:
        assert item.picture is not None
        if self._wish.official:
            alpha = network.infer(official_view(read_colour(item.picture), size)[None])[0, 0]
            return lambda shape: official_matte(alpha, shape)
        result = product_matte(item.picture, size, network, coarse=self._model.card.coarse)
        return lambda _: result

    def _size(self, item: Item) -> Size:
        """Return the network's input size for a picture; the official one does not turn."""
        card, wish = self._model.card, self._wish.size
        if self._wish.official and card.trained is not None:
            return card.input_size(*card.trained, wish)
        assert item.picture is not None
        with open_source(item.picture) as source:
            return card.input_size(source.info.width, source.info.height, wish)

    def _open(self, size: Size) -> Runtime:
        wish = self._wish
        choice = open_runtime(wish.runtime, self._model, size, wish.placement)
        self.notes = [f"passed over: {line}" for line in choice.passed_over]
        self._engine = f"{choice.runtime.description}, {choice.runtime.precision}"
        self._sizes.add(size)
        return choice.runtime


def official_view(picture: Bytes, size: Size) -> Bytes:
    """Return a picture at the network's size: uint8 ``[height, width, 3]``, C-contiguous."""
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))


def official_matte(alpha: Floats, shape: Shape) -> Bytes:
    """Return a matte ``[h, w]`` of 0..1 at another shape, in 8 bits, rounded down."""
    full = _lerp(_lerp(alpha, shape[0]).T, shape[1]).T
    return np.asarray(np.clip(full, 0, 1) * np.float32(255), np.uint8)


def product_matte(path: Path, size: Size, network: Runtime, *, coarse: bool) -> Bytes:
    """Return what the product makes of a photograph: uint8 ``[height, width]`` of the picture.

    Raises:
        InputError: if it cannot be read.
    """
    with open_source(path) as source:
        frame = next(source.frames(), None)
        if frame is None:
            raise InputError(f"{path} holds no picture")
        mattes = matte.infer([frame], network, size, Meters())
        (made,) = refine.snap(mattes) if coarse else mattes
        width, height, layout = source.info.width, source.info.height, frame.picture.layout
        samples = refine.enlarge(made.alpha, width, height, layout)
    peak = np.iinfo(samples.dtype).max
    return np.asarray(np.rint(samples * np.float32(255 / peak)), np.uint8)


def _lerp(alpha: Floats, rows: int) -> Floats:
    """Interpolate rows linearly, so that the first and the last one stay what they are."""
    at = np.linspace(0, alpha.shape[0] - 1, rows, dtype=np.float64)
    above = np.minimum(at.astype(int), max(alpha.shape[0] - 2, 0))
    below = np.minimum(above + 1, alpha.shape[0] - 1)
    share = (at - above).astype(np.float32)[:, None]
    return np.asarray(alpha[above] * (1 - share) + alpha[below] * share)
