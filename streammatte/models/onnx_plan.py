"""Whether an ONNX file keeps the contract of ``models.base.Model``, or what it takes to make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from streammatte.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.base import Size
    from streammatte.models.onnx_card import Table
    from streammatte.models.onnx_reader import OnnxFacts, Value

Layout = Literal["NCHW", "NHWC"]

_CHANNELS = 3
_RANK = 4
_MATTE_RANKS = (0, 3, 4)
"""Of an output: not said; batch, height, width; and with a channel besides."""
_LEAST_OPSET = 8
"""The first whose operators broadcast as those do that are added."""


@dataclass(frozen=True)
class Adaptation:
    """What a graph needs so that it takes and gives what ours do."""

    input: Value
    output: Value
    layout: Layout
    """Of the input."""
    channels: Literal["RGB", "BGR"]
    mean: tuple[float, ...]
    """Of R, G and B in 0..1; empty if the graph takes 8-bit pictures."""
    std: tuple[float, ...]
    activation: Literal["none", "sigmoid"]


def plan(path: Path, facts: OnnxFacts, table: Table) -> Adaptation | None:
    """Return what a file needs; ``None`` if it keeps the contract as it is.

    Args:
        path: Of the file.
        facts: What was found in it.
        table: What is known of it; see ``onnx_card``.

    Raises:
        ModelError: if too little is known of it, or it cannot be made to fit.
    """
    if keeps_contract(facts) and not _asks_for_more(table):
        return None
    if not table:
        raise ModelError(_needs_card(path, facts))
    if facts.opset < _LEAST_OPSET:
        raise ModelError(f"{path} has opset {facts.opset}; export it with {_LEAST_OPSET} or later")
    image = _input(path, facts, table)
    matte = _output(path, facts, table)
    layout = _layout(path, image, table)
    _check_sizes(path, image, matte, layout)
    return Adaptation(
        image,
        matte,
        layout,
        table.get("channels", "RGB"),
        *_normalisation(path, image, table),
        table.get("activation", "none"),
    )


def keeps_contract(facts: OnnxFacts) -> bool:
    """Whether a graph takes uint8 ``image`` [b, h, w, 3], gives float32 ``alpha`` [b, 1, h, w]."""
    if len(facts.inputs) != 1 or len(facts.outputs) != 1:
        return False
    (image,), (alpha,) = facts.inputs, facts.outputs
    takes = (image.name, image.dtype, len(image.shape)) == ("image", "uint8", _RANK)
    gives = (alpha.name, alpha.dtype) == ("alpha", "float32")
    if not takes or not gives or image.shape[3] != _CHANNELS:
        return False
    if not alpha.shape:
        return True
    if len(alpha.shape) != _RANK or alpha.shape[1] not in (1, None):
        return False
    return _may_equal(image.shape[1:3], alpha.shape[2:])


def bound_size(path: Path, image: Value, layout: Layout) -> Size | None:
    """Return the ``(width, height)`` that an input is bound to; ``None`` if it takes any.

    Raises:
        ModelError: if it is bound to a height and to no width, or the other way round.
    """
    height, width = _sides(image, layout)
    if (height is None) != (width is None):
        raise ModelError(f"{path} takes {image}: one side is free, the other is not; free both")
    return None if height is None or width is None else (width, height)


def _sides(value: Value, layout: Layout) -> tuple[int | None, int | None]:
    """Return height and width."""
    height, width = value.shape[2:4] if layout == "NCHW" else value.shape[1:3]
    return height, width


def _asks_for_more(table: Table) -> bool:
    defaults = {"activation": "none", "channels": "RGB", "layout": "NHWC"}
    return any(table.get(key, usual) != usual for key, usual in defaults.items()) or "mean" in table


def _needs_card(path: Path, facts: OnnxFacts) -> str:
    takes, gives = (", ".join(map(str, values)) for values in (facts.inputs, facts.outputs))
    return (
        f"{path} takes {takes} and gives {gives}, not uint8 'image' [1, ?, ?, 3] and float32 "
        f"'alpha' [1, 1, ?, ?]; say in {path.with_suffix('.toml').name} beside it what it wants: "
        "mean, std, activation, ... ('streammatte models info --help' shows how)"
    )


def _input(path: Path, facts: OnnxFacts, table: Table) -> Value:
    image = _chosen(path, "input", facts.inputs, table)
    if len(facts.inputs) > 1:
        names = ", ".join(value.name for value in facts.inputs)
        raise ModelError(f"{path} takes {names}; only networks that take one picture can be used")
    if image.dtype not in ("uint8", "float32", "float16") or len(image.shape) != _RANK:
        raise ModelError(f"{path} takes {image}, which is not a picture of 3 channels")
    return image


def _output(path: Path, facts: OnnxFacts, table: Table) -> Value:
    matte = _chosen(path, "output", facts.outputs, table)
    known = matte.dtype in ("float32", "float16") and len(matte.shape) in _MATTE_RANKS
    if not known or (len(matte.shape) == _RANK and matte_layout(matte) is None):
        raise ModelError(f"{path} gives {matte}, which is not a matte of 1 channel")
    return matte


def _chosen(path: Path, key: str, values: list[Value], table: Table) -> Value:
    names = ", ".join(value.name for value in values)
    toml = path.with_suffix(".toml")
    if key not in table and len(values) > 1:
        raise ModelError(f"{toml}: say which {key} it is; {path.name} has {names}")
    for value in values:
        if table.get(key, value.name) == value.name:
            return value
    raise ModelError(f"{toml}: there is no {key} {table[key]}; {path.name} has {names}")


def _layout(path: Path, image: Value, table: Table) -> Layout:
    _, second, _, last = image.shape
    likely: Layout = "NHWC" if last == _CHANNELS and second != _CHANNELS else "NCHW"
    layout = cast("Layout", table.get("layout", likely))
    if (second if layout == "NCHW" else last) not in (_CHANNELS, None):
        raise ModelError(f"{path} takes {image}, which is not a picture of 3 channels in {layout}")
    return layout


def matte_layout(matte: Value) -> Layout | None:
    """Return where the one channel is; ``None`` if there is no place for it."""
    if len(matte.shape) != _RANK:
        return "NCHW"
    _, second, _, last = matte.shape
    if second == 1 or (second is None and last != 1):
        return "NCHW"
    return "NHWC" if last == 1 else None


def _check_sizes(path: Path, image: Value, matte: Value, layout: Layout) -> None:
    if not matte.shape:
        return
    made = matte.shape[-2:]
    if len(matte.shape) == _RANK:
        made = _sides(matte, matte_layout(matte) or "NCHW")
    if not _may_equal(_sides(image, layout), made):
        raise ModelError(f"{path} takes {image} but gives {matte}; the matte must be of that size")


def _may_equal(sides: tuple[int | None, ...], others: tuple[int | None, ...]) -> bool:
    return all(None in pair or pair[0] == pair[1] for pair in zip(sides, others, strict=True))


def _normalisation(
    path: Path, image: Value, table: Table
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    toml = path.with_suffix(".toml")
    given = [key for key in ("mean", "std") if key in table]
    if image.dtype == "uint8":
        if given:
            raise ModelError(f"{toml}: {path.name} takes 8-bit pictures; leave mean and std out")
        return (), ()
    if len(given) != 2:  # noqa: PLR2004
        raise ModelError(
            f"{toml}: give mean and std of R, G and B in 0..1, such as [0.485, 0.456, 0.406] and "
            f"[0.229, 0.224, 0.225]; {path.name} takes {image}"
        )
    return tuple(map(float, table["mean"])), tuple(map(float, table["std"]))
