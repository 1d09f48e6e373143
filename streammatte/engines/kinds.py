"""The two TensorRTs: ``tensorrt`` for any GPU, ``tensorrt_rtx`` for those in people's computers.

From 10.13 on, through 11.x, and in TensorRT-RTX the calls that we need are the same, so one builder
and one runner serve both, with the module as a parameter. Their few differences are here.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from streammatte.engines.log import Log
from streammatte.errors import DependencyError, RuntimeFailure, UsageError

OLDEST = (10, 13)
"""The first with runtime configurations, and with all else that we call."""
Capability = tuple[int, int]
"""A compute capability, such as ``(8, 9)``."""


@dataclass(frozen=True)
class Kind:
    """One of the two: what it is called and what it can do."""

    name: str
    module: str
    title: str
    extra: str
    for_any_gpu: bool
    """Whether an engine may be carried to another GPU; built without one, too."""
    capabilities: tuple[Capability, ...] = ()
    """The GPUs that it knows; empty if all."""
    portable_from: Capability | None = None
    """Engines that name no GPU run on those that it knows from this one on."""

    @cached_property
    def api(self) -> Any:
        """The Python module.

        Raises:
            DependencyError: if it is missing, does not load or is too old.
        """
        try:
            api = importlib.import_module(self.module)
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == self.module
            why = "is not installed" if missing else f"does not load ({error})"
            raise DependencyError(
                f'{self.title} {why}: pip install "streammatte[{self.extra}]"'
            ) from error
        if not self.for_any_gpu and _numbers(api.__version__) < OLDEST:
            raise DependencyError(
                f"{self.title} {api.__version__} is too old, 10.13 or newer is needed: "
                f'pip install -U "streammatte[{self.extra}]"'
            )
        return api

    @cached_property
    def log(self) -> Log:
        """What the library says, from the first call of it to the last."""
        return Log(self.api)

    @property
    def version(self) -> str:
        """All of its parts, since engines are valid for exactly one."""
        return str(self.api.__version__)

    def start(self, what: Literal["Builder", "Runtime"]) -> Any:
        """Return one of the two things that everything else comes from; forgets what was said.

        Both may meet plugins: one in a graph, the other in an engine.

        Raises:
            RuntimeFailure: if the library does not start.
        """
        self.log.forget()
        try:
            started = getattr(self.api, what)(self.log.logger)
        except TypeError as error:  # pybind's way to say that the library returned nothing
            raise RuntimeFailure(
                f"{self.title} {self.version} does not start: is an NVIDIA driver installed? "
                "see 'streammatte doctor'"
            ) from error
        if not self.for_any_gpu:
            self.api.init_libnvinfer_plugins(self.log.logger, "")
        return started

    def why_not(self, capability: Capability) -> str:
        """Return why it cannot use a GPU; nothing if it can."""
        if not self.capabilities or capability in self.capabilities:
            return ""
        known = ", ".join(map(words_of, self.capabilities))
        return (
            f"{self.title} knows GPUs of compute capability {known}, this one is "
            f"{words_of(capability)}"
        )


TENSORRT = Kind("tensorrt", "tensorrt", "TensorRT", "tensorrt", for_any_gpu=False)
TENSORRT_RTX = Kind(
    "tensorrt-rtx",
    "tensorrt_rtx",
    "TensorRT-RTX",
    "rtx",
    for_any_gpu=True,
    capabilities=((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)),
    portable_from=(8, 0),
)
KINDS = {kind.name: kind for kind in (TENSORRT, TENSORRT_RTX)}


def numpy_dtype(name: str) -> str:
    """Return in numpy's words what TensorRT calls a type: ``UINT8``, ``FLOAT``, ``HALF``, ..."""
    return {"FLOAT": "float32", "HALF": "float16"}.get(name, name.lower())


def words_of(capability: Capability) -> str:
    """Return ``8.9``."""
    return f"{capability[0]}.{capability[1]}"


def parse_capability(text: str) -> Capability:
    """Read ``8.9``, ``89`` or ``sm89``.

    Raises:
        UsageError: if it is none of these.
    """
    match = re.fullmatch(r"(?:sm_?)?([0-9]{1,2})\.?([0-9])", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is no compute capability; write it as 8.9 or sm89")
    return int(match[1]), int(match[2])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])
