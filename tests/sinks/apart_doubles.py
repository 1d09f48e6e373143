"""Cameras that are none, for the process that feeds one: found again there by their names."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from outputs_doubles import samples

from streammatte.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from streammatte.frames import Picture, VideoInfo


class Diary:
    """Writes down what it is sent: a line each, with the time and the samples."""

    readers: int | None = 3

    def __init__(self, where: str, info: VideoInfo) -> None:
        self.description = f"a diary of {info.width}x{info.height}"
        self.notes: list[str] = []
        self._file = Path(where).open("a")  # noqa: SIM115  until it is closed
        self.gone = Path(f"{where}.gone")

    def send(self, picture: Picture, pts: int) -> None:
        if self.gone.exists():
            raise OutputError("the diary is full; buy another")
        content = samples(picture).hex()
        self._file.write(f"{time.monotonic_ns() // 1000} {pts} {content}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.write("end\n")
        self._file.close()


def diary(where: str, info: VideoInfo) -> Diary:
    return Diary(where, info)


class Broken(Diary):
    """Does what no camera should."""

    def send(self, *_: object) -> None:
        raise ZeroDivisionError("nothing is divided here")


def broken(where: str, info: VideoInfo) -> Diary:
    return Broken(where, info)


def forbidden(where: str, info: VideoInfo) -> Diary:
    raise DependencyError(f"no permission to use {where}")


def crashing(where: str, info: VideoInfo) -> Diary:
    os._exit(9)
