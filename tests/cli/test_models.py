"""``streammatte models``: what it tells, what it refuses, and that it keeps to one line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from conftest import Result
from onnx import TensorProto, helper

from streammatte.models import MODELS, load_card, weights
from streammatte.models.base import Graph
from streammatte.models.birefnet import cards
from streammatte.models.birefnet.model import BiRefNetModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run

    from streammatte.models.base import Size

DIGEST = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / ".home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / ".hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / ".hub"


def fill(cache: Path, repository: str, revision: str, content: bytes = b"weights") -> Path:
    """Put weights where the hub would have put them."""
    folder = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / revision
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return folder / "model.safetensors"


@pytest.fixture
def published(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of birefnet-lite in the cache, which the card knows as the published ones."""
    known = weights.Hub("ZhengPeng7/BiRefNet_lite", "abc", DIGEST)
    monkeypatch.setattr(cards, "LITE", replace(cards.LITE, weights=known))
    return fill(cache, known.repository, "abc")


def write_onnx(path: Path) -> Path:
    """Write a network that keeps the contract."""
    image, alpha = ([1, 6, 8, 3], [1, 1, 6, 8])
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["turned"], perm=[0, 3, 1, 2]),
            helper.make_node("ReduceMax", ["turned"], ["alpha"], axes=[1]),
        ],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, image)],
        [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, alpha)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"streammatte.target": "tensorrt"})
    onnx.save(model, path)
    return path


def python(code: str) -> Result:
    """Run code in a process of its own, where other modules are loaded than in this one."""
    code = f"import sys\nfrom streammatte.cli import main\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


# ---- list


@pytest.mark.parametrize("words", [("models", "list"), ("models",)])
def test_list(words: tuple[str, ...], cli: Run, published: Path) -> None:
    result = cli(*words)
    result.worked()
    assert result.err == ""
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    first = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert list(MODELS) == list(first)[: len(list(MODELS))]
    assert "here, 0.2 MB" in first["selfie"]
    assert "Apache-2.0" in first["selfie"]
    assert "commercial use allowed" in first["selfie"]
    assert " here, 0.0 MB" in first["birefnet-lite"]
    assert "not here" in first["birefnet"]
    assert "no commercial use" in first["rmbg-2.0"]
    for name in MODELS:
        assert load_card(name).summary.split(";")[0][:40] in result.out


def test_list_for_programs(cli: Run, published: Path) -> None:
    for words in (("models", "list", "--json"), ("models", "--json")):
        result = cli(*words)
        result.worked()
        found = {card["name"]: card for card in json.loads(result.out)}
        assert list(found) == list(MODELS)
    selfie, lite = found["selfie"], found["birefnet-lite"]
    assert (selfie["licence"], selfie["commercial"]) == ("Apache-2.0", True)
    assert (selfie["size"], selfie["size_range"], selfie["trained"]) == (256, [192, 512], None)
    assert len(selfie["sha256"]) == 64
    assert Path(selfie["path"]).stat().st_size == selfie["bytes"]
    assert (lite["path"], lite["bytes"], lite["sha256"]) == (str(published), 7, DIGEST)
    assert (lite["repository"], lite["revision"]) == ("ZhengPeng7/BiRefNet_lite", "abc")
    assert found["birefnet"]["path"] is found["birefnet"]["bytes"] is None
    assert found["birefnet"]["trained"] == [1024, 1024]


@pytest.mark.parametrize("words", [("models", "list"), ("models",)])
def test_list_for_business(words: tuple[str, ...], cli: Run) -> None:
    result = cli(*words, "--commercial-only", "--json")
    result.worked()
    found = {card["name"] for card in json.loads(result.out)}
    assert found == {name for name in MODELS if load_card(name).commercial}
    assert "rmbg-2.0" not in found


def test_list_is_quick() -> None:
    """Nothing heavy is loaded for it."""
    heavy = ("torch", "onnx", "onnxruntime", "transformers", "huggingface_hub", "av")
    result = python(f"main(['models'])\nprint(sys.modules.keys() & {set(heavy)}, file=sys.stderr)")
    assert result.err == "set()\n"


# ---- info


