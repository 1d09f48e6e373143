"""Continued sequences: what is seen again, and that the rest comes out as it would have."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from streammatte.colour import SRGB
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.options import BackgroundSpec, MatteOptions, NetworkOptions, RenderOptions
from streammatte.resume import NOTHING, Reach, pending, reach
from streammatte.stages import smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = range(1001, 1101)
RATE = Fraction(10)


def options(**matte: Any) -> RenderOptions:
    return RenderOptions(BackgroundSpec("transparent"), matte=MatteOptions(**matte))


class TestPending:
    def test_nothing_is_seen_if_all_is_there(self) -> None:
        assert pending(NUMBERS, set(NUMBERS), Reach(5, 5)) == []
        assert pending(NUMBERS, set(NUMBERS), None) == []

    def test_all_is_seen_if_nothing_is_there(self) -> None:
        assert pending(NUMBERS, (), NOTHING) == list(NUMBERS)

    def test_what_is_there_and_not_wanted_does_not_matter(self) -> None:
        assert pending(range(1, 4), {0, 1, 2, 9}, NOTHING) == [3]

    def test_only_what_is_missing_is_seen_if_nothing_else_matters(self) -> None:
        assert pending(NUMBERS, set(NUMBERS) - {1003, 1050}, NOTHING) == [1003, 1050]

    def test_all_is_seen_if_all_depends_on_the_first(self) -> None:
        assert pending(NUMBERS, set(NUMBERS) - {1100}, None) == list(NUMBERS)

    def test_neighbours_are_seen_up_to_the_ends(self) -> None:
        seen = pending(NUMBERS, set(NUMBERS) - {1002, 1050, 1099}, Reach(3, 2))
        assert seen == [*range(1001, 1005), *range(1047, 1053), *range(1096, 1101)]

    def test_blocks_stay_whole(self) -> None:
        """Counted from the first frame: 1001 to 1006 is one."""
        assert pending(NUMBERS, set(NUMBERS) - {1009}, Reach(0, 0, 6)) == [*range(1007, 1013)]
        assert pending(NUMBERS, set(NUMBERS) - {1012}, Reach(0, 0, 6)) == [*range(1007, 1013)]
        assert pending(NUMBERS, set(NUMBERS) - {1013}, Reach(1, 0, 6)) == [*range(1007, 1019)]

    @pytest.mark.parametrize(("least", "filled"), [(7, False), (8, True)])
    def test_short_gaps_are_seen(self, least: int, *, filled: bool) -> None:
        seen = pending(NUMBERS, set(NUMBERS) - {1010, 1018}, Reach(0, 0, 1, least))
        assert seen == ([*range(1010, 1019)] if filled else [1010, 1018])


class TestReach:
    def test_steadying_that_is_off_reaches_nowhere(self) -> None:
        assert reach(options(temporal="off"), RATE) == NOTHING
        assert reach(options(strength=0.0), RATE) == NOTHING

    def test_what_is_decided_from_the_first_frame_on_needs_them_all(self) -> None:
        assert reach(options(subject="largest"), RATE) is None
        every = RenderOptions(BackgroundSpec("transparent"), network=NetworkOptions(every=2))
        assert reach(every, RATE) is None

    def test_it_is_counted_in_seconds(self) -> None:
        slow, fast = (reach(options(temporal="live"), Fraction(rate)) for rate in (12, 48))
        assert slow is not None
        assert fast is not None
        assert slow.after == fast.after == 0
        assert slow.before * 4 - 4 < fast.before <= slow.before * 4


def moving_mattes(count: int) -> list[Matte]:
    """Film a disc before a moving wall, with a matte that is wrong by something in every frame."""
    chance = np.random.default_rng(1)
    wall = cv2.GaussianBlur(chance.random((96, 160, 3)).astype(np.float32), (0, 0), 3)
    wall = (wall - wall.min()) / (wall.max() - wall.min()) * 255
    y, x = np.mgrid[:48, :80].astype(np.float32)
    made = []
    for n in range(count):
        distance = np.hypot(x - 20 - n / 4, y - 24)
        seen = wall[8:56, 8 + n // 4 : 88 + n // 4].copy()
        seen[distance < 15] = 255 - seen[distance < 15]
        view = np.clip(seen + chance.normal(0, 2, seen.shape), 0, 255).astype(np.uint8)
        alpha = np.clip((15 - distance) / 6 + 0.5, 0, 1)
        alpha += chance.normal(0, 0.1, alpha.shape) * ((alpha > 0) & (alpha < 1))
        planes = [np.ascontiguousarray(view[..., plane]) for plane in (1, 2, 0)]
        frame = Frame(Picture.of(planes, Layout("rgb", 8), SRGB), n, 1, 1 / RATE, number=1001 + n)
        made.append(Matte(frame, view, np.clip(alpha, 0, 1).astype(np.float32)))
    return made


@pytest.mark.parametrize("how", ["file", "live"])
@pytest.mark.parametrize("missing", [range(1071, 1101), (1015, 1086), range(1060, 1064)])
def test_what_is_continued_is_what_would_have_been(how: Any, missing: Any) -> None:
    mattes = moving_mattes(len(NUMBERS))
    steady = smooth.file if how == "file" else smooth.live
    whole = steadied(steady(mattes))
    depends = reach(options(temporal=how), RATE)
    seen = set(pending(NUMBERS, set(NUMBERS) - set(missing), depends))
    assert len(seen) < len(NUMBERS)
    again = steadied(steady(each for each in mattes if each.frame.number in seen))
    worst = max(float(np.abs(again[number] - whole[number]).max()) for number in missing)
    assert worst < 1 / 1023
    alone = steadied(steady(each for each in mattes if each.frame.number in set(missing)))
    assert max(float(np.abs(alone[n] - whole[n]).max()) for n in missing) > 20 * worst


def steadied(mattes: Any) -> dict[int | None, NDArray[np.float32]]:
    return {matte.frame.number: matte.alpha for matte in mattes}
