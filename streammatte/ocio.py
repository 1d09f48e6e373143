"""OpenColorIO: layers are put together in a space of a configuration, and written in another.

The one file that knows PyOpenColorIO. Processors are made once, without OpenColorIO's own
approximations (white would be 1.00002), and let other threads run while they work.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.colour import (
    LINEAR,
    PRIMARIES_BT709,
    PRIMARIES_BT2020,
    TRANSFER_BT709,
    TRANSFER_GAMMA22,
    TRANSFER_HLG,
    TRANSFER_LINEAR,
    TRANSFER_PQ,
    TRANSFER_SRGB,
    UNSPECIFIED,
    Colour,
    Matrix,
)
from streammatte.convert import convert, from_rgb, to_rgb
from streammatte.errors import DependencyError, InputError, UsageError
from streammatte.frames import Layout, Picture
from streammatte.light import LIGHT, displayed, with_alpha_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import VideoInfo
    from streammatte.options import ColourOptions

    Floats = NDArray[np.float32]

DEFAULT_CONFIG = "ocio://default"
LINEAR_BT709 = ("lin_rec709", "lin_srgb", "Utility - Linear - sRGB")
"""Names of the space that everything without a name in the configuration goes through."""
BT1886_SPACES = ("Gamma 2.4 Rec.709 - Texture", "g24_rec709")
CODED_SPACES = {
    TRANSFER_SRGB: ("sRGB - Texture", "srgb_tx", "Utility - sRGB - Texture"),
    TRANSFER_GAMMA22: ("Gamma 2.2 Rec.709 - Texture", "g22_rec709"),
    TRANSFER_PQ: ("Rec.2100-PQ - Display", "rec2100_pq_display"),
    TRANSFER_HLG: ("Rec.2100-HLG - Display", "rec2100_hlg_display"),
}
"""Transfer function -> names of the space of footage that is tagged with it; BT.1886 otherwise."""
CHROMATICITIES = {
    "aces2065_1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767),
    "lin_ap1": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    "lin_rec709": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
    "lin_rec2020": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
    "lin_p3d65": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329),
}
"""Alias of a linear space -> x and y of its red, green, blue and white, for OpenEXR headers."""


class OcioWorking:
    """Layers are put together in a space of an OpenColorIO configuration, in float32.

    Attributes:
        config: The configuration's name.
        input: The space that the plate is taken for.
        working: The space that layers are put together in.
        output: The space that results are written in.
        notes: What was assumed or lost on the way, one sentence each.
    """

    def __init__(self, options: ColourOptions, info: VideoInfo, *, stays: bool) -> None:
        """Read the configuration, find the spaces, and prepare the ways between them.

        Args:
            options: The configuration and the spaces, where they were named.
            info: The plate.
            stays: Whether what is written is expected to be linear: OpenEXR.

        Raises:
            DependencyError: if PyOpenColorIO is not installed.
            InputError: if the configuration cannot be read.
            UsageError: if it lacks a space, or cannot convert from one to another.
        """
        spaces = _Spaces(options.ocio or os.environ.get("OCIO") or DEFAULT_CONFIG)
        self._spaces = spaces
        self._stays = stays
        self._plate = info.colour
        self.config = spaces.name
        self.notes: list[str] = []
        self.input = spaces.named(options.input_space, "--input-space") or self._guess(info.colour)
        role = spaces.scene_linear
        self.working = spaces.named(options.working_space, "--working-space") or role
        output = spaces.named(options.output_space, "--output-space")
        self.output = output or self._usual_output()
        self._note()
        self._enter = spaces.between(self.input, self.working)
        self._leave = spaces.between(self.working, self.output)
        self._light = self._meaning(self.working)
        self._out = self._meaning(self.output)

    def _guess(self, plate: Colour) -> str:
        """Return the space of a plate that was not told, by its tags."""
        if plate.space:
            return self._spaces.known(plate.space, "the footage")
        if plate.is_linear:
            return self._spaces.scene_linear
        if plate.is_wide and not plate.is_hdr:
            raise UsageError(
                f"{self.config} has no space for BT.2020 in standard range; give --input-space"
            )
        return self._spaces.first(
            CODED_SPACES.get(plate.transfer, BT1886_SPACES), "--input-space", str(plate)
        )

    def _usual_output(self) -> str:
        if self._stays:
            return self.working
        if not self._spaces.is_linear(self.input):
            return self.input
        name = self._spaces.first(BT1886_SPACES, "--output-space", "video")
        self.notes.append(
            f"a scene-linear plate is written as {name}, without tone mapping: what is brighter "
            "than 1 is clipped; give --output-space for another"
        )
        return name

    def _note(self) -> None:
        self.notes.insert(
            0,
            f"OpenColorIO {self.config}: from {self.input}, put together in {self.working}, "
            f"written as {self.output}",
        )
        if not self._spaces.is_linear(self.working):
            self.notes.append(f"{self.working} is not linear: soft edges do not mix as light does")
        if self._stays and not self._spaces.is_linear(self.output):
            self.notes.append(f"{self.output} is not linear, which OpenEXR is expected to be")

    def _meaning(self, space: str) -> Colour:
        """Return what is said of R, G and B in a space: its tags, where there are any for it."""
        if self._spaces.is_linear(space):
            primaries, transfer = UNSPECIFIED, TRANSFER_LINEAR
            if self._spaces.same(space, LINEAR_BT709):
                primaries = PRIMARIES_BT709
        elif space == self.input:
            primaries, transfer = self._plate.primaries, self._plate.transfer
        else:
            primaries, transfer = self._tags(space)
        return Colour(Matrix.RGB, True, primaries, transfer, space=space)

    def _tags(self, space: str) -> tuple[int, int]:
        """Return the primaries and the transfer function that H.273 has for a space."""
        for transfer, names in {**CODED_SPACES, TRANSFER_BT709: BT1886_SPACES}.items():
            if self._spaces.same(space, names):
                hdr = transfer in (TRANSFER_PQ, TRANSFER_HLG)
                return (PRIMARIES_BT2020 if hdr else PRIMARIES_BT709), transfer
        return UNSPECIFIED, UNSPECIFIED

    @property
    def data(self) -> Colour:
        """What leaves."""
        return self._out

    @property
    def chromaticities(self) -> tuple[float, ...] | None:
        """Of red, green, blue and white of what leaves, x and y, if that is a well-known space."""
        return next(
            (xy for name, xy in CHROMATICITIES.items() if self._spaces.same(self.output, (name,))),
            None,
        )

    def inside(self, info: VideoInfo) -> VideoInfo:
        """Return it in the working space."""
        return replace(info, layout=LIGHT, colour=self._light)

    def outside(self, info: VideoInfo) -> VideoInfo:
        """Return it in the output space; integers stay what they are, floats become 10 bit."""
        info = replace(info, chromaticities=self.chromaticities)
        if self._stays:
            return replace(info, layout=LIGHT, colour=self._out)
        if info.layout.is_float:
            return replace(info, layout=Layout("rgb", 10), colour=self._out)
        matrix = info.colour.matrix
        if info.layout.family == "yuv" and self._out.is_wide != info.colour.is_wide:
            matrix = Matrix.BT2020 if self._out.is_wide else Matrix.BT709
        own = replace(
            info.colour,
            matrix=matrix,
            primaries=self._out.primaries,
            transfer=self._out.transfer,
            space=self.output,
        )
        return replace(info, colour=own)

    def enter(self, picture: Picture) -> Picture:
        """Bring it from the input space to the working space."""
        if picture.layout.is_float:
            return self._moved(picture, self._enter, self._light)
        layout = LIGHT.with_alpha(alpha=picture.alpha is not None)
        rgb = self._enter.apply(to_rgb(picture, reversible=True))
        return with_alpha_of(picture, from_rgb(rgb, layout, self._light))

    def leave(self, picture: Picture) -> Picture:
        """Bring it from the working space to the output space."""
        return self._moved(picture, self._leave, self._out)

    def adapt(self, picture: Picture, layout: Layout, colour: Colour) -> Picture:
        """Bring any other picture to the working space, through linear BT.709."""
        if picture.colour.space == colour.space:
            return convert(picture, layout, colour)
        light = LIGHT.with_alpha(alpha=picture.alpha is not None)
        linear = convert(picture, light, LINEAR)
        return convert(self._moved(linear, self._adapt, self._light), layout, colour)

    def shown(self, picture: Picture) -> Picture | None:
        """Return a plate in log or linear light as a display in standard range would show it.

        Through linear BT.709, what is brighter than white rolled off as for every HDR picture, not
        by the configuration's own view: ACES's takes a second for a picture of 1080 lines, and a
        network gains nothing from its grading. Plates that are coded for a display are as they are.
        """
        if self._spaces.is_for_display(self.input) and not picture.colour.is_linear:
            return None
        rgb = self._shown.apply(to_rgb(picture))
        return displayed([rgb[..., channel] for channel in (1, 2, 0)])

    @cached_property
    def _adapt(self) -> _Way:
        return self._spaces.between(self._bt709("backgrounds"), self.working)

    @cached_property
    def _shown(self) -> _Way:
        return self._spaces.between(self.input, self._bt709("what the network sees"))

    def _bt709(self, what: str) -> str:
        return self._spaces.first(LINEAR_BT709, "--ocio", what)

    @staticmethod
    def _moved(picture: Picture, way: _Way, colour: Colour) -> Picture:
        if picture.layout.is_float and way.goes_nowhere:
            return replace(picture, colour=colour)
        rgb = way.apply(to_rgb(picture))
        return with_alpha_of(picture, from_rgb(rgb, picture.layout, colour))


class _Way:
    """From one space to another."""

    def __init__(self, processor: Any, optimization: Any) -> None:
        self.goes_nowhere: bool = processor.isNoOp()
        self._cpu = processor.getOptimizedCPUProcessor(optimization)

    def apply(self, rgb: Floats) -> Floats:
        """Convert float32 ``[h, w, 3]``, R, G and B, where it lies."""
        packed = np.ascontiguousarray(rgb, np.float32)
        if not self.goes_nowhere:
            self._cpu.applyRGB(packed)
        return packed


class _Spaces:
    """The spaces of one configuration."""

    def __init__(self, where: str) -> None:
        try:
            import PyOpenColorIO
        except ImportError as error:
            raise DependencyError(
                "--ocio needs PyOpenColorIO: pip install 'streammatte[vfx]'"
            ) from error
        self._library = PyOpenColorIO
        try:
            self._config = PyOpenColorIO.Config.CreateFromFile(where)
        except (PyOpenColorIO.Exception, PyOpenColorIO.ExceptionMissingFile) as error:
            builtin = ", ".join(entry[0] for entry in self._builtin())
            advice = f"; built in: {builtin}" if where.startswith("ocio://") else ""
            raise InputError(f"--ocio: cannot read {where}: {_one_line(error)}{advice}") from error
        self.name: str = self._config.getName() or where

    def _builtin(self) -> Any:
        return self._library.BuiltinConfigRegistry().getBuiltinConfigs()

    @property
    def scene_linear(self) -> str:
        """The space that the configuration itself says to composite in."""
        return self.first((self._library.ROLE_SCENE_LINEAR,), "--working-space", "compositing")

    def named(self, name: str | None, flag: str) -> str | None:
        """Return the space's full name for one that was asked for, if it was."""
        return None if name is None else self.known(name, flag)

    def known(self, name: str, flag: str) -> str:
        """Return the full name of a space, a role or an alias.

        Raises:
            UsageError: if there is none, with those that are nearly called so.
        """
        if found := self._find(name):
            return found
        names = [str(known) for known in self._config.getColorSpaceNames()]
        plain = {known.lower(): known for known in reversed(names)}
        near = [plain[low] for low in difflib.get_close_matches(name.lower(), plain, 3, cutoff=0.4)]
        inside = [known for known in names if name.lower() in known.lower() and known not in near]
        offers = [repr(offer) for offer in [*inside, *near][:3]]
        hint = f"did you mean {' or '.join(offers)}? " if offers else ""
        raise UsageError(
            f"{flag}: {self.name} has no space {name!r}; {hint}it has {len(names)} spaces"
        )

    def first(self, names: tuple[str, ...], flag: str, what: str) -> str:
        """Return the first of some names that the configuration has.

        Raises:
            UsageError: if it has none of them.
        """
        found = next(filter(None, map(self._find, names)), None)
        if found is None:
            raise UsageError(
                f"{flag}: {self.name} has no {names[0]!r} for {what}; name a space, or another "
                "configuration with --ocio"
            )
        return found

    def _find(self, name: str) -> str | None:
        space = self._config.getColorSpace(name)
        return None if space is None else str(space.getName())

    def same(self, space: str, names: tuple[str, ...]) -> bool:
        """Whether a space is the one that any of the names stands for."""
        return any(self._find(name) == space for name in names)

    def is_linear(self, space: str) -> bool:
        """Whether a space is proportional to the scene's light."""
        scene = self._library.REFERENCE_SPACE_SCENE
        return bool(self._config.isColorSpaceLinear(space, scene))

    def is_for_display(self, space: str) -> bool:
        """Whether a space is coded for a display, and can be looked at as it is."""
        encoding: str = self._config.getColorSpace(space).getEncoding()
        known = (*BT1886_SPACES, *(name for names in CODED_SPACES.values() for name in names))
        return encoding in ("sdr-video", "hdr-video") or self.same(space, known)

    def between(self, source: str, target: str) -> _Way:
        """Return the way from one space to another.

        Raises:
            UsageError: if there is none, because a lookup table is missing or goes one way only.
        """
        try:
            return _Way(
                self._config.getProcessor(source, target), self._library.OPTIMIZATION_LOSSLESS
            )
        except self._library.Exception as error:
            raise UsageError(
                f"--ocio: no way from {source} to {target} in {self.name}: {_one_line(error)}"
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
