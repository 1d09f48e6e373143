"""``streammatte doctor`` and ``streammatte models list``."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import pytest

from streammatte.cli import doctor
from streammatte.models import MODELS, selfie
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


def test_doctor_finds_changed_weights(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "selfie.onnx"
    weights.touch()
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


def test_models(cli: Run) -> None:
    for words in (("models", "list"), ("models",)):
        result = cli(*words)
        result.worked()
        assert "selfie: " in result.out
        assert "Apache-2.0 (commercial use allowed)" in result.out
        assert "192 to 512, default 256" in result.out


def test_models_for_programs(cli: Run) -> None:
    result = cli("models", "list", "--json")
    result.worked()
    (card,) = json.loads(result.out)
    assert [card["name"]] == list(MODELS)
    assert card["licence"] == "Apache-2.0"
    assert card["commercial"] is True
    assert card["size_range"] == [192, 512]
    assert len(card["sha256"]) == 64
