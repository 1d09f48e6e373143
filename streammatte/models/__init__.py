"""Which networks there are. A new one is a card in a file here and a line in ``MODELS``."""

from __future__ import annotations

from streammatte.errors import ModelError
from streammatte.models.base import Graph, Model, ModelCard
from streammatte.models.weights import Embedded
from streammatte.registry import Entry, Registry

__all__ = ["MODELS", "Graph", "Model", "ModelCard", "load_card", "open_model"]

_BIREFNET = "streammatte.models.birefnet.cards"
MODELS = Registry(
    "model",
    {"selfie": Entry("streammatte.models.selfie:CARD", "embedded; people before a camera")},
    ModelError,
)


def load_card(name: str) -> ModelCard:
    """Return the card of a network.

    Raises:
        ModelError: if there is none of that name.
    """
    card: ModelCard = MODELS.load(name)
    return card


def open_model(name: str, *, commercial_only: bool = False) -> Model:
    """Return a network whose weights are at hand.

    Args:
        name: In ``MODELS``, or the path of a folder, a ``.safetensors`` or an ``.onnx`` file.
        commercial_only: Refuse what may not be used commercially.

    Raises:
        ModelError: if there is no such network, its weights are missing or changed, or it may not
            be used commercially.
    """
    from streammatte.models.onnx_file import OnnxFile

    card = load_card(name)
    if commercial_only and not card.commercial:
        raise ModelError(f"{card.name} is not free for commercial use ({card.licence})")
    assert isinstance(card.weights, Embedded)
    return OnnxFile(card, card.weights.path, card.weights.sha256)
