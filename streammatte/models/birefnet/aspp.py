"""Atrous spatial pyramid pooling with deformable convolutions, the decoder's way of looking around.

The paper's reconstruction module (section 3.2): kernels of 1, 3 and 7 pixels side by side, "to
capture features at multiple scales"; the pyramid itself is that of DeepLab (arXiv 1706.05587).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammatte.models.birefnet.deform import deform_conv2d

INNER = 64
"""Channels within a block of the decoder."""
BRANCH = 256
"""Channels of a branch of the pyramid."""


class DeformableAspp(nn.Module):
    """Five branches, concatenated and mixed: kernels of 1, 1, 3 and 7, and the picture's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.aspp1 = Branch(1)
        self.aspp_deforms = nn.ModuleList(Branch(kernel) for kernel in (1, 3, 7))
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(INNER, BRANCH, 1, bias=False),
            nn.BatchNorm2d(BRANCH),
            nn.ReLU(),
        )
        self.conv1 = nn.Conv2d(5 * BRANCH, INNER, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(INNER)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 64, h, w]`` of the same."""
        branches = [self.aspp1(x), *(branch(x) for branch in self.aspp_deforms)]
        whole = self.global_avg_pool(x).expand(-1, -1, *x.shape[2:])
        mixed = self.bn1(self.conv1(torch.cat([*branches, whole], 1)))
        return functional.relu(mixed)


class Branch(nn.Module):
    """One kernel of the pyramid."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.atrous_conv = DeformableConv(kernel)
        self.bn = nn.BatchNorm2d(BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 256, h, w]``."""
        return functional.relu(self.bn(self.atrous_conv(x)))


class DeformableConv(nn.Module):
    """A convolution that decides, for each pixel and tap, where to look and how much it counts."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        half, taps = kernel // 2, kernel * kernel
        self.offset_conv = nn.Conv2d(INNER, 2 * taps, kernel, padding=half)
        self.modulator_conv = nn.Conv2d(INNER, taps, kernel, padding=half)
        self.regular_conv = nn.Conv2d(INNER, BRANCH, kernel, padding=half, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 256, h, w]``."""
        mask = 2 * torch.sigmoid(self.modulator_conv(x))
        result: Tensor = deform_conv2d(
            x, self.regular_conv.weight, self.offset_conv(x), x.new_zeros(BRANCH), mask
        )
        return result
