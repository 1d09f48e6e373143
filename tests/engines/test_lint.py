"""The lint: it knows what TensorRT's real parser and builder know, and what they do not.

TensorRT-RTX parses and compiles without a GPU, so nothing here is taken on trust.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import onnx
import pytest
from onnx_graphs import ACCEPTED, around, whole

from streammatte.cli import main
from streammatte.engines.lint import OPERATORS, REFUSED, RULES, lint, refuse
from streammatte.errors import ModelError
from streammatte.models import Graph, open_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRECISIONS = ("fp16", "fp32")
BOX = np.asarray([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
THEIRS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # what it is about: rule, nodes, and what else the graph has
    "another domain": ("operators", "y = org.example.Thing(x)", {"domain": "org.example"}),
    "AffineGrid": (
        "operators",
        "y = AffineGrid(theta, shape4)",
        {"theta": np.full((1, 2, 3), 0.5)},
    ),
    "Bernoulli": ("operators", "y = Bernoulli(x)", {}),
    "BitShift": ("operators", 'y = BitShift<direction="LEFT">(u8, u8)', {}),
    "BitwiseAnd": ("operators", "y = BitwiseAnd(zero, one)", {}),
    "CenterCropPad": ("operators", "y = CenterCropPad(x, shape4)", {}),
    "Col2Im": (
        "operators",
        "p = Reshape(x, tall); y = Col2Im(p, square, square)",
        {"tall": np.asarray([1, 12, 16]), "square": np.asarray([4, 4])},
    ),
    "Compress": ("operators", "y = Compress<axis=1>(x, kept)", {"kept": np.asarray([True] * 3)}),
    "DFT": (
        "operators",
        "p = Unsqueeze(x, last); y = DFT(p)",
        {"last": np.asarray([4])},
    ),
    "DeformConv": ("operators", "y = DeformConv<pads=[1,1,1,1]>(x, w, offsets)", {}),
    "Det": ("operators", "y = Det(x)", {}),
    "MaxRoiPool": (
        "operators",
        "y = MaxRoiPool<pooled_shape=[2,2]>(x, box)",
        {"box": np.asarray([[0.0, 0, 0, 4, 4]])},
    ),
    "Multinomial": ("operators", "y = Multinomial(m)", {}),
    "NonZero": ("operators", "y = NonZero(x)", {}),
    "RoiAlign": (
        "operators",
        "y = RoiAlign(x, box, zero)",
        {"box": np.asarray([[0.0, 0, 4, 4]])},
    ),
    "Scan": (
        "operators",
        (
            "y = Scan<num_scan_inputs=1, body = g (REALTYPE[3,8,8] v) => (REALTYPE[3,8,8] r)"
            " { r = Relu(v) }>(x)"
        ),
        {},
    ),
    "SequenceConstruct": ("operators", "s = SequenceConstruct(x, x); y = SequenceAt(s, start)", {}),
    "Unique": ("operators", "y = Unique(x)", {}),
    "batch of any number": ("dynamic", "y = Relu(x)", {"image": "uint8[n,8,8,3] image"}),
    "any size": ("dynamic", "y = Relu(x)", {"image": "uint8[1,h,w,3] image"}),
    "int16": ("types", "p = Cast<to=5>(x); y = Cast<to=1>(p)", {}),
    "uint16": ("types", "p = Cast<to=4>(x); y = Cast<to=1>(p)", {}),
    "uint32": ("types", "p = Cast<to=12>(x); y = Cast<to=1>(p)", {}),
    "uint64": ("types", "p = Cast<to=13>(x); y = Cast<to=1>(p)", {}),
    "string": ("types", "p = Cast<to=8>(x); y = Cast<to=1>(p)", {}),
    "fp8": ("types", "p = Cast<to=17>(x); y = Cast<to=1>(p)", {}),
    "int16 constant": ("types", "y = Cast<to=1>(k)", {"k": np.asarray([2], np.int16)}),
    "int8 constant": (
        "types",
        "p = Cast<to=REAL>(k); y = Mul(x, p)",
        {"k": np.asarray(2, np.int8)},
    ),
    "uint8 transposed": (
        "uint8",
        "p = Transpose<perm=[0,3,1,2]>(image); y = Cast<to=REAL>(p)",
        {},
    ),
    "uint8 added": ("uint8", "p = Add(image, image); y = Cast<to=REAL>(p)", {}),
    "uint8 sliced": ("uint8", "p = Slice(image, zero, one, one); y = Cast<to=REAL>(p)", {}),
    "uint8 copied": ("uint8", "p = Identity(image); y = Cast<to=REAL>(p)", {}),
    "uint8 compared": ("uint8", "p = Less(image, image); y = Cast<to=REAL>(p)", {}),
    "uint8 searched": ("uint8", "y = ArgMax(image)", {}),
    "uint8 within": ("uint8", "p = Cast<to=2>(x); y = Cast<to=REAL>(p)", {}),
    "uint8 not at once the output": (
        "uint8",
        "y = Relu(x); p = Cast<to=2>(x); o = Squeeze(p, zero)",
        {"alpha": "float[1,1,8,8] alpha, uint8[3,8,8] o"},
    ),
    "antialias": ("resize", 'y = Resize<mode="linear",antialias=1>(x, , scales)', {}),
    "crop": (
        "resize",
        (
            'y = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize">'
            "(x, box, scales)"
        ),
        {"box": BOX},
    ),
    "half_pixel_symmetric": (
        "resize",
        (
            'y = Resize<mode="linear",coordinate_transformation_mode="half_pixel_symmetric">'
            "(x, , scales)"
        ),
        {},
    ),
    "aspect": (
        "resize",
        'y = Resize<mode="linear",keep_aspect_ratio_policy="not_larger",axes=[2,3]>(x, , , sides)',
        {"sides": np.asarray([16, 16])},
    ),
    "grid of another type": ("grids", "p = Cast<to=OTHER>(x); y = GridSample(p, grid)", {}),
    "int32 and int64": ("mixed", "p = Cast<to=6>(scalar); y = Add(p, scalar)", {}),
    "norm's scale": ("mixed", "p = Cast<to=OTHER>(x); y = LayerNormalization(p, c8, c8)", {}),
    "norm's shift": (
        "mixed",
        "p = Cast<to=OTHER>(c8); y = LayerNormalization(x, c8, p)",
        {},
    ),
    "instance norm": (
        "mixed",
        "p = Cast<to=OTHER>(x); y = InstanceNormalization(p, c, c)",
        {},
    ),
    **{
        f"mixed {name}": ("mixed", body, {})
        for name, body in {
            "Add": "p = Cast<to=OTHER>(x); y = Add(x, p)",
            "Mul": "p = Cast<to=OTHER>(x); y = Mul(p, x)",
            "Max": "p = Cast<to=OTHER>(x); y = Max(x, x, p)",
            "Greater": "p = Cast<to=OTHER>(x); y = Greater(p, x)",
            "Where": "b = Greater(x, half); p = Cast<to=OTHER>(x); y = Where(b, x, p)",
            "Concat": "p = Cast<to=OTHER>(x); y = Concat<axis=1>(x, p)",
            "MatMul": "p = Cast<to=OTHER>(x); y = MatMul(p, m)",
            "Gemm": "p = Cast<to=OTHER>(m); y = Gemm(m, p)",
            "Einsum": 'p = Cast<to=OTHER>(x); y = Einsum<equation="bchw,bchw->bch">(x, p)',
            "Conv": "p = Cast<to=OTHER>(x); y = Conv(p, w)",
            "Conv's bias": "p = Cast<to=OTHER>(c); y = Conv(x, w, p)",
            "PRelu": "p = Cast<to=OTHER>(x); y = PRelu(p, half)",
        }.items()
    },
}
"""What the lint refuses because TensorRT does."""
OURS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opset too new": ("opset", "y = Relu(x)", {"opset": 21}),
    "opset too old": ("opset", "y = Relu(x)", {"opset": 8}),
    "Loop": (
        "branches",
        (
            "y = Loop<body = g (int64 i, bool t, REALTYPE[1,3,8,8] v) => "
            "(bool u, REALTYPE[1,3,8,8] r) { u = Identity(t)\n r = Relu(v) }>(scalar, bool, x)"
        ),
        {},
    ),
    "If": (
        "branches",
        (
            "y = If<then_branch = g () => (REALTYPE[1,3,8,8] v) { v = Relu(x) }, "
            "else_branch = h () => (REALTYPE[1,3,8,8] r) { r = Neg(x) }>(bool)"
        ),
        {},
    ),
    "chance": ("unproven", "y = RandomNormalLike(x)", {}),
    "second input": (
        "contract",
        "p = Cast<to=REAL>(more); y = Mul(x, p)",
        {"image": "uint8[1,8,8,3] image, float[1] more"},
    ),
    "second output": (
        "contract",
        "y = Relu(x); o = Cast<to=1>(x)",
        {"alpha": "float[1,1,8,8] alpha, float[1,3,8,8] o"},
    ),
    "image of floats": ("contract", "y = Relu(x)", {"image": "float[1,8,8,3] image"}),
    "double": ("double", "p = Cast<to=11>(x); y = Mul(p, f64)", {}),
    "infinity": ("overflow", "y = Add(x, mask)", {"mask": np.asarray([0.5, -np.inf])[1:]}),
    "NaN": ("overflow", "y = Add(x, odd)", {"odd": np.asarray([np.nan])}),
    "infinity in a Constant": (
        "overflow",
        "k = Constant<value=float {-inf}>(); l = Cast<to=REAL>(k); y = Add(x, l)",
        {},
    ),
    "infinity as a number": (
        "overflow",
        "k = Constant<value_float=-inf>(); l = Cast<to=REAL>(k); y = Add(x, l)",
        {},
    ),
    "positions of whole slices": (
        "positions",
        "p = Cast<to=7>(c8); y = Gather<axis=2>(x, p)",
        {"real": "fp16"},
    ),
    "positions of several axes": (
        "positions",
        "k = Unsqueeze(half, start); p = Cast<to=7>(k); y = GatherND(x, p)",
        {"real": "fp16"},
    ),
    "positions to whole numbers": (
        "positions",
        "p = Cast<to=7>(x); y = GatherElements<axis=2>(x, p)",
        {"real": "fp16"},
    ),
    "positions in a sum": (
        "positions",
        "p = Cast<to=6>(x); q = Clip(p, i0, i7); r = Add(q, q); y = GatherElements<axis=2>(x, r)",
        {"real": "fp16", "i0": np.asarray(0, np.int32), "i7": np.asarray(7, np.int32)},
    ),
    "positions rounded": (
        "positions",
        (
            "f = Floor(x); p = Cast<to=1>(f); q = Add(p, f32); r = Cast<to=7>(q);"
            "y = GatherElements<axis=2>(x, r)"
        ),
        {"real": "fp16"},
    ),
    "positions in a detour": (
        "positions",
        "p = Cast<to=1>(x); r = Cast<to=7>(p); y = GatherElements<axis=2>(x, r)",
        {"real": "fp16"},
    ),
    "positions of a grid": ("positions", "y = GridSample(x, grid)", {"real": "fp16"}),
    "beyond half precision": (
        "overflow",
        "p = Cast<to=1>(x); y = Add(p, big)",
        {"real": "fp16", "big": np.asarray([1e5], np.float32)},
    ),
    "nodes": ("nodes", "y = Relu(x)", {"copies": 5000}),
}
"""What TensorRT takes without a word, and should not be given."""


def graph(body: str, real: str = "fp16", copies: int = 0, **changes: Any) -> onnx.ModelProto:
    """Return the graph of a line of the tables."""
    other = {"fp16": 1, "fp32": 10}[real]
    name = {"fp16": "float16", "fp32": "float"}[real]
    body = body.replace("OTHER", str(other)).replace("REALTYPE", name)
    model = around(body, real, **changes)
    for place in range(copies):
        node = onnx.helper.make_node("Relu", ["x"], [f"copy{place}"], name=f"copy{place}")
        model.graph.node.append(node)
    return model


class TensorRT:
    """The real one: its parser and its builder."""

    def __init__(self) -> None:
        self._api = api = pytest.importorskip(
            "tensorrt_rtx", reason='needs TensorRT-RTX: pip install ".[rtx]"'
        )

        class Quiet(api.ILogger):  # type: ignore[misc, name-defined]
            def log(self, severity: Any, message: str) -> None:
                pass

        self._logger = Quiet()
        self._builder = api.Builder(self._logger)

    def parses(self, model: onnx.ModelProto) -> bool:
        return self._parsed(model) is not None

    def builds(self, model: onnx.ModelProto) -> bool:
        network = self._parsed(model)
        if network is None:
            return False
        config = self._builder.create_builder_config()
        config.builder_optimization_level = 0
        return self._builder.build_serialized_network(network, config) is not None

    def _parsed(self, model: onnx.ModelProto) -> Any:
        flags = 1 << int(self._api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = self._builder.create_network(flags)
        parser = self._api.OnnxParser(network, self._logger)
        return network if parser.parse(model.SerializeToString()) else None


@pytest.fixture(scope="module")
def tensorrt() -> TensorRT:
    return TensorRT()


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that lints a graph, and gives the rules that found something."""

    def names(model: onnx.ModelProto, kind: str = "tensorrt-rtx", **changes: Any) -> list[str]:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return [finding.rule for finding in lint(path, kind, **changes)]

    return names


