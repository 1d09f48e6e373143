"""Large networks on the command line: what is missing around them, and a render from end to end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

import streammatte.cli as commands
from streammatte import home
from streammatte.cli import hints
from streammatte.models.birefnet import export

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run

LITE = ("--model", "birefnet-lite", "--weights", "random", "--size", "256")


@pytest.fixture
def render(cli: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Run:
    """Render three small frames, with a home and caches of the test's own."""
    for name in ("STREAMMATTE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)

    def run(*words: str) -> object:
        return cli("render", "synthetic:64x64@30x3", "--bg", "red", "-o", "out.mp4", *words)

    return run  # type: ignore[return-value]


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("streammatte.models.birefnet.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "streammatte.runtimes.torch", raising=False)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("runtime", ["auto", "onnxruntime", "openvino"])
def test_no_torch(runtime: str, render: Run, folder: Path) -> None:
    message = 'birefnet-lite needs torch: pip install "streammatte[export]"'
    render(*LITE, "--runtime", runtime).refused(4, message)
    assert not list(folder.iterdir())


def test_no_network_and_nothing_cached(
    render: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    render("--model", "birefnet-lite").refused(
        5, "the weights of birefnet-lite are not here", "streammatte models pull birefnet-lite"
    )
    assert not list(folder.iterdir())


def test_a_home_that_cannot_be_written(
    render: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "file"))
    render(*LITE).refused(7, "set STREAMMATTE_HOME")


def test_an_onnx_file_that_does_not_fit(render: Run, folder: Path) -> None:
    sides = [1, 3, 64, 64]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "net.onnx")
    render("--model", "net.onnx").refused(5, "float32 'x' [1, 3, 64, 64]", "net.toml")
    assert [path.name for path in folder.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "birefnet-lit"], 5, "did you mean birefnet-lite?"),
        (["--model", "gone.onnx"], 5, "gone.onnx does not exist"),
        (["--model", "rmbg-2.0", "--commercial-only"], 5, "rmbg-2.0 is not for commercial use"),
        ([*LITE[:4], "--size", "100x300"], 2, "--size for birefnet-lite"),
        (["--size", "1x2x3"], 2, "--size: '1x2x3' is not a size"),
        (["--every", "0"], 2, "--every must be 1 to 1000 or auto, got 0"),
        (["--every", "often"], 2, "--every: 'often' is not a number; give 1 to 1000, or auto"),
        (["--batch", "0"], 2, "--batch must be 1 to 64, got 0"),
        ([*LITE, "--device", "warp"], 2, "warp"),
        ([*LITE, "--device", "cpu", "--require-gpu"], 2, "contradict each other"),
        ([*LITE, "--runtime", "torch", "--precision", "fp16"], 2, "minutes a frame"),
        (["--weights", "random"], 5, "selfie is an ONNX file"),
        ([*LITE, "--fp16"], 2, "did you mean --precision fp16?"),
    ],
)
def test_refused(words: list[str], code: int, message: str, render: Run, folder: Path) -> None:
    render(*words).refused(code, message)
    assert not list(folder.iterdir())


def test_a_render_from_end_to_end(render: Run, folder: Path) -> None:
    """On the quickest runtime here; the export is told of, made once, and used again."""
    done = render(*LITE, "--every", "2", "--json")
    assert done.code == 0
    events = [json.loads(line) for line in done.out.splitlines()]
    preparing = [event["what"] for event in events if event["event"] == "preparing"]
    assert any("exporting birefnet-lite at 256x256, once: tracing" in what for what in preparing)
    report = events[-1]
    assert (report["event"], report["frames"]) == ("done", 3)
    assert (report["model"], report["device"], report["precision"]) == (LITE[1], "cpu", "fp32")
    assert len(report["digest"]) == 64
    assert report["runtime"].startswith("OpenVINO")
    assert any("random" in note for note in report["notes"])
    assert any("the network saw 2 of 3 frames" in note for note in report["notes"])
    again = render(*LITE, "--json", "-y", "--runtime", "onnxruntime")
    assert '"preparing"' not in again.out
    assert json.loads(again.out.splitlines()[-1])["runtime"].startswith("ONNX Runtime")
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]


def test_interrupted_while_it_exports(
    render: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_traced", interrupted)
    assert render(*LITE).code == 130
    assert not list(folder.iterdir())
    left = [path for path in home.home().rglob("*") if path.is_file()]
    assert all(path.suffix == ".lock" and not path.stat().st_size for path in left)


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        if isinstance(action.choices, dict):
            for sub in action.choices.values():
                yield from options(sub)


def test_every_option_is_known_to_the_hints() -> None:
    unknown = {"--version", "--debug", "--help"} | set(hints._OPTIONS)
    assert set(options(commands._parser())) <= unknown


def test_the_words_of_the_command_line(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def render(*words: object, **_: object) -> None:
        given.append(words[2])
        raise KeyboardInterrupt

    monkeypatch.setattr("streammatte.pipeline.render", render)
    words = "render a.mp4 --bg red --size 576x1024 --every 3 --device cuda:1"
    cli(*words.split())
    network = given[0].network
    assert (network.size, network.every, network.device) == ((1024, 576), 3, "cuda:1")
