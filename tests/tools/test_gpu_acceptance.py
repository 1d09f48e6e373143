"""The acceptance on a GPU: as far as it comes without one, and whole on one that is not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.fixtures import plug_gpu, plug_tensorrt
from fakes.graphs import Plain

from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import gpu_acceptance

__all__ = ["plug_gpu", "plug_tensorrt"]
SIDE = 256


@pytest.fixture
def acceptance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs the script and gives its status and its JSON."""
    pytest.importorskip("streammatte.models.birefnet.export", reason="needs the extra export")
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        path = tmp_path / "out" / "acceptance.json"
        status = gpu_acceptance.main(["-o", str(path), *words])
        return status, json.loads(path.read_text())

    return run


def test_without_a_gpu_it_says_so(acceptance: Any) -> None:
    if hardware.nvidia().gpus:
        pytest.skip("there is a GPU")
    status, facts = acceptance()
    assert status == gpu_acceptance.NO_GPU
    assert "driver" in facts["gpu"]["failed"]
    assert facts["machine"]["packages"]["numpy"]
    assert facts["wrong"] == []


@pytest.fixture
def machine(plug_gpu: Any, plug_tensorrt: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a GPU and TensorRT-RTX; what a render asks of the driver is there, too."""
    gpu = plug_gpu("random", 3)
    monkeypatch.setattr(hardware, "nvidia", lambda: hardware.Nvidia(1))
    return plug_tensorrt("tensorrt_rtx", "1.7.1.116", gpu)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plain:
    """A network of a few weights in the place of BiRefNet."""
    model = Plain(tmp_path)
    for place in ("streammatte.models.open_model", "streammatte.pipeline.open_model"):
        monkeypatch.setattr(place, lambda *_, **__: model)
    return model


WORDS = ("--models", "birefnet-lite", "--sizes", str(SIDE), "--frames", "9")
WAYS = ("--ways", "tensorrt-rtx", "tensorrt", "torch on our streams")


@pytest.mark.usefixtures("small")
def test_the_whole_of_it_where_there_is_one(acceptance: Any, machine: Any) -> None:
    status, facts = acceptance(*WORDS, *WAYS)
    assert facts["wrong"] == []
    assert status == 0
    found = facts[f"birefnet-lite {SIDE}"]
    done = found["tensorrt-rtx"]
    assert set(done) == {"ready", "parity", "network", "graphs", "pipeline"}
    assert done["ready"]["built"]
    assert done["parity"]["largest"] <= 1e-2
    assert done["network"]["wrong_frames"] == 0
    assert done["network"]["slots"] == 3
    assert done["network"]["latency_ms"]["p99"] > 0
    assert done["graphs"]["graphs"]
    assert done["graphs"]["largest_difference"] == 0
    assert done["pipeline"]["fps"] > 0
    assert done["pipeline"]["h264"]["runtime"].startswith("TensorRT-RTX")
    assert "absent" in found["tensorrt"]["ready"]  # it is not installed here
    assert "absent" in found["torch on our streams"]["ready"]  # this PyTorch has no CUDA
    assert machine.fake.calls["Builder.build_serialized_network"] == 1  # the store has it


@pytest.mark.usefixtures("small")
def test_what_is_wrong_is_told_and_the_rest_goes_on(acceptance: Any, machine: Any) -> None:
    machine.fake.fail("Builder.build_serialized_network", says="no kernel fits")
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx", "tensorrt")
    assert status == 1
    (line,) = facts["wrong"]
    assert "no kernel fits" in line
    assert "absent" in facts[f"birefnet-lite {SIDE}"]["tensorrt"]["ready"]


@pytest.mark.usefixtures("small")
def test_a_wrong_matte_does_not_pass(
    acceptance: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammatte.runtimes.tensorrt import TensorRtRtx

    assert machine
    collect = TensorRtRtx.collect
    monkeypatch.setattr(TensorRtRtx, "collect", lambda self: 1 - collect(self))
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    assert status == 1
    assert "parity: alpha is off by" in facts["wrong"][0]


@pytest.mark.usefixtures("small", "machine")
def test_nothing_is_begun_when_time_is_up(acceptance: Any) -> None:
    status, facts = acceptance(*WORDS, "--minutes", "0")
    assert status == 0
    assert len(facts["not begun"]) == len(gpu_acceptance.WAYS)


@pytest.mark.slow
@pytest.mark.usefixtures("machine")
def test_parity_of_birefnet(acceptance: Any) -> None:
    """The real network, export and lint; a GPU and TensorRT that are not there."""
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    assert facts["wrong"] == []
    assert status == 0
    assert facts[f"birefnet-lite {SIDE}"]["tensorrt-rtx"]["parity"]["right"]
