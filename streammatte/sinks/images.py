"""Image sequences: written on a few threads, each file whole or absent, numbers as the plate's."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from streammatte.errors import InputError, OutputError, UsageError
from streammatte.images import Layer, Manner, kind_of
from streammatte.numbered import Pattern, ranges
from streammatte.ocio import CHROMATICITIES
from streammatte.resume import numbering
from streammatte.sinks.base import PartFile, writable
from streammatte.sinks.estimate import bytes_of, kind, room
from streammatte.sinks.passes import DATA_PASSES, picture_of
from streammatte.sinks.verify import Error, Kept, difference
from streammatte.timecode import advanced

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from streammatte.frames import Frame, Picture, VideoInfo
    from streammatte.options import Pass, SequenceOptions

WRITERS = min(4, os.cpu_count() or 1)
_HALF_STEP = 0.07
"""In steps of 8 bits: half of what lies between two numbers of half precision below 1."""
_PLAIN = (".jpg", ".jpeg")


class Images:
    """Writes one file a frame; see ``sinks.base.Sink``. What is whole stays, whatever happens."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        passes: dict[Pass, bool],
        options: SequenceOptions,
        *,
        multiplied: bool,
    ) -> None:
        """Prepare to write ``shot.%04d.exr``; the folder is made if it is not there.

        Args:
            path: The pattern; a name without a number for one picture.
            info: What results are like.
            passes: What is written into each file, and whether it has alpha.
            options: How.
            multiplied: Whether colours with alpha are multiplied by it.

        Raises:
            UsageError: if the kind of file cannot hold that.
            OutputError: if the folder cannot be made.
            DependencyError: if the library is not there.
        """
        self.path = path
        self._pattern = Pattern(path)
        self._kind = kind_of(path)
        self._passes = passes
        self._info = info
        self._begin, self._shift = numbering(info, options)
        self._manner = Manner(
            path.suffix.lower(),
            info.layout.depth,
            multiplied,
            options.compression,
            options.full_float,
            info.rate if self._pattern.is_numbered else None,
            info.pixel_aspect,
            info.display,
            info.canvas,
            _chromaticities(info),
        )
        self._check()
        self.bytes_expected = self._expected()
        there = next(folder for folder in path.absolute().parents if folder.exists())
        self.notes = room(there / path.name, self.bytes_expected)
        self._made = _folders(path)
        self._pool = ThreadPoolExecutor(WRITERS, "write")
        self._pending: deque[Future[None]] = deque()
        self._kept = Kept()
        self._count = 0
        self._written: set[int] = set()
        self._times: list[int] = []
        self._uneven = False
        data = set(passes) <= set(DATA_PASSES)
        self.description = self._kind.stored(self._manner, data=data)
        if any(passes.values()):
            self.description += f" with {'premultiplied' if multiplied else 'straight'} alpha"

    def _check(self) -> None:
        suffix = self._manner.suffix
        if len(self._passes) > 1 and suffix != ".exr":
            raise UsageError(f"--multilayer is for OpenEXR; {self.path.name} holds one pass")
        if len(self._passes) > 1 and self._manner.compression == "dwaa":
            raise UsageError(
                "--compression dwaa loses in all layers; write passes to files of their own, "
                "without --multilayer, where mattes are kept whole"
            )
        if suffix in _PLAIN and any(self._passes.values()):
            raise UsageError(f"{suffix} carries no alpha; use .exr, .png or .tif")
        if not self._pattern.is_numbered and not self._info.still:
            name = f"{self.path.stem}.%04d{self.path.suffix}"
            raise UsageError(f"{self.path.name} is one image; give footage a name such as {name}")

    def _expected(self) -> int | None:
        suffix, info = self._manner.suffix, self._info
        sizes = [
            bytes_of(suffix, info, kind(alpha=alpha, data=name in DATA_PASSES))
            for name, alpha in self._passes.items()
        ]
        known = [size for size in sizes if size is not None]
        return sum(known) * (2 if self._manner.full_float else 1) if known else None

    def write(self, frame: Frame) -> None:
        """Hand the frame to a thread; what went wrong with earlier ones is raised here."""
        self._look_at_times(frame)
        number = self._number(frame)
        layers = [self._layer(frame, name, alpha) for name, alpha in self._passes.items()]
        header = self._header(frame, number)
        self._keep(number, layers, header)
        self._pending.append(self._pool.submit(partial(self._write, number, layers, header)))
        del layers
        while len(self._pending) > WRITERS:
            self._pending.popleft().result()
        self._count += 1

    def _number(self, frame: Frame) -> int:
        return (self._begin + self._count if frame.number is None else frame.number) + self._shift

    def _layer(self, frame: Frame, name: Pass, alpha: bool) -> Layer:
        picture: Picture = picture_of(frame, name)
        return Layer(name, picture, alpha and picture.alpha is not None, name in DATA_PASSES)

    def _header(self, frame: Frame, number: int) -> dict[str, Any]:
        """Return what the file says: its own time code if the plate's file had one."""
        header = dict(frame.header)
        if "timeCode" in header and self._manner.suffix == ".exr":
            return header
        header["timeCode"] = advanced(
            self._info.timecode, number - self._shift - self._begin, self._info.rate
        )
        return header

    def _keep(self, number: int, layers: list[Layer], header: dict[str, Any]) -> None:
        """Keep the alpha of some frames, to look for it in their files."""
        layer = layers[0]
        cropped = header.get("dataWindow", self._manner.canvas) != self._manner.canvas
        if cropped or not (layer.alpha or layer.data) or (len(layers) > 1 and not layer.alpha):
            return
        alpha = layer.picture.planes[0] if layer.data else layer.picture.alpha
        assert alpha is not None
        self._kept.take((number, layer.picture.layout.peak), alpha)

    def _write(self, number: int, layers: list[Layer], header: dict[str, Any]) -> None:
        path = self._pattern.file(number)
        file = PartFile(path)
        try:
            with writable(path):
                self._kind.write(file.part, layers, header, self._manner)
            file.commit()
        finally:
            file.discard()
        self._written.add(number)

    def _look_at_times(self, frame: Frame) -> None:
        """Notice footage whose frames do not come evenly: images have no times."""
        self._times = [*self._times[-2:], frame.pts]
        if len(self._times) > 2 and frame.number is None:  # noqa: PLR2004
            first, second, third = self._times
            slack = 0.002 / frame.time_base  # clocks that count in milliseconds
            self._uneven = self._uneven or abs((third - second) - (second - first)) > slack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                while self._pending:
                    self._pending.popleft().result()
                self._finish()
        finally:
            for future in self._pending:
                future.cancel()
            self._pool.shutdown(wait=True)
            if not self._written:
                for folder in self._made:
                    with contextlib.suppress(OSError):  # it is not empty any more
                        folder.rmdir()

    def _finish(self) -> None:
        if self._uneven:
            self.notes.append(
                "the footage's frames do not come evenly, and images keep no times: "
                f"play them at {float(self._info.rate):g} a second"
            )
        old = set(self._pattern.written()) - self._written if self._written else set()
        beside = sorted(n for n in old if n > max(self._written) or n < min(self._written))
        if beside:
            self.notes.append(f"files of an earlier run stay beside these: {ranges(beside)}")
        self._verify()

    def _verify(self) -> None:
        """Read alpha back from a few files: that it did not survive is an error."""
        worst = Error(0.0, 0.0)
        checked = False
        for (number, peak), alpha in self._kept:
            path = self._pattern.file(number)
            try:
                read = self._kind.read(path, self._manner.canvas).picture
            except InputError as error:
                raise OutputError(f"{path} was written but cannot be read back") from error
            found = read.planes[0] if read.alpha is None else read.alpha
            apart = difference(alpha, found, (peak, read.layout.peak))
            worst = max(worst, apart)
            checked = True
            allowed = _HALF_STEP if read.layout.is_float else 0.51 * 255 / read.layout.peak
            if apart.largest > allowed + 0.003 and self._manner.suffix not in _PLAIN:
                raise OutputError(
                    f"the alpha in {path} is not what was written: it is off by "
                    f"{apart.largest:.2f} of 255 steps; report this"
                )
        if checked:
            self.notes.append(
                f"alpha was read back and is right: off by {worst.largest:.2f} of 255 at most"
            )


def _folders(path: Path) -> list[Path]:
    """Make the folder of a sequence, and return those that were not there, deepest first."""
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    with writable(path):
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return missing


def _chromaticities(info: VideoInfo) -> tuple[float, ...] | None:
    """Return what OpenEXR says of linear light; nothing is said of what is not linear."""
    if info.chromaticities is not None or not info.colour.is_linear:
        return info.chromaticities
    return CHROMATICITIES["lin_rec2020" if info.colour.is_wide else "lin_rec709"]
