"""What the runtimes share: refusing graphs that do not fit, and feeding those that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tiny
from onnx import TensorProto

from streammatte.errors import DependencyError, ModelError
from streammatte.models import Graph
from streammatte.runtimes import RUNTIMES, Placement, Port
from streammatte.runtimes.contract import (
    check_contract,
    filled,
    precision_of,
    reason,
    weight_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = Port("image", "uint8", (1, 64, 96, 3))
ALPHA = Port("alpha", "float32", (1, 1, 64, 96))


@pytest.mark.parametrize("batch", [1, 8, None])
@pytest.mark.parametrize("sides", [(64, 96), (None, None), (64, None)])
def test_what_fits(batch: int | None, sides: tuple[int | None, ...]) -> None:
    image = Port("image", "uint8", (batch, *sides, 3))
    check_contract("net", (96, 64), [image], [Port("alpha", "float32", (batch, 1, *sides))])


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ([Port("x", "uint8", (1, 64, 96, 3))], [ALPHA], "take image uint8 .*, but has x uint8"),
        ([Port("image", "float32", (1, 3, 64, 96))], [ALPHA], r"has image float32 \[1, 3, 64, 96"),
        ([Port("image", "uint8", (1, 96, 64, 3))], [ALPHA], r"has image uint8 \[1, 96, 64, 3\]"),
        ([Port("image", "uint8", (64, 96, 3))], [ALPHA], r"has image uint8 \[64, 96, 3\]"),
        ([IMAGE, Port("state", "float32", (1,))], [ALPHA], "but has image .*, state float32"),
        ([], [ALPHA], "but has nothing"),
        ([IMAGE], [Port("alpha", "float16", (1, 1, 64, 96))], "give alpha .*, but has alpha float"),
        ([IMAGE], [Port("alpha", "float32", (1, 2, 64, 96))], r"give .* has alpha float32 \[1, 2,"),
        ([IMAGE], [Port("alpha", "float32", (None, 1, 32, 48))], r"\[any, 1, 32, 48\]"),
        ([IMAGE], [ALPHA, Port("more", "float32", (1,))], "but has alpha .*, more float32"),
    ],
)
def test_what_does_not_fit(inputs: list[Port], outputs: list[Port], found: str) -> None:
    with pytest.raises(ModelError, match=found) as caught:
        check_contract("net", (96, 64), inputs, outputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"image": "input"}, "but has input uint8"),
        ({"image_type": TensorProto.FLOAT}, "but has image float32"),
        ({"alpha_type": TensorProto.FLOAT16}, "but has alpha float16"),
        ({"channels_last": False}, r"but has image uint8 \[1, 3, 64, 96\]"),
    ],
)
def test_every_runtime_checks(
    name: str, changes: dict[str, Any], found: str, tmp_path: Path
) -> None:
    engine = _engine(name)
    with pytest.raises(ModelError, match=found) as caught:
        engine(tiny.Tiny(tmp_path, **changes), (96, 64), Placement())
    assert "\n" not in str(caught.value)


def test_torch_checks_too(tmp_path: Path) -> None:
    engine = _engine("torch")
    import torch

    class Halved(tiny.Tiny):
        def module(self, size: tuple[int, int]) -> Any:
            return torch.nn.Sequential(super().module(size), torch.nn.AvgPool2d(2))

    with pytest.raises(ModelError, match=r"but has alpha float32 \[any, 1, 32, 48\]"):
        engine(Halved(tmp_path), (96, 64), Placement(device="cpu"))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_lengths_that_a_graph_leaves_open(name: str, tmp_path: Path) -> None:
    network = _engine(name)(tiny.Tiny(tmp_path, dynamic=True), (96, 64), Placement(batch=2))
    assert network.batch == 2
    assert network.infer(np.zeros((2, 64, 96, 3), np.uint8)).shape == (2, 1, 64, 96)
    assert network.infer(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])  # PyTorch refuses it on a CPU
def test_half_precision_is_asked_for_and_reported(name: str, tmp_path: Path) -> None:
    model, size = tiny.Tiny(tmp_path), (96, 64)
    whole = _engine(name)(model, size, Placement(device="cpu"))
    half = _engine(name)(model, size, Placement(device="cpu", precision="fp16"))
    assert (whole.precision, half.precision) == ("fp32", "fp16")
    seen = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3)).astype(np.uint8)
    difference = np.abs(whole.infer(seen) - half.infer(seen))
    assert 1e-5 < difference.max() < 0.03


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_precision_is_what_the_graph_says(name: str, tmp_path: Path) -> None:
    model = tiny.Tiny(tmp_path, say_precision=False)
    with pytest.raises(ModelError, match="has no fp16 graph, only fp32; leave --precision out"):
        _engine(name)(model, (96, 64), Placement(precision="fp16"))


def test_a_model_with_one_graph_knows_its_precision() -> None:
    class Brought:
        precision = "fp16"

    model: Any = Brought()
    assert precision_of("net", model, None, "auto") == "fp16"
    assert precision_of("net", model, None, "fp16") == "fp16"
    with pytest.raises(ModelError, match="has no fp32 graph"):
        precision_of("net", model, None, "fp32")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_a_required_gpu_is_not_a_cpu(name: str, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="a GPU is required"):
        _engine(name)(tiny.Tiny(tmp_path), (96, 64), Placement("cpu", require_gpu=True))


def test_a_small_batch_is_filled_with_its_last_image() -> None:
    seen = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    padded = filled(seen, [Port("image", "uint8", (4, 4, 4, 3))])
    assert (padded[:2] == seen).all()
    assert (padded[2:] == seen[1]).all()
    for batch in (2, None):
        assert filled(seen, [Port("image", "uint8", (batch, 4, 4, 3))]) is seen


def test_weights_beside_a_graph_count(tmp_path: Path) -> None:
    """Those that the graph names, and nothing else that is called alike."""
    names = ("a.onnx", "a_big.onnx", "[a]*.onnx")
    for number, name in enumerate(names):
        model = tiny.proto((96, 64), Graph())
        beside = f"{name}.weights"
        onnx.save(
            model,
            tmp_path / name,
            save_as_external_data=True,
            location=beside,
            size_threshold=0,
        )
        with (tmp_path / beside).open("ab") as file:
            file.write(bytes(1000 * number))
    for name in ("a.onnx.data", "a.bin", "a_big.onnx.data"):
        (tmp_path / name).write_bytes(bytes(100_000))
    for name in names:
        files = (tmp_path / name, tmp_path / f"{name}.weights")
        assert weight_bytes(files[0]) == sum(file.stat().st_size for file in files)


def test_a_file_that_is_no_graph_is_as_big_as_it_is(tmp_path: Path) -> None:
    """Whoever opens it says what is wrong."""
    (tmp_path / "a.onnx").write_bytes(bytes(10))
    assert weight_bytes(tmp_path / "a.onnx") == 10


def test_reasons_are_short_lines() -> None:
    openvino = "Exception from src/core.cpp:117:\nException from x:1:\nCheck 'a' failed\n\nwhy\nx\n"
    assert reason(RuntimeError(openvino)) == "Check 'a' failed why"
    onnxruntime = "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : parsing failed."
    assert reason(RuntimeError(onnxruntime)) == "parsing failed."
    assert reason(KeyError()) == "KeyError"
    assert len(reason(RuntimeError("x" * 1000))) == 200


def _engine(name: str) -> Any:
    try:
        return RUNTIMES.load(name)
    except DependencyError as error:
        pytest.skip(str(error))
