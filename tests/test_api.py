"""``import streammatte``: the same as the command line, with exceptions instead of exits."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import threading
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import streammatte
from streammatte import cli, errors
from streammatte.options import (
    ColourOptions,
    EdgeOptions,
    MatteOptions,
    NetworkOptions,
    RenderOptions,
)
from streammatte.pipeline import Progress, Report, Start
from streammatte.runtimes.hardware import nvidia

if TYPE_CHECKING:
    from collections.abc import Iterator

ASTRONAUT = Path(__file__).parents[1] / "examples" / "astronaut.mp4"
SHORT = "synthetic:64x48@30x6"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    yield
    assert not [t.name for t in threading.enumerate() if t.name.startswith("streammatte")]


def test_importing_is_light() -> None:
    """Nothing heavy, not even to ask the command line for its version."""
    heavy = {"av", "cv2", "numba", "numpy", "onnxruntime", "rich"}
    program = "import sys, streammatte.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


def test_what_is_exported() -> None:
    assert streammatte.__all__ == ["__version__", "errors", "mattes", "render"]
    assert all(hasattr(streammatte, name) for name in streammatte.__all__)


def test_render_has_every_option_and_the_same_defaults() -> None:
    parameters = inspect.signature(streammatte.render).parameters
    names = list(parameters)
    assert names[:3] == ["footage", "output", "bg"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[2:])
    defaults = RenderOptions.__dataclass_fields__
    for name in ("decoder", "overwrite", "serial"):
        assert parameters[name].default == defaults[name].default
    for group in (NetworkOptions, MatteOptions):
        for name, field in group.__dataclass_fields__.items():
            assert parameters[name].default == field.default
    assert parameters["bg_fit"].default == defaults["fit"].default
    assert inspect.getdoc(streammatte.render) is not None
    for name in names:
        assert f"\n    {name}: " in inspect.getdoc(streammatte.render)  # type: ignore[operator]


def test_mattes_takes_what_render_takes() -> None:
    render = inspect.signature(streammatte.render).parameters
    mattes = inspect.signature(streammatte.mattes).parameters
    assert set(mattes) < set(render)
    assert all(mattes[name] == render[name] for name in mattes)


def test_both_ask_for_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its options, and none of the defaults."""
    seen: list[NetworkOptions] = []
    for name in ("render", "cutouts"):
        monkeypatch.setattr(f"streammatte.pipeline.{name}", lambda *w, **_: seen.append(w[-1]))
    wish: dict[str, Any] = {
        "model": Path("some.onnx"), "weights": Path("w"), "commercial_only": True, "size": 256,
        "runtime": "stub", "device": "cpu", "precision": "fp32", "require_gpu": True, "every": 4,
        "batch": 2,
    }  # fmt: skip
    assert set(wish) == set(NetworkOptions.__dataclass_fields__)
    streammatte.render("in.mp4", bg="red", **wish)
    streammatte.mattes("in.mp4", **wish)
    expected = NetworkOptions(**wish | {"model": "some.onnx", "weights": "w"})
    assert [each.network for each in seen] == [expected, expected]  # type: ignore[attr-defined]


