"""What a name, a path or an id of the hub opens, and under whose licence."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.errors import ModelError, UsageError
from streammatte.models import MODELS, load_card, open_model
from streammatte.models.birefnet import cards
from streammatte.models.weights import Hub, Local

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models import ModelCard

MODULE = "streammatte.models.birefnet.model"


@dataclass(frozen=True)
class Random:
    seed: int


@dataclass(frozen=True)
class BiRefNetModel:
    card: ModelCard
    weights: Any
    tell: Any = field(default=None, compare=False)


@pytest.fixture(autouse=True)
def no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a double in the place of the network itself: here it only matters what it is given."""
    double = ModuleType(MODULE)
    double.__dict__.update(BiRefNetModel=BiRefNetModel, Random=Random)
    monkeypatch.setitem(sys.modules, MODULE, double)
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in the hub's layout that says nothing of itself."""
    made = tmp_path / "mine"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def test_a_name() -> None:
    for name in ("birefnet-lite", "BiRefNet-Lite"):
        assert open_model(name) == BiRefNetModel(cards.LITE, cards.LITE.weights)
    assert open_model("selfie").card is load_card("selfie")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("birefnet-lit", "unknown model: birefnet-lit; did you mean birefnet-lite?"),
        ("xyz", "unknown model: xyz; known: selfie, birefnet, "),
        ("", "unknown model: "),
        ("./nowhere", "nowhere does not exist; give a folder, a .safetensors or an .onnx file"),
        ("/no/where/at/all", "/no/where/at/all does not exist"),
        ("no.safetensors", "no.safetensors does not exist"),
        ("x" * 5000 + "/y/z", "does not exist"),
        ("a\0b/c/d", "does not exist"),
        ("net.pth", "net.pth is a pickle, which may run any code"),
        ("dir/net.PT", "is a pickle"),
        ("pytorch_model.bin", "is a pickle"),
        ("last.ckpt", "is a pickle"),
    ],
)
def test_what_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(name)
    assert message in str(caught.value)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").touch()
    with pytest.raises(ModelError, match=r"neither a folder nor a \.safetensors nor an \.onnx"):
        open_model(str(tmp_path / "net.tflite"))


def test_names_go_before_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birefnet").mkdir()
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert open_model("birefnet").card is cards.GENERAL
    assert isinstance(load_card("./birefnet").weights, Local)
    assert isinstance(load_card("owner/name").weights, Local)


def test_an_id_of_the_hub() -> None:
    for name in ("ZhengPeng7/BiRefNet_lite", "zhengpeng7/birefnet_lite"):
        assert load_card(name) is cards.LITE
    found = open_model("somebody/BiRefNet.v2")
    assert found.weights == Hub("somebody/BiRefNet.v2")
    assert found.card.name == "somebody/BiRefNet.v2"
    assert (found.card.licence, found.card.commercial) == ("unknown", False)
    assert found.card.input_size(1920, 1080) == (1024, 1024)


def test_a_revision() -> None:
    assert open_model("birefnet-512", revision="abc").weights == Hub(
        "ZhengPeng7/BiRefNet_512x512", "abc", exact=True
    )
    known = cards.LITE.weights
    assert open_model("birefnet-lite", revision=known.revision).weights == known
    assert open_model("birefnet-lite", revision="main").weights.sha256 == ""
    for revision in ("../../etc", "/etc", "a/../b", ""):
        with pytest.raises(UsageError, match="--revision"):
            open_model("birefnet-512", revision=revision)
    with pytest.raises(ModelError, match="selfie does not come from the hub"):
        open_model("selfie", revision="abc")


def test_a_folder_and_a_file(folder: Path) -> None:
    found = open_model(str(folder))
    assert found.weights == found.card.weights == Local(folder)
    assert (found.card.name, found.card.licence) == ("mine", "unknown")
    file = folder / "model.safetensors"
    assert open_model(str(file)).weights == Local(file)
    assert load_card(str(file)).name == "mine"
    other = file.rename(folder / "tuned.safetensors")
    assert load_card(str(other)).name == "tuned"


def test_a_folder_below_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load_card("~/mine").weights == Local(folder)


