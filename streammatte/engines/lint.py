"""What TensorRT will not take, seen in an ONNX file before TensorRT is anywhere near.

Its parser speaks of its own insides, its builder gives up after minutes or, for one operator, takes
the whole process with it, and what harms a matte it accepts without a word. The rules below say
where and what to do. All that is theirs was tried with the parser and the builder of TensorRT-RTX
1.7, which are those of TensorRT 11, and the tests try it again.
"""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.engines.kinds import KINDS, TENSORRT_RTX
from streammatte.errors import ModelError
from streammatte.models.onnx_reader import read_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from streammatte.engines.kinds import Kind

OPSETS = range(9, 21)
"""From what TensorRT documents to what we export. Its parser reads newer ones, even one that does
not exist yet; but what changed in their operators nobody here has tried."""
MOST_NODES = 5000
"""The largest of our exports has 1080; one in which constants were not folded has many times more,
and takes hours to compile."""
LARGEST_HALF = 65504.0
OPERATORS = {
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "Cosh", "CumSum", "DepthToSpace", "Div",
    "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor",
    "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample", "HardSigmoid", "HardSwish",
    "Hardmax", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul",
    "Max", "MaxPool", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu",
    "Pad", "Pow", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu",
    "Reshape", "Resize", "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink",
    "Sigmoid", "Sign", "Sin", "Sinh", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK",
    "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
}  # fmt: skip
"""Those that were seen to be parsed and compiled, in both precisions."""
REFUSED = {
    "AffineGrid": "write its matrix product with MatMul",
    "Attention": "write it as MatMul, Softmax, MatMul; compiling it fails or crashes",
    "Bernoulli": "a matte must not depend on chance",
    "BitShift": "use Mul or Div",
    "BitwiseAnd": "use And, or arithmetic",
    "CenterCropPad": "use Slice and Pad with fixed lengths",
    "Col2Im": "use ConvTranspose",
    "Compress": "the length of its result is not fixed; use Gather or Where",
    "DFT": "use MatMul with the transform's matrix",
    "Det": "write it out",
    "MaxRoiPool": "use GridSample",
    "Multinomial": "a matte must not depend on chance",
    "NonZero": "the length of its result is not fixed; use Where",
    "RoiAlign": "use GridSample",
    "Scan": "unroll it when exporting",
    "SequenceConstruct": "use Concat and Gather",
    "Unique": "the length of its result is not fixed",
}
"""What the parser does not know, or the builder fails on, and what to use instead."""
BRANCHES = {"If", "Loop"}
TYPES = {"float", "float16", "bfloat16", "int32", "int64", "bool", "uint8", "double"}
"""In ONNX's words; of ``uint8`` and ``double`` other rules speak."""
TRANSFORMATIONS = {
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
}
"""How Resize may map positions."""
_DOMAINS = ("", "ai.onnx")
_ROUNDINGS = {"Ceil", "Floor", "Round"}
_CASTS = {"Cast", "CastLike"}
_TAKE_UINT8 = {*_CASTS, "Equal", "Shape"}
_GATHERS = {"Gather", "GatherElements", "GatherND"}
_SAMPLERS = {"DeformConv": 2, "GridSample": 1}
"""Which of their inputs holds positions."""
_HALVES = ("float16", "bfloat16")
_NO_POSITIONS = (*_HALVES, "bool")
_WHOLE = ("int32", "int64")
_BITS: dict[str, type[np.unsignedinteger[Any]]] = {
    "float16": np.uint16,
    "float32": np.uint32,
    "float64": np.uint64,
}
_SMALL = 64
"""Values of which constants may be needed to know shapes; larger ones are weights."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    rule: str
    node: str
    """Its name, or that of a tensor; empty if it concerns all of the graph."""
    text: str
    """What is wrong and what to do, in one line."""

    def __str__(self) -> str:
        return f"{self.node}: {self.text}" if self.node else self.text


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    name: str
    look: Callable[[_Graph], Iterator[tuple[str, str]]]
    """Yields the node, or the tensor, and the text of each finding."""
    ours: bool = False
    """Whether TensorRT would take it all the same."""
    untried: bool = False
    """Whether it may well do no harm, only that nobody here knows."""


def lint(
    path: Path,
    kind: str = TENSORRT_RTX.name,
    *,
    contract: bool = True,
    image: Sequence[int] | None = None,
) -> list[Finding]:
    """Return what is wrong with an ONNX file for TensorRT; needs the package ``onnx``.

    Weights are looked at, one at a time, but never all in memory if they lie beside the file.

    Args:
        path: Of the file.
        kind: ``tensorrt``, or ``tensorrt-rtx``, which takes less: what passes for it does for both.
        contract: Whether the graph must go from ``image`` to ``alpha``, as those that runtimes are
            given.
        image: The shape of its first input, ``[batch, height, width, 3]``, where the builder will
            be told one and the file need not say it.

    Raises:
        ModelError: if it is no ONNX file, or its weights are missing.
    """
    graph = _Graph(path, KINDS[kind], image)
    return [
        Finding(rule.name, node, text)
        for rule in RULES
        if contract or rule.look is not _contract
        for node, text in rule.look(graph)
    ]


def refuse(
    path: Path, kind_name: str, image: Sequence[int] | None = None, *, untried: bool = False
) -> None:
    """Refuse an ONNX file that TensorRT cannot take, or that would not be right if it did.

    Without the package ``onnx`` nothing is refused: TensorRT's parser will, in its own words.

    Args:
        path: Of the file, which keeps the contract of ``models.base.Model``.
        kind_name: ``tensorrt`` or ``tensorrt-rtx``.
        image: The shape that its input will be given, if the file leaves it open.
        untried: Let pass what nobody has tried, in files that are not our exports: there TensorRT's
            parser has the last word.

    Raises:
        ModelError: with the first finding, and how many there are.
    """
    if importlib.util.find_spec("onnx") is None:
        return
    found = [
        finding
        for finding in lint(path, kind_name, image=image)
        if not (untried and finding.rule in _UNTRIED)
    ]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ModelError(f"{path.name} is not for {KINDS[kind_name].title}: {found[0]}{more}")


# --- the file -----------------------------------------------------------------------------------


class _Graph:
    """What rules look at; types are in ONNX's words, such as ``float16``."""

    def __init__(self, path: Path, kind: Kind, image: Sequence[int] | None) -> None:
        model = _loaded(path)
        self.kind = kind
        self.opset = _opset_of(model)
        self.largest = dict(_largest_of(model.graph, path.parent))
        if image is not None:
            _give_shape(model.graph, image)
        model = _inferred(model)
        constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self.nodes = list(model.graph.node)
        self.inputs = [value for value in model.graph.input if value.name not in constants]
        self.outputs = list(model.graph.output)
        values = (*self.inputs, *self.outputs, *model.graph.value_info)
        known = {value.name: value.type.tensor_type.elem_type for value in values} | constants
        self.types = {name: _type_name(number) for name, number in known.items() if number}
        self.makers = {name: node for node in self.nodes for name in node.output if name}
        self.takers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.takers[name].append(node)

    def letter(self, node: Any, place: int) -> str:
        """Return ONNX's letter for the type of an input; those of one letter must be the same."""
        letters = _letters(node.op_type, self.opset)
        return letters[min(place, len(letters) - 1)] if letters else ""

    def taken(self, node: Any, place: int) -> tuple[str, str]:
        """Return the name and the type of an input; nothing if it has none or it is unknown."""
        name = node.input[place] if place < len(node.input) else ""
        return name, self.types.get(name, "")


