"""``streammatte engine``, with the real TensorRT-RTX where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from conftest import Result, finish, start
from onnx import TensorProto, helper, numpy_helper

from streammatte.cli import engine_build
from streammatte.engines import kinds
from streammatte.engines.build import Wanted
from streammatte.engines.fingerprint import Fingerprint
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX
from streammatte.engines.load import fingerprint_of
from streammatte.engines.recipe import recipe_for
from streammatte.engines.store import Entry, Store
from streammatte.errors import DependencyError
from streammatte.models.onnx_card import CARD
from streammatte.runtimes.contract import PRECISION
from streammatte.runtimes.cuda import Facts

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)
WIDTH, HEIGHT = 48, 32
MOST = "GPUs of compute capability 8.0, 8.6, 8.9, 12.0, 12.1"
GPU = Facts("NVIDIA GeForce RTX 4090", (8, 9), 24 << 30, 128, (13, 0), (13, 0))
VERSION = "1.7.1.116"


@pytest.fixture(autouse=True)
def own_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a network beside it."""
    monkeypatch.setenv("STREAMMATTE_HOME", str(folder / ".home"))
    monkeypatch.setattr("streammatte.runtimes.hardware.nvidia", no_driver)
    write(folder / "net.onnx")
    return folder / ".home"


def no_driver() -> Any:
    from streammatte.runtimes.hardware import Nvidia

    return Nvidia(0, "no NVIDIA driver found")


def write(
    path: Path,
    *,
    real: str = "fp16",
    blocks: int = 0,
    batch: int | str = 1,
    sides: tuple[int | str, int | str] = (HEIGHT, WIDTH),
) -> Path:
    """Write a network that keeps the contract; each block costs TensorRT a tenth of a second."""
    kind = TensorProto.FLOAT16 if real == "fp16" else TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    rng, weights, nodes = np.random.default_rng(0), [], []

    def weight(name: str, *shape: int) -> str:
        value = (rng.standard_normal(shape) * 0.05).astype(dtype)
        weights.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, *takes: str, gives: str, **how: Any) -> None:
        nodes.append(helper.make_node(kind, list(takes), [gives], **how))

    node("Cast", "image", gives="real", to=kind)
    node("Transpose", "real", gives="x0", perm=[0, 3, 1, 2])
    for at in range(blocks):
        inner = 8 * (1 + at % 7) + at
        for one in "qkv":
            node("MatMul", f"x{at}", weight(f"w{one}{at}", WIDTH, inner), gives=f"{one}{at}")
        node("Transpose", f"k{at}", gives=f"t{at}", perm=[0, 1, 3, 2])
        node("MatMul", f"q{at}", f"t{at}", gives=f"a{at}")
        node("Softmax", f"a{at}", gives=f"s{at}", axis=-1)
        node("MatMul", f"s{at}", f"v{at}", gives=f"o{at}")
        node("MatMul", f"o{at}", weight(f"wo{at}", inner, WIDTH), gives=f"p{at}")
        node("Add", f"p{at}", f"x{at}", gives=f"x{at + 1}")
    node("Conv", f"x{blocks}", weight("kernel", 1, 3, 3, 3), gives="logits", pads=[1] * 4)
    node("Sigmoid", "logits", gives="matte")
    node("Cast", "matte", gives="alpha", to=TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, *sides, 3])],
        [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [batch, 1, *sides])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, {PRECISION: real, "streammatte.model": "net", CARD: "{}"})
    onnx.save(model, path)
    return path


