"""Virtual cameras as far as they can be had without any; real ones are in tests/rig."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import pytest
from outputs_doubles import HEIGHT, INFO, WIDTH, device, picture, samples

from streammatte.errors import DependencyError, OutputError, UsageError
from streammatte.sinks import loopback, virtual_camera
from streammatte.sinks.live_outputs import open_output
from streammatte.sources import v4l2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

    from streammatte.sources.v4l2 import Device

linux = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for a device; what is written to it is raw video."""
    path = tmp_path / "video20"
    path.touch()
    real = av.open
    monkeypatch.setattr(v4l2, "devices", lambda **_: [])
    monkeypatch.setattr(v4l2, "inspect", lambda *_, **__: device(str(path), takes=True))
    monkeypatch.setattr(
        virtual_camera.av, "open", lambda file, mode, **_: real(file, mode, format="rawvideo")
    )
    return path


# --- pictures


def test_samples_pass_through_byte_for_byte(node: Path) -> None:
    output = virtual_camera.V4l2Output(str(node), INFO)
    sent = [picture(level) for level in (50, 90, 50)]
    for index, one in enumerate(sent):
        one.native.pts = 12345  # another output's
        output.send(one, index)
    output.close()
    output.close()
    assert node.read_bytes() == b"".join(samples(one) for one in sent)
    assert {one.native.pts for one in sent} == {12345}
    assert output.description == f"virtual camera {node}, {WIDTH}x{HEIGHT}"
    assert output.notes == []


def test_what_is_closed_takes_nothing(node: Path) -> None:
    output = virtual_camera.V4l2Output(str(node), INFO)
    output.close()
    with pytest.raises(OutputError, match="is closed"):
        output.send(picture(50), 0)


def test_a_device_that_goes_away_is_noticed(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = virtual_camera.V4l2Output(str(node), INFO)
    output.send(picture(50), 0)
    node.unlink()
    monkeypatch.setattr(virtual_camera, "OFTEN", 0.0)
    with pytest.raises(OutputError, match="not there any more; load it again: sudo modprobe"):
        output.send(picture(50), 1)
    output.close()


def test_what_the_driver_says_while_it_is_sent_to_is_raised(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = virtual_camera.V4l2Output(str(node), INFO)
    container = output._container
    output._container = SimpleNamespace(
        mux=raising(OSError(errno.EIO, "Input/output error")), close=container.close
    )
    with pytest.raises(OutputError, match="takes no pictures: Input/output error"):
        output.send(picture(50), 0)
    output.close()


def test_a_device_that_is_held_at_another_size_is_refused(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "accepted", lambda _: ("YU12", 640, 360))
    monkeypatch.setattr(v4l2, "holders", lambda _: {1, os.getpid()})
    monkeypatch.setattr(v4l2, "users", lambda _: ["zoom"])
    with pytest.raises(OutputError, match=r"is held at 640x360 \(YU12\).*\(zoom\); close"):
        virtual_camera.V4l2Output(str(node), INFO)
    monkeypatch.setattr(loopback, "accepted", lambda _: ("YU12", WIDTH, HEIGHT))
    virtual_camera.V4l2Output(str(node), INFO).close()


@linux
def test_a_file_says_nothing_of_formats(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    loopback.tell_rate(str(tmp_path / "file"), INFO.rate)
    assert loopback.accepted(str(tmp_path / "file")) is None


# --- readers


def test_readers_are_counted_and_nobody_waits_for_that(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, looks = threading.Event(), []

    def holders(path: str) -> set[int]:
        looks.append(path)
        assert go.wait(20)
        return {1, 2, os.getpid()}

    monkeypatch.setattr(v4l2, "holders", holders)
    output = virtual_camera.V4l2Output(str(node), INFO)
    assert [output.readers for _ in range(5)] == [None] * 5
    go.set()
    assert soon(lambda: output.readers == 2)
    assert looks == [str(node)]  # once a second at the most
    output.close()


def test_readers_are_counted_again_after_a_while(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {1}
    monkeypatch.setattr(virtual_camera, "OFTEN", 0.0)
    monkeypatch.setattr(v4l2, "holders", lambda _: found)
    output = virtual_camera.V4l2Output(str(node), INFO)
    assert soon(lambda: output.readers == 1)
    found.clear()
    assert soon(lambda: output.readers == 0)
    output.close()


# --- what is wrong with a device


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "is no virtual camera"),
        (device("x", "uvcvideo", takes=False, gives=True), "is no virtual camera"),
        (device("x", takes=False), "stuck.*; reload: sudo modprobe -r v4l2loopback && sudo mod"),
        (device("x", takes=False, gives=True), "fed by another program; close"),
    ],
)
def test_what_takes_no_pictures_says_why(
    found: Device | None, words: str, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "inspect", lambda *_, **__: found)
    with pytest.raises(OutputError, match=words):
        virtual_camera.check(str(node))


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (False, r"close what reads it \(obs, zoom\), then reload: sudo modprobe -r"),
        (True, r"fed by another program \(obs, zoom\); close that one"),
    ],
)
def test_programs_are_named(
    gives: bool, words: str, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "inspect", lambda *_, **__: device("x", takes=False, gives=gives))
    monkeypatch.setattr(v4l2, "holders", lambda _: {1, 2})
    monkeypatch.setattr(v4l2, "users", lambda _: ["obs", "zoom"])
    with pytest.raises(OutputError, match=words):
        virtual_camera.check(str(node))