@pytest.mark.parametrize("inside", [True, False])
def test_what_the_hub_downloaded(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's name gives the policy, but only the digest proves the licence."""
    snapshot = tmp_path / "models--ZhengPeng7--BiRefNet_lite-2K" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    path = snapshot / "model.safetensors" if inside else snapshot
    found = open_model(str(path))
    assert (found.card.name, found.card.licence) == ("birefnet-lite-2k", "unknown")
    assert found.card.input_size(1080, 1920) == (1440, 2560)
    with pytest.raises(ModelError, match="is not known"):
        open_model(str(path), commercial_only=True)
    assert isinstance(cards.LITE_2K.weights, Hub)
    published = replace(cards.LITE_2K.weights, sha256=hashlib.sha256(b"").hexdigest())
    monkeypatch.setattr(cards, "LITE_2K", replace(cards.LITE_2K, weights=published))
    found = open_model(str(path), commercial_only=True)
    assert found.card == replace(cards.LITE_2K, weights=Local(path))


def test_what_settings_claim(folder: Path) -> None:
    """They give the policy; but what was trained further may have any licence."""
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "ZhengPeng7/BiRefNet_HR"}))
    card = load_card(str(folder))
    assert card.name == "birefnet-hr"
    assert card.input_size(1920, 1080) == (2048, 2048)
    assert (card.licence, card.commercial) == ("unknown", False)
    assert "said to be birefnet-hr" in card.origin
    with pytest.raises(
        ModelError, match=r"licence of .*/mine, said to be birefnet-hr is not known; .*: selfie, "
    ):
        open_model(str(folder), commercial_only=True)


@pytest.mark.parametrize("settings", ["", "[]", "{}", '{"_name_or_path": 1}', "\xff"])
def test_settings_that_say_nothing(settings: str, folder: Path) -> None:
    (folder / "config.json").write_text(settings, "latin-1")
    assert load_card(str(folder)).name == "mine"


def test_weights_are_known_by_their_digest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a folder is called: what holds the published weights has their licence."""
    with pytest.raises(ModelError, match=r"licence of .*/mine is not known"):
        open_model(str(folder), commercial_only=True)
    digest = hashlib.sha256(b"weights").hexdigest()
    published = replace(cards.PORTRAIT, weights=replace(cards.PORTRAIT.weights, sha256=digest))
    monkeypatch.setattr(cards, "PORTRAIT", published)
    found = open_model(str(folder), commercial_only=True)
    assert found.card == replace(published, weights=Local(folder))
    assert found.weights == Local(folder)
    not_free = replace(cards.RMBG, weights=replace(cards.RMBG.weights, sha256=digest))
    monkeypatch.setattr(cards, "PORTRAIT", cards.HR)
    monkeypatch.setattr(cards, "RMBG", not_free)
    with pytest.raises(ModelError, match=r"rmbg-2.0 is not for commercial use \(CC-BY-NC-4.0\)"):
        open_model(str(folder), commercial_only=True)


def test_commercial_only() -> None:
    for name in MODELS:
        if load_card(name).commercial:
            assert open_model(name, commercial_only=True).card is load_card(name)
    with pytest.raises(ModelError) as caught:
        open_model("rmbg-2.0", commercial_only=True)
    assert "not for commercial use (CC-BY-NC-4.0); these are: selfie, " in str(caught.value)
    with pytest.raises(ModelError, match="licence of owner/name is not known"):
        open_model("owner/name", commercial_only=True)
    assert open_model("rmbg-2.0").card is cards.RMBG


@pytest.mark.parametrize(("words", "seed"), [("random", 0), ("random:7", 7)])
def test_random_weights(words: str, seed: int) -> None:
    found = open_model("birefnet-lite", weights=words)
    assert found.weights == Random(seed)
    assert found.card.trained == cards.LITE.trained
    assert found.card.training_data == "none: the weights are random"


@pytest.mark.parametrize("title", ["elite", "birefnet-lite"])
def test_random_weights_need_a_network_that_is_known(title: str, folder: Path) -> None:
    """Of others only the weights say what they are, not the name, nor the settings beside them."""
    named = folder.rename(folder.with_name(title))
    (named / "config.json").write_text('{"_name_or_path": "ZhengPeng7/BiRefNet_lite"}')
    for name in (str(named), "owner/lite"):
        with pytest.raises(UsageError, match="give one of 'streammatte models list' with random"):
            open_model(name, weights="random")
    assert open_model(str(named)).card.backbone is None


def test_other_weights(folder: Path) -> None:
    found = open_model("birefnet-lite", weights=str(folder))
    assert found.weights == Local(folder)
    assert found.card.trained == cards.LITE.trained
    assert (found.card.licence, found.card.commercial) == ("unknown", False)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("selfie", "random", "selfie is an ONNX file, which has its weights inside"),
        ("birefnet", "random:x", "write random or random:SEED"),
        ("birefnet", "random:-1", "write random or random:SEED"),
        ("birefnet", "net.pth", "is a pickle"),
        ("birefnet", "nowhere", "nowhere does not exist"),
    ],
)
def test_other_weights_that_will_not_do(name: str, weights: str, message: str) -> None:
    with pytest.raises((ModelError, UsageError)) as caught:
        open_model(name, weights=weights)
    assert message in str(caught.value)


def test_other_weights_that_are_a_network(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    with pytest.raises(ModelError, match="is a whole network; give it as --model"):
        open_model("birefnet", weights=str(tmp_path / "net.onnx"))


def test_cards_need_no_heavy_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnx", "onnxruntime", "transformers", "huggingface_hub", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in MODELS:
        assert load_card(name).name == name
