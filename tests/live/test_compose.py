from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import cv2
import live_doubles as doubles
import numpy as np
import pytest

from streammatte.errors import InputError
from streammatte.frames import Frame, Matte
from streammatte.live.backdrop import Backdrop
from streammatte.live.base import TICK
from streammatte.live.compose import WINDOW, Composer, Delay, Ready, Shown, softened
from streammatte.live.mattes import Item
from streammatte.live.settings import Settings
from streammatte.live.slate import slate
from streammatte.meters import Meters
from streammatte.options import BackgroundSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.frames import Picture

INFO = doubles.Camera().info
SLATE = slate(INFO)


def spec(what: str) -> BackgroundSpec:
    return BackgroundSpec.parse(what)


def frame(seconds: float | None = None) -> Frame:
    now = time.monotonic() if seconds is None else seconds
    return Frame(doubles.room(), round(now * 1e6), 0, TICK)


def item(*, trusted: bool = True) -> Item:
    one = frame()
    alpha = np.zeros((doubles.HEIGHT, doubles.WIDTH), np.float32)
    alpha[40:, 100 : 100 + doubles.SIDE] = 1
    view = np.zeros((doubles.HEIGHT, doubles.WIDTH, 3), np.uint8)
    return Item(one, Matte(one, view, alpha) if trusted else None, time.monotonic())


@pytest.fixture
def backdrop() -> Backdrop:
    made = Backdrop(INFO, SLATE)
    made.change(spec("black"), "cover")
    return made


class Stage:
    def __init__(self, backdrop: Backdrop, **settings: Any) -> None:
        chosen = Settings(background="black", **settings)
        self.composer = Composer(chosen, backdrop, SLATE, "lowest", Meters())

    def shown(self, one: Item) -> Shown:
        self.composer.post(one)
        self.composer.around()
        shown = self.composer.ready.take()
        assert shown is not None
        return shown


def test_the_subject_is_put_before_the_background(backdrop: Backdrop) -> None:
    shown = Stage(backdrop).shown(item())
    assert shown.subject
    assert doubles.shows_the_person(shown.picture)
    assert not doubles.shows_the_room(shown.picture)


def test_without_a_matte_the_background_is_alone(backdrop: Backdrop) -> None:
    shown = Stage(backdrop).shown(item(trusted=False))
    assert not shown.subject
    assert (shown.picture.planes[0] == doubles.BEHIND).all()


def test_so_it_is_if_that_is_wanted(backdrop: Backdrop) -> None:
    shown = Stage(backdrop, show="background").shown(item())
    assert not shown.subject
    assert (shown.picture.planes[0] == doubles.BEHIND).all()


def test_a_blur_of_the_room_is_no_background_to_be_alone(backdrop: Backdrop) -> None:
    """It would be made of all that was seen, the person included."""
    backdrop.change(spec("blur:2"), "cover")
    shown = Stage(backdrop).shown(item(trusted=False))
    assert not shown.subject
    assert shown.picture is SLATE


def test_what_was_behind_lately_can_be_had_at_any_time(backdrop: Backdrop) -> None:
    assert backdrop.lately is None
    Stage(backdrop).shown(item())
    assert backdrop.lately is not None
    assert (backdrop.lately.planes[0] == doubles.BEHIND).all()
    backdrop.change(spec("blur:2"), "cover")
    Stage(backdrop).shown(item())
    assert backdrop.lately is None  # a blur is made of the room


