"""What the runtimes share: is this graph the one we were promised, and how are images fed to it?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from streammatte.errors import DependencyError, ModelError, RuntimeFailure
from streammatte.models.onnx_reader import read_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.models.base import Model, Precision, Size
    from streammatte.runtimes.base import Placement, Port

BIG = 16 * 1024 * 1024
"""Bytes of weights above which a network gains from more than one thread."""
PRECISION = "streammatte.precision"
"""The key in a graph's metadata that says ``fp32`` or ``fp16``."""
_LONGEST_REASON = 200
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def check_contract(name: str, size: Size, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse a graph that does not take images of ``size`` (width, height) and give mattes.

    Args:
        name: Of the network, for the message.
        size: What the graph must take; lengths that it leaves open always fit.
        inputs: As the engine describes them.
        outputs: As the engine describes them.

    Raises:
        ModelError: if it is another kind of graph.
    """
    width, height = size
    for found, wanted, role in (
        (inputs, ("image", "uint8", (None, height, width, 3)), "take"),
        (outputs, ("alpha", "float32", (None, 1, height, width)), "give"),
    ):
        if len(found) != 1 or not _fits(found[0], *wanted):
            listed = ", ".join(_words(port.name, port.dtype, port.shape) for port in found)
            raise ModelError(
                f"{name} cannot be used: its graph should {role} {_words(*wanted)}, "
                f"but has {listed or 'nothing'}"
            )


def _fits(port: Port, name: str, dtype: str, shape: tuple[int | None, ...]) -> bool:
    same_length = len(port.shape) == len(shape)
    return (
        (port.name, port.dtype) == (name, dtype)
        and same_length
        and all(
            None in (has, wants) or has == wants
            for has, wants in zip(port.shape, shape, strict=True)
        )
    )


def _words(name: str, dtype: str, shape: Sequence[int | None]) -> str:
    return f"{name} {dtype} [{', '.join('any' if n is None else str(n) for n in shape)}]"


def precision_of(name: str, model: Model, said: str | None, wish: str) -> Precision:
    """Return the precision of a graph.

    Args:
        name: Of the network, for the message.
        model: Whose graph it is; models that have but one graph know its precision.
        said: What the graph's metadata say under ``PRECISION``, if they do.
        wish: What was asked for, or ``auto``.

    Raises:
        ModelError: if another one was asked for.
    """
    has: Precision = "fp16" if (said or getattr(model, "precision", "")) == "fp16" else "fp32"
    if wish not in ("auto", has):
        raise ModelError(f"{name} has no {wish} graph, only {has}; leave --precision out")
    return has


def batch_of(inputs: Sequence[Port], wish: int | None) -> int:
    """Return how many images a graph takes at once: its own number, or the wish if it has none."""
    return inputs[0].shape[0] or wish or 1


def filled(images: NDArray[np.uint8], inputs: Sequence[Port]) -> NDArray[np.uint8]:
    """Repeat the last image until a graph of fixed batch has what it takes."""
    return filled_to(inputs[0].shape[0] or len(images), images)


def filled_to(count: int, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last image until there are so many."""
    missing = count - len(images)
    if not missing:
        return images
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])


def check_gpu(placement: Placement, runtime: str, device: str) -> None:
    """Refuse a CPU where a GPU is required.

    Raises:
        DependencyError: if ``device`` is a CPU and the placement will not have it.
    """
    if placement.require_gpu and device.endswith("cpu"):
        raise DependencyError(f"a GPU is required, but {runtime} would run on the CPU here")


def weight_bytes(path: Path) -> int:
    """Return the size of an ONNX file and of the files beside it that hold its weights."""
    try:
        beside = [path.parent / name for name in read_onnx(path).external]
    except ModelError:  # who opens it will say so
        beside = []
    return sum(file.stat().st_size for file in (path, *beside))


def failure(engine: str, error: BaseException) -> RuntimeFailure:
    """Return what to raise when an engine failed on a frame."""
    text = reason(error)
    if any(word in text.lower() for word in ("out of memory", "alloc")):
        return RuntimeFailure(
            f"{engine} needs more memory than there is ({text}); use a smaller --size"
        )
    return RuntimeFailure(f"{engine} failed on a frame: {text}")


def reason(error: BaseException) -> str:
    """Return in one short line what another library had to say."""
    # OpenVINO begins with places in its source; what happened comes after them.
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception from")]
    text = _PREFIX.sub("", " ".join(telling[:2])) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."
