"""Measures what compositors wait for side by side with an ffmpeg pipe of the same codecs.

    python tools/vfx_benchmark.py                       # all rows, about 5 minutes on 2 cores
    python tools/vfx_benchmark.py --quick --only over,cutout
    python tools/vfx_benchmark.py -o benchmarks/vfx.json --readme README.md

over    4K ProRes 4444 with its own alpha, over a still, to ProRes 4444: both read the same file
cutout  4K ProRes 422 HQ, cut out by a ready-made matte, to ProRes 4444 with alpha
exr     2K OpenEXR (half, ZIPS), over a still by a ready-made matte, to comp and matte in OpenEXR

The ready-made matte is the stub's disc, so no network is measured: ours scales it up, snaps it to
edges and cleans edges of the old background, as it does with any matte, but does not steady it;
ffmpeg is given it at full size as a still that it decodes once, and keeps the old background where
nothing is to be seen, which its encoder then has to write: sizes are in the JSON. Both sides take
turns, each in a process of its own; a ratio is the median of those of neighbours, above 1 if ours
is quicker. A turn of ours is timed from opening the files to the finished ones, after two frames
for warming up, without the start of Python; ffmpeg's with its start. Footage is made from the
repository's own and kept. Needs `psutil`, and `ffmpeg` on the PATH.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import benchmark
import cv2
import numpy as np
from benchmark import ASTRONAUT, BEACH, BenchmarkError, Sample, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from streammatte.options import RenderOptions

RATE, FIRST = 24, 1001
WARM_UP = 2
"""Frames."""
MARKERS = ("<!-- vfx -->", "<!-- /vfx -->")
SIZES = {"over": (3840, 2160), "cutout": (3840, 2160), "exr": (2048, 1152)}
TITLES = {
    "over": "4K ProRes 4444 with alpha over a still, to ProRes 4444",
    "cutout": "4K ProRes 422 HQ cut out, to ProRes 4444 with alpha",
    "exr": "2K OpenEXR over a still, to comp and matte in OpenEXR",
}
TAGS = (
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
    *("-color_range", "tv"),
)


@dataclass(frozen=True)
class Media:
    """What a row is measured with."""

    plate: Path
    background: Path
    """PNG of the plate's size."""
    light: Path
    """The same in linear light, as OpenEXR."""
    matte: Path
    """The stub's disc at the plate's size, as a grey PNG of 16 bits."""


def make_media(cache: Path, row: str, frames: int) -> Media:
    """Return the footage of a row, made if the cache folder does not hold it."""
    width, height = SIZES[row]
    folder = cache / f"{row}_{frames}"
    names = {"over": "plate.mov", "cutout": "plate.mov", "exr": "plate.%04d.exr"}
    media = Media(
        folder / names[row], folder / "beach.png", folder / "beach.exr", folder / "matte.png"
    )
    if (folder / "whole").exists():
        return media
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(media.matte), disc(width, height))
    fill = f"scale={width}:{height}:flags=bicubic:force_original_aspect_ratio=increase"
    still = f"{fill},crop={width}:{height}"
    _ffmpeg(["-i", BEACH, "-vf", f"{still},format=rgb24", "-frames:v", 1, media.background])
    if row == "exr":
        _write_light(media)
    _ffmpeg(plate_command(row, media, frames, still))
    (folder / "whole").touch()
    return media


def _write_light(media: Media) -> None:
    """Write the background in linear light, which ffmpeg has no words for."""
    import OpenEXR

    from streammatte.colour import SRGB, to_linear

    codes = cv2.imread(str(media.background))[..., ::-1].astype(np.float32) / 255
    light = to_linear(codes, SRGB).astype(np.float16)
    planes = {name: np.ascontiguousarray(light[..., at]) for at, name in enumerate("RGB")}
    OpenEXR.File({"compression": OpenEXR.ZIPS_COMPRESSION}, planes).write(str(media.light))


