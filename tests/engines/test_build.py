"""The real parser and the real builder of TensorRT-RTX, which need no GPU: what they make of
BiRefNet, and what is refused before or after."""

from __future__ import annotations

import _thread
import threading
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streammatte.engines import build as building
from streammatte.engines.build import Wanted, build, check_network, check_plan
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX, Kind, parse_capability
from streammatte.engines.recipe import Builder
from streammatte.errors import DependencyError, ModelError, RuntimeFailure, UsageError
from streammatte.models import open_model
from streammatte.models.base import Graph
from streammatte.models.onnx_card import EXPORTER
from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.base import Precision

trt = pytest.importorskip("tensorrt_rtx", reason="needs the extra rtx")
SIDE = 256
SMALL = (96, 64)


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BiRefNet's small variant as it is exported for TensorRT."""
    return exported(tmp_path_factory.mktemp("lite"), SIDE)


def exported(folder: Path, side: int) -> Path:
    pytest.importorskip("streammatte.models.birefnet.export", reason="needs the extra export")
    path = folder / "model.onnx"
    model: Any = open_model("birefnet-lite", weights="random")
    model.export((side, side), Graph("tensorrt", "fp16"), path)
    return path


def parsed(path: Path) -> Any:
    """Return the network as TensorRT-RTX reads it, with all that must live as long."""
    log = TENSORRT_RTX.log
    builder = trt.Builder(log.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, log.logger).parse_from_file(str(path)), log.said()
    return SimpleNamespace(network=network, keep=(log, builder))


def test_birefnet_is_compiled_in_half_precision(lite: Path) -> None:
    told: list[str] = []
    wanted = Wanted("lite", (SIDE, SIDE), 1, "fp16", ((8, 6), (8, 9), (12, 0)))
    plan = build(TENSORRT_RTX, lite, wanted, Builder(), told.append)
    weights = lite.stat().st_size
    assert 0.9 * weights < len(plan) < 1.5 * weights  # in single precision it would be twice that
    assert any("engine" in line for line in told)


def test_its_layers_are_what_they_should_be(lite: Path) -> None:
    """Counted here once more, without the code that is tested."""
    network = parsed(lite).network
    types: Counter[tuple[str, str]] = Counter()
    to_whole: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        types[layer.type.name, layer.get_output(0).dtype.name] += 1
        if layer.type.name == "CAST" and layer.get_output(0).dtype == trt.DataType.INT32:
            to_whole[layer.get_input(0).dtype.name] += 1
    for kind in ("CONVOLUTION", "MATRIX_MULTIPLY", "NORMALIZATION", "SOFTMAX"):
        assert types[kind, "HALF"] >= 12
        assert types[kind, "FLOAT"] == 0, kind
    assert types["UNARY", "FLOAT"] == 20  # the floors of the positions of 20 convolutions
    assert types["UNARY", "HALF"] == 0
    assert to_whole["FLOAT"] == 20
    assert to_whole["HALF"] == 0
    check_network(network, Wanted("lite", (SIDE, SIDE), 1, "fp16"))


@pytest.mark.slow
def test_so_it_is_at_full_size(tmp_path: Path) -> None:
    path = exported(tmp_path, 1024)
    wanted = Wanted("lite", (1024, 1024), 1, "fp16", ((8, 9),))
    check_network(parsed(path).network, wanted)
    plan = build(TENSORRT_RTX, path, wanted, Builder())
    assert 0.9 * path.stat().st_size < len(plan) < 1.5 * path.stat().st_size


def test_it_can_be_cancelled(lite: Path) -> None:
    """Ctrl-C ends a build within a step, and leaves no thread behind."""
    told: list[str] = []

    def interrupt(step: str) -> None:
        if not told:
            _thread.interrupt_main()
        told.append(step)

    with pytest.raises(KeyboardInterrupt):
        build(TENSORRT_RTX, lite, Wanted("lite", (SIDE, SIDE), 1, "fp16"), Builder(), interrupt)
    assert told
    left = (thread for thread in threading.enumerate() if thread.name == "streammatte-engine")
    assert not any(thread.is_alive() for thread in left)


