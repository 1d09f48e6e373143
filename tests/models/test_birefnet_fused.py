"""The fused form is the readable one, whatever the size, and in half precision nearly so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from birefnet import TOLERANCE, logits, network, off_golden, picture
from torch import nn

from streammatte.errors import ModelError
from streammatte.models.birefnet import fused as fused_module
from streammatte.models.birefnet.fused import FusedBiRefNet
from streammatte.models.birefnet.network import random_network
from streammatte.models.birefnet.precision import check_range

if TYPE_CHECKING:
    from streammatte.models.birefnet.fused import Form
    from streammatte.models.birefnet.swin import Backbone

SMALL = torch.from_numpy(picture(64, 96))[None]


@pytest.mark.parametrize("backbone", ["swin_t", "swin_l"])
def test_its_logits_are_the_official_ones(backbone: Backbone) -> None:
    assert off_golden(FusedBiRefNet(network(backbone), (256, 256)), backbone) < TOLERANCE[backbone]


@pytest.mark.parametrize("form", ["operator", "native", "gather"])
@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (32, 224), (224, 96), (160, 160), (448, 224)]
)
def test_it_is_the_readable_form(form: Form, height: int, width: int) -> None:
    """For sizes that fill windows up and sizes that do not, flat, upright, and the least."""
    one = FusedBiRefNet(network("swin_t"), (width, height), form)
    image = picture(height, width, seed=3)
    assert np.abs(logits(one, image) - logits(network("swin_t"), image)).max() < 6e-5


@pytest.mark.parametrize(("height", "width"), [(96, 64), (192, 192)])
def test_so_it_is_with_the_large_backbone(height: int, width: int) -> None:
    one = FusedBiRefNet(network("swin_l", 5), (width, height))
    image = picture(height, width)
    assert np.abs(logits(one, image) - logits(network("swin_l", 5), image)).max() < 1e-4


def test_the_outermost_pixels_too() -> None:
    """Where two convolutions are one, the picture's end is between them."""
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    whole = one.decoder.reference1
    image = torch.randn(1, 3, 64, 96, generator=torch.manual_seed(0))
    with torch.no_grad():
        found, truth = whole(image), whole.second(whole.first(image))
        naive = whole.whole(image)
    assert torch.allclose(found, truth, atol=1e-5)
    assert not torch.allclose(naive[..., 0], truth[..., 0], atol=1e-2)


def test_it_keeps_the_contract() -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    with torch.no_grad():
        alpha = one(SMALL)
    assert (alpha.dtype, tuple(alpha.shape)) == (torch.float32, (1, 1, 64, 96))
    truth = torch.sigmoid(torch.from_numpy(logits(network("swin_t"), picture(64, 96))))
    assert torch.allclose(alpha[0, 0], truth, atol=2e-5)


@pytest.mark.parametrize("form", ["operator", "gather"])
def test_batches(form: Form) -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64), form)
    images = torch.from_numpy(np.stack([picture(64, 96, seed) for seed in range(3)]))
    with torch.no_grad():
        together, alone = one(images), [one(image[None]) for image in images]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="multiples of 32"):
        FusedBiRefNet(network("swin_t"), (100, 64))


def test_it_has_no_norms_to_fold_left() -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in one.modules())


@pytest.mark.parametrize("form", ["operator", "native", "gather"])
def test_half_precision(form: Form) -> None:
    """With every result really stored in half precision."""
    half = FusedBiRefNet(random_network("swin_t"), (96, 64), form).half()
    assert all(
        tensor.dtype == torch.float16 for tensor in half.parameters() if tensor.is_floating_point()
    )
    with torch.no_grad():
        found = half(SMALL)
        truth = FusedBiRefNet(network("swin_t"), (96, 64))(SMALL)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert (found - truth).abs().max() < 1e-2
    assert (found - truth).abs().mean() < 1e-3


def test_no_constant_is_too_much_for_half_precision() -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    for name, tensor in one.named_buffers():
        if tensor.is_floating_point():
            assert float(tensor.abs().max()) < 6e4, name


def test_positions_in_half_precision_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """What engines do that sample in the precision of the rest."""
    from streammatte.models.birefnet import deform

    positions = deform._positions
    one = FusedBiRefNet(network("swin_t"), (512, 64), "gather")
    image = torch.from_numpy(picture(64, 512))[None]
    with torch.no_grad():
        truth = one(image)
        monkeypatch.setattr(deform, "_positions", lambda offset: positions(offset).half().float())
        rounded = one(image)
    assert (rounded - truth).abs().max() > 1e-3


# --- What half precision can hold -----------------------------------------------------------------


def test_the_greatest_magnitude() -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    assert check_range(one, [SMALL]) == SMALL.max() == 250  # before it is normalised


def louder(factor: float) -> FusedBiRefNet:
    """A network one of whose layers says the same, but louder."""
    noisy = random_network("swin_t")
    noisy.decoder.lateral_block4.conv.weight.data *= factor
    return FusedBiRefNet(noisy, (96, 64))


def test_too_much_is_refused() -> None:
    assert 1e3 < check_range(louder(1e3), [SMALL]) < 6e4
    with pytest.raises(ModelError, match=r"half precision cannot hold .* use fp32"):
        check_range(louder(1e5), [SMALL])


def test_single_precision_does_not_notice_but_half_does() -> None:
    """Why running an fp16 graph on a CPU proves nothing."""
    with torch.no_grad():
        assert louder(1e5)(SMALL).isfinite().all()
        assert not louder(1e5).half().logits(torch.zeros(1, 3, 64, 96).half()).isfinite().all()


@pytest.mark.parametrize("value", [-7e4, 7e4])
def test_the_greatest_magnitude_may_be_negative(value: float) -> None:
    with pytest.raises(ModelError, match="half precision cannot hold"):
        check_range(torch.nn.Hardtanh(-1e5, 1e5), [torch.full((4,), value)])


@pytest.mark.parametrize("value", [7e4, float("inf"), float("nan")])
def test_weights_that_do_not_fit_are_named(value: float) -> None:
    noisy = FusedBiRefNet(random_network("swin_t"), (96, 64))
    noisy.squeeze.conv_in.bias.data[3] = value
    with pytest.raises(ModelError, match=r"squeeze\.conv_in\.bias"):
        check_range(noisy, [SMALL])


def test_not_a_number_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    one = FusedBiRefNet(network("swin_t"), (96, 64))
    monkeypatch.setattr(fused_module.functional, "relu", lambda x: x * float("nan"))
    with pytest.raises(ModelError, match="use fp32"):
        check_range(one, [SMALL])
