"""The decoder: from coarse features to logits, with the picture itself as a reference.

"Bilateral reference" (section 3.3 of the paper): inward, each level is given the picture at full
resolution, cut into patches; outward, each level weighs its features by where it expects the
picture's gradients to matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammatte.models.birefnet.aspp import INNER, DeformableAspp

GATE = 16
"""Channels within a gradient gate."""


class Decoder(nn.Module):
    """Four blocks from 1/32 to 1/4 of the picture's size, and the last step to all of it.

    Its parts have the numbers of the levels whose features they read, 4 the coarsest.
    """

    def __init__(self, channels: list[int]) -> None:
        """Make the parts.

        Args:
            channels: Of the encoder's features, finest first.
        """
        super().__init__()
        c1, c2, c3, c4 = channels
        self.ipt_blk5 = PictureReference(32, c4 // 8)
        self.ipt_blk4 = PictureReference(16, c4 // 8)
        self.ipt_blk3 = PictureReference(8, c3 // 8)
        self.ipt_blk2 = PictureReference(4, c2 // 8)
        self.ipt_blk1 = PictureReference(1, c1 // 8)

        self.decoder_block4 = ReconstructionBlock(c4 + c4 // 8, c3)
        self.decoder_block3 = ReconstructionBlock(c3 + c4 // 8, c2)
        self.decoder_block2 = ReconstructionBlock(c2 + c3 // 8, c1)
        self.decoder_block1 = ReconstructionBlock(c1 + c2 // 8, c1 // 2)
        self.conv_out1 = nn.Sequential(nn.Conv2d(c1 // 2 + c1 // 8, 1, 1))

        self.lateral_block4 = Lateral(c3)
        self.lateral_block3 = Lateral(c2)
        self.lateral_block2 = Lateral(c1)

        for level, width in ((4, c3), (3, c2), (2, c1)):
            # Supervision of each level, and of its gradients: only training reads these two.
            self.add_module(f"conv_ms_spvn_{level}", nn.Conv2d(width, 1, 1))
            self.add_module(f"gdt_convs_pred_{level}", nn.Sequential(nn.Conv2d(GATE, 1, 1)))
            self.add_module(f"gdt_convs_{level}", gradient_features(width))
            self.add_module(f"gdt_convs_attn_{level}", nn.Sequential(nn.Conv2d(GATE, 1, 1)))

    def forward(self, picture: Tensor, features: list[Tensor]) -> Tensor:
        """Return logits ``[n, 1, h, w]`` of the picture ``[n, 3, h, w]``."""
        x1, x2, x3, x4 = features
        p = self.decoder_block4(self._referring(self.ipt_blk5, picture, x4))
        p = resized(self._gated(4, p), x3) + self.lateral_block4(x3)
        p = self.decoder_block3(self._referring(self.ipt_blk4, picture, p))
        p = resized(self._gated(3, p), x2) + self.lateral_block3(x2)
        p = self.decoder_block2(self._referring(self.ipt_blk3, picture, p))
        p = resized(self._gated(2, p), x1) + self.lateral_block2(x1)
        p = self.decoder_block1(self._referring(self.ipt_blk2, picture, p))
        p = self._referring(self.ipt_blk1, picture, resized(p, picture))
        logits: Tensor = self.conv_out1(p)
        return logits

    @staticmethod
    def _referring(reference: PictureReference, picture: Tensor, p: Tensor) -> Tensor:
        """Inward reference: put the picture's patches beside the features."""
        return torch.cat([p, reference(picture, p)], 1)

    def _gated(self, level: int, p: Tensor) -> Tensor:
        """Outward reference: weigh features by the gradients that are expected there."""
        gradients = self.get_submodule(f"gdt_convs_{level}")(p)
        return p * torch.sigmoid(self.get_submodule(f"gdt_convs_attn_{level}")(gradients))


class ReconstructionBlock(nn.Module):
    """Squeeze to 64 channels, look around by the deformable pyramid, widen (section 3.2)."""

    def __init__(self, channels: int, result: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, INNER, 3, padding=1)
        self.dec_att = DeformableAspp()
        self.conv_out = nn.Conv2d(INNER, result, 3, padding=1)
        self.bn_in = nn.BatchNorm2d(INNER)
        self.bn_out = nn.BatchNorm2d(result)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, result, h, w]``; its end is linear."""
        x = functional.relu(self.bn_in(self.conv_in(x)))
        widened: Tensor = self.bn_out(self.conv_out(self.dec_att(x)))
        return widened


class PictureReference(nn.Module):
    """The picture at full resolution, as many more channels of a smaller size (section 3.3)."""

    def __init__(self, tiles: int, result: int) -> None:
        """Make the block.

        Args:
            tiles: Into how many tiles a side the picture is cut.
            result: Channels.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3 * tiles * tiles, INNER, 3, padding=1)
        self.conv_out = nn.Conv2d(INNER, result, 3, padding=1)

    def forward(self, picture: Tensor, like: Tensor) -> Tensor:
        """Return ``[n, result, h, w]``, of the size of ``like``."""
        tiles = stacked_tiles(picture, *like.shape[2:])
        reference: Tensor = self.conv_out(self.conv1(resized(tiles, like)))
        return reference


class Lateral(nn.Module):
    """Brings the encoder's features over to the decoder (the lateral connections of an FPN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, c, h, w]``."""
        result: Tensor = self.conv(x)
        return result


def gradient_features(channels: int) -> nn.Sequential:
    """Return what looks at a level's features for gradients (section 3.3)."""
    conv = nn.Conv2d(channels, GATE, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(GATE), nn.ReLU())


def stacked_tiles(picture: Tensor, height: int, width: int) -> Tensor:
    """Cut a picture into tiles of about ``height`` x ``width`` and stack them as channels.

    Whole tiles, not every n-th pixel: channels are (colour, row of tiles, column of tiles).
    """
    n, colours, full_height, full_width = picture.shape
    rows, columns = full_height // height, full_width // width
    grid = picture.reshape(
        n, colours, rows, full_height // rows, columns, full_width // columns
    ).transpose(3, 4)
    return grid.reshape(n, colours * rows * columns, *grid.shape[4:])


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Return ``x`` in the size of ``like``; corner samples stay corner samples."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
