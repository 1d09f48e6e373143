"""Outputs of a show: files, addresses, windows, and virtual cameras that are none."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from streammatte.errors import DependencyError, OutputError, UsageError
from streammatte.frames import Picture, VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sinks import live_outputs, preview, virtual_camera
from streammatte.sinks.live_outputs import open_output
from streammatte.sources import v4l2
from streammatte.sources.v4l2 import LOOPBACK, Device

if TYPE_CHECKING:
    from pathlib import Path

INFO = VideoInfo(None, 128, 96, LAYOUT, COLOUR, TICK, Fraction(30))


def picture(level: int) -> Picture:
    luma = np.full((96, 128), level, np.uint8)
    chroma = [np.full((48, 64), value, np.uint8) for value in (100, 150)]
    return Picture.of([luma, *chroma], LAYOUT, COLOUR)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("camera", "'camera' is no output; use auto, /dev/video20"),
        ("talk.txt", "is no output"),
        ("srt://here:1", "srt:// is not sent to; use udp, rtmp"),
    ],
)
def test_what_is_no_output_is_refused(where: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_output(where, INFO)


def test_nowhere() -> None:
    output = open_output("null", INFO)
    output.send(picture(50), 0)
    assert output.readers is None
    output.close()


# --- a file


def test_a_file_has_the_pictures_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    output = open_output(str(path), INFO)
    for index in range(20):
        output.send(picture(40 + 8 * index), 5_000_000 + round(index * 1e6 / 30))
    assert not path.exists()
    output.close()
    output.close()
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == "h264"
        assert not container.streams.audio
    assert len(frames) == 20
    assert [frame.time for frame in frames] == pytest.approx(
        [index / 30 for index in range(20)], abs=1e-3
    )
    levels = [float(frame.to_ndarray()[:96].mean()) for frame in frames]
    assert levels == pytest.approx([40 + 8 * index for index in range(20)], abs=2)
    assert output.notes == []


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists"):
        open_output(str(path), INFO)
    output = open_output(str(path), INFO, overwrite=True)
    output.send(picture(50), 0)
    output.close()
    assert path.stat().st_size > 500


def test_an_encoder_that_is_too_slow_leaves_pictures_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: Any = open_output(str(tmp_path / "talk.mp4"), INFO)
    go = threading.Event()
    write = output._sink.write

    def slow(frame: Any) -> None:
        go.wait(20)
        write(frame)

    monkeypatch.setattr(output._sink, "write", slow)
    for index in range(live_outputs.MOST_WAITING + 6):
        output.send(picture(50), index * 33_333)
    go.set()
    output.close()
    (note,) = output.notes
    assert "pictures were left out" in note
    with av.open(str(tmp_path / "talk.mp4")) as container:
        assert len(list(container.decode(video=0))) >= live_outputs.MOST_WAITING


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: Any = open_output(str(tmp_path / "talk.mp4"), INFO)

    def full(_: Any) -> None:
        raise OutputError("the disk is full; make room")

    monkeypatch.setattr(output._sink, "write", full)
    for index in range(60):
        output.send(picture(50), index * 33_333)
        time.sleep(0.001)
    output.close()
    assert output.notes == ["the recording has ended: the disk is full; make room"]
    assert list(tmp_path.iterdir()) == []


# --- an address


def test_an_address_is_sent_to() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"udp://127.0.0.1:{port}"
    levels: list[float] = []
    enough = threading.Event()

    def read() -> None:
        with av.open(address, timeout=30, options={"fflags": "nobuffer"}) as container:
            for frame in container.decode(video=0):
                levels.append(float(frame.to_ndarray()[:96].mean()))
                if len(levels) >= 5:
                    enough.set()
                    return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    output = open_output(address, INFO)
    end = time.monotonic() + 40
    index = 0
    while not enough.is_set() and time.monotonic() < end:
        output.send(picture(120), index)
        index += 1
        time.sleep(1 / 60)
    output.close()
    assert enough.is_set()
    assert levels == pytest.approx([120] * len(levels), abs=4)
    assert not output._process.is_alive()  # type: ignore[attr-defined]


def test_nobody_at_an_address_is_told_and_holds_nothing_up() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output: Any = open_output(f"rtmp://127.0.0.1:{port}/live", INFO)
    end = time.monotonic() + 40
    while not output.notes and time.monotonic() < end:
        output.send(picture(50), 0)
        time.sleep(0.01)
    output.close()
    assert "trying again" in output.notes[0]


def test_what_sends_may_die(monkeypatch: pytest.MonkeyPatch) -> None:
    output: Any = open_output("udp://127.0.0.1:9", INFO)
    output._process.kill()
    output._process.join()
    with pytest.raises(OutputError, match="has died"):
        output.send(picture(50), 0)
    output.close()


# --- a window


class Screen:
    """OpenCV's windows, without any."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[np.ndarray] = []
        self.visible = 1.0
        self.key = -1
        self.changed = threading.Event()
        for name in ("namedWindow", "resizeWindow", "destroyWindow"):
            monkeypatch.setattr(cv2, name, lambda *_: None, raising=False)
        monkeypatch.setattr(cv2, "imshow", self._show, raising=False)
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.key, raising=False)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible, raising=False)
        monkeypatch.setenv("DISPLAY", ":0")

    def _show(self, _: str, bgr: np.ndarray) -> None:
        self.shown.append(bgr)
        self.changed.set()


