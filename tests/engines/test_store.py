"""The store of engines: compiled once, whole or not there, told why anew, thrown away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streammatte import home, locks, whole
from streammatte.engines import kinds
from streammatte.engines.fingerprint import SCHEMA, Fingerprint
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX
from streammatte.engines.recipe import Builder
from streammatte.engines.store import PLAN, SIDECAR, Entry, Store
from streammatte.errors import DependencyError, Interrupted, OutputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

TESTS = str(Path(__file__).parent)
NAME = "birefnet-lite"
ONE = Fingerprint(
    onnx="ab" * 32,
    kind="tensorrt-rtx",
    version="1.7.1.116",
    cuda=13,
    capabilities=((8, 9),),
    device="",
    shape=(1, 512, 768),
    precision="fp16",
    options=Builder().as_items(),
)
FULL = replace(ONE, kind="tensorrt", version="10.13.3.9", device="NVIDIA L4")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals and no mounts")


class Compiler:
    """Stands in for TensorRT: counts, and gives something else every time."""

    def __init__(self) -> None:
        self.compiled = 0
        self.told: list[str] = []

    def make(self) -> memoryview:
        self.compiled += 1
        return memoryview(f"engine {self.compiled}".encode())

    def get(self, kept: Store, fingerprint: Fingerprint = ONE, name: str = NAME) -> Entry:
        return kept.get_or_build(name, fingerprint, self.make, self.told.append, {"gpu": "a GPU"})


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "engines")


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The installed versions, which a test may change; those of the fingerprints above."""
    found = {"tensorrt-rtx": ONE.version, "tensorrt": FULL.version}

    def version(kind: kinds.Kind) -> str:
        if kind.name not in found:
            raise DependencyError("it is not installed")
        return found[kind.name]

    monkeypatch.setattr(kinds.Kind, "version", property(version))
    return found


