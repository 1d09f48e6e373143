"""``streammatte vcam``: how to get a virtual camera, and whether it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.cli import console
from streammatte.errors import DependencyError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from streammatte.frames import Picture
    from streammatte.live.base import Output

NAME = "vcam"
USAGE = "streammatte vcam setup [--run] [--devices N] [--name NAME] | test [WHERE] [-t SECONDS]"
HELP = "get a virtual camera, and try it"
EPILOG = """\
  streammatte vcam setup          prints what to do
  streammatte vcam setup --run    does it (with sudo, unless you are root)
  streammatte vcam test           sends a moving picture to it for ten seconds
"""
MODULES = Path("/lib/modules")
DEVICES = Path("/dev")
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
SIGNED = (
    "Secure Boot takes signed modules only: sudo mokutil --import /var/lib/dkms/mok.pub, restart, "
    "choose Enroll MOK"
)
BROWSERS = "browsers list it only with exclusive_caps=1; to load it anew: {}"
FIRST, LAST = 20, 63
"""Numbers that are looked at; webcams have the lower ones."""
MOST_DEVICES = 8
WIDTH, HEIGHT, RATE = 640, 360, 30
LONGEST = 86400
"""Seconds of a test."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=("setup", "test"), metavar="setup|test")
    parser.add_argument("where", nargs="?", default="auto", metavar="WHERE", help="(auto)")
    parser.add_argument(
        "--run", dest="perform", action="store_true", help="do it rather than print it"
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        choices=range(1, MOST_DEVICES + 1),
        metavar="N",
        help="how many virtual cameras (1)",
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
    return _set_up(arguments.name, arguments.devices, perform=arguments.perform)


# ---- setting up


def _set_up(name: str, count: int, *, perform: bool) -> int:
    from streammatte.sinks.virtual_camera import FORBIDDEN, VERSION
    from streammatte.sources import v4l2

    known = v4l2.virtual_cameras()
    if any(device.is_output or device.is_capture for device in known):
        console.out(_has(", ".join(device.path for device in known)))
        return 0
    is_loaded = VERSION.exists()
    if is_loaded and not known and v4l2.forbidden():
        raise DependencyError(FORBIDDEN.format(", ".join(v4l2.forbidden())))
    if not is_loaded and not _is_installed():
        console.out(INSTALL + "\nthen again: streammatte vcam setup\n")
        return DependencyError.exit_code if perform else 0
    numbers = _free_numbers(count, [device.path for device in known])
    words = options(name, numbers)
    commands = [["modprobe", "-r", "v4l2loopback"]] * is_loaded
    commands += [["modprobe", "v4l2loopback", *words]]
    if perform:
        _perform(commands)
    else:
        console.out("\n".join(_told(commands, words)) + "\n")
    return 0


def _perform(commands: list[list[str]]) -> None:
    """Run commands as root.

    Raises:
        DependencyError: if one fails.
    """
    for command in commands:
        words = command if os.geteuid() == 0 else ["sudo", *command]
        console.out(line(words) + "\n")
        try:
            done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603
        except OSError as error:
            raise DependencyError(f"{words[0]} cannot be run: {error.strerror}") from error
        if done.returncode:
            raise DependencyError(_failed(done.stderr))
    console.out("loaded; 'streammatte vcam test' tries it\n" + _warning())


def _failed(said: str) -> str:
    reason = (said.strip().splitlines() or ["no reason given"])[-1]
    advice = ""
    if "Key was rejected" in reason:
        advice = f"; {SIGNED}"
    elif "in use" in reason:
        advice = "; close what uses the virtual camera, and try again"
    return f"v4l2loopback was not loaded: {reason}{advice}"


def _free_numbers(count: int, replaced: list[str]) -> list[int]:
    """Return the numbers that new devices get, of those that are free or become free."""
    paths = {number: str(DEVICES / f"video{number}") for number in range(FIRST, LAST + 1)}
    free = [number for number, path in paths.items()
            if path in replaced or not Path(path).exists()]  # fmt: skip
    return free[:count]


def options(name: str, numbers: list[int]) -> list[str]:
    """Return the module's options: browsers need ``exclusive_caps``, two buffers are enough."""
    label = re.sub(r"[^\w .()+-]", "", name).strip() or "StreamMatte"
    labels = [label, *(f"{label} {number}" for number in range(2, len(numbers) + 1))]
    return [
        f"devices={len(numbers)}",
        f"video_nr={','.join(map(str, numbers))}",
        f"card_label={','.join(labels)}",
        f"exclusive_caps={','.join('1' for _ in numbers)}",
        "max_buffers=2",
    ]


def line(words: list[str]) -> str:
    """Return words as a shell and modprobe.conf both take them: names in double quotes."""
    return " ".join(re.sub(r"^card_label=(.*)$", r'card_label="\1"', word) for word in words)


def _told(commands: list[list[str]], words: list[str]) -> Iterator[str]:
    yield "this loads it, until the next start of the system ('--run' does it):"
    yield "  " + " && ".join(line(["sudo", *command]) for command in commands)
    yield "and this makes it stay:"
    yield "  echo v4l2loopback | sudo tee /etc/modules-load.d/v4l2loopback.conf"
    yield (
        f"  echo 'options v4l2loopback {line(words)}' | sudo tee /etc/modprobe.d/v4l2loopback.conf"
    )
    yield from _warning().splitlines()


def _is_installed() -> bool:
    folder = MODULES / os.uname().release
    return any(folder.rglob("v4l2loopback.ko*")) if folder.is_dir() else False


def _has(paths: str) -> str:
    """Say that there are virtual cameras, and what is to be known of them."""
    from streammatte.sinks.virtual_camera import RELOAD, VERSION

    try:
        exclusive = (VERSION.parent / "parameters" / "exclusive_caps").read_text()
    except OSError:
        exclusive = "Y"
    hint = "" if "Y" in exclusive else BROWSERS.format(RELOAD) + "\n"
    return f"there is a virtual camera already: {paths}\n{hint}{_warning()}"


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

    if not 0 < seconds <= LONGEST:
        raise UsageError(f"-t must be above 0 and at most {LONGEST}, got {seconds:g}")
    info = VideoInfo(None, WIDTH, HEIGHT, LAYOUT, COLOUR, TICK, Fraction(RATE))
    output = open_output(where, info)
    try:
        console.out(f"sending a moving picture to {output.description} for {seconds:g} s\n")
        readers = _send(output, round(seconds * RATE))
    finally:
        output.close()
    who = "" if readers is None else f"; programs that looked: {readers}"
    console.out(f"sent {round(seconds * RATE)} pictures{who}\n")
    for note in output.notes:
        console.out(f"{note}\n")
    return 0


def _send(output: Output, count: int) -> int | None:
    """Send pictures at their times; return how many programs looked at once, at the most."""
    begun = time.monotonic()
    most: int | None = None
    for index in range(count):
        time.sleep(max(0.0, begun + index / RATE - time.monotonic()))
        output.send(_picture(index), round(index / RATE * 1e6))
        readers = output.readers
        if readers is not None:
            most = max(readers, most or 0)
    return most


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
