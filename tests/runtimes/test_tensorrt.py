"""The runner, on a GPU and with TensorRTs that are not there: what it computes, in which order it
asks, and what it says when something fails."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from fakes.fixtures import POLICIES
from fakes.graphs import Plain

from streammatte.engines.kinds import KINDS
from streammatte.engines.store import Store
from streammatte.errors import (
    DependencyError,
    ModelError,
    OutputError,
    RuntimeFailure,
    StreamMatteError,
    UsageError,
)
from streammatte.meters import Meters
from streammatte.models.base import Graph
from streammatte.runtimes import RUNTIMES, Placement, hardware
from streammatte.runtimes.choice import open_runtime
from streammatte.runtimes.tensorrt import TensorRt, TensorRtRtx
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import matte

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (48, 32)
CLASSES = {"tensorrt": TensorRt, "tensorrt_rtx": TensorRtRtx}
EVERYWHERE = pytest.mark.parametrize("kind", sorted(CLASSES))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))


class Bench:
    """A GPU, a TensorRT and a network; what is opened is closed at the end."""

    def __init__(self, plug_gpu: Any, plug_tensorrt: Any, folder: Path) -> None:
        self._plug_gpu, self._plug_tensorrt = plug_gpu, plug_tensorrt
        self.model = Plain(folder)
        self.opened: list[Any] = []
        self.told: list[str] = []

    def plug(self, kind: str, policy: str = "latest", seed: int = 0, **changes: Any) -> Any:
        version = changes.pop("version", "11.4.0.106" if kind == "tensorrt" else "1.7.1.116")
        self.kind = kind
        self.gpu = self._plug_gpu(policy, seed, **changes)
        self.api = self._plug_tensorrt(kind, version, self.gpu)
        return self.api

    def open(self, size: tuple[int, int] = SIZE, like: Any = None, **changes: Any) -> Any:
        placement = Placement("cuda", **{"tell": self.told.append, **changes})
        self.opened.append((like or CLASSES[self.kind])(self.model, size, placement))
        return self.opened[-1]

    def truth(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what plain ONNX Runtime makes of images, one by one."""
        size = (images.shape[2], images.shape[1])
        path = self.model.onnx(size, Graph("tensorrt", "fp16"))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {"image": one[None]})[0] for one in images])


@pytest.fixture
def bench(plug_gpu: Any, plug_tensorrt: Any, tmp_path: Path) -> Iterator[Bench]:
    one = Bench(plug_gpu, plug_tensorrt, tmp_path)
    yield one
    for runtime in one.opened:
        runtime.close()
        runtime.close()
    one.opened.clear()


