"""What goes behind photographs of many sizes and colour profiles, made once for those alike."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.convert import convert
from streammatte.errors import InputError, StreamMatteError
from streammatte.frames import Layout, Picture
from streammatte.sources.video_file import VideoFile
from streammatte.stages.backgrounds import Still, fitted, open_background
from streammatte.stills.find import is_photograph
from streammatte.stills.photo import Photo, read_photo
from streammatte.stills.pillow import converter
from streammatte.threads import Threads

if TYPE_CHECKING:
    from streammatte.frames import VideoInfo
    from streammatte.light import Working
    from streammatte.options import BackgroundFit, BackgroundSpec
    from streammatte.stages.backgrounds import Background

MOST_KEPT = 2
"""Backgrounds that are kept: each is as large as a photograph."""
TAKEN = "the background's colours were taken for those of the photograph's ICC profile"


class Backdrops:
    """Makes backgrounds; may be asked from several threads."""

    def __init__(self, spec: BackgroundSpec, fit: BackgroundFit) -> None:
        """Read the background's file, if it is one.

        Raises:
            InputError: if it cannot be read.
        """
        self._spec = spec
        self._fit = fit
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Background] = OrderedDict()
        self._photo = _read(spec)
        notes = [] if self._photo is None else self._photo.notes
        self.notes = [f"background: {note}" for note in notes]
        """What was lost or assumed of it."""

    def behind(self, photo: Photo, info: VideoInfo, working: Working) -> Background | None:
        """Return what goes behind a photograph; ``None`` for nothing.

        Args:
            photo: The photograph.
            info: What its layers are like when they are put together.
            working: What they are put together in.

        Raises:
            InputError: if a video gives no picture.
        """
        if self._spec.kind in ("transparent", "blur"):
            return open_background(self._spec, self._fit, info, Threads(serial=True))
        key = (info.width, info.height, info.layout, info.colour, photo.tags.profile)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._made(photo, info, working)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _made(self, photo: Photo, info: VideoInfo, working: Working) -> Background:
        target = photo.tags.profile
        if self._photo is not None:
            picture, notes = _in_profile(self._photo, target)
            size = fitted(picture, Fraction(1), self._fit, info, VideoReformatter(), working.adapt)
            return Still(size, notes)
        spec, notes = self._spec, []
        if spec.kind == "colour" and target:
            spec, notes = _colour_in_profile(spec, target)
        with Threads(serial=True) as threads:
            opened = open_background(spec, self._fit, info, threads, working.adapt)
            assert opened is not None
            picture = opened.behind(photo.frame, np.ones((1, 1), np.float32))
            if spec.kind == "file":
                notes = ["background: the first picture of the video", *opened.notes]
        return Still(picture, notes)


def _read(spec: BackgroundSpec) -> Photo | None:
    if spec.kind != "file":
        return None
    path = Path(spec.path)
    try:
        if is_photograph(path):
            return read_photo(path)
        VideoFile(path).close()  # so that it is refused before any work is done
    except InputError as error:
        raise InputError(f"--bg: {error}") from error
    return None


def _in_profile(behind: Photo, target: bytes) -> tuple[Picture, list[str]]:
    """Return a background's picture in the colour space of a profile, and what was assumed."""
    picture, own = behind.frame.picture, behind.tags.profile
    if own == target:
        return picture, []
    try:
        change = converter(own, target)
    except StreamMatteError:
        return picture, [TAKEN]
    plain = convert(picture, Layout("rgb", 8, alpha=picture.layout.alpha), picture.colour)
    green, blue, red = plain.planes
    changed = change(np.stack([red, green, blue], -1))
    planes = [changed[..., 1], changed[..., 2], changed[..., 0]]
    if plain.alpha is not None:
        planes.append(plain.alpha)
    return Picture.of(planes, plain.layout, plain.colour), []


def _colour_in_profile(spec: BackgroundSpec, target: bytes) -> tuple[BackgroundSpec, list[str]]:
    try:
        pixel = converter(b"", target)(np.array([[spec.rgb]], np.uint8))
    except StreamMatteError:
        return spec, [TAKEN]
    red, green, blue = (int(code) for code in pixel[0, 0])
    return replace(spec, rgb=(red, green, blue)), []
