"""The fakes are no better than the real ones, and we call nothing that one of those lacks.

Three tables: the real ``tensorrt_rtx`` and ``cuda.bindings``, where they are installed, and
``tensorrt_names.json``, the names that four releases of TensorRT have.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import fake_cuda, fake_tensorrt
from fakes.fake_cuda import FakeCuda
from fakes.fake_tensorrt import RTX_ONLY, make

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TABLE: dict[str, str] = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
VERSIONS = "10.13 10.16 11.0 11.4"
CONSTRUCTED = ("Builder", "OnnxParser", "Runtime", "ILogger", "IProgressMonitor")
"""Classes that we make objects of."""


def real(module: str) -> Any:
    """Return the real module, or skip the test."""
    return pytest.importorskip(module, reason=f"{module} is not installed: nothing to compare with")


def classes(kind: str) -> dict[str, type]:
    found = vars(make(kind))
    return {name: value for name, value in found.items() if isinstance(value, type)}


def members(cls: type) -> dict[str, Any]:
    """Return what a class of the fake offers."""
    if issubclass(cls, Enum):
        return dict(cls.__members__)
    ours = [base for base in reversed(cls.__mro__) if base.__module__.startswith("fakes")]
    return {
        name: value
        for base in ours
        for name, value in vars(base).items()
        if not name.startswith("_")
    }


def names(kind: str) -> list[str]:
    """Return ``Class`` and ``Class.member`` for all that the fake offers."""
    found = classes(kind)
    return [
        *found,
        *(f"{name}.{member}" for name, cls in found.items() for member in members(cls)),
        "init_libnvinfer_plugins",
    ]


# --- TensorRT-RTX, the real one -----------------------------------------------------------------


def resolved(root: Any, name: str) -> Any:
    for part in name.split("."):
        root = getattr(root, part)
    return root


@pytest.mark.parametrize("name", names("tensorrt_rtx"))
def test_tensorrt_rtx_has_what_the_fake_has(name: str) -> None:
    api = real("tensorrt_rtx")
    theirs, ours = resolved(api, name), resolved(make("tensorrt_rtx"), name)
    assert isinstance(theirs, property) == isinstance(ours, property)
    if isinstance(ours, property):
        assert ours.fset is None or theirs.fset is not None, "cannot be set"
    elif isinstance(ours, Enum):
        assert int(ours) == int(theirs)
    elif inspect.isfunction(ours) and name != "init_libnvinfer_plugins":
        assert parameters(ours) in overloads(theirs)
    elif isinstance(ours, type) and name in CONSTRUCTED:
        assert parameters(ours.__init__) in overloads(theirs.__init__)


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def overloads(function: Any) -> list[list[str]]:
    """Return the names of the parameters of every overload, as pybind documents them."""
    name = function.__name__
    lines = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) -> ", function.__doc__ or "", re.MULTILINE)
    return [[part.split(":")[0].split("=")[0].strip() for part in split(line)] for line in lines]


def split(line: str) -> Iterator[str]:
    """Split at commas that are not inside of brackets."""
    depth, begin = 0, 0
    for at, letter in enumerate(line):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            yield line[begin:at]
            begin = at + 1
    yield line[begin:]


def test_overloads_are_read_from_documentation() -> None:
    def method() -> None:
        """method(*args, **kwargs)
        Overloaded function.

        1. method(self: X, a: tuple[int, int] = (1, 2), b: <E: 0> = <E.A: 0>) -> bool
        2. method(self: X) -> None
        """

    method.__doc__ = inspect.cleandoc(method.__doc__ or "")
    assert overloads(method) == [["self", "a", "b"], ["self"]]


def test_lengths_and_attributes_are_as_the_real_ones() -> None:
    api = real("tensorrt_rtx")
    assert not hasattr(api.IHostMemory, "__len__")
    quiet = api.Runtime(api.Logger(api.Logger.INTERNAL_ERROR))
    malformed = make("tensorrt_rtx").EngineInvalidityDiagnostics.MALFORMED_ENGINE
    validity = quiet.get_engine_validity(b"no engine at all")
    assert (validity[0].name, validity[1]) == ("INVALID", int(malformed))
    assert not hasattr(api.BuilderFlag, "FP16")
    header = api.Runtime(api.Logger(api.Logger.ERROR)).engine_header_size
    logger = type("L", (make().ILogger,), {"log": lambda *_: None})()
    assert make("tensorrt_rtx", cuda=FakeCuda()).Runtime(logger).engine_header_size == header


# --- TensorRT, by the table ---------------------------------------------------------------------


@pytest.mark.parametrize("name", names("tensorrt"))
def test_every_tensorrt_has_what_the_fake_has(name: str) -> None:
    assert TABLE.get(name) == VERSIONS


def test_what_only_tensorrt_rtx_has() -> None:
    rtx, plain = set(names("tensorrt_rtx")), set(names("tensorrt"))
    assert plain < rtx
    more = {name for name in rtx - plain if name.split(".")[0] not in RTX_ONLY}
    assert more == {name for name in RTX_ONLY if "." in name}
    assert not {name for name in RTX_ONLY if name in TABLE}


# --- CUDA ---------------------------------------------------------------------------------------

FUNCTIONS = sorted(
    name
    for name, value in vars(FakeCuda).items()
    if name.startswith("cuda") and inspect.isfunction(value)
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_cuda_has_what_the_fake_has(name: str) -> None:
    runtime = real("cuda.bindings.runtime")
    first = getattr(runtime, name).__doc__.splitlines()[0]
    theirs = [
        part.split(":")[0].split()[-1]
        for part in split(re.fullmatch(rf"{name}\((.*)\)", first)[1])
        if part
    ]
    assert parameters(getattr(FakeCuda, name))[1:] == theirs


@pytest.mark.parametrize(
    ("enum", "table"),
    [
        ("cudaError_t", fake_cuda.STATUSES),
        ("cudaMemcpyKind", fake_cuda.COPIES),
        ("cudaStreamCaptureMode", fake_cuda.CAPTURES),
    ],
)
def test_enums_of_cuda(enum: str, table: dict[str, int]) -> None:
    found = getattr(real("cuda.bindings.runtime"), enum)
    assert table == {name: int(getattr(found, name)) for name in table}


def test_failures_of_cuda_are_tuples_of_the_same_length() -> None:
    """Without a driver every call fails, and the fake gives as many results as the real one."""
    runtime = real("cuda.bindings.runtime")
    if int(runtime.cudaGetDeviceCount()[0]) != 35:
        pytest.skip("there is a driver, so calls do not fail")
    gpu = FakeCuda(absent="cudaErrorInsufficientDriver")
    given = {
        "kind": runtime.cudaMemcpyKind.cudaMemcpyHostToDevice,
        "mode": runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal,
    }
    for name in FUNCTIONS:
        arguments = [given.get(one, 1) for one in parameters(getattr(FakeCuda, name))[1:]]
        theirs, ours = getattr(runtime, name)(*arguments), getattr(gpu, name)(*arguments)
        assert (len(ours), int(ours[0])) == (len(theirs), int(theirs[0])), name
        assert int(ours[0]) == 0 or ours[1:] == theirs[1:], name


# --- what we call -------------------------------------------------------------------------------

SOURCES = [
    *sorted((ROOT / "streammatte" / "engines").glob("*.py")),
    *(ROOT / "streammatte" / "runtimes" / name for name in ("cuda.py", "ring.py", "tensorrt.py")),
]
OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
"""What our variables hold, with and without an underscore, where TensorRT is called."""
CONFIGS = {"build.py": "IBuilderConfig", "load.py": "", "tensorrt.py": "IRuntimeConfig"}
"""What ``config`` holds in the files that call TensorRT."""


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text(), str(path))


def last_name(node: ast.AST) -> str:
    """Return ``api`` of ``api``, ``self.api`` and ``self._api``."""
    if isinstance(node, ast.Name):
        return node.id.lstrip("_")
    own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute)
    return node.attr.lstrip("_") if own else ""


def asked_of_tensorrt() -> set[tuple[str, str]]:
    """Return where and which names of TensorRT our code has."""
    found = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or path.name == "cuda.py":
                continue
            holder, above = last_name(node.value), getattr(node.value, "value", None)
            if holder == "api":
                found.add((path.name, node.attr))
            elif above is not None and last_name(above) == "api":  # api.BuilderFlag.TF32
                found.add((path.name, f"{node.value.attr}.{node.attr}"))
            elif path.name in CONFIGS and by_itself(node.value):
                kind = {**OBJECTS, "config": CONFIGS[path.name]}.get(holder)
                found.add((path.name, f"{kind}.{node.attr}" if kind else "__init__"))
    ours = ("__init__", "__version__", "__members__")  # of Python and of pybind
    return {one for one in found if not one[1].endswith(ours)}


def by_itself(node: ast.AST) -> bool:
    """Return whether it is a variable or an attribute of our own."""
    if isinstance(node, ast.Name):
        return True
    return isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self"


def test_our_code_calls_nothing_that_a_tensorrt_lacks() -> None:
    asked = asked_of_tensorrt()
    assert len(asked) > 15  # else this test looks for the wrong things
    everywhere = {one for one in asked if TABLE.get(one[1]) == VERSIONS}
    of_rtx = {one for one in asked if {one[1], one[1].partition(".")[0]} & RTX_ONLY}
    missing = asked - everywhere - of_rtx
    assert not missing


def test_the_fake_has_what_our_code_calls() -> None:
    has = set(names("tensorrt_rtx"))
    missing = {one for one in asked_of_tensorrt() if one[1] not in has}
    assert not missing


def test_our_code_calls_nothing_that_cuda_lacks() -> None:
    tree = ast.parse((ROOT / "streammatte" / "runtimes" / "cuda.py").read_text())
    calls, words = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and last_name(node.value) == "api":
            calls.add(node.attr)
        if isinstance(node, ast.Constant) and re.fullmatch(r"cuda[A-Z]\w+", str(node.value)):
            words.add(node.value)
    functions = {name for name in words if not re.match("cudaError|cudaMemcpy[A-Z].*To", name)}
    assert len(functions) > 20
    assert functions | calls <= {*FUNCTIONS, "cudaMemcpyKind", "cudaStreamCaptureMode"}
    runtime = real("cuda.bindings.runtime")
    for name in words - functions:
        enum = runtime.cudaError_t if name.startswith("cudaError") else runtime.cudaMemcpyKind
        assert hasattr(enum, name)


def test_nobody_else_calls_cuda() -> None:
    for path, tree in trees():
        if path.name == "cuda.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = getattr(node, "module", None) or ""
                assert not named.startswith("cuda."), path
            if isinstance(node, ast.Constant):
                assert not re.match("cuda[A-Z]", str(node.value)), path


def test_the_fakes_need_nothing_real() -> None:
    """They are what is used where neither TensorRT nor CUDA's bindings are installed."""
    source = inspect.getsource(fake_tensorrt)
    assert "import tensorrt" not in source
    assert importlib.import_module("fakes.fake_cuda") is fake_cuda