@pytest.mark.parametrize("name", list(MODELS))
def test_info(name: str, cli: Run) -> None:
    result = cli("models", "info", name)
    result.worked()
    assert max(map(len, result.out.splitlines())) <= 80
    card = load_card(name)
    told = " ".join(result.out.split())
    for text in (name, card.summary, card.licence, card.origin, card.training_data, card.limits):
        assert text in told
    if isinstance(card.weights, weights.Hub):
        assert f"{card.weights.repository} at {card.weights.revision}" in told
        assert f"'streammatte models pull {name}' downloads them" in told
        assert card.weights.sha256 in told
    if card.trained:
        assert f"{card.trained[1]}x{card.trained[0]} (height x width)" in told
    else:
        least, greatest = card.short_side_range
        assert f"shorter side {least} to {greatest}, default {card.short_side}" in told


def test_info_of_a_folder(cli: Run, folder: Path) -> None:
    (folder / "tuned").mkdir()
    (folder / "tuned" / "model.safetensors").write_bytes(b"x" * 2_000_000)
    result = cli("models", "info", "./tuned")
    result.worked()
    assert "unknown (nobody says whether commercial use is allowed)" in result.out
    assert f"{Path('tuned', 'model.safetensors')} (2.0 MB)" in result.out
    assert "1024x1024 (height x width), into which pictures are squashed" in result.out


def test_info_of_an_onnx_file(cli: Run, folder: Path) -> None:
    path = write_onnx(folder / "net.onnx")
    result = cli("models", "info", "net.onnx")
    result.worked()
    for text in (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        "6x8 (height x width) and no other",
        "fp32, 1 at once",
        "as it is",
        "made for    tensorrt",
    ):
        assert text in result.out
    facts = json.loads(cli("models", "info", "net.onnx", "--json").out)
    assert (facts["trained"], facts["fits"], facts["batch"]) == ([8, 6], True, 1)
    (folder / "net.toml").write_text('activation = "sigmoid"\nlicence = "MIT"\ncommercial = true\n')
    result = cli("models", "info", "net.onnx")
    assert "MIT (commercial use allowed)" in result.out
    assert "adapted, as its card says" in result.out


def test_info_explains_the_card_of_an_onnx_file(cli: Run, folder: Path) -> None:
    """The example in the help is one that works."""
    import tomllib

    from streammatte.models.onnx_card import read_table

    result = cli("models", "info", "--help")
    example = [line for line in result.out.splitlines() if line.startswith("  ") and " = " in line]
    (folder / "modnet.toml").write_text("\n".join(example))
    assert tomllib.loads("\n".join(example)) == read_table(folder / "modnet.toml")
    assert {"mean", "std", "size", "aspect", "layout", "channels", "activation"} <= set(
        read_table(folder / "modnet.toml")
    )
    from streammatte.models import onnx_file

    for line in example:
        assert line.split("#")[0].strip() in onnx_file.__doc__


# ---- pull and verify


def test_pull_what_is_here(cli: Run, published: Path) -> None:
    result = cli("models", "pull", "birefnet-lite")
    result.worked()
    assert str(published) in "".join(result.out.split("\n"))
    assert DIGEST in result.out
    facts = json.loads(cli("models", "pull", "birefnet-lite", "--json").out)
    assert facts == {
        "name": "birefnet-lite", "path": str(published), "bytes": 7, "sha256": DIGEST
    }  # fmt: skip


