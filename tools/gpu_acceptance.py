r"""Tries everything that runs on an NVIDIA GPU, on one, and writes what came out as one JSON file.

    python tools/gpu_acceptance.py -o acceptance.json               # all of it, about 10 minutes
    python tools/gpu_acceptance.py -o a.json --install              # pip gets what is missing
    python tools/gpu_acceptance.py -o a.json --wheels FOLDER        # the same, without a network

Machines with such a GPU may be at hand for ten minutes only. What is recommended there: make the
references on the machine before, which needs no GPU, carry them, and stop in time:

    python tools/gpu_acceptance.py --make-references references.npz --models birefnet-lite
    python tools/gpu_acceptance.py -o acceptance.json --wheels .whl --references references.npz \
        --models birefnet-lite --sizes 1024 --frames 200 --minutes 8

So what matters most comes first, each network is run by each way in a process of its own (a GPU
that was lost, or a crash, ends that one only), each step is tried by itself (what fails is written
down, and the rest goes on), the file is written again after every step, and nothing new is begun
once ``--minutes`` are over; what runs then is ended. Steps, for every network, size, and way to run
it (TensorRT, TensorRT-RTX, PyTorch, ONNX Runtime):

- ``ready``: exported, compiled, loaded; how long it took and how large the engine is
- ``network``: frames a second with the ring full, milliseconds a single one takes (percentiles),
  that all of them are right and in order, and that memory stays flat
- ``times``: milliseconds that the GPU takes to copy in, compute and copy out, by its own clock
- ``graphs``: the same mattes without CUDA graphs, and how much slower
- ``pipeline``: a whole render of 1080p footage, and where its time went
- ``reopened``: memory after each of three times that it was opened and closed
- ``parity``: its mattes against ONNX Runtime's on the CPU, within the recipe's tolerance

Before them, ``basics``: memory that runs out, streams without a network, what ``doctor`` says.
After them, ``around``: what ``auto`` takes and why not the rest, and pictures that the GPU decodes.

Exit code 0 if all that could be tried is right, 1 if something is not, 4 if there is no GPU.
"""

# ruff: noqa: SLF001  it looks into what it tries
from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib.metadata
import importlib.util
import json
import math
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

ROOT = Path(__file__).resolve().parents[1]
NEEDED = (
    *("av", "cuda-bindings", "filelock", "numba", "numpy", "onnx", "onnxruntime", "onnxscript"),
    *("opencv-python-headless", "platformdirs", "rich", "safetensors", "torch", "transformers"),
)
"""Distributions without which there is little to try."""
_RTX, _TENSORRT = "tensorrt-rtx-cu13>=1.7,<1.8", "tensorrt-cu13>=10.13,<12"
WAYS = ("tensorrt", "tensorrt-rtx", "torch", "onnxruntime")
BASICS, AROUND = "basics", "around"
NO_GPU = 4
_PERCENTILES = (50, 95, 99)
_GROWTH = 64 << 20
"""Bytes by which memory may grow while frames go by before it counts as a leak."""
_SHOWN = 4
"""Pictures that mattes are compared on."""
_OWN = ("wrong", "seconds", "not begun")
"""What a file says of itself rather than of a GPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    told = parse(arguments)
    faulthandler.enable()
    sys.path[:0] = [str(ROOT)]
    if told.make_references:
        return make_references(told)
    record = Record(told.output, told.minutes)
    if told.one:
        try_one(record, told)
        return 0
    if told.install or told.wheels:
        record.step("install", lambda: install(told.wheels, record.left), always=True)
    record.step("machine", machine, always=True)
    # A package that is missing is no GPU that is missing.
    if record.step("bindings", bindings, always=True) is None:
        return ended(record)
    device = record.step("gpu", gpu, always=True)
    if device is None:
        tell(f"no GPU to go on with: {record.facts['gpu']['failed']}")
        return NO_GPU
    for way, name, size in jobs(told):
        if record.time_is_up(f"{place_of(name, size)}/{way}"):
            continue
        if told.in_process:
            told.one = [way, name, str(size)]
            try_one(record, told)
        else:
            apart(record, (way, name, str(size)), told)
    return ended(record)


def ended(record: Record) -> int:
    """Say what is wrong; returns the exit status."""
    tell(f"{len(record.wrong)} wrong; all of it is in {record.path}")
    for line in record.wrong:
        tell(f"  {line}")
    return 1 if record.wrong else 0


def jobs(told: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Return what to try, in turn."""
    tried = [(way, n, size) for n in told.models for size in told.sizes for way in told.ways]
    first = (told.models[0], told.sizes[0])
    return [(BASICS, *first), *tried, (AROUND, *first)]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    parser.add_argument("--models", nargs="+", default=["birefnet-lite", "birefnet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1024, 512])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--weights", default="random", help="FILE, FOLDER or random[:SEED]")
    parser.add_argument("--frames", type=int, default=500, help="that the network sees (500)")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which all ends (9)")
    parser.add_argument("--install", action="store_true", help="let pip get what is missing")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="let pip get it from there")
    parser.add_argument("--references", type=Path, metavar="FILE.npz", help="mattes to compare")
    parser.add_argument(
        "--make-references", type=Path, metavar="FILE.npz", help="make them; needs no GPU"
    )
    parser.add_argument("--in-process", action="store_true", help="all in this process")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "MODEL", "SIZE"), help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    if told.output is None and told.make_references is None:
        parser.error("say where to write: -o FILE.json")
    return told


