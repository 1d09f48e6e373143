"""The acceptance on a GPU: as far as it comes without one, and whole on one that is not there."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.fixtures import plug_gpu, plug_tensorrt
from fakes.graphs import Plain

from streammatte.errors import DependencyError, RuntimeFailure
from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import gpu_acceptance

__all__ = ["plug_gpu", "plug_tensorrt"]
SIDE = 256
TENSORRTS = {"tensorrt-rtx-cu13", "tensorrt-cu13"}


def no_number(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@pytest.fixture
def acceptance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs the script and gives its status and its JSON."""
    pytest.importorskip("streammatte.models.birefnet.export", reason="needs the extra export")
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))

    def run(*words: str, apart: bool = False) -> tuple[int, dict[str, Any]]:
        path = tmp_path / "out" / "acceptance.json"
        how = [] if apart else ["--in-process"]
        status = gpu_acceptance.main(["-o", str(path), *how, *words])
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        return status, json.loads(path.read_text(), parse_constant=no_number)

    return run


def test_a_package_that_is_missing_is_no_gpu_that_is_missing(
    acceptance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise DependencyError("CUDA's Python bindings do not load: pip install cuda-bindings")

    monkeypatch.setattr("streammatte.runtimes.cuda.api", missing)
    status, facts = acceptance()
    assert status == 1
    assert "gpu" not in facts
    assert "bindings: RuntimeError: whether there is a GPU cannot be told" in facts["wrong"][0]


def test_what_is_missing_is_asked_of_pip(acceptance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT-RTX only for a GPU that it knows; what pip cannot get is written down."""
    asked: list[str] = []

    def pip(words: list[str], seconds: float) -> str:
        assert seconds > 0
        asked.extend(word for word in words if "tensorrt" in word or word in gpu_acceptance.NEEDED)
        return "no network"

    monkeypatch.setattr(gpu_acceptance, "_pip", pip)
    monkeypatch.setattr(gpu_acceptance, "there", lambda name: name not in {"onnx"} | TENSORRTS)
    monkeypatch.setattr(gpu_acceptance, "_said", lambda words: "9.0" if len(words) > 1 else "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    status, facts = acceptance("--install")
    assert asked == ["onnx", "tensorrt-cu13>=10.13,<12"]
    assert facts["install"]["pip"] == "no network"
    assert facts["wrong"] == ["install: still missing: onnx"]
    assert status in {1, gpu_acceptance.NO_GPU}
    monkeypatch.setattr(gpu_acceptance, "_said", lambda _: "8.9\n8.9")
    assert gpu_acceptance.wished() == ["tensorrt-rtx-cu13>=1.7,<1.8", "tensorrt-cu13>=10.13,<12"]


def test_what_is_no_number_is_written_down_as_words(tmp_path: Path) -> None:
    record = gpu_acceptance.Record(tmp_path / "a.json", 1.0)
    facts = {"off": float("nan"), "most": np.float32("inf"), "n": np.int64(3), "ok": np.True_}
    assert record.step("a/b", lambda: {**facts, "right": np.False_}) is not None
    found = json.loads(record.path.read_text(), parse_constant=no_number)
    assert found["a"]["b"].items() >= {"off": "nan", "most": "inf", "n": 3, "ok": True}.items()
    assert record.wrong == ["a/b: not right"]


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
WAYS = ("--ways", "tensorrt-rtx", "tensorrt", "torch")


@pytest.mark.usefixtures("small")
def test_the_whole_of_it_where_there_is_one(acceptance: Any, machine: Any) -> None:
    status, facts = acceptance(*WORDS, *WAYS)
    assert facts["wrong"] == []
    assert status == 0
    found = facts[f"birefnet-lite {SIDE}"]
    done = found["tensorrt-rtx"]
    steps = ["ready", "network", "times", "graphs", "pipeline", "reopened", "parity"]
    assert list(done) == steps
    assert done["ready"]["built"]
    assert done["ready"]["graphs"]
    assert done["ready"]["why_no_graphs"] == ""
    assert done["parity"]["largest"] <= 1e-2
    assert done["network"]["wrong_frames"] == 0
    assert done["network"]["slots"] == 3
    assert done["network"]["latency_ms"]["p99"] > 0
    assert set(done["times"]) == {"copy_in_ms", "compute_ms", "copy_out_ms", "seconds"}
    assert done["graphs"]["graphs"]
    assert done["graphs"]["largest_difference"] == 0
    assert done["pipeline"]["fps"] > 0
    assert "fps_nvenc" not in done["pipeline"]  # nothing here has it
    by_cpu = done["pipeline"]["h264"]
    assert by_cpu["runtime"].startswith("TensorRT-RTX")
    assert (by_cpu["device"], by_cpu["precision"], by_cpu["decoder"]) == ("cuda:0", "fp16", "cpu")
    assert len(done["reopened"]["memory_mib"]) == 4
    assert "absent" in found["tensorrt"]["ready"]  # it is not installed here
    assert "absent" in found["torch"]["ready"]  # this PyTorch has no CUDA
    assert machine.fake.calls["Builder.build_serialized_network"] == 1  # the store has it
    basics = found["basics"]
    assert basics["memory"]["works_afterwards"]
    assert "too small" in basics["memory"]["told"]
    assert "absent" in basics["streams"]
    assert any("python" in str(one).lower() for one in basics["doctor"]["findings"])
    around = found["around"]
    assert around["auto"]["runtime"]
    assert around["nvdec"]["equal"]


@pytest.mark.usefixtures("small")
def test_what_is_wrong_is_told_and_the_rest_goes_on(acceptance: Any, machine: Any) -> None:
    machine.fake.fail("Builder.build_serialized_network", says="no kernel fits")
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx", "tensorrt")
    assert status == 1
    (line,) = facts["wrong"]
    assert "no kernel fits" in line
    assert "absent" in facts[f"birefnet-lite {SIDE}"]["tensorrt"]["ready"]


@pytest.mark.parametrize("spoil", [lambda matte: 1 - matte, lambda matte: matte * np.nan])
@pytest.mark.usefixtures("small")
def test_a_wrong_matte_does_not_pass(
    acceptance: Any, machine: Any, monkeypatch: pytest.MonkeyPatch, spoil: Any
) -> None:
    """Nor does one that is no number, with which every comparison is false."""
    from streammatte.runtimes.tensorrt import TensorRtRtx

    assert machine
    collect = TensorRtRtx.collect
    monkeypatch.setattr(gpu_acceptance, "pipeline", lambda *_: {})
    monkeypatch.setattr(TensorRtRtx, "collect", lambda self: spoil(collect(self)))
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    assert status == 1
    assert "parity: alpha is off by" in facts["wrong"][-1]
    steps = [line.partition(": ")[0].rpartition("/")[2] for line in facts["wrong"]]
    no_number = np.isnan(spoil(np.float32(1)))
    assert steps == (["network", "graphs", "parity"] if no_number else ["parity"])


@pytest.mark.usefixtures("small")
def test_graphs_that_are_not_there_do_not_pass(
    acceptance: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine
    monkeypatch.setattr(gpu_acceptance, "pipeline", lambda *_: {})
    monkeypatch.setattr("streammatte.runtimes.ring.Ring.capture", refuse)
    _, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    (line,) = facts["wrong"]
    assert "graphs: False no graphs today" in line
    assert facts[f"birefnet-lite {SIDE}"]["tensorrt-rtx"]["ready"]["why_no_graphs"]


def refuse(_: Any) -> None:
    raise RuntimeFailure("no graphs today")


@pytest.mark.usefixtures("small", "machine")
def test_nothing_is_begun_when_time_is_up(acceptance: Any) -> None:
    status, facts = acceptance(*WORDS, "--minutes", "0")
    assert status == 0
    assert len(facts["not begun"]) == len(gpu_acceptance.WAYS) + 2


@pytest.mark.usefixtures("small", "machine")
def test_no_step_is_begun_when_time_is_up(acceptance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gpu_acceptance.Record.time_is_up
    late = "tensorrt-rtx/times"
    monkeypatch.setattr(gpu_acceptance, "try_basics", lambda *_: None)

    def time_is_up(record: Any, what: str) -> bool:
        if what.endswith(late):
            record.minutes = 0
        return bool(real(record, what))

    monkeypatch.setattr(gpu_acceptance.Record, "time_is_up", time_is_up)
    _, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    place = f"birefnet-lite {SIDE}"
    assert list(facts[place]["tensorrt-rtx"]) == ["ready", "network"]
    steps = ("times", "graphs", "pipeline", "reopened", "parity")
    assert facts["not begun"] == [
        *(f"{place}/tensorrt-rtx/{step}" for step in steps),
        f"{place}/around",
    ]


PROCESSES = {
    "crashes": "import os; os.abort()",
    "hangs": "import time; time.sleep(60)",
    "is well": "",
}


@pytest.mark.parametrize("fate", PROCESSES)
@pytest.mark.usefixtures("machine")
def test_each_way_has_a_process_of_its_own(
    acceptance: Any, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """What it wrote down before it ended is taken over, and the rest goes on."""

    def child(job: Any, part: Path, left: float, told: Any) -> list[str]:
        words = gpu_acceptance.__dict__["real_child"](job, part, left, told)
        assert words[2:6] == ["--one", *job]
        facts = {"net 8": {job[0]: {"ready": {}}}, "wrong": [f"{job[0]} says so"], "seconds": 1}
        write = f"import pathlib; pathlib.Path({str(part)!r}).write_text({json.dumps(facts)!r})"
        end = PROCESSES[fate] if job[0] == "tensorrt" else ""
        return [sys.executable, "-c", f"{write}\n{end}"]

    monkeypatch.setitem(gpu_acceptance.__dict__, "real_child", gpu_acceptance.child)
    monkeypatch.setattr(gpu_acceptance, "child", child)
    if fate == "hangs":
        left = gpu_acceptance.Record.left.fget
        assert left
        monkeypatch.setattr(gpu_acceptance.Record, "left", property(lambda r: left(r) - 597))
    minutes = ("--minutes", "10")
    words = ("--models", "net", "--sizes", "8", "--ways", "torch", "tensorrt")
    status, facts = acceptance(*words, *minutes, apart=True)
    assert status == 1
    assert set(facts["net 8"]) >= {"basics", "torch", "tensorrt"}
    assert "torch says so" in facts["wrong"]
    told = [line for line in facts["wrong"] if line.startswith("net 8/tensorrt: ")]
    if fate == "crashes":
        assert told == [f"net 8/tensorrt: its process ended with {-signal.SIGABRT}"]
        assert facts["net 8"]["around"]  # the rest went on
    elif fate == "hangs":
        assert "it was ended after" in told[0]
        assert facts["not begun"] == ["net 8/around"]
    else:
        assert told == []


@pytest.mark.usefixtures("small")
def test_references_are_made_once_and_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("streammatte.models.birefnet.export", reason="needs the extra export")
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
    path = tmp_path / "references.npz"
    words = ("--make-references", str(path), "--models", "birefnet-lite", "--sizes", "64")
    assert gpu_acceptance.main(words) == 0
    judge = gpu_acceptance._judge
    model = gpu_acceptance.opened_model("birefnet-lite", "random")
    truth = judge(model, 64)
    monkeypatch.setattr(gpu_acceptance, "_judge", None)  # not to be called again
    for home, carried in ((tmp_path / "home", None), (tmp_path / "other", path)):
        monkeypatch.setenv("STREAMMATTE_HOME", str(home))
        found = gpu_acceptance.reference("birefnet-lite", 64, "random", carried)
        assert np.abs(found - truth).max() < 1e-5
    monkeypatch.setattr(gpu_acceptance, "_judge", lambda *_: np.full((4, 1), np.nan))
    with pytest.raises(ArithmeticError, match="no numbers"):
        gpu_acceptance.reference("birefnet-lite", 32, "random", path)


@pytest.mark.slow
@pytest.mark.usefixtures("machine")
def test_parity_of_birefnet(acceptance: Any) -> None:
    """The real network, export and lint; a GPU and TensorRT that are not there."""
    status, facts = acceptance(*WORDS, "--ways", "tensorrt-rtx")
    assert facts["wrong"] == []
    assert status == 0
    assert facts[f"birefnet-lite {SIDE}"]["tensorrt-rtx"]["parity"]["right"]
