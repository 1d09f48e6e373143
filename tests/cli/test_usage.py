"""Options: what is refused, and what is shown when asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conftest import QUICK, SHORT

import streammatte
from streammatte.sinks import CODECS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Run


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--size", "10"], 2, "--size for selfie must be 192 to 512, got 10"),
        (["--size", "5000"], 2, "--size"),
        (["--size", "big"], 2, "--size: 'big' is not a size; write N or HEIGHTxWIDTH"),
        (["--bitrate", "fast"], 2, "--bitrate: 'fast' is not a bit rate; write it as 8M"),
        (["--bitrate", "0"], 2, "--bitrate must be above 0"),
        (["--bitrate", "-1"], 2, "--bitrate"),
        (["--bitrate", "9" * 40 + "M"], 2, "--bitrate must be above 0 and up to 2000M"),
        (["--crf", "20", "--bitrate", "8M"], 2, "--crf and --bitrate exclude each other"),
        (["--crf", "nan"], 2, "--crf must be 0 to 63"),
        (["--crf", "-1"], 2, "--crf must be 0 to 63"),
        (["--crf", "99"], 2, "--crf must be 0 to 63"),
        (["--crf", "good"], 2, "argument --crf: invalid float value"),
        (["-ss", "soon"], 2, "-ss: 'soon' is not a time; write seconds or"),
        (["-ss", "-5"], 2, "-ss: '-5' is not a time"),
        (["-ss", "1:2:3:4"], 2, "-ss"),
        (["-ss", "٣"], 2, "-ss"),
        (["-ss", "9" * 30], 2, "-ss"),
        (["-to", "nan"], 2, "-to: 'nan' is not a time"),
        (["-t", ""], 2, "-t: '' is not a time"),
        (["-t", "0"], 2, "check -ss, -to and -t"),
        (["-ss", "2", "-to", "1"], 2, "the end must come after the beginning"),
        (["-to", "1", "-t", "1"], 2, "-to and -t both say where to stop"),
        (["--bg-fit", "squeeze"], 2, "argument --bg-fit: invalid choice: 'squeeze'"),
        (["--temporal", "on"], 2, "argument --temporal: invalid choice"),
        (["--decoder", "gpu"], 2, "argument --decoder: invalid choice: 'gpu'"),
        (["--hwaccel", "cuda"], 2, "did you mean --decoder cuda?"),
        (["--nvenc"], 2, "did you mean --codec h264_nvenc?"),
        (["--codec", "h264_nvidia"], 2, "did you mean h264_nvenc?"),
        (["--codec", "h264_nvenc", "--crf", "0"], 2, "--crf for h264_nvenc goes from 1 to 51"),
        (["--codec", "h264_nvenc", "--preset", "fast"], 2, "it has p1, p2"),
        (["-y", "-n"], 2, "argument -n: not allowed with argument -y"),
        (["--model", "selfy"], 5, "unknown model: selfy; did you mean selfie?"),
        (["--model", "zip"], 5, "unknown model: zip; known: selfie"),
        (["--runtime", "onnxruntme"], 2, "unknown runtime: onnxruntme; did you mean onnxruntime?"),
        (["--nonsense"], 2, "unrecognized argument --nonsense; see streammatte render --help"),
        (["--bitra", "8M"], 2, "unrecognized argument --bitra; did you mean --bitrate?"),
        (["--background", "x"], 2, "did you mean --bg?"),
        (["-c:v", "hevc"], 2, "did you mean --codec?"),
        (["more.mp4"], 2, "unrecognized argument more.mp4; write the output as -o more.mp4"),
        (["--bg"], 2, "a colour must be quoted in a shell: --bg '#00b140'"),
        (["--bg", "00B140"], 2, "did you mean '#00b140'?"),
        (["--crf", "55"], 2, "--crf for h264 goes from 0 to 51, got 55"),
        (["--preset", "fasst"], 2, "h264 has no --preset fasst; it has ultrafast"),
        (["-ss", "1"], 2, "a synthetic clip says its length itself"),
    ],
)
def test_refused(
    words: list[str], code: int, message: str, render: Run, unchanged: Callable[[], None]
) -> None:
    unchanged()
    render(SHORT, "--bg", "red", "-o", "out.mp4", *words).refused(code, message)
    unchanged()


def test_window_after_the_end(
    render: Run, astronaut: object, unchanged: Callable[[], None]
) -> None:
    unchanged()
    result = render(str(astronaut), "--bg", "red", "-o", "out.mp4", "-ss", "100")
    result.refused(3, "no picture between the given times; check -ss, -to and -t")
    unchanged()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["render"], "the following arguments are required: IN; see streammatte render --help"),
        (["rendr", "x.mp4"], "invalid choice: 'rendr'"),
        (["models", "push"], "invalid choice: 'push'"),
        (["--loud"], "required: COMMAND"),
    ],
)
def test_refused_words(words: list[str], message: str, cli: Run) -> None:
    cli(*words).refused(2, message, "--help")


def test_nothing_asked_shows_the_help(cli: Run) -> None:
    result = cli()
    assert result.code == 2
    assert result.err.startswith("usage: streammatte")
    assert "render" in result.err


def test_version(cli: Run, shell: Run) -> None:
    for run in (cli, shell):
        result = run("--version")
        assert (result.code, result.out, result.err) == (0, streammatte.__version__ + "\n", "")


@pytest.mark.parametrize("words", [(), ("render",), ("matte",), ("doctor",), ("models",)])
def test_help_is_short_and_fits(words: tuple[str, ...], cli: Run) -> None:
    result = cli(*words, "--help")
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith(" ".join(["usage: streammatte", *words]))
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 95


def test_what_compositors_ask_for_has_a_help_of_its_own(cli: Run) -> None:
    result = cli("render", "--help-vfx")
    assert (result.code, result.err) == (0, "")
    assert "--light-wrap" in result.out
    assert "--model" not in result.out
    usual = cli("render", "--help").out
    assert "--help-vfx" in usual
    assert "--light-wrap" not in usual


def test_help_names_what_there_is(cli: Run) -> None:
    from streammatte.options import NAMED_COLOURS
    from streammatte.sinks.codecs import CODECS

    told = " ".join(cli("render", "--help").out.split())
    assert ", ".join(list(CODECS)[:-1]) + " or " + list(CODECS)[-1] in told
    assert "examples:" in told
    assert "green" in NAMED_COLOURS


def test_usage_errors_are_events_too(cli: Run) -> None:
    result = cli("render", "--json", *QUICK)
    result.refused(2, "required: IN;")
    event = json.loads(result.out)
    assert event["event"] == "error"
    assert event["exit_code"] == 2
    assert event["message"] in result.err


def test_debug_shows_the_traceback_and_keeps_the_code(cli: Run) -> None:
    for words in (("--debug", "render"), ("render", "--debug")):
        result = cli(*words, "gone.mp4", "--bg", "red")
        assert result.code == 3
        assert "Traceback" in result.err
        assert result.err.splitlines()[-1].startswith("streammatte: gone.mp4 does not exist")


def test_a_background_is_needed(cli: Run) -> None:
    cli("render", "x.mp4").refused(2, "what goes behind? give --bg beach.jpg")


@pytest.mark.parametrize("name", ["h265", "x265", "HEVC"])
def test_codecs_have_the_names_people_use(name: str) -> None:
    assert CODECS.known(name) == "hevc"
