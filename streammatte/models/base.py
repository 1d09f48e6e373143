"""What is known of a network before it runs (``ModelCard``), and what can be run (``Model``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from streammatte.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.birefnet.swin import Backbone
    from streammatte.models.weights import Weights

QUICK = 512
"""The shorter side at which large networks are quick, in pixels."""
Size = tuple[int, int]
"""``(width, height)`` in pixels."""
Target = Literal["onnxruntime", "openvino", "tensorrt"]
"""Who will run a graph; decides how operators that not everyone has are written."""
Precision = Literal["fp32", "fp16"]
Deform = Literal["native", "gather"]
"""How deformable convolutions are written: ONNX's ``DeformConv``, or what every engine has."""


@dataclass(frozen=True)
class Graph:
    """Which of a network's graphs is wanted."""

    target: Target = "onnxruntime"
    precision: Precision = "fp32"
    batch: int = 1
    """Images at once."""
    deform: Deform | None = None
    """``None`` for what suits the target."""

    @property
    def form(self) -> Deform:
        """How deformable convolutions are written.

        TensorRT's own operator rounds positions in half precision, and TensorRT-RTX has none.
        """
        return self.deform or ("gather" if self.target == "tensorrt" else "native")


@dataclass(frozen=True)
class ModelCard:
    """A network: what it is, what it may be used for, and what it wants to see."""

    name: str
    summary: str
    weights: Weights
    licence: str
    """SPDX identifier of the weights' licence; ``unknown`` where nobody says."""
    commercial: bool
    """Whether the licence allows commercial use."""
    origin: str
    training_data: str
    limits: str
    """What it is not good at, or not meant for."""
    short_side: int
    """The default length of the input's shorter side, in pixels."""
    short_side_range: tuple[int, int]
    """The least and the greatest shorter side that gives sensible mattes."""
    stride: int
    """Both sides of the input are multiples of this."""
    longest_side: int = 1024
    tallest: int = 1024
    """The height up to which the network keeps people whole, unless a size is asked for."""
    coarse: bool = False
    """Whether its mattes are hazy and beside the edges, so that snapping them to the picture's
    edges makes them better; the mattes of large networks get worse by it."""
    trained: Size | None = None
    """The one shape it was trained on, into which pictures are squashed (turned, if they are
    upright and it is not); ``None`` if pictures keep their aspect."""
    backbone: Backbone | None = None
    """Of a published BiRefNet; ``None`` where only the weights themselves say."""

    @property
    def quick_side(self) -> int | None:
        """The shorter side where speed counts for more; ``None`` for the default."""
        least, greatest = self.short_side_range
        return QUICK if least <= QUICK < min(self.short_side, greatest) else None

    def input_size(self, width: int, height: int, wish: int | Size | None = None) -> Size:
        """Return the input's ``(width, height)`` for a picture.

        Args:
            width: Of the picture as displayed.
            height: Of the picture as displayed.
            wish: The shorter side, or both sides exactly; ``None`` for the card's default.

        Raises:
            UsageError: if the wish is outside ``short_side_range``, or not a multiple of ``stride``
                where both sides are given.
        """
        if isinstance(wish, tuple):
            return self._exactly(wish)
        short = self.short_side if wish is None else wish
        self._check_short(short)
        if self.trained is not None:
            return self._squashed(width < height, short)
        scale = min(short / min(width, height), self.longest_side / max(width, height))
        if wish is None:
            scale = min(scale, self.tallest / height)
        return self._rounded(width * scale), self._rounded(height * scale)

    def _squashed(self, upright: bool, short: int) -> Size:
        assert self.trained is not None
        scale = short / min(self.trained)
        sides = sorted(self._rounded(side * scale) for side in self.trained)
        return (sides[0], sides[1]) if upright else (sides[1], sides[0])

    def _rounded(self, side: float) -> int:
        return max(self.stride, round(side / self.stride) * self.stride)

    def _exactly(self, size: Size) -> Size:
        self._check_short(min(size))
        if any(side % self.stride for side in size) or max(size) > self.longest_side:
            raise UsageError(
                f"--size for {self.name}: {size[1]}x{size[0]} will not do; both sides must be "
                f"multiples of {self.stride}, up to {self.longest_side}"
            )
        return size

    def _check_short(self, short: int) -> None:
        least, greatest = self.short_side_range
        if not least <= short <= greatest:
            raise UsageError(f"--size for {self.name} must be {least} to {greatest}, got {short}")


class Model(Protocol):
    """A network whose weights are at hand.

    Its graphs keep one contract, so that any runtime can serve them: input ``image``, uint8 R'G'B'
    ``[batch, height, width, 3]``; output ``alpha``, float32 ``[batch, 1, height, width]`` in 0..1;
    normalisation and sigmoid are part of the graph.
    """

    card: ModelCard

    @property
    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal digits."""

    @property
    def notes(self) -> list[str]:
        """What a report must say of the weights, such as that they are not the published ones."""

    def onnx(self, size: Size, graph: Graph) -> Path:
        """Return an ONNX file, made first if need be; big weights lie beside it.

        Raises:
            ModelError: if the weights are missing, changed or do not fit, or there is no such
                graph of this network.
            DependencyError: if a package that makes the file is missing.
        """

    def module(self, size: Size) -> Any:
        """Return a ``torch.nn.Module`` in float32 on the CPU, from image to alpha as above.

        Its ``half()`` keeps in float32 what half precision would harm.

        Raises:
            ModelError: as above, and if this network has no PyTorch form.
            DependencyError: if torch is missing.
        """
