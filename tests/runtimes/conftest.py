"""What runs on GPUs is tested with one that is not there."""

from __future__ import annotations

from fakes.fixtures import gpu, plug_gpu, plug_tensorrt

__all__ = ["gpu", "plug_gpu", "plug_tensorrt"]
