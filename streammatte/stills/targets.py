"""Where the results of photographs go: names kept, collisions resolved, nothing overwritten."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from streammatte.errors import OutputError, UsageError
from streammatte.sinks import default_output
from streammatte.sinks.base import check_target, writable
from streammatte.sinks.codecs import EXTENSIONS, IMAGE_EXTENSIONS
from streammatte.sinks.image_file import described
from streammatte.sinks.passes import has_alpha, targets
from streammatte.stills.photo import ANY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streammatte.options import Pass, RenderOptions
    from streammatte.stills.find import Found

_AS = {".jpe": ".jpg", ".jfif": ".jpg"}


@dataclass(frozen=True)
class Task:
    """A photograph and where its results go."""

    path: Path
    places: Mapping[Pass, Path]


class Wanted(NamedTuple):
    """What is to be made."""

    tasks: list[Task]
    place: Path
    """The folder, or the only result."""
    notes: list[str]
    """What is to be told of it."""


def wanted(found: Found, output: str | Path | None, options: RenderOptions) -> Wanted:
    """Decide where all results go, before any work is done.

    Args:
        found: The photographs.
        output: The folder, or the result of the only one; ``None`` for a name beside them.
        options: What is made of them.

    Raises:
        UsageError: if that would replace what is read, or is one file for several.
        OutputError: if results are there already, and may be neither replaced nor left alone.
    """
    if not found.alone:
        folder = _folder(found, output, options)
        tasks, told = tasks_for(found, folder, options)
        left, skipped = check_places(tasks, folder, options)
        return Wanted(left, folder, [*told, *skipped])
    (path,) = found.paths
    if output is None:
        usual = default_output(replace(ANY, path=path), options)
        output = usual.with_suffix(suffix_for(path, options))
    return Wanted([one_task(path, Path(output), options)], Path(output), [])


def _folder(found: Found, output: str | Path | None, options: RenderOptions) -> Path:
    if output is None:
        if found.named is None:
            raise UsageError("give a folder for the results of several photographs with -o")
        folder = found.named.absolute()
        return folder.with_name(f"{folder.name}_{options.background.label}")
    folder = Path(output)
    if not folder.is_dir() and folder.suffix.lower() in (*IMAGE_EXTENSIONS, *EXTENSIONS):
        raise UsageError(f"{folder} is one file; several photographs need a folder with -o")
    return folder


def in_words(tasks: list[Task], options: RenderOptions) -> str:
    """Return what results are.

    Raises:
        UsageError: if a kind of file cannot hold them.
    """
    transparent = options.background.kind == "transparent"
    words = dict.fromkeys(
        described(place, alpha=has_alpha(name, transparent=transparent))
        for task in tasks
        for name, place in task.places.items()
    )
    return ", ".join(words)


def suffix_for(path: Path, options: RenderOptions) -> str:
    """Return the extension of a result: the photograph's own if it can hold it."""
    own = path.suffix.lower()
    own = _AS.get(own, own)
    if options.passes != ("comp",) or options.background.kind == "transparent":
        return ".png"
    return own if own in IMAGE_EXTENSIONS else ".jpg"


def tasks_for(found: Found, output: Path, options: RenderOptions) -> tuple[list[Task], list[str]]:
    """Return where all results of several photographs go, and what is to be told of that.

    Args:
        found: The photographs.
        output: The folder.
        options: What is made of them.
    """
    endings = [suffix_for(path, options) for path in found.paths]
    pairs = list(zip(found.names, endings, strict=True))
    wanted = [str(name.with_suffix(ending)).casefold() for name, ending in pairs]
    often, taken, renamed = Counter(wanted), set[str](), []
    tasks = []
    for path, (name, ending), key in zip(found.paths, pairs, wanted, strict=True):
        place = name.with_suffix(ending)
        if often[key] > 1:
            stem, count = f"{name.stem}_{name.suffix[1:]}", 1
            while (place := name.with_name(f"{stem}{ending}")) and (
                str(place).casefold() in taken or often[str(place).casefold()]
            ):
                count += 1
                stem = f"{name.stem}_{name.suffix[1:]}_{count}"
            renamed.append(place.name)
        taken.add(str(place).casefold())
        tasks.append(Task(path, targets(output / place, options.passes)))
    if not renamed:
        return tasks, []
    more = f" and {len(renamed) - 2} more" if len(renamed) > 2 else ""  # noqa: PLR2004
    return tasks, [
        f"some results would have had one name, and became {', '.join(renamed[:2])}{more}"
    ]


def check_places(
    tasks: list[Task], output: Path, options: RenderOptions
) -> tuple[list[Task], list[str]]:
    """Return what is left to do, before any work is done.

    Raises:
        UsageError: if a result would replace a photograph that is read.
        OutputError: if results are there already, and may be neither replaced nor left alone.
    """
    with writable(output):
        if output.exists() and not output.is_dir():
            raise OutputError(f"{output} is a file; give a folder with -o")
        there = [all(place.exists() for place in task.places.values()) for task in tasks]
        some = [p for task in tasks for p in task.places.values() if p.exists()]
        read = {_identity(task.path) for task in tasks}
        for place in some:
            if _identity(place) in read:
                raise UsageError(f"{place} is read for this; give another folder with -o")
    if options.sequence.skip_existing:
        left = [task for task, done in zip(tasks, there, strict=True) if not done]
        skipped = len(tasks) - len(left)
        return left, [f"{skipped} were there already and left alone"] if skipped else []
    if some and not options.overwrite:
        many = f"{len(some)} of the results exist, such as {some[0]}"
        raise OutputError(
            f"{many if len(some) > 1 else f'{some[0]} exists'}; give -y to overwrite, "
            "--skip-existing to make the others, or another folder with -o"
        )
    return tasks, []


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, by whatever name; ``None`` if there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def make_folders(tasks: list[Task]) -> None:
    """Make the folders that results go to.

    Raises:
        OutputError: if that is impossible.
    """
    for folder in {place.parent for task in tasks for place in task.places.values()}:
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)


def one_task(path: Path, output: Path, options: RenderOptions) -> Task:
    """Return where the results of a single photograph go.

    Raises:
        UsageError: if that would replace what is read.
        OutputError: if it exists, is a folder, or its folder is missing.
    """
    behind = Path(options.background.path) if options.background.kind == "file" else None
    places = targets(output, options.passes)
    for place in places.values():
        check_target(place, path, behind, overwrite=options.overwrite)
    return Task(path, places)