def test_pull_downloads(cli: Run, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streammatte.models import hub

    asked: list[Any] = []

    def download(wanted: weights.Hub, name: str, *_: object, **__: object) -> Path:
        asked.append((wanted, name))
        return fill(cache, wanted.repository, "abc")

    monkeypatch.setattr(hub, "download", download)
    result = cli("models", "pull", "owner/name", "--revision", "abc")
    result.worked()
    assert asked == [(weights.Hub("owner/name", "abc", exact=True), "owner/name")]
    assert DIGEST in result.out


def test_another_revision_is_not_called_published(cli: Run, cache: Path) -> None:
    """And as its digest is not known, it is looked at; this one holds no network."""
    file = fill(cache, "ZhengPeng7/BiRefNet_lite", "abc")
    refs = file.parents[2] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    cli("models", "verify", "birefnet-lite").refused(5, "no safetensors file")
    cli("models", "verify", "birefnet-lite", "--revision", "dead").refused(5, "are not here")


def test_pull_without_a_network(cli: Run) -> None:
    cli("models", "pull", "birefnet").refused(5, "weights of birefnet are not here", "HF_HUB_OFF")


def test_pull_of_what_needs_no_pull(cli: Run, folder: Path) -> None:
    result = cli("models", "pull", "selfie")
    result.worked()
    assert "selfie is part of streammatte" in result.out
    write_onnx(folder / "net.onnx")
    cli("models", "pull", "net.onnx").refused(2, "net.onnx is on this machine already")


def test_verify(cli: Run, published: Path) -> None:
    result = cli("models", "verify", "birefnet-lite")
    result.worked()
    assert "birefnet-lite: the published weights" in result.out
    assert DIGEST in result.out
    facts = json.loads(cli("models", "verify", "birefnet-lite", "--json").out)
    assert facts["files"] == [str(published)]
    published.write_bytes(b"weightz")
    cli("models", "verify", "birefnet-lite").refused(5, "not the published ones", DIGEST[:12])


def test_verify_reads_all_again(cli: Run, published: Path) -> None:
    """A change that leaves size and times alone is found, too."""
    cli("models", "verify", "birefnet-lite").worked()
    times = published.stat()
    published.write_bytes(b"weightz")
    os.utime(published, ns=(times.st_atime_ns, times.st_mtime_ns))
    cli("models", "verify", "birefnet-lite").refused(5, "not the published ones")


def test_verify_what_is_not_here(cli: Run) -> None:
    cli("models", "verify", "birefnet").refused(5, "run 'streammatte models pull birefnet'")


def test_verify_recognises_published_weights(cli: Run, folder: Path, published: Path) -> None:
    (folder / "copy.safetensors").write_bytes(published.read_bytes())
    result = cli("models", "verify", "copy.safetensors")
    result.worked()
    assert "copy: the published weights of birefnet-lite" in result.out


def test_verify_looks_at_keys_and_shapes(cli: Run, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, folder / "other.safetensors")
    cli("models", "verify", "other.safetensors").refused(5, "does not fit BiRefNet")
    (folder / "broken.safetensors").write_bytes(b"broken")
    cli("models", "verify", "broken.safetensors").refused(5, "broken.safetensors is damaged")


def test_verify_an_onnx_file(cli: Run, folder: Path) -> None:
    path = write_onnx(folder / "net.onnx")
    result = cli("models", "verify", "net.onnx")
    result.worked()
    assert "net: fits as it is" in result.out
    path.write_bytes(path.read_bytes()[:-4])
    cli("models", "verify", "net.onnx").refused(5, "net.onnx is not an ONNX file, or cut off")


def test_verify_changed_selfie(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streammatte.models import selfie

    changed = replace(selfie.CARD.weights, sha256="0" * 64)
    monkeypatch.setattr(selfie, "CARD", replace(selfie.CARD, weights=changed))
    cli("models", "verify", "selfie").refused(5, "weights of selfie were changed", "reinstall")


# ---- export


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Size, Graph]]:
    """Stand in for the export itself, which takes its time and has tests of its own."""
    from streammatte.models.birefnet.export import Exported

    asked: list[tuple[Size, Graph]] = []

    def export(
        model: BiRefNetModel, size: Size, graph: Graph, path: Path, tell: Callable[[str], None]
    ) -> Exported:
        asked.append((size, graph))
        tell("tracing")
        beside = path.with_name(path.name + ".data")
        for file in (path, beside):
            file.write_bytes(b"1234")
        return Exported(
            path=path, files=[path, beside], bytes=8, nodes=654, opset=20, seconds=12.3,
            checked=3, checked_by="ONNX Runtime 9", largest_difference=1.234e-5,
            mean_difference=2e-7, largest_value=655.04 if graph.precision == "fp16" else None,
            metadata={"streammatte.model": model.card.name, "streammatte.revision": model.revision},
        )  # fmt: skip

    monkeypatch.setattr(BiRefNetModel, "export", export)
    return asked


def test_export(cli: Run, folder: Path, exports: list[tuple[Size, Graph]]) -> None:
    result = cli("models", "export", "birefnet-lite", "--weights", "random:7")
    result.worked()
    assert result.err == ""
    assert exports == [((1024, 1024), Graph())]
    assert (folder / "birefnet-lite_1024x1024_fp32.onnx").exists()
    for text in (
        *("654 nodes", "opset 20", "1.2e-05 at most", "2.0e-07", "random:7", "12 s"),
        *("_fp32.onnx.data, which must stay beside it", "3 pictures by ONNX Runtime 9"),
    ):
        assert text in result.out
    assert "range" not in result.out
    assert max(map(len, result.out.splitlines())) <= 90


