"""Every kind of source keeps the contract of ``sources.base.Source``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from streammatte.convert import to_rgb
from streammatte.frames import Picture
from streammatte.sources import open_source
from streammatte.threads import Threads

if TYPE_CHECKING:
    from streammatte.sources import Source

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = ["synthetic", "video", "photograph"]


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where one of every kind of source is, of at most two seconds."""
    if request.param == "synthetic":
        return "synthetic:96x64@25x20"
    if request.param == "video":
        return str(EXAMPLES / "astronaut.mp4")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    path = tmp_path / "photograph.png"
    cv2.imwrite(str(path), pixels)
    return str(path)


def check(source: Source, pictures: int = 12) -> None:
    info = source.info
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == pictures:
            break
    assert frames
    assert all(one.pts < other.pts for one, other in pairwise(frames))
    for frame in frames:
        picture = frame.picture
        assert isinstance(picture, Picture)
        assert (picture.width, picture.height) == (info.width, info.height)
        assert (picture.layout, picture.colour) == (info.layout, info.colour)
        assert frame.time_base == info.time_base
        assert frame.duration >= 0
        assert np.isfinite(to_rgb(picture)).all()
    assert info.rate > 0
    assert info.pixel_aspect > 0
    assert not source.damage


def test_it_tells_what_it_yields(where: str) -> None:
    with open_source(where) as source:
        check(source)


def test_it_may_be_read_on_another_thread(where: str) -> None:
    with open_source(where) as source, Threads() as threads:
        first = next(threads.ahead(source.frames(), "decode", capacity=1))
        assert first.picture.width == source.info.width


def test_it_may_be_closed_twice_and_unread(where: str) -> None:
    source = open_source(where)
    source.close()
    source.close()


def test_the_expected_number_of_frames_is_about_right(where: str) -> None:
    with open_source(where) as source:
        expected = source.info.frames_expected
        count = sum(1 for _ in source.frames())
    assert expected is not None
    assert abs(count - expected) <= 1
    assert source.info.still == (count == 1)


def test_frames_that_were_yielded_keep_their_samples(where: str) -> None:
    """Decoders use their memory again; not while someone looks at it."""
    with open_source(where) as source:
        frames, copies = [], []
        for frame in source.frames():
            frames.append(frame)
            copies.append([plane.copy() for plane in frame.picture.planes])
            if len(frames) == 8:
                break
        for frame, copy in zip(frames, copies, strict=True):
            for plane, was in zip(frame.picture.planes, copy, strict=True):
                assert (plane == was).all()
