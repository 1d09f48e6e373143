"""What the tests of BiRefNet share: the recipe's picture, and networks that are made once."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from streammatte.models.birefnet.network import MEAN, STD, BiRefNet, random_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.models.birefnet.swin import Backbone

GOLDEN: dict[str, Any] = json.loads(
    Path(__file__).with_name("birefnet_golden.json").read_text("utf-8")
)
"""Of the official model with the recipe's weights, seed 0, and picture of 256 x 256: every 16th
logit, and what is known of the keys; ``wide``: every 32nd of swin_t's for 576 x 320."""
TOLERANCE = {"swin_t": 6e-5, "swin_l": 1e-4}
"""Of logits: about three times what correct implementations differ by."""


@functools.cache
def network(backbone: Backbone, seed: int = 0) -> BiRefNet:
    """Return a network with random weights; not to be changed."""
    return random_network(backbone, seed)


def shared(*parts: str) -> Path:
    """Return a file of the shared folder, or skip the test."""
    root = Path(__file__).parents[3] / "shared"
    path = Path(os.environ.get("STREAMMATTE_SHARED", root)).joinpath("birefnet", *parts)
    if not path.exists():
        pytest.skip(f"no {path}: set STREAMMATTE_SHARED to the folder that holds birefnet/")
    return path


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return the recipe's picture, of integer arithmetic alone: uint8 R'G'B' ``[h, w, 3]``."""
    y, x = np.mgrid[:height, :width]
    longer, shorter = max(height, width), min(height, width)
    radius = shorter // 3
    far = (y - height // 2 - 3 * seed) ** 2 + (x - width // 2 + 5 * seed) ** 2
    disc = far < radius**2
    small = (y - height // 5) ** 2 + (x - width // 4) ** 2 < (radius // 2) ** 2
    red = 40 + x * 150 // longer + (7 * x + 13 * y + seed) % 17
    green = 30 + y * 170 // longer + far // max(longer, 1) % 23
    blue = 60 + (x // 16 + y // 16 + seed) % 2 * 70 + (x + y) * 40 // (2 * longer)
    red[disc] = (205 - far * 120 // max(radius**2, 1))[disc]
    green[disc] = (90 + (5 * x + 3 * y) % 61)[disc]
    blue[small] = (230 - y * 90 // longer)[small]
    rgb = np.stack([red, green, blue], -1)
    rgb[((3 * x - 5 * y + 11 * seed) % 29 < 2) & (far < 2 * radius**2)] = 250
    return rgb.clip(0, 255).astype(np.uint8)


def normalised(rgb: NDArray[np.uint8]) -> torch.Tensor:
    """Return what the network takes, float32 ``[1, 3, h, w]``."""
    unit = rgb.astype(np.float32) / np.float32(255)
    values = (unit - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))


def logits(module: Any, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits ``[h, w]`` that a network, of either form, gives."""
    forward = getattr(module, "logits", module)
    with torch.no_grad():
        found: NDArray[np.float32] = forward(normalised(rgb))[0, 0].numpy()
    return found


def off_golden(module: Any, backbone: Backbone) -> float:
    """Return how far a network's logits are from the official ones, at most."""
    found = logits(module, picture(256, 256))
    return float(np.abs(found[::16, ::16] - np.array(GOLDEN[backbone]["logits"])).max())