def names(folder: Path) -> set[str]:
    """What lies there but for locks, which stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def changed(entry: Entry, **facts: Any) -> None:
    sidecar = entry.folder / SIDECAR
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **facts}))


# --- Found or made --------------------------------------------------------------------------------


def test_compiled_once(kept: Store, compiler: Compiler) -> None:
    assert kept.find(ONE) is None
    assert not kept.folder.exists()
    entry = compiler.get(kept)
    assert entry.folder == kept.folder / f"birefnet-lite-512x768-fp16-tensorrt-rtx-{ONE.key}"
    assert entry.plan.read_bytes() == b"engine 1"
    assert kept.find(ONE) == entry == compiler.get(kept)
    assert (compiler.compiled, compiler.told) == (1, [])
    assert names(kept.folder) == {entry.folder.name}
    assert names(entry.folder) == {PLAN, SIDECAR}


def test_the_sidecar(kept: Store, compiler: Compiler) -> None:
    import hashlib

    import streammatte

    entry = compiler.get(kept)
    facts = json.loads((entry.folder / SIDECAR).read_text())
    assert facts == entry.facts
    assert facts["schema"] == SCHEMA
    assert Fingerprint.from_dict(facts["fingerprint"]) == ONE == entry.fingerprint
    assert (facts["name"], facts["bytes"], facts["gpu"]) == (NAME, 8, "a GPU")
    assert facts["sha256"] == hashlib.sha256(b"engine 1").hexdigest()
    assert facts["streammatte"] == streammatte.__version__
    assert facts["built"].endswith("+00:00")
    assert entry.built is not None
    assert (entry.name, entry.bytes, entry.seconds) == (NAME, 8, facts["seconds"])


def test_facts_never_replace_what_the_store_knows(kept: Store, compiler: Compiler) -> None:
    entry = kept.get_or_build(NAME, ONE, compiler.make, facts={"bytes": 3, "sha256": "", "x": 1})
    assert (entry.bytes, entry.facts["x"]) == (8, 1)
    assert kept.find(ONE) == entry


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    assert Store().folder == tmp_path / "engines"


@posix
def test_others_may_read_it(kept: Store, compiler: Compiler) -> None:
    folder = compiler.get(kept).folder
    (usual := kept.folder / "usual").mkdir()
    assert folder.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("owner/net", "owner-net-512x768"),
        ("../../etc", "etc-512x768"),
        ("ünï 日本:*", "n-512x768"),
        ("日本", "network-512x768"),
        ("x" * 300, "x" * 80 + "-512x768"),
    ],
)
def test_odd_names(name: str, start: str, kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept, name=name)
    assert entry.folder.parent == kept.folder
    assert entry.folder.name.startswith(start)
    assert entry.name == name
    assert compiler.get(kept, name=name) == entry


def test_what_fails_leaves_nothing(kept: Store) -> None:
    def fail() -> bytes:
        raise Interrupted("the engine was not compiled to the end")

    with pytest.raises(Interrupted):
        kept.get_or_build(NAME, ONE, fail)
    assert not names(kept.folder)


# --- For which GPUs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("built", "wanted", "serves"),
    [
        ([(8, 9)], [(8, 9)], True),
        ([(8, 6), (8, 9)], [(8, 9)], True),
        ([(8, 6), (8, 9), (12, 0)], [(8, 6), (12, 0)], True),
        ([(8, 6)], [(8, 9)], False),
        ([(8, 9)], [(8, 6), (8, 9)], False),
        ([], [(8, 0)], True),
        ([], [(12, 1)], True),
        ([], [(7, 5)], False),  # older than what an engine that names none is for
        ([], [(9, 0)], False),  # unknown to the library
        ([], [(8, 9), (7, 5)], False),
        ([], [], True),
        ([(8, 9)], [], False),
    ],
)
def test_engines_for_several_gpus(
    built: list[Any], wanted: list[Any], serves: bool, kept: Store, compiler: Compiler
) -> None:
    entry = compiler.get(kept, ONE.for_gpus(*built))
    assert kept.find(ONE.for_gpus(*wanted)) == (entry if serves else None)


def test_the_closest_of_several(kept: Store, compiler: Compiler) -> None:
    portable = compiler.get(kept, ONE.for_gpus())
    two = compiler.get(kept, ONE.for_gpus((7, 5), (8, 6)))
    assert kept.find(ONE.for_gpus((8, 6))) == two
    assert kept.find(ONE.for_gpus((8, 9))) == portable
    one = compiler.get(kept, replace(ONE.for_gpus((7, 5)), shape=(1, 64, 64)))
    assert kept.find(one.fingerprint or ONE) == one


def test_a_damaged_one_gives_way_to_another(kept: Store, compiler: Compiler) -> None:
    portable = compiler.get(kept, ONE.for_gpus())
    assert compiler.get(kept) == portable
    (own := kept.place(NAME, ONE)).mkdir()
    (own / PLAN).touch()
    assert kept.find(ONE) == portable


def test_a_damaged_one_for_most_gpus_is_told(kept: Store, compiler: Compiler) -> None:
    why = corrupt(compiler.get(kept, ONE.for_gpus()))
    assert compiler.get(kept).fingerprint == ONE
    assert compiler.told == [f"engine of birefnet-lite is compiled anew ({why})"]


def test_full_tensorrt_is_for_one_gpu(kept: Store, compiler: Compiler) -> None:
    compiler.get(kept, FULL.for_gpus((8, 6), (8, 9)))
    compiler.get(kept, FULL.for_gpus())
    assert kept.find(FULL) is None
    assert compiler.get(kept, FULL).fingerprint == FULL
    assert kept.find(replace(FULL, device="NVIDIA A10")) is None


@pytest.mark.parametrize(
    "change",
    [{"onnx": "cd" * 32}, {"version": "1.6"}, {"cuda": 12}, {"shape": (2, 512, 768)},
     {"precision": "fp32"}, {"options": Builder(tf32=True).as_items()}, {"schema": SCHEMA + 1},
     {"kind": "tensorrt"}, {"device": "x"}],
    ids=str,
)  # fmt: skip
def test_nothing_else_may_differ(change: dict[str, Any], kept: Store, compiler: Compiler) -> None:
    compiler.get(kept, ONE.for_gpus())
    assert kept.find(replace(ONE, **change)) is None


# --- Damaged, outdated, foreign -------------------------------------------------------------------


def truncated(entry: Entry) -> str:
    entry.plan.write_bytes(b"eng")
    return "its file is cut off or damaged"


def corrupt(entry: Entry) -> str:
    entry.plan.write_bytes(b"engine !")
    return "its file is damaged"


def foreign(entry: Entry) -> str:
    """An engine of another make under its name."""
    changed(entry, fingerprint=replace(ONE, version="1.6.0").as_dict())
    return "it is of another make than its name says"


def missing(entry: Entry) -> str:
    entry.plan.unlink()
    return "its file is missing"


def without_sidecar(entry: Entry) -> str:
    (entry.folder / SIDECAR).unlink()
    return "what is told of it cannot be read"


def nonsense(entry: Entry) -> str:
    (entry.folder / SIDECAR).write_text("[1, 2]")
    return "what is told of it cannot be read"


def halved(entry: Entry) -> str:
    text = (entry.folder / SIDECAR).read_text()
    (entry.folder / SIDECAR).write_text(text[: len(text) // 2])
    return "what is told of it cannot be read"


def without_digest(entry: Entry) -> str:
    changed(entry, sha256=None)
    return "its file is damaged"


def newer(entry: Entry) -> str:
    changed(entry, schema=SCHEMA + 1)
    return f"format {SCHEMA}, not {SCHEMA + 1}"


@pytest.mark.parametrize(
    "damage",
    [truncated, corrupt, foreign, missing, without_sidecar, nonsense, halved, without_digest,
     newer],
)  # fmt: skip
def test_what_is_damaged_is_compiled_anew(damage: Any, kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept)
    why = damage(entry)
    (entry.folder / "kernels.cache").touch()
    assert kept.find(ONE) is None
    again = compiler.get(kept)
    assert again.folder == entry.folder
    assert again.plan.read_bytes() == b"engine 2"
    assert compiler.told == [f"engine of birefnet-lite is compiled anew ({why})"]
    assert kept.find(ONE) == again
    assert names(kept.folder) == {entry.folder.name}
    assert names(entry.folder) == {PLAN, SIDECAR}
    assert compiler.get(kept) == again
    assert compiler.compiled == 2


def test_what_is_outdated_is_compiled_anew(kept: Store, compiler: Compiler) -> None:
    compiler.get(kept, replace(ONE, version="1.6.0", onnx="cd" * 32))
    compiler.get(kept, replace(ONE, version="1.6.0"))
    compiler.told.clear()
    entry = compiler.get(kept)
    assert entry.fingerprint == ONE
    assert compiler.told == [
        "engine of birefnet-lite is compiled anew (version 1.7.1.116, not 1.6.0)"
    ]


@pytest.mark.parametrize(
    "other",
    [replace(ONE, shape=(1, 64, 64)), replace(ONE, precision="fp32"), replace(FULL)],
    ids=["size", "precision", "kind"],
)
def test_engines_of_something_else_are_no_reason(
    other: Fingerprint, kept: Store, compiler: Compiler
) -> None:
    compiler.get(kept, other)
    compiler.get(kept, name="birefnet")
    compiler.get(kept)
    assert compiler.told == []


def test_a_folder_that_was_carried_here(tmp_path: Path, kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept, ONE.for_gpus())
    shutil.copytree(entry.folder, tmp_path / "elsewhere" / entry.folder.name)
    there = Store(tmp_path / "elsewhere")
    assert compiler.get(there).plan.read_bytes() == b"engine 1"
    assert compiler.compiled == 1


# --- What its library refuses ---------------------------------------------------------------------


def rebuilt(kept: Store, entry: Entry, compiler: Compiler) -> Entry:
    why = "TensorRT-RTX does not load it"
    return kept.rebuilt(entry, why, NAME, ONE, compiler.make, compiler.told.append)


@pytest.mark.parametrize("of", [ONE, ONE.for_gpus()], ids=["own", "portable"])
def test_what_is_refused_is_compiled_once_more(
    of: Fingerprint, kept: Store, compiler: Compiler
) -> None:
    entry = compiler.get(kept, of)
    again = rebuilt(kept, compiler.get(kept), compiler)
    assert (again.fingerprint, again.plan.read_bytes()) == (ONE, b"engine 2")
    assert kept.find(ONE) == again
    assert names(kept.folder) == {again.folder.name}
    assert compiler.told == [
        "engine of birefnet-lite is compiled anew (TensorRT-RTX does not load it)"
    ]
    assert not entry.folder.exists() or entry.folder == again.folder


def test_what_another_process_replaced_is_taken(kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept)
    again = rebuilt(kept, entry, compiler)
    compiler.told.clear()
    assert rebuilt(kept, entry, compiler) == again
    assert (compiler.compiled, compiler.told) == (2, [])


def test_what_was_thrown_away_meanwhile(kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept)
    kept.remove(entry)
    assert rebuilt(kept, entry, compiler).plan.read_bytes() == b"engine 2"


# --- Disks that do not take it --------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    """Return a function that mounts a disk of a megabyte, or changes how it is mounted."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("nothing can be mounted here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