def test_the_command_line_passes_on_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option, given both ways, becomes the same ``RenderOptions``."""
    seen: list[Any] = []

    def called(*words: Any, **_: Any) -> SimpleNamespace:
        seen.append(words[:3])
        return SimpleNamespace(failed=[])

    monkeypatch.setattr("streammatte.pipeline.render", called)
    words = (
        "render in.mp4 -o out.mov --bg blur:9 --bg-fit stretch --model selfie --runtime stub "
        "--weights random:3 --commercial-only --size 320x192 --every 4 --device cpu "
        "--precision fp32 --require-gpu --batch 2 "
        "--quality best --temporal live --strength 0.5 --refine fast --no-decontaminate "
        "--subject largest --keep 0,0,.5,1 --keep 0.5,0,1,50% --drop 0,0,1,0.1 "
        "-ss 1 -to 1:02 --decoder cuda --codec prores --crf 9 "
        "--preset slow --pix-fmt yuv444p -y --serial "
        "--out comp,matte --alpha premult --for web --edge choke=1,gamma=1.5 --despill blue:0.5 "
        "--light-wrap 0.25 --mask-override fix.mov --ocio ocio://default --input-space ACEScct "
        "--working-space ACEScg --output-space ACES2065-1"
    )
    monkeypatch.setattr("streammatte.cli.progress._Plain.done", lambda *_: None)
    assert cli.main(words.split()) == 0
    streammatte.render(
        "in.mp4", "out.mov", bg="blur:9", bg_fit="stretch", model="selfie", runtime="stub",
        weights="random:3", commercial_only=True, size=(192, 320), every=4, device="cpu",
        precision="fp32", require_gpu=True, batch=2, decontaminate=False,
        quality="best", temporal="live", strength=0.5, refine="fast", subject="largest",
        keep=["0,0,.5,1", "0.5,0,1,0.5"], drop=("0,0,100%,.1",),
        start=1, to=Fraction(62), decoder="cuda", codec="prores",
        crf=9, preset="slow", pixel_format="yuv444p", overwrite=True, serial=True,
        passes=["comp", "matte"], alpha="premult", purpose="web", edges="gamma=1.5, choke=1",
        despill="blue:0.5", light_wrap=0.25, mask_override=Path("fix.mov"),
        colour=ColourOptions(False, "ocio://default", "ACEScct", "ACEScg", "ACES2065-1"),
    )  # fmt: skip
    assert seen[0] == seen[1]
    told = seen[0][2]
    assert told.edges == EdgeOptions(choke=1, gamma=1.5)
    plain = RenderOptions(told.background)
    changed = {each.name for each in fields(plain) if getattr(told, each.name) != each.default}
    assert changed >= {"passes", "alpha", "purpose", "mask_override"}


def test_no_background_is_needed_where_none_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RenderOptions] = []
    monkeypatch.setattr("streammatte.pipeline.render", lambda *words, **_: seen.append(words[2]))
    streammatte.render("in.mp4", passes=["matte"])
    assert seen[0].background.kind == "transparent"
    with pytest.raises(errors.UsageError, match="what goes behind"):
        streammatte.render("in.mp4", passes=["matte", "comp"])


@pytest.mark.skipif(nvidia().gpus > 0, reason="there is an NVIDIA GPU")
def test_mattes_log_that_the_cpu_decodes(caplog: pytest.LogCaptureFixture) -> None:
    for decoder in ("auto", "cpu", "cuda"):
        assert not caplog.messages
        next(streammatte.mattes(ASTRONAUT, runtime="stub", decoder=decoder))  # type: ignore[arg-type]
    assert caplog.messages == [f"decoded on the CPU: {nvidia().why}"]


def test_render(folder: Path) -> None:
    news: list[Start | Progress] = []
    report = streammatte.render(
        SHORT, folder / "out.mp4", bg="red", runtime="stub", bitrate="800k", tell=news.append
    )
    assert isinstance(report, Report)
    assert (report.input, report.output) == (SHORT, str(folder / "out.mp4"))
    assert (report.frames, report.corrupt_frames, report.lost_packets) == (6, 0, 0)
    assert report.model == "selfie"
    assert report.runtime.startswith("stub")
    assert report.fps > 0
    assert all(set(each) == {"cpu", "wall"} for each in report.milliseconds.values())
    assert {"decode", "network", "composite", "encode"} <= set(report.milliseconds)
    assert report.as_dict()["frames"] == 6
    assert isinstance(news[0], Start)
    assert news[0].size == (64, 48)
    assert news[0].frames_expected == 6
    last = news[-1]
    assert isinstance(last, Progress)
    assert (last.frames, last.stage) == (6, "finishing")


def test_default_name_and_overwriting(folder: Path) -> None:
    shutil.copy(ASTRONAUT, folder / "talk.mp4")
    report = streammatte.render("talk.mp4", bg="green", runtime="stub", length=0.1)
    assert report.output == "talk_green.mp4"
    assert report.frames == 3
    with pytest.raises(errors.OutputError, match="exists"):
        streammatte.render("talk.mp4", bg="green", runtime="stub", length=0.1)
    streammatte.render("talk.mp4", bg="green", runtime="stub", length=0.1, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"talk.mp4", "talk_green.mp4"}


def test_mattes() -> None:
    seconds = []
    for cutout in streammatte.mattes(SHORT, runtime="stub"):
        seconds.append(cutout.seconds)
        assert (cutout.rgb.shape, cutout.rgb.dtype) == ((48, 64, 3), np.uint8)
        assert (cutout.alpha.shape, cutout.alpha.dtype) == ((48, 64), np.float32)
        assert 0 <= cutout.alpha.min() <= cutout.alpha.max() <= 1
        assert cutout.foreground().shape == (48, 64, 3)
    assert seconds == pytest.approx([index / 30 for index in range(6)])


def test_mattes_may_be_left_early() -> None:
    mattes = streammatte.mattes("synthetic:64x48@30x500", runtime="stub")
    next(iter(mattes))
    mattes.close()  # type: ignore[attr-defined]
    for _ in streammatte.mattes("synthetic:64x48@30x500", runtime="stub"):
        break


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"bg": "purple"}, errors.UsageError),
        ({"bg": "red", "bg_fit": "squeeze"}, errors.UsageError),
        ({"bg": "red", "size": 3}, errors.UsageError),
        ({"bg": "red", "start": -1.0}, errors.UsageError),
        ({"bg": "red", "bitrate": "fast"}, errors.UsageError),
        ({"bg": "red", "codec": "zip"}, errors.UsageError),
        ({"bg": "gone.jpg"}, errors.InputError),
        ({"bg": Path("gone")}, errors.InputError),
        ({"bg": "red", "model": "zip"}, errors.ModelError),
        ({"bg": "red", "runtime": "zip"}, errors.UsageError),
        ({"bg": "red", "output": "no/out.mp4"}, errors.OutputError),
    ],
)
def test_errors_are_exceptions(
    words: dict[str, object], error: type[errors.StreamMatteError], folder: Path
) -> None:
    arguments = {"footage": SHORT, "output": "out.mp4", "runtime": "stub", **words}
    with pytest.raises(error) as caught:
        streammatte.render(**arguments)  # type: ignore[arg-type]
    assert isinstance(caught.value, errors.StreamMatteError)
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


def test_errors_of_mattes() -> None:
    with pytest.raises(errors.UsageError):
        streammatte.mattes(SHORT, start="soon")
    with pytest.raises(errors.InputError, match="does not exist"):
        next(iter(streammatte.mattes("gone.mp4", runtime="stub")))


class _StopError(Exception):
    pass


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("when", [Start, Progress])
def test_a_listener_that_raises_ends_the_work(serial: bool, when: type, folder: Path) -> None:
    def tell(event: Start | Progress) -> None:
        if isinstance(event, when):
            raise _StopError

    with pytest.raises(_StopError):
        streammatte.render(SHORT, "out.mp4", bg="red", runtime="stub", serial=serial, tell=tell)
    assert not list(folder.iterdir())


def test_every_error_has_its_exit_code() -> None:
    codes = {kind.__name__: kind.exit_code for kind in errors.StreamMatteError.__subclasses__()}
    assert codes == {
        "UsageError": 2,
        "InputError": 3,
        "DependencyError": 4,
        "ModelError": 5,
        "RuntimeFailure": 6,
        "OutputError": 7,
        "Interrupted": 130,
    }
    assert errors.__doc__ is not None
    for name, code in codes.items():
        assert f"{name:<20}{code:>5}" in errors.__doc__
