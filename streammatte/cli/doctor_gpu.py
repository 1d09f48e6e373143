"""What ``streammatte doctor`` says of NVIDIA's GPUs: the driver, TensorRT, and compiled engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.cli.console import one_line
from streammatte.cli.finding import Finding
from streammatte.errors import DependencyError
from streammatte.runtimes import hardware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.engines.kinds import Kind

_OLDEST_DRIVER = (13, 0)
"""The CUDA that our libraries are made for; the driver has to know it."""


def gpu() -> Iterator[Finding]:
    """Look at the driver and its GPUs."""
    found = hardware.nvidia()
    if not found.gpus:
        yield Finding("NVIDIA GPU", "absent", f"{found.why}; networks run on the CPU")
        return
    named = [f"{one.name} ({one.capability[0]}.{one.capability[1]})" for one in found.devices]
    what = f"{found.gpus}: {', '.join(named)}" if named else str(found.gpus)
    yield Finding("NVIDIA GPU", "ok", f"{what}; large networks run there where something can")
    if found.cuda and (0, 0) < found.cuda < _OLDEST_DRIVER:
        yield Finding(
            "NVIDIA driver",
            "absent",
            f"knows CUDA up to {found.cuda[0]}.{found.cuda[1]}, but 13.0 is needed: install driver "
            "580 or newer",
        )


def tensorrt() -> Iterator[Finding]:
    """Look at both TensorRTs and at what lets Python call CUDA."""
    from streammatte.engines.kinds import KINDS

    installed = [finding for kind in KINDS.values() for finding in _library(kind)]
    yield from installed
    if any(finding.state == "ok" for finding in installed):
        yield from _bindings()


def _library(kind: Kind) -> Iterator[Finding]:
    try:
        version = kind.version
    except DependencyError as error:
        yield Finding(kind.title, "absent", one_line(str(error)).removeprefix(f"{kind.title} "))
        return
    reasons = [kind.why_not(one.capability) for one in hardware.nvidia().devices]
    if reasons and all(reasons):
        yield Finding(kind.title, "absent", f"{version}: {reasons[0]}")
    elif not hardware.nvidia().gpus:
        can = "compiles engines for other machines" if kind.for_any_gpu else "needs a GPU"
        yield Finding(kind.title, "ok", f"{version}, {can}: {hardware.nvidia().why}")
    else:
        yield Finding(kind.title, "ok", f"{version}, --runtime {kind.name}")


def _bindings() -> Iterator[Finding]:
    from streammatte.runtimes import cuda

    try:
        cuda.api()
    except DependencyError as error:
        yield Finding("CUDA for Python", "absent", one_line(str(error)))


def engines() -> Iterator[Finding]:
    """Look at the engines that are kept."""
    from streammatte.engines.store import Store, outdated

    store = Store()
    kept = store.entries()
    if not kept:
        yield Finding("engines", "ok", f"none yet; they will be in {store.folder}")
        return
    megabytes = sum(entry.bytes for entry in kept) >> 20
    yield Finding("engines", "ok", f"{len(kept)} ({megabytes} MiB) in {store.folder}")
    bad = [why for entry in kept if (why := outdated(entry) or store.why_not(entry))]
    if bad:
        yield Finding(
            "engines",
            "absent",
            f"{len(bad)} of no use ({one_line(bad[0])}): streammatte engine prune",
        )
