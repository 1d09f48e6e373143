"""The fused network as an ONNX file, checked against PyTorch before anyone runs it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import onnxscript.optimizer
import torch
from onnxscript import opset20 as op
from torch import Tensor

from streammatte.engines import lint
from streammatte.errors import ModelError, OutputError, StreamMatteError
from streammatte.models.birefnet.fused import FusedBiRefNet
from streammatte.models.birefnet.precision import check_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from streammatte.models.base import Graph, Precision, Size
    from streammatte.models.birefnet.network import BiRefNet

OPSET = 20
"""The first with Gelu; all of TensorRT 10 and 11, ONNX Runtime and OpenVINO read it."""
EXTERNAL_FROM = 256 << 20
"""Bytes of weights from which they lie in a file of their own: one message holds 2 GiB at most,
and what lies beside it can be mapped into memory instead of being read."""
_FOLD_UP_TO = 1 << 30
"""Bytes of constants that are computed when exporting rather than on every run."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_REASON = 200
_NOISE = 1
"""Which of ``check_pictures`` it is."""
_NOT_THEIRS = (StreamMatteError, MemoryError, ImportError)


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    path: Path
    files: list[Path]
    """The file, and its weights if they lie beside it."""
    bytes: int
    """Of all files."""
    nodes: int
    opset: int
    seconds: float
    checked: int
    """Pictures that were shown to PyTorch, in single precision, and to the file."""
    checked_by: str
    """What ran the file."""
    largest_difference: float
    """Of any pixel's alpha."""
    mean_difference: float
    largest_value: float | None
    """Of all that half precision has to hold, which ends at 65504; ``None`` in single."""
    metadata: dict[str, str]


class Difference(NamedTuple):
    """How far alpha is from PyTorch's."""

    largest: float
    """Of any pixel."""
    mean: float


ALLOWED: dict[Precision, Difference] = {
    "fp32": Difference(2e-4, 2e-5),
    "fp16": Difference(2e-2, 2e-3),
}
"""What passes for rounding, but for noise. In fp32 it is what we promise; in fp16 twice that, which
is 1e-2 and 1e-3 on average: exports in which nothing is wrong, with the weights of four seeds, were
off by up to 9e-3 and 9.6e-4. Mistakes move many pixels: there it is the mean that finds them.
"""
ALLOWED_OF_NOISE: dict[Precision, Difference] = {
    "fp32": Difference(1e-3, 1e-4),
    "fp16": Difference(5e-2, 5e-3),
}
"""The same for noise, which nobody films: it brings every unit of a network to its edge. Exports in
which nothing is wrong were off by 3e-4 in fp32 and 2.9e-2 in fp16 (2e-3 on average) there, as
rounding weights to half precision does by itself; they must not be refused.
"""


