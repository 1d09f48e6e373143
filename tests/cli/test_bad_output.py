"""Results that cannot be written: one line, one exit code, nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from conftest import QUICK, SHORT, finish, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Run

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX has these limits")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-o", "out.xyz"], 2, "cannot tell a container from 'out.xyz'; use one of .mp4"),
        (["-o", "out"], 2, "cannot tell a container from 'out'"),
        (["-o", "out.png"], 2, "out.png is one image; give footage a video name"),
        (["-o", "out.exr"], 2, "out.exr is one image; give footage a name such as out.%04d.exr"),
        (["-o", "out.mp4", "--codec", "h246"], 2, "unknown codec: h246; did you mean h264?"),
        (["-o", "out.mp4", "--codec", "zip"], 2, "unknown codec: zip; known: h264"),
        (["-o", "out.mp4", "--codec", "prores"], 2, ".mp4 does not hold prores; use .mov"),
        (["-o", "out.webm", "--codec", "h264"], 2, ".webm does not hold h264; use .mp4"),
        (["-o", "out.mp4", "--pix-fmt", "nonsense"], 2, "h264 does not take nonsense; it takes"),
        (["-o", "out.mkv", "--codec", "ffv1", "--crf", "9"], 2, "ffv1 has no --crf"),
        (["-o", "out.mkv", "--codec", "ffv1", "--bitrate", "9M"], 2, "ffv1 has no --bitrate"),
        (["-o", "out.mkv", "--codec", "ffv1", "--preset", "x"], 2, "ffv1 has no --preset"),
        (["-o", "no/such/out.mp4"], 7, "does not exist; create it first"),
        (["-o", "taken.mp4"], 7, "taken.mp4 exists; give -y to overwrite it or another name"),
        (["-o", "taken.mp4", "-n"], 7, "taken.mp4 exists; give -y"),
        (["-o", "folder.mp4"], 7, "folder.mp4 is a folder; give a file name with -o"),
        (["-o", "folder.mp4", "-y"], 7, "folder.mp4 is a folder"),
        (["-o", "."], 7, "is a folder"),
        (["-o", ""], 7, "is a folder"),
        (["-o", "taken.mp4/out.mp4"], 7, "taken.mp4 does not exist; create it first"),
        (["-o", "x" * 300 + ".mp4"], 7, "is too long here; give a shorter one with -o"),
        (["-o", "x" * 250 + ".mp4"], 7, "is too long here; give a shorter one with -o"),
        (["-o", "ä" * 125 + ".mp4"], 7, "is too long here; give a shorter one with -o"),
    ],
)
def test_bad_output(
    words: list[str],
    code: int,
    message: str,
    render: Run,
    folder: Path,
    unchanged: Callable[[], None],
) -> None:
    (folder / "taken.mp4").write_text("precious", encoding="utf-8")
    (folder / "folder.mp4").mkdir()
    unchanged()
    render("synthetic:64x64@30x3", "--bg", "red", *words).refused(code, message)
    unchanged()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.mp4", ".mp4 carries no alpha with any codec; use .mov (ProRes 4444)"),
        ("out.xyz", "cannot tell a container"),
    ],
)
def test_alpha_where_there_is_none(
    name: str, message: str, render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    footage = "synthetic:64x64@30x3"
    render(footage, "--bg", "transparent", "-o", name).refused(2, message)
    render(footage, "--bg", "transparent", "-o", "o.mov", "--codec", "h264").refused(
        2, "h264 carries no alpha; use one of"
    )
    unchanged()


def test_alpha_into_a_photograph_that_has_none(
    render: Run, beach: Path, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render(beach, "--bg", "transparent", "-o", "out.jpg").refused(2, ".jpg carries no alpha; use")
    unchanged()


@pytest.mark.parametrize("flags", [(), ("-y",)])
def test_output_that_is_the_footage(
    flags: tuple[str, ...], render: Run, folder: Path, astronaut: Path
) -> None:
    shutil.copy(astronaut, folder / "talk.mp4")
    render("talk.mp4", "--bg", "red", "-o", folder / "talk.mp4", *flags).refused(
        2, "talk.mp4", "give another output with -o"
    )
    assert (folder / "talk.mp4").read_bytes() == astronaut.read_bytes()


def test_output_that_is_the_background(render: Run, folder: Path, astronaut: Path) -> None:
    shutil.copy(astronaut, folder / "loop.mp4")
    render(SHORT, "--bg", "loop.mp4", "-o", "loop.mp4", "-y").refused(
        2, "loop.mp4", "give another output with -o"
    )
    assert (folder / "loop.mp4").read_bytes() == astronaut.read_bytes()


def test_overwriting_when_asked(render: Run, folder: Path) -> None:
    (folder / "out.mp4").write_text("old", encoding="utf-8")
    render("synthetic:64x64@30x3", "--bg", "red", "-o", "out.mp4", "-y").worked()
    assert (folder / "out.mp4").stat().st_size > 100
    assert not (folder / "out.mp4.part").exists()


def test_failing_leaves_the_old_result(render: Run, folder: Path) -> None:
    (folder / "out.mp4").write_text("old", encoding="utf-8")
    render(SHORT, "--bg", "gone.jpg", "-o", "out.mp4", "-y").refused(3)
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert (folder / "out.mp4").read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has /proc")
def test_folder_that_takes_no_files(render: Run) -> None:
    render(SHORT, "--bg", "red", "-o", "/proc/out.mp4").refused(7, "/proc", "another place with -o")


WITHOUT_PRIVILEGE = """
import ctypes, os, sys
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Even root obeys the permissions of files without this capability."""


@pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's capabilities")
def test_folder_without_write_permission(shell: Run, folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    unprivileged = [sys.executable, "-c", WITHOUT_PRIVILEGE]
    result = shell(
        "render", SHORT, *QUICK, "--bg", "red", "-o", locked / "out.mp4", before=unprivileged
    )
    if result.code == 77:
        pytest.skip("may not drop privileges here")
    result.refused(7, "cannot write into", "Permission denied", "another place with -o")
    assert not list(locked.iterdir())


@contextmanager
def small_disk(where: Path, size: str, *options: str) -> Iterator[Path]:
    where.mkdir()
    settings = ",".join([f"size={size}", *options])
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", settings, "tmpfs", where],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"may not mount a small disk here: {error}")
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


@posix
@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [
        ("out.mkv", ["--codec", "ffv1"], "300k"),
        ("out.mov", ["--codec", "prores"], "300k"),
        ("out.mp4", ["--crf", "0"], "64k"),
        ("out.mp4", [], "8k"),
    ],
)
def test_full_disk(name: str, codec: list[str], size: str, render: Run, folder: Path) -> None:
    with small_disk(folder / "disk", size) as disk:
        result = render("synthetic:640x360@30x30", "--bg", "red", *codec, "-o", disk / name)
        result.refused(7, "is full; make room or choose another place with -o")
        assert not list(disk.iterdir())


@posix
def test_full_disk_for_a_photograph(render: Run, folder: Path, beach: Path) -> None:
    with small_disk(folder / "disk", "64k") as disk:
        result = render(beach, "--bg", "blur", "-o", disk / "out.png")
        result.refused(7, "is full; make room")
        assert not list(disk.iterdir())


@posix
def test_read_only_disk(render: Run, folder: Path) -> None:
    with small_disk(folder / "disk", "64k", "ro") as disk:
        render(SHORT, "--bg", "red", "-o", disk / "out.mp4").refused(
            7, "cannot write into", "Read-only file system"
        )


@posix
@pytest.mark.parametrize(
    ("name", "codec"), [("out.mkv", ["--codec", "ffv1"]), ("out.mp4", ["--crf", "0"])]
)
def test_limit_on_the_size_of_files(name: str, codec: list[str], shell: Run, folder: Path) -> None:
    """A signal by default; Python ignores it, so that writing fails instead."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    footage = "synthetic:640x360@30x30"
    result = shell(
        "render", footage, *QUICK, "--bg", "red", *codec, "-o", name, preexec_fn=limit, cwd=folder
    )
    result.refused(7, "larger than this system allows")
    assert not list(folder.iterdir())


