"""Measures StreamMatte side by side with what people would use instead of it.

    python tools/benchmark.py                          # all of it, about 15 minutes on 2 cores
    python tools/benchmark.py --quick --only a,c
    python tools/benchmark.py -o benchmarks/results.json --readme README.md
    python tools/benchmark.py --profile                # where our processor time goes

Four questions, each a function below:

a. The media core (decode, matte from a file, composite, encode, sound copied) against ffmpeg
   doing decode + alphamerge + overlay with the same x264 settings.
b. The whole render, as it comes, against a plain per-frame loop with the same network.
c. Processor time a frame of everything but network and encoder, and of each stage.
d. Memory of a short and of a long job.

The networks themselves are measured by ``benchmark_networks.py``.

Machines are noisy, so contenders take turns and what counts is the median of the ratios of
neighbours. Every turn is a process of its own. A turn of ours is timed from opening the files to
the finished file, after a few frames for warming up; the start of Python (in the JSON as
``process_seconds``) is not counted, ffmpeg's is. Footage is made once, from the repository's own
files, and kept in a cache folder. Needs `psutil`, and `ffmpeg` on the PATH.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import itertools
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from streammatte.frames import Frame

ROOT = Path(__file__).parents[1]
ASTRONAUT = ROOT / "examples" / "astronaut.mp4"
BEACH = ROOT / "examples" / "beach.jpg"
NETWORK = ROOT / "streammatte" / "data" / "selfie_general.onnx"

PRESET, CRF = "veryfast", 18
"""x264's settings for all contenders: those that ``streammatte render`` chooses by itself.

In question a both sides get a thread a core and look ahead on none of their own; what x264 says it
was told is read from both results and must agree. In question b each has its own defaults: a
render gives x264 half the cores, a plain loop leaves it to x264, which takes 1.5 threads a core.
"""
LOOKAHEAD = "sync-lookahead=0"
RATE = 30
BITS_A_SECOND = {1080: 7_000_000, 720: 4_000_000}
WARM_UP_SECONDS = 0.3
MARKERS = ("<!-- benchmark -->", "<!-- /benchmark -->")


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    lines: tuple[int, ...]
    """Heights of the footage, 16:9."""
    frames: int
    """Of a clip."""
    long: int
    """How many times the clip goes into the long one for memory."""
    turns: int
    """How often each contender runs."""


FULL = Plan((1080, 720), frames=300, long=10, turns=5)
QUICK = Plan((1080,), frames=120, long=4, turns=2)


class BenchmarkError(Exception):
    """The measurement cannot go on; the message is one line for the person at the terminal."""


# ---- footage


@dataclass(frozen=True)
class Media:
    """What is measured with: all of the same size and length."""

    clip: Path
    """H.264 with AAC sound, at a camera's bit rate."""
    matte: Path
    """H.264 without loss; luma, full range, is the alpha of the clip's frames."""
    background: Path
    """PNG."""


def make_media(cache: Path, lines: int, frames: int) -> Media:
    """Return the footage of a size, made if the cache folder does not hold it."""
    cache.mkdir(parents=True, exist_ok=True)
    clip = make_clip(cache, lines, frames)
    return Media(clip, make_matte(cache, clip), make_background(cache, lines))


def make_clip(cache: Path, lines: int, frames: int) -> Path:
    """Film the example's astronaut with a moving camera and a grainy sensor."""
    width, high = lines * 16 // 9, lines * 3 // 2
    camera = f"crop={width}:{lines}:x='{high}/14*(1.2+sin(n/40))':y='{high}/22*(1.4+sin(n/27))'"
    graph = (
        "[0:v]split[f][g];[g]reverse[r];[f][r]concat,loop=-1:240,setpts=N/30/TB,"
        f"scale={high * 4 // 3}:{high}:flags=bicubic,{camera},noise=c0s=7:c0f=t,format=yuv420p[v]"
    )
    command = [
        *("-i", ASTRONAUT, "-stream_loop", -1, "-i", ASTRONAUT, "-filter_complex", graph),
        *("-map", "[v]", "-map", "1:a", "-frames:v", frames, "-t", frames / RATE),
        *("-c:v", "libx264", "-preset", PRESET, "-b:v", BITS_A_SECOND[lines]),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        *("-color_range", "tv", "-c:a", "aac", "-b:a", "128k"),
    ]
    return _made_by_ffmpeg(cache / f"clip{lines}.mp4", command)


