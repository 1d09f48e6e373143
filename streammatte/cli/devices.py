"""``streammatte devices``: which cameras there are, what they can do, and virtual cameras."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from itertools import groupby
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
NO_MODULE = "no virtual camera: 'streammatte vcam setup' says how to get one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one object, for programs")


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    known, virtual = _linux() if sys.platform == "linux" else (_others(), [])
    if arguments.json:
        told = {
            "cameras": [_as_dict(one) for one in known],
            "virtual_cameras": [_as_dict(one) for one in virtual],
        }
        console.out(json.dumps(told, indent=1) + "\n")
    else:
        console.out("\n".join([*_cameras(known), "", *_virtual(virtual)]) + "\n")
    return 0


def _linux() -> tuple[list[Device], list[Device]]:
    from streammatte.sources import v4l2

    return [one for one in v4l2.cameras() if not one.is_loopback], v4l2.virtual_cameras()


def _others() -> list[Device]:
    """Return cameras of Windows and macOS, by FFmpeg's own list."""
    import av

    from streammatte.sources.v4l2 import Device

    form = "dshow" if sys.platform == "win32" else "avfoundation"
    found = av.enumerate_input_devices(form)
    return [
        Device(str(one.name), str(one.description or one.name), form, "", True, False)
        for one in found
    ]


def _as_dict(device: Device) -> dict[str, Any]:
    told = asdict(device)
    told["modes"] = [
        {**asdict(mode), "rates": [round(float(rate), 3) for rate in mode.rates]}
        for mode in device.modes
    ]
    return told


def _cameras(known: Sequence[Device]) -> Iterator[str]:
    if not known:
        yield "no camera: plug one in; if there is one, you may not be allowed to use it:"
        yield "  sudo usermod -aG video $USER, then log in again"
        yield "a file or an address will do, too: streammatte live --camera clip.mp4"
    for device in known:
        where = ", ".join(part for part in (device.driver, device.bus) if part)
        yield f"{device.path}  {device.name}  ({where})"
        for name, modes in groupby(device.modes, key=lambda mode: mode.format):
            yield f"  {name}  " + ", ".join(_mode(mode) for mode in modes)


def _mode(mode: Mode) -> str:
    rates = "/".join(f"{float(rate):.4g}" for rate in mode.rates[:3])
    return f"{mode.width}x{mode.height}" + (f"@{rates}" if rates else "")


def _virtual(known: Sequence[Device]) -> Iterator[str]:
    if sys.platform != "linux":
        yield "virtual camera: OBS's; 'streammatte vcam setup' says how to get it"
        return
    if not known:
        yield NO_MODULE
    for device in known:
        able = {
            (True, True): "free, or in use",
            (False, True): "free",
            (True, False): "in use",
            (False, False): "stuck: reload v4l2loopback, see 'streammatte vcam setup'",
        }[device.is_capture, device.is_output]
        yield f"{device.path}  {device.name}  (virtual camera: {able})"
