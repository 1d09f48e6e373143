"""``--decoder cuda`` and ``--codec h264_nvenc`` on the command line, where there is no GPU."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import av
import pytest

from streammatte.runtimes.hardware import nvidia

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.skipif(nvidia().gpus > 0, reason="there is an NVIDIA GPU")


def pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def test_the_same_comes_out_and_the_report_says_why(
    render: Run, astronaut: Path, folder: Path
) -> None:
    result = render(
        *(astronaut, "--bg", "red", "-t", "0.4", "-o", "gpu.mp4"),
        *("--decoder", "cuda", "--codec", "h264_nvenc", "--preset", "p6"),
    )
    result.worked()
    why = nvidia().why
    assert f"note      decoded on the CPU: {why}\n" in result.err
    nvenc = f"h264_nvenc cannot be used here: {why}; encoded by libx264, without --preset p6"
    assert f"note      {nvenc}\n" in result.err
    assert "written   h264 (yuv420p) in mp4, sound copied\n" in result.err
    assert "decoded   by" not in result.err
    render(astronaut, "--bg", "red", "-t", "0.4", "-o", "cpu.mp4").worked()
    assert pictures(folder / "gpu.mp4") == pictures(folder / "cpu.mp4")


def test_programs_are_told(render: Run, astronaut: Path, folder: Path) -> None:
    result = render(
        *(astronaut, "--bg", "red", "-t", "0.2", "-o", "out.mkv", "--json"),
        *("--decoder", "cuda", "--codec", "hevc_nvenc"),
    )
    result.worked()
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events[0]["codec"].startswith("hevc (yuv420p) in mkv")
    assert events[-1]["decoder"] == "cpu"
    assert len(events[-1]["notes"]) == 2
    assert (folder / "out.mkv").exists()


def test_the_name_is_that_of_the_software(render: Run, astronaut: Path, folder: Path) -> None:
    clip = folder / "talk.webm"
    clip.write_bytes(astronaut.read_bytes())
    render(clip, "--bg", "red", "-t", "0.1", "--codec", "av1_nvenc").worked()
    assert (folder / "talk_red.webm").exists()


def test_nothing_is_said_where_nothing_was_asked(
    render: Run, astronaut: Path, folder: Path
) -> None:
    result = render(astronaut, "--bg", "red", "-t", "0.1", "-o", "out.mp4", "--decoder", "cpu")
    result.worked()
    assert "CPU:" not in result.err
    assert (folder / "out.mp4").exists()
