"""``streammatte engine build``: a network compiled by TensorRT, and kept."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from streammatte.cli import console, parts
from streammatte.engines.kinds import KINDS, TENSORRT_RTX, parse_capability, words_of
from streammatte.errors import DependencyError, UsageError
from streammatte.models.base import Deform, Precision

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from streammatte.engines.build import Wanted
    from streammatte.engines.fingerprint import Fingerprint
    from streammatte.engines.kinds import Capability, Kind
    from streammatte.engines.recipe import Recipe
    from streammatte.engines.store import Entry, Store
    from streammatte.models.base import Model, Size
    from streammatte.runtimes.cuda import Facts

    Tell = Callable[[str], None]

USAGE = "streammatte engine build NAME [options]"
EPILOG = """\
examples:
  streammatte engine build birefnet-lite
  streammatte engine build birefnet --size 512 --for 8.6,8.9,12.0
  streammatte engine build birefnet-lite --weights random --dry-run

TensorRT-RTX compiles on any machine. Without --for its engines are for the GPU here; where there is
none, or with --for any, for all GPUs from compute capability 8.0 on. To use an engine on another
machine take $STREAMMATTE_HOME along, with the exports in it: an engine belongs to its very graph.
TensorRT compiles for the GPU here alone.
"""
_ANY = "any"
_IMPLIED_FROM = 11
"""The version of TensorRT from which on all networks are strongly typed."""
_CUDA = 13
"""Which CUDA's bindings are, if nobody can say."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="a network, a path or an id of the hub")
    parser.add_argument(
        "--runtime", choices=list(KINDS), default=TENSORRT_RTX.name, help="(tensorrt-rtx)"
    )
    parser.add_argument(
        "--size", metavar="N|HxW", help="shorter side, or height x width (what it was trained on)"
    )
    parser.add_argument("--precision", choices=get_args(Precision), help="(fp16)")
    parser.add_argument(
        "--for",
        dest="capabilities",
        metavar="CC[,CC]",
        help="compute capabilities of the GPUs it is for, such as 8.6,8.9, or any",
    )
    parser.add_argument(
        "--deform",
        choices=get_args(Deform),
        help="deformable convolution as gathers, or TensorRT's operator (gather)",
    )
    parser.add_argument(
        "--weights", metavar="WEIGHTS", help="a .safetensors file, a folder or random[:SEED]"
    )
    parser.add_argument("--revision", metavar="REV", help="of the hub's repository")
    parser.add_argument("--recipe", metavar="FILE.toml", help="how to compile it")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="export, but compile nothing: say what would be, and the line for NVIDIA's own tool",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compile, and tell what came out."""
    from streammatte.cli.progress import listener
    from streammatte.engines.store import Store
    from streammatte.pipeline import Preparing

    kind, store = KINDS[arguments.runtime], Store()
    with listener(json=arguments.json, quiet=False) as line:

        def tell(what: str) -> None:
            line.tell(Preparing(what))

        told = (_planned if arguments.dry_run else _built)(arguments, kind, store, tell)
    if arguments.json:
        console.out(json.dumps({"event": "done", **told.facts}) + "\n")
    else:
        parts.print_lines([told.head, *parts.rows(told.rows), *told.line])
    return 0


@dataclass(frozen=True)
class _Told:
    head: str
    rows: list[tuple[str, str]]
    facts: dict[str, Any]
    line: tuple[str, ...] = ()
    """Not to be wrapped: it is for copying."""


@dataclass(frozen=True)
class _Order:
    """What is to be compiled, of what."""

    kind: Kind
    path: Path
    wanted: Wanted
    recipe: Recipe
    source: dict[str, str]
    """What the graph says of itself."""
    dynamic: bool
    """Whether the graph leaves lengths open."""

    @property
    def title(self) -> str:
        """Such as ``birefnet-lite at 1024x1024 in fp16``."""
        width, height = self.wanted.size
        return f"{self.wanted.name} at {height}x{width} in {self.wanted.precision}"

    def fingerprint(self, gpu: Facts | None) -> Fingerprint:
        """Return what the engine will be known by.

        Raises:
            DependencyError: if the library is missing, since nobody knows its version then.
        """
        from streammatte.engines.fingerprint import ANY_GPU, Fingerprint, digest_of

        width, height = self.wanted.size
        return Fingerprint(
            onnx=digest_of(self.path),
            kind=self.kind.name,
            version=self.kind.version,
            cuda=gpu.cuda[0] if gpu else _cuda(),
            capabilities=self.wanted.capabilities or _own(gpu, self.kind),
            device=gpu.name if gpu and not self.kind.for_any_gpu else ANY_GPU,
            shape=(self.wanted.batch, height, width),
            precision=self.wanted.precision,
            options=self.recipe.builder.as_items(),
        )


def _own(gpu: Facts | None, kind: Kind) -> tuple[Capability, ...]:
    """Return what an engine that can only be for the GPU here is for, which is not asked for."""
    return (gpu.capability,) if gpu and not kind.for_any_gpu else ()


# --- compiled, or only planned --------------------------------------------------------------------


def _built(arguments: argparse.Namespace, kind: Kind, store: Store, tell: Tell) -> _Told:
    from streammatte.engines.build import build

    _ = kind.api  # a package that is missing is told before a GPU that is, and before an export
    gpu = _gpu(kind)
    order = _order(arguments, kind, gpu, tell)
    fingerprint = order.fingerprint(gpu)
    words, compiled, anew = f"compiling {order.title}, once", [], []

    def make() -> memoryview:
        compiled.append(True)
        tell(words)
        options = order.recipe.builder
        return build(kind, order.path, order.wanted, options, lambda at: tell(f"{words}: {at}"))

    def hear(what: str) -> None:
        if not what.startswith("waiting"):
            anew.append(what)
        tell(what)

    facts: dict[str, Any] = {"source": order.source}
    if gpu:
        facts |= {"gpu": gpu.name, "driver": "{}.{}".format(*gpu.driver)}
    entry = store.get_or_build(order.wanted.name, fingerprint, make, hear, facts)
    return _report(order, entry, compiled=bool(compiled), anew=anew)


def _report(order: _Order, entry: Entry, *, compiled: bool, anew: list[str]) -> _Told:
    from streammatte.cli.engine import facts_of, for_whom

    fingerprint = entry.fingerprint
    assert fingerprint is not None
    size = f"{entry.bytes / (1 << 20):.1f} MiB"
    by = f"{order.kind.title} {fingerprint.version}"
    how = f"compiled by {by} in {entry.seconds:.0f} s" if compiled else f"of {by} is here already"
    told = [
        *(("because", why) for why in anew),
        ("for", for_whom(fingerprint)),
        ("folder", str(entry.folder)),
    ]
    facts = {**facts_of(entry), "compiled": compiled, "anew": anew, "dry_run": False}
    return _Told(f"{order.title}, {how}: {size}", told, facts)


def _planned(arguments: argparse.Namespace, kind: Kind, store: Store, tell: Tell) -> _Told:
    """Say what would be; what is missing is told, and does not matter yet."""
    from streammatte.cli.engine import for_whom

    gpu, missing = None, []
    try:
        gpu = _gpu(kind)
    except DependencyError as error:
        missing.append(str(error))
    order = _order(arguments, kind, gpu, tell)
    line = shlex.join(command(order))
    facts = {
        "name": order.wanted.name,
        "runtime": kind.name,
        "size": order.wanted.size,
        "precision": order.wanted.precision,
        "recipe": order.recipe.name,
        "onnx": str(order.path),
        "command": line,
        "dry_run": True,
    }
    told = [("graph", str(order.path)), ("recipe", order.recipe.name)]
    try:
        fingerprint = order.fingerprint(gpu)
    except DependencyError as error:
        missing.insert(0, str(error))
    else:
        here, place = store.find(fingerprint), store.place(order.wanted.name, fingerprint)
        facts |= {"folder": str(here.folder if here else place), "here": here is not None}
        told.append(("for", for_whom(fingerprint)))
        told.append(("here already" if here else "folder", str(facts["folder"])))
    told += [("missing", why) for why in missing]
    head = f"{order.title}, would be compiled by {kind.title}"
    return _Told(
        head, told, {**facts, "missing": missing}, ("  the same by NVIDIA's own tool:", line)
    )


def command(order: _Order) -> list[str]:
    """Return the words of the line by which NVIDIA's own tool compiles the same."""
    wanted, options, rtx = order.wanted, order.recipe.builder, order.kind.for_any_gpu
    width, height = wanted.size
    name = re.sub(r"[^\w.-]+", "-", wanted.name)
    plan = f"{name}_{height}x{width}_{wanted.precision}_{order.kind.name}.plan"
    words = ["tensorrt_rtx" if rtx else "trtexec", f"--onnx={order.path}", f"--saveEngine={plan}"]
    if order.dynamic:
        words.append(f"--shapes=image:{wanted.batch}x{height}x{width}x3")
    if not rtx and _flag_needed(order.kind):
        words.append("--stronglyTyped")
    if rtx and wanted.capabilities:
        numbers = ",".join(f"{major}{minor}" for major, minor in wanted.capabilities)
        words.append(f"--computeCapabilities={numbers}")
    words.append(f"--builderOptimizationLevel={options.optimization_level}")
    if options.workspace_mib is not None:
        words.append(f"--memPoolSize=workspace:{options.workspace_mib}M")
    if options.max_aux_streams is not None:
        words.append(f"--maxAuxStreams={options.max_aux_streams}")
    if not options.tf32:
        words.append("--noTF32")
    return [*words, "--skipInference"]


