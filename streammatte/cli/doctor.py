"""``streammatte doctor``: what works on this machine, and why the rest does not."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import streammatte
from streammatte.cli import console, doctor_gpu
from streammatte.cli.console import one_line
from streammatte.cli.finding import Finding
from streammatte.errors import DependencyError, StreamMatteError
from streammatte.runtimes import RUNTIMES, Placement, hardware

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

NAME = "doctor"
USAGE = "streammatte doctor [--json]"
HELP = "say what works on this machine, and why the rest does not"
_ONNX_RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-migraphx",
    "onnxruntime-rocm",
    "onnxruntime-qnn",
    "onnxruntime-silicon",
)
EPILOG = "exit code: 0 if render works here, 4 if it does not\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="as JSON: an array of objects")


def run(arguments: argparse.Namespace) -> int:
    """Print all findings; exit code 4 if one of them keeps ``render`` from working."""
    findings = [finding for check in CHECKS for finding in _guarded(check)]
    if arguments.json:
        console.out(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        console.out("\n".join(_table(findings)) + "\n")
    for finding in findings:
        if finding.state == "broken":
            raise DependencyError(f"render does not work here: {finding.what}: {finding.detail}")
    return 0


def _table(findings: list[Finding]) -> Iterator[str]:
    marks = {"ok": "ok", "absent": "absent", "broken": "BROKEN"}
    longest = max(len(finding.what) for finding in findings)
    for finding in findings:
        yield f"{marks[finding.state]:<6}  {finding.what:<{longest}}  {finding.detail}"


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn a check that fails into a finding: the doctor must not die of the disease."""
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except StreamMatteError as error:
        yield Finding(name, "broken", one_line(str(error)))
    except ImportError as error:
        yield Finding(name, "broken", f"{one_line(str(error))}; reinstall streammatte")
    except Exception as error:  # noqa: BLE001  half-installed packages fail in any way
        reason = one_line(f"{type(error).__name__}: {error}")
        yield Finding(name, "broken", f"{reason}; reinstall streammatte")


def _machine() -> Iterator[Finding]:
    cores = os.cpu_count()
    yield Finding(
        "machine",
        "ok",
        f"streammatte {streammatte.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {cores} cores",
    )


def _media() -> Iterator[Finding]:
    import av

    from streammatte.sinks import nvenc
    from streammatte.sinks.codecs import CODECS
    from streammatte.sources import nvdec

    version = ".".join(str(part) for part in av.library_versions["libavcodec"])
    yield Finding("media", "ok", f"PyAV {av.__version__}, libavcodec {version}")
    for name in CODECS:
        codec = CODECS.load(name)
        for encoder in filter(None, (codec.encoder, codec.careful_encoder)):
            if not _encodes(encoder):
                yield Finding(f"--codec {name}", "absent", f"this FFmpeg has no {encoder}")
            elif codec.stand_in and (why := nvenc.why_not(name)):
                instead = f"--codec {codec.stand_in} stands in"
                yield Finding(f"--codec {name}", "absent", f"{why}; {instead}")
            else:
                yield Finding(f"--codec {name}", "ok", f"{encoder}: {CODECS.entry(name).summary}")
    if why := nvdec.why_not():
        yield Finding("--decoder cuda", "absent", f"{why}; the CPU decodes instead")
    else:
        yield Finding("--decoder cuda", "ok", "FFmpeg finds the GPU")


def _encodes(encoder: str) -> bool:
    import av

    try:
        av.Codec(encoder, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _kernels() -> Iterator[Finding]:
    import numba
    import numpy as np

    from streammatte.stages.kernels import blend8

    begun = time.perf_counter()
    alpha = np.arange(256, dtype=np.uint8)[None]
    out = np.empty_like(alpha)
    blend8(out, np.full_like(alpha, 200), np.full_like(alpha, 10), alpha)
    exact = np.array_equal(out, np.rint((alpha * 200.0 + (255.0 - alpha) * 10) / 255))
    seconds = time.perf_counter() - begun
    yield Finding(
        "compositing kernels",
        "ok" if exact else "broken",
        f"numba {numba.__version__}, {'exact' if exact else 'WRONG RESULTS: reinstall numba'}, "
        f"ready after {seconds:.1f} s",
    )


def _onnx_runtime() -> Iterator[Finding]:
    _whole_onnx_runtime()
    import onnxruntime

    from streammatte.runtimes.onnxruntime import devices

    built_for = ", ".join(devices())
    yield Finding("ONNX Runtime", "ok", f"{onnxruntime.__version__}, built for: {built_for}")


def _onnx_runtime_packages() -> Iterator[Finding]:
    """Find packages that install the same files; works even when those are broken."""
    installed = [name for name in _ONNX_RUNTIMES if _version(name)]
    if len(installed) > 1:
        yield Finding(
            "ONNX Runtime packages",
            "absent",
            f"{' and '.join(installed)} overwrite each other's files: "
            f"pip uninstall -y {' '.join(installed)}, then install one of them",
        )


def _whole_onnx_runtime() -> None:
    """Tell of a package whose files went with another's, before something else stumbles on it.

    Raises:
        DependencyError: if a folder is there and the library is not.
    """
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):
        raise DependencyError(
            "onnxruntime is hollow: uninstalling another onnxruntime took its files along; "
            "pip install --force-reinstall onnxruntime"
        )


def _openvino() -> Iterator[Finding]:
    def found() -> str:
        from streammatte.runtimes.openvino import devices

        return f"finds: {', '.join(devices())}"

    yield _engine("OpenVINO", "openvino", found)


def _pytorch() -> Iterator[Finding]:
    def found() -> str:
        if not (hardware.nvidia().gpus or hardware.amd()):
            return "on the CPU"  # PyTorch itself is not asked: importing it takes seconds
        from streammatte.runtimes.torch import why_not

        return why_not("cuda") or "finds the GPU"

    yield _engine("PyTorch", "torch", found)


def _engine(what: str, package: str, found: Callable[[], str]) -> Finding:
    """Look at an engine that ``render`` can do without."""
    version = _version(package)
    if version is None:
        extra = RUNTIMES.entry(package).extra
        return Finding(what, "absent", f'not installed: pip install "streammatte[{extra}]"')
    try:
        return Finding(what, "ok", f"{version}, {found()}")
    except Exception as error:  # noqa: BLE001  half-installed packages fail in any way
        reason = one_line(f"{type(error).__name__}: {error}")
        return Finding(what, "absent", f"{version} does not load: {reason}; reinstall {package}")


def _network() -> Iterator[Finding]:
    import numpy as np

    from streammatte.models import MODELS, load_card, open_model
    from streammatte.models.weights import Embedded
    from streammatte.runtimes.choice import open_runtime

    cards = (load_card(name) for name in MODELS)
    for card in (card for card in cards if isinstance(card.weights, Embedded)):
        width, height = card.input_size(1920, 1080)
        network = open_runtime("auto", open_model(card.name), (width, height), Placement()).runtime
        image = np.zeros((1, height, width, 3), np.uint8)
        begun = time.perf_counter()
        for _ in range(5):
            network.infer(image)
        each = (time.perf_counter() - begun) / 5 * 1000
        network.close()
        yield Finding(
            f"--model {card.name}",
            "ok",
            f"weights intact, {each:.1f} ms a frame at {width}x{height}, {network.description}",
        )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


CHECKS = (
    _machine,
    _media,
    _kernels,
    doctor_gpu.gpu,
    doctor_gpu.tensorrt,
    doctor_gpu.engines,
    _onnx_runtime_packages,
    _onnx_runtime,
    _openvino,
    _pytorch,
    _network,
)
