"""The same function as ``network.py`` for one size of picture, in fewer and cheaper steps.

What is different, none of it in the result but for rounding:

- **Both scales at once.** The tokens of the picture and of its half-size twin lie side by side in
  one list; windows never mix, so every linear layer, norm and attention runs once for both.
- **Windows by one gather.** Filling up, rolling and cutting into windows is one look-up by indices
  that depend on the size alone; undoing them is another. The same for patch merging.
- **Constants.** Relative position biases and shift masks are made once.
- **Folded norms.** Batch norms are part of the convolutions before them, the attention's scale is
  part of its query weights, and convolutions that read the same thing are one.
- **A short tail.** The last 1 x 1 convolution is linear, as is the enlarging before it: it comes
  first, so that one channel is enlarged instead of 96 or 192. What it reads of the picture passes
  two convolutions without an activation in between, which are one of 5 x 5.
- **The mean as a bias.** The pyramid's pooled branch is the same everywhere, so its part of the
  mixing convolution is added as a bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streammatte.errors import ModelError
from streammatte.models.birefnet.aspp import Branch
from streammatte.models.birefnet.decoder import (
    Lateral,
    PictureReference,
    ReconstructionBlock,
    resized,
)
from streammatte.models.birefnet.deform import deform_conv2d, deform_conv2d_by_gather
from streammatte.models.birefnet.network import MEAN, STD, STRIDE
from streammatte.models.birefnet.swin import (
    PATCH,
    Block,
    Stage,
    relative_positions,
    shift_mask,
    split_windows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streammatte.models.base import Size
    from streammatte.models.birefnet.aspp import DeformableAspp
    from streammatte.models.birefnet.decoder import Decoder
    from streammatte.models.birefnet.network import BiRefNet
    from streammatte.models.birefnet.swin import PatchMerging, Swin

    Grid = tuple[int, int]

Part = TypeVar("Part", bound=nn.Module)
Form = Literal["operator", "native", "gather"]
"""How deformable convolutions are done: by PyTorch's operator in the precision of the rest; by the
same in float32, which is ONNX's DeformConv; or by operators that every engine has."""


class FusedBiRefNet(nn.Module):
    """From images to mattes: the contract of ``models.base.Model``, for one size."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: BiRefNet, size: Size, form: Form = "operator") -> None:
        """Take over a network's weights.

        Args:
            network: In evaluation mode. What is not folded is shared with it, not copied, so
                ``half()`` and ``to()`` are done to both.
            size: ``(width, height)``, multiples of 32.
            form: How deformable convolutions are done.

        Raises:
            ModelError: if the size will not do.
        """
        super().__init__()
        width, height = size
        if width % STRIDE or height % STRIDE:
            raise ModelError(f"{width} x {height} will not do: multiples of {STRIDE} are needed")
        convolve = _FORMS[form]
        std = torch.tensor(STD).reshape(3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -torch.tensor(MEAN).reshape(3, 1, 1) / std)
        self.encoder = _Encoder(network.bb, (height, width))
        self.squeeze = _Block(part_of(network, "squeeze_module.0", ReconstructionBlock), convolve)
        self.decoder = _Decoder(network.decoder, convolve)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return mattes, float32 ``[n, 1, h, w]`` in 0..1, of uint8 ``[n, h, w, 3]``."""
        # TensorRT takes 8-bit input only if it is cast before anything else is done with it.
        picture = image.to(self.scale.dtype).permute(0, 3, 1, 2) * self.scale + self.shift
        return torch.sigmoid(self.logits(picture).float())

    def logits(self, picture: Tensor) -> Tensor:
        """Return logits ``[n, 1, h, w]`` of a normalised picture ``[n, 3, h, w]``."""
        *fine, coarse = self.encoder(picture)
        context = [resized(feature, coarse) for feature in fine]
        squeezed = self.squeeze(torch.cat([*context, coarse], 1))
        result: Tensor = self.decoder(picture, [*fine, squeezed])
        return result


def part_of(module: nn.Module, path: str, kind: type[Part]) -> Part:
    """Return a part of a module by its path, which must be of a kind."""
    part = module.get_submodule(path)
    assert isinstance(part, kind)
    return part


