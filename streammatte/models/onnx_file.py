"""Networks that are ONNX files already: the embedded one, and those that users bring.

A file that keeps the contract of ``models.base.Model`` (uint8 ``image`` [b, h, w, 3] in, float32
``alpha`` [b, 1, h, w] in 0..1 out) is used as it is; every file that ``streammatte models export``
writes is one. Around any other one what it lacks is put, which a TOML card of its name says:
beside ``modnet.onnx`` lies ``modnet.toml``::

    name = "modnet"            # all keys are optional but mean and std
    licence = "Apache-2.0"     # SPDX; "unknown" if left out
    commercial = true          # whether the licence allows it; false if left out
    size = 512                 # one side, or [height, width]; only where the graph takes any
    aspect = "keep"            # or "squash": force every picture into the shape of size
    stride = 32                # both sides must be multiples of this
    mean = [0.5, 0.5, 0.5]     # of R, G, B in 0..1: what the network gets is (rgb - mean) / std
    std = [0.5, 0.5, 0.5]
    input = "input"            # names, needed only where there are several
    output = "output"
    layout = "NCHW"            # or "NHWC"
    channels = "RGB"           # or "BGR"; mean and std stay in the order R, G, B
    activation = "none"        # "sigmoid" where the output is logits

For a network that takes 0..255, ``std`` is three times ``0.00392157`` (1/255). ``summary``,
``origin``, ``training_data`` and ``limits`` may be told, too. Instead of beside it, the same may be
in the file, as JSON in its metadata under ``streammatte.card``.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from streammatte.errors import ModelError
from streammatte.models import onnx_card
from streammatte.models.onnx_plan import bound_size, plan
from streammatte.models.onnx_reader import OnnxFacts, read_onnx
from streammatte.models.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.base import Graph, ModelCard, Precision, Size
    from streammatte.models.onnx_plan import Adaptation


class OnnxFile:
    """A network in an ONNX file; see ``models.base.Model``."""

    def __init__(
        self,
        card: ModelCard,
        path: Path,
        facts: OnnxFacts | None = None,
        adaptation: Adaptation | None = None,
    ) -> None:
        """Take the facts as they are; see ``embedded`` and ``brought``."""
        self.card = card
        self._path = path
        self._facts = facts or OnnxFacts()
        self._adaptation = adaptation

    @classmethod
    def embedded(cls, card: ModelCard, path: Path, sha256: str) -> OnnxFile:
        """Return the network in a file of the package, of which all is known.

        Raises:
            ModelError: if the file is missing, or its digest is another one.
        """
        if not path.exists():
            raise ModelError(
                f"the weights of {card.name} are missing ({path}); reinstall streammatte"
            )
        network = cls(card, path)
        if network.digest != sha256:
            raise ModelError(
                f"the weights of {card.name} were changed ({path}); reinstall streammatte"
            )
        return network

    @classmethod
    def brought(cls, path: Path) -> OnnxFile:
        """Return the network in a user's file.

        Raises:
            ModelError: if it is no ONNX file, its card makes no sense, or it cannot be used.
        """
        facts = read_onnx(path)
        said = onnx_card.read_table(path.with_suffix(".toml"))
        found = onnx_card.table_in(path, facts.metadata)
        adaptation = plan(path, facts, {**found, **said})
        image, layout = facts.inputs[0], adaptation.layout if adaptation else "NHWC"
        card = onnx_card.card_of(path, bound_size(path, image, layout), found, said)
        return cls(card, path, facts, adaptation)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file; where weights lie beside it, of the digests of all files."""
        digests = [sha256_of(file) for file in self.files]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def notes(self) -> list[str]:
        """Nothing: the file is what it is."""
        return []

    @property
    def precision(self) -> Precision:
        """What the file says, or what most of its weights are."""
        said = self._facts.metadata.get(onnx_card.PREFIX + "precision")
        if said:
            return "fp16" if said == "fp16" else "fp32"
        weights = self._facts.weights
        return "fp16" if weights.get("float16", 0) > weights.get("float32", 0) else "fp32"

    @property
    def batch(self) -> int | None:
        """How many images the graph takes at once; ``None`` for any number."""
        return self._facts.inputs[0].shape[0] if self._facts.inputs else 1

    @property
    def fits(self) -> bool:
        """Whether the file is used as it is."""
        return self._adaptation is None

    @property
    def files(self) -> list[Path]:
        """The file, and those beside it that hold its weights."""
        beside = sorted(self._facts.external)
        return [self._path, *(self._path.parent / name for name in beside)]

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return self._facts.metadata

    def onnx(self, size: Size, graph: Graph) -> Path:  # noqa: ARG002  it takes what the card says
        """Return the file itself, or one made from it that keeps the contract.

        Precision and target are what they are, whatever ``graph`` asks for.

        Raises:
            ModelError: if it takes another number of images at once, or cannot be adapted.
            DependencyError: if it must be adapted and the package onnx is missing.
            OutputError: if it must be adapted and the result cannot be written.
        """
        if self.batch not in (None, graph.batch):
            raise ModelError(
                f"{self.card.name}: the graph in {self._path} takes {self.batch} at once, "
                f"not {graph.batch}; export it with --batch {graph.batch}"
            )
        if self._adaptation is None:
            return self._path
        from streammatte.models.onnx_adapt import adapted

        card = json.dumps(onnx_card.table_of(self.card))
        return adapted(self._path, self.digest, self._adaptation, {onnx_card.CARD: card})

    def module(self, size: Size) -> NoReturn:  # noqa: ARG002  the contract
        """There is no PyTorch form of it."""
        raise ModelError(
            f"{self.card.name} is an ONNX file, which PyTorch does not run; "
            "use --runtime onnxruntime or openvino"
        )
