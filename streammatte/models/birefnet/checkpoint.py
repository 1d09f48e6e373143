"""Public checkpoints into our own network: safetensors only, looked at before they are loaded.

A repository of the hub also holds Python code, which its ``config.json`` asks to be run. Neither
is ever read: which backbone it is, the shapes of the weights say.
"""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as reports

from streammatte.errors import ModelError
from streammatte.models.birefnet.network import BiRefNet
from streammatte.models.birefnet.swin import SHAPES, relative_positions
from streammatte.models.weights import Hub, Local, cached, check, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streammatte.models.birefnet.swin import Backbone

    Shape = tuple[int, ...]

_TELLTALE = "bb.patch_embed.proj.weight"
"""Its first dimension is the width of the backbone."""
_FLOATS = {"F16", "BF16", "F32"}
_PREFIXES = ("module.", "_orig_mod.")
"""What wrappers put before the keys when weights are saved from within them."""
_POSITIONS = "relative_position_index"
_COUNTER = "num_batches_tracked"
_NAMED = 2
"""How many keys a message names."""


class Stored(NamedTuple):
    """A tensor as a file's header describes it."""

    key: str
    """Its name in the file, prefixes and all."""
    shape: Shape
    dtype: str
    """As safetensors calls it, such as ``F16``."""


class BiRefNetConfig(PreTrainedConfig):  # type: ignore[no-untyped-call, unused-ignore]
    """All there is to say about a BiRefNet: its backbone, ``swin_t`` or ``swin_l``."""

    model_type = "streammatte_birefnet"

    def __init__(self, backbone: Backbone = "swin_l", **options: Any) -> None:
        self.backbone = backbone
        super().__init__(**options)


class PretrainedBiRefNet(PreTrainedModel):  # type: ignore[no-untyped-call, unused-ignore]
    """The network as ``transformers`` knows it; its keys are those of the public checkpoints."""

    config_class = BiRefNetConfig
    main_input_name = "picture"

    def __init__(self, config: BiRefNetConfig) -> None:
        super().__init__(config)
        network = BiRefNet(config.backbone)
        self.bb = network.bb
        self.squeeze_module = network.squeeze_module
        self.decoder = network.decoder
        self.post_init()  # type: ignore[no-untyped-call, unused-ignore]

    forward = BiRefNet.forward
    encoded = BiRefNet.encoded

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, where: str | Path, *, revision: str = "main", local_files_only: bool = False
    ) -> PretrainedBiRefNet:
        """Return a checkpoint's network in float32 on the CPU, for inference only.

        Args:
            where: A repository of the hub (from its cache if it is there), a folder that holds
                ``model.safetensors``, or a ``.safetensors`` file.
            revision: Of the repository.
            local_files_only: Download nothing.

        Raises:
            ModelError: if there are no such weights, or they are not those of a BiRefNet.
        """
        hub = not Path(where).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(where))
        weights = Hub(str(where), revision, exact=True) if hub else Local(Path(where))
        if local_files_only and cached(weights) is None:
            raise ModelError(f"the weights of {where} are not in the hub's cache")
        backbone, state = _read(_checked(weights, str(where)))
        config = BiRefNetConfig(backbone)
        with _silently():
            network = super().from_pretrained(
                None, config=config, state_dict=state, dtype=torch.float32
            )
        return cast("PretrainedBiRefNet", network.train(False).requires_grad_(False))


def load(weights: Hub | Local, name: str) -> BiRefNet:
    """Return a checkpoint's network in float32 on the CPU, for inference only.

    Args:
        weights: Where they come from; they are downloaded if need be.
        name: What the user calls the network.

    Raises:
        ModelError: if they cannot be had, were changed, or are not those of a BiRefNet.
        DependencyError: if they must be downloaded, and the package that does it is missing.
    """
    pretrained = PretrainedBiRefNet.from_pretrained(_checked(weights, name))
    with torch.device("meta"):  # nothing of it is kept but what it is made of
        network = BiRefNet(pretrained.config.backbone)
    for part, module in pretrained.named_children():
        network.add_module(part, module)
    return network.eval()


def backbone_of(path: Path) -> Backbone:
    """Return which backbone the weights in a safetensors file belong to, from its header alone.

    Raises:
        ModelError: if it is damaged, or holds no BiRefNet with a backbone that is known.
    """
    return _backbone(path, _header(path))


def expected_shapes(backbone: Backbone) -> dict[str, Shape]:
    """Return the keys of a checkpoint with their shapes."""
    with torch.device("meta"):
        state = BiRefNet(backbone).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _checked(weights: Hub | Local, name: str) -> Path:
    """Return the file that holds the weights, which is the published one if it is of the hub."""
    path = locate(weights, name)
    if isinstance(weights, Hub):
        check(weights, name, path)
    return path


