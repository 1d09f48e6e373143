"""Tries everything that runs on an NVIDIA GPU, on one, and writes what came out as one JSON file.

    python tools/gpu_acceptance.py -o acceptance.json               # all of it, about 10 minutes
    python tools/gpu_acceptance.py -o quick.json --models birefnet-lite --sizes 512 --frames 100
    python tools/gpu_acceptance.py -o a.json --install              # pip gets what is missing
    python tools/gpu_acceptance.py -o a.json --wheels FOLDER        # the same, without a network

Machines with such a GPU may be at hand for minutes only. So what matters most comes first, each
step is tried by itself (what fails is written down, and the rest goes on), the file is written
again after every step, and nothing new is begun once ``--minutes`` are over. Steps, for every
network, size, and way to run it (TensorRT, TensorRT-RTX, PyTorch on our streams, PyTorch alone,
ONNX Runtime):

- ``ready``: exported, compiled, loaded; how long it took and how large the engine is
- ``parity``: its mattes against ONNX Runtime's on the CPU, within the recipe's tolerance
- ``network``: frames a second with the ring full, milliseconds a single one takes (percentiles),
  that all of them are right and in order, and that memory stays flat
- ``graphs``: the same mattes without CUDA graphs, and how much slower
- ``pipeline``: a whole render of 1080p footage, and where its time went

Exit code 0 if all that could be tried is right, 1 if something is not, 4 if there is no GPU.
PyTorch on our streams is not a way that ``render`` offers: where TensorRT is missing, it still
tries streams, events, copies and graphs with real work on a real device.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
NEEDED = ("av", "numba", "onnxruntime", "onnxscript", "platformdirs", "rich", "filelock", "torch")
"""Distributions without which there is nothing to try; others are used if they are there."""
WAYS = ("tensorrt", "tensorrt-rtx", "torch on our streams", "torch", "onnxruntime")
NO_GPU = 4
_PERCENTILES = (50, 95, 99)
_GROWTH = 64 << 20
"""Bytes by which memory may grow while frames go by before it counts as a leak."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    if told.install or told.wheels:
        install(told.wheels)
    sys.path[:0] = [str(ROOT)]
    record = Record(told.output, told.minutes)
    record.put("machine", machine())
    device = record.step("gpu", gpu)
    if device is None:
        tell(f"no GPU to go on with: {record.facts['gpu']['failed']}")
        return NO_GPU
    tell(f"{device['name']}, compute capability {device['capability']}")
    for name in told.models:
        for size in told.sizes:
            for way in told.ways:
                if not record.time_is_up(f"{name} at {size} by {way}"):
                    try_way(record, way, name, size, told)
    tell(f"{len(record.wrong)} wrong; all of it is in {told.output}")
    for line in record.wrong:
        tell(f"  {line}")
    return 1 if record.wrong else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--models", nargs="+", default=["birefnet-lite", "birefnet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1024, 512])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--weights", default="random", help="FILE, FOLDER or random[:SEED]")
    parser.add_argument("--frames", type=int, default=500, help="that the network sees (500)")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing is begun")
    parser.add_argument("--install", action="store_true", help="let pip get what is missing")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="let pip get it from there")
    return parser.parse_args(arguments)


def tell(text: str) -> None:
    """Say how far it has come."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def install(wheels: Path | None) -> None:
    """Let pip get what is missing into a folder of its own, and look there, too."""
    missing = [name for name in NEEDED if not there(name)]
    target = Path(tempfile.gettempdir()) / "streammatte-acceptance"
    words = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
    if wheels is not None:
        offline = ["--no-index", "--no-deps", *map(str, sorted(wheels.glob("*.whl")))]
        subprocess.run([*words, *offline], check=True)
    elif missing:
        subprocess.run([*words, *missing], check=True)
    sys.path.insert(0, str(target))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])


def there(distribution: str) -> bool:
    """Whether a distribution is installed."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


# --- what is written down -----------------------------------------------------------------------


