"""All that makes an engine valid: where one of these differs, another engine is needed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from streammatte.engines.kinds import words_of
from streammatte.models.onnx_reader import read_onnx
from streammatte.models.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.engines.kinds import Capability

SCHEMA = 1
"""Grows when engines of before must not be used any more."""
ANY_GPU = ""
"""The name of the device of an engine that may be carried from one to another."""


@dataclass(frozen=True)
class Fingerprint:
    """Of an engine that is wanted, or that is there."""

    onnx: str
    """SHA-256 of the graph and of the weights beside it."""
    kind: str
    """``tensorrt`` or ``tensorrt-rtx``."""
    version: str
    """Of that library, all of its parts."""
    cuda: int
    """CUDA's major version."""
    capabilities: tuple[Capability, ...]
    """Compute capabilities of the GPUs that it is for, in order; empty for all that are portable
    to."""
    device: str
    """The GPU's name, where engines are for one alone."""
    shape: tuple[int, int, int]
    """Batch, height and width of the input."""
    precision: str
    options: tuple[tuple[str, Any], ...]
    """What the builder was told, in order of the names."""
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that no other fingerprint has."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def for_gpus(self, *capabilities: Capability) -> Fingerprint:
        """Return that of the engine for other GPUs."""
        return replace(self, capabilities=tuple(sorted(capabilities)))

    def difference(self, other: Fingerprint) -> str:
        """Return in words what is another in an engine that is there; nothing if it is the same."""
        told = [
            f"{_WORDS[one.name]} {_shown(getattr(other, one.name))}, "
            f"not {_shown(getattr(self, one.name))}"
            for one in fields(self)
            if getattr(self, one.name) != getattr(other, one.name)
        ]
        return "; ".join(told)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Fingerprint:
        """Read what ``as_dict`` gave.

        Raises:
            ValueError: if it is something else.
        """
        try:
            return cls(
                onnx=str(facts["onnx"]),
                kind=str(facts["kind"]),
                version=str(facts["version"]),
                cuda=int(facts["cuda"]),
                capabilities=tuple((int(a), int(b)) for a, b in facts["capabilities"]),
                device=str(facts["device"]),
                shape=(int(facts["shape"][0]), int(facts["shape"][1]), int(facts["shape"][2])),
                precision=str(facts["precision"]),
                options=tuple((str(name), value) for name, value in facts["options"]),
                schema=int(facts["schema"]),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"no fingerprint: {error!r}") from error


_WORDS = {
    "onnx": "graph",
    "kind": "runtime",
    "version": "version",
    "cuda": "CUDA",
    "capabilities": "compute capability",
    "device": "device",
    "shape": "shape",
    "precision": "precision",
    "options": "builder options",
    "schema": "format",
}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value[:40] or "any"
    if isinstance(value, tuple) and value and all(isinstance(one, tuple) for one in value):
        whole = all(len(one) == 2 and isinstance(one[0], int) for one in value)  # noqa: PLR2004
        return ", ".join(words_of(one) if whole else f"{one[0]}={one[1]}" for one in value)
    return str(value) if value != () else "any"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of an ONNX file; with weights beside it, of the digests of all files."""
    beside = sorted(read_onnx(path).external)
    digests = [sha256_of(file) for file in (path, *(path.parent / name for name in beside))]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )
