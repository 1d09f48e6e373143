"""The cards of the public BiRefNet checkpoints."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from streammatte.errors import UsageError
from streammatte.models import MODELS, load_card
from streammatte.models.base import ModelCard
from streammatte.models.birefnet import cards
from streammatte.models.birefnet.model import BiRefNetModel, Random
from streammatte.models.weights import Hub

CARDS = {card.name: card for card in vars(cards).values() if isinstance(card, ModelCard)}
# What the authors call them, and what they were trained on (height and width are the same but
# for 2K); None keeps the picture's shape.
PUBLIC = {
    "birefnet": ("BiRefNet", (1024, 1024)),
    "birefnet-lite": ("BiRefNet_lite", (1024, 1024)),
    "birefnet-matting": ("BiRefNet-matting", (1024, 1024)),
    "birefnet-lite-matting": ("BiRefNet_lite-matting", (1024, 1024)),
    "birefnet-portrait": ("BiRefNet-portrait", (1024, 1024)),
    "birefnet-hr": ("BiRefNet_HR", (2048, 2048)),
    "birefnet-hr-matting": ("BiRefNet_HR-matting", (2048, 2048)),
    "birefnet-dynamic": ("BiRefNet_dynamic", None),
    "birefnet-dynamic-matting": ("BiRefNet_dynamic-matting", None),
    "birefnet-512": ("BiRefNet_512x512", (512, 512)),
    "birefnet-lite-2k": ("BiRefNet_lite-2K", (2560, 1440)),
    "birefnet-legacy": ("BiRefNet-legacy", (1024, 1024)),
    "birefnet-dis": ("BiRefNet-DIS5K", (1024, 1024)),
    "birefnet-hrsod": ("BiRefNet-HRSOD", (1024, 1024)),
    "birefnet-cod": ("BiRefNet-COD", (1024, 1024)),
}


@pytest.fixture(params=list(CARDS.values()), ids=list(CARDS))
def card(request: pytest.FixtureRequest) -> ModelCard:
    found: ModelCard = request.param
    return found


def test_every_card_is_in_the_table(card: ModelCard) -> None:
    assert card.name in MODELS
    assert load_card(card.name) is card


@pytest.mark.parametrize("name", list(PUBLIC))
def test_the_repositories_and_shapes_are_those_of_the_authors(name: str) -> None:
    repository, trained = PUBLIC[name]
    weights = CARDS[name].weights
    assert isinstance(weights, Hub)
    assert weights.repository == f"ZhengPeng7/{repository}"
    assert CARDS[name].trained == trained
    assert (CARDS[name].licence, CARDS[name].commercial) == ("MIT", True)


def test_a_digest_is_only_said_of_a_commit(card: ModelCard) -> None:
    weights = card.weights
    assert isinstance(weights, Hub)
    assert re.fullmatch("[0-9a-f]{40}|main", weights.revision)
    assert re.fullmatch("[0-9a-f]{64}|", weights.sha256)
    if weights.sha256:
        assert weights.revision != "main"


def test_no_two_cards_have_the_same_weights() -> None:
    seen = [card.weights for card in CARDS.values()]
    digests = [weights.sha256 for weights in seen if isinstance(weights, Hub) and weights.sha256]
    assert len(set(seen)) == len(seen)
    assert len(set(digests)) == len(digests)


def test_random_weights_have_the_backbone_of_the_card(card: ModelCard) -> None:
    """Whatever its name is."""
    small = {"birefnet-lite", "birefnet-lite-matting", "birefnet-lite-2k"}
    assert card.backbone == ("swin_t" if card.name in small else "swin_l")
    renamed = BiRefNetModel(replace(card, name="elite"), Random())
    assert renamed.digest == BiRefNetModel(card, Random()).digest


def test_the_terms_of_the_data_are_told() -> None:
    """The weights are MIT, but some of the pictures they were made from are not."""
    for name in ("birefnet", "birefnet-lite", "birefnet-matting", "birefnet-dis"):
        assert "narrower terms" in CARDS[name].training_data


def test_one_is_not_for_commercial_use() -> None:
    (card,) = (card for card in CARDS.values() if not card.commercial)
    assert (card.name, card.licence) == ("rmbg-2.0", "CC-BY-NC-4.0")


@pytest.mark.parametrize(
    ("name", "picture", "size"),
    [
        ("birefnet-lite", (1920, 1080), (1024, 1024)),
        ("birefnet-lite", (1080, 1920), (1024, 1024)),
        ("birefnet-hr", (1920, 1080), (2048, 2048)),
        ("birefnet-512", (640, 480), (512, 512)),
        ("birefnet-lite-2k", (3840, 2160), (2560, 1440)),
        ("birefnet-lite-2k", (2160, 3840), (1440, 2560)),
        ("birefnet-dynamic", (1024, 1024), (1024, 1024)),
        ("birefnet-dynamic", (1920, 1080), (1824, 1024)),
        ("birefnet-dynamic", (1080, 1920), (1024, 1824)),
        ("birefnet-dynamic", (4000, 1000), (2304, 576)),
    ],
)
def test_the_size_of_the_input(name: str, picture: tuple[int, int], size: tuple[int, int]) -> None:
    assert CARDS[name].input_size(*picture) == size


def test_a_wish_moves_within_the_range(card: ModelCard) -> None:
    least, greatest = card.short_side_range
    for wish in (least, greatest):
        assert min(card.input_size(1000, 1000, wish)) == wish
    for wish in (least - 32, greatest + 32):
        with pytest.raises(UsageError, match=card.name):
            card.input_size(1000, 1000, wish)


def test_the_cards_import_nothing_heavy() -> None:
    code = (
        "import sys, streammatte.models.birefnet.cards, streammatte.models.weights;"
        "print([n for n in ('torch', 'transformers', 'huggingface_hub') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
