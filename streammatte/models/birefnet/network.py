"""BiRefNet as the paper tells it, and as the public checkpoints name its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammatte.errors import UsageError
from streammatte.models.birefnet.decoder import Decoder, ReconstructionBlock, resized
from streammatte.models.birefnet.random_weights import random_state
from streammatte.models.birefnet.swin import SHAPES, Swin, relative_positions

if TYPE_CHECKING:
    from streammatte.models.birefnet.swin import Backbone

STRIDE = 32
"""Both sides of a picture are multiples of this."""
MEAN = (0.485, 0.456, 0.406)
"""Of R', G', B' in 0..1, over ImageNet: what the backbone was trained on."""
STD = (0.229, 0.224, 0.225)


class BiRefNet(nn.Module):
    """Localisation (encoder and squeeze) and reconstruction (decoder): figure 2 of the paper.

    The keys and shapes of its ``state_dict`` are those of the public checkpoints.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        shape = SHAPES[backbone]
        channels = [2 * shape.channels << level for level in range(4)]
        self.bb = Swin(shape)
        self.squeeze_module = nn.Sequential(ReconstructionBlock(sum(channels), channels[-1]))
        self.decoder = Decoder(channels)

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits.

        Args:
            picture: R'G'B' ``[n, 3, h, w]``, normalised by ``MEAN`` and ``STD``; h and w
                multiples of 32.

        Returns:
            ``[n, 1, h, w]``; the matte is their sigmoid.

        Raises:
            UsageError: if the size will not do.
        """
        if any(side % STRIDE for side in picture.shape[2:]):
            height, width = picture.shape[2:]
            raise UsageError(f"{width} x {height} will not do: multiples of {STRIDE} are needed")
        *fine, coarse = self.encoded(picture)
        # The coarsest level is given all the others as its context.
        context = [resized(feature, coarse) for feature in fine]
        squeezed = self.squeeze_module(torch.cat([*context, coarse], 1))
        logits: Tensor = self.decoder(picture, [*fine, squeezed])
        return logits

    def encoded(self, picture: Tensor) -> list[Tensor]:
        """Return features of the picture and of its half-size twin, side by side as channels."""
        height, width = picture.shape[2:]
        half = functional.interpolate(
            picture, size=(height // 2, width // 2), mode="bilinear", align_corners=True
        )
        pairs = zip(self.bb(picture), self.bb(half), strict=True)
        return [torch.cat([full, resized(small, full)], 1) for full, small in pairs]


def random_network(backbone: Backbone, seed: int = 0) -> BiRefNet:
    """Return a network with seeded weights that mean nothing (``random_weights``)."""
    with torch.device("meta"):
        network = BiRefNet(backbone)
    network = network.to_empty(device="cpu")
    state = network.state_dict()
    shapes = [(key, tuple(tensor.shape)) for key, tensor in state.items()]
    values = {key: torch.from_numpy(value) for key, value in random_state(shapes, seed).items()}
    tables = {
        key: relative_positions(SHAPES[backbone].window)
        for key in state
        if key.endswith("relative_position_index")
    }
    network.load_state_dict({**values, **tables}, assign=True)
    return network.eval().requires_grad_(requires_grad=False)
