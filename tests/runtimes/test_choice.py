"""Which runtime is taken, and what is said of the others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tiny

from streammatte.errors import (
    DependencyError,
    ModelError,
    OutputError,
    RuntimeFailure,
    StreamMatteError,
    UsageError,
)
from streammatte.meters import Meters
from streammatte.models import open_model
from streammatte.models.base import Graph
from streammatte.models.weights import Hub
from streammatte.runtimes import RUNTIMES, Placement, choice, hardware
from streammatte.runtimes.choice import open_runtime
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import matte

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = (96, 64)
NO_GPU = "a GPU: no NVIDIA driver found"
Engines = dict[str, Any]
"""By runtime: what loading or making it raises; those not named work."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A Linux machine without any GPU, unless told otherwise."""

    def told(*, nvidia: int = 0, amd: bool = False, intel: bool = False, system: str = "") -> None:
        why = "" if nvidia else "no NVIDIA driver found"
        monkeypatch.setattr(hardware, "nvidia", lambda: hardware.Nvidia(nvidia, why))
        monkeypatch.setattr(hardware, "amd", lambda: amd)
        monkeypatch.setattr(hardware, "intel", lambda: intel)
        monkeypatch.setattr(choice, "sys", SimpleNamespace(platform=system or "linux"))

    told()
    return told


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Runtimes that do nothing, or fail as they are told to, and a list of what was tried."""
    behaviour: Engines = {"tried": []}

    def load(name: str) -> Any:
        def make(model: Any, size: Any, placement: Placement) -> Any:
            way = f"{name} {placement.device}"
            behaviour["tried"].append(way)
            error = behaviour.get(way, behaviour.get(name))
            if error is not None:
                raise error
            kind = placement.device.partition(":")[0]
            device = "cpu" if kind in ("cpu", "auto") or name == "stub" else placement.device
            return SimpleNamespace(description=way, device=device, close=lambda: None)

        loading = behaviour.get(f"load {name}")
        if loading is not None:
            raise loading
        return make

    monkeypatch.setattr(RUNTIMES, "load", load)
    return behaviour


@pytest.fixture
def big(tmp_path: Path) -> tiny.Tiny:
    """A network whose weights are on the hub, so that it counts as big."""
    model = tiny.Tiny(tmp_path)
    model.card = replace(model.card, name="big", weights=Hub("some/where"))
    return model


def missing(name: str) -> DependencyError:
    error = DependencyError(f"runtime {name} needs {name}: ...")
    error.__cause__ = ModuleNotFoundError(name=name)
    return error


def test_a_big_network_on_a_cpu(engines: Engines, big: tiny.Tiny) -> None:
    chosen = open_runtime("auto", big, SIZE, Placement())
    assert engines["tried"] == ["openvino cpu"]
    assert chosen.passed_over == [NO_GPU]


def test_what_is_not_installed_is_said(engines: Engines, big: tiny.Tiny) -> None:
    engines["load openvino"] = missing("openvino")
    chosen = open_runtime("auto", big, SIZE, Placement())
    assert engines["tried"] == ["onnxruntime cpu"]
    assert chosen.passed_over == [
        'openvino: not installed (pip install "streammatte[openvino]")',
        NO_GPU,
    ]


def test_what_does_not_work_is_said(engines: Engines, big: tiny.Tiny) -> None:
    lost = "libtbb.so.12: cannot open shared object file"
    engines["load openvino"] = OSError(lost)
    engines["onnxruntime"] = RuntimeFailure("ONNX Runtime cannot load big: broken")
    chosen = open_runtime("auto", big, SIZE, Placement())
    assert chosen.runtime.description == "torch cpu"
    assert chosen.passed_over == [
        f"openvino on the CPU: openvino does not load ({lost}); reinstall it",
        "onnxruntime on the CPU: ONNX Runtime cannot load big: broken",
        NO_GPU,
    ]


def test_a_small_network(engines: Engines, machine: Callable[..., None]) -> None:
    assert open_runtime("auto", open_model("selfie"), SIZE, Placement()).passed_over == []
    machine(nvidia=1)
    chosen = open_runtime("auto", open_model("selfie"), SIZE, Placement())
    assert chosen.runtime.description == "onnxruntime cpu"
    assert chosen.passed_over == ["the GPU: not needed, the CPU is quick enough for this network"]
    assert engines["tried"] == ["onnxruntime cpu"] * 2


def test_a_gpu_comes_first(engines: Engines, big: tiny.Tiny, machine: Callable[..., None]) -> None:
    machine(nvidia=1)
    engines["tensorrt"] = DependencyError("TensorRT is not installed")
    engines["tensorrt-rtx"] = DependencyError("TensorRT-RTX knows no GPU of 9.0")
    engines["load torch"] = missing("torch")
    engines["onnxruntime cuda"] = DependencyError("this ONNX Runtime has no cuda provider")
    chosen = open_runtime("auto", big, SIZE, Placement())
    gpu = ["tensorrt cuda", "tensorrt-rtx cuda", "onnxruntime cuda"]
    assert engines["tried"] == [*gpu, "openvino cpu"]
    assert chosen.passed_over == [
        "tensorrt on CUDA: TensorRT is not installed",
        "tensorrt-rtx on CUDA: TensorRT-RTX knows no GPU of 9.0",
        'torch: not installed (pip install "streammatte[export]")',
        "onnxruntime on CUDA: this ONNX Runtime has no cuda provider",
    ]
    engines["load torch"] = None
    assert open_runtime("auto", big, SIZE, Placement()).runtime.device == "cuda"


def test_a_gpu_that_is_not_used_is_always_said(
    engines: Engines, big: tiny.Tiny, machine: Callable[..., None]
) -> None:
    machine(nvidia=1, intel=True)
    assert open_runtime("openvino", big, SIZE, Placement()).passed_over == [
        "openvino on GPU: not used unless --device gpu asks for it",
        "the NVIDIA GPU: openvino does not use it",
    ]
    assert open_runtime("openvino", big, SIZE, Placement("cpu")).passed_over == []
    assert open_runtime("stub", big, SIZE, Placement()).passed_over == []


@pytest.mark.parametrize(
    ("there", "tried"),
    [
        ({"amd": True}, "torch cuda"),
        ({"system": "darwin"}, "torch mps"),
        ({"nvidia": 2}, "tensorrt cuda"),
    ],
)
def test_other_gpus(
    there: dict[str, Any],
    tried: str,
    engines: Engines,
    big: tiny.Tiny,
    machine: Callable[..., None],
) -> None:
    machine(**there)
    open_runtime("auto", big, SIZE, Placement())
    assert engines["tried"] == [tried]


@pytest.mark.parametrize("error", [DependencyError, ModelError, RuntimeFailure, UsageError])
def test_what_is_named_is_never_replaced(
    error: type[StreamMatteError], engines: Engines, big: tiny.Tiny, machine: Callable[..., None]
) -> None:
    engines["openvino"] = error("as it is")
    with pytest.raises(error, match=r"^as it is$"):
        open_runtime("openvino", big, SIZE, Placement())
    assert engines["tried"] == ["openvino cpu"]
    machine(nvidia=1)
    engines["onnxruntime cuda:1"] = error("as it is")
    with pytest.raises(error, match=r"^as it is$"):
        open_runtime("onnxruntime", big, SIZE, Placement("cuda:1"))


@pytest.mark.parametrize(
    ("device", "tried"),
    [
        ("cpu", ["openvino", "onnxruntime", "torch"]),
        ("cuda:1", ["tensorrt", "tensorrt-rtx", "torch", "onnxruntime"]),
        ("mps", ["torch"]),
        ("gpu.1", ["openvino"]),
        ("npu", ["openvino"]),
        ("coreml", ["onnxruntime"]),
        ("openvino:gpu", ["onnxruntime"]),
        ("nonsense", ["onnxruntime"]),
    ],
)
def test_a_device_is_tried_by_all_that_know_it_and_never_replaced(
    device: str,
    tried: list[str],
    engines: Engines,
    big: tiny.Tiny,
    machine: Callable[..., None],
) -> None:
    machine(nvidia=2)
    for name in RUNTIMES:
        engines[name] = RuntimeFailure(f"{name} fails")
    with pytest.raises(RuntimeFailure):
        open_runtime("auto", big, SIZE, Placement(device))
    assert engines["tried"] == [f"{name} {device}" for name in tried]


def test_a_gpu_without_a_driver_loads_nothing(engines: Engines, big: tiny.Tiny) -> None:
    for name in ("auto", "torch", "onnxruntime"):
        with pytest.raises(DependencyError, match="no NVIDIA driver found"):
            open_runtime(name, big, SIZE, Placement("cuda"))
    assert engines["tried"] == []


def test_a_required_gpu(engines: Engines, big: tiny.Tiny, machine: Callable[..., None]) -> None:
    engines["openvino gpu"] = DependencyError("OpenVINO finds no GPU here, only CPU")
    with pytest.raises(DependencyError) as caught:
        open_runtime("auto", big, SIZE, Placement(require_gpu=True))
    assert str(caught.value) == (
        "a GPU is required, but none can be used: tensorrt, tensorrt-rtx, torch, "
        "onnxruntime on CUDA: no NVIDIA driver found; "
        "openvino on GPU: OpenVINO finds no GPU here, only CPU"
    )
    machine(nvidia=1)
    engines["tensorrt cuda"] = RuntimeFailure("no memory")
    chosen = open_runtime("auto", open_model("selfie"), SIZE, Placement(require_gpu=True))
    assert chosen.runtime.device == "cuda"
    assert chosen.passed_over == ["tensorrt on CUDA: no memory"]


@pytest.mark.parametrize(
    ("name", "placement", "error", "words"),
    [
        ("stub", Placement(require_gpu=True), DependencyError, "stub has none"),
        ("torch", Placement(require_gpu=True), DependencyError, "torch on CUDA: no NVIDIA driver"),
        ("auto", Placement("cpu", require_gpu=True), UsageError, "contradict each other"),
    ],
)
def test_a_required_gpu_that_cannot_be(
    name: str,
    placement: Placement,
    error: type[StreamMatteError],
    words: str,
    engines: Engines,
    big: tiny.Tiny,
) -> None:
    with pytest.raises(error, match=words):
        open_runtime(name, big, SIZE, placement)


def test_a_required_gpu_that_a_system_has_no_way_to(
    engines: Engines, big: tiny.Tiny, machine: Callable[..., None]
) -> None:
    machine(system="darwin")
    with pytest.raises(DependencyError, match="uses none on such a system"):
        open_runtime("openvino", big, SIZE, Placement(require_gpu=True))


def test_weights_that_are_wrong_are_no_reason_to_look_further(
    engines: Engines, tmp_path: Path
) -> None:
    class Changed(tiny.Tiny):
        @property
        def digest(self) -> str:  # type: ignore[override]
            raise ModelError("the weights were changed")

        @digest.setter
        def digest(self, _: str) -> None: ...

    for placement in (Placement(), Placement(require_gpu=True)):
        with pytest.raises(ModelError, match=r"^the weights were changed$"):
            open_runtime("auto", Changed(tmp_path), SIZE, placement)
    assert engines["tried"] == []


def test_what_all_say_is_said_once(engines: Engines, big: tiny.Tiny) -> None:
    for name in RUNTIMES:
        engines[name] = ModelError("bb.norm0.weight is missing")
    with pytest.raises(ModelError, match=r"^bb\.norm0\.weight is missing$"):
        open_runtime("auto", big, SIZE, Placement())


def test_when_nothing_works_all_reasons_are_given(engines: Engines, big: tiny.Tiny) -> None:
    engines["load openvino"] = missing("openvino")
    engines["onnxruntime"] = RuntimeFailure("it broke")
    engines["torch"] = ModelError("no module")
    with pytest.raises(RuntimeFailure) as caught:
        open_runtime("auto", big, SIZE, Placement())
    assert str(caught.value) == (
        'big cannot be run here: openvino: not installed (pip install "streammatte[openvino]"); '
        "onnxruntime on the CPU: it broke; torch on the CPU: no module"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError])
def test_what_no_other_runtime_would_mend_is_not_passed_over(
    error: type[BaseException], engines: Engines, big: tiny.Tiny
) -> None:
    engines["openvino"] = error()
    with pytest.raises(error):
        open_runtime("auto", big, SIZE, Placement())
    assert engines["tried"] == ["openvino cpu"]


@pytest.mark.parametrize("name", ["ort", "OV", "pytorch", "AUTO", "OnnxRuntime"])
def test_names_as_people_write_them(name: str, engines: Engines, big: tiny.Tiny) -> None:
    assert open_runtime(name, big, SIZE, Placement()).runtime.device == "cpu"


def test_unknown_names(big: tiny.Tiny) -> None:
    with pytest.raises(UsageError, match="did you mean torch"):
        open_runtime("torhc", big, SIZE, Placement())


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_file_that_takes_several_at_once_just_works(name: str, tmp_path: Path) -> None:
    """It is given as many as it takes; where there are fewer, the last is repeated."""
    if name == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino")
    path = tmp_path / "four.onnx"
    onnx.save(tiny.proto(SIZE, Graph(batch=4)), path)
    one = open_runtime("onnxruntime", tiny.Tiny(tmp_path), SIZE, Placement("cpu")).runtime
    four = open_runtime(name, open_model(str(path)), SIZE, Placement("cpu")).runtime
    assert (one.batch, four.batch) == (1, 4)
    clip = list(Synthetic(96, 64, 6).frames())
    singly, together = (list(matte.infer(clip, net, SIZE, Meters())) for net in (one, four))
    assert [each.frame.pts for each in together] == list(range(6))
    for a, b in zip(singly, together, strict=True):
        np.testing.assert_allclose(a.alpha, b.alpha, atol=1e-4)
    with pytest.raises(ModelError, match="takes 4 at once, not 2"):
        open_runtime(name, open_model(str(path)), SIZE, Placement("cpu", batch=2))


def test_for_real(big: tiny.Tiny) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    chosen = open_runtime("auto", big, SIZE, Placement())
    assert chosen.runtime.description.startswith("OpenVINO")
    chosen.runtime.close()
    with pytest.raises(UsageError, match=r"knows no 'cudda'; it has .*cpu"):
        open_runtime("auto", big, SIZE, Placement("cudda"))


def test_torch_is_not_imported_where_another_works() -> None:
    code = (
        "import sys\n"
        "from streammatte.models import open_model\n"
        "from streammatte.runtimes import Placement, hardware\n"
        "from streammatte.runtimes.choice import open_runtime\n"
        "hardware.nvidia = lambda: hardware.Nvidia(0, 'none')\n"
        "open_runtime('auto', open_model('selfie'), (256, 256), Placement())\n"
        "assert not {'torch', 'onnx', 'openvino'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
