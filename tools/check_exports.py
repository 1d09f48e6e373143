"""Exports networks and compares every engine's mattes with PyTorch's, as a table.

    python tools/check_exports.py                            # random weights
    python tools/check_exports.py --models birefnet-lite --sizes 512 --weights FOLDER

For each export: ONNX's own checker, then ONNX Runtime and OpenVINO against the readable network in
single precision, on three pictures. Engines on a CPU compute in single precision whatever a graph
says, so an fp16 export is also judged by the greatest value that half precision would have to hold
(it ends at 65504), and by running PyTorch with every result stored in half precision.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from streammatte.models import Graph, open_model
from streammatte.models.birefnet.export import check_pictures
from streammatte.models.birefnet.network import MEAN, STD
from streammatte.runtimes import Placement
from streammatte.runtimes.choice import open_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streammatte.models.base import Precision, Target
    from streammatte.models.birefnet.model import BiRefNetModel

LIMITS: dict[Precision, tuple[float, float]] = {"fp32": (2e-4, 2e-4), "fp16": (1e-2, 1e-3)}
"""What the largest and the mean difference of alpha must not exceed."""
HALVES = 256
"""Side of the pictures that PyTorch is shown in half precision."""


def main() -> int:
    """Print a row for each export and engine; exit code 1 if one of them is over the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["birefnet-lite", "birefnet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 1024])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--targets", nargs="+", default=["onnxruntime"])
    parser.add_argument("--weights", default="random", help="FILE, FOLDER or random[:SEED]")
    arguments = parser.parse_args()
    print(
        "| model | size | graph | nodes | MB | engine | max | mean | holds |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    good = True
    for name, size in product(arguments.models, arguments.sizes):
        model = open_model(name, weights=arguments.weights)
        pictures = check_pictures((size, size))
        truth = [reference(model, picture) for picture in pictures]
        for target, precision in product(arguments.targets, arguments.precisions):
            for row, right in rows(model, size, Graph(target, precision), pictures, truth):
                print(row, flush=True)
                good = good and right
    for name in arguments.models if "fp16" in arguments.precisions else ():
        row, right = halves(open_model(name, weights=arguments.weights))
        print(row, flush=True)
        good = good and right
    return 0 if good else 1


def reference(model: BiRefNetModel, picture: torch.Tensor) -> NDArray[np.float32]:
    """Return the matte that the readable network makes of uint8 ``[1, h, w, 3]``."""
    network = model.network()
    normalised = (picture.permute(0, 3, 1, 2) / 255 - column(MEAN)) / column(STD)
    with torch.no_grad():
        alpha: NDArray[np.float32] = torch.sigmoid(network(normalised)).numpy()
    return alpha


def column(values: tuple[float, ...]) -> torch.Tensor:
    """Return one value a channel."""
    return torch.tensor(values).reshape(1, -1, 1, 1)


def halves(model: BiRefNetModel) -> tuple[str, bool]:
    """Run PyTorch with every result stored in half precision, which is slow on a CPU."""
    pictures = check_pictures((HALVES, HALVES))
    truth = [reference(model, picture) for picture in pictures]
    module = model.module((HALVES, HALVES)).half()
    with torch.no_grad():
        found = (module(picture).numpy() for picture in pictures)
        head = f"| {model.card.name} | {HALVES} | fp16 | | | PyTorch {torch.__version__} |"
        row, right = judged(head, found, truth, "fp16")
    return f"{row} |", right


def rows(
    model: BiRefNetModel,
    size: int,
    graph: Graph,
    pictures: list[torch.Tensor],
    truth: list[NDArray[np.float32]],
) -> Iterator[tuple[str, bool]]:
    """Export, and yield a row of the table for each engine, and whether it is within limits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        made = model.export((size, size), graph, path)
        words = f"{graph.target} {graph.precision}"
        facts = f"| {model.card.name} | {size} | {words} | {made.nodes} | {made.bytes / 1e6:.0f} |"
        holds = "" if made.largest_value is None else f"{made.largest_value:.0f}"
        for engine in engines(graph.target):
            placement = Placement("cpu")
            choice = open_runtime(engine, open_model(str(path)), (size, size), placement)
            found = (choice.runtime.infer(picture.numpy()) for picture in pictures)
            head = f"{facts} {choice.runtime.description} |"
            row, right = judged(head, found, truth, graph.precision)
            choice.runtime.close()
            yield f"{row} {holds} |", right


def engines(target: Target) -> tuple[str, ...]:
    """Return what runs a target's graphs here."""
    return ("onnxruntime", "openvino") if target != "tensorrt" else ("onnxruntime",)


def judged(
    head: str,
    found: Iterator[NDArray[np.float32]],
    truth: list[NDArray[np.float32]],
    precision: Precision,
) -> tuple[str, bool]:
    """Return a row with the largest and the mean difference, and whether they are small enough."""
    differences = [np.abs(one - other) for one, other in zip(found, truth, strict=True)]
    largest = max(float(each.max()) for each in differences)
    mean = float(np.mean([each.mean() for each in differences]))
    right = largest <= LIMITS[precision][0] and mean <= LIMITS[precision][1]
    return f"{head} {largest:.1e} | {mean:.1e} |{'' if right else ' TOO MUCH'}", right


if __name__ == "__main__":
    sys.exit(main())
