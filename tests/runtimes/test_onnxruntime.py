"""ONNX Runtime: threads, devices, and that it never takes the CPU without a word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import deform
import numpy as np
import onnxruntime
import pytest
import tiny

from streammatte.errors import DependencyError, RuntimeFailure, UsageError
from streammatte.models import open_model
from streammatte.runtimes import Placement
from streammatte.runtimes import onnxruntime as runtime

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (96, 64)
REAL = onnxruntime.InferenceSession


class Session:
    """Stands in for ONNX Runtime's; really on the CPU, whatever it says."""

    made: Any = None
    asked: Any = None
    says = ("CUDAExecutionProvider", "CPUExecutionProvider")
    nodes: dict[str, int] | None = None
    error: Exception | None = None

    def __init__(self, path: Path, options: Any, providers: Any, **keywords: Any) -> None:
        type(self).made, type(self).asked = self, (options, providers, keywords)
        if self.error:
            raise self.error
        self._real = REAL(path, options, providers=["CPUExecutionProvider"])

    def __getattr__(self, name: str) -> Any:
        if name == "get_provider_graph_assignment_info":
            if self.nodes is None:
                raise AttributeError
            return lambda: [
                SimpleNamespace(ep_name=name, get_nodes=lambda n=n: [None] * n)
                for name, n in (self.nodes or {}).items()
            ]
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return list(self.says)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    """Let a build with CUDA be installed, whose sessions can be told what to say."""
    kind = type("Session", (Session,), {})
    monkeypatch.setattr(runtime, "InferenceSession", kind)
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "AzureExecutionProvider"]
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [*there, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(runtime, "_plugins", lambda: ())
    return kind


@deform.every_case
def test_deformable_convolution(case: deform.Case, tmp_path: Path) -> None:
    given = deform.arrays(case)
    deform.write(case, given, tmp_path / "deform.onnx")
    real = REAL(tmp_path / "deform.onnx", providers=["CPUExecutionProvider"])
    (found,) = real.run(None, {one.name: given[one.name] for one in real.get_inputs()})
    np.testing.assert_allclose(found, deform.expected(case, given), atol=3e-5)


def test_the_embedded_network_runs_on_one_thread_bit_by_bit_as_ever() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = open_model("selfie")
    path = model.onnx((448, 256), runtime.Graph())
    plain = REAL(path, options, providers=["CPUExecutionProvider"])
    network = runtime.OnnxRuntime(model, (448, 256), Placement())
    seen = np.random.default_rng(0).integers(0, 256, (1, 256, 448, 3)).astype(np.uint8)
    assert (network.infer(seen) == plain.run(None, {"image": seen})[0]).all()
    assert network._session.get_session_options().intra_op_num_threads == 1


def test_big_networks_get_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "BIG", 0)
    monkeypatch.setattr(runtime, "cores", lambda: 2)
    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement())
    options = network._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert not options.enable_mem_pattern
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_graphs_are_asked_for_as_they_will_be_run(tmp_path: Path, session: type[Session]) -> None:
    for placement, precision, batch in (
        (Placement(), "fp32", 1),
        (Placement("cpu", batch=4), "fp32", 4),
        (Placement("cpu", precision="fp16"), "fp16", 1),
        (Placement("cuda"), "fp16", 1),
        (Placement("cuda", precision="fp32", batch=2), "fp32", 2),
    ):
        model = tiny.Tiny(tmp_path)
        network = runtime.OnnxRuntime(model, SIZE, placement)
        (graph,) = model.asked
        assert (graph.target, graph.precision, graph.batch) == ("onnxruntime", precision, batch)
        assert (network.precision, network.batch) == (precision, batch)


def test_a_gpu_in_use_is_reported(tmp_path: Path, session: type[Session]) -> None:
    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement("cuda:1", require_gpu=True))
    assert network.device == "cuda:1"
    assert network.description == f"ONNX Runtime {onnxruntime.__version__} on CUDA 1"
    options, providers, keywords = session.asked
    assert providers == [("CUDAExecutionProvider", {"device_id": "1"}), "CPUExecutionProvider"]
    assert keywords == {"enable_fallback": 0}
    assert options.get_session_config_entry("session.record_ep_graph_assignment_info") == "1"


