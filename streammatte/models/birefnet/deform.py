"""Modulated deformable convolution (Zhu et al., "Deformable ConvNets v2", arXiv 1811.11168).

One function, two forms: ``deform_conv2d`` is an operator that PyTorch runs and the exporter writes
as ONNX's ``DeformConv``; ``deform_conv2d_by_gather`` is made of operators that every engine has.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_BAND = 1 << 25
"""Sampled values held at once by the operator: 128 MiB of float32."""
_GATHERED = 1 << 26
"""The same for each gather, whose results an engine may hold several of."""


@torch.library.custom_op("streammatte::deform_conv2d", mutates_args=())
def deform_conv2d(
    image: Tensor, weight: Tensor, offset: Tensor, bias: Tensor, mask: Tensor
) -> Tensor:
    """Convolve with kernels whose every tap looks where an offset tells it to.

    Stride and dilation are 1 and the padding keeps the size. Samples are bilinear; what lies
    outside of the image is 0.

    Args:
        image: ``[n, c, h, w]``.
        weight: ``[o, c, k, k]``, k odd.
        offset: ``[n, 2 k k, h, w]`` in pixels; y and x of every tap in turn, row by row.
        bias: ``[o]``.
        mask: ``[n, k k, h, w]``: what each tap's sample is multiplied by.

    Returns:
        ``[n, o, h, w]``.
    """
    n, c, h, w = image.shape
    taps = mask.shape[1]
    rows = _bordered_rows(image)
    around, counts = (torch.stack(each, -1) for each in _neighbours(offset, mask, image.dtype))
    # Where an offset is no number, neither is the result; but no index may lie outside for it.
    around = around.clamp(0, len(rows) - 1).reshape(-1, taps * 4)
    counts = counts.reshape(-1, taps * 4)
    kernel = weight.flatten(2).permute(2, 1, 0).reshape(taps * c, -1)
    result = image.new_empty(n * h * w, weight.shape[0])
    band = max(1, _BAND // (taps * c))
    for start in range(0, len(result), band):
        here = slice(start, start + band)
        sampled = functional.embedding_bag(
            around[here].reshape(-1, 4),
            rows,
            per_sample_weights=counts[here].reshape(-1, 4),
            mode="sum",
        )
        torch.addmm(bias, sampled.reshape(-1, taps * c), kernel, out=result[here])
    return result.reshape(n, h, w, -1).permute(0, 3, 1, 2).contiguous()


@deform_conv2d.register_fake
def _shape_of_result(
    image: Tensor,
    weight: Tensor,
    offset: Tensor,  # noqa: ARG001
    bias: Tensor,  # noqa: ARG001
    mask: Tensor,  # noqa: ARG001
) -> Tensor:
    n, _, h, w = image.shape
    return image.new_empty(n, weight.shape[0], h, w)


def deform_conv2d_by_gather(
    image: Tensor, weight: Tensor, offset: Tensor, bias: Tensor, mask: Tensor
) -> Tensor:
    """The same, of standard operators; positions are float32 whatever the rest is.

    In half precision, positions beyond 128 would be rounded to eighths of a pixel.
    """
    n, c, h, w = image.shape
    taps = mask.shape[1]
    rows = _bordered_rows(image)
    neighbours = _neighbours(offset, mask, image.dtype)
    kernel = weight.flatten(2).permute(2, 1, 0)
    result = bias
    band = max(1, _GATHERED // (n * h * w * c))
    for start in range(0, taps, band):
        some = slice(start, start + band)
        first, second, third, fourth = (
            functional.embedding(around[..., some], rows) * counts[..., some, None]
            for around, counts in zip(*neighbours, strict=True)
        )
        sampled = (first + second + third + fourth).flatten(2)
        result = result + sampled @ kernel[some].flatten(0, 1)
    return result.transpose(1, 2).reshape(n, -1, h, w)


def _bordered_rows(image: Tensor) -> Tensor:
    """Return ``[n (h + 2) (w + 2), c]``: every pixel's channels, and a border of zeros."""
    return functional.pad(image, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, image.shape[1])


def _neighbours(
    offset: Tensor, mask: Tensor, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the four pixels around every sample, and what each of them counts.

    Returns:
        Four tensors of indices into ``_bordered_rows``, int32 ``[n, h w, taps]``, and four of
        weights that include the mask.
    """
    n, _, h, w = mask.shape
    line = w + 2
    ends, step = _pair(h, w, mask.device), _pair(line, 1, mask.device)
    # At -1 and at the end only the border of zeros counts, so what lies beyond may stop there.
    position = torch.minimum(_positions(offset.float()).clamp(min=-1), ends)
    low = torch.minimum(position.floor(), ends - 1)
    down, right = (position - low).unbind(-1)
    first = ((low + 1) * step).sum(-1).to(torch.int32)
    if n > 1:
        picture = torch.arange(n, dtype=torch.int32, device=mask.device).reshape(n, 1, 1)
        first = first + picture * ((h + 2) * line)
    mask = mask.float().flatten(2).transpose(1, 2)
    lower, upper = mask * down, mask * (1 - down)
    counts = [upper * (1 - right), upper * right, lower * (1 - right), lower * right]
    return [first, first + 1, first + line, first + line + 1], [part.to(dtype) for part in counts]


def _pair(first: int, second: int, device: torch.device) -> Tensor:
    """Return two numbers, float32 ``[2]``, made where they are needed.

    To copy them there from the CPU would make the CPU wait for the GPU, and cannot be captured as
    a CUDA graph.
    """
    return torch.arange(2, dtype=torch.float32, device=device) * (second - first) + first


def _positions(offset: Tensor) -> Tensor:
    """Return the row and the column that each tap looks at, ``[n, h w, taps, 2]``."""
    n, double, h, w = offset.shape
    side = round((double // 2) ** 0.5)
    reach = torch.arange(side, device=offset.device) - side // 2
    taps = torch.cartesian_prod(reach, reach).reshape(-1, 2)
    pixels = torch.cartesian_prod(
        torch.arange(h, device=offset.device), torch.arange(w, device=offset.device)
    )
    pairs = offset.flatten(2).transpose(1, 2).reshape(n, h * w, -1, 2)
    return pairs + taps.to(offset) + pixels.to(offset)[:, None]
