"""Footage and backgrounds that cannot be: one line, one exit code, nothing left behind."""

from __future__ import annotations

import shutil
import wave
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run


def text(path: Path) -> None:
    path.write_text("This is no film, it is a letter.\n" * 40, encoding="utf-8")


def empty(path: Path) -> None:
    path.touch()


def directory(path: Path) -> None:
    path.mkdir()


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(1, 256)) * 200)


def sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))


def absent(path: Path) -> None:
    assert not path.exists()


BAD = [
    pytest.param("gone.mp4", absent, "gone.mp4 does not exist; check", id="missing"),
    pytest.param("letter.txt", text, "letter.txt is", id="text"),
    pytest.param("letter.mp4", text, "letter.mp4 is not a video", id="text named mp4"),
    pytest.param("empty.mp4", empty, "empty.mp4 is empty (0 bytes); copy", id="empty"),
    pytest.param("noise.mp4", noise, "noise.mp4 is not a video", id="noise"),
    pytest.param("noise.jpg", noise, "noise.jpg", id="noise named jpg"),
    pytest.param("song.wav", sound, "song.wav has sound but no moving picture; give", id="audio"),
]
NO_PHOTOGRAPHS = pytest.param("films.mp4", directory, "films.mp4 has no photographs", id="folder")
NO_FILE = pytest.param("films.mp4", directory, "films.mp4 is a folder; give", id="folder")


@pytest.mark.parametrize(("name", "make", "message"), [*BAD, NO_PHOTOGRAPHS])
def test_bad_footage(
    name: str,
    make: Callable[[Path], None],
    message: str,
    render: Run,
    folder: Path,
    unchanged: Callable[[], None],
) -> None:
    make(folder / name)
    unchanged()
    render(name, "--bg", "red").refused(3, message)
    render(name, "--bg", "red", "-o", "out.mp4", "-y").refused(3, message)
    unchanged()


@pytest.mark.parametrize(("name", "make", "message"), [*BAD, NO_FILE])
def test_bad_background(
    name: str,
    make: Callable[[Path], None],
    message: str,
    render: Run,
    folder: Path,
    unchanged: Callable[[], None],
) -> None:
    make(folder / name)
    unchanged()
    render("synthetic:64x64@30x3", "--bg", name, "-o", "out.mp4").refused(3, message)
    unchanged()


def test_mp4_without_its_index(
    render: Run, folder: Path, astronaut: Path, unchanged: Callable[[], None]
) -> None:
    """The index is at one end or the other; here it is the end that is missing."""
    render(astronaut, "--bg", "red", "-t", "1", "-o", "whole.mp4").worked()
    content = (folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: content.rindex(b"moov") - 4])
    unchanged()
    render("cut.mp4", "--bg", "red").refused(3, "cut.mp4", "too damaged to read", "lost its index")
    unchanged()


def test_mp4_that_is_cut_off_keeps_what_decodes_and_says_so(
    render: Run, folder: Path, astronaut: Path
) -> None:
    content = astronaut.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "the index must come first"
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    result = render("cut.mp4", "--bg", "red")
    result.worked()
    assert "of the 4.0 s it announces" in result.err
    assert (folder / "cut_red.mp4").stat().st_size


@pytest.mark.parametrize(
    ("background", "words"),
    [
        ("purple", ("'purple'", "neither a file nor a background", "blur")),
        ("trasparent", ("did you mean transparent?",)),
        ("blured", ("did you mean blur?",)),
        ("", ("''", "neither")),
        ("transparent:1", ("neither",)),
        ("#12", ("'#12' is not a colour; write it as #00b140",)),
        ("#gggggg", ("not a colour",)),
        ("#", ("not a colour",)),
        ("blur:", ("'blur:'", "above 0 and up to 200")),
        ("blur:0", ("'blur:0'",)),
        ("blur:-3", ("'blur:-3'",)),
        ("blur:nan", ("'blur:nan'",)),
        ("blur:inf", ("'blur:inf'",)),
        ("blur:wide", ("'blur:wide'",)),
        ("blur:201", ("up to 200",)),
        ("x" * 5000, ("neither",)),
    ],
)
def test_background_that_is_no_background(
    background: str, words: tuple[str, ...], render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render("synthetic:64x64@30x3", "--bg", background, "-o", "out.mp4").refused(2, "--bg", *words)
    unchanged()


def test_name_longer_than_a_name_can_be(render: Run, unchanged: Callable[[], None]) -> None:
    unchanged()
    render("x" * 300 + ".mp4", "--bg", "red", "-o", "out.mp4").refused(3, "ame too long")
    render("synthetic:64x64@30x3", "--bg", "x" * 300 + ".jpg", "-o", "o.mp4").refused(
        3, "ame too long"
    )
    unchanged()


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ("0x0", 2),
        ("64x64@0x3", 2),
        ("64x64@30/0x3", 2),
        ("64x64@1/2/3x3", 2),
    ],
)
def test_synthetic_footage_of_impossible_numbers(
    size: str, code: int, render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render(f"synthetic:{size}", "--bg", "red", "-o", "out.mp4").refused(code)
    unchanged()


@pytest.mark.parametrize(
    ("size", "code", "message"),
    [("wide", 2, "not of the form"), ("64x64@30x0", 3, "no frames")],
)
def test_synthetic_footage_that_cannot_be(
    size: str, code: int, message: str, render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render(f"synthetic:{size}", "--bg", "red", "-o", "out.mp4").refused(code, message)
    unchanged()


def test_footage_that_needs_more_memory_than_there_is(
    render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render("synthetic:999999x999999@30x3", "--bg", "red", "-o", "out.mp4").refused(6, "memory")
    unchanged()


def test_footage_named_twice_is_still_protected(render: Run, folder: Path, astronaut: Path) -> None:
    """A hard link to the footage is the footage."""
    shutil.copy(astronaut, folder / "talk.mp4")
    (folder / "other.mp4").hardlink_to(folder / "talk.mp4")
    render("talk.mp4", "--bg", "red", "-o", "other.mp4", "-y").refused(2, "other.mp4", "-o")
    assert (folder / "talk.mp4").read_bytes() == astronaut.read_bytes()
