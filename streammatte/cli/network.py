"""Which network, and what runs it: the options that ``render`` and ``live`` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammatte.options import NetworkOptions, parse_size
from streammatte.runtimes import RUNTIMES

if TYPE_CHECKING:
    from argparse import ArgumentParser, _ArgumentGroup


def add_network(parser: ArgumentParser) -> _ArgumentGroup:
    """Declare the options, and return their group."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--model",
        default="selfie",
        metavar="NAME",
        help="see 'streammatte models list'; or a folder, a .safetensors, an .onnx (selfie)",
    )
    group.add_argument(
        "--weights", metavar="FILE", help="instead of the model's own; 'random' for speed tests"
    )
    group.add_argument(
        "--commercial-only",
        action="store_true",
        help="refuse networks that may not be used commercially",
    )
    group.add_argument(
        "--size",
        metavar="N",
        help="the network's input in pixels: its shorter side, or HEIGHTxWIDTH (the model's own)",
    )
    group.add_argument(
        "--runtime", default="auto", metavar="NAME", help=f"{', '.join(RUNTIMES)} (auto)"
    )
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... (auto)"
    )
    group.add_argument(
        "--precision",
        choices=("auto", "fp32", "fp16"),
        default="auto",
        metavar="NAME",
        help="fp32 or fp16 (auto)",
    )
    group.add_argument("--require-gpu", action="store_true", help="fail rather than run on the CPU")
    return group


def network_options(arguments: Any, **more: Any) -> NetworkOptions:
    """Return what was asked for; ``more`` is what only one of the commands has."""
    return NetworkOptions(
        model=arguments.model,
        weights=arguments.weights,
        commercial_only=arguments.commercial_only,
        size=None if arguments.size is None else parse_size(arguments.size),
        runtime=arguments.runtime,
        device=arguments.device,
        precision=arguments.precision,
        require_gpu=arguments.require_gpu,
        **more,
    )
