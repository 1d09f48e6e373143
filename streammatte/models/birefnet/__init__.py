"""BiRefNet (Zheng et al., arXiv 2401.03407), written from the paper.

``network.py`` and what it is made of (``swin.py``, ``aspp.py``, ``decoder.py``, ``deform.py``) is
the readable form, which loads the public checkpoints (``cards.py``, ``checkpoint.py``);
``fused.py`` is the same function for one size of picture, cheaper to run, and what ``export.py``
writes as ONNX. ``model.py`` is its face to the rest.
"""

EXPORT_VERSION = 2
"""Grows when exports change, so that no old one is used."""