@posix
def test_read_only(disk: Any, compiler: Compiler) -> None:
    kept = Store(disk("size=1m") / "engines")
    entry = compiler.get(kept)
    kept = Store(disk("remount,ro") / "engines")
    assert compiler.get(kept) == entry
    assert compiler.get(kept, ONE.for_gpus((8, 9))) == entry
    for work in (
        lambda: compiler.get(kept, ONE.for_gpus((8, 6))),
        lambda: rebuilt(kept, entry, compiler),
        lambda: list(kept.prune(everything=True)),
        lambda: kept.remove(entry),
    ):
        with pytest.raises(OutputError, match="engines") as caught:
            work()
        assert "\n" not in str(caught.value)
    assert (compiler.compiled, compiler.told) == (1, [])


@posix
def test_full(disk: Any) -> None:
    kept = Store(disk("size=1m") / "engines")
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        kept.get_or_build(NAME, ONE, lambda: bytes(2 << 20))
    assert not names(kept.folder)
    assert kept.get_or_build(NAME, ONE, lambda: bytes(1 << 10)).bytes == 1 << 10


def test_no_folder_at_all(tmp_path: Path, compiler: Compiler) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        compiler.get(Store(tmp_path / "file" / "engines"))
    assert compiler.compiled == 0


# --- Other processes ------------------------------------------------------------------------------

