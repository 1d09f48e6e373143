"""Engines: a network compiled by TensorRT for one kind of GPU.

``recipe.py`` says how one is built, ``build.py`` builds it, ``fingerprint.py`` is all that makes
one valid, and ``store.py`` keeps them; ``runtimes/tensorrt.py`` runs them.
"""