def tell(text: str) -> None:
    """Say how far it has come."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def install(wheels: Path | None, left: float) -> dict[str, Any]:
    """Let pip get what is missing into a folder of its own, and look there, too.

    What little can be tried without may be missing afterwards: either of the two TensorRTs.
    """
    missing = [name for name in NEEDED if not there(name)]
    target = Path(tempfile.gettempdir()) / f"streammatte-acceptance-{os.getpid()}"
    words = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target)]
    sys.path.insert(0, str(target))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])
    done: dict[str, Any] = {"missing": missing}
    if wheels is not None:
        files = sorted(map(str, wheels.glob("*.whl")))
        done["wheels"] = files
        done["pip"] = _pip([*words, "--no-index", "--no-deps", *files], left)
    else:
        if missing:
            done["pip"] = _pip([*words, *missing], left)
        for name in wished():
            if not there(name.partition(">")[0]):
                done[name] = _pip([*words, name], min(left, 180))
    importlib.invalidate_caches()
    still = [name for name in NEEDED if not there(name)]
    return done | {"right": not still, "why": f"still missing: {', '.join(still)}"}


def _pip(words: list[str], seconds: float) -> str:
    """Run pip; returns what it says if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)[-500:]
    return done.stderr.strip()[-500:] if done.returncode else "done"


def wished() -> list[str]:
    """Return the TensorRTs that know the GPU here."""
    from streammatte.engines.kinds import TENSORRT_RTX, parse_capability

    said = _said(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]).split()
    known = bool(said) and not TENSORRT_RTX.why_not(parse_capability(said[0]))
    return [*([_RTX] if known else []), _TENSORRT]


def there(distribution: str) -> bool:
    """Whether a distribution is installed."""
    if distribution.startswith("opencv"):  # which has several names
        return importlib.util.find_spec("cv2") is not None
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


# --- processes of their own ---------------------------------------------------------------------


def apart(record: Record, job: tuple[str, str, str], told: argparse.Namespace) -> None:
    """Try one thing in a process of its own, and take over what it wrote down.

    It may crash, hang, or lose the GPU, after which CUDA does nothing more in a process.
    """
    way, name, size = job
    part = told.output.with_name(f"{told.output.stem}.part.json")
    part.unlink(missing_ok=True)
    left = max(1.0, record.left)
    try:
        code = subprocess.run(child(job, part, left, told), timeout=left, check=False).returncode
        why = f"its process ended with {code}" if code else ""
    except subprocess.TimeoutExpired:
        code, why = None, f"it was ended after {left:.0f} s, when time was up"
    record.take(part)
    part.unlink(missing_ok=True)
    if why:
        record.wrong.append(f"{place_of(name, size)}/{way}: {why}")
        record.put(f"{place_of(name, size)}/{way}/ended", {"failed": why, "code": code})
        tell(record.wrong[-1])


def child(
    job: tuple[str, str, str], part: Path, left: float, told: argparse.Namespace
) -> list[str]:
    """Return the command that tries one thing."""
    words = [sys.executable, __file__, "--one", *job, "-o", str(part)]
    words += ["--minutes", f"{left / 60:.3f}", "--weights", told.weights]
    words += ["--frames", str(told.frames)]
    return words + (["--references", str(told.references)] if told.references else [])


