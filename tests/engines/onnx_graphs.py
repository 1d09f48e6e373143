"""Tiny graphs that keep the contract, each around a few nodes written in ONNX's own notation."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper, parser

REAL = {"fp16": 10, "fp32": 1}
"""ONNX's numbers of the types."""
_NAMES = {"fp16": "float16", "fp32": "float"}
_ONES = np.ones((1, 1, 8, 8), np.float32)
CONSTANTS: dict[str, Any] = {
    "w": np.full((3, 3, 3, 3), 0.1),
    "w1": np.full((3, 3, 1, 1), 0.1),
    "offsets": np.full((1, 18, 8, 8), 0.5),
    "c": np.full(3, 0.5),
    "c8": np.full(8, 0.5),
    "m": np.full((8, 8), 0.1),
    "half": np.asarray(0.5),
    "grid": np.zeros((1, 8, 8, 2)),
    "scales": np.asarray([1, 1, 2, 2], np.float32),
    "f32": np.asarray(0.5, np.float32),
    "f32_8": np.full(8, 0.5, np.float32),
    "f32_m": np.full((8, 8), 0.1, np.float32),
    "f32_grid": np.zeros((1, 8, 8, 2), np.float32),
    "f64": np.asarray(0.5, np.float64),
    "zero": np.asarray([0], np.int64),
    "one": np.asarray([1], np.int64),
    "two": np.asarray([2], np.int64),
    "scalar": np.asarray(2, np.int64),
    "start": np.asarray(0, np.int64),
    "step": np.asarray(1, np.int64),
    "axes": np.asarray([2, 3], np.int64),
    "shape": np.asarray([1, 3, 64], np.int64),
    "shape4": np.asarray([1, 3, 8, 8], np.int64),
    "repeats": np.asarray([1, 1, 2, 2], np.int64),
    "pads": np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "parts": np.asarray([3, 5], np.int64),
    "size": np.asarray([1, 3, 16, 16], np.int64),
    "theta_size": np.asarray([1, 3, 8, 8], np.int64),
    "elements": np.zeros((1, 3, 8, 8), np.int64),
    "places": np.zeros((1, 1), np.int64),
    "updates": np.full((1, 3, 8, 8), 0.5),
    "i32": np.asarray([0, 1], np.int32),
    "bool": np.asarray(True),
    "u8": np.asarray(2, np.uint8),
}
"""By the names under which bodies may use them. Those of float64 are of the graph's own type."""


def around(
    body: str,
    real: str = "fp16",
    *,
    opset: int = 20,
    image: str = "uint8[1,8,8,3] image",
    alpha: str = "float[1,1,8,8] alpha",
    domain: str = "",
    **constants: Any,
) -> onnx.ModelProto:
    """Return a graph in which ``body`` makes ``y``, of whatever type, from ``x``.

    Args:
        body: Nodes, separated by semicolons; ``x`` is ``[1, 3, 8, 8]``, ``REAL`` its type.
        real: ``fp16`` or ``fp32``.
        opset: Of ONNX.
        image: The inputs; the first nodes take one of the name ``image``.
        alpha: The outputs.
        domain: Another that the body uses.
        constants: More than those in ``CONSTANTS``.
    """
    nodes = [
        "raw = Cast<to=REAL>(image)",
        "planes = Transpose<perm=[0,3,1,2]>(raw)",
        "x = Mul(planes, half)",
        *filter(None, (part.strip() for part in body.split(";"))),
        "single = Cast<to=1>(y)",
        "mean = ReduceMean<keepdims=0>(single)",
        "alpha = Mul(mean, ones)",
    ]
    lines = "\n".join(nodes).replace("REAL", str(REAL[real]))
    domains = f', "{domain}" : 1' if domain else ""
    text = (
        f'<ir_version: 9, opset_import: ["" : {opset}{domains}]>\n'
        f"tiny ({image}) => ({alpha}) {{\n{lines}\n}}"
    )
    model = parser.parse_model(text)
    for place, node in enumerate(model.graph.node):
        node.name = f"n{place}"
    values = {**CONSTANTS, **constants, "ones": _ONES}
    used = dict.fromkeys(re.findall(r"\w+", lines))
    for name in used:
        if name in values:
            model.graph.initializer.append(_tensor(values[name], name, real))
    return model


def _tensor(value: Any, name: str, real: str) -> onnx.TensorProto:
    if isinstance(value, onnx.TensorProto):
        return value
    if value.dtype == np.float64 and name != "f64":
        value = value.astype(helper.tensor_dtype_to_np_dtype(REAL[real]))
    return numpy_helper.from_array(value, name)


