"""Seeded weights for speed tests, benchmarks and CI: no download, the same numbers everywhere.

They are scaled so that the network behaves like a trained one, numerically: activations of unit
size, sampling offsets of a few pixels, gates half open, logits within about -7..7. What it makes
of a picture means nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Shape = tuple[int, ...]

# The first part of a key that is found decides. Convolutions before a ReLU need a gain of sqrt(2).
_GAINS = {
    "offset_conv": 2.2,
    "modulator_conv": 0.8,
    "conv_out1": 2.0,
    "gdt_convs_attn": 0.6,
    ".attn.": 1.0,
    ".mlp.": 1.0,
    ".reduction.": 1.0,
    "patch_embed": 1.0,
    "ipt_blk": 1.0,
    "lateral_block": 1.0,
    "": 1.4,
}
_BIASES = {"offset_conv": 0.8, "modulator_conv": 0.5, "": 0.1}


def random_state(
    shapes: Iterable[tuple[str, Shape]], seed: int = 0
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Return a value for every key, but for look-up tables, which a network makes itself.

    Args:
        shapes: The keys of a ``state_dict`` with their shapes.
        seed: Another one gives other weights.
    """
    return {
        key: _value(key, tuple(shape), seed)
        for key, shape in shapes
        if not key.endswith("relative_position_index")
    }


def _value(key: str, shape: Shape, seed: int) -> NDArray[np.float32] | NDArray[np.int64]:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = _noise(key, shape, seed)
    if len(shape) > 1 and not key.endswith("relative_position_bias_table"):  # a kernel
        values = _first(_GAINS, key) * noise / np.sqrt(np.prod(shape[1:]))
    else:
        centre, spread = _distribution(key)
        values = centre + spread * noise
    return np.asarray(values, np.float32)


def _distribution(key: str) -> tuple[float, float]:
    """Return the mean and the standard deviation of a tensor's values, by its role."""
    role = key.rsplit(".", 1)[-1]
    if role == "running_mean":
        return 0.0, 0.1
    if role == "running_var":
        return 1.0, 0.15
    if role == "relative_position_bias_table":
        return 0.0, 0.7
    if role == "weight":
        return 1.0, 0.1
    return 0.0, _first(_BIASES, key)


def _first(table: dict[str, float], key: str) -> float:
    return next(value for part, value in table.items() if part in key)


def _noise(key: str, shape: Shape, seed: int) -> NDArray[np.float64]:
    """Return uniform noise of variance 1 that depends on nothing but key, shape and seed.

    numpy guarantees the raw output of its bit generators for ever, but not its distributions.
    """
    state = hashlib.sha256(f"{seed}:{key}".encode()).digest()[:16]
    bits = np.random.PCG64(int.from_bytes(state, "little")).random_raw(int(np.prod(shape)))
    uniform = (bits >> np.uint64(11)) * 2.0**-53
    return np.asarray((uniform - 0.5) * np.sqrt(12.0)).reshape(shape)
