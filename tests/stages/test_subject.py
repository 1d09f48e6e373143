"""Who is the subject, and zones that always or never are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from streammatte.errors import InputError, UsageError
from streammatte.frames import Matte
from streammatte.options import Choice, Zone
from streammatte.sources.synthetic import Synthetic
from streammatte.stages.subject import chosen, largest, mask_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


def people(*widths: int, soft: float = 0.3) -> NDArray[np.float32]:
    """Return an alpha with somebody of each width, a soft rim around each, gaps between."""
    alpha = np.zeros((40, 120), np.float32)
    left = 4
    for width in widths:
        alpha[8:34, left : left + width + 4] = soft
        alpha[10:32, left + 2 : left + 2 + width] = 1
        left += width + 14
    return alpha


def mattes(*alphas: NDArray[np.float32]) -> Iterator[Matte]:
    frames = Synthetic(96, 64, len(alphas)).frames()
    for frame, alpha in zip(frames, alphas, strict=True):
        yield Matte(frame, np.zeros((*alpha.shape, 3), np.uint8), alpha)


def results(choice: Choice, *alphas: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [matte.alpha for matte in chosen(mattes(*alphas), choice)]


def test_the_largest_with_its_soft_rim() -> None:
    alpha = people(10, 24)
    found, there = largest(alpha)
    assert there is not None
    assert (found[:, :18] == 0).all()
    np.testing.assert_array_equal(found[:, 18:], alpha[:, 18:])
    assert 0.3 in found


def test_haze_that_belongs_to_nobody_stays() -> None:
    alpha = people(20)
    alpha[0, :] = 0.05
    found, _ = largest(alpha)
    np.testing.assert_array_equal(found, alpha)


def test_it_stays_with_who_it_was() -> None:
    """Two of nearly one size do not take turns; one who is much larger takes over."""
    first, second, third = people(20, 16), people(20, 24), people(20, 44)
    found = results(Choice(largest=True), first, second, third)
    assert found[0][20, 10] == found[1][20, 10] == 1
    assert (found[1][:, 34:] == 0).all()
    assert found[2][20, 10] == 0
    assert found[2][20, 60] == 1


def test_nobody() -> None:
    nothing = np.zeros((40, 120), np.float32)
    found = results(Choice(largest=True), people(10), nothing, people(10))
    assert (found[1] == 0).all()
    assert found[2].max() == 1


def test_zones() -> None:
    keep, drop = Zone.parse("0.5,0,100%,1"), Zone.parse(" 75%, 0.5,1,1")
    (found,) = results(Choice(keep=(keep,), drop=(drop,)), people(20))
    assert (found[:, 60:90] == 1).all()
    assert (found[:20, 90:] == 1).all()
    assert (found[20:, 90:] == 0).all()
    np.testing.assert_array_equal(found[:, :60], people(20)[:, :60])


def test_several_zones() -> None:
    zones = (Zone.parse("0,0,0.1,0.1"), Zone.parse("0.9,0.9,1,1"))
    (found,) = results(Choice(keep=zones), np.zeros((40, 120), np.float32))
    assert found[0, 0] == found[39, 119] == 1
    assert found.sum() == 2 * 4 * 12


def test_a_zone_is_at_least_a_pixel() -> None:
    assert mask_of(Zone((0.5, 0.5, 0.501, 0.501)), 10, 10).sum() == 1


def test_a_picture_as_a_zone(tmp_path: Path) -> None:
    picture = np.zeros((80, 240), np.uint8)
    picture[:, 120:] = 255
    path = tmp_path / "zone, right.png"
    cv2.imwrite(str(path), picture)
    (found,) = results(Choice(drop=(Zone.parse(str(path)),)), np.ones((40, 120), np.float32))
    assert (found[:, :60] == 1).all()
    assert (found[:, 60:] == 0).all()
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"no\.png is no picture"):
        results(Choice(keep=(Zone.parse(str(tmp_path / "no.png")),)), people(10))


@pytest.mark.parametrize(
    "text", ["", "left", "0.5,0,0.2,1", "0,0,2,1", "0,0,1", "a,b,c,d", "-0.1,0,1,1", "nan,0,1,1"]
)
def test_zones_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--keep"):
        Zone.parse(text, "--keep")


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [(Choice(), False), (Choice(largest=True), True), (Choice(drop=(Zone((0, 0, 1, 1)),)), True)],
)
def test_whether_anything_is_chosen(choice: Choice, wanted: Any) -> None:
    assert bool(choice) is wanted
