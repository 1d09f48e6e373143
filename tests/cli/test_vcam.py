"""``streammatte vcam``: what it prints, and what it runs."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.cli import vcam
from streammatte.sinks import live_outputs, virtual_camera
from streammatte.sources import v4l2
from streammatte.sources.v4l2 import LOOPBACK, Device

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")

LINE = (
    'sudo modprobe v4l2loopback devices=1 video_nr=20 card_label="StreamMatte" exclusive_caps=1 '
    "max_buffers=2"
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine that has the module, not loaded; what is run is noted down."""
    module = tmp_path / "modules" / vcam.os.uname().release / "updates" / "v4l2loopback.ko.xz"
    module.parent.mkdir(parents=True)
    module.touch()
    loaded = tmp_path / "v4l2loopback"
    (loaded / "parameters").mkdir(parents=True)
    found = SimpleNamespace(
        run=[], devices=[], error="", module=module, version=loaded / "version", forbidden=[]
    )
    monkeypatch.setattr(vcam, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(vcam, "DEVICES", tmp_path)
    monkeypatch.setattr(virtual_camera, "VERSION", found.version)
    monkeypatch.setattr(v4l2, "devices", lambda **_: found.devices)
    monkeypatch.setattr(v4l2, "forbidden", lambda: found.forbidden)
    monkeypatch.setattr(vcam.os, "geteuid", lambda: 1000)

    def run(words: list[str], **_: Any) -> Any:
        found.run.append(words)
        return SimpleNamespace(returncode=1 if found.error else 0, stderr=found.error)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_it_prints_the_line_and_how_to_make_it_stay(machine: Any, cli: Run) -> None:
    out = cli("vcam", "setup").out
    assert f"  {LINE}\n" in out
    assert "/etc/modules-load.d/v4l2loopback.conf" in out
    kept = LINE.removeprefix("sudo modprobe ")
    assert f"echo 'options {kept}' | sudo tee /etc/modprobe.d/v4l2loopback.conf" in out
    assert machine.run == []


def test_several_cameras_each_have_a_number_and_a_name(machine: Any, cli: Run) -> None:
    out = cli("vcam", "setup", "--devices", "3", "--name", 'Anna\'s "cam", $1').out
    assert 'card_label="Annas cam 1,Annas cam 1 2,Annas cam 1 3"' in out
    assert "devices=3 video_nr=20,21,22" in out
    assert "exclusive_caps=1,1,1" in out


def test_numbers_that_are_taken_are_left_out(machine: Any, cli: Run, tmp_path: Path) -> None:
    for number in (20, 22):
        (tmp_path / f"video{number}").touch()
    assert "video_nr=21,23 " in cli("vcam", "setup", "--devices", "2").out
    stuck = Device(str(tmp_path / "video20"), "StreamMatte", LOOPBACK, "", False, False)
    machine.devices.append(stuck)  # its number becomes free
    assert "video_nr=20,21 " in cli("vcam", "setup", "--devices", "2").out


def test_it_runs_the_line(machine: Any, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = cli("vcam", "setup", "--run", "--name", "My Camera")
    out.worked()
    assert machine.run[0][:3] == ["sudo", "modprobe", "v4l2loopback"]
    assert "card_label=My Camera" in machine.run[0]
    assert 'card_label="My Camera"' in out.out
    monkeypatch.setattr(vcam.os, "geteuid", lambda: 0)
    cli("vcam", "setup", "--run").worked()
    assert machine.run[1][0] == "modprobe"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("could not insert 'v4l2loopback': Operation not permitted", "Operation not permitted"),
        ("could not insert 'v4l2loopback': Key was rejected by service", "mokutil --import"),
        ("", "no reason given"),
    ],
)
def test_what_goes_wrong_is_said(said: str, words: str, machine: Any, cli: Run) -> None:
    machine.error = f"modprobe: ERROR: {said}\n" if said else "\n"
    cli("vcam", "setup", "--run").refused(4, "was not loaded", words)


def test_a_camera_that_is_stuck_is_loaded_anew(machine: Any, cli: Run) -> None:
    machine.devices.append(Device("/dev/video20", "StreamMatte", LOOPBACK, "", False, False))
    machine.version.write_text("0.12.7\n")
    assert f"  sudo modprobe -r v4l2loopback && {LINE}\n" in cli("vcam", "setup").out
    cli("vcam", "setup", "--run").worked()
    assert machine.run[0] == ["sudo", "modprobe", "-r", "v4l2loopback"]
    assert machine.run[1][:3] == ["sudo", "modprobe", "v4l2loopback"]
    machine.error = "modprobe: FATAL: Module v4l2loopback is in use.\n"
    cli("vcam", "setup", "--run").refused(4, "is in use", "close what uses")


def test_a_camera_that_may_not_be_used(machine: Any, cli: Run) -> None:
    machine.version.write_text("0.15.0\n")
    machine.forbidden.append("/dev/video20")
    cli("vcam", "setup").refused(4, "no permission to use /dev/video20: sudo usermod -aG video")


def test_a_module_that_is_missing_can_be_installed(machine: Any, cli: Run) -> None:
    machine.module.unlink()
    out = cli("vcam", "setup").out
    for words in ("apt install v4l2loopback-dkms", "akmod-v4l2loopback", "pacman -S"):
        assert words in out
    assert machine.run == []


def test_a_camera_that_is_there_already(machine: Any, cli: Run) -> None:
    machine.devices.append(Device("/dev/video20", "StreamMatte", LOOPBACK, "", False, True))
    machine.version.write_text("0.12.7\n")
    out = cli("vcam", "setup", "--run").out
    assert "there is a virtual camera already: /dev/video20" in out
    assert "gets stuck" in out
    assert "browsers" not in out
    assert machine.run == []
    (machine.version.parent / "parameters" / "exclusive_caps").write_text("N,N,N\n")
    machine.version.write_text("0.15.0\n")
    out = cli("vcam", "setup").out
    assert "browsers list it only with exclusive_caps=1" in out
    assert "gets stuck" not in out


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_elsewhere_it_is_obs(system: str, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcam.sys, "platform", system)
    out = cli("vcam", "setup").out
    assert "Start Virtual Camera" in out
    assert "streammatte live --vcam obs" in out


def test_a_test_sends_a_moving_picture(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Counted()
    monkeypatch.setattr(live_outputs, "open_output", lambda *_: output)
    result = cli("vcam", "test", "-t", "0.1")
    result.worked()
    assert "sent 3 pictures; programs that looked: 2" in result.out
    assert "it was slow" in result.out
    assert [pts for _, pts in output.sent] == [0, 33_333, 66_667]
    assert (output.sent[0][0].planes[0] != output.sent[2][0].planes[0]).any()
    assert output.closed


def test_a_test_of_nothing(cli: Run) -> None:
    assert "sent 1 pictures\n" in cli("vcam", "test", "null", "-t", "0.03").out
    cli("vcam", "test", "nonsense").refused(2, "is no output")


class Counted:
    """An output that two programs look at, but not from the beginning to the end."""

    description = "somewhere"

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int]] = []
        self.notes: list[str] = []
        self.closed = False

    @property
    def readers(self) -> int | None:
        return {1: None, 2: 2}.get(len(self.sent), 0)

    def send(self, picture: Any, pts: int) -> None:
        self.sent.append((picture, pts))

    def close(self) -> None:
        self.closed = True
        self.notes.append("it was slow")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_test_takes_sensible_times_only(seconds: str, cli: Run) -> None:
    cli("vcam", "test", "null", "-t", seconds).refused(2, "-t must be above 0")
