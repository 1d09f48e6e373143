"""DeformConv, as the ONNX standard tells it: slowly, in float64, and as a file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

H, W, CHANNELS, RESULTS = 7, 9, 4, 6


@dataclass(frozen=True)
class Case:
    """What a convolution has, and how far its offsets reach."""

    kernel: int
    reach: float | None = 2.0
    """Standard deviation in pixels; ``None`` for whole numbers up to beyond all borders."""
    bias: bool = True
    mask: bool = True
    groups: int = 1

    def __str__(self) -> str:
        return f"k{self.kernel}-{self.reach}-b{self.bias:d}m{self.mask:d}g{self.groups}"


CASES = [
    *(Case(kernel, reach) for kernel in (1, 3, 7) for reach in (2.0, 30.0, None)),
    Case(3, bias=False),
    Case(3, mask=False),
    Case(3, bias=False, mask=False),
    Case(3, groups=2),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def arrays(case: Case) -> dict[str, Array]:
    rng = np.random.default_rng(case.kernel)
    taps = case.groups * case.kernel**2
    if case.reach is None:
        # Whole numbers, so that many samples lie exactly at -1 and at the height or width.
        offset = rng.integers(-W - 2, W + 3, (2, 2 * taps, H, W)).astype(np.float32)
    else:
        offset = (case.reach * rng.standard_normal((2, 2 * taps, H, W))).astype(np.float32)
    made = {
        "image": rng.standard_normal((2, CHANNELS, H, W)),
        "kernel": rng.standard_normal((RESULTS, CHANNELS // case.groups, case.kernel, case.kernel)),
        "offset": offset,
        "bias": rng.standard_normal(RESULTS),
        "mask": rng.random((2, taps, H, W)),
    }
    return {name: value.astype(np.float32) for name, value in made.items()}


def write(case: Case, given: dict[str, Array], path: Path) -> None:
    """Write the convolution as a graph: image, offset and mask in, ``result`` out."""
    names = ["image", "kernel", "offset", "bias" if case.bias else "", "mask" if case.mask else ""]
    pad = case.kernel // 2
    node = helper.make_node(
        "DeformConv",
        names[:4] if not case.mask and case.bias else names[: 3 if not case.mask else 5],
        ["result"],
        kernel_shape=[case.kernel] * 2,
        pads=[pad] * 4,
        group=case.groups,
        offset_group=case.groups,
    )
    fed = ["image", "offset", *(["mask"] if case.mask else [])]
    held = ["kernel", *(["bias"] if case.bias else [])]
    graph = helper.make_graph(
        [node],
        "deform",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, given[n].shape) for n in fed],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, [2, RESULTS, H, W])],
        [numpy_helper.from_array(given[name], name) for name in held],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def expected(case: Case, given: dict[str, Array]) -> NDArray[np.float64]:
    """Return the result, tap by tap: bilinear samples of an image that zeros surround."""
    image, kernel = given["image"].astype(np.float64), given["kernel"].astype(np.float64)
    n, pad, groups = len(image), case.kernel // 2, case.groups
    taps = list(itertools.product(range(case.kernel), repeat=2))
    offset = given["offset"].astype(np.float64).reshape(n, groups, len(taps), 2, H, W)
    mask = given["mask"].astype(np.float64).reshape(n, groups, len(taps), H, W)
    rows, columns = np.mgrid[:H, :W]
    result = np.zeros((n, RESULTS, H, W))
    share, outs = CHANNELS // groups, RESULTS // groups
    for picture, group, (tap, (ky, kx)) in itertools.product(
        range(n), range(groups), enumerate(taps)
    ):
        dy, dx = offset[picture, group, tap]
        planes = image[picture, group * share : (group + 1) * share]
        seen = _sampled(planes, rows + ky - pad + dy, columns + kx - pad + dx)
        if case.mask:
            seen = seen * mask[picture, group, tap]
        here = slice(group * outs, (group + 1) * outs)
        result[picture, here] += np.einsum("oc,chw->ohw", kernel[here, :, ky, kx], seen)
    if case.bias:
        result += given["bias"].astype(np.float64)[:, None, None]
    return result


def _sampled(
    planes: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = np.zeros((len(planes), H, W))
    for down, right in itertools.product((0, 1), repeat=2):
        row, column = np.floor(y) + down, np.floor(x) + right
        count = (1 - abs(y - row)) * (1 - abs(x - column))
        inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
        at = np.clip(row, 0, H - 1).astype(int), np.clip(column, 0, W - 1).astype(int)
        total += planes[:, at[0], at[1]] * (count * inside)
    return total