def images(count: int = 1, size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, size[1], size[0], 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


# --- right, whatever happens when ---------------------------------------------------------------


@EVERYWHERE
@pytest.mark.parametrize(("policy", "seed"), POLICIES)
@pytest.mark.parametrize("graphs", [True, False])
def test_mattes_are_those_of_onnx_runtime(
    kind: str, policy: str, seed: int, graphs: bool, bench: Bench
) -> None:
    """With frames in flight, in order, and nothing touched before its time."""
    bench.plug(kind, policy, seed)
    like = type("Wish", (CLASSES[kind],), {"wants_graphs": graphs})
    runtime = bench.open(like=like)
    assert runtime.has_graphs == graphs
    shown, found = images(9, seed=seed), []
    for i in range(9 + runtime.slots - 1):
        if i < 9:
            runtime.submit(shown[i : i + 1])
        if i >= runtime.slots - 1:
            found.append(runtime.collect())
    np.testing.assert_array_equal(np.concatenate(found), bench.truth(shown))
    np.testing.assert_array_equal(runtime.infer(shown[:1]), bench.truth(shown[:1]))
    runtime.close()
    bench.gpu.assert_clean()
    bench.gpu.assert_all_returned()


@EVERYWHERE
def test_the_matte_stage_keeps_it_full(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    runtime = bench.open()
    before = len(bench.gpu.log)
    frames = Synthetic(96, 64, 7).frames()
    mattes = list(matte.infer(frames, runtime, SIZE, Meters()))
    views = np.stack([one.view for one in mattes])
    np.testing.assert_array_equal(np.stack([one.alpha for one in mattes]), bench.truth(views)[:, 0])
    names = [call.name for call in bench.gpu.log[before:]]
    steps = [name for name in names if name in ("cudaGraphLaunch", "cudaEventSynchronize")]
    launch, wait = "cudaGraphLaunch", "cudaEventSynchronize"
    assert steps == [launch] * 3 + [wait, launch] * 4 + [wait] * 3
    assert "cudaStreamSynchronize" not in names
    assert "cudaDeviceSynchronize" not in names


@EVERYWHERE
@pytest.mark.parametrize("batch", [1, 3])
def test_batches(kind: str, batch: int, bench: Bench) -> None:
    bench.plug(kind)
    runtime = bench.open(batch=batch)
    assert runtime.inputs[0].shape == (batch, 32, 48, 3)
    shown = images(batch)
    np.testing.assert_array_equal(runtime.infer(shown), bench.truth(shown))
    fewer = shown[: max(1, batch - 1)]
    np.testing.assert_array_equal(runtime.infer(fewer), bench.truth(fewer))


@EVERYWHERE
def test_it_says_what_it_is(kind: str, bench: Bench) -> None:
    bench.plug(kind, devices=2)
    runtime = bench.open()
    assert (runtime.device, runtime.precision, runtime.batch) == ("cuda:0", "fp16", 1)
    title = "TensorRT-RTX 1.7.1.116" if kind == "tensorrt_rtx" else "TensorRT 11.4.0.106"
    assert runtime.description == f"{title} on NVIDIA GeForce RTX 4090 (cuda:0)"
    (asked,) = bench.model.asked
    assert (asked.target, asked.precision, asked.form) == ("tensorrt", "fp16", "gather")
    second = CLASSES[kind](bench.model, SIZE, Placement("cuda:1"))
    assert second.device == "cuda:1"
    second.close()


@EVERYWHERE
def test_another_thread_may_run_it(kind: str, bench: Bench) -> None:
    """As the pipeline does: opened here, used there, closed here."""
    bench.plug(kind, devices=2)
    runtime = bench.open()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(runtime.infer(images())))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], bench.truth(images()))


