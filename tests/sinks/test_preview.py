"""The window, with an OpenCV whose windows are none."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import cv2
import pytest
from outputs_doubles import HEIGHT, INFO, WIDTH, picture

from streammatte.errors import DependencyError, OutputError
from streammatte.sinks import preview
from streammatte.sinks.live_outputs import open_output

if TYPE_CHECKING:
    import numpy as np


class Screen:
    """OpenCV's windows, without any."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[np.ndarray] = []
        self.visible = 1.0
        self.key = -1
        self.destroyed = 0
        self.broken = ""
        self.changed = threading.Event()
        for name, stand_in in (
            ("namedWindow", self._open), ("resizeWindow", lambda *_: None),
            ("destroyWindow", self._destroy), ("imshow", self._show),
            ("waitKey", lambda _: self.key), ("getWindowProperty", lambda *_: self.visible),
        ):  # fmt: skip
            monkeypatch.setattr(cv2, name, stand_in, raising=False)
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(sys, "platform", "linux")

    def _open(self, *_: Any) -> None:
        if self.broken:
            raise cv2.error(self.broken)

    _check = _open

    def _show(self, _: str, bgr: np.ndarray) -> None:
        self._check()
        self.shown.append(bgr)
        self.changed.set()

    def _destroy(self, _: str) -> None:
        if self.visible < 1:
            raise cv2.error("NULL window")
        self.destroyed += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_a_window_shows_what_is_sent(screen: Screen) -> None:
    output = open_output("window", INFO)
    assert output.readers == 1
    output.send(picture(120), 0)
    assert screen.changed.wait(20)
    output.close()
    output.close()
    assert screen.destroyed == 1
    shown = screen.shown[-1]
    assert shown.shape == (HEIGHT, WIDTH, 3)
    # 601 limited: luma 120, Cb 100, Cr 150.
    red, blue = 1.164 * 104 + 1.596 * 22, 1.164 * 104 - 2.018 * 28
    assert shown[50, 50, 2] == pytest.approx(red, abs=3)
    assert shown[50, 50, 0] == pytest.approx(blue, abs=3)


@pytest.mark.parametrize("how", ["closed", "escape"])
def test_a_window_that_is_closed_is_gone(how: str, screen: Screen) -> None:
    output: Any = open_output("window", INFO)
    if how == "closed":
        screen.visible = 0.0
    else:
        screen.key = 27
    output._thread.join(20)
    with pytest.raises(OutputError, match="the window was closed"):
        output.send(picture(50), 0)
    assert output.readers == 0
    assert screen.destroyed == (how == "escape")
    output.close()


def test_an_opencv_without_windows_says_what_to_install(screen: Screen) -> None:
    screen.broken = "The function is not implemented. Rebuild the library"
    with pytest.raises(DependencyError, match=r"pip install opencv-python$"):
        open_output("window", INFO)


def test_the_opencv_of_this_project_has_no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    if "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DependencyError, match="pip uninstall opencv-python-headless"):
        open_output("window", INFO)


def test_other_reasons_are_said(screen: Screen) -> None:
    screen.broken = (
        "OpenCV(5.0.0) /io/window.cpp:12: error: (-2:Unspecified error) Can't initialize GTK "
        "backend in function 'cvInitSystem'\n"
    )
    with pytest.raises(OutputError, match=r"cannot be shown: Can't initialize GTK backend$"):
        open_output("window", INFO)


def test_a_window_that_breaks_later_is_gone(screen: Screen) -> None:
    output: Any = open_output("window", INFO)
    screen.broken = "the screen was unplugged"
    output.send(picture(50), 0)
    output._thread.join(20)
    with pytest.raises(OutputError, match="cannot be shown: the screen was unplugged"):
        output.send(picture(50), 1)
    output.close()


def test_no_screen_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    with pytest.raises(OutputError, match="no screen"):
        preview.Window(INFO)


def test_macos_is_refused(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OutputError, match="use --control"):
        preview.Window(INFO)
    assert screen.shown == []