def _flag_needed(kind: Kind) -> bool:
    """Whether strong typing has to be asked for; it does no harm where that is not known."""
    try:
        return int(kind.version.partition(".")[0]) < _IMPLIED_FROM
    except DependencyError:
        return True


# --- what is asked for ----------------------------------------------------------------------------


def _order(arguments: argparse.Namespace, kind: Kind, gpu: Facts | None, tell: Tell) -> _Order:
    from streammatte.engines.build import Wanted
    from streammatte.models import open_model
    from streammatte.models.base import Graph
    from streammatte.models.onnx_card import CARD, PREFIX
    from streammatte.models.onnx_reader import read_onnx
    from streammatte.runtimes.contract import PRECISION, precision_of

    capabilities = _capabilities(arguments.capabilities, kind, gpu)
    if arguments.deform == "native" and kind.for_any_gpu:
        raise UsageError(
            f"{kind.title} has no operator for deformable convolutions; --deform native is for "
            "--runtime tensorrt"
        )
    model = open_model(
        arguments.name, weights=arguments.weights, revision=arguments.revision, tell=tell
    )
    name, size, precision, recipe = _settled(arguments, model)
    deform = arguments.deform or recipe.deform_for(kind)
    path = model.onnx(size, Graph("tensorrt", precision or "fp16", 1, deform))
    found = read_onnx(path)
    has = precision_of(name, model, found.metadata.get(PRECISION), precision or "auto")
    said = {key: value for key, value in found.metadata.items() if key.startswith(PREFIX)}
    said.pop(CARD, None)
    dynamic = any(None in value.shape for value in found.inputs)
    return _Order(kind, path, Wanted(name, size, 1, has, capabilities), recipe, said, dynamic)


