"""BiRefNet, written from the paper: arXiv 2401.03407, "Bilateral Reference for High-Resolution
Dichotomous Image Segmentation" (Zheng et al., 2024).

``network.py`` and what it is made of (``swin.py``, ``aspp.py``, ``decoder.py``) is the readable
form, which loads the public checkpoints; ``fused.py`` is the same function for one size of
picture, cheaper to run, and what ``export.py`` writes as ONNX.
"""
