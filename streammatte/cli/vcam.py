"""``streammatte vcam``: how to get a virtual camera, and whether it works."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.cli import console
from streammatte.errors import DependencyError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from streammatte.frames import Picture

NAME = "vcam"
USAGE = "streammatte vcam setup [--run] [--name NAME] | test [WHERE] [-t SECONDS]"
HELP = "get a virtual camera, and try it"
EPILOG = """\
  streammatte vcam setup          prints what to do
  streammatte vcam setup --run    does it (with sudo, unless you are root)
  streammatte vcam test           sends a moving picture to it for ten seconds
"""
MODULES = Path("/lib/modules")
INSTALL = """\
the kernel's module v4l2loopback is not installed:
  Debian, Ubuntu   sudo apt install v4l2loopback-dkms
  Fedora           sudo dnf install akmod-v4l2loopback    (of RPM Fusion)
  Arch             sudo pacman -S v4l2loopback-dkms linux-headers"""
OTHERS = """\
the virtual camera of OBS Studio is used:
  1. install OBS Studio from https://obsproject.com (on macOS 30 or newer)
  2. start it, press Start Virtual Camera, allow it if the system asks, and stop it again
  3. pip install "streammatte[virtualcam]"
  4. streammatte live --vcam obs"""
STICKING = "0.12.7"
WIDTH, HEIGHT, RATE = 640, 360, 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=("setup", "test"), metavar="setup|test")
    parser.add_argument("where", nargs="?", default="auto", metavar="WHERE", help="(auto)")
    parser.add_argument(
        "--run", dest="perform", action="store_true", help="do it rather than print it"
    )
    parser.add_argument("--name", default="StreamMatte", help="of the camera (StreamMatte)")
    parser.add_argument("-t", type=float, default=10.0, metavar="SECONDS", help="of the test (10)")


def run(arguments: argparse.Namespace) -> int:
    """Set up, or test."""
    if arguments.what == "test":
        return _test(arguments.where, arguments.t)
    if sys.platform != "linux":
        console.out(OTHERS + "\n")
        return 0
    return _set_up(arguments.name, run=arguments.perform)


# ---- setting up


def _set_up(name: str, *, run: bool) -> int:
    from streammatte.sources import v4l2

    known = v4l2.virtual_cameras()
    if known:
        paths = ", ".join(device.path for device in known)
        console.out(f"there is a virtual camera already: {paths}\n{_warning()}")
        return 0
    if not _is_installed():
        console.out(INSTALL + "\nthen again: streammatte vcam setup\n")
        return 0 if not run else DependencyError.exit_code
    words = command(name)
    if not run:
        console.out("\n".join(_told(words)) + "\n")
        return 0
    if os.geteuid() == 0:
        words = words[1:]
    console.out(shlex.join(words) + "\n")
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603
    except OSError as error:
        raise DependencyError(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DependencyError(f"v4l2loopback was not loaded: {reason}")
    console.out("loaded; 'streammatte vcam test' tries it\n" + _warning())
    return 0


def command(name: str) -> list[str]:
    """Return the line that loads the module."""
    number = next(n for n in range(20, 64) if not Path(f"/dev/video{n}").exists())
    return ["sudo", "modprobe", "v4l2loopback", *options(name, number)]


def options(name: str, number: int) -> list[str]:
    """Return the module's options: browsers need ``exclusive_caps``, two buffers are enough."""
    label = name.replace('"', "")
    return ["devices=1", f"video_nr={number}", f"card_label={label}", "exclusive_caps=1",
            "max_buffers=2"]  # fmt: skip


def _told(words: list[str]) -> Iterator[str]:
    yield "this loads it, until the next start of the system ('--run' does it):"
    yield f"  {shlex.join(words)}"
    yield "and this makes it stay:"
    kept = shlex.quote(f"options v4l2loopback {shlex.join(words[3:])}")
    yield "  echo v4l2loopback | sudo tee /etc/modules-load.d/v4l2loopback.conf"
    yield f"  echo {kept} | sudo tee /etc/modprobe.d/v4l2loopback.conf"
    yield from filter(None, _warning().splitlines())


def _is_installed() -> bool:
    release = os.uname().release
    folder = MODULES / release
    return any(folder.rglob("v4l2loopback.ko*")) if folder.is_dir() else False


def _warning() -> str:
    """Return what is to be known of a version that sticks."""
    from streammatte.sinks.virtual_camera import RELOAD, VERSION

    try:
        version = VERSION.read_text().strip()
    except OSError:
        return ""
    if version != STICKING:
        return ""
    return (
        f"v4l2loopback {version} with exclusive_caps=1 gets stuck when a program that fed it has "
        f"ended; then: {RELOAD}\n"
    )


# ---- testing


def _test(where: str, seconds: float) -> int:
    from streammatte.frames import VideoInfo
    from streammatte.live.base import COLOUR, LAYOUT, TICK
    from streammatte.sinks.live_outputs import open_output

    info = VideoInfo(None, WIDTH, HEIGHT, LAYOUT, COLOUR, TICK, Fraction(RATE))
    output = open_output(where, info)
    try:
        console.out(f"sending a moving picture to {output.description} for {seconds:g} s\n")
        begun = time.monotonic()
        for index in range(round(seconds * RATE)):
            time.sleep(max(0.0, begun + index / RATE - time.monotonic()))
            output.send(_picture(index), round(index / RATE * 1e6))
        readers = output.readers
    finally:
        output.close()
    who = "" if readers is None else f"; programs that looked at the end: {readers}"
    console.out(f"sent {round(seconds * RATE)} pictures{who}\n")
    return 0


def _picture(index: int) -> Picture:
    """Return bars of colour, and a square that moves."""
    import numpy as np

    from streammatte.convert import from_rgb
    from streammatte.live.base import COLOUR, LAYOUT

    grey, dark = 180, 16
    colours = [(a, b, c) for b in (grey, dark) for a in (grey, dark) for c in (grey, dark)][:-1]
    samples = np.array(colours, np.float32) / np.float32(255)
    bars = samples[np.arange(WIDTH) * len(colours) // WIDTH]
    rgb = np.repeat(bars[None], HEIGHT, axis=0)
    left = (index * 4) % (WIDTH - 60)
    rgb[150:210, left : left + 60] = 1
    return from_rgb(rgb, LAYOUT, COLOUR)