def test_a_window_shows_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    output = open_output("window", INFO)
    output.send(picture(120), 0)
    assert screen.changed.wait(20)
    output.close()
    assert screen.shown[-1].shape == (96, 128, 3)
    # 601 limited: luma 120, Cb 100, Cr 150.
    red, blue = 1.164 * 104 + 1.596 * 22, 1.164 * 104 - 2.018 * 28
    assert screen.shown[-1][50, 50, 2] == pytest.approx(red, abs=3)
    assert screen.shown[-1][50, 50, 0] == pytest.approx(blue, abs=3)


@pytest.mark.parametrize("how", ["closed", "escape"])
def test_a_window_that_is_closed_is_gone(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    output: Any = open_output("window", INFO)
    if how == "closed":
        screen.visible = 0.0
    else:
        screen.key = 27
    output._thread.join(20)
    with pytest.raises(OutputError, match="closed"):
        output.send(picture(50), 0)
    assert output.readers == 0
    output.close()


def test_an_opencv_without_windows_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Screen(monkeypatch)

    def missing(*_: Any) -> None:
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "namedWindow", missing)
    with pytest.raises(DependencyError, match="pip install opencv-python"):
        open_output("window", INFO)


@pytest.mark.skipif(sys.platform != "linux", reason="others always have a screen")
def test_no_screen_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(OutputError, match="no screen"):
        preview.Window(INFO)


# --- virtual cameras; real ones are in tests/rig


def device(path: str, driver: str = LOOPBACK, *, takes: bool, gives: bool = False) -> Device:
    return Device(path, "StreamMatte", driver, "platform:v4l2loopback-000", gives, takes)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "video20"
    path.touch()
    monkeypatch.setattr(v4l2, "devices", lambda **_: [])
    return path


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "is no virtual camera"),
        (device("x", "uvcvideo", takes=False, gives=True), "is no virtual camera"),
        (device("x", takes=False), "is stuck.*modprobe -r v4l2loopback && sudo modprobe"),
        (device("x", takes=False, gives=True), "fed by another program"),
    ],
)
def test_what_takes_no_pictures_says_why(
    found: Device | None, words: str, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "inspect", lambda *_, **__: found)
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


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may do anything")
def test_no_permission_says_how_to_get_it(node: Path) -> None:
    node.chmod(0)
    with pytest.raises(DependencyError, match="usermod -aG video"):
        virtual_camera.check(str(node))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EBUSY, "in use by another program"),
        (errno.ENODEV, "not there any more.*modprobe"),
        (errno.EINVAL, "of this size"),
        (errno.EIO, "takes no pictures: reason"),
    ],
)
def test_refusals_say_what_to_do(number: int, words: str) -> None:
    refused = virtual_camera.refusal("/dev/video20", OSError(number, "reason"))
    assert __import__("re").search(words, refused)


def test_auto_takes_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        device("/dev/video20", takes=False),
        device("/dev/video21", takes=True),
        device("/dev/video22", takes=True),
    ]
    monkeypatch.setattr(v4l2, "devices", lambda **_: known)
    monkeypatch.setattr(v4l2, "holders", lambda path: [1] if "21" in path else [])
    assert virtual_camera.first_free() == "/dev/video22"
    known.clear()
    with pytest.raises(OutputError, match="streammatte vcam setup"):
        virtual_camera.first_free()


class Obs:
    """pyvirtualcam, as far as it is used."""

    PixelFormat = SimpleNamespace(I420="i420")

    def __init__(self) -> None:
        self.sent: list[np.ndarray] = []
        self.broken = ""
        self.closed = False

    def Camera(self, width: int, height: int, fps: float, *, fmt: str, backend: str | None) -> Any:  # noqa: N802
        if self.broken:
            raise RuntimeError(self.broken)
        assert (width, height, fps, fmt) == (128, 96, 30.0, "i420")
        return SimpleNamespace(
            device="OBS Virtual Camera", backend=backend, send=self.sent.append, close=self._close
        )

    def _close(self) -> None:
        self.closed = True


def test_obs_gets_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    obs = Obs()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", obs)
    output = open_output("obs", INFO)
    output.send(picture(77), 0)
    output.close()
    output.close()
    (sent,) = obs.sent
    assert sent.shape == (128 * 96 * 3 // 2,)
    assert (sent[: 128 * 96] == 77).all()
    assert (sent[-64 * 48 :] == 150).all()
    assert obs.closed
    with pytest.raises(OutputError):
        output.send(picture(77), 0)


def test_obs_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    obs = Obs()
    obs.broken = "'obs' backend: virtual camera output could not be started"
    monkeypatch.setitem(sys.modules, "pyvirtualcam", obs)
    with pytest.raises(OutputError, match=r"could not be started.*start OBS"):
        open_output("obs", INFO)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(DependencyError, match=r"pip install 'streammatte\[virtualcam\]'"):
        open_output("obs", INFO)