WORK = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import NAME, ONE
from streammatte.engines.store import Store

def make():
    Path(sys.argv[2]).touch()
    time.sleep(float(sys.argv[3]))
    return sys.argv[2].encode()

entry = Store(Path(sys.argv[1])).get_or_build(NAME, ONE, make, lambda words: print(words))
print(entry.plan.read_text())
"""


def process(kept: Store, mark: Path, seconds: float) -> subprocess.Popen[str]:
    code = WORK.format(tests=TESTS)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(kept.folder), str(mark), str(seconds)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(path: Path) -> None:
    due = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < due
        time.sleep(0.01)


def test_two_processes_compile_once(kept: Store, tmp_path: Path) -> None:
    marks = [tmp_path / "first", tmp_path / "second"]
    both = [process(kept, mark, 2) for mark in marks]
    told = sorted(one.communicate(timeout=60)[0].splitlines() for one in both)
    (winner,) = [mark for mark in marks if mark.exists()]
    assert told == sorted([[str(winner)], [f"{locks.WAITING}: compiling {NAME}", str(winner)]])


@posix
def test_killed_while_it_compiles(kept: Store, tmp_path: Path, compiler: Compiler) -> None:
    victim = process(kept, tmp_path / "mark", 60)
    wait_for(tmp_path / "mark")
    assert not kept.entries()
    victim.kill()
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert kept.find(ONE) is None
    entry = compiler.get(kept)
    assert entry.plan.read_bytes() == b"engine 1"
    assert names(kept.folder) == {entry.folder.name}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import NAME, ONE
from streammatte import whole
from streammatte.engines import store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr({module}, {name!r}, die)
store.Store(Path(sys.argv[1])).get_or_build(NAME, ONE, lambda: b"half of it")
"""


@posix
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("store", "sha256_of"),
        ("whole", "publish"),
        ("whole.os", "replace"),
    ],
)
def test_killed_while_it_is_written(
    module: str, name: str, kept: Store, compiler: Compiler, versions: dict[str, str]
) -> None:
    code = KILLED.format(tests=TESTS, module=module, name=name)
    victim = subprocess.run([sys.executable, "-c", code, str(kept.folder)], check=False)
    assert victim.returncode == -signal.SIGKILL
    (left,) = names(kept.folder)
    assert whole.meant(kept.folder / left)
    assert kept.entries() == []
    assert kept.find(ONE) is None
    assert compiler.get(kept).plan.read_bytes() == b"engine 1"
    assert [(waste.path.name, waste.why) for waste in kept.prune()] == [(left, "unfinished")]
    assert kept.find(ONE)


# --- Thrown away ----------------------------------------------------------------------------------


def pruned(kept: Store, *, everything: bool = False, dry: bool = False) -> dict[str, str]:
    found = list(kept.prune(everything=everything, dry=dry))
    assert all(waste.bytes > 0 for waste in found)
    return {waste.path.name: waste.why for waste in found}