def _header(path: Path) -> dict[str, Stored]:
    """Return what a file holds, by keys without prefixes."""
    found: dict[str, Stored] = {}
    with _opened(path) as file:
        for key in file.keys():  # noqa: SIM118  it is no dict
            plain, view = _plain(key), file.get_slice(key)
            if plain in found:
                raise ModelError(f"{path} holds {plain} twice, also as {key}; save it afresh")
            found[plain] = Stored(key, tuple(view.get_shape()), str(view.get_dtype()))
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ModelError(
            f"{path} is damaged or no safetensors file ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _plain(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key


def _backbone(path: Path, found: dict[str, Stored]) -> Backbone:
    if _TELLTALE not in found:
        near = _nearest(_TELLTALE, found)
        hint = f" ({near} is the nearest to it)" if near else ""
        raise ModelError(f"{path} does not fit BiRefNet: {_TELLTALE} is missing{hint}")
    shape = found[_TELLTALE].shape
    for backbone, known in SHAPES.items():
        if shape[:1] == (known.channels,):
            return backbone
    raise ModelError(
        f"{path} does not fit BiRefNet: {_TELLTALE} is {_text(shape)}, and begins with "
        f"{' or '.join(str(known.channels) for known in SHAPES.values())} if the backbone is one "
        f"of {', '.join(SHAPES)}"
    )


def _fits(path: Path, found: dict[str, Stored], expected: dict[str, Shape]) -> None:
    """Return if the keys, shapes and dtypes are right.

    Raises:
        ModelError: if they are not; it names the keys.
    """
    missing = [key for key in expected if key not in found and not _structural(key)]
    unknown = [key for key in found if key not in expected]
    other = [
        f"{key} ({_text(found[key].shape)} instead of {_text(shape)})"
        for key, shape in expected.items()
        if key in found and not key.endswith(_COUNTER) and found[key].shape != shape
    ]
    dtypes = [
        f"{key} ({found[key].dtype})"
        for key in expected
        if key in found and not _structural(key) and found[key].dtype not in _FLOATS
    ]
    renamed = [f"{key} (not {near})" for key in missing if (near := _nearest(key, unknown))]
    faults = {
        "missing": renamed + [key for key in missing if not _nearest(key, unknown)],
        "unknown": unknown,
        "of another shape": other,
        "of a dtype that is not F16, BF16 or F32": dtypes,
    }
    if any(faults.values()):
        told = "; ".join(f"{what}: {_listed(keys)}" for what, keys in faults.items() if keys)
        raise ModelError(f"{path} does not fit BiRefNet: {told}")


def _structural(key: str) -> bool:
    """Return whether a checkpoint may leave a key out, because inference needs no word of it."""
    return key.endswith((_POSITIONS, _COUNTER))


def _nearest(key: str, keys: Iterable[str]) -> str:
    """Return the key that may have been meant; empty if none is like it."""
    return next(iter(difflib.get_close_matches(key, list(keys), 1, 0.8)), "")


def _listed(keys: list[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _read(path: Path) -> tuple[Backbone, dict[str, Tensor]]:
    """Return the backbone and a whole ``state_dict`` in float32."""
    found = _header(path)
    backbone = _backbone(path, found)
    expected = expected_shapes(backbone)
    _fits(path, found, expected)
    positions = relative_positions(SHAPES[backbone].window)
    with _opened(path) as file:
        state = {
            key: _structure(path, file, key, found.get(key), positions)
            if _structural(key)
            else _weight(path, key, file.get_tensor(found[key].key))
            for key in expected
        }
    return backbone, state


def _weight(path: Path, key: str, stored: Tensor) -> Tensor:
    """Return a tensor's numbers, in memory of their own: the file may change."""
    tensor = stored.to(torch.float32, copy=True)
    least, greatest = tensor.aminmax()
    if not (least.isfinite() and greatest.isfinite()):
        raise ModelError(f"{path} is damaged: {key} holds numbers that are not finite")
    return tensor


def _structure(path: Path, file: Any, key: str, stored: Stored | None, positions: Tensor) -> Tensor:
    """Return what the network itself knows best, once the file does not contradict it."""
    if key.endswith(_COUNTER):
        return torch.zeros((), dtype=torch.int64)
    if stored is not None and not torch.equal(file.get_tensor(stored.key).long(), positions):
        raise ModelError(f"{path} does not fit BiRefNet: {key} counts positions in another order")
    return positions.clone()


@contextmanager
def _silently() -> Iterator[None]:
    """Keep the reports and progress bars of ``transformers`` from the user."""
    level, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reports.set_verbosity(logging.CRITICAL)
            if bars:
                reports.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
            yield
        finally:
            reports.set_verbosity(level)
            if bars:
                reports.enable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
