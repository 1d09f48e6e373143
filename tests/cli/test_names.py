"""File names as people and cameras write them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from conftest import QUICK

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

ODD = [
    "my talk.mp4",
    "  two  spaces .mp4",
    "100% sure.mp4",
    "shot%04d.mp4",
    "ünï 日本 🎬.mp4",
    'it\'s "quoted" & $HOME; `x` \\ *?[1].mp4',
    "new\nline.mp4",
    "tab\tand\x1b[31mred.mp4",
    ".hidden.mp4",
    "no.dots.to.trust.MP4",
    "10:30 talk.mp4",
    "file:talk.mp4",
    "concat:a|b.mp4",
    "http:talk.mp4",
    "bad\udcff.mp4",
]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows refuses most of these names")


@pytest.mark.parametrize("name", ODD)
def test_odd_names(name: str, render: Run, folder: Path, astronaut: Path) -> None:
    shutil.copy(astronaut, folder / name)
    result = render(name, "--bg", "red", "-t", "0.1")
    result.worked()
    stem, dot, extension = name.rpartition(".")
    assert (folder / f"{stem}_red{dot}{extension.lower()}").stat().st_size
    assert len(list(folder.iterdir())) == 2
    assert "\x1b" not in result.err
    assert "new\nline" not in result.err


@pytest.mark.parametrize(
    "name", ["10:30.jpg", "p%03d.jpg", "p%20x.jpg", "bad\udcff.jpg", "a b.jpg"]
)
def test_odd_names_of_pictures(name: str, render: Run, folder: Path, beach: Path) -> None:
    shutil.copy(beach, folder / name)
    render("synthetic:64x64@30x3", "--bg", name, "-o", "out.mp4").worked()
    render(name, "--bg", "red", "-o", "out.png").worked()
    assert (folder / "out.png").stat().st_size


def test_odd_names_in_events(shell: Run, folder: Path, astronaut: Path) -> None:
    """Names that are no valid text stay what they are, as escapes; the JSON stays plain ASCII."""
    name = "bad\udcff\n.mp4"
    shutil.copy(astronaut, folder / name)
    result = shell(
        "render", name, *QUICK, "--bg", "red", "-t", "0.1", "--json",
        cwd=folder, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )  # fmt: skip
    result.worked()
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events[0]["input"] == name
    assert result.out.isascii()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_messages_in_any_encoding(encoding: str, shell: Run, folder: Path) -> None:
    result = shell(
        "render", "日本.mp4", "--bg", "red", cwd=folder, env={"PYTHONIOENCODING": encoding}
    )
    result.refused(3, "does not exist")


def test_name_that_begins_with_a_dash(render: Run, folder: Path, astronaut: Path) -> None:
    shutil.copy(astronaut, folder / "-talk.mp4")
    render("-talk.mp4", "--bg", "red").refused(2, "for the file of that name write ./-talk.mp4")
    render("./-talk.mp4", "--bg", "red", "-t", "0.1").worked()
    render("--bg", "red", "-t", "0.1", "-o=-out.mp4", "--", "-talk.mp4").worked()
    assert {path.name for path in folder.iterdir()} == {
        "-talk.mp4",
        "-talk_red.mp4",
        "-out.mp4",
    }


def test_the_longest_name_that_fits(render: Run, folder: Path) -> None:
    name = "x" * (255 - len(".mp4.part")) + ".mp4"
    render("synthetic:64x64@30x3", "--bg", "red", "-o", name).worked()
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("background", "name"),
    [
        ("#00b140", "talk_00b140.mp4"),
        ("Green", "talk_green.mp4"),
        ("blur:7", "talk_blur.mp4"),
        ("transparent", "talk_transparent.mov"),
    ],
)
def test_default_names(
    background: str, name: str, render: Run, folder: Path, astronaut: Path
) -> None:
    shutil.copy(astronaut, folder / "talk.mp4")
    render("talk.mp4", "--bg", background, "-t", "0.1").worked()
    assert {path.name for path in folder.iterdir()} == {"talk.mp4", name}
    render("talk.mp4", "--bg", background, "-t", "0.1").refused(7, name, "exists; give -y")


def test_default_name_after_a_background_file(
    render: Run, folder: Path, astronaut: Path, beach: Path
) -> None:
    shutil.copy(astronaut, folder / "talk.mp4")
    render("talk.mp4", "--bg", beach, "-t", "0.1").worked()
    assert (folder / "talk_beach.mp4").exists()


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.mp4"])
def test_footage_that_never_begins(name: str, render: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    render(name, "--bg", "red", "-o", "out.mp4").refused(3, name)
