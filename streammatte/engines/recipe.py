"""How an engine is compiled: data, in TOML, for a network, a size and a precision.

All keys are optional; what is left out holds for any::

    model = "birefnet-lite"    # as 'streammatte models list' calls it
    size = 1024                # or [height, width]
    precision = "fp16"         # or "fp32"
    opset = 20                 # of the graph that it was tried with
    deform = "gather"          # or "native": TensorRT's own operator, where there is one

    [builder]                  # what the builder is told
    optimization_level = 3     # 0 to 5
    workspace_mib = 4096       # at most; all of the GPU's memory if left out
    max_aux_streams = 2        # beside the one; as the builder likes if left out
    tf32 = false               # whether products in single precision may be rounded
    half_share = 1.0           # how many of the slow layers must be in half precision, in fp16

    [tolerance]                # of alpha, against ONNX Runtime
    largest = 0.05
    mean = 0.002

Ours are ``engines/*.toml`` of the repository; a user's are ``$STREAMMATTE_HOME/recipes/*.toml``,
and are taken where both say as much about what they are for.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from streammatte import home
from streammatte.errors import ModelError
from streammatte.models.base import Deform, Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streammatte.engines.kinds import Kind
    from streammatte.models.base import Size

_PACKAGED = Path(__file__).with_name("recipes")
"""Where the wheel has them."""
_CHECKOUT = Path(__file__).parents[2] / "engines"
_USERS = "recipes"
_HIGHEST_LEVEL = 5


@dataclass(frozen=True)
class Builder:
    """What the builder is told."""

    optimization_level: int = 3
    """How long it looks for what is quickest, 0 to 5."""
    workspace_mib: int | None = None
    """Memory of the GPU that layers may work in; ``None`` for all."""
    max_aux_streams: int | None = None
    """How many streams an engine may use beside its own; ``None`` for what it likes."""
    tf32: bool = False
    """Whether products in single precision may be rounded to ten bits."""
    half_share: float = 1.0
    """The least share of the layers that take the time that must be in half precision, in fp16."""

    def as_items(self) -> tuple[tuple[str, Any], ...]:
        """Return names and values in order of the names."""
        return tuple(sorted((one.name, getattr(self, one.name)) for one in fields(self)))


@dataclass(frozen=True)
class Tolerance:
    """How far alpha may be from ONNX Runtime's, in 0..1."""

    largest: float = 0.05
    mean: float = 0.002


@dataclass(frozen=True)
class Recipe:
    """One of them; see the head of this file."""

    name: str
    """Of its file, without the ending."""
    model: str | None = None
    size: Size | None = None
    """``(width, height)``."""
    precision: Precision | None = None
    opset: int | None = None
    deform: Deform = "gather"
    builder: Builder = field(default_factory=Builder)
    tolerance: Tolerance = field(default_factory=Tolerance)

    def deform_for(self, kind: Kind) -> Deform | None:
        """Return how deformable convolutions are to be written; ``None`` for what is usual.

        Only the full TensorRT has an operator for them.
        """
        return "native" if self.deform == "native" and not kind.for_any_gpu else None

    def fits(self, model: str, size: Size, precision: str) -> bool:
        """Whether it is for such an engine."""
        return (
            self.model in (None, model)
            and self.size in (None, size)
            and self.precision in (None, precision)
        )

    @property
    def closeness(self) -> tuple[bool, bool, bool]:
        """How exactly it says what it is for: the greater of two that fit is the better one."""
        return self.model is not None, self.precision is not None, self.size is not None


def recipe_for(name: str, size: Size, precision: str) -> Recipe:
    """Return the recipe that fits best: for this network, precision and size, or for fewer of them.

    Args:
        name: Of the network.
        size: ``(width, height)``.
        precision: ``fp16`` or ``fp32``.

    Raises:
        ModelError: if a recipe makes no sense, or ours are missing.
    """
    fitting = [recipe for recipe in recipes() if recipe.fits(name, size, precision)]
    if not fitting:
        raise ModelError(f"the recipes of engines are missing ({folder()}); reinstall streammatte")
    return max(fitting, key=lambda recipe: recipe.closeness)