def disc(width: int, height: int) -> Any:
    """Return what the stub says of a picture: uint16 ``[height, width]``."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / min(width, height)
    return np.rint(np.clip((0.4 - distance) / 0.1, 0, 1) * 65535).astype(np.uint16)


def plate_command(row: str, media: Media, frames: int, still: str) -> list[object]:
    """Film the example's astronaut with a grainy sensor, in ffmpeg's words."""
    graph = f"[0:v]loop=-1:240,setpts=N/{RATE}/TB,{still},noise=c0s=5:c0f=t"
    begin: list[object] = ["-i", ASTRONAUT]
    end: list[object] = ["-map", "[v]", "-frames:v", frames, "-r", RATE]
    if row == "over":
        begin += ["-loop", 1, "-i", media.matte]
        graph += ",format=yuv444p10le[f];[1:v]format=gray10le[a];[f][a]alphamerge[v]"
        prores = ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")
        return [*begin, "-filter_complex", graph, *end, *prores, *TAGS, media.plate]
    if row == "cutout":
        prores = ("-c:v", "prores_ks", "-profile:v", "hq", "-pix_fmt", "yuv422p10le")
        return [*begin, "-filter_complex", f"{graph}[v]", *end, *prores, *TAGS, media.plate]
    graph += ",format=gbrp16le,format=gbrpf32le[v]"
    exr = ("-c:v", "exr", "-compression", "zip1", "-format", "half", "-start_number", FIRST)
    return [*begin, "-filter_complex", graph, *end, *exr, media.plate]


# ---- ours


def our_options(row: str, media: Media, frames: int) -> RenderOptions:
    """Return what is asked for, for so many frames from the first on."""
    from streammatte.options import (
        BackgroundSpec,
        EncodeOptions,
        MatteOptions,
        NetworkOptions,
        RenderOptions,
        SequenceOptions,
    )
    from streammatte.sources.base import Window

    behind = BackgroundSpec("file", path=str(media.background))
    exr = row == "exr"
    return RenderOptions(
        background=BackgroundSpec("transparent") if row == "cutout" else behind,
        network=NetworkOptions(runtime="stub"),
        matte=MatteOptions(temporal="off"),
        window=Window() if exr else Window(None, Fraction(frames, RATE)),
        encode=EncodeOptions() if exr else EncodeOptions("prores"),
        passes=("comp", "matte") if exr else ("comp",),
        sequence=SequenceOptions((FIRST, FIRST + frames - 1), rate=Fraction(RATE))
        if exr
        else SequenceOptions(),
        overwrite=True,
    )


def output(row: str, folder: Path) -> Path:
    """Return what a row is written to."""
    return folder / ("shot.%04d.exr" if row == "exr" else "shot.mov")


def take_turn(row: str, media: Media, frames: int, folder: Path) -> dict[str, float]:
    """Render in this process, warm, and say what it took."""
    from streammatte import pipeline
    from streammatte.cli.process import own_process

    own_process()
    target = output(row, folder)
    pipeline.render(media.plate, target, our_options(row, media, WARM_UP))
    cpu, wall = _processor(), time.perf_counter()
    report = pipeline.render(media.plate, target, our_options(row, media, frames))
    cpu, wall = _processor() - cpu, time.perf_counter() - wall
    if report.frames != frames:
        raise BenchmarkError(f"{row}: {report.frames} frames were rendered, not {frames}")
    return {"frames": report.frames, "seconds": wall, "cpu_seconds": cpu}


def _processor(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def sample_ours(row: str, frames: int, folder: Path, cache: Path) -> Sample:
    """Run ours in a process of its own."""
    begun = time.perf_counter()
    worker = ["--worker", row, str(frames), str(folder), "--cache", str(cache)]
    command = [sys.executable, __file__, *worker]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise BenchmarkError(f"{row} failed: {finished.stderr.strip().splitlines()[-1]}")
    taken = json.loads(finished.stdout)
    return Sample(**taken, process_seconds=time.perf_counter() - begun)


# ---- ffmpeg


def ffmpeg_command(row: str, media: Media, frames: int, folder: Path, encoder: str) -> list[object]:
    """Return what ours does, in ffmpeg's words.

    Stills are decoded and converted once and repeated by reference.
    """
    target = output(row, folder)
    prores = ("-c:v", encoder, "-profile:v", 4, "-vendor", "apl0", *TAGS, target)
    if row == "over":
        exact = "flags=bicubic+accurate_rnd+full_chroma_inp+full_chroma_int"
        back = f"scale=out_color_matrix=bt709:out_range=tv:{exact},format=yuv444p10le,loop=-1:1"
        # overlay has no 4:4:4 of 10 bits.
        graph = (
            "[0:v]split[f][g];[g]alphaextract,format=gray10le,mergeplanes=0x000000:yuv444p10le[a];"
            f"[f]format=yuv444p10le[p];[1:v]{back}[b];[b][p][a]maskedmerge[o]"
        )
        begin = ("-i", media.plate, "-framerate", RATE, "-i", media.background)
        end = ("-map", "[o]", "-frames:v", frames, "-pix_fmt", "yuv444p10le")
        return [*begin, "-filter_complex", graph, *end, *prores]
    if row == "cutout":
        graph = "[1:v]format=gray10le,loop=-1:1[a];[0:v]format=yuv444p10le[f];[f][a]alphamerge[o]"
        begin = ("-i", media.plate, "-framerate", RATE, "-i", media.matte)
        end = ("-map", "[o]", "-frames:v", frames, "-pix_fmt", "yuva444p10le")
        return [*begin, "-filter_complex", graph, *end, *prores]
    graph = (
        # By way of 16 bits, for swscale leaves planes unwritten between grey and R'G'B' in float.
        "[2:v]loop=-1:1,split[m][p];[m]format=gbrp16le,format=gbrpf32le[a];"
        "[p]scale=in_range=full:out_range=full,format=grayf32le[q];"
        "[1:v]format=gbrpf32le,loop=-1:1[b];[0:v]format=gbrpf32le[f];"
        "[b][f][a]maskedmerge[o]"
    )
    exr = ("-c:v", "exr", "-compression", "zip1", "-format", "half", "-start_number", FIRST)
    return [
        *("-framerate", RATE, "-start_number", FIRST, "-i", media.plate),
        *("-framerate", RATE, "-i", media.light, "-framerate", RATE, "-i", media.matte),
        *("-filter_complex", graph),
        *("-map", "[o]", "-frames:v", frames, *exr, folder / "shot_comp.%04d.exr"),
        *("-map", "[q]", "-frames:v", frames, *exr, folder / "shot_matte.%04d.exr"),
    ]


def sample_ffmpeg(row: str, media: Media, frames: int, folder: Path, encoder: str) -> Sample:
    """Run ffmpeg's version."""
    cpu, wall = _processor(resource.RUSAGE_CHILDREN), time.perf_counter()
    _ffmpeg(ffmpeg_command(row, media, frames, folder, encoder))
    wall = time.perf_counter() - wall
    return Sample(frames, wall, _processor(resource.RUSAGE_CHILDREN) - cpu, wall)


