"""PyTorch: on the CPU for real; the ways of a GPU on torch's own stand-in, the meta device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny

from streammatte.errors import DependencyError, ModelError, RuntimeFailure, UsageError
from streammatte.models import open_model
from streammatte.runtimes import Placement

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="needs the extra export")
runtime = pytest.importorskip("streammatte.runtimes.torch")

SIZE = (96, 64)
GIB = 1 << 30


class Watched(tiny.Tiny):
    """Its module tells how it was called, and may have too little memory."""

    room = 100

    def module(self, size: tuple[int, int]) -> Any:
        inner, outer = super().module(size), self

        class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.first = torch.nn.Conv2d(3, 3, 3)
                self.inner = inner

            def forward(self, image: torch.Tensor) -> torch.Tensor:  # type: ignore[name-defined]
                outer.asked.append(len(image))
                if len(image) > outer.room:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
                return (
                    self.inner(image)
                    if image.device.type == "cpu"
                    else image[..., 0][:, None] * 1.0
                )

        self.made = Module()
        return self.made


class Half(tiny.Tiny):
    """In half precision, all it gives where a picture is not black is ``fault``."""

    fault = float("nan")

    def module(self, size: tuple[int, int]) -> Any:  # noqa: ARG002  any will do
        self.asked.append("module")
        fault = self.fault

        class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.level = torch.nn.Parameter(torch.tensor(0.5))

            def forward(self, image: torch.Tensor) -> torch.Tensor:  # type: ignore[name-defined]
                alpha = (image[..., 0][:, None] > 0) * self.level
                return torch.where(alpha > 0, fault, alpha.float()) if self.is_half else alpha

            @property
            def is_half(self) -> bool:
                return self.level.dtype == torch.float16

        return Module()


@pytest.fixture
def calculating_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a GPU that calculates: the CPU by a name that nobody can ask for."""
    monkeypatch.setattr(runtime, "_place", lambda _: torch.device("cpu", 0))
    monkeypatch.setattr(runtime, "_words", lambda _: "a GPU")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a GPU with 12 GiB of free memory, which calculates nothing."""
    monkeypatch.setattr(runtime, "_place", lambda _: torch.device("meta"))
    monkeypatch.setattr(runtime, "_free", lambda _: 12 * GIB)
    monkeypatch.setattr(runtime, "_words", lambda _: "a GPU")
    monkeypatch.setattr(runtime.Torch, "_sound", lambda *_: True)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda _: None)


def test_a_gpu_gets_half_precision_and_channels_last(tmp_path: Path, gpu: None) -> None:
    model = Watched(tmp_path)
    network = runtime.Torch(model, SIZE, Placement("cuda", require_gpu=True))
    assert network.precision == "fp16"
    assert network.device == "meta"
    assert network.description == f"PyTorch {torch.__version__} on a GPU"
    weight = network._module.first.weight
    assert weight.dtype == torch.float16
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_gpu_gets_single_precision_if_asked(tmp_path: Path, gpu: None) -> None:
    network = runtime.Torch(Watched(tmp_path), SIZE, Placement("cuda", precision="fp32"))
    assert network.precision == "fp32"
    assert network._module.first.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("size", "gib", "precision", "batch"),
    [
        ((1024, 1024), 12, "fp16", 8),
        ((1024, 1024), 12, "fp32", 4),
        ((1024, 1024), 4, "fp16", 2),
        ((1024, 1024), 1, "fp16", 1),
        ((2048, 2048), 12, "fp16", 2),
        ((512, 512), 80, "fp16", 8),
    ],
)
def test_the_batch_is_what_there_is_memory_for(
    size: tuple[int, int], gib: int, precision: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_free", lambda _: gib * GIB)
    assert runtime._fitting(torch.device("meta"), size, precision) == batch
    assert runtime._fitting(torch.device("cpu"), size, precision) == 1


def test_a_batch_that_turns_out_too_large_is_halved(tmp_path: Path, gpu: None) -> None:
    model = Watched(tmp_path)
    model.room = 2
    network = runtime.Torch(model, SIZE, Placement("cuda"))
    assert network.batch == 2
    assert [asked for asked in model.asked if asked != "module"] == [8, 4, 2, 2]


@pytest.mark.parametrize(("room", "wish"), [(2, 3), (0, None)])
def test_too_little_memory_says_what_to_do(
    room: int, wish: int | None, tmp_path: Path, gpu: None
) -> None:
    model = Watched(tmp_path)
    model.room = room
    words = f"memory of a GPU is too small for {wish or 1} at once in fp16; use a smaller --batch"
    with pytest.raises(RuntimeFailure, match=words) as caught:
        runtime.Torch(model, SIZE, Placement("cuda", batch=wish))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("calculating_gpu")
@pytest.mark.parametrize("fault", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("batch", [None, 3])
def test_what_half_precision_cannot_hold_is_run_in_single(
    fault: float, batch: int | None, tmp_path: Path
) -> None:
    model = Half(tmp_path)
    model.fault = fault
    network = runtime.Torch(model, SIZE, Placement("cuda", batch=batch))
    assert network.precision == "fp32"
    assert network.description.endswith(
        "on a GPU, in fp32: half precision cannot hold what this network computes"
    )
    assert model.asked == ["module", "module"]  # the weights in half precision are lost
    assert (network.infer(np.full((1, 64, 96, 3), 9, np.uint8)) == 0.5).all()


@pytest.mark.usefixtures("calculating_gpu")
def test_half_precision_that_was_asked_for_is_never_replaced(tmp_path: Path) -> None:
    words = "half precision cannot hold what selfie computes; use --precision fp32"
    with pytest.raises(RuntimeFailure, match=words) as caught:
        runtime.Torch(Half(tmp_path), SIZE, Placement("cuda", precision="fp16"))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("calculating_gpu")
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_what_single_precision_cannot_hold_either(precision: Any, tmp_path: Path) -> None:
    class Broken(tiny.Tiny):
        def module(self, size: tuple[int, int]) -> Any:
            module = super().module(size)
            module.head.data.fill_(float("nan"))
            return module

    with pytest.raises(RuntimeFailure, match="no numbers, not even in single precision"):
        runtime.Torch(Broken(tmp_path), SIZE, Placement("cuda", precision=precision))


@pytest.mark.usefixtures("calculating_gpu")
def test_what_half_precision_holds_stays_in_it(tmp_path: Path) -> None:
    model = tiny.Tiny(tmp_path)
    network = runtime.Torch(model, SIZE, Placement("cuda"))
    assert (network.precision, model.asked) == ("fp16", ["module"])
    assert network.description.endswith("on a GPU")


def test_half_precision_on_a_cpu_is_refused(tmp_path: Path) -> None:
    model = tiny.Tiny(tmp_path)
    with pytest.raises(UsageError, match=r"minutes a frame .* leave it out, or use --runtime"):
        runtime.Torch(model, SIZE, Placement("cpu", precision="fp16"))
    assert model.asked == []


def test_too_little_memory_while_it_runs(tmp_path: Path) -> None:
    model = Watched(tmp_path)
    network = runtime.Torch(model, SIZE, Placement("cpu"))
    model.room = 0
    with pytest.raises(RuntimeFailure, match="too small for 1 at once in fp32"):
        network.infer(np.zeros((1, 64, 96, 3), np.uint8))


def test_a_cpu_is_described_without_running_the_network(tmp_path: Path) -> None:
    network = runtime.Torch(tiny.Tiny(tmp_path), SIZE, Placement("cpu", batch=3))
    assert network.outputs[0].shape == (None, 1, 64, 96)
    assert network.batch == 3


def test_a_module_that_no_stand_in_can_pass_is_run(tmp_path: Path) -> None:
    class Stubborn(tiny.Tiny):
        def module(self, size: tuple[int, int]) -> Any:
            inner = super().module(size)

            class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
                def forward(self, image: Any) -> Any:
                    return inner(torch.from_numpy(image.numpy()))

            return Module()

    network = runtime.Torch(Stubborn(tmp_path), SIZE, Placement("cpu"))
    assert network.outputs[0].shape == (None, 1, 64, 96)


def test_a_frame_that_fails(tmp_path: Path) -> None:
    network = runtime.Torch(tiny.Tiny(tmp_path), SIZE, Placement("cpu"))
    with pytest.raises(RuntimeFailure, match="PyTorch failed on a frame: ") as caught:
        network.infer(np.zeros((1, 64, 96, 5), np.uint8))
    assert "\n" not in str(caught.value)


def test_an_onnx_file_has_no_module() -> None:
    with pytest.raises(ModelError, match="ONNX file, which PyTorch does not run"):
        runtime.Torch(open_model("selfie"), (448, 256), Placement("cpu"))


@pytest.mark.parametrize("device", ["cudda", "cpu:0", "cuda:x", "", "npu"])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(UsageError, match=r"PyTorch knows no .*; it knows cpu, cuda, mps, xpu"):
        runtime._place(device)


class Cuda:
    """Stands in for ``torch.cuda``."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        return self.count


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mps", "xpu"):
        monkeypatch.setattr(torch, name, Cuda(0))
    monkeypatch.setattr(torch, "cuda", Cuda(2))
    assert str(runtime._place("auto")) == "cuda:0"
    assert str(runtime._place("CUDA:1")) == "cuda:1"
    assert str(runtime._place("cpu")) == "cpu"
    with pytest.raises(DependencyError, match="finds no cuda:2 here; it counts 2, from 0"):
        runtime._place("cuda:2")
    monkeypatch.setattr(torch, "cuda", Cuda(0))
    assert str(runtime._place("auto")) == "cpu"
    with pytest.raises(DependencyError, match="finds no mps device"):
        runtime._place("mps")


def test_why_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(Cuda):
        def is_available(self) -> bool:
            import warnings

            warnings.warn("CUDA initialization: The NVIDIA driver is too old", stacklevel=1)
            return False

    monkeypatch.setattr(torch, "cuda", Old(0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(DependencyError, match=r"cannot use cuda: .* driver is too old"):
        runtime._place("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(DependencyError, match=r"was built without CUDA; pytorch\.org"):
        runtime._place("cuda")
