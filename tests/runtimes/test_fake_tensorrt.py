"""The stand-in for both TensorRTs: it builds, refuses, computes and fails as the real ones do."""

from __future__ import annotations

import _thread
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from fakes.fake_cuda import FakeCuda
from fakes.fake_tensorrt import make
from fakes.fixtures import POLICIES
from fakes.graphs import proto

from streammatte.engines.build import Wanted, build
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX
from streammatte.engines.recipe import Builder
from streammatte.errors import ModelError, RuntimeFailure
from streammatte.models.base import Graph
from streammatte.runtimes.cuda import Device
from streammatte.runtimes.ring import SLOTS, Ring

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (24, 16)
KINDS = {"tensorrt": TENSORRT, "tensorrt_rtx": TENSORRT_RTX}
WANTED = Wanted("plain", SIZE, 1, "fp16")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(proto(SIZE), tmp_path / "plain.onnx")
    return tmp_path / "plain.onnx"


def logger_of(api: Any) -> Any:
    class Logger(api.ILogger):
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= 1:
                self.errors.append(message)

    return Logger()


class Loaded:
    """A plan on a GPU, with a context that has addresses."""

    def __init__(self, api: Any, gpu: FakeCuda, plan: Any) -> None:
        self.gpu = gpu
        self.runtime = api.Runtime(logger_of(api))
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()

    def __call__(self, source: int, target: int, stream: Any) -> None:
        assert self.context.set_tensor_address("image", source)
        assert self.context.set_tensor_address("alpha", target)
        if not self.context.execute_async_v3(int(stream)):
            raise RuntimeFailure("it does not run")

    def close(self) -> None:
        del self.context
        del self.engine
        del self.runtime


def pictures(number: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (1, SIZE[1], SIZE[0], 3), np.uint8) for _ in range(number)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("policy", "seed"), POLICIES[:5])
def test_it_computes_what_onnx_runtime_does(
    plug_gpu: Any, plug_tensorrt: Any, path: Path, kind: str, policy: str, seed: int
) -> None:
    gpu = plug_gpu(policy, seed)
    api = plug_tensorrt(kind, cuda=gpu)
    device = Device(0)
    work = Loaded(api, gpu, build(KINDS[kind], path, WANTED, Builder()))
    for graphs in (False, True):
        shapes = (1, SIZE[1], SIZE[0], 3), (1, 1, SIZE[1], SIZE[0])
        ring = Ring(device, work, *shapes)
        found, given = [], pictures(7)
        if graphs:
            ring.submit(given[0])  # what sets itself up on first use cannot be noted down
            ring.collect()
            ring.capture()
        for picture in given:
            if len(ring) == SLOTS:
                found.append(ring.collect())
            ring.submit(picture)
        found += [ring.collect() for _ in range(len(ring))]
        session = onnxruntime.InferenceSession(path)
        for matte, picture in zip(found, given, strict=True):
            assert np.array_equal(matte, session.run(None, {"image": picture})[0])
    device.drop_graphs()
    work.close()
    assert api.fake.order[-3:] == ["~IExecutionContext", "~ICudaEngine", "~Runtime"]
    device.close()


def test_the_first_run_cannot_be_noted_down(gpu: FakeCuda, plug_tensorrt: Any, path: Path) -> None:
    api = plug_tensorrt(cuda=gpu)
    device = Device(0)
    work = Loaded(api, gpu, build(TENSORRT, path, WANTED, Builder()))
    ring = Ring(device, work, (1, SIZE[1], SIZE[0], 3), (1, 1, SIZE[1], SIZE[0]))
    with pytest.raises(RuntimeFailure, match="it does not run"):
        ring.capture()
    work.close()
    device.close()


def test_one_context_does_one_thing_at_a_time(
    plug_gpu: Any, plug_tensorrt: Any, path: Path
) -> None:
    gpu = plug_gpu(checked=False)
    api = plug_tensorrt(cuda=gpu)
    device = Device(0)
    work = Loaded(api, gpu, build(TENSORRT, path, WANTED, Builder()))
    for _ in range(2):
        work(device.malloc(16 * 24 * 3), device.malloc(16 * 24 * 4), device.stream())
    assert any("the reserved memory" in one for one in gpu.violations)
    device.close()
    work.close()