def test_a_change_to_a_blur_in_the_middle_shows_no_room(
    backdrop: Backdrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread changes it while the background alone is asked for."""
    black = np.zeros

    def changed(*words: Any) -> Any:
        backdrop.change(spec("blur:2"), "cover")
        return black(*words)

    monkeypatch.setattr("streammatte.live.backdrop.np.zeros", changed)
    alone = backdrop.alone(frame())
    assert alone is not None
    assert (alone.planes[0] == doubles.BEHIND).all()


def test_a_blur_behind_somebody_is_blurred(backdrop: Backdrop) -> None:
    backdrop.change(spec("blur"), "cover")
    shown = Stage(backdrop).shown(item())
    assert shown.subject
    assert doubles.shows_the_person(shown.picture)
    assert int(shown.picture.planes[0][:30, :90].max()) > 180


def test_settings_are_seen_in_the_next_picture(backdrop: Backdrop) -> None:
    stage = Stage(backdrop)
    stage.shown(item())
    backdrop.change(spec("white"), "cover")
    assert int(stage.shown(item()).picture.planes[0][0, 0]) == 235
    stage.composer.settings = stage.composer.settings.changed({"quality": "best"})
    assert doubles.shows_the_person(stage.shown(item()).picture)


def test_a_failure_is_over_with_the_next_picture(
    backdrop: Backdrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(backdrop)
    whole = backdrop.behind

    def broken(*_: Any) -> Picture:
        raise ZeroDivisionError

    monkeypatch.setattr(backdrop, "behind", broken)
    stage.composer.post(item())
    with pytest.raises(ZeroDivisionError):
        stage.composer.around()
    monkeypatch.setattr(backdrop, "behind", whole)
    assert doubles.shows_the_person(stage.shown(item()).picture)


def test_who_is_late_shows_the_newest(backdrop: Backdrop) -> None:
    composer = Stage(backdrop).composer
    items = [item() for _ in range(3)]
    for one in items:
        composer.post(one)
    composer.around()
    shown = composer.ready.take()
    assert shown is not None
    assert shown.captured == items[-1].frame.seconds
    assert composer.dropped == 2


def test_a_frame_that_is_not_due_waits(backdrop: Backdrop) -> None:
    composer = Composer(Settings(background="black"), backdrop, SLATE, "matched", Meters())
    composer.delay.seconds = 60
    composer.post(item())
    composer.around()
    assert composer.ready.take() is None


# --- delay and what is ready


def test_matched_the_delay_is_what_nearly_all_frames_take() -> None:
    delay = Delay("matched")
    for index in range(WINDOW):
        delay.learn(0.4 if index % 30 == 0 else 0.1)
    assert 0.1 <= delay.seconds < 0.41
    for _ in range(300):
        delay.learn(0.05)
    assert delay.seconds == pytest.approx(0.05)


def test_matched_the_delay_grows_at_once_and_shrinks_little_by_little() -> None:
    delay = Delay("matched")
    delay.learn(0.1)
    for _ in range(10):
        delay.learn(0.3)
    grown = delay.seconds
    assert grown == pytest.approx(0.3, abs=0.02)
    steps = []
    for _ in range(4 * WINDOW):
        before = delay.seconds
        delay.learn(0.1)
        steps.append(before - delay.seconds)
    assert max(steps) <= 0.05 * 0.2 + 1e-9
    assert delay.seconds == pytest.approx(0.1)


def test_lowest_nothing_is_waited_for() -> None:
    delay = Delay("lowest")
    delay.learn(0.4)
    assert delay.seconds == 0


def test_ready_pictures_come_in_order_and_the_oldest_go() -> None:
    pictures = [Shown(SLATE, subject=False, captured=float(index)) for index in range(3)]
    matched, lowest = Ready("matched"), Ready("lowest")
    for one in pictures:
        matched.put(one)
        lowest.put(one)
    assert [matched.take(), matched.take(), matched.take()] == [*pictures[1:], None]
    assert [lowest.take(), lowest.take()] == [pictures[2], None]
    assert (matched.dropped, lowest.dropped) == (1, 2)


def test_softness_softens_the_edge_alone() -> None:
    matte = item().matte
    assert matte is not None
    assert softened(matte, 0) is matte
    soft = softened(matte, 1).alpha
    assert 0 < float(soft[100, 98]) < 1
    assert float(soft[110, 130]) == pytest.approx(1, abs=1e-4)
    assert float(soft[10, 10]) == 0
    assert float(soft.sum()) == pytest.approx(float(matte.alpha.sum()), rel=0.05)


# --- the backdrop


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((90, 160, 3), 128, np.uint8))
    return path


def test_a_file_that_is_deleted_while_in_use_goes_on(backdrop: Backdrop, still: Path) -> None:
    backdrop.change(spec(str(still)), "cover")
    still.unlink()
    level = int(backdrop.behind(frame(), np.zeros((2, 2), np.float32)).planes[0][50, 50])
    assert level == pytest.approx(126, abs=2)


def test_a_background_that_cannot_be_read_changes_nothing(
    backdrop: Backdrop, tmp_path: Path
) -> None:
    before = backdrop.alone(frame())
    with pytest.raises(InputError):
        backdrop.change(spec(str(tmp_path / "gone.png")), "cover")
    assert backdrop.alone(frame()) is before


def test_a_still_is_opened_once(
    backdrop: Backdrop, still: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammatte.live import backdrop as module

    opened: list[Any] = []
    real = module.open_background

    def counted(*words: Any) -> Any:
        opened.append(words[0])
        return real(*words)

    monkeypatch.setattr(module, "open_background", counted)
    backdrop.prepare([str(still), "green", "gone.png"], "cover")
    assert len(opened) == 2  # the last of them was tried
    backdrop.change(spec(str(still)), "cover")
    assert len(opened) == 2


def test_a_video_that_is_deleted_stands_still(
    backdrop: Backdrop, clip: Callable[..., Path], tmp_path: Path
) -> None:
    told: list[str] = []
    backdrop = Backdrop(INFO, SLATE, told.append)
    path = tmp_path / "loop.mp4"
    path.write_bytes(clip("loop.mp4", count=5).read_bytes())
    backdrop.change(spec(str(path)), "cover")
    alpha = np.zeros((2, 2), np.float32)
    backdrop.behind(frame(0.0), alpha)
    path.unlink()
    pictures = [backdrop.behind(frame(step / 10), alpha) for step in range(1, 30)]
    backdrop.close()
    assert pictures[-1] is pictures[-2]
    assert pictures[-1] is not SLATE
    assert len(told) == 1
    assert "the background stands still" in told[0]