def _settled(
    arguments: argparse.Namespace, model: Model
) -> tuple[str, Size, Precision | None, Recipe]:
    """Return name, size, precision and recipe; what the options do not say a named recipe does."""
    from streammatte.engines.recipe import read_recipe, recipe_for

    name, precision = model.card.name, arguments.precision
    if arguments.recipe is None:
        size = _size(model, arguments.size)
        return name, size, precision, recipe_for(name, size, precision or "fp16")
    recipe = read_recipe(Path(arguments.recipe))
    size = recipe.size if arguments.size is None and recipe.size else _size(model, arguments.size)
    model.card.input_size(*size, size)  # a recipe's may be no size for this network
    precision = precision or recipe.precision
    if not recipe.fits(name, size, precision or "fp16"):
        raise UsageError(
            f"{arguments.recipe} is for {_purpose(recipe)}, not for {name} at "
            f"{size[1]}x{size[0]} in {precision or 'fp16'}"
        )
    return name, size, precision, recipe


def _purpose(recipe: Recipe) -> str:
    words = [recipe.model or "any network"]
    if recipe.size:
        words.append(f"at {recipe.size[1]}x{recipe.size[0]}")
    if recipe.precision:
        words.append(f"in {recipe.precision}")
    return " ".join(words)


def _size(model: Model, wish: str | None) -> Size:
    """Return ``(width, height)``; one side is that of a square where no shape was trained on."""
    from streammatte.options import parse_size

    card = model.card
    return card.input_size(*(card.trained or (1, 1)), None if wish is None else parse_size(wish))


def _capabilities(wish: str | None, kind: Kind, gpu: Facts | None) -> tuple[Capability, ...]:
    """Return the GPUs to compile for; none for most, or where a library knows but the one here."""
    if not kind.for_any_gpu:
        if wish is not None:
            raise UsageError(
                f"{kind.title} compiles for the GPU here alone; --for is for --runtime tensorrt-rtx"
            )
        return ()
    if wish is None:
        return (gpu.capability,) if gpu and not kind.why_not(gpu.capability) else ()
    if wish.strip().lower() == _ANY:
        return ()
    found = {parse_capability(word) for word in wish.split(",")}
    for capability in found:
        if kind.why_not(capability):
            known = ", ".join(map(words_of, kind.capabilities))
            raise UsageError(
                f"--for {words_of(capability)}: {kind.title} knows no such GPU, only {known}"
            )
    return tuple(sorted(found))


# --- what is here ---------------------------------------------------------------------------------


def _gpu(kind: Kind) -> Facts | None:
    """Return what the GPU here is; ``None`` if there is none, and none is needed.

    Raises:
        DependencyError: if one is needed.
    """
    from streammatte.runtimes.hardware import nvidia

    found = nvidia()
    if not found.gpus:
        if kind.for_any_gpu:
            return None
        raise DependencyError(
            f"{kind.title} compiles on the GPU that it is for: {found.why}; "
            "--runtime tensorrt-rtx compiles without one"
        )
    from streammatte.runtimes.cuda import Device

    try:
        device = Device(0)
    except DependencyError:
        if kind.for_any_gpu:
            return None
        raise
    try:
        return device.facts
    finally:
        device.close()


def _cuda() -> int:
    """Return CUDA's major version as the runner will find it, without loading CUDA."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return int(version("cuda-bindings").partition(".")[0])
    except PackageNotFoundError:
        return _CUDA