def test_what_ends_too_early_is_found(plug_gpu: Any, plug_tensorrt: Any, path: Path) -> None:
    gpu = plug_gpu(checked=False)
    api = plug_tensorrt(cuda=gpu)
    device = Device(0)
    work = Loaded(api, gpu, build(TENSORRT, path, WANTED, Builder()))
    work(device.malloc(16 * 24 * 3), device.malloc(16 * 24 * 4), device.stream())
    del work.runtime
    del work.engine
    del work.context
    found = " ".join(gpu.violations)
    for words in ("runtime ends", "engine ends", "is freed while the network"):
        assert words in found
    device.close()


def test_plans_of_others_are_refused(gpu: FakeCuda, path: Path, plug_tensorrt: Any) -> None:
    plan = bytes(build_with(plug_tensorrt("tensorrt", "11.4.0.106", gpu), path))
    rtx = bytes(build_with(plug_tensorrt("tensorrt_rtx", "1.7.1.116", gpu), path))
    other = FakeCuda(capability=(12, 0))
    old = FakeCuda(capability=(7, 5))
    for words, api, content in (
        ("", make("tensorrt", "11.4.0.106", gpu), plan),
        ("expecting library version 11.5.0.1", make("tensorrt", "11.5.0.1", gpu), plan),
        ("expecting compute 12.0 got compute 8.9", make("tensorrt", "11.4.0.106", other), plan),
        ("magicTag", make("tensorrt_rtx", "1.7.1.116", gpu), plan),
        ("magicTag", make("tensorrt", "11.4.0.106", gpu), b""),
        ("cut off", make("tensorrt", "11.4.0.106", gpu), plan[:-1]),
        ("corrupt", make("tensorrt", "11.4.0.106", gpu), plan[:-1] + b"x"),
        ("error: 35", make("tensorrt_rtx", "1.7.1.116", None), rtx),
        ("", make("tensorrt_rtx", "1.7.1.116", other), rtx),
        ("incompatible device", make("tensorrt_rtx", "1.7.1.116", old), rtx),
        ("GPU memory", make("tensorrt", "11.4.0.106", FakeCuda(memory=10)), plan),
    ):  # fmt: skip
        logger = logger_of(api)
        runtime = api.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(content)
        assert (engine is None) == bool(words)
        assert words in " ".join(logger.errors)
        if api.fake.rtx:
            found, flag = runtime.get_engine_validity(content[:64])
            assert (found is api.EngineValidity.VALID) == (not words)
            diagnostics = api.EngineInvalidityDiagnostics
            flags = {"magicTag": diagnostics.MALFORMED_ENGINE}
            flags["incompatible device"] = diagnostics.UNSUPPORTED_CC
            assert flag == int(flags.get(words, 0))
        del engine, runtime


def build_with(api: Any, path: Path) -> Any:
    kind = KINDS[api.__name__]
    return build(kind, path, WANTED, Builder())


def test_an_engine_for_some_gpus_only(plug_tensorrt: Any, path: Path) -> None:
    plug_tensorrt("tensorrt_rtx", "1.7.1.116")
    plan = build(TENSORRT_RTX, path, Wanted("plain", SIZE, 1, "fp16", ((8, 6), (12, 0))), Builder())
    for capability, good in (((8, 6), True), ((12, 0), True), ((8, 9), False)):
        api = make("tensorrt_rtx", "1.7.1.116", FakeCuda(capability=capability))
        found, _ = api.Runtime(logger_of(api)).get_engine_validity(plan)
        assert (found is api.EngineValidity.VALID) == good


def test_what_compiles_where(plug_tensorrt: Any, path: Path) -> None:
    plug_tensorrt("tensorrt_rtx")
    assert build(TENSORRT_RTX, path, WANTED, Builder()).nbytes > path.stat().st_size
    plug_tensorrt("tensorrt")
    with pytest.raises(RuntimeFailure, match="does not start"):
        build(TENSORRT, path, WANTED, Builder())


