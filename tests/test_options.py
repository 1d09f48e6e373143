"""Options are checked when they are made, and say which flag is wrong."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import FrozenInstanceError
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammatte.errors import UsageError
from streammatte.options import (
    DEFAULT_BLUR,
    FASTEST,
    LONGEST,
    NAMED_COLOURS,
    BackgroundSpec,
    EncodeOptions,
    MatteOptions,
    NetworkOptions,
    RenderOptions,
    make_window,
    parse_bitrate,
    parse_every,
    parse_time,
)
from streammatte.sources.base import Window


@pytest.mark.parametrize(
    ("text", "spec", "label"),
    [
        ("beach.jpg", BackgroundSpec("file", path="beach.jpg"), "beach"),
        ("a b/loop.v2.mp4", BackgroundSpec("file", path="a b/loop.v2.mp4"), "loop.v2"),
        ("#00b140", BackgroundSpec("colour", rgb=(0, 177, 64)), "00b140"),
        ("#0F8", BackgroundSpec("colour", rgb=(0, 255, 136)), "00ff88"),
        ("green", BackgroundSpec("colour", rgb=(0, 177, 64), name="green"), "green"),
        ("White", BackgroundSpec("colour", rgb=(255, 255, 255), name="white"), "white"),
        ("blur", BackgroundSpec("blur", radius=DEFAULT_BLUR), "blur"),
        ("BLUR:7.5", BackgroundSpec("blur", radius=7.5), "blur"),
        ("transparent", BackgroundSpec("transparent"), "transparent"),
        (Path("blur"), BackgroundSpec("file", path="blur"), "blur"),
    ],
)
def test_backgrounds(text: str | Path, spec: BackgroundSpec, label: str) -> None:
    assert BackgroundSpec.parse(text) == spec
    assert spec.label == label


def test_a_file_without_extension_is_a_background_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="neither a file nor a background"):
        BackgroundSpec.parse("picture")
    (tmp_path / "picture").touch()
    (tmp_path / "#123").touch()
    assert BackgroundSpec.parse("picture").kind == "file"
    assert BackgroundSpec.parse("#123").kind == "file"


@given(st.text(max_size=40))
def test_any_text_is_a_background_or_a_usage_error(text: str) -> None:
    try:
        spec = BackgroundSpec.parse(text)
    except UsageError as error:
        assert "--bg" in str(error)  # noqa: PT017
    else:
        assert spec.kind in ("file", "colour", "blur", "transparent")


@pytest.mark.parametrize("name", NAMED_COLOURS)
def test_colours_are_bytes(name: str) -> None:
    assert len(bytes(NAMED_COLOURS[name])) == 3


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("0", Fraction(0)),
        ("90", Fraction(90)),
        ("1.25", Fraction(5, 4)),
        (".5", Fraction(1, 2)),
        ("2.", Fraction(2)),
        ("1:30", Fraction(90)),
        ("1:00:00.001", Fraction(3600001, 1000)),
        ("0.1", Fraction(1, 10)),
        (12, Fraction(12)),
        (0.5, Fraction(1, 2)),
        (0.1, Fraction(1, 10)),
        (Fraction(1, 3), Fraction(1, 3)),
        (str(LONGEST), Fraction(LONGEST)),
    ],
)
def test_times(time: str | float | Fraction, seconds: Fraction) -> None:
    assert parse_time(time) == seconds


@pytest.mark.parametrize(
    "time",
    ["", "-1", "+1", "1e3", "1:", ":1", "1:2:3:4", "1,5", " 1", "nan", "inf", "1/2", "٣",
     -0.1, float("nan"), float("inf"), -float("inf"), str(LONGEST + 1), 1e300],
)  # fmt: skip
def test_no_times(time: str | float) -> None:
    with pytest.raises(UsageError, match=r"^-ss: "):
        parse_time(time, "-ss")


@given(st.one_of(st.text(max_size=20), st.floats()))
def test_anything_is_a_time_or_a_usage_error(time: str | float) -> None:
    with suppress(UsageError):
        assert 0 <= parse_time(time) <= LONGEST


def test_windows() -> None:
    assert make_window() == Window(None, None)
    assert not make_window()
    assert make_window("1", "2") == Window(Fraction(1), Fraction(2))
    assert make_window("1", None, "2") == Window(Fraction(1), Fraction(3))
    assert make_window(None, None, 0.5) == Window(None, Fraction(1, 2))
    assert make_window(to=3) == Window(None, Fraction(3))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((None, "1", "1"), "-to and -t both"),
        (("2", "1", None), "check -ss, -to and -t"),
        (("2", "2", None), "check -ss, -to and -t"),
        ((None, None, "0"), "check -ss, -to and -t"),
        (("x", None, None), "^-ss: 'x'"),
        ((None, "x", None), "^-to: 'x'"),
        ((None, None, "x"), "^-t: 'x'"),
    ],
)
def test_no_windows(times: tuple[str | None, str | None, str | None], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_window(*times)


@pytest.mark.parametrize(
    ("rate", "bits"),
    [("8M", 8_000_000), ("800k", 800_000), ("1.5m", 1_500_000), ("64000", 64000), (64000, 64000)],
)
def test_bit_rates(rate: str | int, bits: int) -> None:
    assert parse_bitrate(rate) == bits


@pytest.mark.parametrize("rate", ["", "M", "-8M", "8G", "1e6", "8 M", "٣M", "nan"])
def test_no_bit_rates(rate: str) -> None:
    with pytest.raises(UsageError, match="--bitrate"):
        parse_bitrate(rate)


def test_encode_options() -> None:
    EncodeOptions(crf=0)
    EncodeOptions(crf=63)
    EncodeOptions(bitrate=1)
    EncodeOptions(bitrate=FASTEST)
    for crf in (-1.0, 63.5, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--crf must be 0 to 63"):
            EncodeOptions(crf=crf)
    for bitrate in (0, -1, FASTEST + 1):
        with pytest.raises(UsageError, match="--bitrate must be"):
            EncodeOptions(bitrate=bitrate)
    with pytest.raises(UsageError, match="exclude each other"):
        EncodeOptions(crf=20, bitrate=1000)


def test_render_options() -> None:
    green = BackgroundSpec.parse("green")
    options = RenderOptions(green)
    assert (options.fit, options.overwrite, options.serial) == ("cover", False, False)
    with pytest.raises(UsageError, match="--bg-fit"):
        RenderOptions(green, fit="squeeze")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--decoder: unknown 'gpu'; use auto, cpu, cuda"):
        RenderOptions(green, decoder="gpu")  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        options.size = 300  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temporal": "on"}, "--temporal: unknown 'on'; use auto, off, live, file"),
        ({"quality": "good"}, "--quality: unknown 'good'; use live, balanced, best"),
        ({"quality": None}, "--quality"),
        ({"refine": "rough"}, "--refine"),
        ({"decontaminate": "on"}, "--decontaminate"),
        ({"subject": "me"}, "--subject"),
        ({"strength": -0.1}, "--strength must be 0 to 2"),
        ({"strength": 2.1}, "--strength must be 0 to 2"),
        ({"strength": float("nan")}, "--strength must be 0 to 2"),
    ],
)
def test_matte_options_that_are_none(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        MatteOptions(**changes)


def test_quality_chooses_what_is_left_open() -> None:
    def chosen(**changes: Any) -> tuple[str, str, str]:
        options = MatteOptions(**changes)
        return options.steadied, options.refined, options.decontaminated

    assert chosen(quality="live")[0] == "live"
    assert chosen()[0] == chosen(quality="best")[0] == "file"
    assert chosen(quality="best")[1:] == ("fine", "fine")
    told = {"temporal": "live", "refine": "fast", "decontaminate": "off"}
    assert chosen(quality="best", **told) == ("live", "fast", "off")
    assert chosen(temporal="auto")[0] == "file"
    assert chosen(strength=0)[0] == chosen(temporal="live", strength=0)[0] == "off"


def test_every() -> None:
    assert (parse_every("1"), parse_every("1000"), parse_every("auto")) == (1, 1000, "auto")
    for text in ("", "x", "AUTO", "-1", "1.5", "٣", "9" * 30):
        with pytest.raises(
            UsageError, match=r"^--every: .* is not a number; give 1 to 1000, or auto"
        ):
            parse_every(text)
    for every in (1, 1000, "auto"):
        assert NetworkOptions(every=every).every == every  # type: ignore[arg-type]
    for wrong in (0, -1, 1001, "often", 2.0, None):
        with pytest.raises(UsageError, match=r"^--every must be 1 to 1000 or auto, got"):
            NetworkOptions(every=wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^--batch must be 1 to 64, got auto"):
        NetworkOptions(batch="auto")  # type: ignore[arg-type]