def test_operators_left_on_the_cpu_are_reported(tmp_path: Path, session: type[Session]) -> None:
    session.nodes = {"CUDAExecutionProvider": 10, "CPUExecutionProvider": 3}
    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement("cuda"))
    assert network.description.endswith("on CUDA 0 (3 operators on the CPU)")


@pytest.mark.parametrize(
    ("says", "nodes"),
    [
        (["CPUExecutionProvider"], None),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], {"CPUExecutionProvider": 13}),
    ],
)
def test_the_cpu_instead_of_a_gpu_is_a_failure(
    says: list[str], nodes: dict[str, int] | None, tmp_path: Path, session: type[Session]
) -> None:
    session.says, session.nodes = says, nodes
    with pytest.raises(RuntimeFailure, match="took the CPU instead of CUDA 0") as caught:
        runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement("cuda"))
    assert "\n" not in str(caught.value)


def test_devices(session: type[Session]) -> None:
    assert runtime.devices() == ["tensorrt", "cuda", "cpu"]  # Azure is somebody else's computer


@pytest.mark.parametrize("device", ["cudda", "azure", "cuda:x", "cpu:1", "", "dml:a", "qnn"])
def test_unknown_devices(device: str, tmp_path: Path, session: type[Session]) -> None:
    with pytest.raises(UsageError, match=r"knows no .*; it has tensorrt, cuda, cpu"):
        runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement(device))


@pytest.mark.parametrize("device", ["dml", "coreml", "openvino:gpu", "rocm", "directml:1"])
def test_devices_that_this_build_lacks(device: str, tmp_path: Path, session: type[Session]) -> None:
    with pytest.raises(DependencyError, match=r"has no \w+ provider \(it has tensorrt, cuda, cpu"):
        runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement(device))


def test_a_provider_of_a_package_of_its_own(
    tmp_path: Path, session: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(device: str) -> Any:
        kind = SimpleNamespace(type=SimpleNamespace(name=device))
        return SimpleNamespace(ep_name="OpenVINOExecutionProvider", device=kind)

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_provider_for_devices(self, devices: Any, options: Any) -> None:
            added.append((list(devices), options))

    added: list[Any] = []
    cpu, gpu = one("CPU"), one("GPU")
    monkeypatch.setattr(runtime, "_plugins", lambda: (cpu, gpu))
    monkeypatch.setattr(runtime, "SessionOptions", Options)
    session.says = ("OpenVINOExecutionProvider", "CPUExecutionProvider")
    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement("openvino:gpu"))
    assert added[0][0] == [gpu]
    assert session.asked[1] is None
    assert network.device == "openvino:gpu"
    assert runtime.devices() == ["tensorrt", "cuda", "openvino", "cpu"]


def test_an_old_onnx_runtime(tmp_path: Path, session: type[Session]) -> None:
    session.error = RuntimeError(
        "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for "
        "DeformConv(19) node with name ''"
    )
    with pytest.raises(DependencyError, match=r"needs ONNX Runtime 1\.25 or newer, this is 1"):
        runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement())


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    class Broken(tiny.Tiny):
        def onnx(self, *_: object) -> Path:
            path = tmp_path / "broken.onnx"
            path.write_bytes(b"half a network")
            return path

    with pytest.raises(RuntimeFailure, match="ONNX Runtime cannot load selfie: ") as caught:
        runtime.OnnxRuntime(Broken(tmp_path), SIZE, Placement())
    assert "\n" not in str(caught.value)


def test_a_frame_that_fails(tmp_path: Path) -> None:
    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement())
    with pytest.raises(RuntimeFailure, match="ONNX Runtime failed on a frame: ") as caught:
        network.infer(np.zeros((1, 32, 32, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_too_little_memory_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 99999999999")

    network = runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement())
    monkeypatch.setattr(network, "_session", SimpleNamespace(run=run))
    with pytest.raises(RuntimeFailure, match=r"needs more memory .* use a smaller --size"):
        network.infer(np.zeros((1, 64, 96, 3), np.uint8))


def test_what_interrupts_is_not_a_failure(tmp_path: Path, session: type[Session]) -> None:
    session.error = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        runtime.OnnxRuntime(tiny.Tiny(tmp_path), SIZE, Placement())
