"""Every network in the table has its facts in order, and keeps the contract of ``ModelCard``."""

from __future__ import annotations

import re

import onnx
import pytest
from onnx import TensorProto

from streammatte.errors import UsageError
from streammatte.models import MODELS, Graph, ModelCard, load_card, open_model
from streammatte.models.onnx_card import card_of, table_of
from streammatte.models.weights import Embedded, Hub

PICTURES = [
    *[(1920, 1080), (1080, 1920), (3840, 2160), (2160, 3840), (640, 480), (480, 640)],
    *[(720, 720), (3840, 1600), (16, 2000), (2000, 16), (1, 1), (7680, 4320), (1023, 1025)],
]


@pytest.fixture(params=list(MODELS))
def card(request: pytest.FixtureRequest) -> ModelCard:
    return load_card(request.param)


def test_the_card_is_complete(card: ModelCard) -> None:
    assert card.name in MODELS
    assert MODELS.entry(card.name).summary
    for text in (card.name, card.summary, card.origin, card.training_data, card.limits):
        assert text.strip() == text != ""
        assert text.isprintable()
    assert re.fullmatch(r"[A-Za-z0-9.+-]+", card.licence)
    assert isinstance(card.commercial, bool)
    if re.search(r"NC|unknown", card.licence):
        assert not card.commercial
    least, greatest = card.short_side_range
    assert least <= card.short_side <= greatest <= card.longest_side
    assert all(side % card.stride == 0 for side in (least, card.short_side, greatest))
    if card.trained is not None:
        assert all(side % card.stride == 0 for side in card.trained)
        assert min(card.trained) == card.short_side
        assert max(card.trained) <= card.longest_side


def test_the_weights_have_a_place(card: ModelCard) -> None:
    weights = card.weights
    if isinstance(weights, Embedded):
        assert weights.path.is_file()
        assert re.fullmatch("[0-9a-f]{64}", weights.sha256)
    else:
        assert isinstance(weights, Hub)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", weights.repository)
        assert weights.repository in card.origin
        assert re.fullmatch("[0-9a-f]{64}|", weights.sha256)
        # A digest is that of one revision; of a branch, the next commit would break it.
        assert re.fullmatch("[0-9a-f]{40}", weights.revision) or not weights.sha256


def test_no_two_cards_have_the_same_weights() -> None:
    places = [load_card(name).weights for name in MODELS]
    assert len(set(places)) == len(places)
    digests = [weights.sha256 for weights in places if weights.sha256]
    assert len(set(digests)) == len(digests)


def test_what_is_in_the_package_opens() -> None:
    for name in MODELS:
        card = load_card(name)
        if isinstance(card.weights, Embedded):
            model = open_model(name, commercial_only=card.commercial)
            assert model.card is card
            assert model.digest == card.weights.sha256
            assert model.onnx(card.input_size(1920, 1080), Graph()).is_file()


def test_embedded_graphs_keep_the_contract() -> None:
    """``image`` uint8 [1, H, W, 3] in, ``alpha`` float32 [1, 1, H, W] out."""
    for name in MODELS:
        card = load_card(name)
        if not isinstance(card.weights, Embedded):
            continue
        graph = onnx.load(open_model(name).onnx(card.input_size(1920, 1080), Graph())).graph
        (image,), (alpha,) = graph.input, graph.output
        assert (image.name, alpha.name) == ("image", "alpha")
        assert image.type.tensor_type.elem_type == TensorProto.UINT8
        assert alpha.type.tensor_type.elem_type == TensorProto.FLOAT
        seen, made = (
            [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in (image, alpha)
        )
        assert (seen[0], seen[3]) == (1, 3)
        assert made[:2] == [1, 1]
        assert len(seen) == len(made) == 4


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_every_picture_gets_an_input_size(card: ModelCard, picture: tuple[int, int]) -> None:
    least, greatest = card.short_side_range
    for wish in (None, least, card.short_side, (least + greatest) // 2, greatest):
        size = card.input_size(*picture, wish)
        assert all(side % card.stride == 0 for side in size)
        assert card.stride <= min(size)
        assert max(size) <= card.longest_side


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_the_shape_is_the_cards_policy(card: ModelCard, picture: tuple[int, int]) -> None:
    width, height = card.input_size(*picture)
    if card.trained is None:
        squeezed = max(width, height) == card.longest_side or card.stride in (width, height)
        if not squeezed and height < card.tallest:
            assert abs(width / height * picture[1] / picture[0] - 1) < card.stride / 100
        return
    upright = picture[0] < picture[1]
    assert sorted((width, height)) == sorted(card.trained)
    assert card.trained[0] == card.trained[1] or (width < height) == upright


def test_both_sides_may_be_given(card: ModelCard) -> None:
    least, greatest = card.short_side_range
    for size in ((least, least), (greatest, least), (least, greatest), (greatest, greatest)):
        for picture in PICTURES:
            assert card.input_size(*picture, size) == size
    for size in ((least + 1, least), (least, card.longest_side + card.stride), (0, 0)):
        with pytest.raises(UsageError, match="--size"):
            card.input_size(640, 480, size)


def test_a_size_out_of_range_is_refused(card: ModelCard) -> None:
    least, greatest = card.short_side_range
    for wish in (least - 1, greatest + 1, 0, -5):
        with pytest.raises(UsageError, match="--size"):
            card.input_size(640, 480, wish)


def test_an_export_remembers_its_card(card: ModelCard) -> None:
    """What goes into a file's metadata gives the same facts when it is read back."""
    from pathlib import Path

    size = card.input_size(1920, 1080)
    read = card_of(Path("net.onnx"), size, table_of(card), {})
    for field in ("name", "summary", "licence", "commercial", "origin", "training_data", "limits"):
        assert getattr(read, field) == getattr(card, field)
    assert read.input_size(1080, 1920) == size
