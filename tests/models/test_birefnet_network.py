"""Our BiRefNet is the official one: its keys, its numbers, and no mistake passes unnoticed."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from birefnet import GOLDEN, TOLERANCE, logits, network, off_golden, picture, shared
from torch import nn
from torch.nn import functional

from streammatte.errors import UsageError
from streammatte.models.birefnet import aspp, decoder, deform, swin
from streammatte.models.birefnet.network import BiRefNet, random_network
from streammatte.models.birefnet.random_weights import random_state

if TYPE_CHECKING:
    from torch import Tensor

    from streammatte.models.birefnet.swin import Backbone

BACKBONES: list[Backbone] = ["swin_t", "swin_l"]
RECIPE = {
    "swin_t": "619baf014e9bae7c1661fbda1e91a79b",
    "swin_l": "38e5dbaabb980537c10c2377808bc918",
}
PICTURES = {
    (256, 256): "523d691edad560941fdf2660e348f1ab",
    (320, 576): "d8f8e0a6a6700b803c875fa2924bfc97",
    (512, 512): "ec08e9853a9df02528ed4d8472933ebc",
}


def described(backbone: Backbone) -> str:
    """A line for each key: shape, dtype, and whether it is a parameter or a buffer."""
    with torch.device("meta"):
        module = BiRefNet(backbone)
    parameters = dict(module.named_parameters())
    return "".join(
        f"{key} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} "
        f"{'param' if key in parameters else 'buffer'}\n"
        for key, tensor in sorted(module.state_dict().items())
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_its_keys_are_those_of_the_public_checkpoints(backbone: Backbone) -> None:
    lines = described(backbone)
    assert lines.count("\n") == GOLDEN[backbone]["keys"]
    assert hashlib.sha256(lines.encode()).hexdigest() == GOLDEN[backbone]["keys_sha256"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_its_keys_are_those_of_the_manifest(backbone: Backbone) -> None:
    """The same against the list itself, which says what is wrong."""
    manifest = json.loads(shared(f"keys_{backbone}.json").read_text())
    assert described(backbone).splitlines() == sorted(
        f"{entry['key']} {tuple(entry['shape'])} {entry['dtype']} {entry['kind']}"
        for entry in manifest["keys"]
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_random_weights_are_those_of_the_recipe(backbone: Backbone) -> None:
    with torch.device("meta"):
        state = BiRefNet(backbone).state_dict()
    values = random_state((key, tuple(tensor.shape)) for key, tensor in state.items())
    digest = hashlib.sha256()
    for key in sorted(values):
        digest.update(key.encode() + values[key].tobytes())
    assert digest.hexdigest()[:32] == RECIPE[backbone]


@pytest.mark.parametrize("size", PICTURES)
def test_the_picture_is_that_of_the_recipe(size: tuple[int, int]) -> None:
    assert hashlib.sha256(picture(*size).tobytes()).hexdigest()[:32] == PICTURES[size]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_its_logits_are_the_official_ones(backbone: Backbone) -> None:
    found = logits(network(backbone), picture(256, 256))
    assert off_golden(network(backbone), backbone) < TOLERANCE[backbone]
    assert found.mean() == pytest.approx(GOLDEN[backbone]["mean"], abs=1e-5)
    assert found.std() == pytest.approx(GOLDEN[backbone]["std"], abs=1e-5)


@pytest.mark.parametrize(
    ("backbone", "height", "width"),
    [
        ("swin_t", 256, 256),
        ("swin_t", 320, 576),
        ("swin_t", 1024, 1024),
        ("swin_l", 256, 256),
        ("swin_l", 512, 512),
    ],
)
def test_its_logits_are_the_official_ones_everywhere(
    backbone: Backbone, height: int, width: int
) -> None:
    golden = np.load(shared("golden_seed0", f"{backbone}_{height}x{width}.npz"))
    found = logits(network(backbone), picture(height, width))
    step = int(golden["stride"])
    assert np.abs(found[::step, ::step] - golden["logits"]).max() < TOLERANCE[backbone]


def test_its_logits_are_the_official_ones_of_a_wide_picture() -> None:
    """Where height and width cannot be taken for each other."""
    found = logits(network("swin_t"), picture(320, 576))[::32, ::32]
    assert np.abs(found - np.array(GOLDEN["wide"]["logits"])).max() < TOLERANCE["swin_t"]


def test_another_seed_is_another_network() -> None:
    assert off_golden(network("swin_t", 1), "swin_t") > 0.5


def test_norms_have_the_epsilons_they_were_trained_with() -> None:
    """Which hardly show in random networks: 8e-5 of a logit for 1e-6 instead of 1e-5."""
    norms = [m for m in network("swin_t").modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d)]
    assert len(norms) == 32 + 43
    assert {norm.eps for norm in norms} == {1e-5}


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="100 x 256 will not do: multiples of 32"):
        network("swin_t")(torch.zeros(1, 3, 256, 100))
    with pytest.raises(UsageError, match="256 x 100 will not do"):
        network("swin_t")(torch.zeros(1, 3, 100, 256))


def test_batches() -> None:
    both = torch.randn(2, 3, 96, 64, generator=torch.manual_seed(0))
    with torch.no_grad():
        found = network("swin_t")(both)
        alone = [network("swin_t")(one[None]) for one in both]
    assert torch.allclose(found, torch.cat(alone), atol=2e-5)


# --- Mistakes: each is made on purpose, and must show ---------------------------------------------


def column_by_column(windows: Tensor, side: int) -> Tensor:
    """Windows column by column."""
    n, height, width, channels = windows.shape
    grid = windows.reshape(n, height // side, side, width // side, side, channels)
    return grid.permute(0, 1, 3, 4, 2, 5).reshape(-1, side * side, channels)


def unshuffled(image: Tensor, height: int, width: int) -> Tensor:
    """Every n-th pixel instead of tiles."""
    return functional.pixel_unshuffle(image, image.shape[2] // height)


def tiles_first(image: Tensor, height: int, width: int) -> Tensor:
    """Tiles before colours."""
    n, c, h, w = image.shape
    grid = image.reshape(n, c, h // height, height, w // width, width)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, height, width)


def x_before_y(offset: Tensor) -> Tensor:
    n, double, h, w = offset.shape
    return POSITIONS(offset.reshape(n, -1, 2, h, w).flip(2).reshape(n, double, h, w))


def offsets_apart(offset: Tensor) -> Tensor:
    """All rows, then all columns."""
    n, double, h, w = offset.shape
    pairs = offset.reshape(n, 2, double // 2, h, w).transpose(1, 2)
    return POSITIONS(pairs.reshape(n, double, h, w))


def border_of_edges(image: Tensor) -> Tensor:
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return padded.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def across_then_down(self: Any, tokens: Tensor) -> Tensor:
    quads = [tokens[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    result: Tensor = self.reduction(self.norm(torch.cat(quads, -1)))
    return result


def unmasked(height: int, width: int, side: int, shift: int) -> Tensor:
    return SHIFT_MASK(height, width, side, 0)


def transposed(window: int) -> Tensor:
    return RELATIVE(window).t().contiguous()


def half_first(self: BiRefNet, image: Tensor) -> list[Tensor]:
    return [
        torch.cat([level[:, level.shape[1] // 2 :], level[:, : level.shape[1] // 2]], 1)
        for level in ENCODED(self, image)
    ]


def no_gate(self: Any, level: int, p: Tensor) -> Tensor:
    return p


def normed_onwards(self: Any, image: Tensor) -> list[Tensor]:
    """The next stage is given the normed features."""
    tokens, features = self.patch_embed(image), []
    for i, stage in enumerate(self.layers):
        for block in stage.blocks:
            tokens = block(tokens)
        tokens = self.get_submodule(f"norm{i}")(tokens)
        features.append(tokens.permute(0, 3, 1, 2).contiguous())
        tokens = tokens if stage.downsample is None else stage.downsample(tokens)
    return features


def mask_of_sigmoid(self: Any, x: Tensor) -> Tensor:
    mask = torch.sigmoid(self.modulator_conv(x))
    weight = self.regular_conv.weight
    return deform.deform_conv2d(x, weight, self.offset_conv(x), x.new_zeros(256), mask)


def relu_at_the_end(self: Any, x: Tensor) -> Tensor:
    return functional.relu(RECONSTRUCTED(self, x))


POSITIONS, SHIFT_MASK = deform._positions, swin.shift_mask
RELATIVE, ENCODED = swin.relative_positions, BiRefNet.encoded
RECONSTRUCTED = decoder.ReconstructionBlock.forward

INTERPOLATE, GELU = functional.interpolate, functional.gelu


def corners_not_aligned(x: Tensor, size: Any, **_: Any) -> Tensor:
    return INTERPOLATE(x, tuple(size), mode="bilinear", align_corners=False)


def antialiased(x: Tensor, size: Any, **_: Any) -> Tensor:
    return INTERPOLATE(x, tuple(size), mode="bilinear", align_corners=True, antialias=True)


def gelu_by_tanh(x: Tensor) -> Tensor:
    return GELU(x, approximate="tanh")


MISTAKES: dict[str, tuple[Any, str, Any]] = {
    "corners not aligned": (functional, "interpolate", corners_not_aligned),
    "antialiased": (functional, "interpolate", antialiased),
    "every n-th pixel instead of tiles": (decoder, "stacked_tiles", unshuffled),
    "tiles before colours": (decoder, "stacked_tiles", tiles_first),
    "x before y in offsets": (deform, "_positions", x_before_y),
    "offsets not in pairs": (deform, "_positions", offsets_apart),
    "edges repeated when sampling": (deform, "_bordered_rows", border_of_edges),
    "mask without its factor of 2": (aspp.DeformableConv, "forward", mask_of_sigmoid),
    "merging across, then down": (swin.PatchMerging, "forward", across_then_down),
    "no shift mask": (swin, "shift_mask", unmasked),
    "windows column by column": (swin, "split_windows", column_by_column),
    "half scale before full": (BiRefNet, "encoded", half_first),
    "gates left out": (decoder.Decoder, "_gated", no_gate),
    "normed features go on": (swin.Swin, "forward", normed_onwards),
    "ReLU at the end of a block": (decoder.ReconstructionBlock, "forward", relu_at_the_end),
    "GELU by tanh": (functional, "gelu", gelu_by_tanh),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_show(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By far more than the tolerance, that is."""
    place, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(place, name, wrong)
    assert off_golden(network("swin_t"), "swin_t") > 10 * TOLERANCE["swin_t"]


