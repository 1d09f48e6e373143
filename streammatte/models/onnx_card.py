"""The facts of an ONNX file: from the file itself, and from a TOML card beside it.

Both use the same words, which ``onnx_file`` explains: an export holds them as JSON under
``streammatte.card``; what a TOML card says goes before.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streammatte.errors import ModelError, UsageError
from streammatte.models.base import ModelCard
from streammatte.models.weights import Local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from streammatte.models.base import Size

PREFIX = "streammatte."
"""Of all that StreamMatte writes into a file's metadata."""
CARD = PREFIX + "card"
EXPORTER = PREFIX + "exporter"
UNKNOWN = "unknown"

_STRIDE = 32
_SHORT_SIDE = 512
_GREATEST_SIDE = 4096

Table = dict[str, Any]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _GREATEST_SIDE


def _is_size(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_is_side, value))  # noqa: PLR2004
    return pair or _is_side(value)


def _is_triple(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))  # noqa: PLR2004


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_mean(value: Any) -> bool:
    return _is_triple(value) and max(map(abs, value)) <= 1


def _is_spread(value: Any) -> bool:
    return _is_triple(value) and min(value) > 0


def _choice(*words: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in words), " or ".join(
        f'"{word}"' for word in words
    )


_TEXT = (_is_text, "a text in quotes, of one line")
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": _TEXT,
    "summary": _TEXT,
    "licence": _TEXT,
    "origin": _TEXT,
    "training_data": _TEXT,
    "limits": _TEXT,
    "commercial": (lambda value: isinstance(value, bool), "true or false"),
    "size": (_is_size, f"one side or [height, width], in pixels up to {_GREATEST_SIDE}"),
    "aspect": _choice("squash", "keep"),
    "stride": (_is_side, "a number of pixels such as 32"),
    "mean": (_is_mean, "three numbers of 0..1, not of 0..255, such as [0.485, 0.456, 0.406]"),
    "std": (_is_spread, "three numbers above 0 such as [0.229, 0.224, 0.225]"),
    "input": _TEXT,
    "output": _TEXT,
    "layout": _choice("NCHW", "NHWC"),
    "channels": _choice("RGB", "BGR"),
    "activation": _choice("none", "sigmoid"),
}


def read_table(path: Path) -> Table:
    """Read a TOML card; an empty one if there is none.

    Raises:
        ModelError: if it cannot be read, or says something that makes no sense.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no TOML, or no text
        raise ModelError(f"{path} is not valid TOML: {error}") from error
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_KEYS)}"
            raise ModelError(f"{path}: unknown key {key}; {hint}")
    return _checked(table, path)


def table_in(path: Path, metadata: Mapping[str, str]) -> Table:
    """Return what a file's own metadata say; an empty table if they say nothing.

    Raises:
        ModelError: if it makes no sense.
    """
    try:
        table = json.loads(metadata.get(CARD, "{}"))
    except ValueError as error:
        raise ModelError(f"{path}: its {CARD} is not valid JSON; export it again") from error
    if not isinstance(table, dict):
        raise ModelError(f"{path}: its {CARD} is not a JSON object; export it again")
    # What a newer version has to say is none of our business.
    return _checked({key: value for key, value in table.items() if key in _KEYS}, path)


def _checked(table: Table, where: Path) -> Table:
    for key, value in table.items():
        fits, words = _KEYS[key]
        if not fits(value):
            raise ModelError(
                f"{where}: {key} must be {words}, got {json.dumps(value, default=str)}"
            )
    return table


def table_of(card: ModelCard) -> Table:
    """Return the facts of a card, for the metadata of a file that is made from it."""
    table: Table = {
        "name": card.name,
        "summary": card.summary,
        "licence": card.licence,
        "commercial": card.commercial,
        "origin": card.origin,
        "training_data": card.training_data,
        "limits": card.limits,
        "size": card.short_side,
        "aspect": "squash" if card.trained else "keep",
        "stride": card.stride,
    }
    if card.trained:
        table["size"] = [card.trained[1], card.trained[0]]
    return table


@dataclass(frozen=True)
class FixedCard(ModelCard):
    """A network whose graph takes pictures of one size, ``trained``, and no other."""

    def input_size(self, width: int, height: int, wish: int | Size | None = None) -> Size:  # noqa: ARG002
        """Return the one size; see ``ModelCard.input_size``."""
        assert self.trained is not None
        if wish not in (None, self.short_side, self.trained):
            text = f"{wish[1]}x{wish[0]}" if isinstance(wish, tuple) else str(wish)
            only = f"{self.trained[1]}x{self.trained[0]}"
            raise UsageError(
                f"--size for {self.name}: {text} will not do; its graph takes {only} only"
            )
        return self.trained


def card_of(path: Path, size: Size | None, found: Table, said: Table) -> ModelCard:
    """Return the card of a file.

    Args:
        path: Of the file.
        size: ``(width, height)`` that its graph is bound to; ``None`` if it takes any.
        found: What the file says of itself.
        said: What its TOML card says, which goes before.

    Raises:
        ModelError: if the card contradicts itself or the graph.
    """
    table = {**found, **said}
    facts: Table = {
        "name": table.get("name", path.stem),
        "summary": table.get("summary", "an ONNX file"),
        "weights": Local(path),
        "licence": table.get("licence", UNKNOWN),
        "commercial": table.get("commercial", False),
        "origin": table.get("origin", str(path)),
        "training_data": table.get("training_data", UNKNOWN),
        "limits": table.get("limits", UNKNOWN),
    }
    if size is None:
        return ModelCard(**facts, **_free(path.with_suffix(".toml"), table))
    _agree(path.with_suffix(".toml"), size, said)
    sides: Table = {"longest_side": max(size), "tallest": max(size), "trained": size, "stride": 1}
    short = min(size)
    return FixedCard(**facts, **sides, short_side=short, short_side_range=(short, short))


def _agree(toml: Path, size: Size, said: Table) -> None:
    """Check that a card does not promise what a graph of one size cannot do."""
    width, height = size
    if said.get("aspect") == "keep":
        raise ModelError(f"{toml}: aspect cannot be kept, the graph takes {height}x{width} only")
    if _sides(said.get("size", [height, width])) != size:
        raise ModelError(
            f"{toml}: size must be [{height}, {width}], which is all that the graph takes; "
            "correct it or leave it out"
        )


def _free(toml: Path, table: Table) -> Table:
    """Return what decides the size of the input, for a graph that takes any."""
    stride = table.get("stride", _STRIDE)
    size = _sides(table.get("size", _SHORT_SIDE))
    if any(side % stride for side in size):
        raise ModelError(f"{toml}: size must be made of multiples of the stride, {stride}")
    greatest = _GREATEST_SIDE // stride * stride
    return {
        "short_side": min(size),
        "short_side_range": (stride, greatest),
        "stride": stride,
        "longest_side": greatest,
        "tallest": greatest,
        "trained": size if table.get("aspect", "keep") == "squash" else None,
    }


def _sides(size: int | list[int]) -> Size:
    """Return ``(width, height)`` of what a card calls size: one side, or ``[height, width]``."""
    return (size, size) if isinstance(size, int) else (size[1], size[0])
