"""``streammatte doctor``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest

from streammatte.cli import doctor
from streammatte.models import selfie
from streammatte.runtimes import RUNTIMES, hardware
from streammatte.sinks import codecs
from streammatte.sinks.codecs import CODECS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run


def test_doctor_here(cli: Run) -> None:
    result = cli("doctor")
    result.worked()
    assert result.err == ""
    for word in ("Python", "PyAV", "numba", "ONNX Runtime", "--model selfie", "NVIDIA GPU"):
        assert word in result.out
    assert all(f"--codec {name} " in result.out for name in CODECS)
    assert all(line.startswith(("ok  ", "absent  ")) for line in result.out.splitlines())


def test_doctor_for_programs(cli: Run) -> None:
    result = cli("doctor", "--json")
    result.worked()
    findings = json.loads(result.out)
    assert all(set(finding) == {"what", "state", "detail"} for finding in findings)
    assert all(finding["detail"] for finding in findings)


@pytest.mark.skipif(hardware.nvidia().gpus > 0, reason="there is an NVIDIA GPU")
def test_doctor_tells_why_the_gpus_codecs_cannot_be_used(cli: Run) -> None:
    found = {one["what"]: one for one in json.loads(cli("doctor", "--json").out)}
    why = hardware.nvidia().why
    for codec in ("h264", "hevc", "av1"):
        finding = found[f"--codec {codec}_nvenc"]
        assert finding["state"] == "absent"
        assert finding["detail"] == f"{why}; --codec {codec} stands in"
    assert found["--decoder cuda"]["state"] == "absent"
    assert found["--decoder cuda"]["detail"] == f"{why}; the CPU decodes instead"


def test_doctor_finds_the_gpus_codecs(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammatte.sinks.nvenc.why_not", lambda _: "")
    monkeypatch.setattr("streammatte.sources.nvdec.why_not", lambda: "")
    found = {one["what"]: one for one in json.loads(cli("doctor", "--json").out)}
    for what in ("--codec h264_nvenc", "--codec av1_nvenc", "--decoder cuda"):
        assert found[what]["state"] == "ok"


def test_doctor_names_encoders_that_this_ffmpeg_lacks(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for codec in ("HEVC", "H264_NVENC"):
        missing = dataclasses.replace(getattr(codecs, codec), encoder="no_such")
        monkeypatch.setattr(codecs, codec, missing)
    found = {one["what"]: one for one in json.loads(cli("doctor", "--json").out)}
    for name in ("hevc", "h264_nvenc"):
        assert found[f"--codec {name}"]["state"] == "absent"
        assert found[f"--codec {name}"]["detail"] == "this FFmpeg has no no_such"


def test_doctor_names_every_engine(cli: Run) -> None:
    found = {one["what"]: one for one in json.loads(cli("doctor", "--json").out)}
    for package, what in (("onnxruntime", "ONNX Runtime"), ("torch", "PyTorch")):
        version = importlib.metadata.version(package)
        assert found[what]["detail"].startswith(version.partition("-")[0])
    assert found["ONNX Runtime"]["detail"].endswith("cpu")


def test_doctor_is_quick_because_it_does_not_load_torch() -> None:
    code = (
        "import sys\n"
        "from streammatte.cli import main\n"
        "from streammatte.runtimes import hardware\n"
        "hardware.nvidia = lambda: hardware.Nvidia(0, 'none')\n"
        "hardware.amd = lambda: False\n"
        "assert main(['doctor']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_doctor_sees_a_gpu(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "nvidia", lambda: hardware.Nvidia(2))
    result = cli("doctor")
    result.worked()
    (gpu,) = (line for line in result.out.splitlines() if "NVIDIA GPU" in line)
    assert gpu.startswith("ok")
    assert "  2; " in gpu


@pytest.mark.parametrize(("package", "what"), [("openvino", "OpenVINO"), ("torch", "PyTorch")])
def test_doctor_can_do_without_extras(
    package: str, what: str, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == package else version(name))
    result = cli("doctor")
    result.worked()
    (line,) = (line for line in result.out.splitlines() if f" {what} " in line)
    assert line.startswith("absent")
    assert f'not installed: pip install "streammatte[{RUNTIMES.entry(package).extra}]"' in line


def test_doctor_survives_a_broken_extra(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streammatte.runtimes.openvino", None)
    monkeypatch.setattr(doctor, "_version", {"openvino": "2026.1"}.get)
    result = cli("doctor")
    result.worked()
    assert "2026.1 does not load: " in result.out
    assert "reinstall openvino" in result.out


def test_doctor_finds_a_hollow_onnxruntime(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of onnxruntime when onnxruntime-gpu, installed over it, is uninstalled."""
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    result = cli("doctor")
    result.refused(4, "onnxruntime is hollow", "pip install --force-reinstall onnxruntime")
    assert "BROKEN" in result.out