def place_of(name: str, size: int | str) -> str:
    """Return where things of a network are written down."""
    return f"{Path(name).name} {size}"


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
        self.write()

    def write(self) -> None:
        """Write the file, which is whole at any time."""
        whole = {**self.facts, "wrong": self.wrong, "seconds": round(self.elapsed, 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text(json.dumps(plain(whole), indent=1, allow_nan=False) + "\n")
        new.replace(self.path)

    def take(self, part: Path) -> None:
        """Take over what another process wrote down, as far as it came."""
        try:
            found = json.loads(part.read_text())
        except (OSError, ValueError):
            return
        self.wrong += found.get("wrong", [])
        if begun := found.get("not begun"):
            self.facts["not begun"] = [*self.facts.get("not begun", []), *begun]
        for name, facts in found.items():
            if name not in _OWN:
                self.facts[name] = {**self.facts.get(name, {}), **facts}
        self.write()

    def step(
        self, place: str, do: Callable[[], dict[str, Any]], *, always: bool = False
    ) -> dict[str, Any] | None:
        """Do something, and write down what came out, or why nothing did.

        Facts with ``right: False`` are wrong, and so is whatever is raised, but for what this
        machine does not have. Nothing is done when time is up, unless it is done ``always``.
        """
        if not always and self.time_is_up(place):
            return None
        begun = time.monotonic()
        try:
            facts = do()
        except Exception as error:  # noqa: BLE001  the rest must go on
            self._failed(place, error)
            return None
        facts["seconds"] = round(time.monotonic() - begun, 3)
        if "right" in facts and not facts["right"]:
            self.wrong.append(f"{place}: {facts.get('why', 'not right')}")
        self.put(place, facts)
        tell(f"{place}: {summary(facts)}")
        return facts

    def _failed(self, place: str, error: Exception) -> None:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        # By name: what it comes from may be what cannot be imported.
        absent = any(kind.__name__ == "DependencyError" for kind in type(error).__mro__)
        facts: dict[str, Any] = {"absent" if absent else "failed": words}
        if place == "gpu" and absent:
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

    @property
    def left(self) -> float:
        """Seconds until time is up."""
        return 60 * self.minutes - self.elapsed

    def time_is_up(self, what: str) -> bool:
        """Whether it is too late to begin something; if so, that is written down."""
        if self.left > 0:
            return False
        self.put("not begun", [*self.facts.get("not begun", []), what])
        return True


def plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are none become words."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)


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


def bindings() -> dict[str, Any]:
    """Return the CUDA that Python sees; what is missing is wrong here."""
    from streammatte.errors import DependencyError
    from streammatte.runtimes import cuda

    try:
        module = cuda.api()
    except DependencyError as error:
        raise RuntimeError(f"whether there is a GPU cannot be told: {error}") from error
    return {"module": getattr(module, "__name__", type(module).__name__)}


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


def try_one(record: Record, told: argparse.Namespace) -> None:
    """Try what ``--one`` says."""
    way, name, size = told.one
    place = f"{place_of(name, size)}/{way}"
    if way == BASICS:
        try_basics(record, place)
    elif way == AROUND:
        record.step(f"{place}/auto", lambda: automatic(name, int(size), told.weights))
        record.step(f"{place}/nvdec", nvdec)
    else:
        try_way(record, way, name, int(size), told)


def try_way(record: Record, way: str, name: str, size: int, told: argparse.Namespace) -> None:
    """Try all steps of one way; what cannot be made ready is left at that."""
    place = f"{place_of(name, size)}/{way}"
    opened: list[Any] = []
    mattes: list[Any] = []

    def ready() -> dict[str, Any]:
        runtime, facts = make_ready(way, name, size, told.weights)
        opened.append(runtime)
        mattes.extend(runtime.infer(picture) for picture in pictures(size, _SHOWN))
        return facts

    try:
        if record.step(f"{place}/ready", ready) is None:
            return
        runtime = opened[0]
        record.step(f"{place}/network", lambda: speed(runtime, size, told.frames))
        if getattr(runtime, "slots", 1) > 1:
            record.step(f"{place}/times", lambda: gpu_times(runtime))
            plainly = lambda: without_graphs(runtime, way, name, size, told)  # noqa: E731
            record.step(f"{place}/graphs", plainly)
    finally:
        for runtime in opened:
            runtime.close()
        opened.clear()
    record.step(f"{place}/pipeline", lambda: pipeline(way, name, size, told))
    record.step(f"{place}/reopened", lambda: reopened(way, name, size, told.weights))
    truth = lambda: reference(name, size, told.weights, told.references)  # noqa: E731
    record.step(f"{place}/parity", lambda: parity(mattes, truth(), name, size))


def kind_of(way: str) -> Any:
    """Return the class of a way."""
    from streammatte.runtimes import RUNTIMES

    return RUNTIMES.load(way)


def opened_model(name: str, weights: str) -> Any:
    """Return a network."""
    from streammatte.models import open_model

    return open_model(name, weights=weights, tell=tell)


def make_ready(way: str, name: str, size: int, weights: str) -> tuple[Any, dict[str, Any]]:
    """Return a runtime, and what it took."""
    from streammatte.runtimes import Placement

    model, steps = opened_model(name, weights), []
    placement = Placement("cuda", "fp16", require_gpu=True, batch=1, tell=steps.append)
    begun = time.monotonic()
    runtime = kind_of(way)(model, (size, size), placement)
    facts = {
        "runtime": runtime.description,
        "device": runtime.device,
        "precision": runtime.precision,
        "load_seconds": round(time.monotonic() - begun, 2),
        "built": len(steps) > 0,
        "memory_mib": _mib(memory()),
    }
    if hasattr(runtime, "has_graphs"):
        facts |= {"graphs": runtime.has_graphs, "why_no_graphs": runtime.why_no_graphs}
    loaded = getattr(runtime, "_loaded", None)
    if loaded is not None:
        facts["engine_mib"] = loaded.entry.plan.stat().st_size >> 20
    return runtime, facts


def pictures(size: int, count: int = 8) -> list[Any]:
    """Return what networks are shown: uint8 ``[1, size, size, 3]`` each, all different."""
    import numpy as np

    from streammatte.models.birefnet.export import check_pictures

    scene, noise, halves = (picture.numpy() for picture in check_pictures((size, size)))
    rolled = [np.roll(scene, 41 * i, axis=2) for i in range(count - 2)]
    return [noise, halves, *(np.ascontiguousarray(picture) for picture in rolled)]


# --- what mattes are compared with --------------------------------------------------------------


def make_references(told: argparse.Namespace) -> int:
    """Write the mattes to compare with; returns the exit status."""
    import numpy as np

    made = {}
    for name in told.models:
        for size in told.sizes:
            key, mattes = _judged(name, size, told.weights, None)
            made[key] = _whole(mattes)
            tell(f"{place_of(name, size)}: {len(mattes)} mattes")
    np.savez_compressed(told.make_references, **made)
    return 0


def reference(name: str, size: int, weights: str, references: Path | None) -> Any:
    """Return the mattes of ``pictures(size, 4)``: float32 ``[4, 1, 1, size, size]``."""
    return _judged(name, size, weights, references)[1]


def _judged(name: str, size: int, weights: str, references: Path | None) -> tuple[str, Any]:
    """Return the key and the mattes: carried, kept in the cache, or made here and kept."""
    import numpy as np

    from streammatte import home

    model = opened_model(name, weights)
    digest = hashlib.sha256(f"{model.digest} {size}".encode())
    for picture in pictures(size, _SHOWN):
        digest.update(picture.tobytes())
    key = digest.hexdigest()[:40]
    kept = home.folder("acceptance") / f"{key}.npz"
    for path in (references, kept):
        if path is not None and path.is_file():
            with suppress(OSError, ValueError), np.load(path) as found:
                if key in found:
                    tell(f"mattes to compare with are from {path}")
                    return key, found[key].astype(np.float32) / 65535
    tell("mattes to compare with are made here, which takes a while")
    mattes = _whole(_judge(model, size))
    with suppress(OSError):
        new = kept.with_name(f"{key}.new.npz")
        np.savez_compressed(new, **{key: mattes})
        new.replace(kept)
    return key, mattes.astype(np.float32) / 65535


def _whole(mattes: Any) -> Any:
    """Return mattes as uint16, which loses 8e-6 and is half as large."""
    import numpy as np

    if not np.isfinite(mattes).all():
        raise ArithmeticError("the mattes to compare with are no numbers")
    return np.rint(65535 * np.clip(mattes, 0, 1)).astype(np.uint16)


def _judge(model: Any, size: int) -> Any:
    """Return what ONNX Runtime makes of the pictures in single precision on the CPU."""
    import numpy as np

    from streammatte.runtimes import RUNTIMES, Placement

    judge = RUNTIMES.load("onnxruntime")(model, (size, size), Placement("cpu", "fp32"))
    try:
        return np.stack([judge.infer(picture) for picture in pictures(size, _SHOWN)])
    finally:
        judge.close()


def parity(mattes: list[Any], truth: Any, name: str, size: int) -> dict[str, Any]:
    """Compare mattes with those of the same network in single precision on the CPU."""
    import numpy as np

    from streammatte.engines.recipe import recipe_for

    off = np.abs(np.stack(mattes) - truth)
    rows = [(float(one.max()), float(one.mean())) for one in off]
    tolerance = recipe_for(name, (size, size), "fp16").tolerance
    # Noise comes first; it is no picture, and random weights make much of it.
    largest, mean = (float(np.max([row[i] for row in rows[1:]])) for i in (0, 1))
    sound = bool(np.isfinite(off).all())
    return {
        "largest": largest,
        "mean": mean,
        "of_noise": rows[0],
        "allowed": [tolerance.largest, tolerance.mean],
        "right": sound and largest <= tolerance.largest and mean <= tolerance.mean,
        "why": f"alpha is off by {largest:.2g} at most, {mean:.2g} on average",
    }


# --- how quick it is ----------------------------------------------------------------------------


def speed(runtime: Any, size: int, frames: int) -> dict[str, Any]:
    """Run many frames with as many in flight as there can be; check every one of them."""
    import numpy as np

    from streammatte.runtimes.base import Flight

    shown = pictures(size)
    truth = np.stack([runtime.infer(picture) for picture in shown])
    again = np.stack([runtime.infer(picture) for picture in shown])
    wobble = float(np.abs(truth - again).max())
    single = []
    for i in range(max(10, frames // 5)):
        begun = time.perf_counter()
        runtime.infer(shown[i % len(shown)])
        single.append(1000 * (time.perf_counter() - begun))
    flight, sent, waited, wrong = Flight(runtime), [], [], 0
    before, begun = memory(), time.perf_counter()
    most = before["gpu"]
    for i in range(frames + flight.slots - 1):
        if i < frames:
            sent.append(time.perf_counter())
            flight.submit(shown[i % len(shown)])
        if (j := i - flight.slots + 1) >= 0:
            matte = flight.collect()
            waited.append(1000 * (time.perf_counter() - sent[j]))
            off = float(np.abs(matte - truth[j % len(truth)]).max())
            wrong += not off <= wobble + 1e-3  # nor is what is no number right
            if j % max(1, frames // 10) == 0:
                most = max(most, memory()["gpu"])
    seconds = time.perf_counter() - begun
    after = memory()
    grown = {key: after[key] - before[key] for key in before}
    sound = bool(np.isfinite(truth).all() and np.isfinite(again).all())
    return {
        "frames": frames,
        "fps": round(frames / seconds, 2),
        "ms_a_frame": round(1000 * seconds / frames, 3),
        "slots": flight.slots,
        "latency_ms": percentiles(waited),
        "single_ms": percentiles(single),
        "wrong_frames": wrong,
        "differs_from_run_to_run": wobble,
        "memory_mib": {**_mib(after), "gpu_at_most": most >> 20},
        "grown_mib": _mib(grown),
        "right": sound and not wrong and all(value < _GROWTH for value in grown.values()),
        "why": f"{wrong} frames are wrong, numbers are {sound}; memory grew by {grown}",
    }


def gpu_times(runtime: Any, frames: int = 30) -> dict[str, Any]:
    """Return how long the GPU takes for each step of a frame by itself, by its own clock."""
    ours = getattr(runtime, "_overlapped", runtime)
    device, ring = ours._device, ours.ring
    device.use()
    slot, stream = ring._slots[0], ring.compute

    def compute() -> None:
        if slot.graph is None:
            ring._work(slot.source, slot.target, stream)
        else:
            device.launch(slot.graph, stream)

    steps = {
        "copy_in_ms": lambda: device.upload(slot.source, slot.image, stream),
        "compute_ms": compute,
        "copy_out_ms": lambda: device.download(slot.matte, slot.target, stream),
    }
    marks = [device.event(timed=True) for _ in range(len(steps) + 1)]
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(frames):
        device.record(marks[0], stream)
        for mark, step in zip(marks[1:], steps.values(), strict=True):
            step()
            device.record(mark, stream)
        device.wait(marks[-1])
        for i, name in enumerate(steps):
            found[name].append(device.between(marks[i], marks[i + 1]))
    return {name: percentiles(values) for name, values in found.items()}


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


def _mib(lengths: dict[str, int]) -> dict[str, int]:
    return {key: value >> 20 for key, value in lengths.items()}


def reopened(way: str, name: str, size: int, weights: str) -> dict[str, Any]:
    """Open and close three times; the first leaves what CUDA keeps, the others must not add."""
    import gc

    found = [memory()]
    for _ in range(3):
        make_ready(way, name, size, weights)[0].close()
        gc.collect()
        found.append(memory())
    grown = found[-1]["gpu"] - found[1]["gpu"]
    return {
        "memory_mib": [_mib(one) for one in found],
        "right": grown < _GROWTH,
        "why": f"the GPU's memory grew by {grown >> 20} MiB while it was opened and closed",
    }


def without_graphs(
    runtime: Any, way: str, name: str, size: int, told: argparse.Namespace
) -> dict[str, Any]:
    """Compare CUDA graphs with asking for every step of every frame."""
    import numpy as np

    from streammatte.runtimes import Placement

    bare = type("Bare", (kind_of(way),), {"wants_graphs": False})
    model = opened_model(name, told.weights)
    other = bare(model, (size, size), Placement("cuda", "fp16", batch=1))
    try:
        pairs = [(runtime.infer(picture), other.infer(picture)) for picture in pictures(size)]
        off = float(np.max([np.abs(a - b).max() for a, b in pairs]))
        frames = max(20, told.frames // 2)
        with_them, bare_speed = speed(runtime, size, frames), speed(other, size, frames)
    finally:
        other.close()
    right = runtime.has_graphs and off < 1e-2 and with_them["right"] and bare_speed["right"]
    return {
        "graphs": runtime.has_graphs,
        "why_no_graphs": runtime.why_no_graphs,
        "largest_difference": off,
        "fps": with_them["fps"],
        "fps_without": bare_speed["fps"],
        "quicker_by": round(with_them["fps"] / bare_speed["fps"], 3),
        "right": right,
        "why": f"graphs: {runtime.has_graphs} {runtime.why_no_graphs}; mattes differ by {off:.2g}; "
        f"with: {with_them['why']}; without: {bare_speed['why']}",
    }


def pipeline(way: str, name: str, size: int, told: argparse.Namespace) -> dict[str, Any]:
    """Render 1080p footage, encoded by the CPU and by the GPU."""
    import streammatte

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        short = footage(Path(folder) / "short.mp4", 10)
        clip = footage(Path(folder) / "clip.mp4", max(30, told.frames // 2))
        for codec, decoder in (("h264", "cpu"), ("h264_nvenc", "cuda")):
            for footage_of in (short, clip):  # the first lets Numba compile, the second is timed
                report = streammatte.render(
                    footage_of,
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
                "device": report.device,
                "precision": report.precision,
                "codec": report.codec,
                "decoder": report.decoder,
                "milliseconds": report.milliseconds,
                "notes": report.notes,
            }
    by_gpu = found["h264_nvenc"]
    nvenc = {"fps_nvenc": by_gpu["fps"]} if "nvenc" in by_gpu["codec"] else {}
    return {"fps": found["h264"]["fps"], **nvenc, **found}


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


# --- the GPU without a network ------------------------------------------------------------------


def try_basics(record: Record, place: str) -> None:
    """Try what needs no network."""
    record.step(f"{place}/memory", memory_runs_out)
    record.step(f"{place}/streams", streams)
    record.step(f"{place}/doctor", doctor)


def memory_runs_out() -> dict[str, Any]:
    """Ask for more memory than there is; the GPU must work afterwards."""
    import numpy as np

    from streammatte.runtimes.cuda import Device, OutOfMemory

    device = Device()
    try:
        told = ""
        try:
            device.malloc(1 << 50)
        except OutOfMemory as error:
            told = str(error)
        there, back = device.pinned((1 << 20,), np.uint8), device.pinned((1 << 20,), np.uint8)
        address, stream = device.malloc(1 << 20), device.stream()
        there.array[:] = np.arange(1 << 20) % 251
        device.upload(address, there, stream)
        device.download(back, address, stream)
        device.finish(stream)
        works = bool((there.array == back.array).all())
    finally:
        device.close()
    return {
        "told": told,
        "works_afterwards": works,
        "right": bool(told) and works,
        "why": f"it was told as {told!r}; copies were right afterwards: {works}",
    }


def streams(frames: int = 500, side: int = 1024) -> dict[str, Any]:
    """Send frames through the ring, with work that takes a random time; then without its order."""
    wrong = wrong_frames(frames, side)
    noticed = wrong_frames(frames, side, ordered=False)
    return {
        "frames": frames,
        "wrong_frames": wrong,
        "wrong_frames_without_order": noticed,
        "noticed": noticed > 0,
        "right": wrong == 0,
        "why": f"{wrong} of {frames} frames are wrong",
    }


def wrong_frames(frames: int, side: int, *, ordered: bool = True) -> int:
    """Return how many of some frames, no two alike, come back as something else."""
    import numpy as np
    import torch

    from streammatte.runtimes.cuda import Device
    from streammatte.runtimes.ring import SLOTS, Ring

    if not torch.cuda.is_available():
        raise _no_torch()
    shape, target = (1, side, side, 3), (1, 1, 8, 8)
    device, wrong = Device(), 0
    try:
        if not ordered:
            device.order = lambda *_: None  # type: ignore[method-assign]
        ring = Ring(device, _Sleepy(shape, target), shape, target)
        picture = np.zeros(shape, np.uint8)
        for i in range(frames + SLOTS - 1):
            if i < frames:
                picture.reshape(-1)[-1 - i] = 1  # so its sum, which is exact, is i + 1
                ring.submit(picture)
            if i >= SLOTS - 1:
                wrong += not bool((ring.collect() == i - SLOTS + 2).all())
    finally:
        device.close()
    return wrong


class _Sleepy:
    """``ring.Work``: waits for a random while, then spreads the sum of an image."""

    def __init__(self, image: tuple[int, ...], matte: tuple[int, ...]) -> None:
        import numpy as np

        self._image, self._matte = image, matte
        self._dice = np.random.default_rng(0)

    def __call__(self, source: int, target: int, stream: Any) -> None:
        import torch

        from streammatte.runtimes.torch_overlap import There

        image = torch.as_tensor(There(source, self._image, "|u1"), device="cuda")
        matte = torch.as_tensor(There(target, self._matte, "<f4"), device="cuda")
        with torch.cuda.stream(torch.cuda.ExternalStream(int(stream))):
            torch.cuda._sleep(int(self._dice.integers(0, 500_000)))
            matte.copy_(image.sum(dtype=torch.float32).expand(self._matte))


def _no_torch() -> Exception:
    import torch

    from streammatte.errors import DependencyError

    return DependencyError(f"PyTorch {torch.__version__} finds no GPU here")


def doctor() -> dict[str, Any]:
    """Return what ``streammatte doctor`` finds."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "streammatte", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    if not done.stdout.strip():
        raise RuntimeError(done.stderr.strip()[-500:])
    return {"code": done.returncode, "findings": json.loads(done.stdout)}


def automatic(name: str, size: int, weights: str) -> dict[str, Any]:
    """Return what ``auto`` takes, and why not the rest."""
    from streammatte.runtimes import Placement
    from streammatte.runtimes.choice import open_runtime

    model = opened_model(name, weights)
    choice = open_runtime("auto", model, (size, size), Placement())
    try:
        runtime = choice.runtime
        return {
            "runtime": runtime.description,
            "device": runtime.device,
            "passed_over": choice.passed_over,
        }
    finally:
        choice.runtime.close()


def nvdec() -> dict[str, Any]:
    """Compare pictures that the GPU decodes with the CPU's; not every GPU and driver can."""
    import numpy as np

    from streammatte.sources.video_file import VideoFile

    with tempfile.TemporaryDirectory() as folder:
        clip = footage(Path(folder) / "clip.mp4", 30)
        decoded, used = [], []
        for decoder in ("cpu", "cuda"):
            source = VideoFile(clip, decoder=decoder)  # type: ignore[arg-type]
            try:
                planes = [
                    [plane.copy() for plane in frame.picture.planes] for frame in source.frames()
                ]
                used.append(source.info.decoder)
            finally:
                source.close()
            decoded.append(planes)
    pairs = zip(*decoded, strict=True)
    equal = all(np.array_equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))
    return {"frames": len(decoded[0]), "decoder": used[1], "equal": equal}


if __name__ == "__main__":
    sys.exit(main())
