"""Lists which names each version of TensorRT has, so that none is called that one of them lacks.

    python tools/list_tensorrt_names.py -o tests/engines/tensorrt_names.json

TensorRT's libraries cannot be installed on the machines that we build on, but its Python bindings
can, and they import once libraries of the right names are found that do nothing. So: the wheels of
the bindings are fetched, a stand-in library is compiled for each (a C compiler is needed), and
the classes and enums that we use are looked at. Signatures are kept where pybind tells them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

VERSIONS = ("10.13.3.9.post1", "10.16.1.11", "11.0.0.114", "11.4.0.106")
CLASSES = (
    "Builder",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IProgressMonitor",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "Logger",
    "OnnxParser",
    "ParserError",
    "Runtime",
)
ENUMS = (
    "BuilderFlag",
    "DataType",
    "HardwareCompatibilityLevel",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "TensorIOMode",
    "TensorLocation",
)
FUNCTIONS = ("init_libnvinfer_plugins",)
_STAND_IN = """
void *createInferBuilder_INTERNAL(void) { return 0; }
void *createInferRefitter_INTERNAL(void) { return 0; }
void *createInferRuntime_INTERNAL(void) { return 0; }
void *createNvOnnxParser_INTERNAL(void) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void) { return 0; }
void *getBuilderPluginRegistry(void) { return 0; }
void *getPluginRegistry(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
int initLibNvInferPlugins(void) { return 0; }
"""
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_LOOK = "import sys; sys.path.insert(0, sys.argv[1]); import list_tensorrt_names as t; t.look()"


def main() -> int:
    """Write the table: for every name, which versions have it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.json")
    told = parser.parse_args()
    table: dict[str, list[str]] = {}
    for version in told.versions:
        short = ".".join(version.split(".")[:2])
        for name in names_of(version):
            table.setdefault(name, []).append(short)
    rows = {name: " ".join(versions) for name, versions in sorted(table.items())}
    told.output.write_text(json.dumps(rows, indent=0) + "\n")
    print(f"{len(rows)} names of {', '.join(told.versions)} in {told.output}")
    return 0


def names_of(version: str) -> list[str]:
    """Return ``Class.member`` of all that one version has, asked in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fetch(version, place)
        stand_in(place, version.partition(".")[0])
        words = [sys.executable, "-c", _LOOK, str(Path(__file__).parent)]
        environment = {**os.environ, "PYTHONPATH": folder, "LD_LIBRARY_PATH": folder}
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)
    found: list[str] = json.loads(done.stdout)
    return found


def fetch(version: str, place: Path) -> None:
    """Unpack the wheel of the bindings."""
    package = f"tensorrt-cu13-bindings=={version}"
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(place), package]
    subprocess.run(words, check=True)
    for wheel in place.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(place)


def stand_in(place: Path, major: str) -> None:
    """Compile libraries that have the right names and do nothing."""
    source = place / "stand_in.c"
    source.write_text(_STAND_IN)
    for name in _LIBRARIES:
        library = place / f"lib{name}.so.{major}"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)


def look() -> None:
    """Print the names of the bindings that this process finds."""
    import tensorrt_bindings as module

    print(json.dumps(list(_names(module))))


def _names(module: Any) -> Any:
    for name in (*CLASSES, *ENUMS):
        if (kind := getattr(module, name, None)) is not None:
            yield name
            yield from (f"{name}.{one}" for one in dir(kind) if not one.startswith("_"))
    yield from (name for name in FUNCTIONS if hasattr(module, name))


if __name__ == "__main__":
    sys.exit(main())
