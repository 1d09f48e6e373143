"""``streammatte vcam``: what it prints, and what it runs."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.cli import vcam
from streammatte.sinks import virtual_camera
from streammatte.sources import v4l2
from streammatte.sources.v4l2 import LOOPBACK, Device

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")

OPTIONS = "exclusive_caps=1 max_buffers=2"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine that has the module, not loaded; what is run is noted down."""
    module = tmp_path / "modules" / vcam.os.uname().release / "updates" / "v4l2loopback.ko.xz"
    module.parent.mkdir(parents=True)
    module.touch()
    found = SimpleNamespace(
        run=[], devices=[], error="", module=module, version=tmp_path / "version"
    )
    monkeypatch.setattr(vcam, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(virtual_camera, "VERSION", found.version)
    monkeypatch.setattr(v4l2, "devices", lambda **_: found.devices)
    monkeypatch.setattr(vcam.os, "geteuid", lambda: 1000)

    def run(words: list[str], **_: Any) -> Any:
        found.run.append(words)
        return SimpleNamespace(returncode=1 if found.error else 0, stderr=found.error)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_it_prints_the_line_and_how_to_make_it_stay(machine: Any, cli: Run) -> None:
    out = cli("vcam", "setup").out
    assert "sudo modprobe v4l2loopback devices=1 video_nr=20 card_label=StreamMatte" in out
    assert OPTIONS in out
    assert "/etc/modules-load.d/v4l2loopback.conf" in out
    assert "/etc/modprobe.d/v4l2loopback.conf" in out
    assert machine.run == []


def test_it_runs_the_line(machine: Any, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("vcam", "setup", "--run", "--name", "My Camera").worked()
    assert machine.run[0][:3] == ["sudo", "modprobe", "v4l2loopback"]
    assert "card_label=My Camera" in machine.run[0]
    monkeypatch.setattr(vcam.os, "geteuid", lambda: 0)
    cli("vcam", "setup", "--run").worked()
    assert machine.run[1][0] == "modprobe"


def test_what_goes_wrong_is_said(machine: Any, cli: Run) -> None:
    machine.error = "modprobe: ERROR: could not insert 'v4l2loopback': Operation not permitted\n"
    cli("vcam", "setup", "--run").refused(4, "was not loaded", "Operation not permitted")


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
    assert machine.run == []


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_elsewhere_it_is_obs(system: str, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcam.sys, "platform", system)
    out = cli("vcam", "setup").out
    assert "Start Virtual Camera" in out
    assert "streammatte live --vcam obs" in out


def test_a_test_sends_a_moving_picture(cli: Run) -> None:
    result = cli("vcam", "test", "null", "-t", "0.1")
    result.worked()
    assert "sent 3 pictures" in result.out
    one, other = vcam._picture(0), vcam._picture(5)
    assert (one.planes[0] != other.planes[0]).any()