def test_export_for_programs(cli: Run, folder: Path, exports: list[tuple[Size, Graph]]) -> None:
    result = cli("models", "export", "birefnet", "-o", "a.onnx", "--json")
    result.worked()
    facts = json.loads(result.out)
    assert (facts["path"], facts["files"]) == ("a.onnx", ["a.onnx", "a.onnx.data"])
    assert (facts["nodes"], facts["largest_difference"]) == (654, 1.234e-5)


@pytest.mark.parametrize(
    ("words", "size", "graph", "name"),
    [
        (["--size", "512"], (512, 512), Graph(), "birefnet-lite_512x512_fp32.onnx"),
        (["--size", "576x1024"], (1024, 576), Graph(), "birefnet-lite_576x1024_fp32.onnx"),
        (
            ["--precision", "fp16", "--target", "tensorrt", "--batch", "8"],
            (1024, 1024),
            Graph("tensorrt", "fp16", 8),
            "birefnet-lite_1024x1024_fp16_tensorrt_batch8.onnx",
        ),
        (["--deform", "gather", "-o", "x.ONNX"], (1024, 1024), Graph(deform="gather"), "x.ONNX"),
    ],
)
def test_what_is_exported(
    words: list[str],
    size: Size,
    graph: Graph,
    name: str,
    cli: Run,
    folder: Path,
    exports: list[Any],
) -> None:
    result = cli("models", "export", "birefnet-lite", *words)
    result.worked()
    assert exports == [(size, graph)]
    assert (folder / name).exists()
    if graph.precision == "fp16":
        assert "655 at most, 1% of what fp16 holds" in result.out


@pytest.mark.parametrize(
    ("name", "size"),
    [("birefnet-lite-2k", (2560, 1440)), ("birefnet-dynamic", (1024, 1024))],
)
def test_sizes_of_exports(
    name: str, size: Size, cli: Run, folder: Path, exports: list[tuple[Size, Graph]]
) -> None:
    cli("models", "export", name).worked()
    assert exports == [(size, Graph())]


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        (["selfie"], 5, ["selfie is an ONNX file already; there is nothing to export"]),
        (["selfie", "--weights", "random"], 5, ["selfie is an ONNX file"]),
        (["birefnet-lit"], 5, ["did you mean birefnet-lite?"]),
        (["net.pth"], 5, ["net.pth is a pickle"]),
        (["birefnet", "--weights", "net.pt"], 5, ["net.pt is a pickle"]),
        (["birefnet", "--weights", "nowhere"], 5, ["nowhere does not exist"]),
        (["birefnet", "--size", "100"], 2, ["--size for birefnet must be 256 to 2048, got 100"]),
        (["birefnet", "--size", "500x512"], 2, ["--size for birefnet: 500x512", "of 32"]),
        (["birefnet", "--size", "big"], 2, ["--size", "big"]),
        (["birefnet", "--batch", "0"], 2, ["--batch must be 1 or more, got 0"]),
        (["birefnet", "--batch", "x"], 2, ["argument --batch: invalid int value"]),
        (["birefnet", "--precision", "fp8"], 2, ["argument --precision: invalid choice: 'fp8'"]),
        (["birefnet", "--target", "coreml"], 2, ["argument --target: invalid choice"]),
        (["birefnet", "-o", "a.pt"], 2, ["-o a.pt", "ends in .onnx"]),
        (["birefnet", "-o", "no/a.onnx"], 7, ["the folder no does not exist"]),
        (["birefnet", "-o", "here.onnx"], 7, ["here.onnx exists; give -y"]),
        (["birefnet", "-o", "folder.onnx", "-y"], 7, ["folder.onnx is a folder"]),
        (["birefnet", "--fast"], 2, ["unrecognized argument --fast"]),
        (["birefnet", "more"], 2, ["unrecognized argument more"]),
        ([], 2, ["required: NAME", "streammatte models export --help"]),
    ],
    ids=str,
)
def test_refused_exports(
    words: list[str], code: int, texts: list[str], cli: Run, folder: Path, exports: list[Any]
) -> None:
    (folder / "here.onnx").touch()
    (folder / "folder.onnx").mkdir()
    cli("models", "export", *words).refused(code, *texts)
    assert not exports
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == {
        "here.onnx",
        "folder.onnx",
    }


def test_exports_are_overwritten_when_asked(cli: Run, folder: Path, exports: list[Any]) -> None:
    (folder / "here.onnx").touch()
    cli("models", "export", "birefnet", "-o", "here.onnx", "-y").worked()
    assert (folder / "here.onnx").stat().st_size


