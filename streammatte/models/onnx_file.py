"""Networks that are ONNX files already: the embedded one, and those that users bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streammatte.errors import ModelError
from streammatte.models.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.base import Graph, ModelCard, Size


class OnnxFile:
    """A network in an ONNX file; see ``models.base.Model``."""

    def __init__(self, card: ModelCard, path: Path, sha256: str = "") -> None:
        """Look at the file.

        Args:
            card: The facts.
            path: Where the file lies.
            sha256: What its digest must be; empty if it may be any.

        Raises:
            ModelError: if it is missing or changed.
        """
        if not path.exists():
            raise ModelError(
                f"the weights of {card.name} are missing ({path}); reinstall streammatte"
            )
        self.card = card
        self.digest = sha256_of(path)
        if sha256 and self.digest != sha256:
            raise ModelError(
                f"the weights of {card.name} were changed ({path}); reinstall streammatte"
            )
        self._path = path

    def onnx(self, size: Size, graph: Graph) -> Path:  # noqa: ARG002  one graph does for all
        """Return the file itself."""
        return self._path

    def module(self, size: Size) -> NoReturn:  # noqa: ARG002  the contract
        """There is no PyTorch form of it."""
        raise ModelError(f"{self.card.name} is an ONNX file, which PyTorch does not run")
