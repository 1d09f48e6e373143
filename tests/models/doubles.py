"""Weights and hubs that are not the real ones."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streammatte.models.weights import FILE

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.models.weights import Hub

Entries = dict[str, tuple[str, tuple[int, ...]]]
"""Of a safetensors file: dtype and shape by key."""
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# As the public repositories have it: it asks for their code to be run.
PUBLIC_CONFIG = {
    "_name_or_path": "ZhengPeng7/BiRefNet",
    "architectures": ["BiRefNet"],
    "auto_map": {
        "AutoConfig": "BiRefNet_config.BiRefNetConfig",
        "AutoModelForImageSegmentation": "birefnet.BiRefNet",
    },
    "bb_pretrained": False,
}


def sparse(path: Path, entries: Entries, values: dict[str, bytes] | None = None) -> Path:
    """Write a safetensors file that is all zeros, and takes no room on the disk.

    Args:
        path: Where.
        entries: What it says that it holds.
        values: The first bytes of some tensors.
    """
    header, end = {}, 0
    for key, (dtype, shape) in entries.items():
        start, size = end, BYTES[dtype]
        for side in shape:
            size *= side
        end += size
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        begin = file.tell()
        file.truncate(begin + end)
        for key, content in (values or {}).items():
            file.seek(begin + header[key]["data_offsets"][0])
            file.write(content)
    return path


def in_cache(hub: Path, weights: Hub, file: Path, digest: str, commit: str = COMMIT) -> Path:
    """Put a file into the hub's cache as ``huggingface_hub`` does; return it there."""
    folder = hub / f"models--{weights.repository.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{commit}"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    os.link(file, folder / "blobs" / digest)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / "config.json").write_text(json.dumps(PUBLIC_CONFIG))
    there = folder / "snapshots" / commit / FILE
    there.symlink_to(f"../../blobs/{digest}")
    return there


@dataclass
class FakeHub:
    """A server that knows one file of one repository, or one answer to everything."""

    address: str
    content: bytes = b""
    digest: str = ""
    refusal: tuple[int, dict[str, str]] | None = None
    asked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the hub's layout, with seeded weights."""

    folder: Path
    state: dict[str, Any]
    """Its tensors, in half precision, by key."""
    digest: str

    @property
    def file(self) -> Path:
        return self.folder / FILE