def test_a_camera_that_is_missing_says_how_to_get_it(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="load v4l2loopback: sudo modprobe v4l2loopback"):
        virtual_camera.check(str(node) + "9")
    monkeypatch.setattr(v4l2, "devices", lambda **_: [device("/dev/video20", takes=True)])
    with pytest.raises(OutputError, match="virtual cameras are /dev/video20"):
        virtual_camera.check(str(node) + "9")


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EACCES, DependencyError, "no permission.*sudo usermod -aG video"),
        (errno.EPERM, DependencyError, "no permission.*sudo usermod -aG video"),
        (errno.EBUSY, OutputError, "in use by another program"),
        (errno.ENODEV, OutputError, "not there any more.*modprobe"),
        (errno.EINVAL, OutputError, "of this size"),
        (errno.ENOTTY, OutputError, "no virtual camera; 'streammatte devices'"),
        (errno.EIO, OutputError, "takes no pictures: reason"),
    ],
)
def test_refusals_say_what_to_do(
    number: int, kind: type[Exception], words: str, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_camera.av, "open", raising(OSError(number, "reason")))
    with pytest.raises(kind, match=words):
        virtual_camera.V4l2Output(str(node), INFO)
    monkeypatch.setattr(virtual_camera.os, "open", raising(OSError(number, "reason")))
    with pytest.raises(kind, match=words):
        virtual_camera.check(str(node))


@linux
def test_auto_takes_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        device("/dev/video20", takes=False),
        device("/dev/video21", takes=True),
        device("/dev/video22", takes=True),
    ]
    busy = {"/dev/video21"}
    monkeypatch.setattr(v4l2, "devices", lambda **_: known)
    monkeypatch.setattr(v4l2, "forbidden", list)
    monkeypatch.setattr(v4l2, "holders", lambda path: {1} if path in busy else set())
    assert virtual_camera.first_free() == "/dev/video22"
    busy.add("/dev/video22")  # readers may have been there before
    assert virtual_camera.first_free() == "/dev/video21"
    known.clear()
    with pytest.raises(OutputError, match="streammatte vcam setup"):
        open_output("auto", INFO)
    monkeypatch.setattr(v4l2, "forbidden", lambda: ["/dev/video20"])
    with pytest.raises(DependencyError, match="use /dev/video20: sudo usermod"):
        open_output("auto", INFO)


def test_words_of_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match="so does --vcam auto"):
        open_output("obs", INFO)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="here it is --vcam obs"):
        open_output("/dev/video20", INFO)


# --- pyvirtualcam


class Obs:
    """A camera as pyvirtualcam's backends are."""

    broken = ""
    sent: list[np.ndarray]
    closed = False

    def __init__(self, **asked: Any) -> None:
        if Obs.broken:
            raise RuntimeError(Obs.broken)
        Obs.sent, Obs.closed = [], False
        assert (asked["width"], asked["height"], asked["fps"]) == (WIDTH, HEIGHT, 30.0)
        assert asked["fourcc"].to_bytes(4, "little") == b"I420"

    def device(self) -> str:
        return "OBS Virtual Camera"

    def native_fourcc(self) -> None:
        return None

    def send(self, frame: np.ndarray) -> None:
        if Obs.broken:
            raise RuntimeError(Obs.broken)
        Obs.sent.append(frame.copy())

    def close(self) -> None:
        Obs.closed = True


@pytest.fixture
def obs(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Obs]]:
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    pyvirtualcam.register_backend("obs", Obs)
    monkeypatch.setattr(sys, "platform", "win32")
    yield Obs
    Obs.broken = ""
    del pyvirtualcam.camera.BACKENDS["obs"]


def test_obs_gets_the_samples(obs: type[Obs]) -> None:
    output = open_output("obs", INFO)
    output.send(picture(77), 0)
    assert output.description == "virtual camera OBS Virtual Camera, by obs"
    assert output.readers is None
    output.close()
    output.close()
    assert [sent.tobytes() for sent in obs.sent] == [samples(picture(77))]
    assert obs.closed
    with pytest.raises(OutputError, match="is closed"):
        output.send(picture(77), 0)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("OBS Virtual Camera device not found! Did you install OBS?", "install OBS Studio"),
        ("virtual camera output could not be started", "stop the virtual camera in OBS"),
    ],
)
def test_obs_that_is_not_there_says_what_to_do(reason: str, words: str, obs: type[Obs]) -> None:
    obs.broken = reason
    with pytest.raises(OutputError, match=f"{words}.*{re.escape(reason)}"):
        open_output("obs", INFO)


def test_obs_that_goes_away_is_noticed(obs: type[Obs]) -> None:
    output = open_output("obs", INFO)
    obs.broken = "it was\nswitched off"
    with pytest.raises(OutputError, match="is gone: it was; switched off"):
        output.send(picture(50), 0)
    output.close()


def test_pyvirtualcam_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(DependencyError, match=r"pip install 'streammatte\[virtualcam\]'"):
        open_output("auto", INFO)


# --- hands


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def soon(what: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not what() and time.monotonic() < end:
        time.sleep(0.002)
    return what()
