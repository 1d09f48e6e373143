"""A network that both TensorRTs know: ``tiny.Tiny`` without the deformable convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import tiny
from onnx import TensorProto, helper, numpy_helper

from streammatte.runtimes.contract import PRECISION

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.base import Graph, Size

_TYPES = {
    "uint8": TensorProto.UINT8,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
}


class Plain(tiny.Tiny):
    """The network, as ``models.base.Model``; keyword arguments are those of ``proto``."""

    def onnx(self, size: Size, graph: Graph) -> Path:
        self.asked.append(graph)
        path = self._folder / f"plain_{size[0]}x{size[1]}_{graph.precision}_{graph.batch}.onnx"
        onnx.save(proto(size, graph.precision, graph.batch, **self._changes), path)
        return path


def proto(
    size: Size,
    precision: str = "fp16",
    batch: int = 1,
    *,
    says: str = "",
    alpha_type: str = "float32",
    dynamic: bool = False,
) -> onnx.ModelProto:
    """Return it as ONNX.

    Args:
        size: ``(width, height)``.
        precision: In which it computes.
        batch: How many images it takes.
        says: The precision that its metadata tell, if not the true one.
        alpha_type: Of the output: ``float32``, ``float16`` or ``uint8``.
        dynamic: Whether any number of images will do.
    """
    width, height = size
    real = _TYPES["float16" if precision == "fp16" else "float32"]
    dtype = helper.tensor_dtype_to_np_dtype(real)
    weights = tiny.weights()
    constants = {name: weights[name].astype(dtype) for name in ("stem", "head")}
    constants["scale"] = np.asarray(1 / 255, dtype)
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=real),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["scaled"]),
        helper.make_node(
            "Conv", ["scaled", "stem"], ["stemmed"], "stem", kernel_shape=[3, 3], pads=[1] * 4
        ),
        helper.make_node("Relu", ["stemmed"], ["x"]),
        helper.make_node("Conv", ["x", "head"], ["logits"], "head", kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["matte"]),
        helper.make_node("Cast", ["matte"], ["alpha"], to=_TYPES[alpha_type]),
    ]
    first: int | str = "n" if dynamic else batch
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [first, height, width, 3])
    alpha = helper.make_tensor_value_info("alpha", _TYPES[alpha_type], [first, 1, height, width])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "plain", [image], [alpha], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, {PRECISION: says or precision})
    return model