def _loaded(path: Path) -> Any:
    import onnx
    from onnx.inliner import inline_local_functions

    read_onnx(path)  # it says in our words if it is something else
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from error
    return inline_local_functions(model) if model.functions else model


def _opset_of(model: Any) -> int:
    return max((one.version for one in model.opset_import if one.domain in _DOMAINS), default=1)


def _largest_of(graph: Any, folder: Path) -> Iterator[tuple[str, float]]:
    """Yield the greatest magnitude of each constant, NaN if one is; and let go of weights."""
    for tensor in graph.initializer:
        yield tensor.name, _largest(tensor, folder)
        if math.prod(tensor.dims) > _SMALL:
            for field in ("raw_data", "float_data", "int32_data", "double_data"):
                tensor.ClearField(field)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield _name(node), _largest(attribute.t, folder)
            elif node.op_type == "Constant" and (attribute.floats or attribute.f):
                numbers = np.asarray([*attribute.floats, attribute.f], np.float32)
                yield _name(node), _magnitude(numbers)


def _largest(tensor: Any, folder: Path) -> float:
    from onnx import numpy_helper

    if _type_name(tensor.data_type) not in ("float", "float16", "double"):
        return 0.0
    try:
        return _magnitude(numpy_helper.to_array(tensor, str(folder)))
    except Exception as error:  # which depends on onnx's version
        raise ModelError(f"the weights {tensor.name} cannot be read: {error}") from error


