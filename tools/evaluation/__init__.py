"""The parts of ``tools/evaluate.py``: what is measured, on which pictures, with what beside it."""
