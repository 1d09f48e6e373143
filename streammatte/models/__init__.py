"""Which networks there are. A new one is a card in a file here and a line in ``MODELS``."""

from __future__ import annotations

from streammatte.errors import ModelError
from streammatte.models.base import ModelCard
from streammatte.registry import Entry, Registry

__all__ = ["MODELS", "ModelCard", "load_card"]

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
