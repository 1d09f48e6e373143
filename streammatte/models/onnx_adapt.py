"""Makes a network of another make keep our contract, by adding to its graph.

Before it: 8-bit pictures to numbers, order of channels, mean and deviation, layout. After it:
sigmoid or a clip to 0..1, layout. The weights stay what they are. Results are kept under
``home.folder("adapted")`` by content.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte import home
from streammatte.errors import DependencyError, ModelError, OutputError
from streammatte.models.onnx_plan import matte_layout
from streammatte.models.onnx_reader import read_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streammatte.models.onnx_plan import Adaptation

_FORMAT = 1
"""Grows when what is added to graphs changes, so that nothing old is used."""
_NAME = "model.onnx"
_INNER = "net/"
"""What the names of the original graph begin with, so that ours are free."""
_OPSET_OF_AXES = 13
"""From here on, Unsqueeze takes its axes as an input."""


def adapted(path: Path, digest: str, adaptation: Adaptation, metadata: Mapping[str, str]) -> Path:
    """Return a file that keeps the contract, made first if need be.

    Args:
        path: The file that does not.
        digest: Its SHA-256.
        adaptation: What is to be added.
        metadata: What is to be written into the result.

    Raises:
        ModelError: if ONNX does not accept the file or the result.
        DependencyError: if the package onnx is missing.
        OutputError: if the result cannot be written.
    """
    identity = json.dumps([_FORMAT, digest, asdict(adaptation), dict(metadata)], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:32]
    folder = home.folder("adapted")
    if _is_whole(folder / key / _NAME):
        return folder / key / _NAME
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as work:
            (Path(work) / key).mkdir()  # unlike work itself, readable as others' umask has it
            _make(path, Path(work) / key / _NAME, adaptation, metadata)
            _publish(Path(work) / key, folder / key)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder / key / _NAME


def _is_whole(path: Path) -> bool:
    try:
        read_onnx(path)
    except ModelError:
        return False
    return True


def _publish(made: Path, place: Path) -> None:
    """Move a folder to its place, unless another process was first."""
    try:
        os.replace(made, place)  # noqa: PTH105  it has the one meaning on all systems
    except OSError:
        if not _is_whole(place / _NAME):  # damaged: ours is better
            shutil.rmtree(place)
            os.replace(made, place)  # noqa: PTH105


def _make(path: Path, target: Path, adaptation: Adaptation, metadata: Mapping[str, str]) -> None:
    try:
        import onnx
    except ImportError as error:
        raise DependencyError(
            f'{path} must be adapted, which needs {error.name}: pip install "streammatte[export]"'
        ) from error
    for name in read_onnx(path).external:
        (target.parent / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, target.parent / name)
    try:
        model = onnx.load(path, load_external_data=False)
        _rewrite(model, adaptation)
        onnx.helper.set_model_props(model, {**_own_metadata(model), **metadata})
        onnx.save(model, target)
        onnx.checker.check_model(target)
    except OSError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} cannot be adapted: {reason}") from error


def _own_metadata(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _rewrite(model: Any, adaptation: Adaptation) -> None:
    """Put what is needed around a graph, in place."""
    from onnx import compose

    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    compose.add_prefix(model, _INNER, inplace=True)
    graph = model.graph
    image, matte = _INNER + adaptation.input.name, _INNER + adaptation.output.name
    nodes = [*_before(adaptation, image), *_needed(graph, matte), *_after(adaptation, matte, opset)]
    del graph.node[:]
    graph.node.extend(nodes)
    # Files of before 2019 declare their weights as inputs, too.
    weights = [value for value in graph.input if value.name != image]
    del graph.input[:], graph.output[:]
    ours, alpha = _ports(adaptation)
    graph.input.extend([ours, *weights])
    graph.output.append(alpha)


def _needed(graph: Any, output: str) -> list[Any]:
    """Return the nodes that an output depends on, in their order."""
    wanted, kept = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(filter(None, _reads(node)))
    return kept[::-1]


def _reads(node: Any) -> Iterator[str]:
    """Yield what a node reads, graphs inside it included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from _reads(inner)


class _Chain:
    """Nodes one after the other, each of which takes what the last one gave."""

    def __init__(self, name: str, start: str) -> None:
        self._name, self._last = name, start
        self.nodes: list[Any] = []

    def add(self, operator: str, constant: Any = None, **attributes: Any) -> None:
        """Append a node; ``constant`` is its second input."""
        from onnx import helper, numpy_helper

        takes, gives = [self._last], f"{self._name}/{len(self.nodes)}"
        if constant is not None:
            tensor = numpy_helper.from_array(constant)
            takes.append(f"{gives}/constant")
            self.nodes.append(helper.make_node("Constant", [], takes[1:], value=tensor))
        self.nodes.append(helper.make_node(operator, takes, [gives], gives, **attributes))
        self._last = gives

    def end(self, name: str) -> list[Any]:
        """Return the nodes; the last one gives ``name``."""
        if not self.nodes:
            self.add("Identity")
        self.nodes[-1].output[0] = name
        return self.nodes


def _before(adaptation: Adaptation, image: str) -> list[Any]:
    """Return the nodes from uint8 R'G'B' [b, h, w, 3] to what the graph takes."""
    chain = _Chain("picture", "image")
    if adaptation.channels == "BGR":
        chain.add("Gather", np.array([2, 1, 0]), axis=3)
    if adaptation.mean:
        mean, std = (
            np.array(numbers[:: -1 if adaptation.channels == "BGR" else 1])
            for numbers in (adaptation.mean, adaptation.std)
        )
        chain.add("Cast", to=_onnx_type("float32"))
        chain.add("Mul", (1 / (255 * std)).astype(np.float32))
        chain.add("Sub", (mean / std).astype(np.float32))
    if adaptation.layout == "NCHW":
        chain.add("Transpose", perm=[0, 3, 1, 2])
    if adaptation.input.dtype == "float16":
        chain.add("Cast", to=_onnx_type("float16"))
    return chain.end(image)


def _after(adaptation: Adaptation, matte: str, opset: int) -> list[Any]:
    """Return the nodes from what the graph gives to float32 alpha [b, 1, h, w] in 0..1."""
    chain = _Chain("matte", matte)
    if adaptation.output.dtype != "float32":
        chain.add("Cast", to=_onnx_type("float32"))
    if adaptation.activation == "sigmoid":
        chain.add("Sigmoid")
    else:
        chain.add("Max", np.zeros(1, np.float32))
        chain.add("Min", np.ones(1, np.float32))
    if matte_layout(adaptation.output) == "NHWC":
        chain.add("Transpose", perm=[0, 3, 1, 2])
    elif len(adaptation.output.shape) == 3 and opset >= _OPSET_OF_AXES:  # noqa: PLR2004
        chain.add("Unsqueeze", np.array([1]))
    elif len(adaptation.output.shape) == 3:  # noqa: PLR2004
        chain.add("Unsqueeze", axes=[1])
    return chain.end("alpha")


def _ports(adaptation: Adaptation) -> tuple[Any, Any]:
    """Return the declarations of image and alpha."""
    from onnx import helper

    value = adaptation.input
    sides = value.shape[2:] if adaptation.layout == "NCHW" else value.shape[1:3]
    height, width = (side or name for side, name in zip(sides, ("height", "width"), strict=True))
    batch = value.shape[0] or "batch"
    return (
        helper.make_tensor_value_info("image", _onnx_type("uint8"), [batch, height, width, 3]),
        helper.make_tensor_value_info("alpha", _onnx_type("float32"), [batch, 1, height, width]),
    )


def _onnx_type(dtype: str) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
