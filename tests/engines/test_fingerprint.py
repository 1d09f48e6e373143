"""Fingerprints: every field counts, none is lost on the disk, and differences are told."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from streammatte.engines.fingerprint import SCHEMA, Fingerprint, digest_of
from streammatte.engines.recipe import Builder

if TYPE_CHECKING:
    from pathlib import Path

ONE = Fingerprint(
    onnx="ab" * 32,
    kind="tensorrt-rtx",
    version="1.7.1.116",
    cuda=13,
    capabilities=((8, 6), (8, 9)),
    device="",
    shape=(1, 512, 512),
    precision="fp16",
    options=Builder().as_items(),
)
OTHER: dict[str, Any] = {
    "onnx": "cd" * 32,
    "kind": "tensorrt",
    "version": "1.7.1.117",
    "cuda": 12,
    "capabilities": ((8, 6),),
    "device": "NVIDIA GeForce RTX 4090",
    "shape": (1, 512, 1024),
    "precision": "fp32",
    "options": Builder(tf32=True).as_items(),
    "schema": SCHEMA + 1,
}


def test_no_field_is_forgotten_here() -> None:
    assert OTHER.keys() == {one.name for one in fields(Fingerprint)}


@pytest.mark.parametrize("name", OTHER)
def test_every_field_changes_the_key(name: str) -> None:
    other = replace(ONE, **{name: OTHER[name]})
    assert other.key != ONE.key
    assert other != ONE
    assert len(other.key) == 16
    assert other.difference(ONE)
    assert ONE.difference(ONE) == ""


@pytest.mark.parametrize("one", [one.name for one in fields(Builder)])
def test_every_option_of_the_builder_changes_the_key(one: str) -> None:
    changes: dict[str, Any] = {
        "optimization_level": 5,
        "workspace_mib": 512,
        "max_aux_streams": 0,
        "tf32": True,
        "half_share": 0.5,
    }
    options = replace(Builder(), **{one: changes[one]}).as_items()
    assert replace(ONE, options=options).key != ONE.key


@pytest.mark.parametrize("shape", [(2, 512, 512), (1, 256, 512), (1, 512, 256)])
def test_every_length_changes_the_key(shape: tuple[int, int, int]) -> None:
    assert replace(ONE, shape=shape).key != ONE.key


def test_the_key_is_the_same_elsewhere() -> None:
    """A change of it makes all engines useless: then ``SCHEMA`` must grow."""
    assert ONE.key == replace(ONE).key
    assert ONE.key == Fingerprint.from_dict(json.loads(json.dumps(ONE.as_dict()))).key


@pytest.mark.parametrize("name", [*OTHER, None])
def test_the_disk_keeps_it(name: str | None) -> None:
    one = replace(ONE, **({name: OTHER[name]} if name else {}))
    again = Fingerprint.from_dict(json.loads(json.dumps(one.as_dict())))
    assert again == one
    assert again.key == one.key


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_fingerprint(name: str) -> None:
    facts = ONE.as_dict()
    del facts[name]
    with pytest.raises(ValueError, match="no fingerprint"):
        Fingerprint.from_dict(facts)


@pytest.mark.parametrize(
    ("name", "value"),
    [("capabilities", 3), ("capabilities", [[8]]), ("shape", [1]), ("shape", None),
     ("cuda", "x"), ("options", [3]), ("schema", None)],
)  # fmt: skip
def test_what_makes_no_sense(name: str, value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whichever
        Fingerprint.from_dict({**ONE.as_dict(), name: value})


def test_differences_in_words() -> None:
    older = replace(ONE, version="1.6.0", capabilities=())
    assert ONE.difference(older) == (
        "version 1.6.0, not 1.7.1.116; compute capability any, not 8.6, 8.9"
    )
    assert "tf32=True" in ONE.difference(replace(ONE, options=OTHER["options"]))


def test_other_gpus_in_any_order() -> None:
    assert ONE.for_gpus((8, 9), (8, 6)) == ONE
    assert ONE.for_gpus().capabilities == ()


def test_the_digest_counts_weights_beside_it(tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = np.arange(4096, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "w"], ["b"])],
        "net",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [4096])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [4096])],
        [numpy_helper.from_array(values, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    before = digest_of(path)
    beside = tmp_path / "net.data"
    beside.write_bytes(b"\1" + beside.read_bytes()[1:])
    assert digest_of(path) != before
