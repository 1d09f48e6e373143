"""Which network is meant by a name, a path or a hub id, and where its weights come from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import ModelError, UsageError
from streammatte.models.base import ModelCard
from streammatte.models.onnx_card import UNKNOWN
from streammatte.models.weights import FILE, Embedded, Hub, Local, cached, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.models.weights import Weights
    from streammatte.registry import Registry

PICKLES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".t7"})
ONNX, SAFETENSORS = ".onnx", ".safetensors"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_NOTHING, _NO_USE = "none: the weights are random", "what it makes of a picture means nothing"
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")
_RANDOM = re.compile(r"random(?::([0-9]{1,9}))?")


@dataclass(frozen=True)
class Found:
    """A network, and which weights it is to have."""

    card: ModelCard
    weights: Weights
    seed: int | None = None
    """Of random weights, which stand in for ``weights``."""


def find(
    models: Registry, name: str, *, weights: str | None = None, revision: str | None = None
) -> Found:
    """Return what is meant; nothing is downloaded or loaded.

    Args:
        models: The networks that have names.
        name: One of them, the path of a folder, of a ``.safetensors`` or an ``.onnx`` file, or an
            id of the hub such as ``ZhengPeng7/BiRefNet``.
        weights: Instead of the network's own: such a path, or ``random`` or ``random:SEED``.
        revision: Of the hub's repository, instead of the card's.

    Raises:
        ModelError: if there is no such network, or no such weights.
    """
    card = _card(models, name)
    if revision is not None:
        card = replace(card, weights=_at(card, revision))
    if weights is None:
        return Found(card, card.weights)
    if isinstance(card.weights, Embedded) or _is_onnx(card.weights):
        raise ModelError(f"{card.name} is an ONNX file, which has its weights inside")
    if match := _RANDOM.fullmatch(weights):
        if card.backbone is None:
            raise UsageError(
                f"--weights {weights}: only its own weights say what kind of network {card.name} "
                "is; give one of 'streammatte models list' with random weights"
            )
        card = replace(card, training_data=_NOTHING, limits=_NO_USE)
        return Found(card, card.weights, seed=int(match[1] or 0))
    if weights.startswith("random") and not _exists(Path(weights)):
        raise UsageError(f"--weights: {weights!r} will not do; write random or random:SEED")
    local = _local(weights, "--weights")
    return Found(_claimed(card, local), local)


def known_cards(models: Registry) -> Iterator[ModelCard]:
    """Yield the cards of all networks that have names."""
    for name in models:
        yield models.load(name)


def _is_onnx(weights: Weights) -> bool:
    return isinstance(weights, Local) and weights.path.suffix.lower() == ONNX


def _card(models: Registry, name: str) -> ModelCard:
    if name.lower() in models.entries:
        card: ModelCard = models.load(name)
        return card
    if not _looks_like_path(name):
        if _HUB_ID.fullmatch(name):
            return _of_repository(models, name, Hub(name))
        models.known(name)  # raises, with the nearest name
    local = _local(name, "--model")
    if local.path.suffix.lower() == ONNX:
        from streammatte.models.onnx_file import OnnxFile

        return OnnxFile.brought(local.path).card
    said = _downloaded(local.path) or _claim(local.path)
    return _claimed(_of_repository(models, said, local), local)


def _looks_like_path(name: str) -> bool:
    """Whether a name is meant as a path: it is there, it looks like a file, or like no hub id."""
    path = Path(name).expanduser()
    if not name:
        return False
    known = path.suffix.lower() in {ONNX, SAFETENSORS, *PICKLES}
    return known or _exists(path) or ("/" in name and not _HUB_ID.fullmatch(name)) or "\\" in name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or not one at all
        return False


def _local(name: str, option: str) -> Local:
    path = Path(name).expanduser()
    kind = path.suffix.lower()
    if kind in PICKLES:
        raise ModelError(
            f"{path} is a pickle, which may run any code when it is loaded; "
            "use the .safetensors file of the same network, or convert it"
        )
    if not _exists(path):
        raise ModelError(f"{path} does not exist; give a folder, a .safetensors or an .onnx file")
    if option == "--weights" and kind == ONNX:
        raise ModelError(f"--weights: {path} is a whole network; give it as --model")
    if not path.is_dir() and kind not in (ONNX, SAFETENSORS):
        raise ModelError(f"{path} is neither a folder nor a .safetensors nor an .onnx file")
    return Local(path)


def _at(card: ModelCard, revision: str) -> Hub:
    if not isinstance(card.weights, Hub):
        raise ModelError(f"--revision: {card.name} does not come from the hub; leave it out")
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(f"--revision: {revision!r} is neither a commit nor a branch nor a tag")
    if revision == card.weights.revision:
        return card.weights
    return Hub(card.weights.repository, revision, exact=True)  # of which no digest is known


def _of_repository(models: Registry, repository: str, weights: Hub | Local) -> ModelCard:
    """Return the card of a known repository, or one that promises nothing."""
    for card in known_cards(models):
        known = card.weights
        if isinstance(known, Hub) and known.repository.lower() == repository.lower():
            return card if isinstance(weights, Hub) else replace(card, weights=weights)
    where = weights.repository if isinstance(weights, Hub) else str(weights.path)
    return ModelCard(
        name=where if isinstance(weights, Hub) else _title(weights.path),
        summary="a BiRefNet of which nothing is known",
        weights=weights,
        licence=UNKNOWN,
        commercial=False,
        origin=where,
        training_data=UNKNOWN,
        limits=UNKNOWN,
        short_side=1024,
        short_side_range=(256, 2048),
        stride=32,
        longest_side=2560,
        tallest=2560,
        trained=(1024, 1024),
    )


def _title(path: Path) -> str:
    """Return what to call the weights in a user's file or folder."""
    whole = path.absolute()
    if whole.name == FILE:
        whole = whole.parent  # the file's own name says nothing
    return whole.stem if whole.suffix == SAFETENSORS else whole.name


def _claimed(card: ModelCard, local: Local) -> ModelCard:
    """Return the card for weights that are said to be of its kind, which proves no licence.

    Anyone may call a folder as the hub's cache does; and the settings beside weights name what
    training began from: RMBG-2.0, which may not be used commercially, passes for BiRefNet there,
    and so does whatever people train further. ``recognised`` goes by the digest.
    """
    if card.licence == UNKNOWN:
        return card
    return replace(
        card,
        weights=local,
        licence=UNKNOWN,
        commercial=False,
        origin=f"{local.path}, said to be {card.name}",
        training_data=UNKNOWN,
        backbone=None,
    )


def recognised(models: Registry, card: ModelCard) -> ModelCard:
    """Return the card whose published weights a user's file holds; the one given if none does.

    All of the file is read if that was not done before.

    Raises:
        ModelError: if it is missing, or cannot be read.
    """
    if not isinstance(card.weights, Local) or _is_onnx(card.weights):
        return card
    file = cached(card.weights)
    digest = check(card.weights, card.name, file) if file else ""
    for known in known_cards(models):
        if isinstance(known.weights, Hub) and known.weights.sha256 == digest != "":
            return replace(known, weights=card.weights)
    return card


def _downloaded(path: Path) -> str:
    """Return ``owner/name`` of the repository in whose cache a path lies; empty if in none."""
    for part in path.absolute().parts:
        if match := re.fullmatch(r"models--(.+?)--(.+)", part):
            return f"{match[1]}/{match[2]}"
    return ""


def _claim(path: Path) -> str:
    """Return the repository that the settings beside weights name; empty if none."""
    folder = path if path.is_dir() else path.parent
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    name = config.get("_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""