# --- small graphs -------------------------------------------------------------------------------


def graph(
    path: Path,
    precision: Precision = "fp16",
    *,
    nodes: list[Any] | None = None,
    size: tuple[int | str, int | str] = SMALL,
    image: str = "image",
    batch: int = 1,
) -> Path:
    """Write a network of one convolution that keeps the contract, but for what is asked for."""
    real = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    width, height = size
    kernel = np.full((1, 3, 3, 3), 0.01, helper.tensor_dtype_to_np_dtype(real))
    whole = [
        helper.make_node("Cast", [image], ["real"], to=real),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["x"], "conv", pads=[1] * 4),
        *(nodes or [helper.make_node("Identity", ["x"], ["y"])]),
        helper.make_node("Cast", ["y"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Sigmoid", ["single"], ["alpha"]),
    ]
    seen, given = [batch, height, width, 3], [batch, 1, height, width]
    model = helper.make_model(
        helper.make_graph(
            whole,
            "graph",
            [helper.make_tensor_value_info(image, TensorProto.UINT8, seen)],
            [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, given)],
            [numpy_helper.from_array(kernel, "kernel")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.save(model, path)
    return path


def wanted(precision: Precision = "fp16", batch: int = 1) -> Wanted:
    return Wanted("net", SMALL, batch, precision)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_small_ones_are_compiled(tmp_path: Path, precision: Precision) -> None:
    path = graph(tmp_path / "a.onnx", precision)
    assert len(build(TENSORRT_RTX, path, wanted(precision), Builder())) > 1000


def test_single_precision_does_not_pass_for_half(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx", "fp32")
    with pytest.raises(ModelError, match=r"not in half precision .* 1 of 1 .* conv \(FLOAT\)"):
        build(TENSORRT_RTX, path, wanted("fp16"), Builder())
    check_network(parsed(path).network, wanted("fp16"), half_share=0)


def test_positions_in_half_precision_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["where"], to=TensorProto.INT64),
        helper.make_node("Gather", ["x", "where"], ["row"], axis=2),
        helper.make_node("ReduceMean", ["row"], ["level"], keepdims=0),
        helper.make_node("Add", ["x", "level"], ["y"]),
    ]
    path = graph(tmp_path / "a.onnx", nodes=nodes)
    with pytest.raises(ModelError, match="positions in half precision"):
        check_network(parsed(path).network, wanted())


@pytest.fixture
def no_lint(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package onnx is missing, which an engine does not need."""
    monkeypatch.setattr(building, "refuse", lambda *_, **__: None)


@pytest.mark.usefixtures("no_lint")
def test_other_contracts_are_refused(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx", image="picture")
    with pytest.raises(ModelError, match="should take image uint8"):
        build(TENSORRT_RTX, path, wanted(), Builder())
    path = graph(tmp_path / "b.onnx", batch=2)
    with pytest.raises(ModelError, match="with 1 at once"):
        build(TENSORRT_RTX, path, wanted(), Builder())


def test_open_lengths_are_fixed(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx", size=("w", "h"))
    assert len(build(TENSORRT_RTX, path, wanted(), Builder())) > 1000


@pytest.mark.usefixtures("no_lint")
def test_what_the_parser_does_not_know_is_told_in_one_line(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Cast", ["places"], ["real places"], to=TensorProto.FLOAT16),
        helper.make_node("ReduceMean", ["real places"], ["level"], keepdims=0),
        helper.make_node("Add", ["x", "level"], ["y"]),
    ]
    path = graph(tmp_path / "a.onnx", nodes=nodes)
    with pytest.raises(ModelError, match="NonZero") as refused:
        build(TENSORRT_RTX, path, wanted(), Builder())
    assert "\n" not in str(refused.value)
    (tmp_path / "b.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="is not an ONNX file"):
        build(TENSORRT_RTX, tmp_path / "b.onnx", wanted(), Builder())


def test_unknown_gpus_are_refused(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx")
    aimed = Wanted("net", SMALL, 1, "fp16", ((9, 0),))
    with pytest.raises(RuntimeFailure, match=r"compute capability 9\.0"):
        build(TENSORRT_RTX, path, aimed, Builder())


def test_a_builder_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the GPU that is here, where there is none."""
    if hardware.nvidia().gpus:
        pytest.skip("there is a GPU")
    current = trt.ComputeCapability.CURRENT
    monkeypatch.setattr(
        building, "_aim", lambda _api, config, _: _here(config, current), raising=True
    )
    path = graph(tmp_path / "a.onnx")
    with pytest.raises(RuntimeFailure, match=r"cannot compile net: .*[Cc]uda"):
        build(TENSORRT_RTX, path, Wanted("net", SMALL, 1, "fp16", ((8, 9),)), Builder())


def _here(config: Any, current: Any) -> None:
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(current, 0)


@pytest.mark.parametrize(
    ("length", "right"), [(400, True), (100, False), (505, True), (900, False), (4000, False)]
)
def test_sizes_that_make_no_sense(length: int, right: bool) -> None:
    """444 MiB of weights: what is published is 505 MB; in single precision it would be 888."""
    kind = Kind("x", "x", "TensorRT", "x", for_any_gpu=True)
    object.__setattr__(kind, "api", SimpleNamespace(__version__="11.3.0.99"))
    if right:
        check_plan(kind, length << 20, 444 << 20, "net")
    else:
        with pytest.raises(RuntimeFailure, match="cannot be right"):
            check_plan(kind, length << 20, 444 << 20, "net")


def test_the_lint_comes_first(tmp_path: Path) -> None:
    path = graph(tmp_path / "a.onnx", image="picture")
    with pytest.raises(ModelError, match=r"a\.onnx is not for TensorRT-RTX: .*picture"):
        build(TENSORRT_RTX, path, wanted(), Builder())


def test_files_of_others_may_have_what_we_never_tried(tmp_path: Path) -> None:
    """A later opset; in an export of ours it would be a mistake."""
    path = graph(tmp_path / "a.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 21
    onnx.save(model, path)
    assert len(build(TENSORRT_RTX, path, wanted(), Builder())) > 1000
    helper.set_model_props(model, {EXPORTER: "streammatte"})
    onnx.save(model, path)
    with pytest.raises(ModelError, match="opset"):
        build(TENSORRT_RTX, path, wanted(), Builder())


# --- the two kinds ------------------------------------------------------------------------------


def test_a_library_that_is_missing_or_old() -> None:
    with pytest.raises(DependencyError, match=r"TensorRT is not installed.*\[tensorrt\]"):
        _ = TENSORRT.api
    old = Kind("tensorrt", "old_tensorrt", "TensorRT", "tensorrt", for_any_gpu=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            __import__("sys").modules, "old_tensorrt", SimpleNamespace(__version__="10.9.0")
        )
        with pytest.raises(DependencyError, match=r"10\.9\.0 is too old"):
            _ = old.api


def test_capabilities() -> None:
    assert [parse_capability(text) for text in ("8.9", "89", "sm89", "SM_120", "12.0")] == [
        (8, 9),
        (8, 9),
        (8, 9),
        (12, 0),
        (12, 0),
    ]
    for text in ("", "9", "hopper", "8.9.1"):
        with pytest.raises(UsageError, match="compute capability"):
            parse_capability(text)
    assert TENSORRT_RTX.why_not((8, 9)) == ""
    assert "this one is 9.0" in TENSORRT_RTX.why_not((9, 0))
    assert TENSORRT.why_not((9, 0)) == ""
    real = {name for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert real == {f"SM{a}{b}" for a, b in TENSORRT_RTX.capabilities}
