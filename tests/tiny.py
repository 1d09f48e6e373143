"""A network of a few hundred weights with everything that runtimes have to cope with.

It has the contract's input and output and a modulated deformable convolution inside, as ONNX file
and as torch module, and keeps the interface of ``models.base.Model``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streammatte.models import load_card
from streammatte.runtimes.contract import PRECISION

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.models.base import Graph, ModelCard, Size

FEATURES, TAPS = 4, 9


def weights() -> dict[str, NDArray[np.float32]]:
    """The same numbers every time; offsets reach several pixels."""
    rng = np.random.default_rng(7)

    def kernel(gain: float, *shape: int) -> NDArray[np.float32]:
        return (gain * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return {
        "stem": kernel(3.0, FEATURES, 3, 3, 3),
        "offset": kernel(6.0, 2 * TAPS, FEATURES, 3, 3),
        "mask": kernel(2.0, TAPS, FEATURES, 3, 3),
        "deform": kernel(3.0, FEATURES, FEATURES, 3, 3),
        "bias": kernel(1.0, FEATURES),
        "head": kernel(3.0, 1, FEATURES, 1, 1),
    }


class Tiny:
    """The network; counts what it was asked for."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.card: ModelCard = load_card("selfie")
        self.digest = hashlib.sha256(b"tiny").hexdigest()
        self.notes: list[str] = []
        self.asked: list[Graph | str] = []
        self._folder = folder
        self._changes = changes

    def onnx(self, size: Size, graph: Graph) -> Path:
        self.asked.append(graph)
        path = self._folder / f"tiny_{size[0]}x{size[1]}_{graph.precision}_{graph.batch}.onnx"
        onnx.save(proto(size, graph, **self._changes), path)
        return path

    def module(self, size: Size) -> Any:  # noqa: ARG002  any will do
        self.asked.append("module")
        return module()


def proto(
    size: Size,
    graph: Graph,
    *,
    image: str = "image",
    image_type: int = TensorProto.UINT8,
    alpha_type: int = TensorProto.FLOAT,
    channels_last: bool = True,
    dynamic: bool = False,
    say_precision: bool = True,
) -> onnx.ModelProto:
    """Return the network as ONNX, or something that breaks the contract a little."""
    width, height = size
    real = TensorProto.FLOAT16 if graph.precision == "fp16" else TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(real)
    constants = {name: value.astype(dtype) for name, value in weights().items()}
    constants["scale"] = np.asarray(1 / 255, dtype)
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", [image], ["real"], to=real),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2])
        if channels_last
        else helper.make_node("Identity", ["real"], ["planes"]),
        helper.make_node("Mul", ["planes", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "stem"], ["stemmed"], **same),
        helper.make_node("Relu", ["stemmed"], ["x"]),
        helper.make_node("Conv", ["x", "offset"], ["offsets"], **same),
        helper.make_node("Conv", ["x", "mask"], ["gates"], **same),
        helper.make_node("Sigmoid", ["gates"], ["gated"]),
        helper.make_node("DeformConv", ["x", "deform", "offsets", "bias", "gated"], ["y"], **same),
        helper.make_node("Conv", ["y", "head"], ["logits"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["matte"]),
        helper.make_node("Cast", ["matte"], ["alpha"], to=alpha_type),
    ]
    batch: int | str = "n" if dynamic else graph.batch
    seen = [batch, height, width, 3] if channels_last else [batch, 3, height, width]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(image, image_type, seen)],
            [helper.make_tensor_value_info("alpha", alpha_type, [batch, 1, height, width])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    if say_precision:
        helper.set_model_props(model, {PRECISION: graph.precision})
    return model


def module() -> Any:
    """Return the network as a torch module."""
    import torch
    from torch.nn import functional

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, value in weights().items():
                self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(value)))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            planes = image.permute(0, 3, 1, 2).to(self.stem.dtype) / 255
            x = functional.conv2d(planes, self.stem, padding=1).relu()
            offsets = functional.conv2d(x, self.offset, padding=1)
            gates = functional.conv2d(x, self.mask, padding=1).sigmoid()
            samples = sampled(x, offsets) * gates[:, None]
            kernel = self.deform.reshape(FEATURES, FEATURES, TAPS)
            y = torch.einsum("oct,ncthw->nohw", kernel, samples) + self.bias[:, None, None]
            return functional.conv2d(y, self.head).sigmoid().float()

    def sampled(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Return what every tap of every pixel sees: ``[n, channels, tap, height, width]``."""
        n, channels, height, width = x.shape
        grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
        tap = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")) - 1
        place = grid[None, None] + tap.reshape(1, 2, TAPS).transpose(1, 2)[..., None, None]
        place = place + offsets.reshape(n, TAPS, 2, height, width)
        low = place.floor()
        total = torch.zeros(n, channels, TAPS, height, width, dtype=x.dtype)
        for dy in (0, 1):
            for dx in (0, 1):
                corner = low + torch.tensor([dy, dx])[:, None, None]
                share = (1 - (place - corner).abs()).prod(2)
                row, column = corner[:, :, 0].long(), corner[:, :, 1].long()
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
                seen = x.flatten(2).gather(2, index[:, None].expand(-1, channels, -1))
                total += seen.reshape_as(total) * (share * inside)[:, None]
        return total

    return Module().eval()
