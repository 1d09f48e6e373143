"""What can be changed while it runs, and sets of it under a name: scenes."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from streammatte.errors import InputError, UsageError
from streammatte.options import BackgroundFit, BackgroundSpec, Quality

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Show = Literal["subject", "background", "slate", "freeze"]
"""What is to be seen: the subject before the background, the background alone, the slate, or the
last picture, held."""
WORDS: dict[str, tuple[str, ...]] = {
    "fit": get_args(BackgroundFit),
    "quality": get_args(Quality),
    "show": get_args(Show),
}


@dataclass(frozen=True)
class Settings:
    """What is shown, and how."""

    background: str = "blur"
    """As ``--bg`` takes it: a file, ``#00b140``, ``green``, ``blur`` or ``blur:20``."""
    fit: BackgroundFit = "cover"
    """How a background file fills the picture."""
    show: Show = "subject"
    mirror: bool = False
    """Whether the subject is seen as in a mirror; the background is not."""
    softness: float = 0.0
    """Of the subject's edge, 0 to 1."""
    model: str = "selfie"
    """Which network, by its name or path."""
    quality: Quality = "live"
    """See ``options.MatteOptions``; nothing is ever held back for it."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        for name, words in WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise UsageError(f"{name}: unknown {value!r}; use {', '.join(words)}")
        if not isinstance(self.mirror, bool):
            raise UsageError(f"mirror must be true or false, got {self.mirror!r}")
        number = isinstance(self.softness, int | float) and not isinstance(self.softness, bool)
        if not (number and 0 <= self.softness <= 1):
            raise UsageError(f"softness must be 0 to 1, got {self.softness!r}")
        for name in ("model", "background"):
            if not (isinstance(value := getattr(self, name), str) and value):
                raise UsageError(f"{name} must be a name, got {value!r}")
        spec = BackgroundSpec.parse(self.background)
        if spec.kind == "transparent":
            raise UsageError("background: a virtual camera has no transparency; give a picture")

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return other settings.

        Raises:
            UsageError: if a name or a value makes no sense.
        """
        known = {one.name for one in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise UsageError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Scene:
    """Settings under a name."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    """Those that it changes."""
    key: str = ""
    """The key that chooses it; a character."""
    seconds: float = 0.0
    """After how long ``then`` follows; 0 for never."""
    then: str = ""
    """The scene that follows."""


def read_scenes(path: Path) -> tuple[Scene, ...]:
    """Read scenes from TOML: tables ``[scene.NAME]`` with settings, ``key``, ``for`` and ``then``.

    Raises:
        InputError: if it cannot be read.
        UsageError: if something in it makes no sense.
    """
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the scenes {path} cannot be read: {error}") from error
    tables = told.get("scene")
    if not isinstance(tables, dict) or not tables or set(told) != {"scene"}:
        raise UsageError(f"{path} must hold tables such as [scene.desk], and nothing else")
    scenes = tuple(_scene(path, name, table) for name, table in tables.items())
    _check_together(path, scenes)
    return scenes


def _scene(path: Path, name: str, table: Any) -> Scene:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: scene {name}: must be a table, [scene.{name}]")
    rest = dict(table)
    key, seconds, then = rest.pop("key", ""), rest.pop("for", 0), rest.pop("then", "")
    background = rest.get("background")
    if isinstance(background, str) and (path.parent / background).is_file():
        rest["background"] = str(path.parent / background)  # as seen from the file
    try:
        Settings().changed(rest)
    except UsageError as error:
        raise UsageError(f"{path}: scene {name}: {error}") from error
    if not (isinstance(key, str) and len(key) <= 1):
        raise UsageError(f"{path}: scene {name}: key must be one character, got {key!r}")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (number and seconds >= 0 and isinstance(then, str) and bool(seconds) == bool(then)):
        raise UsageError(
            f"{path}: scene {name}: for (seconds) and then (a scene) go together: for = 60, "
            'then = "desk"'
        )
    return Scene(name, rest, key, float(seconds), then)


def _check_together(path: Path, scenes: tuple[Scene, ...]) -> None:
    names = {scene.name for scene in scenes}
    keys = [scene.key for scene in scenes if scene.key]
    for scene in scenes:
        if scene.then and scene.then not in names:
            raise UsageError(f"{path}: scene {scene.name}: then: there is no scene {scene.then!r}")
    if len(set(keys)) != len(keys):
        raise UsageError(f"{path}: two scenes have the same key")
