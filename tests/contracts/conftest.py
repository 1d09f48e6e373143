"""Runtimes of GPUs keep their contract on one that is not there."""

from __future__ import annotations

from fakes.fixtures import plug_gpu, plug_tensorrt

__all__ = ["plug_gpu", "plug_tensorrt"]
