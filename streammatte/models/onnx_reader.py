"""What an ONNX file takes, gives and says of itself, read without any library.

An ONNX file is a protocol buffer: fields, each a number and a value, where a value may be fields
again. Only what is asked about is visited, and weights never are, so that it takes milliseconds
and hardly any memory whatever the size of the file.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Field numbers, as onnx.proto has them.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 7, 8, 14
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OPERATOR = 1, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_EXTERNAL = 1, 2, 8, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_LENGTH = 1, 1, 2, 1, 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 70  # bits
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16"}


@dataclass(frozen=True)
class Value:
    """An input or an output of a graph."""

    name: str
    dtype: str
    """In numpy's words: ``uint8``, ``float32``, ``float16``; empty if it is none that we know."""
    shape: tuple[int | None, ...]
    """``None`` for a side of any length; empty if the file does not say."""

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.dtype or 'unknown type'} '{self.name}' [{sides or '...'}]"


@dataclass
class OnnxFacts:
    """What was found in an ONNX file."""

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    opset: int = 0
    """Of the standard operators."""
    external: dict[str, int] = field(default_factory=dict)
    """Files beside it that hold weights: name to the least length in bytes."""
    weights: dict[str, int] = field(default_factory=dict)
    """How many weights there are, by the dtype that is computed with."""


def read_onnx(path: Path) -> OnnxFacts:
    """Look into an ONNX file.

    Raises:
        ModelError: if it cannot be read or is none, or weights that lie beside it are missing.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            facts = _model(_Message(data, 0, len(data)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX file, or cut off; fetch or export it anew") from (
            error
        )
    for name, length in facts.external.items():
        _check_external(path, name, length)
    return facts


def _check_external(path: Path, name: str, length: int) -> None:
    beside = path.parent / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(f"{path} keeps weights outside of its folder ({name}); export it anew")
    if not beside.is_file():
        raise ModelError(f"{path} needs {name} beside it, which is missing; put it there")
    if beside.stat().st_size < length:
        raise ModelError(f"{beside} is cut off: {length} bytes are needed; fetch or export it anew")


class _Message:
    """A stretch of a protocol buffer; making one reads nothing.

    Whatever does not make sense raises ``ValueError``.
    """

    def __init__(self, data: mmap.mmap, start: int, end: int) -> None:
        self._data, self._start, self._end = data, start, end

    def fields(self) -> Iterator[tuple[int, int | _Message]]:
        """Yield number and value: an int, or what may be text or fields again."""
        at = self._start
        while at < self._end:
            tag, at = self._varint(at)
            kind = tag & 7
            value: int | _Message = 0
            if kind == _VARINT:
                value, at = self._varint(at)
            elif kind == _BYTES:
                length, at = self._varint(at)
                value = _Message(self._data, at, at + length)
                at += length
            elif kind in (_FIXED32, _FIXED64):
                at += 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"no such kind of field: {kind}")
            if at > self._end:
                raise ValueError("cut off")
            yield tag >> 3, value

    def messages(self, number: int) -> Iterator[_Message]:
        """Yield the fields of one number that are no plain integers."""
        for found, value in self.fields():
            if found == number and isinstance(value, _Message):
                yield value

    def integer(self, number: int) -> int:
        """Return the last integer of that number, or 0."""
        found = [value for key, value in self.fields() if key == number and isinstance(value, int)]
        return found[-1] if found else 0

    def integers(self, number: int) -> Iterator[int]:
        """Yield a list of integers, packed or not."""
        for found, value in self.fields():
            if found == number and isinstance(value, int):
                yield value
            elif found == number and isinstance(value, _Message):
                yield from value.packed()

    def packed(self) -> Iterator[int]:
        """Yield integers that stand one after the other."""
        at = self._start
        while at < self._end:
            integer, at = self._varint(at)
            yield integer

    def text(self, number: int) -> str:
        """Return the text of that number, or an empty one."""
        return next((str(message) for message in self.messages(number)), "")

    def __str__(self) -> str:
        return self._data[self._start : self._end].decode()

    def _varint(self, at: int) -> tuple[int, int]:
        value, shift = 0, 0
        while at < self._end and shift < _LONGEST_VARINT:
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:  # noqa: PLR2004  the last one
                return value, at
        raise ValueError("cut off")


def _model(model: _Message) -> OnnxFacts:
    facts = OnnxFacts(metadata=dict(_entries(model, _MODEL_METADATA)))
    for opset in model.messages(_MODEL_OPSET):
        if opset.text(_OPSET_DOMAIN) in ("", "ai.onnx"):
            facts.opset = opset.integer(_OPSET_VERSION)
    for graph in model.messages(_MODEL_GRAPH):
        _graph(graph, facts)
    if not facts.inputs or not facts.outputs or not facts.opset:
        raise ValueError("nothing in it")
    return facts


def _graph(graph: _Message, facts: OnnxFacts) -> None:
    # What is kept as float16 only to be small is made float32 by the first node that takes it.
    casts = {
        str(name)
        for node in graph.messages(_GRAPH_NODE)
        if node.text(_NODE_OPERATOR) == "Cast"
        for name in node.messages(_NODE_INPUT)
    }
    weights = {_tensor(tensor, casts, facts) for tensor in graph.messages(_GRAPH_INITIALIZER)}
    facts.outputs = [_value(value) for value in graph.messages(_GRAPH_OUTPUT)]
    # Files of before 2019 declare their weights as inputs, too.
    inputs = [_value(value) for value in graph.messages(_GRAPH_INPUT)]
    facts.inputs = [value for value in inputs if value.name not in weights]


def _tensor(tensor: _Message, casts: set[str], facts: OnnxFacts) -> str:
    """Count a tensor's weights, note where they lie, and return its name."""
    name = tensor.text(_TENSOR_NAME)
    dtype = "float32" if name in casts else _DTYPES.get(tensor.integer(_TENSOR_TYPE), "")
    count = prod(tensor.integers(_TENSOR_DIMS))
    facts.weights[dtype] = facts.weights.get(dtype, 0) + count
    place = dict(_entries(tensor, _TENSOR_EXTERNAL))
    if where := place.get("location"):
        end = int(place.get("offset", 0)) + int(place.get("length", 0))
        facts.external[where] = max(facts.external.get(where, 0), end)
    return name


def _value(value: _Message) -> Value:
    dtype, shape = "", []
    for kind in value.messages(_VALUE_TYPE):
        for tensor in kind.messages(_TYPE_TENSOR):
            dtype = _DTYPES.get(tensor.integer(_TENSOR_ELEMENT), "")
            for sides in tensor.messages(_TENSOR_SHAPE):
                shape = [side.integer(_DIM_LENGTH) for side in sides.messages(_SHAPE_DIM)]
    return Value(value.text(_VALUE_NAME), dtype, tuple(side or None for side in shape))


def _entries(message: _Message, number: int) -> Iterator[tuple[str, str]]:
    for entry in message.messages(number):
        yield entry.text(_ENTRY_KEY), entry.text(_ENTRY_VALUE)