def lines(
    table: dict[str, tuple[str, str, dict[str, Any]]],
) -> list[Any]:
    return [
        pytest.param(rule, body, {"real": real, **changes}, id=f"{rule}: {name}-{real}")
        for name, (rule, body, changes) in table.items()
        for real in PRECISIONS
        if changes.get("real", real) == real
    ]


# --- refused by TensorRT, and by the lint -------------------------------------------------------


@pytest.mark.parametrize(("rule", "body", "changes"), lines(THEIRS))
def test_what_tensorrt_refuses_is_found(
    rule: str, body: str, changes: dict[str, Any], found: Callable[..., list[str]]
) -> None:
    assert rule in found(graph(body, **changes))


@pytest.mark.parametrize(("rule", "body", "changes"), lines(THEIRS))
def test_what_is_found_tensorrt_refuses(
    rule: str, body: str, changes: dict[str, Any], tensorrt: TensorRT
) -> None:
    model = graph(body, **changes)
    assert not (tensorrt.builds(model) if rule in ("dynamic", "types") else tensorrt.parses(model))


@pytest.mark.parametrize("real", PRECISIONS)
def test_attention_is_parsed_but_does_not_compile(
    real: str, tensorrt: TensorRT, found: Callable[..., list[str]], tmp_path: Path
) -> None:
    model = graph("y = Attention(x, x, x)", real, opset=23)
    assert found(model) == ["opset", "operators"]
    assert tensorrt.parses(model)
    onnx.save(model, tmp_path / "attention.onnx")
    # In single precision it takes the process with it.
    code = (
        "import sys, onnx, test_lint\n"
        "sys.exit(0 if test_lint.TensorRT().builds(onnx.load(sys.argv[1])) else 1)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "attention.onnx")],
        cwd=__file__.rpartition("/")[0],
        capture_output=True,
        check=False,
    )
    assert told.returncode != 0


def test_every_rule_and_every_refused_operator_has_a_graph() -> None:
    theirs, ours = ({rule for rule, *_ in table.values()} for table in (THEIRS, OURS))
    assert theirs == {rule.name for rule in RULES if not rule.ours}
    assert ours == {rule.name for rule in RULES if rule.ours}
    assert set(THEIRS) >= REFUSED.keys() - {"Attention"}


# --- refused by the lint alone ------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "body", "changes"), lines(OURS))
def test_what_tensorrt_takes_but_should_not_be_given_is_found(
    rule: str, body: str, changes: dict[str, Any], found: Callable[..., list[str]]
) -> None:
    assert set(found(graph(body, **changes))) == {rule}


@pytest.mark.parametrize(("rule", "body", "changes"), lines(OURS))
def test_what_is_found_tensorrt_takes(
    rule: str, body: str, changes: dict[str, Any], tensorrt: TensorRT
) -> None:
    assert tensorrt.parses(graph(body, **changes))


# --- taken by both ------------------------------------------------------------------------------


def bodies(real: str) -> dict[str, str]:
    """Return a graph for each operator of which the lint has nothing to say."""
    rough = real == "fp16"
    grid = "p = Cast<to=1>(x); q = Cast<to=1>(grid); y = GridSample(p, q)"
    return {**ACCEPTED, **({"GridSample": grid} if rough else {})}


