"""BiRefNet as a ``models.base.Model``: its checkpoint loaded, its graphs exported and kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from streammatte.errors import DependencyError, UsageError
from streammatte.models.birefnet import kept
from streammatte.models.onnx_card import CARD, PREFIX, table_of
from streammatte.models.weights import Hub, Local, at_hand, check, is_another, locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from streammatte.models.base import Graph, ModelCard, Size
    from streammatte.models.birefnet.export import Exported
    from streammatte.models.birefnet.network import BiRefNet
    from streammatte.models.birefnet.swin import Backbone


@dataclass(frozen=True)
class Random:
    """Weights that mean nothing, the same everywhere: for speed tests, benchmarks and CI."""

    seed: int = 0


class BiRefNetModel:
    """See ``models.base.Model``."""

    def __init__(
        self,
        card: ModelCard,
        weights: Hub | Local | Random,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take note of it; nothing is read yet.

        Args:
            card: The facts.
            weights: Where they are.
            tell: Told each step of what must be done first, and is then kept.
        """
        self.card = card
        self._weights = weights
        self._tell = tell

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights' file; of the recipe, if they are random."""
        if isinstance(self._weights, Random):
            recipe = f"random {self._backbone} {self._weights.seed}"
            return hashlib.sha256(recipe.encode()).hexdigest()
        return check(self._weights, self.card.name, self._file)

    @cached_property
    def _file(self) -> Path:
        assert not isinstance(self._weights, Random)
        return locate(self._weights, self.card.name, self._tell_of_download)

    @property
    def notes(self) -> list[str]:
        """What a report must say of the weights."""
        if isinstance(self._weights, Random):
            return ["the network's weights are random: its mattes mean nothing"]
        if isinstance(self._weights, Hub) and (other := is_another(self._weights, self._file)):
            wanted = self._weights.revision[:12]
            return [f"the weights of {self.card.name} are of revision {other[:12]}, not {wanted}"]
        return []

    def _tell_of_download(self, done: int, total: int | None) -> None:
        of = f" of {total >> 20}" if total else ""
        self._tell(f"downloading {self.card.name}, once: {done >> 20}{of} MiB")

    @property
    def revision(self) -> str:
        """Which version of the weights this is, in words."""
        if isinstance(self._weights, Random):
            return f"random:{self._weights.seed}"
        if isinstance(self._weights, Local):
            return "local"
        path = at_hand(self._weights)
        return (path and is_another(self._weights, path)) or self._weights.revision

    def onnx(self, size: Size, graph: Graph) -> Path:
        """Return an ONNX file from the cache, exported first if it is not there, or not whole."""
        key = self._key(size, graph)
        folder, words = kept.place(key), f"exporting {self.card.name} at {size[1]}x{size[0]}, once"

        def make(path: Path) -> list[Path]:
            return self.export(size, graph, path, lambda step: self._tell(f"{words}: {step}")).files

        if not kept.is_whole(folder):
            folder = kept.made_once(
                key, self.digest, make, lambda wait: self._tell(f"{wait}: {words}")
            )
        return folder / kept.GRAPH

    def export(
        self,
        size: Size,
        graph: Graph,
        path: Path,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Exported:
        """Write an ONNX file; see ``export.export``."""
        if any(side % self.card.stride for side in size):
            raise UsageError(f"both sides must be multiples of {self.card.stride}, got {size}")
        try:
            from streammatte.models.birefnet.export import export
        except ImportError as error:
            raise _missing(self.card.name, error) from error
        tell("loading the weights")
        return export(self.network(), size, graph, path, self._metadata(size, graph), tell)

    def module(self, size: Size) -> nn.Module:
        """Return the fused network."""
        try:
            from streammatte.models.birefnet.fused import FusedBiRefNet
        except ImportError as error:
            raise _missing(self.card.name, error) from error
        return FusedBiRefNet(self.network(), size)

    def network(self) -> BiRefNet:
        """Return the readable form with its weights, in float32 on the CPU.

        Raises:
            ModelError: if the weights are missing, changed or do not fit.
            DependencyError: if torch or transformers is missing.
        """
        try:
            from streammatte.models.birefnet.checkpoint import load
            from streammatte.models.birefnet.network import random_network
        except ImportError as error:
            raise _missing(self.card.name, error) from error
        if isinstance(self._weights, Random):
            return random_network(self._backbone, self._weights.seed)
        _ = self.digest  # of the very file that is loaded
        return load(Local(self._file), self.card.name)

    @property
    def _backbone(self) -> Backbone:
        """Of random weights: that of the published ones."""
        assert self.card.backbone is not None, "random weights of a network of which none is known"
        return self.card.backbone

    def _key(self, size: Size, graph: Graph) -> str:
        """Return what an export in the cache is called: alike for what is alike."""
        from streammatte.models.birefnet import EXPORT_VERSION

        what = [EXPORT_VERSION, self.digest, size, graph.form, graph.precision, graph.batch]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]
        words = (self.card.name, f"{size[1]}x{size[0]}", graph.form, graph.precision, key)
        return "-".join(words).replace("/", "_")

    def _metadata(self, size: Size, graph: Graph) -> dict[str, str]:
        import streammatte
        from streammatte.models.birefnet import EXPORT_VERSION

        facts = {
            "model": self.card.name,
            "revision": self.revision,
            "digest": self.digest,
            "licence": self.card.licence,
            "size": f"{size[1]}x{size[0]}",
            "batch": str(graph.batch),
            "precision": graph.precision,
            "target": graph.target,
            "deform": graph.form,
            "exporter": f"streammatte {streammatte.__version__}, format {EXPORT_VERSION}",
        }
        named = {PREFIX + key: value for key, value in facts.items()}
        return {**named, CARD: json.dumps(table_of(self.card))}


def _missing(name: str, error: ImportError) -> Exception:
    if error.name and error.name.startswith("streammatte"):
        return error
    return DependencyError(f'{name} needs {error.name or error}: pip install "streammatte[export]"')