def _magnitude(values: Any) -> float:
    """Return the greatest absolute value; NaN if any is.

    Without their sign, the bits of floats are in the order of what they stand for, infinity and
    NaN last; and numpy compares whole numbers many times quicker than those in half precision.
    """
    if not values.size:
        return 0.0
    whole = _BITS[values.dtype.name]
    greatest = (values.ravel().view(whole) & whole(np.iinfo(whole).max >> 1)).max()
    return float(np.asarray(greatest).view(values.dtype))


def _give_shape(graph: Any, shape: Sequence[int]) -> None:
    dims = graph.input[0].type.tensor_type.shape.dim
    for dim, length in zip(dims, shape, strict=False):
        if not dim.dim_value:
            dim.dim_value = length


def _inferred(model: Any) -> Any:
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # noqa: BLE001  rules look at what the file says itself
        return model


@cache
def _type_name(number: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(number)).lower()


@cache
def _letters(operator: str, opset: int) -> tuple[str, ...]:
    from onnx import defs

    try:
        schema = defs.get_schema(operator, opset)
    except defs.SchemaError:
        return ()
    return tuple(each.type_str for each in schema.inputs)


def _name(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"


def _said(node: Any, key: str, default: Any) -> Any:
    """Return an attribute of a node."""
    from onnx import helper

    found = next((each for each in node.attribute if each.name == key), None)
    value = default if found is None else helper.get_attribute_value(found)
    return value.decode() if isinstance(value, bytes) else value


# --- the rules ----------------------------------------------------------------------------------


def _opset(graph: _Graph) -> Iterator[tuple[str, str]]:
    if graph.opset not in OPSETS:
        first, last = OPSETS[0], OPSETS[-1]
        yield (
            "",
            f"it is of opset {graph.opset}, not {first} to {last}; export it with opset {last}",
        )


def _operators(graph: _Graph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if node.domain not in _DOMAINS:
            yield _name(node), f"operators of {node.domain} are not known; use those of ONNX alone"
        elif node.op_type in REFUSED:
            yield _name(node), f"this operator is not known; {REFUSED[node.op_type]}"
        elif node.op_type == "DeformConv" and graph.kind is TENSORRT_RTX:
            yield _name(node), "this operator is not known; export it with --deform gather"


def _branches(graph: _Graph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if node.op_type in BRANCHES:
            yield _name(node), "loops and branches cannot be captured; unroll them when exporting"


def _unproven(graph: _Graph) -> Iterator[tuple[str, str]]:
    spoken_of = OPERATORS | REFUSED.keys() | BRANCHES | {"DeformConv"}
    for node in graph.nodes:
        if node.domain in _DOMAINS and node.op_type not in spoken_of:
            yield _name(node), "nobody has tried this operator with TensorRT; write it with others"


def _contract(graph: _Graph) -> Iterator[tuple[str, str]]:
    for values, role, name, dtype in (
        (graph.inputs, "take", "image", "uint8"),
        (graph.outputs, "give", "alpha", "float"),
    ):
        found = [(value.name, graph.types.get(value.name, "")) for value in values]
        if found != [(name, dtype)]:
            told = ", ".join(f"{each[1] or 'something'} {each[0]}" for each in found) or "nothing"
            yield "", f"it should {role} {dtype} '{name}' alone; now that is {told}"


def _dynamic(graph: _Graph) -> Iterator[tuple[str, str]]:
    for value in graph.inputs:
        kind = value.type.tensor_type
        dims = [dim.dim_value or dim.dim_param or "?" for dim in kind.shape.dim]
        if not kind.HasField("shape") or not all(isinstance(dim, int) for dim in dims):
            shape = ", ".join(map(str, dims)) or "..."
            yield value.name, f"its shape [{shape}] is not fixed; export it for one size and batch"


def _types(graph: _Graph) -> Iterator[tuple[str, str]]:
    for name, dtype in graph.types.items():
        if dtype not in TYPES:
            yield name, f"{dtype} is not known or not for this; use int32 or float16"


def _uint8(graph: _Graph) -> Iterator[tuple[str, str]]:
    outputs = {value.name for value in graph.outputs}
    for name in (name for name, dtype in graph.types.items() if dtype == "uint8"):
        maker = graph.makers.get(name)
        made_by = maker.op_type if maker is not None else "Constant"
        if made_by != "Constant" and not (made_by == "Cast" and name in outputs):
            yield _name(maker), "it makes uint8 in the middle; only a Cast into an output may"
            continue
        for taker in graph.takers[name]:
            if taker.op_type not in _TAKE_UINT8:
                yield _name(taker), f"it takes {name} as uint8; put a Cast before it"


def _resize(graph: _Graph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if node.op_type != "Resize":
            continue
        mapping = _said(node, "coordinate_transformation_mode", "half_pixel")
        if _said(node, "antialias", 0):
            yield _name(node), "antialias is not known; use AveragePool, or a Conv before it"
        if mapping not in TRANSFORMATIONS:
            yield _name(node), f"{mapping} is not known; use half_pixel"
        if _said(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
            yield _name(node), "keeping the aspect is not known; give it both sizes"


def _grids(graph: _Graph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        if node.op_type == "GridSample":
            image, grid = (graph.taken(node, place)[1] for place in (0, 1))
            if image and grid and image != grid:
                yield _name(node), f"it samples {image} by {grid}; Cast both to float"


def _mixed(graph: _Graph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        same: dict[str, set[str]] = defaultdict(set)
        for place in range(len(node.input)):
            dtype = graph.taken(node, place)[1]
            if dtype:
                same[graph.letter(node, place)].add(dtype)
        for letter, dtypes in same.items():
            if letter and len(dtypes) > 1:
                told = " and ".join(sorted(dtypes))
                yield _name(node), f"it takes {told} together; Cast them to one type before it"


def _double(graph: _Graph) -> Iterator[tuple[str, str]]:
    for name, dtype in graph.types.items():
        if dtype == "double":
            yield name, "TensorRT would compute double in single precision; use float"


def _overflow(graph: _Graph) -> Iterator[tuple[str, str]]:
    half = "float16" in graph.types.values()
    for name, value in graph.largest.items():
        if math.isnan(value):
            yield name, "it holds NaN; the weights are damaged"
        elif math.isinf(value):
            yield name, "it holds infinity, which becomes NaN; use -10000 to mask"
        elif half and value > LARGEST_HALF:
            yield name, f"half precision ends at {LARGEST_HALF:g}, it holds {value:g}; use 10000"


def _positions(graph: _Graph) -> Iterator[tuple[str, str]]:
    """Find what holds positions in half precision: beyond 128 it is an eighth of a pixel off."""
    culprits = [
        node
        for node in graph.nodes
        if node.op_type in _SAMPLERS and graph.taken(node, _SAMPLERS[node.op_type])[1] in _HALVES
    ]
    for node in (*culprits, *_rough_indices(graph)):
        yield _name(node), "positions in half precision shift what is seen; compute them in float"


def _rough_indices(graph: _Graph) -> Iterator[Any]:
    """Yield the casts from half precision that indices of gathers come from.

    In single precision, what was in half may be added to positions, and our exports do that; it may
    not have been a position itself.
    """
    ends, seen = [node.input[1] for node in graph.nodes if node.op_type in _GATHERS], set()
    while ends:
        name = ends.pop()
        maker = graph.makers.get(name)
        if maker is None or name in seen:
            continue
        seen.add(name)
        if graph.taken(maker, 0)[1] not in _HALVES or maker.op_type not in _CASTS:
            ends += [each for each in maker.input if graph.types.get(each) not in _NO_POSITIONS]
        elif _makes_whole(graph, maker):
            yield maker


def _makes_whole(graph: _Graph, cast: Any) -> bool:
    """Return whether what is cast was rounded before, or is at once after."""
    before, result = graph.makers.get(cast.input[0]), cast.output[0]
    after = [each.output[0] for each in graph.takers[result] if each.op_type in _CASTS]
    return (before is not None and before.op_type in _ROUNDINGS) or any(
        graph.types.get(name) in _WHOLE for name in (result, *after)
    )


def _nodes(graph: _Graph) -> Iterator[tuple[str, str]]:
    if len(graph.nodes) > MOST_NODES:
        count = len(graph.nodes)
        yield "", f"it has {count} nodes, more than {MOST_NODES}; fold constants when exporting it"


RULES = (
    Rule("opset", _opset, ours=True, untried=True),
    Rule("operators", _operators),
    Rule("branches", _branches, ours=True, untried=True),
    Rule("unproven", _unproven, ours=True, untried=True),
    Rule("contract", _contract, ours=True),
    Rule("dynamic", _dynamic),
    Rule("types", _types),
    Rule("uint8", _uint8),
    Rule("resize", _resize),
    Rule("grids", _grids),
    Rule("mixed", _mixed),
    Rule("double", _double, ours=True),
    Rule("overflow", _overflow, ours=True),
    Rule("positions", _positions, ours=True),
    Rule("nodes", _nodes, ours=True, untried=True),
)
_UNTRIED = {rule.name for rule in RULES if rule.untried}
