"""What is missing or broken around us: networks, packages, libraries."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from typing import TYPE_CHECKING

import pytest

from streammatte import pipeline
from streammatte.models import selfie
from streammatte.models.weights import Embedded
from streammatte.registry import Entry
from streammatte.runtimes import RUNTIMES
from streammatte.sinks.codecs import CODECS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

FOOTAGE = "synthetic:64x64@30x3"


@pytest.fixture
def run(cli: Run) -> Run:
    def render(*words: str) -> object:
        return cli("render", FOOTAGE, "--bg", "red", "-o", "out.mp4", *words)

    return render  # type: ignore[return-value]


def embed(weights: Path, monkeypatch: pytest.MonkeyPatch, sha256: str = "0" * 64) -> None:
    """Let a file be the embedded network."""
    card = dataclasses.replace(selfie.CARD, weights=Embedded(weights, sha256))
    monkeypatch.setattr(selfie, "CARD", card)


def test_missing_weights(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(folder / "gone.onnx", monkeypatch)
    run().refused(5, "weights of selfie are missing", "gone.onnx", "reinstall streammatte")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"half a network" * 100])
def test_changed_weights(
    content: bytes, run: Run, tmp_path_factory: pytest.TempPathFactory, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    weights = tmp_path_factory.mktemp("weights") / "selfie.onnx"
    weights.write_bytes(content)
    embed(weights, monkeypatch)
    run().refused(5, "weights of selfie were changed", "reinstall streammatte")
    assert not list(folder.iterdir())


def test_weights_that_are_no_network(
    run: Run,
    tmp_path_factory: pytest.TempPathFactory,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path_factory.mktemp("weights") / "selfie.onnx"
    weights.write_bytes(b"half a network")
    digest = hashlib.sha256(b"half a network").hexdigest()
    embed(weights, monkeypatch, digest)
    run("--runtime", "onnxruntime").refused(6, "ONNX Runtime cannot load selfie")
    assert not list(folder.iterdir())


def test_missing_package_of_an_extra(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("no_such_package.engine:Engine", "not installed", extra="fpga")
    monkeypatch.setitem(RUNTIMES.entries, "fpga", entry)
    run("--runtime", "fpga").refused(
        4, "runtime fpga needs no_such_package", 'pip install "streammatte[fpga]"'
    )
    assert not list(folder.iterdir())


def test_missing_package_that_always_belongs(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "openvino", "torch"):
        monkeypatch.delitem(sys.modules, f"streammatte.runtimes.{name}", raising=False)
        monkeypatch.setitem(sys.modules, name, None)
    run("--runtime", "onnxruntime").refused(4, "runtime onnxruntime needs onnxruntime")
    run("--runtime", "auto").refused(4, "onnxruntime", "reinstall")
    assert not list(folder.iterdir())


def test_library_that_does_not_load(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("streammatte.recorded", "streammatte.pipeline"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delattr(name, raising=False)
    monkeypatch.setitem(sys.modules, "streammatte.sinks", None)
    run().refused(4, "a package does not load", "reinstall streammatte")
    assert not list(folder.iterdir())


def test_encoder_that_this_build_lacks(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = dataclasses.replace(CODECS.load("h264"), encoder="libx999")
    monkeypatch.setattr("streammatte.sinks.codecs.H264", lacking)
    run("--runtime", "stub").refused(4, "no libx999; use another --codec")
    assert not list(folder.iterdir())


def test_a_bug_of_ours_is_one_line_too(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("first\nsecond")

    monkeypatch.setattr(pipeline, "open_background", broken)
    result = run("--runtime", "stub")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "internal error: KeyError" in result.err
    assert "--debug" in result.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize("stage", ["infer", "snap", "file", "layers"])
def test_a_stage_that_fails(
    stage: str,
    run: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    unchanged: Callable[[], None],
) -> None:
    from streammatte.errors import RuntimeFailure

    def failing(*_: object, **__: object) -> object:
        raise RuntimeFailure("the device is gone")
        yield

    where = {"infer": "matte", "snap": "refine", "file": "smooth", "layers": "composite"}[stage]
    monkeypatch.setattr(f"streammatte.stages.{where}.{stage}", failing)
    unchanged()
    for words in ([], ["--serial"]):
        run("--runtime", "stub", *words).refused(6, "the device is gone")
    unchanged()