def put(name: str = "net", **changes: Any) -> Entry:
    """Put an engine into the store that was never compiled."""
    facts = {
        "onnx": "ab" * 32, "kind": "tensorrt-rtx", "version": VERSION, "cuda": 13,
        "capabilities": (), "device": "", "shape": (1, HEIGHT, WIDTH), "precision": "fp16",
        "options": (("tf32", False),),
    }  # fmt: skip
    fingerprint = Fingerprint(**{**facts, **changes})
    return Store().get_or_build(name, fingerprint, lambda: bytes(3 << 20))


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The installed versions, which a test may change."""
    found = {"tensorrt-rtx": VERSION}

    def version(kind: kinds.Kind) -> str:
        if kind.name not in found:
            raise DependencyError(f"{kind.title} is not installed: pip install it")
        return found[kind.name]

    monkeypatch.setattr(kinds.Kind, "version", property(version))
    return found


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.out.splitlines()]


# --- build ----------------------------------------------------------------------------------------


@rtx
def test_build(cli: Run, own_home: Path) -> None:
    result = cli("engine", "build", "net.onnx")
    result.worked()
    assert result.err == "compiling net at 32x48 in fp16, once ...\n"
    (entry,) = Store().entries()
    assert entry.folder.parent == own_home / "engines"
    head, *rows = result.out.splitlines()
    assert head.startswith(f"net at 32x48 in fp16, compiled by TensorRT-RTX {TENSORRT_RTX.version}")
    assert head.endswith(f"{entry.bytes / (1 << 20):.1f} MiB")
    assert rows[0] == f"  for         {MOST}"
    assert str(entry.folder) in result.out
    assert entry.bytes == entry.plan.stat().st_size > 10_000
    assert entry.facts["source"] == {"streammatte.model": "net", "streammatte.precision": "fp16"}
    assert entry.fingerprint is not None
    assert (entry.fingerprint.capabilities, entry.fingerprint.device) == ((), "")
    again = cli("engine", "build", "net.onnx")
    again.worked()
    assert again.err == ""
    assert f"of TensorRT-RTX {TENSORRT_RTX.version} is here already" in again.out
    assert Store().entries() == [entry]


@rtx
def test_build_for_programs(cli: Run) -> None:
    for compiled in (True, False):
        told = events(cli("engine", "build", "net.onnx", "--json", "--for", "sm75,8.9, 120"))
        (entry,) = Store().entries()
        assert [event["event"] for event in told[:-1]] == ["preparing"] * len(told[:-1])
        assert bool(told[:-1]) == compiled
        done = told[-1]
        assert (done["event"], done["compiled"], done["anew"]) == ("done", compiled, [])
        assert (done["folder"], done["bytes"]) == (str(entry.folder), entry.bytes)
        assert (done["size"], done["capabilities"]) == ([WIDTH, HEIGHT], ["7.5", "8.9", "12.0"])
        assert done["sha256"] == entry.facts["sha256"]


@rtx
def test_what_is_compiled_here_serves_there(cli: Run, folder: Path) -> None:
    """What a render on a machine with a GPU looks for is what was compiled without one."""
    cli("engine", "build", "net.onnx").worked()
    (entry,) = Store().entries()
    wanted = Wanted("net", (WIDTH, HEIGHT), 1, "fp16", (GPU.capability,))
    recipe = recipe_for("net", (WIDTH, HEIGHT), "fp16")
    there = fingerprint_of(TENSORRT_RTX, GPU, folder / "net.onnx", wanted, recipe)
    assert Store().find(there) == entry
    old = fingerprint_of(
        TENSORRT_RTX, replace(GPU, capability=(7, 5)), folder / "net.onnx", wanted, recipe
    )
    assert Store().find(old) is None


@rtx
@pytest.mark.parametrize(
    ("gpu", "words", "found"),
    [
        (GPU, [], ((8, 9),)),
        (GPU, ["--for", "any"], ()),
        (GPU, ["--for", "8.6"], ((8, 6),)),
        (replace(GPU, capability=(9, 0)), [], ()),  # which TensorRT-RTX does not know
    ],
)
def test_build_where_there_is_a_gpu(
    gpu: Facts, words: list[str], found: Any, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_build, "_gpu", lambda _: gpu)
    cli("engine", "build", "net.onnx", *words).worked()
    (entry,) = Store().entries()
    assert entry.fingerprint is not None
    assert (entry.fingerprint.capabilities, entry.fingerprint.device) == (found, "")
    assert (entry.facts["gpu"], entry.facts["driver"]) == (gpu.name, "13.0")
    assert f"{gpu.name}, driver for CUDA 13.0" in cli("engine", "info", "net").out


def test_build_by_the_full_tensorrt(
    cli: Run, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], folder: Path
) -> None:
    versions["tensorrt"] = "11.0.0.1"
    monkeypatch.setattr(kinds.Kind, "api", None)
    monkeypatch.setattr(engine_build, "_gpu", lambda _: GPU)
    asked: list[Any] = []

    def build(*words: Any) -> memoryview:
        asked.append(words)
        return memoryview(b"engine")

    monkeypatch.setattr("streammatte.engines.build.build", build)
    result = cli("engine", "build", "net.onnx", "--runtime", "tensorrt")
    result.worked()
    assert "  for         NVIDIA GeForce RTX 4090" in result.out
    ((kind, path, wanted, options, _),) = asked
    recipe = recipe_for("net", (WIDTH, HEIGHT), "fp16")
    assert (kind, path.resolve(), options) == (TENSORRT, folder / "net.onnx", recipe.builder)
    assert wanted == Wanted("net", (WIDTH, HEIGHT), 1, "fp16", ())
    assert Store().find(fingerprint_of(TENSORRT, GPU, path, wanted, recipe))


@rtx
def test_what_is_damaged_is_compiled_anew(cli: Run) -> None:
    cli("engine", "build", "net.onnx").worked()
    (entry,) = Store().entries()
    plan = entry.plan.read_bytes()
    why = "engine of net is compiled anew (its file is cut off or damaged)"
    entry.plan.write_bytes(plan[:-1])
    result = cli("engine", "build", "net.onnx")
    assert result.err.splitlines()[0] == f"{why} ..."
    assert "  because     engine of net is compiled anew (its file is cut off" in result.out
    entry.plan.write_bytes(plan[:-1])
    assert events(cli("engine", "build", "net.onnx", "--json"))[-1]["anew"] == [why]
    cli("engine", "verify").worked()


@rtx
def test_a_recipe(cli: Run, folder: Path) -> None:
    (folder / "quick.toml").write_text("[builder]\noptimization_level = 1")
    cli("engine", "build", "net.onnx", "--recipe", "quick.toml").worked()
    cli("engine", "build", "net.onnx").worked()
    levels = [dict(one.fingerprint.options) for one in Store().entries() if one.fingerprint]
    assert sorted(level["optimization_level"] for level in levels) == [1, 3]


@rtx
def test_what_tensorrt_does_not_know(cli: Run, folder: Path) -> None:
    import tiny

    from streammatte.models.base import Graph

    onnx.save(tiny.proto((64, 32), Graph("tensorrt", "fp16")), folder / "tiny.onnx")
    result = cli("engine", "build", "tiny.onnx")
    assert result.code == 5
    told = result.err.splitlines()[-1]
    assert told.startswith("streammatte: tiny")
    assert "DeformConv" in told
    assert Store().entries() == []


@rtx
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["net.onnx", "--for", "9.0"], 2, "--for 9.0: TensorRT-RTX knows no such GPU, only 7.5,"),
        (["net.onnx", "--for", "ampere"], 2, "'ampere' is no compute capability; write it as 8.9"),
        (["net.onnx", "--for", ""], 2, "'' is no compute capability"),
        (["net.onnx", "--deform", "native"], 2, "--deform native is for --runtime tensorrt"),
        (["net.onnx", "--size", "big"], 2, "--size: 'big' is not a size"),
        (["net.onnx", "--size", "33"], 2, "--size for net: 33 will not do"),
        (["net.onnx", "--runtime", "openvino"], 2, "invalid choice: 'openvino'"),
        (["net.onnx", "--recipe", "gone.toml"], 5, "gone.toml cannot be read: No such file"),
        (["net.onnx", "--recipe", "bad.toml"], 5, "bad.toml: unknown key speed; known: builder"),
        (["net.onnx", "--recipe", "other.toml"], 2, "other.toml is for modnet in fp32, not for"),
        (["net.onnx", "--precision", "fp32"], 5, "net has no fp32 graph, only fp16"),
        (["gone.onnx"], 5, "gone.onnx"),
        (["birefnet-lit"], 5, "did you mean birefnet-lite?"),
        (["net.onnx", "--fo", "8.9"], 2, "unrecognized argument --fo; did you mean --for?"),
        ([], 2, "required: NAME; see streammatte engine build --help"),
    ],
    ids=str,
)
def test_refused(words: list[str], code: int, message: str, cli: Run, folder: Path) -> None:
    (folder / "bad.toml").write_text("speed = 3")
    (folder / "other.toml").write_text('model = "modnet"\nprecision = "fp32"')
    cli("engine", "build", *words).refused(code, message)
    if "--recipe" not in words:
        cli("engine", "build", *words, "--dry-run").refused(code, message)
    assert Store().entries() == []


def test_full_tensorrt_needs_its_package_and_a_gpu(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("engine", "build", "net.onnx", "--runtime", "tensorrt")
    if importlib.util.find_spec("tensorrt") is None:
        cli(*words).refused(4, 'TensorRT is not installed: pip install "streammatte[tensorrt]"')
    monkeypatch.setattr(kinds.Kind, "api", None)
    cli(*words).refused(
        4, "TensorRT compiles on the GPU that it is for: no NVIDIA driver found; --runtime tensorr"
    )
    cli(*words, "--for", "8.9", "--dry-run").refused(2, "TensorRT compiles for the GPU here alone")


def python(code: str, *words: str) -> Result:
    """Run code in a process of its own, where other modules are loaded than in this one."""
    code = f"import sys\nfrom streammatte.cli import main\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_without_the_package() -> None:
    """That is told before anything is exported."""
    words = ("engine", "build", "birefnet-lite", "--weights", "random")
    result = python("sys.modules['tensorrt_rtx'] = None\nsys.exit(main())", *words)
    result.refused(4, "TensorRT-RTX is not installed", 'pip install "streammatte[rtx]"')


@rtx
def test_cuda_is_not_loaded_where_there_is_no_driver() -> None:
    code = (
        "import importlib\n"
        "hardware = importlib.import_module('streammatte.runtimes.hardware')\n"
        "hardware.nvidia = lambda: hardware.Nvidia(0, 'none')\n"
        "code = main()\n"
        "print(code, [name for name in sys.modules if name.split('.')[0] in ('cuda', 'torch')])"
    )
    assert python(code, "engine", "build", "net.onnx").out.splitlines()[-1] == "0 []"


# --- interrupted ----------------------------------------------------------------------------------


@rtx
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, folder: Path) -> None:
    write(folder / "slow.onnx", blocks=150)
    process = start("engine", "build", "slow.onnx", "--json", cwd=folder)
    assert process.stdout is not None
    for line in process.stdout:
        if "once: " in json.loads(line)["what"]:
            break
    process.send_signal(number)
    result = finish(process)
    by = "interrupted;" if number is signal.SIGINT else f"interrupted by {number.name};"
    result.refused(130, by, "nothing unfinished was left behind")
    assert events(result)[-1]["exit_code"] == 130
    assert Store().entries() == []
    left = {path.suffix for path in (folder / ".home" / "engines").iterdir()}
    assert left <= {".lock"}


# --- dry runs -------------------------------------------------------------------------------------


def test_dry_run(cli: Run, versions: dict[str, str], own_home: Path) -> None:
    result = cli("engine", "build", "net.onnx", "--dry-run", "--for", "8.9,8.6")
    result.worked()
    head, *rows, words, line = result.out.splitlines()
    assert head == "net at 32x48 in fp16, would be compiled by TensorRT-RTX"
    assert rows[:2] == ["  graph       net.onnx", "  recipe      default"]
    assert "  for         GPUs of compute capability 8.6, 8.9" in rows
    assert words == "  the same by NVIDIA's own tool:"
    assert line == (
        "tensorrt_rtx --onnx=net.onnx --saveEngine=net_32x48_fp16_tensorrt-rtx.plan "
        "--computeCapabilities=86,89 --builderOptimizationLevel=3 --noTF32 --skipInference"
    )
    assert not own_home.exists()
    (done,) = events(cli("engine", "build", "net.onnx", "--dry-run", "--json"))
    assert (done["event"], done["dry_run"], done["here"], done["missing"]) == (
        "done", True, False, []
    )  # fmt: skip
    assert done["command"].startswith("tensorrt_rtx --onnx=")
    assert not own_home.exists()


@rtx
def test_dry_run_tells_where_it_will_be(cli: Run) -> None:
    before = events(cli("engine", "build", "net.onnx", "--dry-run", "--json"))[-1]
    cli("engine", "build", "net.onnx").worked()
    after = events(cli("engine", "build", "net.onnx", "--dry-run", "--json"))[-1]
    (entry,) = Store().entries()
    assert before["folder"] == after["folder"] == str(entry.folder)
    assert (before["here"], after["here"]) == (False, True)


@pytest.mark.parametrize(
    ("version", "flag"),
    [("10.13.3.9", True), ("10.16.1.11", True), ("11.0.0.1", False), ("11.4.0.2", False),
     (None, True)],
)  # fmt: skip
def test_strong_typing_is_asked_for_where_it_must_be(
    version: str | None, flag: bool, cli: Run, versions: dict[str, str]
) -> None:
    if version:
        versions["tensorrt"] = version
    words = ("engine", "build", "net.onnx", "--runtime", "tensorrt", "--dry-run")
    result = cli(*words)
    result.worked()
    line = result.out.splitlines()[-1].split()
    assert line[0] == "trtexec"
    assert ("--stronglyTyped" in line) is flag
    assert not any("fp16" in word for word in line if not word.startswith("--saveEngine"))
    missing = events(cli(*words, "--json"))[-1]["missing"]
    assert ["no NVIDIA driver found" in why for why in missing][-1]
    assert ["is not installed" in why for why in missing] == [*([] if version else [True]), False]
    assert "  missing     TensorRT compiles on the GPU that it is for:" in result.out


def test_dry_run_with_a_recipe(cli: Run, versions: dict[str, str], folder: Path) -> None:
    write(folder / "any n.onnx", batch="n")
    (folder / "own.toml").write_text(
        "[builder]\noptimization_level = 5\nworkspace_mib = 512\nmax_aux_streams = 0\ntf32 = true"
    )
    result = cli("engine", "build", "any n.onnx", "--recipe", "own.toml", "--dry-run")
    line = result.out.splitlines()[-1]
    assert line.endswith(
        "--shapes=image:1x32x48x3 --builderOptimizationLevel=5 --memPoolSize=workspace:512M "
        "--maxAuxStreams=0 --skipInference"
    )
    assert "'--onnx=any n.onnx' --saveEngine=any-n_32x48" in line
    assert "  recipe      own" in result.out


def test_dry_run_at_the_size_of_a_recipe(cli: Run, versions: dict[str, str], folder: Path) -> None:
    write(folder / "any.onnx", sides=("h", "w"))
    (folder / "own.toml").write_text("size = [64, 96]")
    words = ("engine", "build", "any.onnx", "--recipe", "own.toml", "--dry-run")
    for more in ([], ["--size", "64x96"]):
        result = cli(*words, *more)
        result.worked()
        assert result.out.startswith("any at 64x96 in fp16, ")
        assert "--shapes=image:1x64x96x3" in result.out
    cli(*words, "--size", "64x64").refused(
        2, "own.toml is for any network at 64x96, not for any at 64x64 in fp16"
    )


# --- list, info -----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("engine", "list"), ("engine",)])
def test_list(words: tuple[str, ...], cli: Run, versions: dict[str, str]) -> None:
    assert cli(*words).out.startswith("no engines here; 'streammatte engine build")
    versions["tensorrt"] = "10.13.3.9"
    put(capabilities=((8, 6), (8, 9)))
    put("a", kind="tensorrt", version="10.13.3.9", device="NVIDIA L4", capabilities=((8, 9),))
    put("b", version="1.6.0", shape=(1, 1024, 1024))
    put("c").plan.write_bytes(b"")
    (put("d").folder / "engine.json").write_text("{")
    result = cli(*words)
    result.worked()
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[0].startswith("a 32x48 fp16 tensorrt 10.13.3.9 NVIDIA L4 3.0 MiB ")
    assert lines[0].endswith(" good")
    assert lines[1].startswith("b 1024x1024 fp16 tensorrt-rtx 1.6.0 8.0 and up 3.0 MiB ")
    assert lines[1].endswith(f" of version 1.6.0, not {VERSION}")
    assert lines[2].endswith(" its file is cut off or damaged")
    assert lines[3].startswith("d-32x48-fp16-tensorrt-rtx-")
    assert lines[3].endswith(" what is told of it cannot be read")
    assert " 8.6,8.9 " in lines[4]
    assert [one["state"] for one in json.loads(cli(*words, "--json").out)] == [
        "good",
        f"of version 1.6.0, not {VERSION}",
        "its file is cut off or damaged",
        "what is told of it cannot be read",
        "good",
    ]


@pytest.mark.parametrize(
    ("ago", "words"),
    [(5, "5 s"), (200, "3 min"), (7300, "2 h"), (200_000, "2 d"), (-50, "0 s")],
)
def test_ages(ago: int, words: str, cli: Run, versions: dict[str, str]) -> None:
    from datetime import UTC, datetime, timedelta

    sidecar = put().folder / "engine.json"
    facts = json.loads(sidecar.read_text())
    facts["built"] = (datetime.now(UTC) - timedelta(seconds=ago + 0.01)).isoformat()
    sidecar.write_text(json.dumps(facts))
    assert f"  {words}" in cli("engine").out


def test_info(cli: Run, versions: dict[str, str]) -> None:
    entry, other = put(capabilities=((8, 9),)), put("owner/net", shape=(1, 64, 64))
    assert entry.fingerprint is not None
    for name in ("net", entry.folder.name, entry.fingerprint.key):
        result = cli("engine", "info", name)
        result.worked()
        assert result.out.splitlines()[0] == entry.folder.name
        for text in (
            *(VERSION, "compute capability 8.9", "1 at once of 32x48, in fp16", "CUDA 13"),
            *(entry.facts["sha256"], "ab" * 32, "3.0 MiB", "tf32 False", "good"),
        ):
            assert text in result.out
        assert other.folder.name not in result.out
        (facts,) = json.loads(cli("engine", "info", name, "--json").out)
        assert (facts["key"], facts["bytes"]) == (entry.fingerprint.key, 3 << 20)
    assert cli("engine", "info", "owner/net").out.startswith(other.folder.name)
    for name in ("gone", "et", entry.fingerprint.key[1:]):
        cli("engine", "info", name).refused(5, f"there is no engine {name}", "engine list")


# --- verify, prune --------------------------------------------------------------------------------


def test_verify(cli: Run, versions: dict[str, str]) -> None:
    assert cli("engine", "verify").out == "no engines here\n"
    good, bad = put(), put("other", shape=(1, 64, 64))
    assert cli("engine", "verify").out.splitlines() == [
        f"{good.folder.name}: good",
        f"{bad.folder.name}: good",
    ]
    bad.plan.write_bytes(b"x" + bytes((3 << 20) - 1))
    for words in (("verify",), ("verify", "other"), ("verify", "--json")):
        cli("engine", *words).refused(6, str(bad.folder), "its file is damaged", "compiled anew")
    cli("engine", "verify", "net").worked()
    (facts,) = json.loads(cli("engine", "verify", "net", "--json").out)
    assert facts["folder"] == str(good.folder)
    cli("engine", "verify", "gone").refused(5, "there is no engine gone")


def test_prune(cli: Run, versions: dict[str, str]) -> None:
    good, old = put(), put(version="1.6.0")
    size = sum(file.stat().st_size for file in old.folder.iterdir())
    why = f"of version 1.6.0, not {VERSION}"
    result = cli("engine", "prune", "--dry-run")
    assert result.out.splitlines() == [
        f"     3.1 MB  {old.folder.name} ({why})",
        "     3.1 MB  would be removed",
    ]
    assert old.folder.exists()
    assert json.loads(cli("engine", "prune", "--json").out) == {
        "removed": [{"path": str(old.folder), "bytes": size, "why": why}],
        "bytes": size,
        "dry_run": False,
    }
    assert (good.folder.exists(), old.folder.exists()) == (True, False)
    assert cli("engine", "prune").out == "     0.0 MB  removed\n"
    assert f"{good.folder.name} (not wanted)" in cli("engine", "prune", "--all").out
    assert not good.folder.exists()


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["", "list", "build", "info", "verify", "prune"])
def test_help(what: str, cli: Run) -> None:
    result = cli("engine", *filter(None, [what]), "--help")
    result.worked()
    lines = result.out.splitlines()
    assert lines[0].startswith(f"usage: streammatte engine {what}".rstrip())
    assert max(map(len, lines)) <= (100 if what else 95)
    assert len(lines) <= 50


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["info", "nothing", "--json"], 5),
        (["build", "nothing.onnx", "--json"], 5),
        (["list", "--json", "more"], 2),
        (["prune", "--json", "--nonsense"], 2),
    ],
)
def test_errors_for_programs(words: list[str], code: int, cli: Run) -> None:
    result = cli("engine", *words)
    result.refused(code)
    (event,) = events(result)
    assert (event["event"], event["exit_code"]) == ("error", code)
