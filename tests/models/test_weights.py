"""Weights are found, fetched and checked; what is wrong with them is said in one line."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from doubles import COMMIT, in_cache

from streammatte.errors import DependencyError, ModelError
from streammatte.models import hub, selfie, weights
from streammatte.models.birefnet import cards
from streammatte.models.weights import FILE, Hub, Local

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from doubles import FakeHub

LITE = Hub("ZhengPeng7/BiRefNet_lite")
CONTENT = b"the weights of a network" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PINNED = replace(LITE, revision="f" * 40, sha256=DIGEST)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given.safetensors"
    path.write_bytes(CONTENT)
    return path


def refusal(act: Callable[[], object]) -> str:
    """Return the message of a refusal, which is one line."""
    with pytest.raises(ModelError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the hub's cache


@pytest.mark.usefixtures("no_network")
def test_found_by_branch_and_by_commit(own_folders: Path, file: Path) -> None:
    there = in_cache(own_folders, LITE, file, DIGEST)
    assert weights.cached(LITE) == there
    assert weights.cached(replace(LITE, revision=COMMIT)) == there
    assert weights.locate(LITE, "birefnet-lite") == there
    assert weights.cached(replace(LITE, revision="v2")) is None
    assert weights.cached(Hub("ZhengPeng7/BiRefNet")) is None


@pytest.mark.usefixtures("no_network")
def test_the_same_file_under_another_revision_will_do(own_folders: Path, file: Path) -> None:
    there = in_cache(own_folders, LITE, file, DIGEST)
    assert weights.cached(PINNED) == there
    assert weights.cached(replace(PINNED, sha256="0" * 64)) is None


@pytest.mark.usefixtures("no_network")
def test_a_cache_without_links_is_read_too(own_folders: Path, file: Path) -> None:
    """Windows without its developer mode has copies instead."""
    there = in_cache(own_folders, LITE, file, DIGEST)
    there.unlink()
    there.write_bytes(CONTENT)
    assert weights.cached(PINNED) == there


def test_a_link_to_nothing_is_nothing(own_folders: Path, file: Path) -> None:
    there = in_cache(own_folders, LITE, file, DIGEST)
    there.resolve().unlink()
    assert weights.cached(LITE) is None
    assert weights.cached(PINNED) is None


@pytest.mark.parametrize("card", [c for c in vars(cards).values() if hasattr(c, "weights")])
@pytest.mark.usefixtures("no_network")
def test_every_card_is_found_in_the_cache(card: Any, own_folders: Path, file: Path) -> None:
    published = replace(card, weights=replace(card.weights, sha256=DIGEST))
    assert weights.cached(published.weights) is None
    there = in_cache(own_folders, card.weights, file, DIGEST, card.weights.revision)
    assert weights.locate(published.weights, card.name) == there
    assert weights.verify(published) == DIGEST


@pytest.mark.parametrize(
    "settings",
    [
        {"HF_HUB_CACHE": "/a/b"},
        {"HUGGINGFACE_HUB_CACHE": "/c"},
        {"HF_HOME": "/d/e"},
        {"HF_HOME": "~/f"},
        {"HF_HUB_CACHE": "$HOME/g"},
        {"XDG_CACHE_HOME": "/h"},
        {},
    ],
)
def test_the_cache_is_where_the_hub_has_it(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    code = "import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(hub.cache()) == said.stdout.strip()


# ---- what the user brought


def test_a_folder_or_a_file(tmp_path: Path, file: Path) -> None:
    assert weights.locate(Local(file), "mine") == file
    folder = tmp_path / "mine"
    folder.mkdir()
    file.rename(folder / FILE)
    assert weights.locate(Local(folder), "mine") == folder / FILE


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.mark.touch, ())


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "birefnet.pth", "x.pt", "x.ckpt", "x.pkl", "BIREFNET.PTH"]
)
def test_pickles_stay_closed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for path in (folder, folder / name):
        message = refusal(lambda path=path: weights.locate(Local(path), "mine"))
        assert "is a pickle" in message
        assert name in message
        assert ".safetensors" in message
    assert not (tmp_path / "sprung").exists()


def test_other_things_that_are_no_weights(tmp_path: Path) -> None:
    assert "there is no" in refusal(lambda: weights.locate(Local(tmp_path / "none"), "mine"))
    assert f"has no {FILE}" in refusal(lambda: weights.locate(Local(tmp_path), "mine"))
    (tmp_path / "picture.png").touch()
    message = refusal(lambda: weights.locate(Local(tmp_path / "picture.png"), "mine"))
    assert "not a .safetensors file" in message
    (tmp_path / "other.safetensors").touch()
    message = refusal(lambda: weights.locate(Local(tmp_path), "mine"))
    assert str(tmp_path / "other.safetensors") in message
    (tmp_path / f"{FILE}.index.json").touch()
    assert "several files" in refusal(lambda: weights.locate(Local(tmp_path), "mine"))


# ---- whether they are the right ones


@pytest.fixture
def lite(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the card of the small network as if nothing were known of its weights."""
    return replace(cards.LITE, weights=LITE)


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