def _ffmpeg(command: Sequence[object]) -> None:
    told = [str(word) for word in ("ffmpeg", "-y", "-v", "error", "-nostdin", *command)]
    finished = subprocess.run(told, capture_output=True, text=True, check=False)
    if finished.returncode:
        complaint = "; ".join(finished.stderr.strip().splitlines()[-3:]) or "no reason given"
        raise BenchmarkError(f"ffmpeg failed: {complaint}")


# ---- rows


def measure(row: str, frames: int, turns: int, cache: Path) -> dict[str, Any]:
    """Return what was measured of a row."""
    media = make_media(cache, row, frames)
    with tempfile.TemporaryDirectory(prefix="streammatte-vfx-") as name:
        one, two = Path(name) / "ours", Path(name) / "ffmpeg"
        one.mkdir()
        two.mkdir()
        ours, other = [], []
        encoder = encoder_of(row, media, output(row, one))
        for _ in range(turns):
            ours.append(sample_ours(row, frames, one, cache))
            other.append(sample_ffmpeg(row, media, frames, two, encoder))
        result = benchmark.compare(ours, other)
        result["encoder"] = encoder
        result["bytes"] = {"ours": _bytes(one), "other": _bytes(two)}
        if row == "over":
            result["likeness"] = benchmark.likeness(output(row, one), output(row, two))
    return result


def encoder_of(row: str, media: Media, target: Path) -> str:
    """Return FFmpeg's name for the encoder that ours chooses, which ffmpeg is told to use, too."""
    from streammatte.sinks.codecs import plan
    from streammatte.sources import open_source

    if row == "exr":
        return "exr"
    with open_source(media.plate) as source:
        wish = our_options(row, media, 1).encode
        return plan(target, source.info, wish, alpha=row == "cutout").encoder


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def table(results: dict[str, Any]) -> str:
    """Return the rows as people read them."""
    rows = [
        "| What | Ours | ffmpeg | Ratio | in processor time | Encoder |",
        "|---|---:|---:|---:|---:|---|",
    ]
    rows += [
        f"| {TITLES[row]} | {answer['ours_fps']:.2f} fps | {answer['other_fps']:.2f} fps "
        f"| {answer['frame_rate_ratio']:.2f} | {answer['cpu_ratio']:.2f} | {answer['encoder']} |"
        for row, answer in results.items()
    ]
    return "\n".join(rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    summary = __doc__.splitlines()[0]
    return benchmark.parse_rows(summary, TITLES, arguments, quick="8 frames, one turn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    if told.worker:
        row, count, folder = told.worker
        media = make_media(told.cache, row, int(count))
        print(json.dumps(take_turn(row, media, int(count), Path(folder))))
        return 0
    frames, turns = (8, 1) if told.quick else (24, 3)
    results: dict[str, Any] = {}
    try:
        for row in told.only:
            tell(TITLES[row])
            results[row] = measure(row, frames, told.turns or turns, told.cache)
    except BenchmarkError as error:
        print(f"vfx_benchmark: {error}", file=sys.stderr)
        return 1
    print(table(results))
    if told.output is not None:
        facts = {**benchmark.machine(), "frames": frames, "results": results}
        told.output.write_text(json.dumps(facts, indent=1) + "\n")
    if told.readme is not None:
        benchmark.put_into(told.readme, table(results), MARKERS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
