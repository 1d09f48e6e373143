"""What is known of a network before it runs: facts, no code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streammatte.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ModelCard:
    """A network: what it is, what it may be used for, and what it wants to see.

    Every network keeps one contract, so that any runtime can serve it: input ``image``, uint8
    R'G'B' ``[1, height, width, 3]``; output ``alpha``, float32 ``[1, 1, height, width]`` in 0..1;
    normalisation and sigmoid are part of the graph.
    """

    name: str
    summary: str
    weights: Path
    """The ONNX file."""
    sha256: str
    """Of the ONNX file."""
    licence: str
    """SPDX identifier of the weights' licence."""
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

    def input_size(self, width: int, height: int, short_side: int | None = None) -> tuple[int, int]:
        """Return the input's ``(width, height)`` for a picture, keeping its aspect.

        Args:
            width: Of the picture as displayed.
            height: Of the picture as displayed.
            short_side: The wish; ``None`` for the card's default.

        Raises:
            UsageError: if the wish is outside ``short_side_range``.
        """
        wish = self.short_side if short_side is None else short_side
        least, greatest = self.short_side_range
        if not least <= wish <= greatest:
            raise UsageError(f"--size for {self.name} must be {least} to {greatest}, got {wish}")
        scale = min(wish / min(width, height), self.longest_side / max(width, height))
        if short_side is None:
            scale = min(scale, self.tallest / height)
        sides = (
            max(self.stride, round(side * scale / self.stride) * self.stride)
            for side in (width, height)
        )
        return next(sides), next(sides)

    def verified_weights(self) -> bytes:
        """Return the ONNX file's bytes.

        Raises:
            ModelError: if the file is missing or not the one that this card describes.
        """
        try:
            content = self.weights.read_bytes()
        except OSError as error:
            raise ModelError(
                f"the weights of {self.name} are missing ({self.weights}); reinstall streammatte"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ModelError(
                f"the weights of {self.name} were changed ({self.weights}); reinstall streammatte"
            )
        return content
