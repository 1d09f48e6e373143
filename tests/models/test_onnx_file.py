"""Any ONNX file as a network: as it is where it keeps the contract, adapted where a card says how.

Every network here is the same function, so that what comes out can be foretold: the matte is the
mean of the normalised channels, weighted 0.5, 0.25, 0.125 in the order that the network expects.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import streammatte.runtimes  # noqa: F401  before onnxruntime
from streammatte import home
from streammatte.errors import DependencyError, ModelError, OutputError, UsageError
from streammatte.models import Graph, load_card, onnx_card, open_model
from streammatte.models.onnx_file import OnnxFile
from streammatte.models.onnx_reader import read_onnx

SIZE = (8, 6)
"""Width and height."""
WEIGHTS = np.array([0.5, 0.25, 0.125])
MEAN, STD = (0.5, 0.25, 0.125), (0.25, 0.5, 2.0)
NORMALISED = f"mean = {list(MEAN)}\nstd = {list(STD)}\n"
FLOATS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write(
    path: Path,
    *,
    dtype: str = "float32",
    layout: str = "NCHW",
    size: tuple[Any, Any] = SIZE,
    batch: Any = 1,
    names: tuple[str, str] = ("input", "output"),
    matte: str = "NCHW",
    opset: int = 17,
    more_outputs: int = 0,
    external: bool = False,
    weights_as_inputs: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a network that weighs channels; ``matte`` is the layout of its output, or ``NHW``."""
    (taken, given), (width, height) = names, size
    kind = FLOATS["float32" if dtype == "uint8" else dtype]
    shape = [batch, 3, height, width] if layout == "NCHW" else [batch, height, width, 3]
    kernel = WEIGHTS.reshape(1, 3, 1, 1).astype("float16" if dtype == "float16" else "float32")
    nodes = [helper.make_node("Cast", [taken], ["alpha"], to=kind)]
    last = "alpha"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [last], ["turned"], perm=[0, 3, 1, 2]))
        last = "turned"
    nodes.append(helper.make_node("Conv", [last, "image"], ["sum"]))  # names that ours use, too
    made = {"NCHW": [batch, 1, height, width], "NHWC": [batch, height, width, 1]}
    if matte == "NCHW":
        nodes.append(helper.make_node("Identity", ["sum"], [given]))
    elif matte == "NHWC":
        nodes.append(helper.make_node("Transpose", ["sum"], [given], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("ReduceMax", ["sum"], [given], axes=[1], keepdims=0))
    outputs = [helper.make_tensor_value_info(given, kind, made.get(matte, [batch, height, width]))]
    for number in range(more_outputs):
        nodes.append(helper.make_node("Neg", ["sum"], [f"side{number}"]))
        outputs.insert(0, helper.make_tensor_value_info(f"side{number}", kind, made["NCHW"]))
    inputs = [helper.make_tensor_value_info(taken, FLOATS[dtype], shape)]
    if weights_as_inputs:
        inputs.append(helper.make_tensor_value_info("image", kind, kernel.shape))
    graph = helper.make_graph(
        nodes, "net", inputs, outputs, [numpy_helper.from_array(kernel, "image")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)
    helper.set_model_props(model, metadata or {})
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location=f"{path.name}.data",
        size_threshold=0,
    )
    return path


def expected(images: np.ndarray, *, sigmoid: bool = False, order: int = 1) -> np.ndarray:
    """Return what must come out: float64 ``[n, 1, h, w]``."""
    normal = (images / 255.0 - np.array(MEAN)) / np.array(STD)
    alpha = (normal[..., ::order] * WEIGHTS).sum(axis=-1)[:, None]
    return 1 / (1 + np.exp(-alpha)) if sigmoid else np.clip(alpha, 0, 1)


def pictures(count: int = 1, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size[1], size[0], 3), np.uint8)


