"""The backbone: Swin Transformer (Liu et al., arXiv 2103.14030), its four stages as features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Backbone = Literal["swin_t", "swin_l"]


@dataclass(frozen=True)
class SwinShape:
    """What tells one Swin from another."""

    channels: int
    """Of the first stage; every stage has twice as many."""
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int
    """Side of a window, in tokens."""


SHAPES: dict[Backbone, SwinShape] = {
    "swin_t": SwinShape(96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
    "swin_l": SwinShape(192, (2, 2, 18, 2), (6, 12, 24, 48), 12),
}
PATCH = 4
"""Side of the patch that becomes a token, in pixels."""


class Swin(nn.Module):
    """Turns a picture ``[n, 3, h, w]`` into features at 1/4, 1/8, 1/16 and 1/32 of its size."""

    def __init__(self, shape: SwinShape) -> None:
        super().__init__()
        channels = [shape.channels << stage for stage in range(4)]
        self.patch_embed = PatchEmbedding(shape.channels)
        self.layers = nn.ModuleList(
            Stage(channels[i], shape.depths[i], shape.heads[i], shape.window, last=i == 3)  # noqa: PLR2004
            for i in range(4)
        )
        for i in range(4):
            self.add_module(f"norm{i}", nn.LayerNorm(channels[i]))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return the features of the stages, finest first, ``[n, c, h, w]`` each."""
        tokens, features = self.patch_embed(picture), []
        for i, stage in enumerate(self.layers):
            tokens, downsampled = stage(tokens)
            features.append(self.get_submodule(f"norm{i}")(tokens).permute(0, 3, 1, 2).contiguous())
            tokens = downsampled
        return features


class PatchEmbedding(nn.Module):
    """Patches of 4 x 4 pixels become tokens (section 3.1 of the Swin paper)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, picture: Tensor) -> Tensor:
        """Return tokens ``[n, h, w, c]``."""
        height, width = picture.shape[2:]
        picture = functional.pad(picture, (0, -width % PATCH, 0, -height % PATCH))
        tokens: Tensor = self.norm(self.proj(picture).permute(0, 2, 3, 1))
        return tokens


class Stage(nn.Module):
    """Blocks, every other one with shifted windows, and the way down to the next stage."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(channels, heads, window, shift=window // 2 if j % 2 else 0) for j in range(depth)
        )
        self.downsample = None if last else PatchMerging(channels)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stage's tokens, and those that the next stage begins with."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens, tokens if self.downsample is None else self.downsample(tokens)


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the channels (section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens ``[n, ceil(h / 2), ceil(w / 2), 2 c]``."""
        height, width = tokens.shape[1:3]
        tokens = functional.pad(tokens, (0, 0, 0, width % 2, 0, height % 2))
        # Down first, then right: the order in which the checkpoints know them.
        quads = [tokens[:, y::2, x::2] for x in (0, 1) for y in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(quads, -1)))
        return merged


class Block(nn.Module):
    """Attention within windows, then an MLP, each on normed tokens and added (section 3.2)."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens ``[n, h, w, c]``."""
        tokens = tokens + self._attended(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result

    def _attended(self, tokens: Tensor) -> Tensor:
        n, height, width, channels = tokens.shape
        side = self.window
        # The zeros that fill up the last windows are tokens like any other: they are attended to.
        tokens = functional.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
        if self.shift:
            tokens = tokens.roll((-self.shift, -self.shift), (1, 2))
        padded = (tokens.shape[1], tokens.shape[2])
        mask = shift_mask(*padded, side, self.shift).to(tokens) if self.shift else None
        windows = self.attn(split_windows(tokens, side), mask)
        grid = windows.reshape(n, padded[0] // side, padded[1] // side, side, side, channels)
        tokens = grid.transpose(2, 3).reshape(n, *padded, channels)
        if self.shift:
            tokens = tokens.roll((self.shift, self.shift), (1, 2))
        return tokens[:, :height, :width]


class WindowAttention(nn.Module):
    """Multi-head self-attention with a learnt bias for each relative position (section 3.2)."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Let the tokens of each window look at each other.

        Args:
            windows: ``[n m, t, c]``: t tokens in each of m windows of n pictures.
            mask: ``[m, t, t]``, added to the scores.

        Returns:
            ``[n m, t, c]``.
        """
        m, t, channels = windows.shape
        bias = self.bias()
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(m // len(mask), 1, 1, 1)
        qkv = self.qkv(windows).reshape(m, t, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        result: Tensor = self.proj(seen.transpose(1, 2).reshape(m, t, channels))
        return result

    def bias(self) -> Tensor:
        """Return the relative position bias, ``[heads, t, t]``."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class Mlp(nn.Module):
    """Two linear layers, four times as wide in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result


def relative_positions(window: int) -> Tensor:
    """Return which row of the bias table belongs to each pair of a window's tokens, ``[t, t]``."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    dy, dx = (axis.flatten()[:, None] - axis.flatten() + window - 1 for axis in (y, x))
    return dy * (2 * window - 1) + dx


def split_windows(tokens: Tensor, side: int) -> Tensor:
    """Cut ``[n, h, w, c]`` into windows, ``[m, side * side, c]``, row by row."""
    n, height, width, channels = tokens.shape
    grid = tokens.reshape(n, height // side, side, width // side, side, channels)
    return grid.transpose(2, 3).reshape(-1, side * side, channels)


UNSEEN = -100.0
"""Added to the scores of pairs that must not see each other: exp(-100) is 0 in any precision, and
where minus infinity makes NaN in half precision, this does not."""


def shift_mask(height: int, width: int, side: int, shift: int) -> Tensor:
    """Return what to add to the scores where shifting brought strangers into one window.

    Args:
        height: Of the tokens, filled up to whole windows.
        width: The same.
        side: Of a window.
        shift: How far the tokens were rolled.

    Returns:
        ``[m, t, t]``: 0 between tokens that were neighbours, ``UNSEEN`` between others.
    """
    region = torch.zeros(1, height, width, 1)
    if shift:
        region[:, height - side : height - shift] += 3
        region[:, height - shift :] += 6
        region[:, :, width - side : width - shift] += 1
        region[:, :, width - shift :] += 2
    windows = split_windows(region, side)
    return (windows != windows.transpose(1, 2)) * UNSEEN
