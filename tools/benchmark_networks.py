"""Measures BiRefNet on this machine: the ways to run it, side by side, with the same weights.

    python tools/benchmark_networks.py --peer PYTHON          # about 15 minutes on 2 cores
    python tools/benchmark_networks.py --peer PYTHON -o benchmarks/networks.json --readme README.md
    python tools/benchmark_networks.py --models birefnet-lite --size 512 --turns 1

What is compared with is the network as it is published: the readable formulation, operator by
operator in PyTorch, with torchvision's deformable convolution. torchvision does not go with the
CPU build of PyTorch that the tests pin, so ``--peer`` names a Python that has both, for instance:

    python3 -m venv peer && peer/bin/pip install torch==2.14.1 torchvision==0.29.1 numpy

Without one, our own operator stands in, which is quicker, and the table says so. Machines are
noisy, so contenders take turns, and a ratio is the median of those of neighbours. Every turn is a
process of its own: it loads the network, runs it once to warm up, then times the next images. Its
peak memory is all that it ever held, Python, libraries and weights included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
THREADS = 2
MARKERS = ("<!-- networks -->", "<!-- /networks -->")
PUBLISHED = "as published"
CONTENDERS = {
    PUBLISHED: "the published formulation, eager PyTorch",
    "torch": "ours, eager PyTorch",
    "onnxruntime": "ours, ONNX Runtime",
    "openvino": "ours, OpenVINO",
}


@dataclass(frozen=True)
class Turn:
    """What one process measured."""

    seconds: float
    """By the clock, an image; the median."""
    cpu_seconds: float
    """The same in processor time."""
    peak_mib: float
    engine: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    if told.worker:
        print(json.dumps(asdict(work(*told.worker, told.size, told.images))))
        return 0
    import benchmark  # not in workers: a peer lacks what it needs

    results = {}
    for name in told.models:
        prepare(name, told.size)
        results[name] = measure(name, told)
    text = table(results, told.peer is not None)
    if told.output is not None:
        record = {"size": told.size, "threads": THREADS, "turns": told.turns, "results": results}
        told.output.write_text(json.dumps({**benchmark.machine(), **record}, indent=1) + "\n")
    if told.readme is not None:
        benchmark.put_into(told.readme, text, MARKERS)
    print(text)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["birefnet-lite", "birefnet"])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=3, help="of every contender (3)")
    parser.add_argument("--images", type=int, default=2, help="timed in a turn (2)")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python with torch and torchvision")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    parser.add_argument("--readme", type=Path, help="put the table between its markers")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def tell(text: str) -> None:
    """Say how far it has come."""
    print(text, file=sys.stderr, flush=True)


def prepare(name: str, size: int) -> None:
    """Export what the engines need, so that no turn does it."""
    from streammatte.models import Graph, open_model

    open_model(name, weights="random", tell=tell).onnx((size, size), Graph())


def measure(name: str, told: argparse.Namespace) -> dict[str, Any]:
    """Let the contenders take turns; return their turns and ratios to the published form."""
    turns: dict[str, list[Turn]] = {contender: [] for contender in CONTENDERS}
    for _ in range(told.turns):
        for contender in CONTENDERS:
            turns[contender].append(take_turn(contender, name, told))
            latest = turns[contender][-1]
            tell(f"{name}, {contender}: {latest.seconds:.2f} s, {latest.peak_mib:.0f} MiB")
    return {contender: summary(of, turns[PUBLISHED]) for contender, of in turns.items()}


def take_turn(contender: str, name: str, told: argparse.Namespace) -> Turn:
    """Run a contender in a process of its own."""
    python = told.peer if contender == PUBLISHED and told.peer else sys.executable
    words = [python, str(Path(__file__)), "--worker", contender, name]
    words += ["--size", str(told.size), "--images", str(told.images)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)
    return Turn(**json.loads(done.stdout.splitlines()[-1]))


def summary(turns: list[Turn], published: list[Turn]) -> dict[str, Any]:
    """Return medians, and ratios of neighbouring turns."""
    pairs = list(zip(published, turns, strict=True))
    return {
        "engine": turns[0].engine,
        "seconds": statistics.median(turn.seconds for turn in turns),
        "cpu_seconds": statistics.median(turn.cpu_seconds for turn in turns),
        "peak_mib": max(turn.peak_mib for turn in turns),
        "quicker": statistics.median(one.seconds / other.seconds for one, other in pairs),
        "quicker_cpu": statistics.median(
            one.cpu_seconds / other.cpu_seconds for one, other in pairs
        ),
        "memory": statistics.median(other.peak_mib / one.peak_mib for one, other in pairs),
        "turns": [asdict(turn) for turn in turns],
    }


def work(contender: str, name: str, size: int, images: int) -> Turn:
    """Load, warm up, and time."""
    run, engine = published(name) if contender == PUBLISHED else ours(contender, name, size)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (images + 1, 1, size, size, 3), np.uint8)
    run(pictures[0])
    walls, processors = [], []
    for picture in pictures[1:]:
        wall, processor = time.perf_counter(), time.process_time()
        run(picture)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return Turn(statistics.median(walls), statistics.median(processors), peak_mib(), engine)


def peak_mib() -> float:
    """Return the most memory that this process ever held.

    Not by ``getrusage``: there Linux counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def published(name: str) -> tuple[Callable[[NDArray[np.uint8]], object], str]:
    """Return the readable formulation as its users run it, with torchvision if it is there."""
    import torch

    from streammatte.models.birefnet import aspp
    from streammatte.models.birefnet.network import MEAN, STD, random_network

    torch.set_num_threads(THREADS)
    engine = f"PyTorch {torch.__version__}"
    try:
        import torchvision
    except ImportError:
        engine += ", our deformable convolution"
    else:
        aspp.deform_conv2d = lambda image, weight, offset, bias, mask: (  # type: ignore[assignment]
            torchvision.ops.deform_conv2d(
                image, offset, weight, bias, padding=weight.shape[2] // 2, mask=mask
            )
        )
        engine += f", torchvision {torchvision.__version__}"
    network = random_network("swin_t" if "lite" in name else "swin_l")
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))

    def run(picture: NDArray[np.uint8]) -> object:
        with torch.no_grad():
            image = torch.from_numpy(picture).permute(0, 3, 1, 2) / 255
            return network((image - mean) / std).sigmoid().numpy()

    return run, engine


def ours(contender: str, name: str, size: int) -> tuple[Callable[[NDArray[np.uint8]], object], str]:
    """Return what a render would run."""
    from streammatte.models import open_model
    from streammatte.runtimes import Placement
    from streammatte.runtimes.choice import open_runtime

    if contender == "torch":
        import torch

        torch.set_num_threads(THREADS)
    model = open_model(name, weights="random")
    runtime = open_runtime(contender, model, (size, size), Placement("cpu")).runtime
    return runtime.infer, runtime.description


def table(results: dict[str, Any], with_peer: bool) -> str:
    """Return the results in Markdown."""
    lines = [
        "| network | run by | seconds an image | processor seconds | quicker by | peak memory |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, contenders in results.items():
        for contender, found in contenders.items():
            words = CONTENDERS[contender]
            if contender == PUBLISHED:
                words += " and torchvision" if with_peer else " (our deformable convolution)"
            lines.append(
                f"| {name} | {words} | {found['seconds']:.2f} | {found['cpu_seconds']:.2f} | "
                f"{found['quicker']:.1f} ({found['quicker_cpu']:.1f}) | "
                f"{found['peak_mib']:.0f} MiB ({found['memory']:.0%}) |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
