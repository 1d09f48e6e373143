"""What a render reads: every path that its options have, by what it is to it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.digests import files_of
from streammatte.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from streammatte.digests import Files
    from streammatte.options import NetworkOptions, RenderOptions, Zone

BUILT_IN = "ocio://"
WEIGHTS = ("model", "weights")


def sources(where: str | Path, options: RenderOptions) -> dict[str, Files]:
    """Return the files that a render reads, by what they are to it, for ``digests.Digests``.

    The network's weights are not among them: whoever loads them has their digest.
    """
    named = {"input": str(where)}
    through_paths(options, named.setdefault)
    chosen = options.sequence.frames
    if chosen is not None:
        handles = options.sequence.handles
        chosen = (chosen[0] - handles, chosen[1] + handles)
    found = {
        role: files_of(path, chosen if role == "input" else None)
        for role, path in named.items()
        if role not in WEIGHTS
    }
    return {role: files for role, files in found.items() if files is not None}


def through_paths(options: RenderOptions, change: Callable[[str, str], str]) -> RenderOptions:
    """Return options with every path in them changed.

    Args:
        options: Any.
        change: Told what a path is, such as ``background`` or ``keep 1``, and the path.
    """
    behind, colour, override = options.background, options.colour, options.mask_override
    if behind.kind == "file":
        behind = replace(behind, path=change("background", behind.path))
    if colour.ocio is not None and not colour.ocio.startswith(BUILT_IN):
        colour = replace(colour, ocio=change("OpenColorIO configuration", colour.ocio))
    if override is not None:
        override = change("mask override", override)
    return replace(
        options,
        background=behind,
        network=_network(options.network, change),
        matte=replace(
            options.matte,
            keep=_zones("keep", options.matte.keep, change),
            drop=_zones("drop", options.matte.drop, change),
        ),
        colour=colour,
        mask_override=override,
    )


def _network(wish: NetworkOptions, change: Callable[[str, str], str]) -> NetworkOptions:
    if wish.model.lower() not in MODELS.entries and _is_place(wish.model):
        wish = replace(wish, model=change("model", wish.model))
    if wish.weights is not None and _is_place(wish.weights):
        wish = replace(wish, weights=change("weights", wish.weights))
    return wish


def _is_place(name: str) -> bool:
    """Whether a network's name is meant as a path, rather than as an id of the hub."""
    with suppress(OSError, ValueError, RuntimeError):  # no name that there could be
        path = Path(name).expanduser()
        return path.is_absolute() or path.exists()
    return False


def _zones(
    role: str, zones: tuple[Zone, ...], change: Callable[[str, str], str]
) -> tuple[Zone, ...]:
    return tuple(
        replace(zone, path=change(f"{role} {count}", zone.path)) if zone.path else zone
        for count, zone in enumerate(zones, 1)
    )


def from_the_environment(options: RenderOptions) -> RenderOptions:
    """Return options with what they left to ``$OCIO``."""
    colour, config = options.colour, os.environ.get("OCIO")
    spaces = colour.input_space or colour.working_space or colour.output_space
    if config and spaces and colour.ocio is None:
        return replace(options, colour=replace(colour, ocio=config))
    return options