def _in_single_precision(image: Tensor, *others: Tensor) -> Tensor:
    """Convolve in float32 whatever is given: engines round positions to the precision of the rest.

    In half precision a position beyond 128 is rounded to an eighth of a pixel.
    """
    result: Tensor = deform_conv2d(image.float(), *(other.float() for other in others))
    return result.to(image.dtype)


_FORMS: dict[Form, Callable[..., Tensor]] = {
    "operator": deform_conv2d,
    "native": _in_single_precision,
    "gather": deform_conv2d_by_gather,
}

# --- The encoder: two scales in one list of tokens ----------------------------------------------


class _Encoder(nn.Module):
    """The backbone over a picture and its half-size twin, whose features become channels."""

    def __init__(self, swin: Swin, grid: Grid) -> None:
        super().__init__()
        height, width = grid
        self.twin = (height // 2, width // 2)
        self.patches, self.patch_norm = swin.patch_embed.proj, swin.patch_embed.norm
        grids = [(-(-h // PATCH), -(-w // PATCH)) for h, w in (grid, self.twin)]
        stages = []
        for i in range(len(swin.layers)):
            norm = part_of(swin, f"norm{i}", nn.LayerNorm)
            stages.append(_Stage(part_of(swin, f"layers.{i}", Stage), norm, grids))
            grids = [((h + 1) // 2, (w + 1) // 2) for h, w in grids]
        self.stages = nn.ModuleList(stages)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return features, finest first."""
        small = functional.interpolate(picture, self.twin, mode="bilinear", align_corners=True)
        both = [self.patches(scale).flatten(2).transpose(1, 2) for scale in (picture, small)]
        tokens, features = self.patch_norm(torch.cat(both, 1)), []
        for stage in self.stages:
            found, tokens = stage(tokens)
            features.append(found)
        return features


class _Stage(nn.Module):
    def __init__(self, stage: Stage, norm: nn.LayerNorm, grids: Sequence[Grid]) -> None:
        super().__init__()
        self.grids, self.norm = tuple(grids), norm
        blocks = [part_of(stage, f"blocks.{j}", Block) for j in range(len(stage.blocks))]
        # Blocks without and with shift take turns; those of a kind share their tables.
        kinds = [_Windows(grids, block.window, block.shift) for block in blocks[:2]]
        self.blocks = nn.ModuleList(
            _Attending(block, kinds[j % 2]) for j, block in enumerate(blocks)
        )
        self.merging = None if stage.downsample is None else _Merging(stage.downsample, grids)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            tokens = block(tokens)
        found = self._features(self.norm(tokens))
        return found, tokens if self.merging is None else self.merging(tokens)

    def _features(self, tokens: Tensor) -> Tensor:
        (height, width), (low, narrow) = self.grids
        full, small = torch.split(tokens, [height * width, low * narrow], 1)
        batch, channels = len(tokens), tokens.shape[2]
        picture = full.transpose(1, 2).reshape(batch, channels, height, width)
        twin = small.transpose(1, 2).reshape(batch, channels, low, narrow)
        return torch.cat([picture, resized(twin, picture)], 1)


class _Windows(nn.Module):
    """Which token goes where when tokens are cut into windows, and back."""

    cut: Tensor
    join: Tensor
    mask: Tensor | None

    def __init__(self, grids: Sequence[Grid], side: int, shift: int) -> None:
        super().__init__()
        tokens = sum(height * width for height, width in grids)
        tables = [_cut(numbers, side, shift, nothing=tokens) for numbers in _numbered(grids)]
        cut = torch.cat(tables).flatten()
        self.count, self.length = len(cut) // (side * side), side * side
        self.filled_up = len(cut) > tokens
        self.register_buffer("cut", cut.to(torch.int32))
        self.register_buffer("join", cut.argsort()[:tokens].to(torch.int32))
        masks = [shift_mask(*_whole(grid, side), side, shift) for grid in grids]
        self.register_buffer("mask", torch.cat(masks)[:, None] if shift else None)


class _Attending(nn.Module):
    """``swin.Block`` over the tokens of both scales."""

    bias: Tensor

    def __init__(self, block: Block, windows: _Windows) -> None:
        super().__init__()
        attention = block.attn
        self.heads, self.windows = attention.heads, windows
        self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
        self.qkv, self.proj = _scaled_queries(attention.qkv, self.heads), attention.proj
        index = relative_positions(block.window)
        self.register_buffer(
            "bias", attention.relative_position_bias_table[index].permute(2, 0, 1).contiguous()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.proj(self._seen(self.norm1(tokens)))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result

    def _seen(self, tokens: Tensor) -> Tensor:
        windows, batch, channels = self.windows, tokens.shape[0], tokens.shape[2]
        if windows.filled_up:  # a row of zeros at the end, for what is beyond the picture
            tokens = functional.pad(tokens, (0, 0, 0, 1))
        qkv = self.qkv(tokens).index_select(1, windows.cut)
        shape = (batch * windows.count, windows.length, 3, self.heads, channels // self.heads)
        query, key, value = qkv.reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) + self.bias
        if windows.mask is not None:
            # In a shape of its own: OpenVINO would add the two up beforehand, for every head of
            # every window, which is more than all weights together.
            apart = scores.unflatten(0, (batch, windows.count)) + windows.mask
            scores = apart.flatten(0, 1)
        seen: Tensor = scores.softmax(-1) @ value
        return seen.transpose(1, 2).reshape(batch, -1, channels).index_select(1, windows.join)


class _Merging(nn.Module):
    """``swin.PatchMerging`` over the tokens of both scales."""

    quads: Tensor

    def __init__(self, merging: PatchMerging, grids: Sequence[Grid]) -> None:
        super().__init__()
        self.norm, self.reduction = merging.norm, merging.reduction
        tokens = sum(height * width for height, width in grids)
        tables = []
        for numbers in _numbered(grids):
            height, width = numbers.shape
            whole = functional.pad(numbers, (0, width % 2, 0, height % 2), value=tokens)
            corners = [whole[y::2, x::2].flatten() for x in (0, 1) for y in (0, 1)]
            tables.append(torch.stack(corners, -1))
        self.filled_up = any(side % 2 for grid in grids for side in grid)
        self.register_buffer("quads", torch.cat(tables).flatten().to(torch.int32))

    def forward(self, tokens: Tensor) -> Tensor:
        batch, _, channels = tokens.shape
        if self.filled_up:
            tokens = functional.pad(tokens, (0, 0, 0, 1))
        quads = tokens.index_select(1, self.quads).reshape(batch, -1, 4 * channels)
        merged: Tensor = self.reduction(self.norm(quads))
        return merged


def _numbered(grids: Iterable[Grid]) -> list[Tensor]:
    """Return the numbers of the tokens of each scale, in their places."""
    numbers, first = [], 0
    for height, width in grids:
        numbers.append(torch.arange(first, first + height * width).reshape(height, width))
        first += height * width
    return numbers


def _whole(grid: Grid, side: int) -> Grid:
    """Return a grid's size, filled up to whole windows."""
    height, width = grid
    return height + -height % side, width + -width % side


def _cut(numbers: Tensor, side: int, shift: int, nothing: int) -> Tensor:
    """Return which token stands where in each window; ``nothing`` beyond the picture."""
    height, width = numbers.shape
    filled = functional.pad(numbers, (0, -width % side, 0, -height % side), value=nothing)
    rolled = filled.roll((-shift, -shift), (0, 1))
    return split_windows(rolled[None, ..., None], side)[..., 0]


def _scaled_queries(qkv: nn.Linear, heads: int) -> nn.Linear:
    """Return the layer with the attention's ``1 / sqrt(d)`` in the weights of the queries."""
    channels = qkv.in_features
    factor = torch.ones(3 * channels)
    factor[:channels] = (channels // heads) ** -0.5
    return _linear(qkv.weight * factor[:, None], qkv.bias * factor)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


# --- The decoder: norms folded, branches read together ------------------------------------------


class _Decoder(nn.Module):
    """``decoder.Decoder`` with a short tail."""

    def __init__(self, decoder: Decoder, convolve: Callable[..., Tensor]) -> None:
        super().__init__()
        last = part_of(decoder, "conv_out1.0", nn.Conv2d)
        assert last.bias is not None
        split = decoder.decoder_block1.conv_out.out_channels
        levels = (4, 3, 2)
        self.blocks = nn.ModuleList(
            _Block(part_of(decoder, f"decoder_block{level}", ReconstructionBlock), convolve)
            for level in levels
        )
        self.references = nn.ModuleList(
            part_of(decoder, f"ipt_blk{level + 1}", PictureReference) for level in (*levels, 1)
        )
        self.laterals = nn.ModuleList(
            part_of(decoder, f"lateral_block{level}", Lateral) for level in levels
        )
        self.gates = nn.ModuleList(_Gate(decoder, level) for level in levels)
        self.block1 = _Block(decoder.decoder_block1, convolve, mixed=last.weight[:, :split])
        self.reference1 = _LinearReference(decoder.ipt_blk1, last.weight[:, split:], last.bias)

    def forward(self, picture: Tensor, features: list[Tensor]) -> Tensor:
        """Return logits, ``[n, 1, h, w]``."""
        *fine, p = features
        steps = zip(self.blocks, self.references, self.gates, self.laterals, strict=False)
        for feature, (block, reference, gate, lateral) in zip(reversed(fine), steps, strict=True):
            p = block(torch.cat([p, reference(picture, p)], 1))
            p = resized(gate(p), feature) + lateral(feature)
        p = self.block1(torch.cat([p, self.references[-1](picture, p)], 1))
        result: Tensor = resized(p, picture) + self.reference1(picture)
        return result


class _Gate(nn.Module):
    """The outward reference of one level."""

    def __init__(self, decoder: Decoder, level: int) -> None:
        super().__init__()
        conv = part_of(decoder, f"gdt_convs_{level}.0", nn.Conv2d)
        norm = part_of(decoder, f"gdt_convs_{level}.1", nn.BatchNorm2d)
        self.gradients = fuse_conv_bn_eval(conv, norm)
        self.attention = decoder.get_submodule(f"gdt_convs_attn_{level}.0")

    def forward(self, p: Tensor) -> Tensor:
        gradients = functional.relu(self.gradients(p))
        return p * torch.sigmoid(self.attention(gradients))


class _Block(nn.Module):
    """``decoder.ReconstructionBlock``, its norms folded into its convolutions."""

    def __init__(
        self,
        block: ReconstructionBlock,
        convolve: Callable[..., Tensor],
        mixed: Tensor | None = None,
    ) -> None:
        """Take over a block.

        Args:
            block: The block.
            convolve: How deformable convolutions are written.
            mixed: The weights ``[1, c, 1, 1]`` of a 1 x 1 convolution (without its bias) that
                follows; it becomes part of the last one.
        """
        super().__init__()
        self.conv_in = fuse_conv_bn_eval(block.conv_in, block.bn_in)
        self.pyramid = _Pyramid(block.dec_att, convolve)
        self.conv_out = fuse_conv_bn_eval(block.conv_out, block.bn_out)
        if mixed is not None:
            self.conv_out = _followed_by(self.conv_out, mixed)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv_out(self.pyramid(functional.relu(self.conv_in(x))))
        return result


class _Pyramid(nn.Module):
    """``aspp.DeformableAspp``: kernels of a size decide together where to look."""

    def __init__(self, pyramid: DeformableAspp, convolve: Callable[..., Tensor]) -> None:
        super().__init__()
        first = pyramid.aspp1
        second, third, fourth = (part_of(pyramid, f"aspp_deforms.{i}", Branch) for i in range(3))
        self.branches = nn.ModuleList(
            _Branches(group, convolve) for group in ((first, second), (third,), (fourth,))
        )
        self.pooled = fuse_conv_bn_eval(
            part_of(pyramid, "global_avg_pool.1", nn.Conv2d),
            part_of(pyramid, "global_avg_pool.2", nn.BatchNorm2d),
        )
        mixing = fuse_conv_bn_eval(pyramid.conv1, pyramid.bn1)
        assert mixing.bias is not None
        looked = mixing.in_channels - self.pooled.out_channels
        self.mixing = _conv(mixing.weight[:, :looked], None)
        self.mixing_pooled = _conv(mixing.weight[:, looked:], mixing.bias)

    def forward(self, x: Tensor) -> Tensor:
        looked = torch.cat([part for branches in self.branches for part in branches(x)], 1)
        mean = functional.relu(self.pooled(x.mean((2, 3), keepdim=True)))
        return functional.relu(self.mixing(looked) + self.mixing_pooled(mean))


class _Branches(nn.Module):
    """Deformable convolutions with kernels of one size, and what tells them where to look."""

    def __init__(self, branches: Sequence[Branch], convolve: Callable[..., Tensor]) -> None:
        super().__init__()
        convs = [branch.atrous_conv for branch in branches]
        readers = [conv.offset_conv for conv in convs] + [conv.modulator_conv for conv in convs]
        biases = [reader.bias for reader in readers if reader.bias is not None]
        self.where = _conv(torch.cat([reader.weight for reader in readers]), torch.cat(biases))
        self.parts = [reader.out_channels for reader in readers]
        self.kernels = nn.ModuleList(
            fuse_conv_bn_eval(branch.atrous_conv.regular_conv, branch.bn) for branch in branches
        )
        self._convolve = convolve

    def forward(self, x: Tensor) -> list[Tensor]:
        parts = torch.split(self.where(x), self.parts, 1)
        offsets, masks = parts[: len(self.kernels)], parts[len(self.kernels) :]
        return [
            functional.relu(
                self._convolve(x, kernel.weight, offset, kernel.bias, 2 * torch.sigmoid(mask))
            )
            for kernel, offset, mask in zip(self.kernels, offsets, masks, strict=True)
        ]


class _LinearReference(nn.Module):
    """``ipt_blk1`` and its part of the last convolution: three linear steps in one of 5 x 5.

    The picture ends between the two 3 x 3 convolutions, too, where the one of 5 x 5 looks past it;
    so the outermost pixels are made the long way.
    """

    def __init__(self, reference: PictureReference, mixed: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.first = reference.conv1
        self.second = _followed_by(reference.conv_out, mixed, bias)
        self.whole = _composed(self.first, self.second)

    def forward(self, picture: Tensor) -> Tensor:
        """Return ``[n, 1, h, w]``."""
        inner = self.whole(picture)[:, :, 1:-1, 1:-1]
        left, right = (self._slowly(strip) for strip in (picture[..., :4], picture[..., -4:]))
        middle = torch.cat([left[:, :, 1:-1, :1], inner, right[:, :, 1:-1, -1:]], 3)
        top = self._slowly(picture[:, :, :4])[:, :, :1]
        bottom = self._slowly(picture[:, :, -4:])[:, :, -1:]
        return torch.cat([top, middle, bottom], 2)

    def _slowly(self, picture: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(picture))
        return result


def _conv(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Return a convolution with these weights that keeps the size."""
    o, c, kernel, _ = weight.shape
    conv = nn.Conv2d(c, o, kernel, padding=kernel // 2, bias=bias is not None, device="meta")
    conv.weight = nn.Parameter(weight.contiguous())
    conv.bias = None if bias is None else nn.Parameter(bias)
    return conv


def _followed_by(conv: nn.Conv2d, mixed: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Return a convolution and the 1 x 1 convolution after it as one."""
    assert conv.bias is not None
    mix = mixed.flatten(1)
    shift = mix @ conv.bias
    return _conv(
        torch.einsum("po,ochw->pchw", mix, conv.weight), shift if bias is None else shift + bias
    )


def _composed(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Return two 3 x 3 convolutions as one of 5 x 5; right but for the outermost pixels."""
    assert first.bias is not None
    assert second.bias is not None
    # Convolutions compose by convolving their kernels, summed over the channels between them.
    flipped = first.weight.flip(2, 3).transpose(0, 1)
    weight = functional.conv2d(second.weight, flipped, padding=2)
    bias = second.bias + second.weight.sum((2, 3)) @ first.bias
    return _conv(weight, bias)
