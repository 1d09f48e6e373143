"""Every network in the table has its facts in order, and keeps the contract of ``ModelCard``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import TensorProto

from streammatte.errors import ModelError, UsageError
from streammatte.models import MODELS, ModelCard, load_card

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=list(MODELS))
def card(request: pytest.FixtureRequest) -> ModelCard:
    return load_card(request.param)


def test_the_card_is_complete(card: ModelCard) -> None:
    assert card.name in MODELS
    assert MODELS.entry(card.name).summary
    for text in (card.summary, card.origin, card.training_data, card.limits):
        assert text
        assert "\n" not in text
    assert re.fullmatch(r"[A-Za-z0-9.+-]+", card.licence)
    assert isinstance(card.commercial, bool)
    least, greatest = card.short_side_range
    assert least <= card.short_side <= greatest <= card.longest_side
    assert all(side % card.stride == 0 for side in (least, card.short_side, greatest))


def test_the_weights_are_those_of_the_card(card: ModelCard, tmp_path: Path) -> None:
    content = card.verified_weights()
    assert content == card.weights.read_bytes()
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="were changed"):
        replace(card, weights=changed).verified_weights()
    with pytest.raises(ModelError, match="are missing"):
        replace(card, weights=tmp_path / "none.onnx").verified_weights()


def test_the_graph_keeps_the_contract(card: ModelCard) -> None:
    """``image`` uint8 [1, H, W, 3] in, ``alpha`` float32 [1, 1, H, W] out."""
    graph = onnx.load_from_string(card.verified_weights()).graph
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


@pytest.mark.parametrize(
    "picture", [(1920, 1080), (1080, 1920), (640, 480), (720, 720), (3840, 1600), (16, 2000)]
)
def test_every_picture_gets_an_input_size(card: ModelCard, picture: tuple[int, int]) -> None:
    for wish in (None, *card.short_side_range):
        size = card.input_size(*picture, wish)
        assert all(side % card.stride == 0 for side in size)
        assert card.stride <= min(size)
        assert max(size) <= card.longest_side


def test_a_size_out_of_range_is_refused(card: ModelCard) -> None:
    least, greatest = card.short_side_range
    for wish in (least - 1, greatest + 1, 0, -5):
        with pytest.raises(UsageError, match="--size"):
            card.input_size(640, 480, wish)