def export(
    network: BiRefNet,
    size: Size,
    graph: Graph,
    path: Path,
    metadata: dict[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a network as ONNX, for one size and target.

    Args:
        network: In evaluation mode; not to be used after.
        size: ``(width, height)``, multiples of 32.
        graph: Target, precision, batch and form.
        path: Where to; it appears only when it is whole and right. Big weights lie beside it.
        metadata: Written into the file.
        tell: Told what is being done.

    Raises:
        ModelError: if it cannot be made, the result is wrong, or half precision cannot hold what is
            computed.
        OutputError: if it cannot be written.
    """
    begun = time.perf_counter()
    pictures = check_pictures(size, graph.batch)
    fused = FusedBiRefNet(network, size)
    tell("running PyTorch to compare with")
    with _reported("PyTorch cannot run the network"):
        truth = [_matte(fused, picture) for picture in pictures]
    greatest = None
    if graph.precision == "fp16":
        tell("looking for what half precision cannot hold")
        greatest = check_range(fused, pictures)
    tell("tracing")
    fused = FusedBiRefNet(network, size, graph.form)
    program = _traced(fused.half() if graph.precision == "fp16" else fused, pictures[0])
    program.model.metadata_props.update(metadata)
    with _workplace(path) as work:
        tell("writing")
        made = _saved(program, work / path.name)
        del program, fused
        tell("checking")
        nodes = _valid(made)
        if graph.target == "tensorrt":  # of the two, one has no operator for "native"
            lint.refuse(made, "tensorrt" if graph.form == "native" else "tensorrt-rtx")
        found = _differences(made, pictures, truth)
        _refuse_if_wrong(found, graph.precision)
        files = _published(work, path.parent)
    return Exported(
        path=path,
        files=files,
        bytes=sum(file.stat().st_size for file in files),
        nodes=nodes,
        opset=OPSET,
        seconds=time.perf_counter() - begun,
        checked=len(pictures) * graph.batch,
        checked_by=f"ONNX Runtime {_onnxruntime().__version__}",
        largest_difference=max(each.largest for each in found),
        mean_difference=float(np.mean([each.mean for each in found])),
        largest_value=greatest,
        metadata=metadata,
    )


def check_pictures(size: Size, batch: int = 1) -> list[Tensor]:
    """Return what a file is checked with: a scene, noise, and black beside white.

    Returns:
        uint8 ``[batch, h, w, 3]`` each; the pictures of a batch differ.
    """
    width, height = size
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    halves = np.zeros((height, width, 3), np.uint8)
    halves[:, width // 3 :] = 255
    pictures = [_scene(width, height), noise, halves]
    rolled = [[np.roll(picture, 37 * i, 1) for i in range(batch)] for picture in pictures]
    return [torch.from_numpy(np.stack(each)) for each in rolled]


def _scene(width: int, height: int) -> NDArray[np.uint8]:
    """Return a soft disc with stripes before a sky of colours."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    disc = np.clip((0.6 - np.hypot(x, y)) / 0.02, 0, 1)
    figure = 0.5 + 0.4 * np.sin(40 * (x + 2 * y))
    planes = [disc * figure + (1 - disc) * sky for sky in ((x + 1) / 2, (y + 1) / 2, x * y / 2)]
    return (np.stack(planes, -1).clip(0, 1) * 255).astype(np.uint8)


def _matte(module: FusedBiRefNet, picture: Tensor) -> NDArray[np.float32]:
    with torch.no_grad():
        alpha: NDArray[np.float32] = module(picture).numpy()
    return alpha


def _deform_conv(image: Any, weight: Any, offset: Any, bias: Any, mask: Any) -> Any:
    """Write our operator as ONNX's."""
    side = weight.shape[2]
    return op.DeformConv(
        image, weight, offset, bias, mask, kernel_shape=[side, side], pads=[side // 2] * 4
    )


def _traced(module: FusedBiRefNet, picture: Tensor) -> torch.onnx.ONNXProgram:
    with _quietly(), _reported("the network cannot be exported"):
        program = torch.onnx.export(
            module,
            (picture,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["alpha"],
            custom_translation_table={
                torch.ops.streammatte.deform_conv2d.default: _deform_conv,
            },
            verbose=False,
        )
        assert program is not None
        onnxscript.optimizer.optimize_ir(
            program.model, input_size_limit=_FOLD_UP_TO, output_size_limit=_FOLD_UP_TO
        )
    for node in program.model.graph.all_nodes():
        # The exporter notes where in our source each came from: nobody's business, and many lines.
        node.metadata_props.clear()
        node.doc_string = None
    return program


@contextlib.contextmanager
def _reported(what: str, passing: tuple[type[Exception], ...] = _NOT_THEIRS) -> Iterator[None]:
    """Turn whatever PyTorch, ONNX and ONNX Runtime raise into one line of ours.

    Args:
        what: What went wrong.
        passing: What is no fault of theirs, and is raised as it is, also if they have wrapped it.

    Raises:
        ModelError: in place of all others.
        MemoryError: also where PyTorch calls it a ``RuntimeError``.
    """
    try:
        yield
    except Exception as error:
        first = _first_cause(error, passing)
        if isinstance(first, passing):
            raise first from first.__cause__
        text = _COLOURS.sub("", str(first)).strip().partition("\n")[0].strip()
        if "allocate memory" in text:  # PyTorch's own way to say it
            raise MemoryError(text) from error
        reason = f"{type(first).__name__}: {text}"[:_LONGEST_REASON]
        raise ModelError(f"{what}: {reason}; please report it") from error


def _first_cause(error: BaseException, passing: tuple[type[Exception], ...]) -> BaseException:
    """Return what an error was made from: PyTorch wraps errors in pages of advice."""
    while error.__cause__ is not None and not isinstance(error, passing):
        error = error.__cause__
    return error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's own remarks from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """Give a folder beside the file that is to be, gone at the end."""
    new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as work:
            yield Path(work)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if new:
            with contextlib.suppress(OSError):  # it is not empty, as it should be
                path.parent.rmdir()


def _saved(program: torch.onnx.ONNXProgram, path: Path) -> Path:
    constants = (value.const_value for value in program.model.graph.initializers.values())
    weights = sum(constant.nbytes for constant in constants if constant is not None)
    with _reported("the export cannot be written as ONNX", (*_NOT_THEIRS, OSError)):
        program.save(path, external_data=weights >= EXTERNAL_FROM)
    return path


def _published(work: Path, folder: Path) -> list[Path]:
    """Move all files out of a folder; the weights before the file that names them."""
    made = sorted(work.iterdir(), key=lambda file: file.suffix == ".onnx")
    return [_moved(file, folder / file.name) for file in made][::-1]


def _moved(file: Path, place: Path) -> Path:
    os.replace(file, place)  # noqa: PTH105  it has the one meaning on all systems
    return place


def _valid(path: Path) -> int:
    """Return the number of nodes of a file that ONNX itself finds nothing wrong with."""
    with _reported("the export is not valid ONNX"):
        onnx.checker.check_model(str(path), full_check=True)
        return len(onnx.load(path, load_external_data=False).graph.node)


def _differences(
    path: Path, pictures: list[Tensor], truth: list[NDArray[np.float32]]
) -> list[Difference]:
    """Return how far a file, run by ONNX Runtime, is from what PyTorch found."""
    engine = _onnxruntime()
    with _reported("the export does not run"):
        session = engine.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = [session.run(["alpha"], {"image": picture.numpy()})[0] for picture in pictures]
    differences = [np.abs(one - other) for one, other in zip(found, truth, strict=True)]
    return [Difference(float(each.max()), float(each.mean())) for each in differences]


def _onnxruntime() -> Any:
    import onnxruntime

    from streammatte import runtimes  # noqa: F401  it tells the library not to report to its maker

    return onnxruntime


def _refuse_if_wrong(found: list[Difference], precision: Precision) -> None:
    what_to_do = "use fp32, or report it" if precision == "fp16" else "please report it"
    for place, each in enumerate(found):
        limits = (ALLOWED_OF_NOISE if place == _NOISE else ALLOWED)[precision]
        for value, allowed, word in zip(each, limits, ("", " on average"), strict=True):
            if not value <= allowed:  # nor if it is NaN
                raise ModelError(
                    f"the export differs from PyTorch by {value:.2g} of alpha{word}, above the "
                    f"{allowed:g} allowed for {precision}; {what_to_do}"
                )
