"""``streammatte models export``: a network as an ONNX file, checked against PyTorch."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from streammatte.cli import console
from streammatte.errors import ModelError, UsageError
from streammatte.models.base import Deform, Graph, Precision, Target
from streammatte.models.onnx_card import PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from streammatte.models.base import ModelCard, Size
    from streammatte.models.birefnet.export import Exported

EPILOG = """\
examples:
  streammatte models export birefnet-lite --size 512
  streammatte models export birefnet --precision fp16 --target tensorrt -o birefnet.onnx
  streammatte models export birefnet-lite --weights random:1 --size 576x1024

The file takes uint8 R'G'B' 'image' [batch, height, width, 3] and gives float32 'alpha'
[batch, 1, height, width] in 0..1. It is compared with PyTorch before it gets its name.
Weights that are too big for one file lie beside it, in a file that must stay there.
"""
_LARGEST_HALF = 65504


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="a network, a path or an id of the hub")
    parser.add_argument(
        "-o", "--output", metavar="FILE.onnx", help="NAME_HEIGHTxWIDTH_PRECISION.onnx by default"
    )
    parser.add_argument("-y", dest="overwrite", action="store_true", help="overwrite FILE.onnx")
    parser.add_argument(
        "--size", metavar="N|HxW", help="shorter side, or height x width (what it was trained on)"
    )
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32", help="(fp32)")
    parser.add_argument(
        "--target", choices=get_args(Target), default="onnxruntime", help="who runs it"
    )
    parser.add_argument(
        "--deform",
        choices=get_args(Deform),
        help="deformable convolution as an operator or as gathers (what suits the target)",
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images at once (1)")
    parser.add_argument(
        "--weights", metavar="WEIGHTS", help="a .safetensors file, a folder or random[:SEED]"
    )
    parser.add_argument("--revision", metavar="REV", help="of the hub's repository")


def run(arguments: argparse.Namespace) -> int:
    """Export, and tell what came out."""
    from streammatte.models import open_model
    from streammatte.models.birefnet.model import BiRefNetModel
    from streammatte.sinks.base import check_target

    model = open_model(arguments.name, weights=arguments.weights, revision=arguments.revision)
    if not isinstance(model, BiRefNetModel):
        raise ModelError(f"{model.card.name} is an ONNX file already; there is nothing to export")
    size = _size(model.card, arguments.size)
    if arguments.batch < 1:
        raise UsageError(f"--batch must be 1 or more, got {arguments.batch}")
    graph = Graph(arguments.target, arguments.precision, arguments.batch, arguments.deform)
    path = _path(arguments.output, model.card, size, graph)
    check_target(path, overwrite=arguments.overwrite)
    exported = model.export(size, graph, path, _tell)
    if arguments.json:
        facts = {**asdict(exported), "path": str(path), "files": list(map(str, exported.files))}
        console.out(json.dumps(facts, indent=2) + "\n")
    else:
        console.out("\n".join(_report(exported, size, graph)) + "\n")
    return 0


def _size(card: ModelCard, wish: str | None) -> Size:
    """Return ``(width, height)``; one side is that of a square where no shape was trained on."""
    from streammatte.options import parse_size

    return card.input_size(*(card.trained or (1, 1)), None if wish is None else parse_size(wish))


def _path(output: str | None, card: ModelCard, size: Size, graph: Graph) -> Path:
    if output is not None:
        if Path(output).suffix.lower() != ".onnx":
            raise UsageError(f"-o {output}: exports are ONNX files; give a name that ends in .onnx")
        return Path(output)
    words = [card.name.replace("/", "_"), f"{size[1]}x{size[0]}", graph.precision]
    if graph.target != "onnxruntime":
        words.append(graph.target)
    if graph.batch > 1:
        words.append(f"batch{graph.batch}")
    return Path("_".join(words) + ".onnx")


def _tell(stage: str) -> None:
    """Tell people who wait what for."""
    if sys.stderr.isatty():
        console.say(f"{stage} ...\n")


def _report(exported: Exported, size: Size, graph: Graph) -> Iterator[str]:
    path, (width, height), batch = exported.path, size, graph.batch
    megabytes = exported.bytes / 1e6
    yield f"{console.one_line(str(path))}: {megabytes:.1f} MB in {exported.seconds:.0f} s"
    yield f"  graph    {exported.nodes} nodes, opset {exported.opset}, {graph.precision}"
    yield f"  takes    uint8 'image' [{batch}, {height}, {width}, 3]"
    yield f"  gives    float32 'alpha' [{batch}, 1, {height}, {width}]"
    for file in exported.files:
        if file != path:
            yield f"  weights  in {console.one_line(file.name)}, which must stay beside it"
    yield f"  checked  on {exported.checked} pictures by {exported.checked_by}: alpha differs from"
    yield (
        f"           PyTorch in fp32 by {exported.largest_difference:.1e} at most, "
        f"{exported.mean_difference:.1e} on average"
    )
    if exported.largest_value is not None:
        share = exported.largest_value / _LARGEST_HALF
        yield f"  range    {exported.largest_value:.0f} at most, {share:.0%} of what fp16 holds"
    for key in ("model", "revision", "digest", "licence"):
        yield f"  {key:<8} {console.one_line(exported.metadata.get(PREFIX + key, ''))}"
