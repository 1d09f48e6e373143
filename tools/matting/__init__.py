"""The parts of ``tools/matting_benchmark.py``: clips, mattes, what is measured, what people see."""
