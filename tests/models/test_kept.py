"""Exports in the cache: made once, whole or not there, verified and pruned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from streammatte import home, locks, whole
from streammatte.errors import ModelError, OutputError
from streammatte.models.birefnet import EXPORT_VERSION, kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

KEY = "net-64x96-native-fp32-0123456789ab"
WEIGHTS = "f" * 64


def make(graph: Path, content: str = "graph") -> list[Path]:
    data = graph.with_name(graph.name + ".data")
    data.write_text(content + "'s weights")
    graph.write_text(content)
    return [graph, data]


def made(key: str = KEY, content: str = "graph") -> Path:
    return kept.made_once(key, WEIGHTS, lambda path: make(path, content), lambda _: None)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_made_once() -> None:
    folder = made()
    assert folder == kept.place(KEY)
    assert names(folder) == {kept.GRAPH, kept.GRAPH + ".data", kept.FACTS}
    assert names(folder.parent) == {KEY}
    assert kept.is_whole(folder)
    assert made(content="other") == folder
    assert (folder / kept.GRAPH).read_text() == "graph"


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such rights")
def test_others_may_read_it() -> None:
    folder = made()
    (usual := home.home() / "usual").mkdir()
    assert folder.stat().st_mode == usual.stat().st_mode


def test_nothing_has_its_place_before_it_is_whole() -> None:
    def looked_at(graph: Path) -> Iterator[Path]:
        for file in make(graph):
            assert not kept.place(KEY).exists()
            yield file

    assert kept.is_whole(kept.made_once(KEY, WEIGHTS, looked_at, lambda _: None))


def test_what_fails_leaves_nothing() -> None:
    def fail(graph: Path) -> list[Path]:
        make(graph)
        raise ModelError("no")

    with pytest.raises(ModelError):
        kept.made_once(KEY, WEIGHTS, fail, lambda _: None)
    assert not names(kept.place(""))


def test_a_full_disk() -> None:
    def fail(graph: Path) -> list[Path]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=f"{KEY} cannot be written: No space left on device"):
        kept.made_once(KEY, WEIGHTS, fail, lambda _: None)


@pytest.mark.parametrize("whole", [True, False])
def test_a_place_that_was_taken_meanwhile(whole: bool) -> None:
    """By a process that knows no locks, such as on another machine that shares the folder."""

    def late(graph: Path) -> list[Path]:
        files = make(graph, "late")
        ready.rename(kept.place(KEY))
        return files

    ready = made().rename(kept.place("ready"))
    if not whole:
        (ready / kept.GRAPH).write_text("damaged")
    folder = kept.made_once(KEY, WEIGHTS, late, lambda _: None)
    assert (folder / kept.GRAPH).read_text() == ("graph" if whole else "late")
    assert kept.is_whole(folder)
    assert names(folder.parent) == {KEY}


def test_what_is_damaged_is_replaced() -> None:
    folder = made()
    (folder / kept.GRAPH).write_text("gr")
    (folder / "stray").touch()
    assert not kept.is_whole(folder)
    made(content="again")
    assert (folder / kept.GRAPH).read_text() == "again"
    assert "stray" not in names(folder)
    assert names(folder.parent) == {KEY}


TWO = """
import sys, time
from pathlib import Path
from streammatte.models.birefnet import kept

def make(graph):
    graph.write_text(sys.argv[1])
    time.sleep(1.5)
    return [graph]

folder = kept.made_once("key", "weights", make, lambda words: print(words))
print((folder / kept.GRAPH).read_text())
"""


def test_two_processes_make_it_once() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", TWO, name], stdout=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    told = sorted(process.communicate(timeout=60)[0].split("\n")[:-1] for process in processes)
    (winner,) = told[0]
    assert told == [[winner], [locks.WAITING, winner]]
    assert winner in ("first", "second")


# --- Whole ----------------------------------------------------------------------------------------


def changed(path: Path, content: str, *, keep_time: bool) -> None:
    times = path.stat()
    path.write_text(content)
    later = times.st_mtime_ns + (0 if keep_time else 10**9)
    os.utime(path, ns=(times.st_atime_ns, later))


def test_damage_of_the_right_length_is_seen() -> None:
    folder = made()
    changed(folder / kept.GRAPH, "grapH", keep_time=False)
    assert not kept.is_whole(folder)


def test_a_copy_is_whole_and_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a cache becomes part of a container's image, which keeps whole seconds."""
    folder = made()
    for name in (kept.GRAPH, kept.GRAPH + ".data"):
        os.utime(folder / name, (1e9, 1e9))
    assert kept.is_whole(folder)
    assert names(folder) == {kept.GRAPH, kept.GRAPH + ".data", kept.FACTS}
    monkeypatch.setattr(kept, "sha256_of", None)
    assert kept.is_whole(folder)


