"""Gets an engine ready: from the store, or compiled; and once more if TensorRT refuses it."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streammatte.engines.build import build
from streammatte.engines.fingerprint import ANY_GPU, Fingerprint, digest_of
from streammatte.engines.store import Store
from streammatte.errors import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.engines.build import Wanted
    from streammatte.engines.kinds import Kind
    from streammatte.engines.log import Log
    from streammatte.engines.recipe import Recipe
    from streammatte.engines.store import Entry
    from streammatte.runtimes.cuda import Facts


@dataclass(frozen=True)
class Loaded:
    """An engine, and what must live as long as it does; let go of in the order of the fields."""

    engine: Any
    runtime: Any
    log: Log
    entry: Entry


def load(
    kind: Kind,
    facts: Facts,
    path: Path,
    wanted: Wanted,
    recipe: Recipe,
    tell: Callable[[str], None],
    begin: Callable[[], None] = lambda: None,
) -> Loaded:
    """Return an engine for the GPU that is this thread's.

    Args:
        kind: Which TensorRT.
        facts: Of that GPU.
        path: Of the ONNX file.
        wanted: What the engine has to be.
        recipe: How it is compiled if it is not there.
        tell: Told what is being done, if it takes long.
        begin: Makes that GPU another thread's, too.

    Raises:
        ModelError: if TensorRT does not know the graph.
        RuntimeFailure: if the engine cannot be compiled, or is refused again when it is new.
        OutputError: if there is nowhere to keep it.
        Interrupted: if the user ended it.
    """
    log, runtime = kind.log, kind.start("Runtime")
    store, fingerprint = Store(), fingerprint_of(kind, facts, path, wanted, recipe)
    timings = store.timing_cache(kind, kind.version, facts.name)
    told = {"driver": ".".join(map(str, facts.driver)), "gpu": facts.name}

    def make() -> memoryview:
        words = f"compiling {wanted.name} for {facts.name}, once"
        told_how = lambda step: tell(f"{words}: {step}")  # noqa: E731
        return build(kind, path, wanted, recipe.builder, told_how, timings, begin)

    entry = store.get_or_build(wanted.name, fingerprint, make, tell, told)
    log.forget()
    engine = _deserialised(runtime, entry.plan)
    if engine is None and not _out_of_memory(log):
        why = f"{kind.title} refuses it ({_validity(kind.api, runtime, entry.plan) or log.said()})"
        entry = store.rebuilt(entry, why, wanted.name, fingerprint, make, tell, told)
        log.forget()
        engine = _deserialised(runtime, entry.plan)
    if engine is None:
        raise _refused(kind, log)
    return Loaded(engine, runtime, log, entry)


def fingerprint_of(
    kind: Kind, facts: Facts, path: Path, wanted: Wanted, recipe: Recipe
) -> Fingerprint:
    """Return all that makes an engine valid on a GPU."""
    return Fingerprint(
        onnx=digest_of(path),
        kind=kind.name,
        version=kind.version,
        cuda=facts.cuda[0],
        capabilities=(facts.capability,),
        device=ANY_GPU if kind.for_any_gpu else facts.name,
        shape=(wanted.batch, wanted.size[1], wanted.size[0]),
        precision=wanted.precision,
        options=recipe.builder.as_items(),
    )


def _deserialised(runtime: Any, plan: Path) -> Any:
    with plan.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as engine:
        return runtime.deserialize_cuda_engine(engine)


def _validity(api: Any, runtime: Any, plan: Path) -> str:
    """Return why TensorRT-RTX cannot run an engine here, in its own words; the other says nothing.

    Diagnostics are flags: a version of its own, a GPU that the engine is not for, ...
    """
    if not hasattr(runtime, "get_engine_validity"):
        return ""
    with plan.open("rb") as file:
        header = file.read(runtime.engine_header_size)
    validity, diagnostics = runtime.get_engine_validity(header)
    if validity != api.EngineValidity.INVALID:
        return ""
    flags = api.EngineInvalidityDiagnostics.__members__
    words = [name for name, flag in flags.items() if int(flag) & int(diagnostics)]
    return ", ".join(word.lower().replace("_", " ") for word in words)


def _out_of_memory(log: Log) -> bool:
    return any(word in log.said().lower() for word in ("out of memory", "outofmemory", "alloc"))


def _refused(kind: Kind, log: Log) -> RuntimeFailure:
    if _out_of_memory(log):
        return RuntimeFailure(
            f"the GPU's memory is too small for the engine ({log.said()}); use a smaller --size, "
            "or end what else uses it"
        )
    return RuntimeFailure(
        f"{kind.title} {kind.version} refuses the engine that it has just made: {log.said()}"
    )