@dataclass
class Record:
    """One JSON file, whole after every step."""

    path: Path
    minutes: float
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def put(self, place: str, facts: Any) -> None:
        """Write facts down; a place such as ``a/b`` is b within a."""
        *folders, name = place.split("/")
        here = self.facts
        for folder in folders:
            here = here.setdefault(folder, {})
        here[name] = facts
        whole = {**self.facts, "wrong": self.wrong, "seconds": round(self.elapsed, 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(whole, indent=1) + "\n")

    def step(self, place: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """Do something, and write down what came out, or why nothing did.

        Facts with ``right: False`` are wrong, and so is whatever is raised, but for what this
        machine does not have.
        """
        begun = time.monotonic()
        try:
            facts = do()
        except Exception as error:  # noqa: BLE001  the rest must go on
            self._failed(place, error)
            return None
        facts["seconds"] = round(time.monotonic() - begun, 3)
        if facts.get("right") is False:
            self.wrong.append(f"{place}: {facts.get('why', 'not right')}")
        self.put(place, facts)
        tell(f"{place}: {summary(facts)}")
        return facts

    def _failed(self, place: str, error: Exception) -> None:
        from streammatte.errors import DependencyError

        words = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        absent = isinstance(error, DependencyError)
        facts: dict[str, Any] = {"absent" if absent else "failed": words}
        if place == "gpu":
            facts = {"failed": words}
        elif not absent:
            facts["traceback"] = traceback.format_exc()[-3000:]
            self.wrong.append(f"{place}: {words}")
        self.put(place, facts)
        tell(f"{place}: {words}")

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    def time_is_up(self, what: str) -> bool:
        """Whether it is too late to begin something; if so, that is written down."""
        if self.elapsed < 60 * self.minutes:
            return False
        self.put("not begun", [*self.facts.get("not begun", []), what])
        return True


def summary(facts: dict[str, Any]) -> str:
    """Return the short ones of some facts."""
    short = {key: value for key, value in facts.items() if isinstance(value, (int, float, str))}
    return ", ".join(f"{key} {value}" for key, value in short.items() if len(str(value)) < 60)


def machine() -> dict[str, Any]:
    """Return what the tests ran on."""
    names = sorted({one.name for one in importlib.metadata.distributions() if one.name})
    telling = ("torch", "onnx", "tensorrt", "cuda", "av", "numpy", "numba", "opencv", "openvino")
    versions = {n: importlib.metadata.version(n) for n in names if n.lower().startswith(telling)}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": versions,
        "nvidia-smi": _said(["nvidia-smi"]),
        "commit": _said(["git", "-C", str(ROOT), "rev-parse", "HEAD"]),
    }


def _said(words: list[str]) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip()[-2000:]
    return ""


def gpu() -> dict[str, Any]:
    """Return what CUDA says of the first GPU."""
    from streammatte.runtimes.cuda import Device

    device = Device()
    try:
        facts = device.facts
        return {
            "name": facts.name,
            "capability": f"{facts.capability[0]}.{facts.capability[1]}",
            "memory_mib": facts.memory >> 20,
            "free_mib": device.free_memory() >> 20,
            "processors": facts.processors,
            "driver_cuda": ".".join(map(str, facts.driver)),
            "cuda": ".".join(map(str, facts.cuda)),
        }
    finally:
        device.close()


# --- one way to run one network -----------------------------------------------------------------


def try_way(record: Record, way: str, name: str, size: int, told: argparse.Namespace) -> None:
    """Try all steps of one way; what cannot be made ready is left at that."""
    place = f"{name} {size}/{way}"
    opened: list[Any] = []

    def ready() -> dict[str, Any]:
        runtime, facts = make_ready(way, name, size, told.weights)
        opened.append(runtime)
        return facts

    if record.step(f"{place}/ready", ready) is None:
        return
    try:
        record.step(f"{place}/parity", lambda: parity(opened[0], name, size, told.weights))
        record.step(f"{place}/network", lambda: speed(opened[0], size, told.frames))
        if hasattr(opened[0], "wants_graphs"):
            plain = lambda: without_graphs(opened[0], way, name, size, told)  # noqa: E731
            record.step(f"{place}/graphs", plain)
    finally:
        opened[0].close()
    if way in ("tensorrt", "tensorrt-rtx", "torch", "onnxruntime"):
        record.step(f"{place}/pipeline", lambda: pipeline(way, name, size, told))


def make_ready(way: str, name: str, size: int, weights: str) -> tuple[Any, dict[str, Any]]:
    """Return a runtime, and what it took."""
    from streammatte.models import open_model
    from streammatte.runtimes import RUNTIMES, Placement

    model = open_model(name, weights=weights, tell=tell)
    steps: list[str] = []
    placement = Placement("cuda", "fp16", require_gpu=True, batch=1, tell=steps.append)
    kind = TorchRing if way == "torch on our streams" else RUNTIMES.load(way)
    begun = time.monotonic()
    runtime = kind(model, (size, size), placement)
    facts = {
        "runtime": runtime.description,
        "device": runtime.device,
        "precision": runtime.precision,
        "load_seconds": round(time.monotonic() - begun, 2),
        "built": len(steps) > 0,
    }
    loaded = getattr(runtime, "_loaded", None)
    if loaded is not None:
        facts |= {
            "engine_mib": loaded.entry.plan.stat().st_size >> 20,
            "graphs": runtime.has_graphs,
        }
    return runtime, facts


def pictures(size: int, count: int = 8) -> list[Any]:
    """Return what networks are shown: uint8 ``[1, size, size, 3]`` each, all different."""
    import numpy as np

    from streammatte.models.birefnet.export import check_pictures

    scene, noise, halves = (picture.numpy() for picture in check_pictures((size, size)))
    rolled = [np.roll(scene, 41 * i, axis=2) for i in range(count - 2)]
    return [noise, halves, *(np.ascontiguousarray(picture) for picture in rolled)]


def parity(runtime: Any, name: str, size: int, weights: str) -> dict[str, Any]:
    """Compare mattes with those of the same network in single precision on the CPU."""
    import numpy as np

    from streammatte.engines.recipe import recipe_for
    from streammatte.models import open_model
    from streammatte.runtimes import RUNTIMES, Placement

    model = open_model(name, weights=weights, tell=tell)
    judge = RUNTIMES.load("onnxruntime")(model, (size, size), Placement("cpu", "fp32"))
    rows = []
    try:
        for picture in pictures(size, 4):
            off = np.abs(runtime.infer(picture) - judge.infer(picture))
            rows.append((float(off.max()), float(off.mean())))
    finally:
        judge.close()
    tolerance = recipe_for(name, (size, size), "fp16").tolerance
    # Noise comes first; it is no picture, and random weights make much of it.
    largest, mean = (max(row[i] for row in rows[1:]) for i in (0, 1))
    return {
        "largest": largest,
        "mean": mean,
        "of_noise": rows[0],
        "allowed": [tolerance.largest, tolerance.mean],
        "right": largest <= tolerance.largest and mean <= tolerance.mean,
        "why": f"alpha is off by {largest:.2g} at most, {mean:.2g} on average",
    }


def speed(runtime: Any, size: int, frames: int) -> dict[str, Any]:
    """Run many frames with as many in flight as there can be; check every one of them."""
    import numpy as np

    from streammatte.runtimes.base import Flight

    shown = pictures(size)
    truth = [runtime.infer(picture) for picture in shown]
    again = [runtime.infer(picture) for picture in shown]
    wobble = max(float(np.abs(a - b).max()) for a, b in zip(truth, again, strict=True))
    single = []
    for i in range(max(10, frames // 5)):
        begun = time.perf_counter()
        runtime.infer(shown[i % len(shown)])
        single.append(1000 * (time.perf_counter() - begun))
    flight, sent, waited, wrong = Flight(runtime), [], [], 0
    before, begun = memory(), time.perf_counter()
    for i in range(frames + flight.slots - 1):
        if i < frames:
            sent.append(time.perf_counter())
            flight.submit(shown[i % len(shown)])
        if (j := i - flight.slots + 1) >= 0:
            matte = flight.collect()
            waited.append(1000 * (time.perf_counter() - sent[j]))
            wrong += float(np.abs(matte - truth[j % len(truth)]).max()) > wobble + 1e-3
    seconds = time.perf_counter() - begun
    grown = {key: memory()[key] - before[key] for key in before}
    return {
        "frames": frames,
        "fps": round(frames / seconds, 2),
        "ms_a_frame": round(1000 * seconds / frames, 3),
        "slots": flight.slots,
        "latency_ms": percentiles(waited),
        "single_ms": percentiles(single),
        "wrong_frames": wrong,
        "differs_from_run_to_run": wobble,
        "grown_mib": {key: value >> 20 for key, value in grown.items()},
        "right": not wrong and all(value < _GROWTH for value in grown.values()),
        "why": f"{wrong} frames are wrong; memory grew by {grown}",
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """Return some percentiles, and the extremes."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = {f"p{p}": round(cuts[p - 1], 3) for p in _PERCENTILES}
    return {"least": round(min(values), 3), **found, "most": round(max(values), 3)}


def memory() -> dict[str, int]:
    """Return the bytes in use on the GPU and of this process."""
    from streammatte.runtimes import cuda

    free, whole = cuda.memory()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"gpu": whole - free, "process": pages * resource.getpagesize()}


def without_graphs(
    runtime: Any, way: str, name: str, size: int, told: argparse.Namespace
) -> dict[str, Any]:
    """Compare CUDA graphs with asking for every step of every frame."""
    import numpy as np

    from streammatte.models import open_model
    from streammatte.runtimes import RUNTIMES, Placement

    kind = TorchRing if way == "torch on our streams" else RUNTIMES.load(way)
    bare = type("Bare", (kind,), {"wants_graphs": False})
    model = open_model(name, weights=told.weights, tell=tell)
    other = bare(model, (size, size), Placement("cuda", "fp16", batch=1))
    try:
        off = max(
            float(np.abs(runtime.infer(picture) - other.infer(picture)).max())
            for picture in pictures(size)
        )
        frames = max(20, told.frames // 2)
        with_them, bare_speed = speed(runtime, size, frames), speed(other, size, frames)
    finally:
        other.close()
    return {
        "graphs": runtime.has_graphs,
        "largest_difference": off,
        "fps": with_them["fps"],
        "fps_without": bare_speed["fps"],
        "quicker_by": round(with_them["fps"] / bare_speed["fps"], 3),
        "right": off < 1e-2,
        "why": f"mattes differ by {off:.2g} from those without graphs",
    }


def pipeline(way: str, name: str, size: int, told: argparse.Namespace) -> dict[str, Any]:
    """Render 1080p footage, encoded by the CPU and by the GPU."""
    import streammatte

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = footage(Path(folder) / "clip.mp4", max(30, told.frames // 2))
        for codec, decoder in (("h264", "cpu"), ("h264_nvenc", "cuda")):
            report = streammatte.render(
                clip,
                Path(folder) / f"{codec}.mp4",
                bg=ROOT / "examples" / "beach.jpg",
                model=name,
                weights=told.weights,
                size=size,
                runtime=way,
                device="cuda",
                codec=codec,
                decoder=decoder,
                overwrite=True,
            )
            found[codec] = {
                "fps": report.fps,
                "frames": report.frames,
                "runtime": report.runtime,
                "codec": report.codec,
                "milliseconds": report.milliseconds,
                "notes": report.notes,
            }
    return {"fps": found["h264"]["fps"], "fps_nvenc": found["h264_nvenc"]["fps"], **found}


def footage(path: Path, frames: int) -> Path:
    """Write 1080p H.264 of the sample, which is smaller."""
    from fractions import Fraction

    import av

    with av.open(str(ROOT / "examples" / "astronaut.mp4")) as source:
        sample = [frame.reformat(1920, 1080, "yuv420p") for frame in source.decode(video=0)]
    with av.open(str(path), "w") as sink:
        stream: Any = sink.add_stream("libx264", rate=Fraction(30), options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for i in range(frames):
            frame = sample[i % len(sample)]
            frame.pts, frame.time_base = i, Fraction(1, 30)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


# --- PyTorch on our streams ---------------------------------------------------------------------


class TorchRing:
    """PyTorch's operators on the ring's streams and memory: the ring with real work in it."""

    wants_graphs = True

    def __init__(self, model: Any, size: tuple[int, int], placement: Any) -> None:
        """Load a network; ``placement`` is as for the runtimes."""
        import torch

        from streammatte.runtimes.cuda import Device
        from streammatte.runtimes.ring import SLOTS, Ring

        if not torch.cuda.is_available():
            from streammatte.errors import DependencyError

            raise DependencyError(f"PyTorch {torch.__version__} finds no GPU here")
        width, height = size
        self._device = Device()
        self._module = model.module(size).eval().requires_grad_(False).half().cuda()
        self._image, self._matte = (1, height, width, 3), (1, 1, height, width)
        self._torch, self.slots = torch, SLOTS
        self.batch, self.precision, self.device = placement.batch or 1, "fp16", "cuda:0"
        self.description = f"PyTorch {torch.__version__} on our streams, {self._device.facts.name}"
        self._ring = Ring(self._device, self._work, self._image, self._matte)
        self.has_graphs = False
        self._warm()

    def _warm(self) -> None:
        import numpy as np

        from streammatte.errors import RuntimeFailure

        for _ in range(3):
            self.infer(np.zeros(self._image, np.uint8))
        if self.wants_graphs:
            with suppress(RuntimeFailure, RuntimeError):
                self._ring.capture()
                self.has_graphs = True

    def _work(self, source: int, target: int, stream: Any) -> None:
        torch = self._torch
        image = torch.as_tensor(_There(source, self._image, "|u1"), device="cuda")
        matte = torch.as_tensor(_There(target, self._matte, "<f4"), device="cuda")
        with torch.inference_mode(), torch.cuda.stream(torch.cuda.ExternalStream(int(stream))):
            matte.copy_(self._module(image))

    def infer(self, images: Any) -> Any:
        """Return mattes of images."""
        self.submit(images)
        return self.collect()

    def submit(self, images: Any) -> None:
        """Send images on their way."""
        self._device.use()
        self._ring.submit(images)

    def collect(self) -> Any:
        """Return the mattes that were asked for first."""
        self._device.use()
        return self._ring.collect()

    def close(self) -> None:
        """Let go of all."""
        self._device.settle()
        self._module = None
        self._device.close()
        self._torch.cuda.empty_cache()


@dataclass(frozen=True)
class _There:
    """Memory on the device, as others understand it."""

    address: int
    shape: tuple[int, ...]
    kind: str

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.kind,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
        }


if __name__ == "__main__":
    sys.exit(main())
