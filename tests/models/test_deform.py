"""Modulated deformable convolution, against its definition spelt out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from streammatte.models.birefnet.deform import deform_conv2d, deform_conv2d_by_gather
from streammatte.models.birefnet.fused import _in_single_precision

FORMS = [deform_conv2d, deform_conv2d_by_gather]


def sample(plane: torch.Tensor, y: float, x: float) -> float:
    """Bilinear, and 0 outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                total += share * float(plane[row, column])
    return total


def by_definition(
    image: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    bias: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Equation 1 of the paper, a number at a time."""
    n, channels, height, width = image.shape
    outs, side = weight.shape[0], weight.shape[2]
    result = bias.double().reshape(1, -1, 1, 1).repeat(n, 1, height, width)
    for b in range(n):
        for row in range(height):
            for column in range(width):
                for tap in range(side * side):
                    dy, dx = (float(offset[b, 2 * tap + i, row, column]) for i in (0, 1))
                    y = row + tap // side - side // 2 + dy
                    x = column + tap % side - side // 2 + dx
                    for c in range(channels):
                        value = sample(image[b, c], y, x) * float(mask[b, tap, row, column])
                        for o in range(outs):
                            kernel = float(weight[o, c, tap // side, tap % side])
                            result[b, o, row, column] += kernel * value
    return result


def given(side: int, batch: int = 1, height: int = 4, width: int = 5) -> list[torch.Tensor]:
    """Random arguments; offsets reach far beyond the picture, and some just to its ends."""
    rng = torch.Generator().manual_seed(side)
    taps = side * side
    offset = 4 * torch.randn(batch, 2 * taps, height, width, generator=rng)
    rows = torch.arange(height)[:, None] - side // 2
    offset[:, 0] = -1.0 - rows  # the first tap looks at row -1 exactly
    offset[:, 1, :, 0] = 1e4
    if taps > 1:
        offset[:, 2] = height - rows  # and the second at row h
        offset[:, 4] = height - 1 - rows
        offset[:, 6] = -1e4
    return [
        torch.randn(batch, 2, height, width, generator=rng),
        torch.randn(3, 2, side, side, generator=rng),
        offset,
        torch.randn(3, generator=rng),
        2 * torch.rand(batch, taps, height, width, generator=rng),
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", [1, 3, 7])
def test_it_is_what_the_paper_defines(form: object, side: int) -> None:
    assert callable(form)
    found = form(*given(side))
    assert torch.allclose(found.double(), by_definition(*given(side)), atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_pictures_of_a_batch_do_not_mix(form: object) -> None:
    assert callable(form)
    found = form(*given(3, batch=3))
    assert torch.allclose(found.double(), by_definition(*given(3, batch=3)), atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_large_pictures_are_done_in_bands(form: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(form)
    whole = form(*given(3, height=9, width=11))
    monkeypatch.setattr("streammatte.models.birefnet.deform._BAND", 200)
    monkeypatch.setattr("streammatte.models.birefnet.deform._GATHERED", 500)
    assert torch.allclose(form(*given(3, height=9, width=11)), whole, atol=1e-6)


@pytest.mark.parametrize("form", [*FORMS, _in_single_precision])
def test_half_precision_keeps_its_place(form: object) -> None:
    """In a wide picture, positions in half precision would be an eighth of a pixel off."""
    assert callable(form)
    width = 300
    ramp = (torch.arange(width) % 2).float().expand(1, 1, 4, width)  # steep everywhere
    offset = torch.full((1, 2, 4, width), 0.0)
    offset[:, 1] = 0.3125  # exact in half precision, where 256.3125 is not
    arguments = [ramp, torch.ones(1, 1, 1, 1), offset, torch.zeros(1), torch.ones(1, 1, 4, width)]
    halves = [argument.half() for argument in arguments]
    found, truth = form(*halves).float(), form(*arguments)
    assert found.shape == truth.shape
    assert (found - truth).abs().max() < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_the_picture_is_left_alone(form: object) -> None:
    assert callable(form)
    arguments = given(3)
    form(*arguments)
    assert all(torch.equal(one, other) for one, other in zip(arguments, given(3), strict=True))


def test_the_operator_knows_its_result_without_computing() -> None:
    torch.library.opcheck(
        torch.ops.streammatte.deform_conv2d.default,
        tuple(given(3)),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_nothing_is_copied_from_the_cpu() -> None:
    """Which would make the CPU wait for a GPU, and cannot be captured as a CUDA graph."""
    called: set[str] = set()

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            del types
            called.add(func.__name__)
            return func(*args, **(kwargs or {}))

    with Watch():
        deform_conv2d_by_gather(*given(3, batch=2))
    assert "embedding" in called
    assert not called & {"new_tensor", "tensor", "as_tensor", "item", "tolist", "cpu", "nonzero"}