def test_against_the_card(own_folders: Path, file: Path) -> None:
    there = in_cache(own_folders, LITE, file, DIGEST)
    card = replace(cards.LITE, weights=replace(LITE, sha256=DIGEST))
    assert weights.verify(card) == DIGEST
    change(there)
    message = refusal(lambda: weights.verify(card))
    assert "birefnet-lite" in message
    assert "not the published ones" in message
    assert "streammatte models pull birefnet-lite" in message


def test_against_what_the_hub_announced(own_folders: Path, file: Path, lite: Any) -> None:
    there = in_cache(own_folders, LITE, file, DIGEST)
    assert weights.verify(lite) == DIGEST
    change(there)
    assert "not the published ones" in refusal(lambda: weights.verify(lite))


def test_against_what_was_first_seen(own_folders: Path, file: Path, lite: Any) -> None:
    there = in_cache(own_folders, LITE, file, "named-otherwise")
    assert weights.verify(lite) == DIGEST
    change(there)
    message = refusal(lambda: weights.verify(lite))
    assert "not the published ones" in message
    change(there)
    assert weights.verify(lite) == DIGEST


def test_another_commit_is_first_seen_again(own_folders: Path, file: Path, lite: Any) -> None:
    there = in_cache(own_folders, LITE, file, "named-otherwise")
    weights.verify(lite)
    file.unlink()
    file.write_bytes(CONTENT * 2)
    in_cache(own_folders, LITE, file, "another", "1" * 40)
    assert weights.verify(lite) == hashlib.sha256(CONTENT * 2).hexdigest()
    assert there.read_bytes() == CONTENT


def test_missing_weights_are_not_verified(lite: Any) -> None:
    assert "streammatte models pull birefnet-lite" in refusal(lambda: weights.verify(lite))


def test_what_a_user_brought_is_right_as_it_is(file: Path, tmp_path: Path) -> None:
    card = replace(cards.LITE, weights=Local(file))
    assert weights.verify(card) == DIGEST
    change(file)
    assert weights.verify(card) not in (DIGEST, "")
    graph = tmp_path / "mine.onnx"
    graph.write_bytes(CONTENT)
    assert weights.verify(replace(card, weights=Local(graph))) == DIGEST


