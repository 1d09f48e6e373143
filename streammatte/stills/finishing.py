"""From a photograph and its matte to files: the work of one photograph, on any thread."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from streammatte.errors import InputError, StreamMatteError
from streammatte.sinks.image_file import ImageFile, TooLargeError
from streammatte.sinks.passes import DATA_PASSES, Passes, has_alpha, is_multiplied, of_pass
from streammatte.stages import composite, refine, subject
from streammatte.stages.finish import Finish
from streammatte.stages.matte import LEAST_FOUND
from streammatte.stills import product, shadow

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.frames import Frame, Matte, VideoInfo
    from streammatte.light import Working
    from streammatte.meters import Meters
    from streammatte.options import Pass, RenderOptions
    from streammatte.sinks.base import Sink
    from streammatte.stills.backdrops import Backdrops
    from streammatte.stills.metadata import Tags
    from streammatte.stills.photo import Photo
    from streammatte.stills.targets import Task


@dataclass(frozen=True)
class Matted:
    """A photograph that has its matte."""

    task: Task
    photo: Photo
    matte: Matte
    own: bool
    """Whether it brought the matte along."""


@dataclass(frozen=True)
class Done:
    """A photograph whose results are written."""

    path: Path
    notes: list[str] = field(default_factory=list)
    found: bool = True
    """Whether anybody was found in it."""
    colour: str = ""


@dataclass(frozen=True)
class Failed:
    """A photograph of which nothing was made."""

    path: Path
    error: StreamMatteError


@dataclass(frozen=True)
class Finisher:
    """All that finishing a photograph needs; may be asked from several threads."""

    options: RenderOptions
    working: Working
    backdrops: Backdrops
    meters: Meters
    coarse: bool
    """Whether the network's mattes are to be snapped to edges."""

    def finish(self, matted: Matted | Failed) -> Done | Failed:
        """Composite a photograph and write its results, each whole or not at all.

        Raises:
            OutputError: if the system does not let it write.
        """
        if isinstance(matted, Failed):
            return matted
        try:
            return self._finish(matted)
        except (InputError, TooLargeError) as error:
            return Failed(matted.task.path, error)

    def _finish(self, matted: Matted) -> Done:
        options, photo = self.options, matted.photo
        notes = list(photo.notes)
        with Finish(options, photo.info) as masks, self.meters.measure("composite"):
            matte, edges = self._decided(matted, masks)
            found = float(matte.alpha.mean()) >= LEAST_FOUND
            outline = None
            if options.still:
                matte, outline = product.placed(matte, edges.refine, options.still)
                if outline is None:
                    notes.append("no subject was found to be placed, or to throw a shadow")
            frame, info = self._composited(matted, matte, edges, outline, notes)
            notes += masks.notes
        with self.meters.measure("encode"):
            self._write(matted.task, frame, info, photo, notes)
        colour = "RGB by its ICC profile" if photo.tags.profile else str(photo.info.colour)
        return Done(photo.path, notes, found, colour)

    def _decided(self, matted: Matted, masks: Finish) -> tuple[Matte, composite.Edges]:
        """Return the matte as people want it, and what is left to do to its edges."""
        wish = self.options.matte
        mattes = iter([matted.matte])
        edges = composite.Edges("fast", "off", self.options.edges)
        if not matted.own:
            if wish.choice:
                mattes = subject.chosen(mattes, wish.choice, masks.early)
            if self.coarse:
                mattes = refine.snap(mattes, wish.refined)
            edges = composite.Edges(wish.refined, wish.decontaminated, self.options.edges)
        mattes, edges = masks.done(mattes, edges)
        return next(mattes), edges

    def _composited(
        self,
        matted: Matted,
        matte: Matte,
        edges: composite.Edges,
        outline: product.Box | None,
        notes: list[str],
    ) -> tuple[Frame, VideoInfo]:
        """Return all passes, and what they are like."""
        options, picture = self.options, matte.frame.picture
        info = replace(matted.photo.info, width=picture.width, height=picture.height)
        behind = self.backdrops.behind(matted.photo, self.working.inside(info), self.working)
        notes += behind.notes if behind else []
        taken = None
        if options.still.shadow != "off" and outline is not None:
            taken = shadow.shadow(matte.alpha, outline, options.still.shadow_opacity)
        if taken is not None and behind is not None:
            behind = shadow.Shadowed(behind, taken)
        premultiplied = options.alpha == "premult"
        wanted = composite.Wanted(options.passes, premultiplied, options.look)
        made = composite.layers([matte], behind, self.meters, edges, wanted, self.working)
        frame = next(iter(made))
        if taken is not None and behind is None and "comp" in frame.layers:
            comp = shadow.on_nothing(frame.layers["comp"], taken, premultiplied=premultiplied)
            first = comp if options.passes[0] == "comp" else frame.picture
            frame = replace(frame, picture=first, layers={**frame.layers, "comp": comp})
        return frame, self.working.outside(info)

    def _write(
        self, task: Task, frame: Frame, info: VideoInfo, photo: Photo, notes: list[str]
    ) -> None:
        transparent = self.options.background.kind == "transparent"
        sinks: dict[Pass, Sink] = {}
        with ExitStack() as opened:
            for name, place in task.places.items():
                alpha = has_alpha(name, transparent=transparent)
                sink = ImageFile(
                    place,
                    of_pass(name, info),
                    alpha=alpha,
                    multiplied=is_multiplied(name, self.options.alpha),
                    tags=_tags_of(name, photo),
                )
                opened.callback(sink.abandon)  # which does nothing once it has its name
                sinks[name] = sink
            alone = len(sinks) == 1 and not any(name in DATA_PASSES for name in sinks)
            with next(iter(sinks.values())) if alone else Passes(sinks) as whole:
                whole.write(frame)
            notes += whole.notes


def _tags_of(name: Pass, photo: Photo) -> Tags:
    """Return what a pass says: a matte is no colour, so no profile may be applied to it."""
    return replace(photo.tags, profile=b"") if name in DATA_PASSES else photo.tags