def test_every_operator_that_is_allowed_has_a_graph() -> None:
    assert ACCEPTED.keys() == OPERATORS
    assert not OPERATORS & REFUSED.keys()


@pytest.mark.parametrize("real", PRECISIONS)
def test_what_is_allowed_is_taken(
    real: str, tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    models = {name: graph(body, real) for name, body in bodies(real).items()}
    for name, model in models.items():
        assert found(model) == [], name
        assert tensorrt.parses(model), name
        onnx.checker.check_model(model, full_check=True)
    assert tensorrt.builds(whole(list(models.values())))


GOOD = {
    "mode": [f'y = Resize<mode="{mode}">(x, , scales)' for mode in ("nearest", "linear", "cubic")],
    "mapping": [
        f'y = Resize<mode="{mode}",coordinate_transformation_mode="{mapping}">(x, , scales)'
        for mode in ("nearest", "linear", "cubic")
        for mapping in (
            "half_pixel",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_half_pixel_for_nn",
        )
    ],
    "sizes": ['y = Resize<mode="linear">(x, , , size)'],
    "sampling": [
        f'p = Cast<to=1>(x); y = GridSample<mode="{mode}",padding_mode="{pad}">(p, f32_grid)'
        for mode in ("nearest", "linear", "cubic")
        for pad in ("zeros", "border", "reflection")
    ],
    "padding": [f'y = Pad<mode="{mode}">(x, pads)' for mode in ("constant", "reflect", "edge")],
    "types": [
        "p = Cast<to=16>(x); q = Mul(p, p); y = Cast<to=1>(q)",
        "p = Cast<to=6>(x); y = Add(p, p)",
        "p = Cast<to=9>(x); y = Not(p)",
        "p = Cast<to=REAL>(u8); y = Mul(x, p)",
        "p = CastLike(u8, x); y = Mul(x, p)",
        "y = Equal(image, image)",
        "y = Shape(image)",
        "y = Pow(x, f32)",
        "y = Pow(x, scalar)",
        "y = BatchNormalization(x, f32_c, f32_c, f32_c, f32_c)",
        "p = Cast<to=1>(x); q = LayerNormalization(p, f32_8, f32_8); y = Cast<to=REAL>(q)",
    ],
    "positions": [
        (
            "p = Cast<to=1>(x); q = Add(p, f32); f = Floor(q); r = Cast<to=7>(f);"
            "y = GatherElements<axis=2>(x, r)"
        ),
        "p = Floor(x); y = Gather(p, zero)",
        (
            "f = Floor(x); g = Cast<to=1>(f); b = Greater(g, f32); p = Cast<to=7>(b);"
            "y = GatherElements<axis=2>(x, p)"
        ),
    ],
}


@pytest.mark.parametrize("real", PRECISIONS)
@pytest.mark.parametrize("what", GOOD)
def test_what_is_right_is_taken(
    what: str, real: str, tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    more = {"f32_c": np.full(3, 0.5, np.float32)}
    models = [graph(body, real, **more) for body in GOOD[what]]
    for model, body in zip(models, GOOD[what], strict=True):
        assert found(model) == [], body
        assert tensorrt.parses(model), body
    assert tensorrt.builds(whole(models))


OLDER = {
    9: ["y = Relu(x)", "y = Conv(x, w)", "y = MatMul(x, m)", "y = Clip<min=0.0,max=1.0>(x)"],
    10: ["y = Resize(x, scales)", "y = Slice(x, zero, two, one)"],
    11: ["y = Squeeze<axes=[0]>(x)", "y, z = Split<axis=3,split=[3,5]>(x)", "y = Pad(x, pads)"],
    13: ["y = ReduceMean<axes=[2,3]>(x)", "y = Softmax<axis=1>(x)", "y = Squeeze(x, zero)"],
    17: ["y = LayerNormalization(x, c8, c8)", 'y = Resize<mode="linear">(x, , scales)'],
}


@pytest.mark.parametrize("opset", OLDER)
def test_older_opsets_are_taken(
    opset: int, tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    models = [graph(body, opset=opset) for body in OLDER[opset]]
    for model in models:
        assert found(model) == []
        assert tensorrt.parses(model)
    assert tensorrt.builds(whole(models))


def test_uint8_may_leave_and_be_looked_at(
    tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    alpha = "float[1,1,8,8] alpha, uint8[1,3,8,8] o"
    model = graph("o = Cast<to=2>(x); y = Cast<to=REAL>(o)", alpha=alpha)
    assert found(model, contract=False) == []
    assert tensorrt.builds(model)


# --- one against the other ----------------------------------------------------------------------

CASTS_BY_ITSELF = {"BatchNormalization", "Clip", "Pad"}
"""Of mixed types, which ONNX forbids, the parser makes one."""


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_lint_and_parser_agree_on_types(
    name: str, tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    """Give every operator each of its inputs in single precision instead of half."""
    clean = graph(ACCEPTED[name], "fp16")
    single = {tensor.name for tensor in clean.graph.initializer if tensor.data_type == 10} | {"x"}
    place = [i for i, node in enumerate(clean.graph.node) if node.op_type == name][name == "Cast"]
    for port, given in enumerate(clean.graph.node[place].input):
        if given not in single:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(clean)
        model.graph.node[place].input[port] = "other"
        model.graph.node.insert(place, onnx.helper.make_node("Cast", [given], ["other"], to=1))
        rules = set(found(model)) & {"mixed", "grids"}
        if not (rules and name in CASTS_BY_ITSELF):
            assert bool(rules) == (not tensorrt.parses(model)), (given, rules)


# --- what comes with it -------------------------------------------------------------------------


def saved(model: onnx.ModelProto, path: Path, **changes: Any) -> Path:
    onnx.save(model, path, **changes)
    return path


@pytest.mark.parametrize(
    ("real", "kind", "rules"),
    [
        ("fp32", "tensorrt", []),
        ("fp32", "tensorrt-rtx", ["operators"]),
        ("fp16", "tensorrt", ["positions"]),
    ],
)
def test_only_one_of_the_two_has_deformable_convolutions(
    real: str, kind: str, rules: list[str], found: Callable[..., list[str]]
) -> None:
    assert found(graph(THEIRS["DeformConv"][1], real), kind) == rules


def test_a_size_that_the_builder_is_told_need_not_be_in_the_file(
    found: Callable[..., list[str]],
) -> None:
    model = graph("y = Relu(x)", image="uint8[n,h,w,3] image")
    assert found(model, image=(1, 8, 8, 3)) == []
    assert found(graph("y = Relu(x)", image="uint8[n,h,w,3] image")) == ["dynamic"]


def test_functions_are_looked_into(tensorrt: TensorRT, found: Callable[..., list[str]]) -> None:
    model = graph("y = org.example.Twice(x)", domain="org.example")
    for operator, rules in (("Relu", []), ("NonZero", ["operators"])):
        del model.functions[:]
        text = f"""<opset_import: ["" : 20], domain: "org.example">
            Twice (v) => (r) {{ q = {operator}(v)\n r = Identity(q) }}"""
        model.functions.append(onnx.parser.parse_function(text))
        assert found(model) == rules
        assert tensorrt.parses(model) == (not rules)


def test_rules_speak_of_what_is_theirs_alone(found: Callable[..., list[str]]) -> None:
    big = np.asarray([1e5], np.float32)
    mixed = graph("y = org.example.Thing(x, scalar)", domain="org.example")
    assert found(mixed) == ["operators"]
    assert found(graph("y = Add(x, big)", "fp32", big=big)) == []
    assert found(graph("p = Cast<to=1>(x); y = GridSample(p, grid)")) == ["grids", "positions"]
    assert found(graph("p = Cast<to=1>(grid); y = GridSample(x, p)")) == ["grids"]


def test_what_files_may_also_hold_is_no_matter(
    tensorrt: TensorRT, found: Callable[..., list[str]]
) -> None:
    model = graph("y = Conv(x, w1)")
    model.opset_import.append(onnx.helper.make_opsetid("org.example", 99))
    for tensor in model.graph.initializer:  # as files had it once
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(value)
    assert found(model) == []
    assert tensorrt.builds(model)


def test_rules_hold_where_the_file_contradicts_itself(found: Callable[..., list[str]]) -> None:
    model = graph("y = NonZero(x)", alpha="int64[1,1,8,8] alpha")
    assert found(model) == ["operators", "contract"]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("real", "value"), [("fp16", np.inf), ("fp16", np.nan), ("fp32", -np.inf), ("fp32", np.nan)]
)
def test_weights_are_looked_at_wherever_they_lie(
    real: str, value: float, beside: bool, tmp_path: Path
) -> None:
    for wrong in (value, -1.0):
        weights = np.linspace(-1, 1, 8 * 512)
        weights[77] = wrong
        path = tmp_path / f"{wrong}.onnx"
        model = graph("y = MatMul(x, wide)", real, wide=weights.reshape(8, 512))
        saved(
            model,
            path,
            save_as_external_data=beside,
            location=f"{path.name}.data",
            size_threshold=1024,
        )
        assert [each.node for each in lint(path)] == ([] if wrong == -1 else ["wide"])


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model, but a text")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        lint(path)
    model = graph("y = MatMul(x, wide)", wide=np.ones((8, 512)))
    saved(model, path, save_as_external_data=True, location="w", size_threshold=1024)
    (tmp_path / "w").unlink()
    with pytest.raises(ModelError, match="needs w beside it"):
        lint(path)
    model = graph("y = MatMul(x, m)")
    next(one for one in model.graph.initializer if one.name == "m").raw_data = b"short"
    saved(model, path)
    with pytest.raises(ModelError, match="the weights m cannot be read"):
        lint(path)


def test_refusals_say_what_where_and_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(graph("p = NonZero(x); y = NonZero(p)"), tmp_path / "odd.onnx")
    with pytest.raises(ModelError) as told:
        refuse(path, "tensorrt")
    assert str(told.value) == (
        "odd.onnx is not for TensorRT: NonZero n3: this operator is not known; the length of its "
        "result is not fixed; use Where (and 1 more)"
    )
    untried = saved(graph("y = RandomNormalLike(x)", opset=21), tmp_path / "new.onnx")
    with pytest.raises(ModelError, match=r"it is of opset 21, .* \(and 1 more\)"):
        refuse(untried, "tensorrt")
    refuse(untried, "tensorrt", untried=True)
    with pytest.raises(ModelError, match="NonZero"):
        refuse(path, "tensorrt", untried=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refuse(path, "tensorrt")  # without the package nothing is known


@pytest.mark.parametrize("table", [THEIRS, OURS])
def test_all_that_is_said_is_one_line(
    table: dict[str, tuple[str, str, dict[str, Any]]], tmp_path: Path
) -> None:
    for _, body, changes in table.values():
        for finding in lint(saved(graph(body, **changes), tmp_path / "model.onnx")):
            assert "; " in finding.text
            assert len(str(finding)) < 160
            assert str(finding).isprintable()


# --- exports ------------------------------------------------------------------------------------

SIZE = (96, 64)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of the exports, without what takes long and is tested elsewhere."""
    exporting = pytest.importorskip("streammatte.models.birefnet.export")
    alike = exporting.Difference(0, 0)
    monkeypatch.setattr(exporting, "_matte", lambda *_: None)
    monkeypatch.setattr(exporting, "check_range", lambda *_: 1)
    monkeypatch.setattr(exporting, "_differences", lambda *_: [alike])
    return exporting


def exported(wanted: Graph, path: Path) -> Path:
    from streammatte.models.birefnet.model import BiRefNetModel

    model = open_model("birefnet-lite", weights="random")
    assert isinstance(model, BiRefNetModel)
    return model.export(SIZE, wanted, path).path


@pytest.mark.usefixtures("unchecked")
def test_native_exports_are_for_one_of_the_two(tensorrt: TensorRT, tmp_path: Path) -> None:
    path = exported(Graph("tensorrt", "fp32", deform="native"), tmp_path / "lite.onnx")
    assert lint(path, "tensorrt") == []
    with pytest.raises(ModelError, match=r"--deform gather \(and 19 more\)$"):
        refuse(path, "tensorrt-rtx")
    assert not tensorrt.parses(onnx.load(path))


@pytest.mark.parametrize(
    ("target", "form", "told"),
    [
        ("tensorrt", "gather", "lite.onnx is not for TensorRT-RTX: NonZero n3: "),
        ("tensorrt", "native", "lite.onnx is not for TensorRT: NonZero n3: "),
        ("onnxruntime", "gather", ""),
    ],
)
def test_exports_that_tensorrt_would_not_take_fail_in_one_line(
    target: str,
    form: str,
    told: str,
    unchecked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(unchecked, "_traced", mock.Mock())
    wrong = graph("p = NonZero(x); y = Cast<to=1>(p)")
    monkeypatch.setattr(unchecked, "_saved", lambda _, path: saved(wrong, path))
    monkeypatch.chdir(tmp_path)
    options = ["birefnet-lite", "--weights=random", f"--target={target}", f"--deform={form}"]
    code = main(["models", "export", *options, "--size=256", "-o", "lite.onnx"])
    error = capsys.readouterr().err
    assert code == (5 if told else 0)
    assert error.count("\n") == bool(told)
    assert told in error
    assert [file.name for file in tmp_path.iterdir()] == ([] if told else ["lite.onnx"])
