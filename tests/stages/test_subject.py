"""Who is the subject, and zones that always or never are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from streammatte.errors import InputError, UsageError
from streammatte.frames import Matte
from streammatte.options import Choice, EdgeOptions, Zone
from streammatte.sources.synthetic import Synthetic
from streammatte.stages.subject import INSET, chosen, largest
from streammatte.stages.zones import Garbage, finished, rectangle

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


def exact(choice: Choice, *alphas: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return what zones make of mattes at their frames' size, 96 x 64."""
    return [matte.alpha for matte in finished(mattes(*alphas), Garbage(choice))]


def test_zones_are_exact_at_the_frames_size() -> None:
    keep, drop = Zone.parse("0.5,0,100%,1"), Zone.parse(" 75%, 0.5,1,1")
    alpha = np.full((64, 96), 0.25, np.float32)
    (found,) = exact(Choice(keep=(keep,), drop=(drop,)), alpha)
    assert (found[:, 48:72] == 1).all()
    assert (found[:32, 72:] == 1).all()
    assert (found[32:, 72:] == 0).all()
    np.testing.assert_allclose(found[:, :48], 0.25, atol=1e-4)


def test_before_mattes_are_steadied_zones_stay_short_of_their_edges() -> None:
    choice = Choice(keep=(Zone.parse("0.5,0,1,1"),), drop=(Zone.parse("0,0.5,1,1"),))
    alpha = np.full((40, 120), 0.25, np.float32)
    (found,) = (matte.alpha for matte in chosen(mattes(alpha), choice, Garbage(choice)))
    assert (found[:20, 60 + INSET :] == 1).all()
    assert (found[20 + INSET :] == 0).all()
    assert (found[: 20 + INSET, : 60 + INSET] == 0.25).all()


def test_several_zones() -> None:
    zones = (Zone.parse("0,0,0.25,0.25"), Zone.parse("0.75,0.75,1,1"))
    (found,) = exact(Choice(keep=zones), np.zeros((64, 96), np.float32))
    assert found[0, 0] == found[63, 95] == 1
    assert found.sum() == 2 * 16 * 24


def test_a_zone_is_at_least_a_pixel() -> None:
    assert rectangle(Zone((0.5, 0.5, 0.501, 0.501)), 10, 10).sum() == 1


def test_a_soft_mask_keeps_and_drops_softly(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 96).round().astype(np.uint16), (64, 1))
    path = tmp_path / "ramp, soft.png"
    cv2.imwrite(str(path), ramp)
    alpha = np.full((64, 96), 0.5, np.float32)
    share = ramp / np.float32(65535)
    (kept,) = exact(Choice(keep=(Zone.parse(str(path)),)), alpha)
    np.testing.assert_allclose(kept, np.maximum(0.5, share), atol=1e-5)
    (dropped,) = exact(Choice(drop=(Zone.parse(str(path)),)), alpha)
    np.testing.assert_allclose(dropped, 0.5 * (1 - share), atol=1e-5)
    assert (dropped[:, -1] == 0).all()


def test_a_mask_finer_than_the_matte_holds(tmp_path: Path) -> None:
    """A checkerboard of the frame's pixels, over a matte of a quarter of its size."""
    board = (np.indices((64, 96)).sum(0) % 2 * 255).astype(np.uint8)
    path = tmp_path / "board.png"
    cv2.imwrite(str(path), board)
    choice = Choice(keep=(Zone.parse(str(path)),))
    coarse = chosen(mattes(np.zeros((16, 24), np.float32)), choice, Garbage(choice))
    (found,) = (matte.alpha for matte in finished(coarse, Garbage(choice)))
    np.testing.assert_array_equal(found, board / np.float32(255))


def test_edges_by_hand_come_before_zones() -> None:
    alpha = np.zeros((64, 96), np.float32)
    alpha[:, :48] = 1
    choice = Choice(keep=(Zone.parse("0.5,0,0.75,1"),))
    by_hand = EdgeOptions(choke=50)  # three pixels of 64 lines
    (found,) = (matte.alpha for matte in finished(mattes(alpha), Garbage(choice), by_hand=by_hand))
    assert (found[:, 48:72] == 1).all()
    assert (found[:, :44] == 1).all()
    assert found[:, 46:48].max() < 0.1


def test_what_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"no\.png"):
        Garbage(Choice(keep=(Zone(path=str(tmp_path / "no.png")),)))
    with pytest.raises(InputError, match=r"there is no such mask"):
        Garbage(Choice(keep=(Zone(path=str(tmp_path / "gone.####.png")),)))


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
