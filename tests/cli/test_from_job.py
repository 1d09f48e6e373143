"""``render --job`` and ``render --from``: the same once more."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

import streammatte.job
from streammatte.errors import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

FIRST = ("--bg", "beach.jpg", "-t", "0.3", "--light-wrap", "0.4", "--edge", "choke=1")


@pytest.fixture
def plate(folder: Path, astronaut: Path, beach: Path) -> Path:
    shutil.copy(beach, folder / "beach.jpg")
    return Path(shutil.copy(astronaut, folder / "in.mp4"))


def packets(path: str) -> list[str]:
    """Return the digest of every packet; a Matroska file itself has a random number in it."""
    with av.open(path) as container:
        found = [p for p in container.demux() if p.size]
        return [f"{p.stream_index} {p.pts} {hashlib.sha256(bytes(p)).hexdigest()}" for p in found]


def done(out: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert event["event"] == "done"
    return event


@pytest.mark.parametrize("name", ["out.mkv", "out.mov"])
def test_it_is_the_same_once_more(
    name: str, plate: Path, cli: Run, render: Run, folder: Path
) -> None:
    codec = "ffv1" if name.endswith("mkv") else "png"
    render("in.mp4", *FIRST, "--codec", codec, "-o", name, "--job").worked()
    again = "again" + Path(name).suffix
    result = cli("render", "--from", "out.job.json", "-o", again, "--json")
    result.worked()
    assert packets(again) == packets(name)
    if name.endswith("mov"):
        assert Path(again).read_bytes() == Path(name).read_bytes()
    report = done(result.out)
    assert report["notes"] == []
    assert report["job"] == ""
    # What was asked for did make a difference.
    render("in.mp4", *FIRST[:4], "--codec", codec, "-o", f"other{name[3:]}").worked()
    assert packets(f"other{name[3:]}") != packets(name)


def test_it_is_the_same_from_elsewhere(
    plate: Path, cli: Run, render: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the whole folder has moved, and the network is a file in it."""
    (folder / "shots").mkdir()
    plate.rename(folder / "shots" / "in.mp4")
    (folder / "beach.jpg").rename(folder / "shots" / "beach.jpg")
    monkeypatch.chdir(folder / "shots")
    render("in.mp4", *FIRST, "--codec", "png", "-o", "out.mov", "--job").worked()
    first = Path("out.mov").read_bytes()
    monkeypatch.chdir(folder)
    (folder / "shots").rename(folder / "moved")
    (folder / "moved" / "out.mov").unlink()
    cli("render", "--from", "moved/out.job.json").worked()
    assert (folder / "moved" / "out.mov").read_bytes() == first


def test_the_output_is_not_replaced_unless_told(plate: Path, cli: Run, render: Run) -> None:
    """Even if it was then."""
    render("in.mp4", *FIRST, "-o", "out.mp4", "-y", "--job").worked()
    cli("render", "--from", "out.job.json").refused(7, "out.mp4 exists; give -y")
    cli("render", "--from", "out.job.json", "-y").worked()


def test_a_plain_clip_has_none(plate: Path, render: Run, folder: Path) -> None:
    render("in.mp4", *FIRST, "-o", "talk.mp4").worked()
    assert not list(folder.glob("*.json"))


def test_several_passes_have_one(plate: Path, render: Run, folder: Path) -> None:
    words = ("in.mp4", *FIRST, "--codec", "png", "--out", "comp,matte", "-o", "shot.mov")
    result = render(*words, "--json")
    result.worked()
    assert done(result.out)["job"] == str(Path("shot.job.json"))
    content = json.loads((folder / "shot.job.json").read_text())
    assert list(content["written_files"]) == ["shot_comp.mov", "shot_matte.mov"]
    assert content["files"]["input"]["sha256"] == hashlib.sha256(plate.read_bytes()).hexdigest()
    assert content["network"]["size"] == [352, 256]
    assert content["report"]["job"] == "shot.job.json"


def test_none_if_told_so(plate: Path, render: Run, folder: Path) -> None:
    words = ("in.mp4", *FIRST, "--out", "comp,matte", "--codec", "png", "-o", "shot.mov")
    render(*words, "--no-job").worked()
    assert not list(folder.glob("*.json"))


def test_it_goes_where_it_is_told(plate: Path, render: Run, cli: Run, folder: Path) -> None:
    (folder / "jobs").mkdir()
    render("in.mp4", *FIRST, "-o", "out.mp4", "--job", "jobs/a.json").worked()
    assert [path.name for path in folder.rglob("*.json")] == ["a.json"]
    cli("render", "--from", "jobs/a.json", "-o", "b.mp4", "--job").worked()
    assert (folder / "b.job.json").exists()


def test_nothing_is_left_by_a_render_that_fails(
    plate: Path, render: Run, monkeypatch: pytest.MonkeyPatch, unchanged: Callable[[], None]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeFailure("it failed")

    unchanged()
    monkeypatch.setattr("streammatte.pipeline._write", fail)
    render("in.mp4", *FIRST, "-o", "out.mp4", "--job").refused(6, "it failed")
    unchanged()


def test_another_outputs_job_is_kept(
    plate: Path, render: Run, unchanged: Callable[[], None]
) -> None:
    """And that is said before any work is done."""
    render("in.mp4", *FIRST, "-o", "out.mp4", "--job").worked()
    unchanged()
    result = render("in.mp4", *FIRST, "-o", "out.mov", "--job")
    result.refused(7, "out.job.json exists and is not the job file of out.mov", "--no-job")
    unchanged()
    render("in.mp4", *FIRST, "-o", "out.mp4", "-y", "--job").worked()


def test_a_changed_input_is_told(plate: Path, cli: Run, render: Run) -> None:
    render("in.mp4", *FIRST, "-o", "out.mp4", "--job").worked()
    content = bytearray(plate.read_bytes())
    content[-1] ^= 1
    plate.write_bytes(content)
    result = cli("render", "--from", "out.job.json", "-o", "b.mp4", "--json")
    result.worked()
    changed = "the input has changed since the job was written: another SHA-256"
    assert done(result.out)["notes"] == [changed]
    plate.write_bytes(content + b"\0")
    result = cli("render", "--from", "out.job.json", "-o", "c.mp4", "--json")
    assert done(result.out)["notes"] == [changed.replace("SHA-256", "size"), changed]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (("--crf", "20"), "--crf"),
        (("--bg", "green"), "--bg"),
        (("in.mp4",), "IN"),
        (("-ss", "1"), "-ss"),
        (("--serial",), "--serial"),
        (("--out", "matte"), "--out"),
    ],
)
def test_what_would_change_it_is_refused(word: tuple[str, ...], named: str, cli: Run) -> None:
    cli("render", "--from", "a.job.json", *word).refused(
        2, f"--from repeats a job as it was, so {named} does not go with it"
    )


def test_one_of_a_later_version_is_refused(folder: Path, cli: Run) -> None:
    newer = {"job": streammatte.job.SCHEMA + 1, "streammatte": "7.0"}
    (folder / "a.job.json").write_text(json.dumps(newer))
    cli("render", "--from", "a.job.json").refused(3, "streammatte 7.0", "newer", "update")
    cli("render", "--from", "b.job.json").refused(3, "b.job.json cannot be read")
