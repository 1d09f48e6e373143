"""Intake, network, outlets and workers, each alone."""

from __future__ import annotations

import threading
import time
from typing import Any

import live_doubles as doubles
import numpy as np
import pytest

from streammatte.errors import OutputError
from streammatte.frames import Picture
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.live.exchange import Exchange
from streammatte.live.intake import Intake, mirrored
from streammatte.live.network import Network, Wish
from streammatte.live.outlets import Outlet
from streammatte.live.worker import Worker
from streammatte.options import NetworkOptions

SIZE = (352, 192)


def until(what: Any, seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.005)


# --- intake


def seen(*pictures: Picture, mirror: bool = False) -> list[Any]:
    camera, exchange = doubles.Camera(), Exchange()
    intake = Intake(camera, exchange, lambda: SIZE)
    intake.mirror = mirror
    for picture in pictures:
        camera.show(picture)
        intake.around()
    return exchange.until(10**18)


def other_room() -> Picture:
    luma = np.tile(np.linspace(20, 230, doubles.HEIGHT)[:, None], (1, doubles.WIDTH))
    grey = np.full((doubles.HEIGHT // 2, doubles.WIDTH // 2), 128)
    return Picture.of([luma.astype(np.uint8), grey, grey], LAYOUT, COLOUR)


def test_a_frame_is_looked_at() -> None:
    (sight,) = seen(doubles.room())
    assert sight.view.shape == (192, 352, 3)
    assert sight.small.luma.size <= 288 * 162
    assert sight.frame.picture.width == doubles.WIDTH


def test_frames_of_one_place_are_one_scene_and_a_cut_begins_another() -> None:
    sights = seen(doubles.room(60), doubles.room(64), other_room(), other_room())
    first, second, third, fourth = (sight.scene for sight in sights)
    assert first == second != third == fourth


def test_the_same_frame_is_taken_once() -> None:
    camera, exchange = doubles.Camera(), Exchange()
    intake = Intake(camera, exchange, lambda: SIZE)
    camera.show(doubles.room())
    intake.around()
    intake.around()
    assert len(exchange.until(10**18)) == 1


def test_a_mirror_turns_the_picture_round() -> None:
    picture = doubles.room(40)
    (sight,) = seen(picture, mirror=True)
    assert (sight.frame.picture.planes[0] == picture.planes[0][:, ::-1]).all()
    assert (mirrored(mirrored(picture)).planes[0] == picture.planes[0]).all()


# --- network


class Net:
    """A network on a thread of its own, as in a show."""

    def __init__(self, **eye: Any) -> None:
        self.opener = doubles.Opener()
        for name, value in eye.items():
            setattr(self.opener.eye, name, value)
        self.exchange, self.told = Exchange(), []
        self.camera = doubles.Camera()
        self.network = Network(
            self.exchange, Wish(NetworkOptions(), SIZE), self.opener, self.told.append
        )
        self.intake = Intake(self.camera, self.exchange, lambda: self.network.size)
        self.worker = Worker("network", self.network.around, self.told.append)
        self.worker.start()

    def see(self) -> None:
        self.camera.show(doubles.room())
        self.intake.around()


@pytest.fixture
def net() -> Any:
    made = Net()
    yield made
    made.worker.end()
    made.worker.join(20)
    made.network.close()
    assert made.opener.eye.closed


def test_it_answers(net: Net) -> None:
    net.see()
    answer = net.exchange.answered(20)
    assert answer is not None
    assert answer.alpha.shape == (192, 352)
    assert 0.1 < float(answer.alpha.mean()) < 0.3
    assert not net.network.trouble


def test_it_sees_one_frame_at_a_time_however_many_it_could() -> None:
    """A GPU's memory has room for eight; it would compute all of them for the one that is there."""
    net = Net(batch=8)
    try:
        net.see()
        assert net.exchange.answered(20) is not None
        assert set(net.opener.eye.counts) == {1}
    finally:
        net.worker.end()
        net.worker.join(20)
        net.network.close()


def test_a_failure_is_told_once_and_over_when_it_works_again(net: Net) -> None:
    net.see()
    assert net.exchange.answered(20) is not None
    net.opener.eye.failing = True
    net.see()
    until(lambda: net.network.trouble)
    assert "the eye is closed" in net.network.trouble
    net.opener.eye.failing = False

    def answered() -> Any:
        net.see()
        return net.exchange.answered(0.05)

    until(answered)
    assert not net.network.trouble
    assert len([one for one in net.told if "failed" in str(one)]) == 1
    assert len(net.opener.opened) >= 2


def test_garbage_is_a_failure(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        net.opener.eye, "infer", lambda images: np.full((1, 1, *images.shape[1:3]), np.nan)
    )
    net.see()
    until(lambda: "no numbers" in net.network.trouble)
    assert net.exchange.answered(0) is None


def test_another_size_is_taken_over_in_passing(net: Net) -> None:
    net.see()
    net.exchange.answered(20)
    net.network.want(Wish(NetworkOptions(), (288, 160)))

    def small() -> bool:
        net.see()
        answer = net.exchange.answered(20)
        assert answer is not None  # there is never a time without one
        return answer.alpha.shape == (160, 288)

    until(small)
    assert net.network.size == (288, 160)


def test_of_many_wishes_the_last_one_comes_true(net: Net) -> None:
    for size in ((288, 160), (256, 160), (224, 128)):
        net.network.want(Wish(NetworkOptions(), size))
    until(lambda: net.network.size == (224, 128))


def test_a_network_that_cannot_be_had_changes_nothing(net: Net) -> None:
    until(lambda: net.network.engine)
    net.see()
    assert net.exchange.answered(20) is not None
    net.opener.failing = True
    net.network.want(Wish(NetworkOptions(), (288, 160)))
    until(lambda: any("stays as it is" in str(one) for one in net.told))
    net.see()
    answer = net.exchange.answered(20)
    assert answer is not None
    assert answer.alpha.shape == (192, 352)


def test_no_network_at_all_is_the_end() -> None:
    opener = doubles.Opener()
    opener.failing = True
    network = Network(Exchange(), Wish(NetworkOptions(), SIZE), opener, lambda _: None)
    until(lambda: network.failure)
    assert "no eye can be had" in str(network.failure)


# --- outlets and workers


def test_an_output_that_is_gone_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammatte.live.outlets.AGAIN", 0.0)
    first, second, told = doubles.Screen(), doubles.Screen(), []
    outlet = Outlet(first, lambda: second, told.append)
    picture = doubles.room()
    outlet.send(picture, 1)
    first.gone = True
    outlet.send(picture, 2)
    assert first.closed

    def back() -> bool:
        outlet.send(picture, 3)
        return bool(second.pictures)

    until(back)
    assert [words.partition(":")[0] for words in told] == [
        "a screen that is none is gone",
        "a screen that is none is back",
    ]
    outlet.close()
    assert second.closed
    assert any("plug it in" in note for note in outlet.notes)


class Broken(doubles.Screen):
    """An output that does what no output should."""

    def send(self, *_: Any) -> None:
        raise ZeroDivisionError

    @property
    def readers(self) -> int | None:  # type: ignore[override]
        raise OutputError("it is gone")

    @readers.setter
    def readers(self, value: int | None) -> None: ...


def test_whatever_an_output_raises_the_show_goes_on() -> None:
    told: list[str] = []
    outlet = Outlet(Broken(), None, told.append)
    assert outlet.readers is None
    outlet.send(doubles.room(), 1)
    outlet.send(doubles.room(), 2)
    assert told == ["a screen that is none is gone: ZeroDivisionError"]


def test_a_window_that_was_closed_stays_closed() -> None:
    screen = doubles.Screen()
    outlet = Outlet(screen, None, lambda _: None)
    screen.gone = True
    for pts in range(3):
        outlet.send(doubles.room(), pts)
    assert outlet.readers is None


def test_a_worker_survives_what_a_round_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammatte.live.worker.PAUSE", 0.0)
    failed: list[Exception] = []
    rounds = threading.Semaphore(0)

    def around() -> None:
        rounds.release()
        time.sleep(0.001)
        raise ValueError

    worker = Worker("test", around, failed.append)
    worker.start()
    for _ in range(3):
        assert rounds.acquire(timeout=20)
    worker.end()
    worker.join(20)
    assert not worker.is_alive()
    assert len(failed) >= 2
