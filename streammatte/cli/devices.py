"""``streammatte devices``: which cameras there are, what they can do, and virtual cameras."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streammatte.cli import console

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from streammatte.sources.v4l2 import Device, Mode

NAME = "devices"
USAGE = "streammatte devices [--json]"
HELP = "list the cameras and their modes, and virtual cameras"
EPILOG = """\
A camera is chosen by its path, its number or a part of its name:
  streammatte live --camera C920 --mode 1280x720@30:mjpg --bg blur
"""
NO_CAMERA = """\
no camera: plug one in; in a container, start it with --device /dev/video0
a file or an address will do, too: streammatte live --camera clip.mp4"""
NO_MODULE = "no virtual camera: 'streammatte vcam setup' says how to get one"
MOST_RATES = 3
"""That are named of a size; the highest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one object, for programs")


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    known, virtual = _found()
    if arguments.json:
        told = {
            "cameras": [_as_dict(one) for one in known],
            "virtual_cameras": [{**_as_dict(one), "users": _users(one)} for one in virtual],
        }
        console.out(json.dumps(told, indent=1) + "\n")
    else:
        console.out("\n".join([*_cameras(known), "", *_virtual(virtual)]) + "\n")
    return 0


def _found() -> tuple[list[Device], list[Device]]:
    """Return cameras, and virtual cameras where those are devices."""
    from streammatte.sources import camera, v4l2

    if sys.platform != "linux":
        return camera.system_cameras(sys.platform), []
    known = v4l2.devices()
    return (
        [one for one in known if one.is_capture and not one.is_loopback],
        [one for one in known if one.is_loopback],
    )


def _users(device: Device) -> list[str]:
    from streammatte.sources import v4l2

    return v4l2.users(device.path)


def _as_dict(device: Device) -> dict[str, Any]:
    told = asdict(device)
    told["modes"] = [
        {**asdict(mode), "rates": [round(float(rate), 3) for rate in mode.rates]}
        for mode in device.modes
    ]
    return told


def _cameras(known: Sequence[Device]) -> Iterator[str]:
    yield from _locked()
    if not known:
        yield NO_CAMERA
    for device in known:
        where = ", ".join(part for part in (device.driver, device.bus) if part)
        yield f"{device.path}  {device.name}  ({where})"
        yield from _formats(device.modes)


def _locked() -> Iterator[str]:
    if sys.platform != "linux":
        return
    from streammatte.sources import v4l2

    if paths := v4l2.forbidden():
        yield f"no permission to use {', '.join(paths)}:"
        yield "  sudo usermod -aG video $USER, then log in again"


def _formats(modes: Sequence[Mode]) -> Iterator[str]:
    """Tell what can be asked for of a camera, a line a format, and what it has besides."""
    from streammatte.sources.modes import TAKEN

    names = list(dict.fromkeys(mode.format for mode in modes))
    for name in (one for one in names if one in TAKEN):
        sizes = [_mode(mode) for mode in modes if mode.format == name]
        yield f"  {name}  " + ", ".join(sizes)
    if others := [name for name in names if name not in TAKEN]:
        yield f"  not taken: {', '.join(others)}"


def _mode(mode: Mode) -> str:
    rates = "/".join(f"{float(rate):.4g}" for rate in mode.rates[:MOST_RATES])
    return f"{mode.width}x{mode.height}" + (f"@{rates}" if rates else "")


def _virtual(known: Sequence[Device]) -> Iterator[str]:
    if sys.platform != "linux":
        yield "virtual camera: OBS's; 'streammatte vcam setup' says how to get it"
        return
    if not known:
        yield NO_MODULE
    for device in known:
        yield f"{device.path}  {device.name}  (virtual camera: {_state(device)})"


def _state(device: Device) -> str:
    users = _users(device)
    by = f", opened by {' and '.join(users)}" if users else ""
    if device.is_output:
        return "opened by " + " and ".join(users) if users else "free"
    if device.is_capture:
        return f"fed{by}; a camera for --camera {device.path}"
    return f"stuck{by}: reload v4l2loopback, see 'streammatte vcam setup'"
