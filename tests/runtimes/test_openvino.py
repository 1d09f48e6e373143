"""OpenVINO: its own deformable convolution, exactness, devices, and that it tells nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import deform
import numpy as np
import pytest
import tiny

from streammatte.errors import DependencyError, RuntimeFailure, UsageError
from streammatte.models import open_model
from streammatte.models.base import Graph
from streammatte.runtimes import RUNTIMES, Placement

runtime = pytest.importorskip("streammatte.runtimes.openvino", reason="needs the extra openvino")

SIZE = (96, 64)


@deform.every_case
def test_deformable_convolution(case: deform.Case, tmp_path: Path) -> None:
    given = deform.arrays(case)
    deform.write(case, given, tmp_path / "deform.onnx")
    core = runtime._core()
    compiled = core.compile_model(
        core.read_model(tmp_path / "deform.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    names = {port.any_name for port in compiled.inputs}
    found = compiled({name: given[name] for name in names})[0]
    np.testing.assert_allclose(found, deform.expected(case, given), atol=3e-5)


def test_the_embedded_network() -> None:
    model, size = open_model("selfie"), (448, 256)
    seen = np.random.default_rng(0).integers(0, 256, (1, 256, 448, 3)).astype(np.uint8)
    ours = runtime.OpenVino(model, size, Placement())
    theirs = RUNTIMES.load("onnxruntime")(model, size, Placement())
    np.testing.assert_allclose(ours.infer(seen), theirs.infer(seen), atol=1e-5)
    assert ours.inputs[0].shape == (1, 256, 448, 3)  # fixed, though the file leaves it open


def test_it_calculates_as_exactly_as_the_graph_says() -> None:
    class Core:
        def compile_model(self, _: object, device: str, settings: dict[str, object]) -> None:
            told[device] = settings

    told: dict[str, dict[str, object]] = {}
    for device in ("CPU", "GPU.1"):
        runtime._compiled(Core(), None, device, "net", 1)
    assert told["CPU"]["INFERENCE_PRECISION_HINT"] == "f32"  # or bfloat16, on CPUs that can
    assert told["CPU"]["INFERENCE_NUM_THREADS"] == 1
    assert told["GPU.1"]["EXECUTION_MODE_HINT"] == "ACCURACY"
    assert "INFERENCE_PRECISION_HINT" not in told["GPU.1"]


def test_big_networks_get_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "BIG", 0)
    monkeypatch.setattr(runtime, "cores", lambda: 2)
    network = runtime.OpenVino(tiny.Tiny(tmp_path), SIZE, Placement())
    compiled = network._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2


def test_graphs_are_asked_for_openvino(tmp_path: Path) -> None:
    model = tiny.Tiny(tmp_path)
    runtime.OpenVino(model, SIZE, Placement(batch=3))
    (graph,) = model.asked
    assert (graph.target, graph.precision, graph.batch) == ("openvino", "fp32", 3)


@pytest.mark.parametrize("device", ["cuda", "gpux", ""])
def test_unknown_devices(device: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"OpenVINO knows no .*; it has cpu"):
        runtime.OpenVino(tiny.Tiny(tmp_path), SIZE, Placement(device))


@pytest.mark.parametrize("device", ["npu", "gpu.7", "gpu:7", "cpu.1"])
def test_devices_that_are_not_here(device: str, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"OpenVINO finds no (NPU|GPU\.7|CPU\.1) here"):
        runtime.OpenVino(tiny.Tiny(tmp_path), SIZE, Placement(device))


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    class Broken(tiny.Tiny):
        def onnx(self, *_: object) -> Path:
            path = tmp_path / "broken.onnx"
            path.write_bytes(b"half a network")
            return path

    with pytest.raises(RuntimeFailure, match="OpenVINO cannot load selfie: ") as caught:
        runtime.OpenVino(Broken(tmp_path), SIZE, Placement())
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_a_failure(tmp_path: Path) -> None:
    network = runtime.OpenVino(tiny.Tiny(tmp_path), SIZE, Placement())
    with pytest.raises(RuntimeFailure, match="OpenVINO failed on a frame") as caught:
        network.infer(np.zeros((1, 32, 32, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_nobody_is_told(tmp_path: Path) -> None:
    """OpenVINO reports its own import, and keeps a number to know the user by in ~/intel."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise SystemExit('it calls home')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import streammatte.runtimes.openvino, openvino\n"
        "assert not any(name.startswith('openvino_telemetry.') for name in sys.modules)\n"
        "assert openvino.convert_model\n"
    )
    environment = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the small BiRefNet, its weights in a file of their own."""
    export = pytest.importorskip("streammatte.models.birefnet.export", reason="needs torch")
    path: Path = tmp_path_factory.mktemp("export") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "EXTERNAL_FROM", 0)
        open_model("birefnet-lite", weights="random").export((96, 96), Graph("openvino"), path)
    return path


def test_openvino_adds_up_no_tables(exported: Path) -> None:
    """Two constants added in turn would be one beforehand, for every head of every window."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(exported, load_external_data=False).graph
    constants = {constant.name for constant in graph.initializer}
    adds = [node for node in graph.node if node.op_type == "Add"]
    plus_constant = {node.output[0] for node in adds if constants.intersection(node.input)}
    assert plus_constant
    in_turn = [
        node.name
        for node in adds
        if constants.intersection(node.input) and plus_constant.intersection(node.input)
    ]
    assert not in_turn


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory")
def test_the_weights_file_leaves_memory(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        card = open_model("birefnet-lite", weights="random").card

        def onnx(self, *_: object) -> Path:
            return exported

    def resident() -> int:
        """Return how much of the file is in this process's memory, in KiB."""
        parts = Path("/proc/self/smaps").read_text().split(str(exported) + ".data\n")[1:]
        return sum(int(part.partition("Rss:")[2].split()[0]) for part in parts)

    seen = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3)).astype(np.uint8)
    network = runtime.OpenVino(Model(), (96, 96), Placement())
    left, alpha = resident(), network.infer(seen)
    monkeypatch.setattr(runtime, "_forget_pages_of", lambda _: None)
    keeping = runtime.OpenVino(Model(), (96, 96), Placement())
    assert left < resident() / 5
    np.testing.assert_array_equal(keeping.infer(seen), alpha)
