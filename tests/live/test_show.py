"""Whole shows on a camera that is none: what leaves, picture by picture, whatever happens.

The room is bright, the person is darker, the new background is black: so every picture that leaves
can be asked whether the room is in it.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import live_doubles as doubles
import pytest
from live_doubles import shows_the_person, shows_the_room

from streammatte.errors import RuntimeFailure, StreamMatteError, UsageError
from streammatte.live.desk import LiveDesk
from streammatte.live.options import LiveOptions
from streammatte.live.outlets import Outlet
from streammatte.live.settings import Scene, Settings
from streammatte.live.show import Show
from streammatte.sinks.apart import Apart, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.frames import Picture

BLACK = Settings(background="black")


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))


class Stage:
    """A show with its camera, its screen and its desk."""

    def __init__(self, **options: Any) -> None:
        self.camera, self.screen = doubles.Camera(), doubles.Screen()
        self.opener = doubles.Opener()
        self.told: list[Any] = []
        self.cameras: list[doubles.Camera] = []
        settings = options.pop("settings", BLACK)
        self.scenes = options.pop("scenes", ())
        self.options = LiveOptions(settings=settings, **options)
        self.error: StreamMatteError | None = None

    def another_camera(self) -> doubles.Camera:
        camera = doubles.Camera()
        camera.roll()
        self.cameras.append(camera)
        return camera

    @contextmanager
    def running(self, *, roll: bool = True) -> Iterator[Stage]:
        self.show = Show(
            self.options,
            self.another_camera,
            [Outlet(self.screen, None, self.told.append)],
            self.camera,
            tell=self.told.append,
            opener=self.opener,
        )
        with self.show:
            self.desk = LiveDesk(self.show, self.scenes)
            if roll:
                self.camera.roll()
            thread = threading.Thread(target=self._run)
            thread.start()
            try:
                yield self
            finally:
                self.show.end()
                thread.join(20)
                for camera in (self.camera, *self.cameras):
                    camera.close()
        assert not [one for _, one in self.screen.pictures if shows_the_room(one)]

    def _run(self) -> None:
        try:
            self.show.run(self.desk.second)
        except StreamMatteError as error:
            self.error = error

    def wait_for_state(self, name: str) -> None:
        end = time.monotonic() + 20
        while self.show.state.name != name:
            assert time.monotonic() < end, f"{self.show.state} never became {name}"
            time.sleep(0.005)

    def is_slate(self, picture: Picture) -> bool:
        return picture is self.show._slate

    @property
    def states(self) -> list[str]:
        return [name for _, name, _ in self.show.report().states]


def is_background(picture: Picture) -> bool:
    return bool((picture.planes[0] == doubles.BEHIND).all())


ALIGNS = pytest.mark.parametrize("align", ["matched", "lowest"])


@ALIGNS
def test_the_person_is_shown_before_the_background(align: Any) -> None:
    with Stage(align=align).running() as stage:
        stage.screen.wait(shows_the_person)
        report = stage.show.report()
    assert report.composited > 0
    assert report.latency_ms["p50"] is not None
    assert stage.states[0] == "starting"
    assert stage.states[-1] == "live"
    assert stage.opener.eye.closed


@ALIGNS
def test_a_slow_network_gives_a_moving_matte_for_every_frame(align: Any) -> None:
    stage = Stage(align=align)
    stage.opener.eye.seconds = 0.2
    with stage.running():
        stage.screen.wait(shows_the_person)

        def moves() -> bool:
            """Whether there are more pictures than the network saw frames, by carried mattes."""
            report = stage.show.report()
            return report.carried > 10 and report.composited > report.inferred + 10

        end = time.monotonic() + 30
        while not moves() and time.monotonic() < end:
            time.sleep(0.05)
        assert moves()
        assert stage.show.state.name == "live"


def test_pictures_leave_at_the_rate_that_was_asked_for() -> None:
    from fractions import Fraction

    with Stage(rate=Fraction(50)).running() as stage:
        stage.screen.wait(shows_the_person)
    stamps = [pts for pts, _ in stage.screen.pictures]
    gaps = {late - early for early, late in itertools.pairwise(stamps)}
    assert gaps
    assert all(abs(gap % 20_000 - 10_000) >= 9_990 for gap in gaps)  # whole periods


class Paced(doubles.Screen, Apart):
    """A screen that a process of its own feeds, which sends more than it is given, and late."""

    @property
    def pace(self) -> Pace:
        return Pace(sent=len(self.pictures) + 100, missed=7, late=0.5)

    @property
    def readers(self) -> int | None:  # type: ignore[override]
        return 1

    @readers.setter
    def readers(self, value: int | None) -> None: ...


def test_what_another_process_sends_is_what_counts() -> None:
    stage = Stage()
    stage.screen = Paced()
    with stage.running():
        stage.screen.wait(shows_the_person)
        stage.screen.wait(shows_the_person)
    report = stage.show.report()
    assert report.frames == len(stage.screen.pictures) + 100
    assert report.missed == 7
    assert report.repeated == report.frames - report.composited
    assert report.latency_ms["p50"] is not None
    assert report.latency_ms["p50"] >= 500


def test_before_there_is_a_matte_the_background_is_alone() -> None:
    stage = Stage()
    stage.opener.eye.failing = True
    with stage.running():
        stage.screen.wait(lambda _: "closed" in stage.show.network.trouble)
        stage.screen.wait(is_background)
        assert stage.show.state.name == "starting"
        before = list(stage.screen.pictures)
        stage.opener.eye.failing = False
        stage.screen.wait(shows_the_person)
    assert not [one for _, one in before if shows_the_person(one)]


@ALIGNS
def test_a_network_that_fails_takes_the_person_away_until_it_works(align: Any) -> None:
    with Stage(align=align).running() as stage:
        stage.screen.wait(shows_the_person)
        stage.opener.eye.failing = True
        stage.screen.wait(is_background)
        stage.wait_for_state("blind")
        assert "the eye is closed" in stage.show.state.reason
        stage.opener.eye.failing = False
        stage.screen.wait(shows_the_person)
        stage.wait_for_state("live")


@ALIGNS
def test_a_network_that_hangs_takes_the_person_away(align: Any) -> None:
    with Stage(align=align).running() as stage:
        stage.screen.wait(shows_the_person)
        stage.opener.eye.seconds = 4.0
        stage.screen.wait(is_background)
        stage.opener.eye.seconds = 0.0
        stage.screen.wait(shows_the_person)


@ALIGNS
def test_a_blur_without_a_matte_is_the_slate(align: Any) -> None:
    stage = Stage(align=align, settings=Settings(background="red"))
    with stage.running():
        stage.screen.wait(shows_the_person)
        stage.opener.eye.failing = True
        stage.wait_for_state("blind")
        stage.desk.apply({"background": "blur:2"})
        stage.screen.wait(stage.is_slate)
        seen = len(stage.screen.pictures)
        while len(stage.screen.pictures) < seen + 10:
            time.sleep(0.01)
        assert all(stage.is_slate(one) for _, one in stage.screen.pictures[seen:])


@pytest.mark.parametrize("condition", ["lost", "stalled"])
def test_a_camera_that_is_gone_is_the_slate(condition: Any) -> None:
    with Stage().running() as stage:
        stage.screen.wait(shows_the_person)
        stage.camera.paused = True
        stage.camera.reason = "unplugged"
        stage.camera.condition = condition
        stage.screen.wait(stage.is_slate)
        assert stage.show.state.name == "lost"
        assert "unplugged" in stage.show.state.reason
        stage.camera.condition, stage.camera.paused = "running", False
        stage.screen.wait(shows_the_person)


def test_a_camera_that_says_nothing_leaves_the_background_after_a_second() -> None:
    """Its condition may come later, or never."""
    with Stage().running() as stage:
        stage.screen.wait(shows_the_person)
        stage.camera.paused = True
        stage.screen.wait(is_background)
        assert stage.show.state.name == "blind"
        assert stage.camera.condition == "running"


@pytest.mark.parametrize(
    "part", ["backdrop.behind", "mattes._pass_on", "intake._goes_on", "composer._over"]
)
def test_whatever_breaks_the_show_goes_on_without_the_person(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stage().running() as stage:
        stage.screen.wait(shows_the_person)
        name, _, method = part.partition(".")

        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(getattr(stage.show, name), method, broken)
            stage.screen.wait(lambda picture: not shows_the_person(picture))
            stage.wait_for_state("blind")
        stage.screen.wait(shows_the_person)
        report = stage.show.report()
    assert any("ZeroDivisionError" in what for _, what in report.events)


def test_it_ends_while_the_network_hangs() -> None:
    """Which then must not be taken from under it."""
    stage = Stage()
    with stage.running():
        stage.screen.wait(shows_the_person)
        stage.opener.eye.seconds = 5.0
        time.sleep(0.2)
    assert not stage.opener.eye.closed


def test_no_network_is_an_error() -> None:
    stage = Stage()
    stage.opener.failing = True
    with stage.running():
        end = time.monotonic() + 20
        while stage.error is None and time.monotonic() < end:
            time.sleep(0.01)
    assert isinstance(stage.error, RuntimeFailure)


# --- the desk


def test_slate_freeze_and_background_are_as_they_say() -> None:
    with Stage().running() as stage:
        stage.screen.wait(shows_the_person)
        stage.desk.apply({"show": "slate"})
        stage.screen.wait(stage.is_slate)
        stage.desk.apply({"show": "background"})
        stage.screen.wait(is_background)
        stage.desk.apply({"show": "subject"})
        stage.screen.wait(shows_the_person)
        stage.desk.apply({"show": "freeze"})
        stage.wait_for_state("held")
        seen = len(stage.screen.pictures)
        while len(stage.screen.pictures) < seen + 40:
            time.sleep(0.01)
        assert len({id(picture) for _, picture in stage.screen.pictures[seen + 1 :]}) == 1


def test_a_background_is_changed_within_two_frames() -> None:
    def is_old(picture: Picture) -> bool:
        return int(picture.planes[0][0, 0]) > 50

    with Stage(settings=Settings(background="red")).running() as stage:
        stage.screen.wait(lambda one: shows_the_person(one) and is_old(one))
        stage.desk.apply({"background": "black"})
        done = len(stage.screen.pictures)
        stage.screen.wait(lambda one: int(one.planes[0][0, 0]) == doubles.BEHIND)
        late = {id(one) for _, one in stage.screen.pictures[done:] if is_old(one)}
    assert len(late) <= 3  # the one that was being made, and two in hand; slow machines repeat them


def test_what_is_wrong_changes_nothing() -> None:
    with Stage().running() as stage:
        before = stage.show.settings
        for changes in (
            {"mirror": True, "fit": "fill"},
            {"mirror": True, "background": "gone.png"},
            {"mirror": True, "model": "nobody"},
            {"mirror": True, "colour": "green"},
        ):
            with pytest.raises(StreamMatteError):
                stage.desk.apply(changes)
        assert stage.show.settings == before
        assert not stage.show.intake.mirror


def test_a_mirror_mirrors_the_person() -> None:
    with Stage().running(roll=False) as stage:
        stop = threading.Event()

        def left() -> None:
            while not stop.wait(1 / 30):
                stage.camera.show(doubles.room(20))

        thread = threading.Thread(target=left)
        thread.start()
        stage.screen.wait(lambda one: int(one.planes[0][100, 50]) > 100)
        stage.desk.apply({"mirror": True})
        stage.screen.wait(lambda one: int(one.planes[0][100, doubles.WIDTH - 50]) > 100)
        stop.set()
        thread.join()


def test_everything_there_is_to_know() -> None:
    import json

    scenes = (Scene("desk", {}, "1"),)
    with Stage(scenes=scenes).running() as stage:
        stage.screen.wait(shows_the_person)
        stage.desk.second()
        stage.show._second()
        known = json.loads(json.dumps(stage.desk.snapshot()))
        for view in ("source", "matte", "result"):
            serial, rgb = stage.desk.look(view)
            assert rgb.shape == (doubles.HEIGHT, doubles.WIDTH, 3)
            assert isinstance(serial, int)
    assert known["settings"]["background"] == "black"
    assert known["state"]["name"] == "live"
    assert set(known["meters"]) >= {"fps", "latency_ms", "dropped", "repeated", "cpu", "level"}
    assert known["choices"]["scenes"] == [{"name": "desk", "key": "1"}]


def test_scenes_follow_each_other_and_keys_choose_them() -> None:
    scenes = (
        Scene("desk", {"background": "black"}, "1"),
        Scene("break", {"show": "slate"}, "2", seconds=0.01, then="end"),
        Scene("end", {"show": "background", "background": "green"}),
    )
    with Stage(scenes=scenes).running() as stage:
        stage.desk.press("2")
        assert stage.show.settings.show == "slate"
        time.sleep(0.02)
        stage.desk.second()
        assert stage.show.settings.show == "background"
        assert stage.show.settings.background == "green"
        stage.desk.press("1")
        assert stage.show.settings.background == "black"
        stage.desk.press("x")
        with pytest.raises(UsageError, match="there is no scene 'sofa'; there are: desk, break"):
            stage.desk.choose("sofa")


def test_keys() -> None:
    with Stage().running() as stage:
        for key, show in ((" ", "slate"), ("f", "freeze"), ("b", "background")):
            stage.desk.press(key)
            assert stage.show.settings.show == show
            stage.desk.press(key)
            assert stage.show.settings.show == "subject"
        stage.desk.press("m")
        assert stage.show.settings.mirror
        stage.desk.press("q")
        assert stage.show._end.is_set()


def test_on_demand_the_camera_sleeps_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammatte.live.show.UNREAD", 0.2)
    with Stage(on_demand=True).running() as stage:
        stage.screen.wait(shows_the_person)
        stage.screen.readers = 0
        stage.wait_for_state("asleep")
        assert stage.camera.closed
        stage.screen.wait(stage.is_slate)
        stage.screen.readers = 1
        stage.screen.wait(shows_the_person)
        assert len(stage.cameras) == 1


def test_the_governors_steps_are_in_the_report() -> None:
    stage = Stage()
    stage.opener.eye.seconds = 0.2
    with stage.running():
        end = time.monotonic() + 40
        while not stage.show.governor.index and time.monotonic() < end:
            time.sleep(0.05)
        while stage.show.network.size == (448, 256) and time.monotonic() < end:
            time.sleep(0.05)
        report = stage.show.report()
    assert any(what.startswith("level 1: network at 352x192 (") for _, what in report.events)
    assert "the network is now selfie at 352x192" in [what for _, what in report.events]


def test_it_ends_after_so_many_pictures() -> None:
    with Stage(frames=20).running() as stage:
        end = time.monotonic() + 20
        while stage.show.frames < 20 and time.monotonic() < end:
            time.sleep(0.01)
    assert len(stage.screen.pictures) == 20