def test_of_what_is_as_it_was_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made()
    monkeypatch.setattr(kept, "sha256_of", None)
    assert kept.is_whole(folder)


@pytest.mark.parametrize(
    "facts",
    ['{"model.onnx": 5, "model.onnx.data": 15}', "{}", "[]", "", "null", '{"files": {}}',
     '{"format": 1, "weights": "", "files": {}}', '{"files": {"model.onnx": 5}}'],
)  # fmt: skip
def test_facts_of_another_make_are_none(facts: str) -> None:
    folder = made()
    (folder / kept.FACTS).write_text(facts)
    assert not kept.is_whole(folder)
    assert kept.is_whole(made())


# --- Verified -------------------------------------------------------------------------------------


def test_verify_reads_all() -> None:
    folder = made()
    assert kept.verify(WEIGHTS) == [folder]
    assert kept.verify("0" * 64) == []
    changed(folder / (kept.GRAPH + ".data"), "graph's weightS", keep_time=True)
    assert kept.is_whole(folder)  # as far as is looked at without reading all
    with pytest.raises(ModelError, match="was changed or damaged since; remove the folder"):
        kept.verify(WEIGHTS)
    assert kept.verify("0" * 64) == []


def test_verify_where_there_is_nothing() -> None:
    assert kept.verify(WEIGHTS) == []


# --- Pruned ---------------------------------------------------------------------------------------


def pruned(*, everything: bool = False, dry: bool = False) -> dict[str, str]:
    found = list(kept.prune(everything=everything, dry=dry))
    assert all(waste.bytes > 0 for waste in found)
    return {waste.path.name: waste.why for waste in found}


@pytest.fixture
def wasted() -> dict[str, str]:
    """Fill the cache; return what is of no use in it."""
    made()
    old = made("old-0123456789ab") / kept.FACTS
    old.write_text(json.dumps({**json.loads(old.read_text()), "format": EXPORT_VERSION + 1}))
    (made("short-0123456789ab") / kept.GRAPH).write_text("")
    made("older-0123456789ab").joinpath(kept.FACTS).write_text('{"model.onnx": 5}')
    (left := kept.place(f"{KEY}.part-a_b1")).mkdir()
    (left / "model.onnx").write_text("half of")
    return {
        "old-0123456789ab": f"of format {EXPORT_VERSION + 1}, not {EXPORT_VERSION}",
        "short-0123456789ab": "not whole",
        "older-0123456789ab": "not whole",
        f"{KEY}.part-a_b1": "unfinished",
    }


def test_prune(wasted: dict[str, str]) -> None:
    before = names(kept.place(""))
    assert pruned(dry=True) == wasted
    assert names(kept.place("")) == before
    assert pruned() == wasted
    assert names(kept.place("")) == {KEY}
    assert pruned() == {}
    assert pruned(everything=True) == {KEY: "not wanted"}
    assert not names(kept.place(""))


def test_what_is_being_made_stays(wasted: dict[str, str]) -> None:
    with locks.exclusive(home.folder("locks") / f"{KEY}.lock"):
        assert set(pruned(everything=True)) == wasted.keys() - {f"{KEY}.part-a_b1"}
        assert names(kept.place("")) == {KEY, f"{KEY}.part-a_b1"}


def test_what_is_made_anew_while_prune_waits_stays(
    wasted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is judged, and looked for, when nobody else can change it any more."""
    free = locks.if_free
    part = kept.place(f"{KEY}.part-a_b1")

    def late(path: Path) -> AbstractContextManager[bool]:
        if path.stem == "short-0123456789ab":
            made(path.stem)
        if path.stem == KEY and part.exists():
            part.rename(home.home() / "finished")
        return free(path)

    monkeypatch.setattr(locks, "if_free", late)
    assert set(pruned()) == {"old-0123456789ab", "older-0123456789ab"}
    assert names(kept.place("")) == {KEY, "short-0123456789ab"}


def test_prune_where_there_is_nothing() -> None:
    assert pruned(everything=True) == {}
    assert not home.home().exists()


def test_what_cannot_be_removed(wasted: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(whole.shutil, "rmtree", refuse)
    with pytest.raises(OutputError, match="cannot be removed: Permission denied"):
        pruned()