def test_doctor_finds_changed_weights(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "selfie.onnx"
    path.touch()
    weights = dataclasses.replace(selfie.CARD.weights, path=path)
    monkeypatch.setattr(selfie, "CARD", dataclasses.replace(selfie.CARD, weights=weights))
    result = cli("doctor")
    result.refused(4, "render does not work here", "weights of selfie were changed")
    assert "BROKEN" in result.out
    result = cli("doctor", "--json")
    result.refused(4, "weights of selfie were changed")
    assert "broken" in {finding["state"] for finding in json.loads(result.out)}


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libGL.so.1: cannot open shared object file"),
        AttributeError("module 'onnxruntime' has no attribute '__version__'"),
        RuntimeError("cannot cache function\nno locator available"),
        OSError(5, "Input/output error"),
    ],
)
def test_doctor_survives_whatever_it_finds(
    error: Exception, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def media() -> Iterator[doctor.Finding]:
        yield doctor.Finding("first", "ok", "fine")
        raise error

    monkeypatch.setattr(doctor, "CHECKS", (media, doctor._machine))
    result = cli("doctor")
    result.refused(4, "media", "reinstall streammatte")
    assert len(result.out.splitlines()) == 3


def test_doctor_without_onnxruntime(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "streammatte.runtimes.onnxruntime", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    cli("doctor").refused(4, "onnx runtime")


def test_doctor_finds_packages_that_overwrite_each_other(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"onnxruntime": "1.2", "onnxruntime-gpu": "1.2"}
    monkeypatch.setattr(doctor, "_version", there.get)
    result = cli("doctor")
    result.worked()
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in result.out
    assert "overwrite each other" in result.out


def test_doctor_tells_what_tensorrt_could_do(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that TensorRT-RTX does not know, on one that it does, and with an old driver."""
    pytest.importorskip("tensorrt_rtx", reason="needs the extra rtx")

    def told(gpu: hardware.Gpu, cuda: tuple[int, int]) -> dict[str, dict[str, str]]:
        there = hardware.Nvidia(1, "", cuda, (gpu,))
        monkeypatch.setattr(hardware, "nvidia", lambda: there)
        return {one["what"]: one for one in json.loads(cli("doctor", "--json").out)}

    found = told(hardware.Gpu("NVIDIA H100", (9, 0)), (13, 0))
    assert found["TensorRT-RTX"]["state"] == "absent"
    assert "this one is 9.0" in found["TensorRT-RTX"]["detail"]
    assert "NVIDIA H100 (9.0)" in found["NVIDIA GPU"]["detail"]
    assert "NVIDIA driver" not in found
    found = told(hardware.Gpu("NVIDIA GeForce RTX 4090", (8, 9)), (12, 8))
    assert found["TensorRT-RTX"]["state"] == "ok"
    assert "install driver 580" in found["NVIDIA driver"]["detail"]


def test_doctor_counts_engines(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path))
    assert "none yet" in cli("doctor").out
    (tmp_path / "engines" / "lite-64x64-fp16-tensorrt-rtx-0123456789abcdef").mkdir(parents=True)
    result = cli("doctor")
    result.worked()
    assert "streammatte engine prune" in result.out