def test_deformable_convolutions_are_a_plugin(
    gpu: FakeCuda, plug_tensorrt: Any, tmp_path: Path
) -> None:
    model = tiny.Tiny(tmp_path)
    path = model.onnx(SIZE, Graph("onnxruntime", "fp32", 1))
    wanted = Wanted("tiny", SIZE, 1, "fp32")
    plug_tensorrt("tensorrt", cuda=gpu)
    assert build(TENSORRT, path, wanted, Builder()).nbytes
    plug_tensorrt("tensorrt_rtx", cuda=gpu)
    with pytest.raises(ModelError, match="DeformConv"):  # our own lint is before the parser
        build(TENSORRT_RTX, path, wanted, Builder())
    api = make("tensorrt_rtx", cuda=gpu)
    logger = logger_of(api)
    parser = api.OnnxParser(api.Builder(logger).create_network(1), logger)
    assert not parser.parse_from_file(str(path))
    error = parser.get_error(0)
    assert (error.node_operator(), "Plugin not found" in error.desc()) == ("DeformConv", True)


def test_types_of_layers_are_those_of_the_graph(
    gpu: FakeCuda, plug_tensorrt: Any, tmp_path: Path
) -> None:
    onnx.save(proto(SIZE, "fp32", says="fp16"), tmp_path / "single.onnx")
    plug_tensorrt(cuda=gpu)
    with pytest.raises(ModelError, match=r"2 of 2 convolutions.*the first is stem"):
        build(TENSORRT, tmp_path / "single.onnx", WANTED, Builder())


def test_open_sides_are_fixed_or_refused(gpu: FakeCuda, plug_tensorrt: Any, tmp_path: Path) -> None:
    onnx.save(proto(SIZE, dynamic=True), tmp_path / "open.onnx")
    api = plug_tensorrt(cuda=gpu)
    builder = api.Builder(logger := logger_of(api))
    network, config = builder.create_network(1), builder.create_builder_config()
    assert api.OnnxParser(network, logger).parse_from_file(str(tmp_path / "open.onnx"))
    assert network.get_input(0).shape == (-1, 16, 24, 3)
    assert builder.build_serialized_network(network, config) is None
    assert "no optimization profile" in logger.errors[0]
    network.get_input(0).shape = (2, 16, 24, 3)
    assert network.get_output(0).shape == (2, 1, 16, 24)
    assert builder.build_serialized_network(network, config) is not None


def test_progress_and_cancelling(gpu: FakeCuda, plug_tensorrt: Any, path: Path) -> None:
    api = plug_tensorrt(cuda=gpu)
    told: list[str] = []
    build(TENSORRT, path, WANTED, Builder(), told.append)
    assert told[0].startswith("building engine 0 of 3")
    monitored: list[tuple[str, Any]] = []

    class Monitor(api.IProgressMonitor):
        def phase_start(self, phase: str, _parent: str | None, _steps: int) -> None:
            monitored.append(("start", phase))

        def step_complete(self, _phase: str, _step: int) -> bool:
            return False

        def phase_finish(self, phase: str) -> None:
            monitored.append(("finish", phase))

    builder = api.Builder(logger := logger_of(api))
    network, config = builder.create_network(1), builder.create_builder_config()
    api.OnnxParser(network, logger).parse_from_file(str(path))
    config.progress_monitor = Monitor()
    assert builder.build_serialized_network(network, config) is None
    assert "canceled" in logger.errors[0]
    assert [what for what, _ in monitored] == ["start", "start", "finish", "finish"]


def test_builds_can_be_interrupted(gpu: FakeCuda, plug_tensorrt: Any, path: Path) -> None:
    api = plug_tensorrt(cuda=gpu)
    steps: list[int] = []

    def press(_phase: str, step: int) -> None:
        if not steps:
            _thread.interrupt_main()
            time.sleep(0.3)  # until it is heard
        steps.append(step)

    api.fake.before_step = press
    with pytest.raises(KeyboardInterrupt):
        build(TENSORRT, path, WANTED, Builder())
    assert len(steps) == 1
    assert api.fake.calls["Builder.build_serialized_network"] == 1


def test_what_is_told_to_the_builder(gpu: FakeCuda, plug_tensorrt: Any, path: Path) -> None:
    api = plug_tensorrt("tensorrt_rtx", cuda=gpu)
    options = Builder(optimization_level=4, workspace_mib=100, max_aux_streams=0, tf32=False)
    build(TENSORRT_RTX, path, Wanted("plain", SIZE, 1, "fp16", ((8, 9),)), options)
    assert api.fake.networks == [
        {
            "network_flags": 1,
            "flags": set(),
            "level": 4,
            "aux_streams": 0,
            "limits": {"WORKSPACE": 100 << 20},
            "targets": ["SM89"],
        }
    ]