def test_export_without_torch(folder: Path) -> None:
    result = python(
        "sys.modules['torch'] = None\n"
        "sys.exit(main(['models', 'export', 'birefnet', '--weights', 'random', '--size', '256']))"
    )
    result.refused(4, 'birefnet needs torch: pip install "streammatte[export]"')
    assert not [path for path in folder.iterdir() if path.name[0] != "."]


# ---- exports in the cache


@pytest.fixture
def kept_exports(published: Path) -> list[Path]:
    """Two exports of birefnet-lite; nothing is known of the second."""
    from streammatte.models.birefnet import kept

    def make(path: Path) -> list[Path]:
        path.write_bytes(bytes(2_000_000))
        return [path]

    found = [kept.made_once(name, DIGEST, make, lambda _: None) for name in ("good", "old")]
    (found[1] / kept.FACTS).write_text('{"model.onnx": 2000000}')
    return found


def test_verify_looks_at_exports(cli: Run, kept_exports: list[Path]) -> None:
    good, _ = kept_exports
    result = cli("models", "verify", "birefnet-lite")
    result.worked()
    assert str(good) in "".join(result.out.split())
    assert json.loads(cli("models", "verify", "birefnet-lite", "--json").out)["exports"] == [
        str(good)
    ]
    file = good / "model.onnx"
    times = file.stat()
    file.write_bytes(b"x" + bytes(1_999_999))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    cli("models", "verify", "birefnet-lite").refused(5, str(file), "remove the folder")


def test_prune(cli: Run, kept_exports: list[Path]) -> None:
    good, old = kept_exports
    result = cli("models", "prune", "--dry-run")
    result.worked()
    assert result.out.splitlines() == [
        "     2.0 MB  old (not whole)",
        "     2.0 MB  would be removed",
    ]
    assert old.exists()
    assert "2.0 MB  removed" in cli("models", "prune").out
    assert (good.exists(), old.exists()) == (True, False)
    assert cli("models", "prune").out == "     0.0 MB  removed\n"
    assert "good (not wanted)" in cli("models", "prune", "--all").out
    assert not good.exists()


def test_prune_for_programs(cli: Run, kept_exports: list[Path]) -> None:
    _, old = kept_exports
    size = sum(file.stat().st_size for file in old.iterdir())
    for words, dry in ((["--dry-run"], True), ([], False)):
        assert json.loads(cli("models", "prune", "--json", *words).out) == {
            "removed": [{"path": str(old), "bytes": size, "why": "not whole"}],
            "bytes": size,
            "dry_run": dry,
        }


# ---- all of them


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["info", "nothing", "--json"], 5),
        (["--json", "info", "selfy"], 5),
        (["pull", "birefnet", "--json"], 5),
        (["verify", "birefnet", "--json"], 5),
        (["export", "birefnet", "--size", "1", "--json"], 2),
        (["list", "--json", "--nonsense"], 2),
        (["prune", "--json", "more"], 2),
    ],
)
def test_errors_for_programs(words: list[str], code: int, cli: Run) -> None:
    """The very event that ``render --json`` ends with."""
    result = cli("models", *words)
    result.refused(code)
    message = result.err.removeprefix("streammatte: ").rstrip("\n")
    event = {"event": "error", "exit_code": code, "message": message}
    assert result.out == json.dumps(event) + "\n"
    assert cli("models", *(word for word in words if word != "--json")).out == ""


@pytest.mark.parametrize("what", ["list", "info", "pull", "verify", "export", "prune"])
def test_help(what: str, cli: Run) -> None:
    result = cli("models", what, "--help")
    result.worked()
    lines = result.out.splitlines()
    assert lines[0].startswith(f"usage: streammatte models {what}")
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["lst"], 2, "invalid choice: 'lst'"),
        (["info"], 2, "required: NAME; see streammatte models info --help"),
        (["info", "selfy"], 5, "unknown model: selfy; did you mean selfie?"),
        (["info", "selfie", "--revision", "x"], 5, "selfie does not come from the hub"),
        (["list", "selfie"], 2, "unrecognized argument selfie"),
        (["pull", "selfie", "--nonsense"], 2, "unrecognized argument --nonsense"),
    ],
)
def test_refused_words(words: list[str], code: int, text: str, cli: Run) -> None:
    cli("models", *words).refused(code, text)


def test_debug_may_stand_anywhere(cli: Run) -> None:
    for words in (["--debug", "models", "info"], ["models", "info", "--debug"]):
        result = cli(*words, "nothing.onnx")
        assert result.code == 5
        assert "Traceback" in result.err
