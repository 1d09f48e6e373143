"""What half precision can hold, and whether a network stays within it.

An engine on a CPU does not tell: it computes in single precision whatever a graph says. So
every intermediate result is looked at in single precision, and the network is run with results
that really are stored in half precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from streammatte.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

GREATEST = 6e4
"""The greatest magnitude that passes: half precision ends at 65504."""


class Magnitudes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, remembers the greatest magnitude that any operator gave.

    What happens inside ``deform_conv2d`` is not seen: its positions stay in single precision.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.greatest = 0.0
        self.where = ""
        """The operator that gave it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                low, high = torch.aminmax(tensor)
                self._see(max(-float(low), float(high)), str(func))
        return result

    def _see(self, magnitude: float, where: str) -> None:
        # Not "greater than", which NaN never is.
        if not magnitude <= self.greatest:
            self.greatest, self.where = magnitude, where


def check_range(module: nn.Module, pictures: Iterable[Tensor]) -> float:
    """Return the greatest magnitude of all weights and intermediate results.

    Args:
        module: In single precision.
        pictures: What it takes.

    Raises:
        ModelError: if half precision cannot hold it.
    """
    for name, tensor in module.named_parameters():
        if not float(tensor.detach().abs().max()) <= GREATEST:
            raise ModelError(f"the weights do not fit into half precision ({name}); use fp32")
    seen = Magnitudes()
    for picture in pictures:
        with torch.no_grad(), seen:
            module(picture)
    if not seen.greatest <= GREATEST:
        raise ModelError(
            f"half precision cannot hold what this network computes ({seen.greatest:.3g} after "
            f"{seen.where}, above {GREATEST:.0f}); use fp32"
        )
    return seen.greatest