def test_mistakes_in_what_is_made_once_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammatte.models.birefnet.network.relative_positions", transposed)
    assert off_golden(random_network("swin_t"), "swin_t") > 10 * TOLERANCE["swin_t"]


def test_a_mistake_in_the_shift_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in network("swin_t").modules():
        if isinstance(module, swin.Block) and module.shift:
            monkeypatch.setattr(module, "shift", module.shift + 1)
    assert off_golden(network("swin_t"), "swin_t") > 10 * TOLERANCE["swin_t"]


def test_the_order_of_colours_matters() -> None:
    one = logits(network("swin_t"), picture(256, 256))
    other = logits(network("swin_t"), np.ascontiguousarray(picture(256, 256)[..., ::-1]))
    assert np.abs(one - other).max() > 1


def test_what_must_not_be_seen_is_not() -> None:
    """exp(-100) is nothing in any precision, and no infinity that half precision trips over."""
    mask = swin.shift_mask(14, 21, 7, 3)
    assert mask.shape == (6, 49, 49)
    assert set(mask.unique().tolist()) == {-100.0, 0.0}
    assert math.exp(-100) < 1e-43
    assert (mask.diagonal(dim1=1, dim2=2) == 0).all()
    assert (mask[0] == 0).all()
    assert (mask[-1] != 0).any()
    assert (swin.shift_mask(14, 21, 7, 0) == 0).all()
