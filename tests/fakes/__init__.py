"""A GPU that is not there: stand-ins for CUDA and TensorRT that really compute, on the CPU.

``fake_cuda.py`` stands in for ``cuda.bindings.runtime``: ``memory.py`` is its memory and who may
touch it when, ``streams.py`` what happens in which order. ``fake_tensorrt.py`` stands in for both
TensorRTs and computes by ONNX Runtime. ``fixtures.py`` puts them in place.
"""
