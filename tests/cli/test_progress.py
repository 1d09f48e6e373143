"""What people see: the line that moves, and the report at the end."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from conftest import EXAMPLES, QUICK, start
from rich.console import Console

from streammatte.cli.progress import Line, bar_width, clock, listener
from streammatte.cli.report import closing_report
from streammatte.pipeline import Progress, Report, Start, Stopping

if TYPE_CHECKING:
    from pathlib import Path

START = Start(
    input="talk.mp4",
    output="talk_beach.mp4",
    model="selfie",
    runtime="ONNX Runtime 1.32.0 on the CPU",
    codec="h264 (yuv420p) in mp4",
    size=(1920, 1080),
    network_size=(448, 256),
    frames_expected=1200,
)
REPORT = Report(
    input="talk.mp4",
    output="talk_beach.mp4",
    frames=1200,
    seconds=20.04,
    fps=59.88,
    model="selfie",
    digest="cbf67f6566b46dbaf815bce712c3c44107154c2476f62e2f226a2e6bbd3edaef",
    runtime="ONNX Runtime 1.32.0 on the CPU",
    device="cpu",
    precision="fp32",
    codec="h264 (yuv420p) in mp4",
    colour="BT.709 limited",
    assumed="",
    corrupt_frames=0,
    lost_packets=0,
    dropped_frames=0,
    milliseconds={"decode": {"cpu": 1.04, "wall": 2.0}, "network": {"cpu": 5.0, "wall": 5.1}},
)


def drawn(line: Line, width: int, *, ascii_only: bool = False) -> str:
    class File(io.StringIO):
        encoding = "ascii" if ascii_only else "utf-8"

    file = File()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(line, end="")
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


def line_at(frames: int, expected: int | None = 1200, stage: str = "rendering") -> Line:
    line = Line()
    line.hear(replace(START, frames_expected=expected))
    line.hear(Progress(frames, expected, 59.9, stage))
    return line


@pytest.mark.parametrize("width", [*range(10, 130), 300])
def test_one_line_at_any_width(width: int) -> None:
    for line in (Line(), line_at(7), line_at(600), line_at(1300), line_at(7, None)):
        text = drawn(line, width)
        assert "\n" not in text
        assert len(text) <= width


def test_what_the_line_says() -> None:
    assert drawn(Line(), 100) == "opening  0:00"
    line = Line()
    line.hear(START)
    assert drawn(line, 100) == "starting  0:00  selfie, ONNX Runtime 1.32.0 on the CPU"
    bar = "━" * 24
    assert drawn(line_at(600), 140) == (
        f"rendering  {bar}  50%  600/1200  59.9 fps  0:10 left  "
        "selfie, ONNX Runtime 1.32.0 on the CPU"
    )
    assert drawn(line_at(600), 60).startswith("rendering  50%  600/1200  59.9 fps  0:10 left  self")
    assert drawn(line_at(60, None), 99).startswith("rendering  60 frames  59.9 fps  0:00  selfie")
    assert drawn(line_at(1200, stage="finishing"), 99).startswith("finishing  1200 frames  0:00")
    assert "100%  1300/1200" in drawn(line_at(1300), 140)
    assert "0:00 left" in drawn(line_at(1300), 140)
    assert "############------------  50%" in drawn(line_at(600), 140, ascii_only=True)


def test_photographs_are_called_so() -> None:
    line = Line()
    line.hear(replace(START, unit="photograph", frames_expected=100))
    line.hear(Progress(50, 100, 4.5, "rendering"))
    assert "50/100  4.5 a second" in drawn(line, 140)
    line.hear(Progress(100, 100, 4.5, "finishing"))
    assert drawn(line, 140).startswith("finishing  100 photographs")


def test_a_large_result_is_told_before(capsys: pytest.CaptureFixture[str]) -> None:
    large = replace(START, bytes_expected=int(3.4 * 2**30))
    line = line_at(600)
    line.hear(large)
    assert "0:10 left  about 3.4 GB  selfie" in drawn(line, 140)
    with listener(json=False, quiet=False) as told:
        told.tell(large)
        told.tell(replace(START, bytes_expected=2**20))
    assert capsys.readouterr().err == "about 3.4 GB will be written\n"


def test_the_line_says_what_is_waited_for() -> None:
    line = line_at(600)
    line.hear(Stopping(["streammatte-matte"]))
    assert drawn(line, 99) == (
        "finishing the current frame; press Ctrl-C again to stop at once  0:00"
    )


def test_bar_width() -> None:
    parts = ["rendering", " 50%", "x" * 60]
    assert bar_width(200, parts) == 24
    assert bar_width(len("rendering   50%  ") + 20 + 2 + 8, parts) == 8
    assert bar_width(len("rendering   50%  ") + 20 + 2 + 7, parts) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (1e99, "1000:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_report_is_aligned_and_complete() -> None:
    assert closing_report(REPORT) == [
        "talk_beach.mp4: 1200 frames in 20.0 s, 59.9 fps",
        "  matte     selfie (cbf67f6566b4, fp32), run by ONNX Runtime 1.32.0 on the CPU",
        "  written   h264 (yuv420p) in mp4",
        "  colour    BT.709 limited",
        "  CPU time  6.0 ms a frame: decode 1.0, network 5.0",
    ]


def test_report_tells_what_was_assumed_and_lost() -> None:
    report = replace(
        REPORT, frames=1, assumed="matrix, range", corrupt_frames=1, lost_packets=2,
        dropped_frames=3, notes=["talk.mp4 ends at\n1 s", "no sound"], model="the footage's alpha",
        runtime="none", digest="",
    )  # fmt: skip
    lines = closing_report(report)
    assert lines[0] == "talk_beach.mp4: 1 frame in 20.0 s"
    assert lines[1] == "  matte     the footage's alpha"
    assert "assumed: matrix, range" in lines[3]
    assert lines[4:] == [
        "  damage    1 damaged frame kept, 2 packets lost, 3 frames out of order left out",
        "  note      talk.mp4 ends at\\n1 s",
        "  note      no sound",
    ]


def test_report_tells_that_a_gpu_decoded() -> None:
    report = replace(REPORT, decoder="cuda")
    assert closing_report(report)[2] == "  decoded   by the GPU"


def test_report_tells_why_nothing_quicker_was_used() -> None:
    report = replace(REPORT, passed_over=["torch: not installed", "openvino: too old"])
    assert closing_report(report)[2:4] == [
        "  not by    torch: not installed",
        "  not by    openvino: too old",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_report_wraps_under_its_column(width: int) -> None:
    report = replace(REPORT, runtime="TensorRT for RTX 1.7 on an NVIDIA RTX PRO 6000 Blackwell")
    lines = closing_report(report, width)
    assert all(len(line) <= max(width, 40) for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(closing_report(report)).replace(" ", "")
    assert all(line.startswith(("talk", "  ")) for line in lines)


def on_a_terminal(columns: int, folder: Path, *words: str, **env: str) -> tuple[int, str]:
    """Run a render with a terminal as standard error; return code and what it wrote there."""
    import fcntl
    import pty
    import struct
    import termios

    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
    process = start(
        "render", *QUICK, "-o", "out.mp4", *words, cwd=folder, stderr=theirs,
        env={"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **env},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError as error:  # how Linux says that the other side has closed it
        if error.errno != errno.EIO:
            raise
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, seen.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ; this one is Linux's")
@pytest.mark.parametrize("columns", [60, 120])
def test_on_a_terminal(columns: int, folder: Path) -> None:
    footage = "synthetic:320x180@30x200"
    code, seen = on_a_terminal(columns, folder, footage, "--bg", "red", NO_COLOR="1")
    assert code == 0
    moving, _, report = seen.partition("out.mp4: 200 frames in")
    assert report
    frames = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", each) for each in moving.split("\r")]
    assert any(frame.startswith("rendering") for frame in frames)
    assert all(len(frame.strip("\n")) <= columns for frame in frames)
    assert moving.count("\n") <= 1, "the line must not scroll"
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", moving), "NO_COLOR"
    assert moving.rindex("\x1b[?25h") > moving.rindex("\x1b[?25l"), "the cursor is back"


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ; this one is Linux's")
def test_errors_on_a_terminal(folder: Path) -> None:
    code, seen = on_a_terminal(60, folder, "gone.mp4", "--bg", "red")
    assert code == 3
    assert seen.endswith(
        "streammatte: gone.mp4 does not exist; check the spelling and the folder\r\n"
    )
    footage = str(EXAMPLES / "astronaut.mp4")
    code, seen = on_a_terminal(60, folder, footage, "--bg", "red", "-t", "0.1", "-q")
    assert (code, seen) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ; this one is Linux's")
def test_dumb_terminal_gets_no_escapes(folder: Path) -> None:
    code, seen = on_a_terminal(
        60, folder, "synthetic:64x64@30x3", "--bg", "red", TERM="dumb", NO_COLOR="1"
    )
    assert code == 0
    assert "\x1b" not in seen
    assert seen.lstrip("\r\n").startswith("out.mp4: 3 frames in")