def whole(models: list[onnx.ModelProto]) -> onnx.ModelProto:
    """Return one graph in which all of these lie side by side."""
    together = compose.add_prefix(models[0], "0_")
    for place, model in enumerate(models[1:], 1):
        other = compose.add_prefix(model, f"{place}_").graph
        for field in ("node", "initializer", "input", "output"):
            getattr(together.graph, field).extend(getattr(other, field))
    return together


_ALONE = """
    Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh Ceil Cos Cosh Dropout Elu Erf Exp Flatten
    Floor Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid HardSwish Hardmax Identity
    IsInf IsNaN LeakyRelu Log LogSoftmax LpNormalization Mish Neg Reciprocal ReduceMax Relu Round
    Selu Shape Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu
    Transpose Trilu
"""
_OF_TWO = "Add Sub Mul Div Pow PRelu Max Min Sum Mean Equal Greater GreaterOrEqual Less LessOrEqual"
_OVER_AXES = """
    ReduceMean ReduceSum ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceSumSquare
"""
ACCEPTED = {
    **{name: f"y = {name}(x)" for name in _ALONE.split()},
    **{name: f"y = {name}(x, half)" for name in _OF_TWO.split()},
    **{name: f"y = {name}(x, axes)" for name in _OVER_AXES.split()},
    **{
        name: f"p = Greater(x, half); q = Less(x, half); y = {name}(p, q)"
        for name in ("And", "Or", "Xor")
    },
    "AveragePool": "y = AveragePool<kernel_shape=[2,2]>(x)",
    "BatchNormalization": "y = BatchNormalization(x, c, c, c, c)",
    "Cast": "y = Cast<to=7>(x)",
    "CastLike": "y = CastLike(x, f32)",
    "Clip": "y = Clip(x, half, half)",
    "Concat": "y = Concat<axis=1>(x, x)",
    "Constant": "k = Constant<value_float=2.0>(); l = Cast<to=REAL>(k); y = Mul(x, l)",
    "ConstantOfShape": "y = ConstantOfShape(shape4)",
    "Conv": "y = Conv<pads=[1,1,1,1]>(x, w, c)",
    "ConvTranspose": "y = ConvTranspose<strides=[2,2]>(x, w)",
    "CumSum": "y = CumSum(x, step)",
    "DepthToSpace": "p = Concat<axis=1>(x, x, x, x); y = DepthToSpace<blocksize=2>(p)",
    "Einsum": 'y = Einsum<equation="bchw,bcwk->bchk">(x, x)',
    "Expand": "y = Expand(half, shape4)",
    "EyeLike": "y = EyeLike(m)",
    "Gather": "y = Gather<axis=2>(x, zero)",
    "GatherElements": "y = GatherElements<axis=2>(x, elements)",
    "GatherND": "y = GatherND(x, places)",
    "Gemm": "y = Gemm(m, m, c8)",
    "GridSample": "y = GridSample(x, grid)",
    "InstanceNormalization": "y = InstanceNormalization(x, c, c)",
    "LRN": "y = LRN<size=3>(x)",
    "LayerNormalization": "y = LayerNormalization(x, c8, c8)",
    "LpPool": "y = LpPool<kernel_shape=[2,2]>(x)",
    "MatMul": "y = MatMul(x, m)",
    "MaxPool": "y = MaxPool<kernel_shape=[2,2]>(x)",
    "Mod": "y = Mod<fmod=1>(x, half)",
    "Not": "p = Greater(x, half); y = Not(p)",
    "OneHot": "p = Concat<axis=0>(one, two); y = OneHot(zero, scalar, p)",
    "Pad": "y = Pad(x, pads)",
    "Range": "y = Range(start, scalar, step)",
    "Reshape": "y = Reshape(x, shape)",
    "Resize": 'y = Resize<mode="linear">(x, , scales)',
    "ScatterElements": "y = ScatterElements<axis=2>(x, elements, updates)",
    "ScatterND": "p = Gather(x, zero); y = ScatterND(x, places, p)",
    "Slice": "y = Slice(x, zero, two, one)",
    "SpaceToDepth": "y = SpaceToDepth<blocksize=2>(x)",
    "Split": "y, z = Split<axis=3>(x, parts)",
    "Squeeze": "y = Squeeze(x, zero)",
    "Tile": "y = Tile(x, repeats)",
    "TopK": "y, z = TopK(x, one)",
    "Unsqueeze": "y = Unsqueeze(x, zero)",
    "Where": "p = Greater(x, half); y = Where(p, x, half)",
}
"""Each operator in a graph that both TensorRTs take."""