def run(path: Path, images: np.ndarray) -> np.ndarray:
    """Run a file as every runtime would: ``image`` in, ``alpha`` out."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(port.name, port.type) for port in session.get_inputs()] == [("image", "tensor(uint8)")]
    (alpha,) = session.run(["alpha"], {"image": images})
    assert alpha.dtype == np.float32
    return alpha


def card(path: Path, text: str) -> None:
    path.with_suffix(".toml").write_text(text)


def ours(path: Path, **changes: Any) -> Path:
    """Write a network that keeps the contract."""
    settings = {"dtype": "uint8", "layout": "NHWC", "names": ("image", "alpha"), **changes}
    made = write(path, **{**settings, "names": ("image", "matte")})
    model = onnx.load(made)
    for node in model.graph.node:  # "alpha" and "image" are taken inside of it
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "alpha":
                    names[index] = "cast"
                elif name == "image" and node.op_type == "Conv":
                    names[index] = "kernel"
                elif name == "matte":
                    names[index] = "alpha"
    model.graph.initializer[0].name = "kernel"
    model.graph.output[-1].name = "alpha"
    onnx.save(model, made)
    return made


# ---- files that keep the contract


def test_a_file_that_fits_is_used_as_it_is(tmp_path: Path, own_home: Path) -> None:
    path = ours(tmp_path / "net.onnx")
    network = open_model(str(path))
    assert network.onnx(SIZE, Graph()) == path
    assert network.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.card.name == "net"
    assert (network.card.licence, network.card.commercial) == ("unknown", False)
    assert not own_home.exists()


def test_no_library_is_needed_for_a_file_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ours(tmp_path / "net.onnx")
    for name in ("onnx", "onnxruntime", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert open_model(str(path)).onnx(SIZE, Graph()) == path
    assert open_model("selfie").digest


def test_the_graph_binds_the_size(tmp_path: Path) -> None:
    found = load_card(str(ours(tmp_path / "net.onnx", size=(1024, 576))))
    for picture in ((1920, 1080), (1080, 1920), (64, 64)):
        for wish in (None, 576, (1024, 576)):
            assert found.input_size(*picture, wish) == (1024, 576)
    for wish in (512, 1024, (576, 1024)):
        with pytest.raises(UsageError, match=r"--size for net: .* 576x1024 only"):
            found.input_size(1920, 1080, wish)


def test_a_free_graph_takes_any_multiple_of_the_stride(tmp_path: Path) -> None:
    path = ours(tmp_path / "net.onnx", size=("w", "h"))
    assert load_card(str(path)).input_size(1920, 1080) == (896, 512)
    assert load_card(str(path)).input_size(1920, 1080, 288) == (512, 288)
    card(path, 'size = [240, 480]\nstride = 16\naspect = "squash"\nlicence = "MIT"\n')
    found = load_card(str(path))
    assert found.input_size(100, 100) == (480, 240)
    assert found.input_size(100, 300) == (240, 480)
    assert found.input_size(100, 100, (64, 48)) == (64, 48)
    with pytest.raises(UsageError, match="multiples of 16"):
        found.input_size(100, 100, (64, 40))


def test_a_file_knows_where_it_comes_from(tmp_path: Path) -> None:
    """What an export says of itself is read back; what lies beside it goes before."""
    known = load_card("birefnet-lite")
    facts = {"streammatte.card": json.dumps(onnx_card.table_of(known)), "streammatte.x": "y"}
    path = ours(tmp_path / "net.onnx", metadata=facts)
    found = load_card(str(path))
    for field in ("name", "summary", "licence", "commercial", "origin", "training_data", "limits"):
        assert getattr(found, field) == getattr(known, field)
    assert found.input_size(1920, 1080) == SIZE
    assert open_model(str(path), commercial_only=True).metadata["streammatte.x"] == "y"
    card(path, 'name = "mine"\nlicence = "CC-BY-NC-4.0"\ncommercial = false\n')
    found = load_card(str(path))
    assert (found.name, found.licence, found.origin) == ("mine", "CC-BY-NC-4.0", known.origin)
    with pytest.raises(ModelError, match=r"mine is not for commercial use .* selfie, birefnet"):
        open_model(str(path), commercial_only=True)


def test_metadata_of_a_newer_version_or_of_nobody(tmp_path: Path) -> None:
    path = ours(tmp_path / "net.onnx", metadata={"streammatte.card": '{"new": 1, "name": "x"}'})
    assert load_card(str(path)).name == "x"
    for text in ("{", "[1]", '{"stride": "x"}'):
        ours(path, metadata={"streammatte.card": text})
        with pytest.raises(ModelError, match=r"net\.onnx: "):
            load_card(str(path))


def test_precision_and_batch_are_what_the_file_has(tmp_path: Path) -> None:
    path = ours(tmp_path / "net.onnx", batch=4)
    network = OnnxFile.brought(path)
    assert (network.precision, network.batch) == ("fp32", 4)
    assert network.onnx(SIZE, Graph(precision="fp16", batch=4)) == path
    with pytest.raises(ModelError, match="takes 4 at once, not 1; export it with --batch 1"):
        network.onnx(SIZE, Graph())
    free = OnnxFile.brought(ours(tmp_path / "free.onnx", batch="n"))
    assert free.batch is None
    assert free.onnx(SIZE, Graph(batch=3)).name == "free.onnx"
    path = write(tmp_path / "half.onnx", dtype="float16")
    card(path, NORMALISED)
    assert OnnxFile.brought(path).precision == "fp16"
    said = ours(tmp_path / "said.onnx", metadata={"streammatte.precision": "fp16"})
    assert OnnxFile.brought(said).precision == "fp16"
    with pytest.raises(ModelError, match="takes 1 at once, not 2"):
        OnnxFile.brought(said).onnx(SIZE, Graph(batch=2))


def test_pytorch_does_not_run_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--runtime onnxruntime"):
        open_model(str(ours(tmp_path / "net.onnx"))).module(SIZE)


# ---- files that are adapted


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layout": "NHWC"},
        {"dtype": "float16"},
        {"matte": "NHWC"},
        {"matte": "NHW"},
        {"matte": "NHW", "opset": 11},
        {"opset": 9, "weights_as_inputs": True},
        {"more_outputs": 2},
        {"size": ("w", "h"), "batch": "n"},
        {"external": True},
        {"names": ("alpha.1", "image.1")},
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_networks_of_other_makes(changes: dict[str, Any], activation: str, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", **changes)
    card(path, f'{NORMALISED}activation = "{activation}"\noutput = "{path_output(changes)}"\n')
    network = OnnxFile.brought(path)
    count = 2 if network.batch is None else 1
    file = network.onnx(SIZE, Graph(batch=count))
    images = pictures(count)
    alpha = run(file, images)
    tolerance = 2e-3 if changes.get("dtype") == "float16" else 1e-6
    wanted = expected(images, sigmoid=activation == "sigmoid")
    assert np.ptp(wanted) > 0.3
    np.testing.assert_allclose(alpha, wanted, atol=tolerance)


def path_output(changes: dict[str, Any]) -> str:
    return changes.get("names", ("input", "output"))[1]


def test_order_of_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx")
    card(path, NORMALISED + 'channels = "BGR"\n')
    images = pictures()
    alpha = run(OnnxFile.brought(path).onnx(SIZE, Graph()), images)
    np.testing.assert_allclose(alpha, expected(images, order=-1), atol=1e-6)


def test_8_bit_networks_of_other_makes(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", dtype="uint8")
    card(path, 'activation = "none"')
    images = pictures() // 128
    alpha = run(OnnxFile.brought(path).onnx(SIZE, Graph()), images)
    np.testing.assert_allclose(alpha[:, 0], np.clip((images * WEIGHTS).sum(-1), 0, 1), atol=1e-6)
    card(path, NORMALISED)
    with pytest.raises(ModelError, match="takes 8-bit pictures; leave mean and std out"):
        OnnxFile.brought(path)


def test_a_file_that_fits_but_gives_logits(tmp_path: Path) -> None:
    path = ours(tmp_path / "net.onnx")
    plain = run(OnnxFile.brought(path).onnx(SIZE, Graph()), pictures())
    card(path, 'activation = "sigmoid"')
    alpha = run(OnnxFile.brought(path).onnx(SIZE, Graph()), pictures())
    np.testing.assert_allclose(alpha, 1 / (1 + np.exp(-plain.astype(np.float64))), atol=1e-6)
    card(path, NORMALISED)
    with pytest.raises(ModelError, match="leave mean and std out"):
        OnnxFile.brought(path)


def test_side_outputs_are_not_computed(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", more_outputs=3)
    card(path, NORMALISED + 'output = "output"\n')
    adapted = onnx.load(OnnxFile.brought(path).onnx(SIZE, Graph()))
    assert "Neg" not in {node.op_type for node in adapted.graph.node}
    assert [value.name for value in adapted.graph.output] == ["alpha"]


def test_the_adapted_file_stands_alone(tmp_path: Path) -> None:
    """It fits, carries its card, its weights lie beside it, and the original may go."""
    path = write(tmp_path / "net.onnx", external=True, metadata={"author": "somebody"})
    card(path, NORMALISED + 'name = "modnet"\nlicence = "Apache-2.0"\ncommercial = true\n')
    file = OnnxFile.brought(path).onnx(SIZE, Graph())
    (tmp_path / "net.onnx.data").unlink()
    found = OnnxFile.brought(file)
    assert found.onnx(SIZE, Graph()) == file
    assert found.metadata["author"] == "somebody"
    assert (found.card.name, found.card.licence, found.card.commercial) == (
        "modnet",
        "Apache-2.0",
        True,
    )
    assert run(file, pictures()).shape == (1, 1, *SIZE[::-1])


def test_it_is_adapted_once_for_what_it_is(tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path / "net.onnx", external=True)
    card(path, NORMALISED)
    first = OnnxFile.brought(path).onnx(SIZE, Graph())
    made = first.stat().st_mtime_ns
    assert OnnxFile.brought(path).onnx(SIZE, Graph()) == first
    assert first.stat().st_mtime_ns == made
    assert own_home in first.parents
    card(path, NORMALISED + 'activation = "sigmoid"')
    assert OnnxFile.brought(path).onnx(SIZE, Graph()) != first
    card(path, NORMALISED)
    data = tmp_path / "net.onnx.data"
    data.write_bytes(data.read_bytes()[::-1])
    assert OnnxFile.brought(path).onnx(SIZE, Graph()) != first
    assert {file.name for file in own_home.rglob("*") if file.is_file()} == {
        "model.onnx",
        "net.onnx.data",
    }
    assert len(list((own_home / "adapted").iterdir())) == 3


def test_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", external=True)
    card(path, NORMALISED)
    file = OnnxFile.brought(path).onnx(SIZE, Graph())
    for damaged in (file, file.with_name("net.onnx.data")):
        damaged.write_bytes(damaged.read_bytes()[:5])
        assert OnnxFile.brought(path).onnx(SIZE, Graph()) == file
        assert run(file, pictures()).any()


def _adapt(path: str) -> str:
    return str(OnnxFile.brought(Path(path)).onnx(SIZE, Graph()))


def test_two_processes_at_once(tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path / "net.onnx", external=True)
    card(path, NORMALISED)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        files = set(pool.map(_adapt, [str(path)] * 6, chunksize=1))
    assert len(files) == 1
    assert run(Path(files.pop()), pictures()).any()
    assert len(list((own_home / "adapted").iterdir())) == 1


def test_what_may_go_wrong_while_adapting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "net.onnx")
    card(path, NORMALISED)
    network = OnnxFile.brought(path)
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setenv("STREAMMATTE_HOME", str(tmp_path / "file"))
        with pytest.raises(OutputError, match="set STREAMMATTE_HOME"):
            network.onnx(SIZE, Graph())
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(DependencyError, match=r'pip install "streammatte\[export\]"'):
            network.onnx(SIZE, Graph())
    with monkeypatch.context() as patch:

        def refuse(_: object) -> None:
            raise onnx.checker.ValidationError("No such operator\nand more")

        patch.setattr(onnx.checker, "check_model", refuse)
        with pytest.raises(ModelError, match=r"net\.onnx cannot be adapted: No such operator$"):
            network.onnx(SIZE, Graph())
    assert not any(home.folder("adapted").iterdir())


# ---- files and cards that cannot be used


@pytest.mark.parametrize(
    ("changes", "text", "message"),
    [
        ({}, None, r"float32 'output' \[1, 1, 6, 8\], not uint8 'image' .* net\.toml beside it"),
        ({}, 'name = "x"', r"net\.toml: give mean and std of R, G and B"),
        ({}, "mean = [0, 0, 0]", "give mean and std"),
        ({}, "means = [0, 0, 0]", r"net\.toml: unknown key means; did you mean mean\?"),
        ({}, "xyz = 1", r"unknown key xyz; known: name, "),
        ({}, "mean = [0, 0", r"net\.toml is not valid TOML: Unclosed array"),
        ({}, "mean = [0, 0]", r"mean must be three numbers of 0..1, not of .*, got \[0, 0\]"),
        ({}, "std = [1, 1, 0]", "std must be three numbers above 0"),
        ({}, "std = [1, 1, nan]", "std must be three numbers above 0"),
        ({}, "mean = [1, 1, true]", "mean must be three numbers"),
        ({}, 'commercial = "yes"', 'commercial must be true or false, got "yes"'),
        ({}, 'layout = "CHW"', 'layout must be "NCHW" or "NHWC", got "CHW"'),
        ({}, "size = [1, 2, 3]", "size must be one side or"),
        ({}, "size = true", "size must be one side or"),
        ({}, "size = 2026-11-22", "size must be one side or"),
        ({}, "stride = 0", "stride must be a number of pixels"),
        ({}, 'name = ""', "name must be a text"),
        ({}, 'name = "a\\nb"', "name must be a text"),
        ({}, NORMALISED + "size = 1024", r"size must be \[6, 8\], which is all .* leave it out"),
        ({}, NORMALISED + 'aspect = "keep"', "aspect cannot be kept, the graph takes 6x8 only"),
        ({"size": ("w", "h")}, NORMALISED + "size = 100", "multiples of the stride, 32"),
        ({"size": ("w", 6)}, NORMALISED, "one side is free, the other is not"),
        ({}, NORMALISED + 'input = "in"', "there is no input in; net.onnx has input"),
        ({}, NORMALISED + 'output = "in"', "there is no output in; net.onnx has output"),
        ({"more_outputs": 1}, NORMALISED, "say which output it is; net.onnx has side0, output"),
        ({}, NORMALISED + 'layout = "NHWC"', "not a picture of 3 channels in NHWC"),
        ({"opset": 7}, NORMALISED, "opset 7; export it with 8 or later"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_refusals(
    changes: dict[str, Any], text: str | None, message: str, tmp_path: Path, own_home: Path
) -> None:
    path = write(tmp_path / "net.onnx", **changes)
    if text is not None:
        card(path, text)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(str(path))
    assert "\n" not in str(caught.value)
    assert not own_home.exists()


def test_cards_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx")
    path.with_suffix(".toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ModelError, match=r"net\.toml is not valid TOML"):
        OnnxFile.brought(path)
    path.with_suffix(".toml").unlink()
    path.with_suffix(".toml").mkdir()
    with pytest.raises(ModelError, match=r"net\.toml cannot be read"):
        OnnxFile.brought(path)


def edited(path: Path, **changes: Any) -> Path:
    """Write a network with other ports than it can have."""
    model = onnx.load(write(path))
    for value, shape in changes.items():
        port = getattr(model.graph, value)[0]
        port.CopyFrom(helper.make_tensor_value_info(port.name, *shape))
    onnx.save(model, path)
    card(path, NORMALISED)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": (TensorProto.FLOAT, [1, 4, 6, 8])}, r"\[1, 4, 6, 8\], which is not a picture"),
        ({"input": (TensorProto.FLOAT, [3, 6, 8])}, "which is not a picture of 3 channels"),
        ({"input": (TensorProto.INT64, [1, 3, 6, 8])}, "int64 'input'"),
        ({"input": (TensorProto.COMPLEX64, [1, 3, 6, 8])}, "unknown type 'input'"),
        ({"output": (TensorProto.FLOAT, [1, 2, 6, 8])}, "not a matte of 1 channel"),
        ({"output": (TensorProto.FLOAT, [1, 1000])}, "not a matte of 1 channel"),
        ({"output": (TensorProto.INT64, [1, 1, 6, 8])}, "not a matte of 1 channel"),
        ({"output": (TensorProto.FLOAT, [1, 1, 3, 4])}, "the matte must be of that size"),
        ({"output": (TensorProto.FLOAT, [1, 3, 4])}, "the matte must be of that size"),
    ],
    ids=str,
)
def test_networks_of_other_kinds(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxFile.brought(edited(tmp_path / "net.onnx", **changes))


def test_networks_that_take_more_than_a_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 2]))
    onnx.save(model, path)
    card(path, NORMALISED + 'input = "input"\n')
    with pytest.raises(ModelError, match="takes input, state; only networks that take one picture"):
        OnnxFile.brought(path)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x00" * 100, b"\xff" * 100])
def test_files_that_are_no_networks(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.onnx is not an ONNX file, or cut off"):
        OnnxFile.brought(path)


def test_files_that_are_cut_off(tmp_path: Path) -> None:
    path = ours(tmp_path / "net.onnx")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cut off"):
            OnnxFile.brought(path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        OnnxFile.brought(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        open_model(str(tmp_path / "none.onnx"))


def test_weights_that_lie_beside(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", external=True)
    card(path, NORMALISED)
    data = tmp_path / "net.onnx.data"
    digest = OnnxFile.brought(path).digest
    data.write_bytes(bytes(data.stat().st_size))
    assert OnnxFile.brought(path).digest != digest
    data.write_bytes(b"12")
    with pytest.raises(ModelError, match=r"net\.onnx\.data is cut off: 12 bytes are needed"):
        OnnxFile.brought(path)
    data.unlink()
    with pytest.raises(ModelError, match=r"needs net\.onnx\.data beside it, which is missing"):
        OnnxFile.brought(path)


@pytest.mark.parametrize("place", ["../stolen.data", "/etc/passwd", "a/../../stolen.data"])
def test_weights_that_lie_elsewhere(place: str, tmp_path: Path) -> None:
    (tmp_path / "stolen.data").write_bytes(bytes(12))
    (tmp_path / "deep" / "a").mkdir(parents=True)
    path = write(tmp_path / "deep" / "net.onnx", external=True)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = place
    onnx.save(model, path)
    with pytest.raises(ModelError, match="keeps weights outside of its folder"):
        read_onnx(path)


# ---- the reader


@pytest.mark.parametrize("name", ["selfie", "net"])
def test_the_reader_agrees_with_onnx(name: str, tmp_path: Path) -> None:
    if name == "selfie":
        path = Path(onnx_card.__file__).parents[1] / "data" / "selfie_general.onnx"
    else:
        path = write(tmp_path / "net.onnx", more_outputs=2, metadata={"key": "wört", "b": ""})
    facts, model = read_onnx(path), onnx.load(path)
    assert facts.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert facts.opset == model.opset_import[0].version
    for found, values in ((facts.inputs, model.graph.input), (facts.outputs, model.graph.output)):
        for one, value in zip(found, values, strict=True):
            kind = value.type.tensor_type
            assert one.name == value.name
            assert np.dtype(one.dtype) == helper.tensor_dtype_to_np_dtype(kind.elem_type)
            assert one.shape == tuple(side.dim_value or None for side in kind.shape.dim)
    counts: dict[str, int] = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        counts[array.dtype.name] = counts.get(array.dtype.name, 0) + array.size
    assert sum(facts.weights.values()) == sum(counts.values())
    if name == "selfie":  # kept as float16, computed with as float32
        assert counts["float16"] > counts["float32"]
        assert set(facts.weights) <= {"float32", "int64"}
        assert OnnxFile.brought(path).precision == "fp32"


def test_files_that_declare_weights_as_inputs(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", weights_as_inputs=True)
    assert [value.name for value in read_onnx(path).inputs] == ["input"]


# ---- the embedded network


def test_the_embedded_file_must_be_the_right_one(tmp_path: Path) -> None:
    selfie = load_card("selfie")
    content = selfie.weights.path.read_bytes()
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"were changed .*; reinstall streammatte"):
        OnnxFile.embedded(selfie, changed, selfie.weights.sha256)
    with pytest.raises(ModelError, match=r"are missing .*; reinstall streammatte"):
        OnnxFile.embedded(replace(selfie), tmp_path / "none.onnx", selfie.weights.sha256)