def recipes() -> list[Recipe]:
    """Return all recipes: the user's before ours.

    Raises:
        ModelError: if one cannot be read or makes no sense.
    """
    places = (home.home() / _USERS, folder())
    return [read_recipe(path) for place in places for path in sorted(place.glob("*.toml"))]


def folder() -> Path:
    """Return where our recipes lie: in the package, or beside it in a checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ModelError: if it cannot be read or makes no sense.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise ModelError(f"{path} is not TOML: {error}") from error
    try:
        return _recipe(path.stem, table)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


# --- what a table may say; all that is wrong is a ValueError with a few words ---------------------


def _recipe(name: str, table: Mapping[str, Any]) -> Recipe:
    keys = {one.name for one in fields(Recipe)} - {"name"}
    _refuse_unknown(table, keys, "")
    return Recipe(
        name=name,
        model=_text(table, "model"),
        size=_size(table.get("size")),
        precision=_choice(table, "precision", get_args(Precision)),
        opset=_whole(table, "opset", 1, 99),
        deform=_choice(table, "deform", get_args(Deform)) or "gather",
        builder=_builder(_table(table, "builder")),
        tolerance=_tolerance(_table(table, "tolerance")),
    )


def _builder(table: Mapping[str, Any]) -> Builder:
    _refuse_unknown(table, {one.name for one in fields(Builder)}, "builder.")
    level = _whole(table, "optimization_level", 0, _HIGHEST_LEVEL)
    usual = Builder()
    tf32 = table.get("tf32", usual.tf32)
    if not isinstance(tf32, bool):
        raise _wrong("tf32", "true or false", tf32)
    return Builder(
        optimization_level=usual.optimization_level if level is None else level,
        workspace_mib=_whole(table, "workspace_mib", 1, 1 << 24),
        max_aux_streams=_whole(table, "max_aux_streams", 0, 64),
        tf32=tf32,
        half_share=_share(table, "half_share", usual.half_share),
    )


def _tolerance(table: Mapping[str, Any]) -> Tolerance:
    _refuse_unknown(table, {one.name for one in fields(Tolerance)}, "tolerance.")
    usual = Tolerance()
    return Tolerance(_share(table, "largest", usual.largest), _share(table, "mean", usual.mean))


def _refuse_unknown(table: Mapping[str, Any], known: set[str], prefix: str) -> None:
    if unknown := sorted(table.keys() - known):
        raise ValueError(f"unknown key {prefix}{unknown[0]}; known: {', '.join(sorted(known))}")


def _wrong(key: str, wanted: str, found: object) -> ValueError:
    return ValueError(f"{key} must be {wanted}, not {found!r}")


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise _wrong(key, f"a table, [{key}]", found)
    return found


def _text(table: Mapping[str, Any], key: str) -> str | None:
    found = table.get(key)
    if found is not None and (not isinstance(found, str) or not found):
        raise _wrong(key, "a text in quotes", found)
    return found


def _choice(table: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Any:
    found = table.get(key)
    if found is not None and found not in known:
        raise _wrong(key, f"{' or '.join(known)}", found)
    return found


def _whole(table: Mapping[str, Any], key: str, least: int, greatest: int) -> int | None:
    found = table.get(key)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= greatest:
        raise _wrong(key, f"a whole number, {least} to {greatest}", found)
    return found


def _share(table: Mapping[str, Any], key: str, usual: float) -> float:
    found = table.get(key, usual)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise _wrong(key, "a number, 0 to 1", found)
    return float(found)


def _size(found: Any) -> Size | None:
    if found is None:
        return None
    sides = found if isinstance(found, list) else [found, found]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):  # noqa: PLR2004
        raise _wrong("size", "a number or [height, width]", found)
    return sides[1], sides[0]