@pytest.fixture
def wasted(kept: Store, compiler: Compiler, versions: dict[str, str]) -> dict[str, str]:
    """Fill the store with two engines of use and some of none; return those."""
    compiler.get(kept)
    compiler.get(kept, FULL)
    found = {}
    for change, damage in ((32, truncated), (64, newer), (96, without_sidecar), (128, corrupt)):
        entry = compiler.get(kept, replace(ONE, shape=(1, change, change)))
        found[entry.folder.name] = damage(entry)
    old = compiler.get(kept, replace(ONE, version="1.6.0"))
    found[old.folder.name] = f"of version 1.6.0, not {ONE.version}"
    (left := kept.folder / f"{kept.place(NAME, ONE).name}.part-a_b1").mkdir()
    (left / PLAN).write_text("half of")
    found[left.name] = "unfinished"
    (kept.folder / "timing-tensorrt.cache").touch()
    return found


def test_prune(kept: Store, wasted: dict[str, str]) -> None:
    before = names(kept.folder)
    good = {kept.place(NAME, one).name for one in (ONE, FULL)}
    assert pruned(kept, dry=True) == wasted
    assert names(kept.folder) == before
    assert pruned(kept) == wasted
    assert names(kept.folder) == good | {"timing-tensorrt.cache"}
    assert pruned(kept) == {}
    assert pruned(kept, everything=True) == dict.fromkeys(good, "not wanted")
    assert kept.entries() == []


def test_what_no_library_says_anything_of_stays(
    kept: Store, wasted: dict[str, str], versions: dict[str, str]
) -> None:
    del versions["tensorrt-rtx"]
    versions["tensorrt"] = "11.0"
    full, old = kept.place(NAME, FULL), kept.place(NAME, replace(ONE, version="1.6.0"))
    assert pruned(kept) == {
        **{name: why for name, why in wasted.items() if name != old.name},
        full.name: f"of version {FULL.version}, not 11.0",
    }
    assert old.exists()


def test_what_is_being_compiled_stays(kept: Store, wasted: dict[str, str]) -> None:
    with locks.exclusive(kept._lock(ONE.key)):
        left = pruned(kept, everything=True)
    assert f"{kept.place(NAME, ONE).name}.part-a_b1" not in left
    assert kept.place(NAME, ONE).name not in left
    assert kept.find(ONE)


def test_what_finds_its_place_while_prune_waits_stays(
    kept: Store, wasted: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    free = locks.if_free
    part = kept.folder / f"{kept.place(NAME, ONE).name}.part-a_b1"

    def late(path: Path) -> AbstractContextManager[bool]:
        if part.exists() and ONE.key in path.name:
            part.rename(tmp_path / "finished")
        return free(path)

    monkeypatch.setattr(locks, "if_free", late)
    assert part.name not in pruned(kept)
    assert kept.find(ONE)


def test_prune_where_there_is_nothing(kept: Store) -> None:
    assert pruned(kept, everything=True) == {}
    assert not kept.folder.exists()


def test_what_others_put_there(kept: Store) -> None:
    (kept.folder / "stray" / "a").mkdir(parents=True)
    (kept.folder / "stray" / "b").write_text("b")
    (entry,) = kept.entries()
    assert (entry.name, entry.bytes, entry.seconds, entry.built) == ("stray", 0, 0.0, None)
    assert pruned(kept) == {"stray": "what is told of it cannot be read"}


def test_what_cannot_be_removed(
    kept: Store, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    entry = compiler.get(kept)
    monkeypatch.setattr(whole.shutil, "rmtree", refuse)
    with pytest.raises(OutputError, match="cannot be removed: Permission denied; remove it by"):
        kept.remove(entry)


# --- And else -------------------------------------------------------------------------------------


def test_looking_at_it_without_reading(kept: Store, compiler: Compiler) -> None:
    entry = compiler.get(kept)
    corrupt(entry)
    assert kept.why_not(entry, read=False) == ""
    assert kept.why_not(entry) == "its file is damaged"


def test_timing_caches(kept: Store) -> None:
    one = kept.timing_cache(TENSORRT, "10.13", "NVIDIA RTX A2000/8Q")
    assert one == kept.folder / "timing-tensorrt-10.13-NVIDIA-RTX-A2000-8Q.cache"
    assert one != kept.timing_cache(TENSORRT, "10.14", "NVIDIA RTX A2000/8Q")
    assert one != kept.timing_cache(TENSORRT_RTX, "10.13", "NVIDIA RTX A2000/8Q")


def test_it_imports_no_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from streammatte.engines.store import Store;"
        f"Store(Path({str(tmp_path)!r})).entries();"
        "print([name for name in ('cuda', 'tensorrt', 'tensorrt_rtx', 'numpy', 'torch')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
