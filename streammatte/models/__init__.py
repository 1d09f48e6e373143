"""Which networks there are. A new one is a card in a file here and a line in ``MODELS``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streammatte.errors import ModelError
from streammatte.models.base import Graph, Model, ModelCard
from streammatte.models.find import Found, find, known_cards, recognised
from streammatte.models.onnx_card import UNKNOWN
from streammatte.models.weights import Embedded, Local
from streammatte.registry import Entry, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MODELS", "Graph", "Model", "ModelCard", "load_card", "open_model"]

_BIREFNET = "streammatte.models.birefnet.cards"
MODELS = Registry(
    "model",
    {
        "selfie": Entry("streammatte.models.selfie:CARD", "embedded; people before a camera"),
        "birefnet": Entry(f"{_BIREFNET}:GENERAL", "general use", "export"),
        "birefnet-lite": Entry(f"{_BIREFNET}:LITE", "general use, small", "export"),
        "birefnet-matting": Entry(f"{_BIREFNET}:MATTING", "soft edges", "export"),
        "birefnet-lite-matting": Entry(f"{_BIREFNET}:LITE_MATTING", "soft edges, small", "export"),
        "birefnet-portrait": Entry(f"{_BIREFNET}:PORTRAIT", "people", "export"),
        "birefnet-hr": Entry(f"{_BIREFNET}:HR", "general use, 2048x2048", "export"),
        "birefnet-hr-matting": Entry(f"{_BIREFNET}:HR_MATTING", "soft edges, 2048x2048", "export"),
        "birefnet-dynamic": Entry(f"{_BIREFNET}:DYNAMIC", "general use, any shape", "export"),
        "birefnet-dynamic-matting": Entry(
            f"{_BIREFNET}:DYNAMIC_MATTING", "soft edges, any shape", "export"
        ),
        "birefnet-512": Entry(f"{_BIREFNET}:SMALL", "general use, 512x512", "export"),
        "birefnet-lite-2k": Entry(f"{_BIREFNET}:LITE_2K", "general use, 1440x2560", "export"),
        "birefnet-legacy": Entry(f"{_BIREFNET}:LEGACY", "general use, before people", "export"),
        "birefnet-dis": Entry(f"{_BIREFNET}:DIS", "the paper's, for DIS5K", "export"),
        "birefnet-hrsod": Entry(f"{_BIREFNET}:HRSOD", "the paper's, salient objects", "export"),
        "birefnet-cod": Entry(f"{_BIREFNET}:COD", "the paper's, camouflaged objects", "export"),
        "rmbg-2.0": Entry(f"{_BIREFNET}:RMBG", "not for commercial use", "export"),
    },
    ModelError,
)


def load_card(name: str) -> ModelCard:
    """Return the card of a network: of ``MODELS``, a path, or an id of the hub.

    Raises:
        ModelError: if there is none of that name.
    """
    return find(MODELS, name).card


def open_model(
    name: str,
    *,
    commercial_only: bool = False,
    weights: str | None = None,
    revision: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Model:
    """Return a network whose weights are at hand.

    Args:
        name: In ``MODELS``; or the path of a folder in the hub's layout, of a ``.safetensors`` or
            an ``.onnx`` file; or an id of the hub such as ``ZhengPeng7/BiRefNet``.
        commercial_only: Refuse what may not be used commercially, or nobody says that it may.
        weights: Instead of the network's own: such a path, or ``random`` or ``random:SEED``.
        revision: Of the hub's repository, instead of the one that is known to be right.
        tell: Told each step of what is done once and kept, such as an export.

    Raises:
        ModelError: if there is no such network, its weights are missing or changed, or it may not
            be used commercially.
    """
    found = find(MODELS, name, weights=weights, revision=revision)
    if commercial_only:
        found = replace(found, card=_commercial(found.card))
    return _open(found, tell)


def _commercial(card: ModelCard) -> ModelCard:
    """Return a card that may be used commercially, or refuse it."""
    if not card.commercial or card.licence == UNKNOWN:
        card = recognised(MODELS, card)
    if card.commercial and card.licence != UNKNOWN:
        return card
    free = ", ".join(known.name for known in known_cards(MODELS) if known.commercial)
    if card.licence == UNKNOWN:
        raise ModelError(
            f"the licence of {card.origin} is not known; free for commerce are: {free}"
        )
    raise ModelError(f"{card.name} is not for commercial use ({card.licence}); these are: {free}")


def _open(found: Found, tell: Callable[[str], None]) -> Model:
    from streammatte.models.onnx_file import OnnxFile

    weights = found.weights
    if isinstance(weights, Embedded):
        return OnnxFile.embedded(found.card, weights.path, weights.sha256)
    if isinstance(weights, Local) and weights.path.suffix.lower() == ".onnx":
        return OnnxFile.brought(weights.path)
    from streammatte.models.birefnet.model import BiRefNetModel, Random

    chosen = weights if found.seed is None else Random(found.seed)
    return BiRefNetModel(found.card, chosen, tell)