@EVERYWHERE
def test_single_precision_on_request(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    runtime = bench.open(precision="fp32")
    assert runtime.precision == "fp32"
    assert bench.model.asked[0].precision == "fp32"


@EVERYWHERE
def test_what_was_made_last_goes_first(
    kind: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs, contexts, kernels, engines, the runtime, memory; and only when nothing runs."""
    bench.plug(kind)
    runtime = bench.open()
    runtime.submit(images())
    order = bench.api.fake.order
    for name in ("cudaStreamSynchronize", "cudaGraphExecDestroy", "cudaFree"):
        monkeypatch.setattr(bench.gpu, name, noting(order, getattr(bench.gpu, name)))
    del order[:]
    runtime.close()
    ends = list(dict.fromkeys(name for name in order if name[0] == "~" or name.startswith("cuda")))
    assert ends == [
        "cudaStreamSynchronize",
        "cudaGraphExecDestroy",
        "~IExecutionContext",
        *(["~IRuntimeCache"] if kind == "tensorrt_rtx" else []),
        "~ICudaEngine",
        "~Runtime",
        "cudaFree",
    ]


def noting(order: list[str], call: Any) -> Any:
    """Return a function of CUDA's that writes its name down, too."""

    def noted(*arguments: Any) -> Any:
        order.append(call.__name__)
        return call(*arguments)

    return noted


@EVERYWHERE
def test_the_thread_that_compiles_has_the_right_gpu(kind: str, bench: Bench) -> None:
    """CUDA has a current device a thread, and TensorRT times kernels on that."""
    bench.plug(kind, devices=2)
    placement = Placement("cuda:1")
    bench.opened.append(CLASSES[kind](bench.model, SIZE, placement))
    builders = [call for call in bench.gpu.log if call.thread == "streammatte-engine"]
    assert [(call.name, call.arguments) for call in builders] == [("cudaSetDevice", {"device": 1})]


def test_plugins_are_there_for_engines_that_were_compiled_before(bench: Bench) -> None:
    bench.plug("tensorrt")
    bench.open().close()
    bench.plug("tensorrt")
    bench.open()
    order = bench.api.fake.order
    assert "Builder" not in order
    assert order.index("init_libnvinfer_plugins") < order.index("Runtime.deserialize_cuda_engine")


@EVERYWHERE
def test_there_is_one_logger_a_process(kind: str, bench: Bench) -> None:
    """TensorRT keeps the first; what it says of one failure is not told of the next."""
    api = bench.plug(kind)
    one = KINDS[kind.replace("_", "-")].log
    api.fake.fail("Builder.build_serialized_network", says="no kernel fits")
    with pytest.raises(RuntimeFailure, match="cannot compile selfie: no kernel fits"):
        bench.open()
    api.fake.fail("ICudaEngine.create_execution_context", says="no room")
    with pytest.raises(RuntimeFailure, match="cannot be started: no room"):
        bench.open()
    runtime = bench.open()
    assert runtime._loaded.log is one


# --- engines ------------------------------------------------------------------------------------


@EVERYWHERE
def test_it_is_compiled_once(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    bench.open().close()
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 1
    assert any("compiling" in line and "RTX 4090, once" in line for line in bench.told)
    bench.told.clear()
    bench.open()
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 1
    assert bench.told == []
    (entry,) = Store().entries()
    facts = json.loads((entry.folder / "engine.json").read_text())
    assert facts["fingerprint"]["version"] == bench.api.__version__
    assert facts["gpu"] == "NVIDIA GeForce RTX 4090"


@EVERYWHERE
def test_an_engine_of_another_version_is_compiled_anew(kind: str, bench: Bench) -> None:
    bench.plug(kind, version="11.0.0.114" if kind == "tensorrt" else "1.6.0.1")
    bench.open().close()
    bench.plug(kind)
    bench.open()
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 1
    assert any("version" in line for line in bench.told)


@EVERYWHERE
def test_an_engine_that_is_refused_is_compiled_once_more(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    bench.open().close()
    bench.api.fake.fail("Runtime.deserialize_cuda_engine", says="the plan is from the moon")
    runtime = bench.open()
    assert any("the plan is from the moon" in line for line in bench.told), bench.told
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 2
    np.testing.assert_array_equal(runtime.infer(images()), bench.truth(images()))


def test_but_no_more_than_once(bench: Bench) -> None:
    bench.plug("tensorrt")
    for after in (1, 2):
        bench.api.fake.fail("Runtime.deserialize_cuda_engine", after, says="the moon again")
    with pytest.raises(RuntimeFailure, match=r"refuses the engine that it has just made: the moon"):
        bench.open()
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 2


def test_a_full_memory_is_no_reason_to_compile_anew(bench: Bench) -> None:
    bench.plug("tensorrt")
    bench.open().close()
    bench.api.fake.fail("Runtime.deserialize_cuda_engine", says="Cuda Runtime (out of memory)")
    with pytest.raises(RuntimeFailure, match=r"memory is too small .* smaller --size"):
        bench.open()
    assert bench.api.fake.calls["Builder.build_serialized_network"] == 1


def test_an_engine_goes_from_gpu_to_gpu_only_with_rtx(bench: Bench) -> None:
    other = {"name": "NVIDIA GeForce RTX 3060", "capability": (8, 6)}
    for kind, builds in (("tensorrt", 1), ("tensorrt_rtx", 1)):
        bench.plug(kind)
        bench.open().close()
        bench.plug(kind, **other)
        bench.open().close()
        assert bench.api.fake.calls["Builder.build_serialized_network"] == builds


def test_kernels_and_timings_are_kept(bench: Bench) -> None:
    """What TensorRT-RTX compiles on first use, and what TensorRT measures while it builds."""
    bench.plug("tensorrt_rtx")
    bench.open().close()
    assert bench.api.fake.compiled == 1
    bench.open().close()
    assert bench.api.fake.compiled == 1
    bench.plug("tensorrt")
    bench.open().close()
    timed = bench.api.fake.timed
    assert timed
    bench.model = Plain(bench.model._folder, says="fp16")
    Store().remove(next(one for one in Store().entries() if "tensorrt-rtx" not in str(one.folder)))
    bench.open().close()
    assert bench.api.fake.timed == timed


# --- what fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "after", "error", "words"),
    [
        ("Runtime", 1, RuntimeFailure, "does not start"),
        ("Builder", 1, RuntimeFailure, "does not start"),
        ("OnnxParser.parse_from_file", 1, ModelError, "cannot read selfie: made to fail"),
        ("Builder.build_serialized_network", 1, RuntimeFailure, "cannot compile selfie: made to"),
        ("ICudaEngine.create_execution_context", 1, RuntimeFailure, "cannot be started: made to"),
        ("IExecutionContext.set_tensor_address", 1, RuntimeFailure, "memory for its image"),
        ("IExecutionContext.set_tensor_address", 2, RuntimeFailure, "memory for its alpha"),
        ("IExecutionContext.execute_async_v3", 1, RuntimeFailure, "did not run: made to fail"),
    ],
)
@EVERYWHERE
def test_every_refusal_of_tensorrt_is_told(
    kind: str, call: str, after: int, error: type[StreamMatteError], words: str, bench: Bench
) -> None:
    bench.plug(kind)
    bench.api.fake.fail(call, after)
    with pytest.raises(error, match=words) as raised:
        bench.open()
    assert "\n" not in str(raised.value)
    bench.gpu.assert_all_returned()


def test_why_an_engine_is_refused_is_told_in_its_words(bench: Bench) -> None:
    """TensorRT-RTX can say what is wrong with an engine."""
    bench.plug("tensorrt_rtx")
    bench.open().close()
    (entry,) = Store().entries()
    plan = bytearray(entry.plan.read_bytes())
    bench.plug("tensorrt_rtx", capability=(12, 0))
    bench.open().close()
    other = next(one for one in Store().entries() if one.folder != entry.folder)
    other.plan.write_bytes(plan)
    facts = json.loads((other.folder / "engine.json").read_text())
    facts |= {"bytes": len(plan), "sha256": hashlib.sha256(plan).hexdigest()}
    (other.folder / "engine.json").write_text(json.dumps(facts))
    bench.told.clear()
    bench.open()
    assert any("unsupported cc" in line for line in bench.told), bench.told


@EVERYWHERE
def test_shapes_that_are_left_open(
    kind: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = bench.plug(kind)
    monkeypatch.setattr(api.IExecutionContext, "infer_shapes", lambda _: ["image"])
    with pytest.raises(RuntimeFailure, match="leaves open what image is"):
        bench.open()
    bench.gpu.assert_all_returned()


def test_timings_that_are_refused_do_no_harm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    api = bench.plug("tensorrt")
    monkeypatch.setattr(api.IBuilderConfig, "set_timing_cache", lambda *_: False)
    assert bench.open().device == "cuda:0"


@EVERYWHERE
def test_without_graphs_it_runs_all_the_same(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    bench.gpu.fail("cudaStreamEndCapture", "cudaErrorStreamCaptureUnsupported")
    runtime = bench.open()
    assert not runtime.has_graphs
    assert runtime.why_no_graphs.startswith("CUDA failed: cudaErrorStreamCaptureUnsupported")
    assert runtime.description.endswith("(cuda:0) without CUDA graphs")
    np.testing.assert_array_equal(runtime.infer(images()), bench.truth(images()))


@EVERYWHERE
def test_what_failed_while_capturing_is_not_told_of_a_frame(kind: str, bench: Bench) -> None:
    bench.plug(kind)
    bench.api.fake.fail("IExecutionContext.execute_async_v3", 2, says="not in a capture")
    runtime = bench.open()
    assert "not in a capture" in runtime.why_no_graphs
    bench.api.fake.fail("IExecutionContext.execute_async_v3", says="out of luck")
    with pytest.raises(RuntimeFailure, match="did not run: out of luck"):
        runtime.infer(images())


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("cudaErrorIllegalAddress", RuntimeFailure, "cuda:0 was lost"),
        ("cudaErrorMemoryAllocation", RuntimeFailure, "too small"),
        ("cudaErrorInvalidValue", RuntimeFailure, "CUDA failed: cudaErrorInvalidValue"),
    ],
)
@pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaGraphLaunch", "cudaEventSynchronize"])
def test_a_gpu_that_fails_on_a_frame(
    call: str, status: str, error: type[StreamMatteError], words: str, bench: Bench
) -> None:
    bench.plug("tensorrt")
    runtime = bench.open()
    bench.gpu.fail(call, status)
    with pytest.raises(error, match=words):
        runtime.infer(images())
    runtime.close()


@EVERYWHERE
def test_without_a_driver(kind: str, bench: Bench) -> None:
    bench.plug(kind, absent="cudaErrorInsufficientDriver")
    with pytest.raises(DependencyError, match=r"driver is missing or too old .* driver 580"):
        bench.open()


def test_gpus_and_devices_that_it_does_not_run_on(bench: Bench) -> None:
    bench.plug("tensorrt_rtx", name="NVIDIA H100", capability=(9, 0))
    with pytest.raises(DependencyError, match=r"this one is 9\.0"):
        bench.open()
    for device in ("cpu", "mps", "cuda:x"):
        with pytest.raises(UsageError, match="runs on cuda"):
            TensorRtRtx(bench.model, SIZE, Placement(device))
    with pytest.raises(DependencyError, match="there is no cuda:3"):
        TensorRtRtx(bench.model, SIZE, Placement("cuda:3"))


def test_single_precision_does_not_pass_for_half(bench: Bench, tmp_path: Path) -> None:
    """The file says fp16, and is not."""

    class Lying(Plain):
        def onnx(self, size: Any, graph: Graph) -> Path:  # noqa: ARG002
            return super().onnx(size, Graph("tensorrt", "fp32"))

    bench.plug("tensorrt")
    bench.model = Lying(tmp_path, says="fp16")
    with pytest.raises(ModelError, match="not in half precision"):
        bench.open()


@pytest.mark.skipif(not hasattr(__import__("os"), "geteuid"), reason="needs Unix")
def test_nowhere_to_keep_an_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.plug("tensorrt")
    monkeypatch.setenv("STREAMMATTE_HOME", "/proc/nowhere")
    with pytest.raises(OutputError, match="STREAMMATTE_HOME"):
        bench.open()


# --- how it is chosen ---------------------------------------------------------------------------


def test_auto_takes_what_works_and_says_why_not_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU that TensorRT-RTX does not know, no TensorRT, a PyTorch without CUDA."""
    bench.plug("tensorrt_rtx", name="NVIDIA H100", capability=(9, 0))
    monkeypatch.setattr(hardware, "nvidia", lambda: hardware.Nvidia(1))
    (tmp_path / "big.onnx").write_bytes(b"")

    class Big(Plain):
        """Its card has no file, so it counts as large."""

    model = Big(tmp_path)
    monkeypatch.setattr("streammatte.runtimes.choice._is_small", lambda _: False)
    choice = open_runtime("auto", model, SIZE, Placement())
    try:
        assert choice.runtime.device == "cpu"
        told = "; ".join(choice.passed_over)
        assert "tensorrt on CUDA: TensorRT is not installed" in told
        assert "tensorrt-rtx on CUDA: TensorRT-RTX knows GPUs of compute capability" in told
    finally:
        choice.runtime.close()
    bench.plug("tensorrt_rtx")
    choice = open_runtime("auto", model, SIZE, Placement())
    try:
        assert choice.runtime.description.startswith("TensorRT-RTX")
    finally:
        choice.runtime.close()


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_what_is_named_is_never_replaced(
    name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "nvidia", lambda: hardware.Nvidia(0, "no NVIDIA driver found"))
    with pytest.raises(
        DependencyError, match=f"{name} on CUDA cannot be used: no NVIDIA .*leave out"
    ):
        open_runtime(name, bench.model, SIZE, Placement())


def test_the_table_has_both() -> None:
    assert RUNTIMES.known("trt") == "tensorrt"
    assert RUNTIMES.known("rtx") == "tensorrt-rtx"