def make_long(cache: Path, clip: Path, times: int) -> Path:
    """Join a clip to itself without encoding it again."""
    command = ["-stream_loop", times - 1, "-i", clip, "-map", "0", "-c", "copy"]
    return _made_by_ffmpeg(cache / f"long_{clip.name}", command)


def make_background(cache: Path, lines: int) -> Path:
    """Cut the example's beach to the size of the footage."""
    width = lines * 16 // 9
    graph = f"scale={width}:-2:flags=bicubic,crop={width}:{lines},format=rgb24"
    return _made_by_ffmpeg(cache / f"beach{lines}.png", ["-i", BEACH, "-vf", graph, "-frames:v", 1])


def make_matte(cache: Path, clip: Path) -> Path:
    """Film the mattes that StreamMatte makes of a clip."""
    import streammatte

    path = cache / f"matte_{clip.name}"
    if path.exists():
        return path
    part = path.with_suffix(".part.mp4")
    cutouts = streammatte.mattes(clip)
    first = next(cutouts)
    with av.open(part, "w", format="mp4") as container:
        options = {"preset": PRESET, "qp": "0"}
        stream: Any = container.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width = first.alpha.shape
        stream.pix_fmt, stream.codec_context.color_range = "yuv420p", 2
        stream.time_base = first.frame.time_base
        for cutout in itertools.chain([first], cutouts):
            alpha = np.rint(cutout.alpha * 255).astype(np.uint8)
            grey = np.full((alpha.shape[0] // 2, alpha.shape[1]), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack([alpha, grey]), "yuv420p")
            frame.color_range = 2
            frame.pts, frame.time_base = cutout.frame.pts, cutout.frame.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return part.replace(path)


def _made_by_ffmpeg(path: Path, command: Sequence[object]) -> Path:
    """Run ffmpeg unless this very command has already made the file; name it by the command."""
    digest = hashlib.sha256(repr(command).encode()).hexdigest()[:8]
    path = path.with_stem(f"{path.stem}_{digest}")
    if not path.exists():
        part = path.with_stem(f"{path.stem}.part")
        _ffmpeg([*command, part])
        part.replace(path)
    return path


def _ffmpeg(command: Iterable[object]) -> None:
    told = [str(word) for word in ("ffmpeg", "-y", "-v", "error", "-nostdin", *command)]
    try:
        finished = subprocess.run(told, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchmarkError("ffmpeg is not installed; apt-get install ffmpeg") from error
    if finished.returncode:
        complaint = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchmarkError(f"ffmpeg failed: {complaint}")


# ---- contenders: run_* in this process, timed; what is not Python is a command


@dataclass(frozen=True)
class Job:
    """What a contender is to do."""

    media: Media
    output: Path


@dataclass(frozen=True)
class Sample:
    """What one turn of a contender took."""

    frames: int
    seconds: float
    """By the clock, from opening the files to the finished file."""
    cpu_seconds: float
    """Processor time meanwhile, all threads."""
    process_seconds: float
    """By the clock, start and end of the process included."""

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


def run_core(job: Job, seconds: float | None = None) -> int:
    """Composite with a ready-made matte: the product's own stages, without the network."""
    from streammatte.options import BackgroundSpec, EncodeOptions, make_window
    from streammatte.sinks.codecs import plan
    from streammatte.sinks.video_file import VideoFileSink
    from streammatte.sources.video_file import VideoFile
    from streammatte.stages.backgrounds import open_background
    from streammatte.stages.composite import blend
    from streammatte.threads import Threads

    def composited(frames: Iterable[Frame], mattes: Iterable[Frame]) -> Iterator[Frame]:
        for frame, matte in zip(frames, mattes, strict=True):
            behind = background.behind(frame, None)
            picture = blend(frame.picture, behind, matte.picture.planes[0], None)
            yield type(frame)(picture, frame.pts, frame.duration, frame.time_base)

    window = make_window(None, None, None if seconds is None else str(seconds))
    spec = BackgroundSpec("file", path=str(job.media.background))
    encode = EncodeOptions("h264", CRF, PRESET)
    with (
        VideoFile(job.media.clip, window) as source,
        VideoFile(job.media.matte, window) as mattes,
        VideoFileSink(
            plan(job.output, source.info, encode, alpha=False), source.info, encode, source
        ) as sink,
        Threads() as threads,
    ):
        background: Any = open_background(spec, "cover", source.info, threads)
        frames = threads.ahead(source.frames(), "decode")
        alphas = threads.ahead(mattes.frames(), "matte")
        count = 0
        for frame in threads.ahead(composited(frames, alphas), "composite"):
            sink.write(frame)
            count += 1
    return count


def ffmpeg_core(job: Job) -> list[object]:
    """Return what ``run_core`` does, in ffmpeg's words.

    The still background is decoded and converted once and repeated by reference; the matte's luma
    becomes the alpha without a conversion of range.
    """
    exact = "flags=bicubic+accurate_rnd+full_chroma_inp+full_chroma_int"
    graph = (
        "[1:v]extractplanes=y[alpha];[0:v][alpha]alphamerge[front];"
        f"[2:v]scale=out_color_matrix=bt709:out_range=tv:{exact},format=yuv420p,loop=-1:1[back];"
        "[back][front]overlay=format=yuv420:shortest=1[out]"
    )
    media = job.media
    return [
        *("-i", media.clip, "-i", media.matte, "-framerate", RATE, "-i", media.background),
        *("-filter_complex", graph, "-map", "[out]", "-map", "0:a", "-c:a", "copy"),
        *("-c:v", "libx264", "-preset", PRESET, "-crf", CRF),
        *("-threads", os.cpu_count() or 1, "-x264-params", LOOKAHEAD),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        job.output,
    ]


def run_render(job: Job, seconds: float | None = None) -> int:
    """Render with every option at its default, in a process set up as the command line does."""
    import streammatte
    from streammatte.cli.process import own_process

    own_process()
    length = None if seconds is None else str(seconds)
    clip, background = job.media.clip, str(job.media.background)
    report = streammatte.render(clip, job.output, bg=background, length=length, overwrite=True)
    return report.frames


def run_plain(job: Job, seconds: float | None = None) -> int:
    """Do what ``run_render`` does the plain way: whole pictures in RGB, one after the other.

    Without refinement, smoothing, decontamination and sound, which the render has.
    """
    import onnxruntime

    network = onnxruntime.InferenceSession(NETWORK, providers=["CPUExecutionProvider"])
    background = cv2.cvtColor(cv2.imread(str(job.media.background)), cv2.COLOR_BGR2RGB)
    background = background.astype(np.float32)
    with av.open(job.media.clip) as source, av.open(job.output, "w") as result:
        reading = source.streams.video[0]
        reading.thread_type = "AUTO"
        options = {"preset": PRESET, "crf": str(CRF)}
        writing: Any = result.add_stream("libx264", rate=RATE, options=options)
        writing.width, writing.height = reading.width, reading.height
        writing.pix_fmt, writing.thread_type = "yuv420p", "AUTO"
        count = 0
        for frame in source.decode(reading):
            if seconds is not None and frame.time >= seconds:
                break
            picture = frame.to_ndarray(format="rgb24")
            small = cv2.resize(picture, (448, 256), interpolation=cv2.INTER_AREA)
            (alpha,) = network.run(["alpha"], {"image": small[None]})
            alpha = cv2.resize(alpha[0, 0], (frame.width, frame.height))[..., None]
            blended = alpha * picture + (1 - alpha) * background
            made = av.VideoFrame.from_ndarray(blended.astype(np.uint8), format="rgb24")
            made.pts, made.time_base = frame.pts, frame.time_base
            result.mux(writing.encode(made))
            count += 1
        result.mux(writing.encode(None))
    return count


CONTENDERS: dict[str, Callable[[Job, float | None], int]] = {
    "core": run_core,
    "render": run_render,
    "plain": run_plain,
}


def take_turn(name: str, job: Job) -> dict[str, float]:
    """Run a contender in this process, warm, and say what it took."""
    run = CONTENDERS[name]
    run(job, WARM_UP_SECONDS)
    job.output.unlink()
    cpu, wall = time.process_time(), time.perf_counter()
    frames = run(job, None)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"frames": frames, "seconds": wall, "cpu_seconds": cpu}


def sample_ours(name: str, job: Job) -> Sample:
    """Run a contender in a process of its own."""
    begun = time.perf_counter()
    taken = _worker(name, job)
    return Sample(**taken, process_seconds=time.perf_counter() - begun)


def sample_ffmpeg(job: Job, frames: int) -> Sample:
    """Run ffmpeg's version of the media core."""
    cpu, wall = _children(), time.perf_counter()
    _ffmpeg(ffmpeg_core(job))
    cpu, wall = _children() - cpu, time.perf_counter() - wall
    return Sample(frames, wall, cpu, wall)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _worker(name: str, job: Job) -> dict[str, Any]:
    """Start this file as a worker and return what it prints."""
    media = [job.media.clip, job.media.matte, job.media.background]
    command = [sys.executable, __file__, "--worker", name, *media, job.output]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise BenchmarkError(f"{name} failed: {finished.stderr.strip().splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def work(words: Sequence[str]) -> dict[str, Any]:
    """Be the worker: ``NAME CLIP MATTE BACKGROUND OUTPUT``."""
    name, *paths = words
    clip, matte, background, output = (Path(path) for path in paths)
    job = Job(Media(clip, matte, background), output)
    return profile(job) if name == "profile" else take_turn(name, job)


# ---- a and b: two contenders


def compare(ours: Sequence[Sample], other: Sequence[Sample]) -> dict[str, Any]:
    """Return the ratios of neighbours and their medians: above 1, ours is faster."""
    wall = [b.seconds / a.seconds for a, b in zip(ours, other, strict=True)]
    cpu = [b.cpu_seconds / a.cpu_seconds for a, b in zip(ours, other, strict=True)]
    return {
        "ours": [asdict(sample) for sample in ours],
        "other": [asdict(sample) for sample in other],
        "ours_fps": statistics.median(sample.fps for sample in ours),
        "other_fps": statistics.median(sample.fps for sample in other),
        "frame_rate_ratios": wall,
        "frame_rate_ratio": statistics.median(wall),
        "cpu_ratios": cpu,
        "cpu_ratio": statistics.median(cpu),
        "best_frame_rate_ratio": min(s.seconds for s in other) / min(s.seconds for s in ours),
    }


def measure_core(media: Media, plan: Plan, folder: Path) -> dict[str, Any]:
    """Answer question a for one size."""
    one, two = Job(media, folder / "ours.mp4"), Job(media, folder / "ffmpeg.mp4")
    ours, other = [], []
    for _ in range(plan.turns):
        ours.append(sample_ours("core", one))
        other.append(sample_ffmpeg(two, ours[-1].frames))
    result = compare(ours, other)
    result["x264"] = {"ours": x264_settings(one.output), "ffmpeg": x264_settings(two.output)}
    result["likeness"] = likeness(one.output, two.output)
    return result


def measure_render(media: Media, plan: Plan, folder: Path) -> dict[str, Any]:
    """Answer question b for one size."""
    one, two = Job(media, folder / "ours.mp4"), Job(media, folder / "plain.mp4")
    ours, other = [], []
    for _ in range(plan.turns):
        ours.append(sample_ours("render", one))
        other.append(sample_ours("plain", two))
    result = compare(ours, other)
    result["x264"] = {"ours": x264_settings(one.output), "plain": x264_settings(two.output)}
    return result


def x264_settings(path: Path) -> dict[str, str]:
    """Return x264's version and settings as it writes them into its stream."""
    found = re.search(rb"x264 - core (\d+ ?\w* ?\w*).{,200}?options: ([ -~]+)", path.read_bytes())
    if found is None:
        raise BenchmarkError(f"{path} was not made by x264")
    version, settings = (part.decode().strip() for part in found.groups())
    return {"core": version.removesuffix("H").strip(" -"), "options": settings}


def likeness(one: Path, two: Path, count: int = 60) -> dict[str, float]:
    """Return how alike two clips look, so that a comparison of their making is honest.

    Returns:
        Least and mean PSNR in dB over the first ``count`` frames, all planes; sizes in bytes.
    """
    with av.open(one) as a, av.open(two) as b:
        pairs = zip(a.decode(video=0), b.decode(video=0), strict=False)
        values = [_psnr(x, y) for x, y in itertools.islice(pairs, count)]
    return {
        "psnr_least": min(values),
        "psnr_mean": statistics.mean(values),
        "ours_bytes": one.stat().st_size,
        "other_bytes": two.stat().st_size,
    }


def _psnr(one: av.VideoFrame, two: av.VideoFrame) -> float:
    a, b = one.to_ndarray(format="yuv420p"), two.to_ndarray(format="yuv420p")
    if a.shape != b.shape or one.time != two.time:
        raise BenchmarkError("the results to compare have other sizes or time stamps")
    error = float(np.mean((a.astype(np.float32) - b) ** 2))
    return 10 * np.log10(255**2 / max(error, 1e-6))


# ---- c: where our processor time goes


def measure_stages(media: Media, plan: Plan, folder: Path) -> dict[str, Any]:
    """Answer question c for one size: of the turns, the one that took least."""
    job = Job(media, folder / "ours.mp4")
    turns = [_worker("profile", job) for _ in range(max(2, plan.turns - 2))]
    best: dict[str, Any] = min(turns, key=lambda turn: turn["rest"])
    best["rests"] = [turn["rest"] for turn in turns]
    return best


def profile(job: Job) -> dict[str, Any]:
    """Render warm in this process; return processor milliseconds a frame.

    The encoder is its own threads (those that start while the sink opens) and what the sink does
    on ours; ``rest`` is all of the process but network and encoder.
    """
    import streammatte
    from streammatte import pipeline

    encoders: set[int] = set()
    open_sink = pipeline.open_sink

    def watched(*arguments: Any) -> Any:
        before = {thread.id for thread in psutil.Process().threads()}
        sink = open_sink(*arguments)
        encoders.update(t.id for t in psutil.Process().threads() if t.id not in before)
        return sink

    run_render(job, WARM_UP_SECONDS)
    pipeline.open_sink = watched
    clip, background = str(job.media.clip), str(job.media.background)
    cpu = time.process_time()
    try:
        with _threads_watched() as threads:
            report = streammatte.render(clip, job.output, bg=background, overwrite=True)
    finally:
        pipeline.open_sink = open_sink
    total = (time.process_time() - cpu) * 1000 / report.frames
    stages = {name: taken["cpu"] for name, taken in report.milliseconds.items()}
    each = 1000 / report.frames
    decoder = each * sum(s for name, s in threads.values() if name.startswith("av:"))
    x264 = each * sum(s for ident, (_, s) in threads.items() if ident in encoders)
    encoder = x264 + stages["encode"]
    return {
        "fps": report.fps,
        "total": total,
        "network": stages["network"],
        "encoder": encoder,
        "rest": total - stages["network"] - encoder,
        "decoder threads": decoder,
        "encoder threads": x264,
        "stages": stages,
        "stages_wall": {name: taken["wall"] for name, taken in report.milliseconds.items()},
    }


@contextmanager
def _threads_watched() -> Iterator[dict[int, tuple[str, float]]]:
    """Yield a table, filled meanwhile, of all threads: id -> (system's name, CPU seconds)."""
    table: dict[int, tuple[str, float]] = {}
    ended = threading.Event()
    process = psutil.Process()

    def look() -> None:
        while not ended.wait(0.05):
            for thread in process.threads():
                name = table[thread.id][0] if thread.id in table else _thread_name(thread.id)
                table[thread.id] = (name, thread.user_time + thread.system_time)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield table
    finally:
        ended.set()
        watcher.join()


def _thread_name(ident: int) -> str:
    try:
        return Path(f"/proc/self/task/{ident}/comm").read_text().strip()
    except OSError:  # not Linux, or just gone
        return ""


# ---- d: memory


def measure_memory(media: Media, plan: Plan, folder: Path, cache: Path) -> dict[str, Any]:
    """Answer question d for one size: a short and a long job of the command line."""
    short = watch_memory(media.clip, media.background, folder / "short.mp4")
    clip = make_long(cache, media.clip, plan.long)
    long = watch_memory(clip, media.background, folder / "long.mp4")
    return {
        "short": {"frames": plan.frames, **short},
        "long": {"frames": plan.frames * plan.long, **long},
        "peak_ratio": long["peak_mib"] / short["peak_mib"],
        "steady_ratio": long["steady_mib"] / short["steady_mib"],
    }


def watch_memory(clip: Path, background: Path, output: Path) -> dict[str, Any]:
    """Render by the command line and sample the memory that the process has resident.

    Returns:
        ``peak_mib``; ``steady_mib``, the median of the last third; ``every_second_mib``.
    """
    command = [sys.executable, "-m", "streammatte", "render", clip, "-o", output, "-y", "-q"]
    samples = []
    with psutil.Popen([*map(str, command), "--bg", str(background)]) as process:
        while process.poll() is None:
            try:
                samples.append(process.memory_info().rss / 2**20)
            except psutil.Error:
                break
            time.sleep(0.05)
    if process.returncode:
        raise BenchmarkError(f"rendering {clip} ended with {process.returncode}")
    samples = [sample for sample in samples if sample]
    return {
        "peak_mib": max(samples),
        "steady_mib": statistics.median(samples[len(samples) * 2 // 3 :]),
        "every_second_mib": [round(sample, 1) for sample in samples[::20]],
    }


# ---- all of it


def measure(plan: Plan, questions: str, cache: Path) -> dict[str, Any]:
    """Answer the questions for every size; return all that was measured."""
    results: dict[str, Any] = {name: {} for name in questions}
    with tempfile.TemporaryDirectory(prefix="streammatte-benchmark-") as name:
        folder = Path(name)
        for lines in plan.lines:
            tell(f"footage with {lines} lines")
            media = make_media(cache, lines, plan.frames)
            ways: dict[str, Callable[[], dict[str, Any]]] = {
                "a": lambda m=media: measure_core(m, plan, folder),
                "b": lambda m=media: measure_render(m, plan, folder),
                "c": lambda m=media: measure_stages(m, plan, folder),
                "d": lambda m=media: measure_memory(m, plan, folder, cache),
            }
            for question in questions:
                if question in "cd" and lines != plan.lines[0]:
                    continue
                tell(f"{question} with {lines} lines")
                before = os.getloadavg()
                answer = ways[question]()
                answer["load_average"] = {"before": before, "after": os.getloadavg()}
                results[question][f"{lines}p"] = answer
    return results


def tell(text: str) -> None:
    """Say what is being done, where it does not get into a pipe."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


def circumstances(plan: Plan) -> dict[str, Any]:
    """Return what another machine would have to be like to get the same figures."""
    packages = ("streammatte", "av", "numpy", "numba", "opencv-python-headless", "onnxruntime")
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    return {
        **machine(),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
            "ffmpeg": ffmpeg.stdout.split()[2],
            "libavcodec in av": ".".join(map(str, av.library_versions["libavcodec"])),
        },
        "settings": {
            "x264": f"preset {PRESET}, crf {CRF}; a: a thread a core, {LOOKAHEAD}; b: own defaults",
            "bits_a_second": BITS_A_SECOND,
            "frames_a_second": RATE,
            **asdict(plan),
        },
    }


def machine() -> dict[str, Any]:
    """Return when and where this is."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpu": cpu[1] if cpu else platform.processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": platform.platform(),
        },
    }


# ---- what people read


def table(results: dict[str, Any]) -> str:
    """Return the README's table of what was measured."""
    rows = [
        "| What | Ours | Other | Ratio (in processor time) | Target |",
        "|---|---:|---:|---:|---:|",
    ]
    pairs = {
        "a": ("media core against ffmpeg", 0.9),
        "b": ("whole render against a plain loop", 2.5),
    }
    for question, (what, target) in pairs.items():
        for size, answer in results.get(question, {}).items():
            rows.append(
                f"| {what}, {size} | {answer['ours_fps']:.1f} fps | {answer['other_fps']:.1f} fps "
                f"| {answer['frame_rate_ratio']:.2f} ({answer['cpu_ratio']:.2f}) "
                f"| at least {target} |"
            )
    for size, answer in results.get("c", {}).items():
        rows.append(
            f"| processor time a frame without network and encoder, {size} "
            f"| {answer['rest']:.1f} ms | | | under 30 ms |"
        )
    for size, answer in results.get("d", {}).items():
        short, long = answer["short"], answer["long"]
        rows.append(
            f"| peak memory at {size}: {long['frames']} frames against {short['frames']} "
            f"| {long['peak_mib']:.0f} MiB | {short['peak_mib']:.0f} MiB "
            f"| {answer['peak_ratio']:.2f} | under 500 MiB, at most 1.05 |"
        )
    return "\n".join(rows)


def parse_rows(
    summary: str, rows: Iterable[str], arguments: Sequence[str] | None, *, quick: str
) -> argparse.Namespace:
    """Read the command line of a benchmark that has rows.

    Args:
        summary: What it does.
        rows: Their names.
        arguments: The line; ``None`` for this process's own.
        quick: What ``--quick`` means.
    """
    names = ",".join(rows)
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--only", default=names, metavar="ROWS", help="(%(default)s)")
    parser.add_argument("--turns", type=int, metavar="N", help="of each side")
    parser.add_argument("-o", "--output", type=Path, help="write all that was measured as JSON")
    parser.add_argument("--readme", type=Path, help="put the table between this file's markers")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "streammatte-benchmark",
        help="folder for the footage (%(default)s)",
    )
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    told.only = told.only.split(",")
    if not set(told.only) <= set(rows):
        parser.error(f"--only takes some of {','.join(rows)}")
    return told


def put_into(readme: Path, text: str, markers: tuple[str, str] = MARKERS) -> None:
    """Replace what stands between the markers of a README.

    Raises:
        BenchmarkError: if it has none.
    """
    content = readme.read_text()
    begin, end = (content.find(marker) for marker in markers)
    if not 0 <= begin < end:
        raise BenchmarkError(f"{readme} has no lines {' and '.join(markers)}; put them in")
    readme.write_text(f"{content[: begin + len(markers[0])]}\n{text}\n{content[end:]}")


def tell_profile(answer: dict[str, Any]) -> None:
    """Print where the processor time of a frame goes."""
    print(f"{answer['fps']:.1f} frames a second; processor milliseconds a frame:")
    for name in ("total", "network", "encoder", "rest", "decoder threads", "encoder threads"):
        print(f"  {answer[name]:7.2f}  {name}")
    print("of which on our own threads (by the clock):")
    for name, spent in sorted(answer["stages"].items(), key=lambda item: -item[1]):
        print(f"  {spent:7.2f}  {name} ({answer['stages_wall'][name]:.2f})")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1080p, few frames, two turns")
    parser.add_argument("--only", default="a,b,c,d", metavar="a,b,c,d", help="which questions")
    parser.add_argument("-o", "--output", type=Path, help="write all that was measured as JSON")
    parser.add_argument("--readme", type=Path, help="put the table between this file's markers")
    parser.add_argument("--profile", action="store_true", help="only say where our time goes")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "streammatte-benchmark",
        help="folder for the footage (%(default)s)",
    )
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    told.only = "".join(sorted(set(told.only.split(","))))
    if not set(told.only) <= set("abcd"):
        parser.error("--only takes letters from a,b,c,d")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    if told.worker:
        print(json.dumps(work(told.worker)))
        return 0
    plan = QUICK if told.quick else FULL
    try:
        if told.profile:
            results = measure(plan, "c", told.cache)
            tell_profile(next(iter(results["c"].values())))
            return 0
        results = measure(plan, told.only, told.cache)
        if told.output is not None:
            told.output.parent.mkdir(parents=True, exist_ok=True)
            record = {**circumstances(plan), "results": results}
            told.output.write_text(json.dumps(record, indent=1) + "\n")
        if told.readme is not None:
            put_into(told.readme, table(results))
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