def test_every_failure_can_be_had(
    gpu: FakeCuda, plug_tensorrt: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = plug_tensorrt(cuda=gpu)
    plan = build(TENSORRT, path, WANTED, Builder())
    logger, fake = logger_of(api), api.fake
    for name in ("Builder", "Runtime"):
        fake.fail(name)
        with pytest.raises(TypeError, match="nullptr"):
            getattr(api, name)(logger)
    runtime = api.Runtime(logger)
    fake.fail("Runtime.deserialize_cuda_engine", says="out of luck")
    assert runtime.deserialize_cuda_engine(plan) is None
    assert logger.errors[-1] == "out of luck"
    engine = runtime.deserialize_cuda_engine(plan)
    for name in ("create_execution_context", "create_runtime_config"):
        fake.fail(f"ICudaEngine.{name}")
        assert getattr(engine, name)() is None
    context = engine.create_execution_context(engine.create_runtime_config())
    fake.fail("IExecutionContext.set_tensor_address", after=2)
    assert context.set_tensor_address("image", 256)
    assert not context.set_tensor_address("image", 256)
    assert not context.set_tensor_address("nothing", 256)
    assert not context.set_tensor_address("image", 255)
    assert context.infer_shapes() == []
    assert not context.execute_async_v3(256)
    assert "Address is not set for tensor alpha" in logger.errors[-1]
    fake.fail("OnnxParser.parse_from_file")
    fake.fail("Builder.build_serialized_network")
    with pytest.raises(ModelError, match="made to fail"):
        build(TENSORRT, path, WANTED, Builder())
    with pytest.raises(RuntimeFailure, match="made to fail"):
        build(TENSORRT, path, WANTED, Builder())
    fake.padding = 64 << 20
    monkeypatch.setattr("streammatte.engines.build._ALWAYS", 0)
    with pytest.raises(RuntimeFailure, match="cannot be right"):
        build(TENSORRT, path, WANTED, Builder())
    del context, engine, runtime


def test_a_runtime_cache_saves_compiling(gpu: FakeCuda, plug_tensorrt: Any, path: Path) -> None:
    api = plug_tensorrt("tensorrt_rtx", cuda=gpu)
    runtime = api.Runtime(logger_of(api))
    engine = runtime.deserialize_cuda_engine(build(TENSORRT_RTX, path, WANTED, Builder()))
    kept = b""
    for turn in range(2):
        config = engine.create_runtime_config()
        cache = config.create_runtime_cache()
        assert cache.deserialize(kept) == bool(turn)
        assert config.set_runtime_cache(cache)
        context = engine.create_execution_context(config)
        kept = bytes(cache.serialize())
        del context
    assert api.fake.compiled == 1
    del engine, runtime


def test_a_timing_cache_saves_timing(
    gpu: FakeCuda, plug_tensorrt: Any, path: Path, tmp_path: Path
) -> None:
    api = plug_tensorrt(cuda=gpu)
    for _ in range(2):
        build(TENSORRT, path, WANTED, Builder(), timings=tmp_path / "timings")
    assert api.fake.timed == 1
    other = plug_tensorrt(version="11.5.0.1", cuda=gpu)
    build(TENSORRT, path, WANTED, Builder(), timings=tmp_path / "timings")
    assert other.fake.timed == 1


def test_nothing_is_there_that_the_real_one_lacks(plug_tensorrt: Any, gpu: FakeCuda) -> None:
    api = plug_tensorrt("tensorrt", cuda=gpu)
    builder = api.Builder(logger_of(api))
    config = builder.create_builder_config()
    with pytest.raises(AttributeError):
        config.num_compute_capabilities = 1
    with pytest.raises(AttributeError):
        _ = api.BuilderFlag.FP16
    with pytest.raises(TypeError, match="must be called"):
        config.progress_monitor = type("M", (api.IProgressMonitor,), {"__init__": lambda _: None})()
    plan = api.IHostMemory(b"abc")
    assert (plan.nbytes, bytes(plan), bytes(memoryview(plan))) == (3, b"abc", b"abc")
    with pytest.raises(TypeError):
        len(plan)
