"""The versions of all that has a part in a result."""

from __future__ import annotations

import importlib.metadata
import platform
from contextlib import suppress

import streammatte

PACKAGES = (
    "numpy",
    "numba",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "OpenEXR",
    "OpenImageIO",
    "opencolorio",
    "pymatting",
    "pillow",
)


def versions() -> dict[str, str]:
    """Return the versions of Python, FFmpeg's libraries and the packages that are installed."""
    import av

    found = {
        "streammatte": streammatte.__version__,
        "python": platform.python_version(),
        "av": av.__version__,
    }
    for library in ("libavcodec", "libavformat", "libswscale"):
        found[library] = ".".join(map(str, av.library_versions[library]))
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