def test_the_embedded_network() -> None:
    assert weights.verify(selfie.CARD) == selfie.CARD.weights.sha256
    changed = replace(selfie.CARD, weights=replace(selfie.CARD.weights, sha256="0" * 64))
    assert "reinstall" in refusal(lambda: weights.verify(changed))


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return which files were read from end to end."""
    seen: list[Path] = []
    really = weights.sha256_of

    def reading(path: Path) -> str:
        seen.append(path)
        return really(path)

    monkeypatch.setattr(weights, "sha256_of", reading)
    return seen


def test_a_digest_is_worked_out_once(file: Path, readings: list[Path]) -> None:
    card = replace(cards.LITE, weights=Local(file))
    assert weights.verify(card) == weights.verify(card) == DIGEST
    assert len(readings) == 1
    assert weights.verify(card, fresh=True) == DIGEST
    assert len(readings) == 2


def test_a_change_that_keeps_size_and_time_is_seen(file: Path) -> None:
    card = replace(cards.LITE, weights=Local(file))
    before = file.stat()
    weights.verify(card)
    change(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.verify(card) != DIGEST


def test_a_home_that_cannot_be_written(
    file: Path,
    own_folders: Path,
    lite: Any,
    readings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMMATTE_HOME", str(file / "within a file"))
    there = in_cache(own_folders, LITE, file, "named-otherwise")
    assert weights.verify(lite) == weights.verify(lite) == DIGEST
    assert len(readings) == 1
    change(there)
    assert "not the published ones" in refusal(lambda: weights.verify(lite))


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    message = refusal(lambda: weights.check(Local(tmp_path), "mine", tmp_path / "gone"))
    assert "cannot be read" in message


# ---- without a network


@pytest.mark.parametrize("setting", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
@pytest.mark.usefixtures("no_network")
def test_offline_and_nothing_cached(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv(setting, "1")
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite"))
    assert "weights of birefnet-lite are not here" in message
    assert "HF_HUB_OFFLINE" in message
    assert "streammatte models pull birefnet-lite" in message
    assert "--model FOLDER" in message


@pytest.mark.usefixtures("no_network")
def test_offline_the_cached_main_branch_will_do(
    own_folders: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whatever revision it is; which one is told."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    there = in_cache(own_folders, LITE, file, DIGEST)
    pinned = cards.LITE.weights
    assert isinstance(pinned, Hub)
    assert weights.cached(pinned) is None
    assert weights.locate(pinned, "birefnet-lite") == there
    assert weights.is_another(pinned, there) == COMMIT
    assert weights.verify(cards.LITE) == DIGEST
    assert not weights.is_another(LITE, there)
    assert not weights.is_another(replace(pinned, sha256=DIGEST), there)
    change(there)  # against what the hub announced
    assert "not the published ones" in refusal(lambda: weights.verify(cards.LITE))


@pytest.mark.usefixtures("no_network")
def test_offline_and_another_version_cached(
    own_folders: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    there = in_cache(own_folders, LITE, file, DIGEST)
    (there.parents[2] / "refs" / "main").unlink()
    message = refusal(lambda: weights.locate(cards.LITE.weights, "birefnet-lite"))
    assert "only in another version" in message
    assert f"--model {there.parent}" in message


@pytest.mark.usefixtures("no_network")
def test_a_revision_that_a_user_names_is_never_replaced(
    own_folders: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    in_cache(own_folders, LITE, file, DIGEST)
    named = replace(LITE, revision="deadbeef", exact=True)
    assert weights.at_hand(named) is None
    assert "another version" in refusal(lambda: weights.locate(named, "birefnet-lite"))


def test_online_the_pinned_revision_is_fetched_all_the_same(
    published: FakeHub, own_folders: Path, file: Path
) -> None:
    other = "e" * 40
    in_cache(own_folders, LITE, file, "1" * 64, other)
    pinned = replace(PINNED, sha256=published.digest)
    path = weights.locate(pinned, "birefnet-lite")
    assert path.read_bytes() == published.content
    assert path.parent.name != other


def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a host can hang far longer than any request may take."""
    library = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    monkeypatch.setattr(library, "get_session", lambda: time.sleep(3))
    begun = time.monotonic()
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite"))
    assert time.monotonic() - begun < 2
    assert "cannot be reached (offline?)" in message


