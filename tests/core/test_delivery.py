"""What ``--for`` sets, and that it never overrides what was asked for; time codes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest

from streammatte import delivery
from streammatte.colour import LINEAR, SRGB
from streammatte.frames import Layout, VideoInfo
from streammatte.options import (
    BackgroundSpec,
    ColourOptions,
    EdgeOptions,
    EncodeOptions,
    Purpose,
    RenderOptions,
    SequenceOptions,
)
from streammatte.sinks import default_output
from streammatte.sinks.codecs import plan
from streammatte.timecode import advanced

INFO = VideoInfo(
    Path("talk.mp4"), 64, 48, Layout("yuv", 8, 1, 1), SRGB, Fraction(1, 25), Fraction(25)
)


def wish(purpose: Purpose | None, **more: object) -> RenderOptions:
    return replace(RenderOptions(BackgroundSpec("transparent"), purpose=purpose), **more)


def test_every_purpose_has_a_preset() -> None:
    assert set(delivery.PRESETS) == set(get_args(Purpose))


def test_without_a_purpose_nothing_is_set() -> None:
    asked = wish(None)
    assert delivery.apply(asked, INFO) is asked


@pytest.mark.parametrize("purpose", ["premiere", "resolve", "ae"])
def test_editors_get_prores_with_straight_alpha(purpose: Purpose) -> None:
    done = delivery.apply(wish(purpose), INFO)
    assert (done.encode.codec, done.alpha, done.passes) == ("prores", "straight", ("comp",))
    assert default_output(INFO, done) == Path(f"talk_{purpose}.mov")
    decided = plan(Path("x.mov"), INFO, done.encode, alpha=True)
    assert (decided.encoder, decided.pixel_format) == ("prores_ks", "yuva444p10le")


def test_nuke_gets_linear_premultiplied_openexr() -> None:
    done = delivery.apply(wish("nuke"), INFO)
    assert (done.alpha, done.colour.linear) == ("premult", True)
    assert (done.sequence.compression, done.sequence.start_number) == ("zips", 1001)
    assert default_output(INFO, done) == Path("talk_nuke/talk_nuke.%04d.exr")


def test_footage_with_numbers_keeps_them() -> None:
    numbered = replace(INFO, first_number=86400)
    assert delivery.apply(wish("nuke"), numbered).sequence.start_number is None
    asked = wish("nuke", sequence=SequenceOptions(start_number=7))
    assert delivery.apply(asked, numbered).sequence.start_number == 7


@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_what_is_asked_for_stays(purpose: Purpose) -> None:
    asked = wish(
        purpose,
        passes=("premult", "confidence"),
        alpha="premult",
        encode=EncodeOptions("ffv1"),
        colour=ColourOptions(input_space="log"),
        edges=EdgeOptions(gamma=2),
        sequence=SequenceOptions(start_number=1, compression="piz", full_float=True),
    )
    assert delivery.apply(asked, INFO) == asked


@pytest.mark.parametrize(
    ("purpose", "given", "kept"),
    [
        ("packed", "passes", lambda done: done.passes == ("comp",)),
        ("corridorkey", "edges", lambda done: not done.edges),
    ],
)
def test_a_default_that_is_asked_for_stays(purpose: Purpose, given: str, kept: object) -> None:
    assert callable(kept)
    assert kept(delivery.apply(wish(purpose, named=(given,)), INFO))
    assert not kept(delivery.apply(wish(purpose), INFO))


def test_corridorkey_gets_a_plate_and_a_coarse_hint_of_the_same_names() -> None:
    done = delivery.apply(wish("corridorkey"), INFO)
    assert done.passes == ("plate", "matte")
    assert done.edges.choke > 0
    assert done.edges.feather > 0
    folder = default_output(INFO, done)
    assert folder == Path("talk_corridorkey")
    places = delivery.hand_over(folder, INFO)
    assert places == {
        "plate": folder / "Input" / "talk_corridorkey.%04d.png",
        "matte": folder / "AlphaHint" / "talk_corridorkey.%04d.png",
    }
    assert delivery.hand_over(folder, replace(INFO, colour=LINEAR))["plate"].suffix == ".exr"


@pytest.mark.parametrize(
    ("begin", "frames", "rate", "told"),
    [
        ("01:00:00:00", 0, 25, "01:00:00:00"),
        ("01:00:00:24", 1, 25, "01:00:01:00"),
        ("00:59:59:23", 1, Fraction(24000, 1001), "01:00:00:00"),
        ("23:59:59:24", 1, 25, "00:00:00:00"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),  # SMPTE ST 12-1
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),
        ("00:01:00;02", -1, Fraction(30000, 1001), "00:00:59;29"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("00:00:00;00", 107892, Fraction(30000, 1001), "01:00:00;00"),
        ("10:20:30:40", 5, 25, ""),
        ("yesterday", 5, 25, ""),
        ("", 5, 25, ""),
    ],
)
def test_time_codes(begin: str, frames: int, rate: Fraction, told: str) -> None:
    assert advanced(begin, frames, Fraction(rate)) == told


def test_time_codes_go_on_frame_by_frame() -> None:
    rate = Fraction(30000, 1001)
    for count in range(17000, 18100):
        told = advanced("00:00:00;00", count, rate)
        assert advanced(told, 1, rate) == advanced("00:00:00;00", count + 1, rate)
        assert advanced(told, -count, rate) == "00:00:00;00"
