"""Measures photographs in bulk beside the bare network that looks at them, and their memory.

    python tools/stills_benchmark.py                       # all rows, about 6 minutes on 2 cores
    python tools/stills_benchmark.py --quick --only small
    python tools/stills_benchmark.py -o benchmarks/stills.json --readme docs/stills.md

small    2 megapixels, the network in the package, over white, to JPEG
large    12 megapixels, the same network, cut out, to PNG with alpha
network  2 megapixels, BiRefNet lite at 512 px (random weights cost the same), over white, to JPEG

The photographs are frames of the repository's own example, enlarged and with a sensor's grain, as
JPEG of quality 92. The bare network is shown the same views, decoded and scaled beforehand, one
after the other; nothing else is done to them. Both sides take turns, each in a process of its own,
without the start of Python and what is done once. A ratio is ours to the bare network: 1 if all
else vanishes behind it. Where the network runs on the same processors as all else, it cannot:
`rest` is the processor time that decoding, compositing and encoding take, in shares of the
network's. Memory is the process's peak after 25, 50, 75 and 100 of every hundred photographs.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import benchmark
import cv2
import numpy as np
from benchmark import ASTRONAUT, BenchmarkError, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from streammatte.options import RenderOptions

MARKERS = ("<!-- stills -->", "<!-- /stills -->")


@dataclass(frozen=True)
class Row:
    """What is measured."""

    title: str
    size: tuple[int, int]
    background: str = "white"
    model: str = "selfie"
    weights: str | None = None
    network: int | None = None
    """The network's shorter side; its own if ``None``."""


ROWS = {
    "small": Row("2 MP, the network in the package, to JPEG", (1600, 1200)),
    "large": Row("12 MP, the same, to PNG with alpha", (4000, 3000), "transparent"),
    "network": Row(
        "2 MP, BiRefNet lite at 512 px, to JPEG",
        (1600, 1200),
        "white",
        "birefnet-lite",
        "random",
        512,
    ),
}


def make_photographs(cache: Path, size: tuple[int, int], count: int) -> Path:
    """Return a folder of ``count`` photographs, made if the cache does not hold it."""
    folder = cache / f"photographs_{size[0]}x{size[1]}_{count}"
    if (folder.with_suffix(".whole")).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    grain = np.random.default_rng(1)
    with av.open(str(ASTRONAUT)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    for number in range(count):
        whole = cv2.resize(frames[number % len(frames)], size, interpolation=cv2.INTER_CUBIC)
        noise = grain.normal(0, 3, (size[1] // 2, size[0] // 2)).astype(np.float32)
        noise = cv2.resize(noise, size)[..., None]
        noisy = np.clip(whole + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])
    folder.with_suffix(".whole").touch()
    return folder


# ---- one turn, in a process of its own


def options(row: Row) -> RenderOptions:
    """Return what is asked for."""
    from streammatte.options import BackgroundSpec, NetworkOptions, RenderOptions

    network = NetworkOptions(row.model, row.weights, size=row.network)
    return RenderOptions(BackgroundSpec.parse(row.background), network=network, overwrite=True)


def take_ours(row: Row, photographs: Path) -> dict[str, Any]:
    """Render the folder."""
    from streammatte import pipeline
    from streammatte.cli.process import own_process

    own_process()
    peaks: list[tuple[int, float]] = []
    begun: list[tuple[float, float]] = []

    def hear(event: pipeline.Event) -> None:
        if isinstance(event, pipeline.Start):
            begun.append((time.perf_counter(), _processor()))
        elif isinstance(event, pipeline.Progress):
            peaks.append((event.frames, _peak()))

    with tempfile.TemporaryDirectory(prefix="streammatte-stills-") as out:
        report = pipeline.render(photographs, Path(out), options(row), hear)
        wall, cpu = time.perf_counter() - begun[0][0], _processor() - begun[0][1]
    quarters = [max(1, report.frames * part // 4) for part in range(1, 5)]
    return {
        "count": report.frames,
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_mb": [next(peak for at, peak in peaks if at >= quarter) for quarter in quarters],
    }


def take_bare(row: Row, photographs: Path) -> dict[str, Any]:
    """Let the network look at the same views, and do nothing else."""
    from av.video.reformatter import VideoReformatter

    from streammatte.cli.process import own_process
    from streammatte.models import load_card
    from streammatte.pipeline import open_engine
    from streammatte.stills.photo import read_photo

    own_process()
    size = load_card(row.model).input_size(*row.size, row.network)
    paths = sorted(photographs.iterdir())
    views = [read_photo(path).frame.looks.view(*size, VideoReformatter()) for path in paths]
    engine = open_engine(options(row).network, size)
    engine.runtime.infer(views[0][None])
    wall, cpu = time.perf_counter(), _processor()
    for view in views:
        engine.runtime.infer(view[None])
    wall, cpu = time.perf_counter() - wall, _processor() - cpu
    return {"count": len(views), "seconds": wall, "cpu_seconds": cpu}


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- rows


def sample(side: str, name: str, photographs: Path) -> dict[str, Any]:
    """Take a turn in another process."""
    command = [sys.executable, __file__, "--worker", side, name, str(photographs)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise BenchmarkError(f"{name} failed: {finished.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def measure(name: str, count: int, turns: int, cache: Path) -> dict[str, Any]:
    """Return what was measured of a row."""
    photographs = make_photographs(cache, ROWS[name].size, count)
    ours, bare = [], []
    for _ in range(turns):
        bare.append(sample("bare", name, photographs))
        ours.append(sample("ours", name, photographs))
    pairs = list(zip(ours, bare, strict=True))
    return {
        "ours": ours,
        "bare": bare,
        "ours_a_second": statistics.median(each["count"] / each["seconds"] for each in ours),
        "bare_a_second": statistics.median(each["count"] / each["seconds"] for each in bare),
        "ratio": statistics.median(two["seconds"] / one["seconds"] for one, two in pairs),
        "rest": statistics.median(
            one["cpu_seconds"] / two["cpu_seconds"] - 1 for one, two in pairs
        ),
        "peak_mb": ours[-1]["peak_mb"],
    }


def table(results: dict[str, Any]) -> str:
    """Return the rows as people read them."""
    rows = [
        "| What | Ours, a second | Bare network | Ratio | Rest | Peak in MB after each quarter |",
        "|---|---:|---:|---:|---:|---|",
    ]
    rows += [
        f"| {ROWS[name].title} | {each['ours_a_second']:.2f} | {each['bare_a_second']:.2f} "
        f"| {each['ratio']:.2f} | {each['rest']:.2f} "
        f"| {', '.join(f'{peak:.0f}' for peak in each['peak_mb'])} |"
        for name, each in results.items()
    ]
    return "\n".join(rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    summary = __doc__.splitlines()[0]
    return benchmark.parse_rows(summary, ROWS, arguments, quick="12 photographs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    if told.worker:
        side, name, photographs = told.worker
        take = take_ours if side == "ours" else take_bare
        print(json.dumps(take(ROWS[name], Path(photographs))))
        return 0
    count = 12 if told.quick else 100
    results: dict[str, Any] = {}
    try:
        for name in told.only:
            tell(ROWS[name].title)
            results[name] = measure(name, count, told.turns or 1, told.cache)
    except BenchmarkError as error:
        print(f"stills_benchmark: {error}", file=sys.stderr)
        return 1
    print(table(results))
    if told.output is not None:
        facts = {**benchmark.machine(), "count": count, "results": results}
        told.output.write_text(json.dumps(facts, indent=1) + "\n")
    if told.readme is not None:
        benchmark.put_into(told.readme, table(results), MARKERS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