def test_a_hub_that_refuses_connections(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1:9 cannot be reached" in refusal(lambda: weights.locate(LITE, "lite"))


def test_the_package_that_downloads_is_missing(
    own_folders: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DependencyError, match=r'pip install "streammatte\[export\]"'):
        weights.locate(LITE, "birefnet-lite")
    in_cache(own_folders, LITE, file, DIGEST)
    assert weights.locate(LITE, "birefnet-lite").is_file()


# ---- downloads


@pytest.fixture
def published(fake_hub: FakeHub) -> FakeHub:
    fake_hub.content, fake_hub.digest = CONTENT, DIGEST
    return fake_hub


def test_a_download_through_a_mirror(published: FakeHub, own_folders: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = weights.locate(LITE, "birefnet-lite", lambda *amount: told.append(amount))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(own_folders)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    asked = len(published.asked)
    assert any(FILE in request for request in published.asked)
    assert weights.locate(LITE, "birefnet-lite") == path
    assert len(published.asked) == asked


def test_a_download_is_said(published: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    weights.locate(LITE, "birefnet-lite")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "downloading the weights of birefnet-lite (0 MB)\n"


def test_pull_leaves_what_is_right(published: FakeHub) -> None:
    path = weights.pull(replace(LITE, sha256=DIGEST), "birefnet-lite", lambda *_: None)
    asked = len(published.asked)
    assert weights.pull(replace(LITE, sha256=DIGEST), "birefnet-lite") == path
    assert len(published.asked) == asked


def test_pull_replaces_what_was_changed(published: FakeHub) -> None:
    wanted = replace(LITE, sha256=DIGEST)
    path = weights.pull(wanted, "birefnet-lite", lambda *_: None)
    change(path)
    refusal(lambda: weights.check(wanted, "birefnet-lite", path))
    assert weights.pull(wanted, "birefnet-lite", lambda *_: None).read_bytes() == CONTENT
    assert weights.check(wanted, "birefnet-lite", path) == DIGEST


def test_what_comes_is_checked(published: FakeHub) -> None:
    wanted = replace(LITE, sha256="0" * 64)
    message = refusal(lambda: weights.pull(wanted, "birefnet-lite", lambda *_: None))
    assert "not the published ones" in message


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "GatedRepo", ("accept its licence", "/ZhengPeng7/BiRefNet_lite", "HF_TOKEN")),
        (401, "GatedRepo", ("accept its licence", "hf auth login")),
        (404, "RepoNotFound", ("shows no ZhengPeng7/BiRefNet_lite", "HF_ENDPOINT", "HF_TOKEN")),
        (404, "RevisionNotFound", ("has no revision main", "--model FOLDER")),
        (404, "EntryNotFound", (f"has no {FILE}", "--model FOLDER")),
    ],
)
def test_what_the_hub_refuses(
    status: int, code: str, words: tuple[str, ...], fake_hub: FakeHub
) -> None:
    fake_hub.refusal = (status, {"X-Error-Code": code})
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite"))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("no room", "birefnet-lite", "HF_HOME")),
        (PermissionError(errno.EACCES, "Permission denied"), ("cannot be written", "HF_HOME")),
        (OSError(errno.EROFS, "Read-only file system"), ("cannot be written", "HF_HOME")),
        (RuntimeError("the line\nwent dead"), ("broke off (the line)", "try again")),
        (ValueError(), ("broke off (ValueError)",)),
    ],
)
def test_what_else_goes_wrong(
    error: Exception, words: tuple[str, ...], fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing)
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite"))
    for word in words:
        assert word in message


def test_a_server_that_fails(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    class Answer:
        status_code = 503
        headers: dict[str, str] = {}  # noqa: RUF012
        request = None

    def failing(*_: object, **__: object) -> None:
        error = HfHubHTTPError.__new__(HfHubHTTPError)
        error.response = Answer()  # type: ignore[assignment]
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing)
    assert "answered 503" in refusal(lambda: weights.locate(LITE, "birefnet-lite"))


def test_a_disk_that_is_too_small(published: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub only warns of it, and fills the disk."""
    import shutil

    full = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite", lambda *_: None))
    assert "no room" in message


def test_a_cache_that_cannot_be_written(
    published: FakeHub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(file))
    message = refusal(lambda: weights.locate(LITE, "birefnet-lite", lambda *_: None))
    assert "cannot be written; set HF_HOME" in message