@posix
def test_two_jobs_of_one_name(shell: Run, folder: Path) -> None:
    """The second one is told, and the first one is not disturbed."""
    words = ("render", *QUICK, "--bg", "red", "-o", "out.mp4", "--json")
    first = start(*words, "synthetic:320x180@30x300", cwd=folder)
    assert first.stdout is not None
    assert '"start"' in first.stdout.readline()
    second = shell(*words[:-1], "synthetic:64x64@30x3", cwd=folder)
    second.refused(7, "another job is writing", "out.mp4")
    assert (folder / "out.mp4.part").exists()
    result = finish(first)
    assert result.code == 0, result.err
    assert '"frames": 300' in result.out
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]


def test_a_part_that_was_left_behind_is_taken_over(render: Run, folder: Path) -> None:
    (folder / "out.mp4.part").write_bytes(bytes(1_000_000))
    render("synthetic:64x64@30x3", "--bg", "red", "-o", "out.mp4").worked()
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert (folder / "out.mp4").stat().st_size < 100_000


@posix
def test_a_part_that_is_somebody_elses_link_is_not_followed(render: Run, folder: Path) -> None:
    (folder / "precious").write_text("precious", encoding="utf-8")
    (folder / "out.mp4.part").symlink_to("precious")
    render("synthetic:64x64@30x3", "--bg", "red", "-o", "out.mp4").refused(7, "out.mp4")
    assert (folder / "precious").read_text() == "precious"
