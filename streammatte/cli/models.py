"""``streammatte models``: which networks there are, and their weights."""

from __future__ import annotations

import argparse
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from streammatte.cli import export, parts
from streammatte.errors import UsageError
from streammatte.models.onnx_card import PREFIX, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.models import ModelCard
    from streammatte.models.onnx_file import OnnxFile

NAME = "models"
USAGE = "streammatte models [list | info | pull | verify | export | prune] [options]"
HELP = "list networks and their licences; fetch, check and export their weights"
EPILOG = """\
examples:
  streammatte models                            all networks
  streammatte models info birefnet-lite
  streammatte models pull birefnet-lite         into the cache of the Hugging Face hub
  streammatte models export birefnet-lite --size 512
  streammatte models prune --dry-run            what in the cache is of no use any more

'streammatte models export --help' tells the options of export.
"""
_INFO = """\
NAME is one of 'streammatte models list', a folder in the hub's layout, a .safetensors or an .onnx
file, or an id of the Hugging Face hub such as ZhengPeng7/BiRefNet.

An ONNX file that takes uint8 'image' [1, height, width, 3] and gives float32 'alpha'
[1, 1, height, width] is used as it is. Around any other one what it lacks is put; a TOML file of
its name says what. Beside modnet.onnx lies modnet.toml:

  name = "modnet"            # all keys are optional but mean and std
  licence = "Apache-2.0"
  commercial = true          # whether the licence allows it (false)
  size = 512                 # or [height, width], where the graph takes any
  aspect = "keep"            # or "squash": force every picture into one shape
  stride = 32                # both sides must be multiples of this
  mean = [0.5, 0.5, 0.5]     # of R, G, B in 0..1
  std = [0.5, 0.5, 0.5]
  input = "input"            # names, where there are several
  output = "output"
  layout = "NCHW"            # or "NHWC"
  channels = "RGB"           # or "BGR"
  activation = "none"        # "sigmoid" where the output is logits
"""
_MADE = {"digest": "made from", "revision": "revision", "target": "made for", "exporter": "made by"}
"""What an export says of itself that its card does not."""
_MEGABYTE = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands; without one it is ``list``."""
    parser.set_defaults(act=_list)
    _add_list_options(parser, False)
    # Sub-parsers overwrite what stood before them, unless they know no default.
    commands = parser.add_subparsers(
        title="what to do", metavar="WHAT", prog=f"streammatte {NAME}", parser_class=type(parser)
    )
    sub = parts.command(
        commands, "list", "list the networks and their licences (the default)", _list
    )
    _add_list_options(sub, argparse.SUPPRESS)
    for name, text, act, epilog in (
        ("info", "tell all that is known of a network", _info, _INFO),
        ("pull", "download a network's weights, or complete them", _pull, ""),
        ("verify", "check a network's weights, and what was exported from them", _verify, _EXIT),
    ):
        sub = parts.command(commands, name, text, act, epilog)
        sub.add_argument("name", metavar="NAME", help="a network, a path or an id of the hub")
        sub.add_argument("--revision", metavar="REV", help="of the hub's repository")
        parts.add_json(sub, argparse.SUPPRESS)
    sub = parts.command(commands, "export", "write a network as ONNX", export.run, export.EPILOG)
    export.add_arguments(sub)
    parts.add_json(sub, argparse.SUPPRESS)
    text = "remove exports from the cache that are of no use any more"
    sub = parts.command(commands, "prune", text, _prune, _PRUNE)
    parts.add_prune(sub)


_EXIT = "exit code: 0 if they are here and right, 5 if not\n"
_PRUNE = """\
Of no use are those of an older or newer version of streammatte, those that are damaged, and what
was left unfinished. Weights stay where they are: 'hf cache' of the Hugging Face hub tidies those.
"""


def _add_list_options(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--commercial-only",
        action="store_true",
        default=default,
        help="leave out those that are not for commercial use",
    )
    parts.add_json(parser, default)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    code: int = arguments.act(arguments)
    return code


def _list(arguments: argparse.Namespace) -> int:
    from streammatte.models import MODELS, load_card

    cards = [load_card(name) for name in MODELS]
    if arguments.commercial_only:
        cards = [card for card in cards if card.commercial]
    if arguments.json:
        parts.print_json([_facts(card) for card in cards])
        return 0
    lines = [line for card in cards for line in _short(card)]
    lines.append("'streammatte models info NAME' tells more; paths and ids of the hub do, too.")
    parts.print_lines(lines)
    return 0


def _short(card: ModelCard) -> Iterator[str]:
    """Yield the lines of the list: name, place, licence; then what it is for."""
    size = _bytes(_files(card))
    here = "not here" if size is None else f"here, {size / _MEGABYTE:.1f} MB"
    yield f"{card.name:<25} {here:<16} {card.licence:<13} {_use(card)}"
    wrap = TextWrapper(parts.WIDTH - 1, initial_indent="  ", subsequent_indent="  ")
    yield from wrap.wrap(card.summary)


def _use(card: ModelCard) -> str:
    if card.licence == UNKNOWN:
        return "nobody says whether commercial use is allowed"
    return "commercial use allowed" if card.commercial else "no commercial use"


def _info(arguments: argparse.Namespace) -> int:
    card = _card(arguments)
    facts = _facts(card)
    network = _onnx(card)
    if network is not None:
        facts |= _graph_facts(network)
    if arguments.json:
        parts.print_json(facts)
    else:
        parts.print_lines([card.name, *parts.rows(_told(card, facts))])
    return 0


def _told(card: ModelCard, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "for", card.summary
    yield "licence", f"{card.licence} ({_use(card)})"
    yield "origin", card.origin
    if facts["repository"]:
        yield "repository", f"{facts['repository']} at {facts['revision']}"
    yield "SHA-256", facts["sha256"] or "not known"
    where = f"not here; 'streammatte models pull {card.name}' downloads them"
    if facts["path"]:
        where = f"{facts['path']} ({facts['bytes'] / _MEGABYTE:.1f} MB)"
    yield "weights", where
    yield "trained on", card.training_data
    yield "limits", card.limits
    yield "size", _sizes(card)
    if "precision" in facts:
        batch = "any number" if facts["batch"] is None else facts["batch"]
        yield "graph", f"{facts['precision']}, {batch} at once"
        yield "use", "as it is" if facts["fits"] else "adapted, as its card says"
    for key, name in _MADE.items():
        if value := facts.get("metadata", {}).get(PREFIX + key):
            yield name, value


def _sizes(card: ModelCard) -> str:
    least, greatest = card.short_side_range
    if card.trained is None:
        return (
            f"shorter side {least} to {greatest}, default {card.short_side}; "
            f"shape kept, in multiples of {card.stride}"
        )
    width, height = card.trained
    if least == greatest:
        return f"{height}x{width} (height x width) and no other; pictures are squashed into it"
    return (
        f"{height}x{width} (height x width), into which pictures are squashed; "
        f"--size {least} to {greatest}"
    )


def _pull(arguments: argparse.Namespace) -> int:
    from streammatte.models.weights import Embedded, Hub, pull, verify

    card = _card(arguments)
    if isinstance(card.weights, Embedded):
        path, fetched = card.weights.path, "is part of streammatte"
    elif isinstance(card.weights, Hub):
        path, fetched = pull(card.weights, card.name), "is here"
    else:
        raise UsageError(
            f"{card.weights.path} is on this machine already; there is nothing to pull"
        )
    result = {"name": card.name, "path": str(path), "bytes": path.stat().st_size}
    result["sha256"] = verify(card)
    if arguments.json:
        parts.print_json(result)
    else:
        rows = parts.rows(_place([path], str(result["sha256"])))
        parts.print_lines([f"{card.name} {fetched}", *rows])
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from streammatte.models import MODELS
    from streammatte.models.birefnet import kept
    from streammatte.models.find import recognised
    from streammatte.models.weights import verify

    card = _card(arguments)
    network = _onnx(card)
    digest = network.digest if network else verify(card, fresh=True)
    exports = kept.verify(digest)
    known = recognised(MODELS, card)
    what = _look(card, digest) if known is card else f"the published weights of {known.name}"
    files = _files(card)
    if arguments.json:
        facts = {"name": card.name, "sha256": digest, "files": list(map(str, files))}
        parts.print_json({**facts, "exports": list(map(str, exports))})
    else:
        rows = [*_place(files, digest), *(("export", str(folder)) for folder in exports)]
        parts.print_lines([f"{card.name}: {what}", *parts.rows(rows)])
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from streammatte.models.birefnet import kept

    removed = list(kept.prune(everything=arguments.all, dry=arguments.dry_run))
    return parts.tell_removed(removed, arguments)


def _look(card: ModelCard, digest: str) -> str:
    """Say what weights are, of which presence and digest are right.

    Those of which no digest is known are loaded, to see whether keys and shapes are right.

    Raises:
        ModelError: if they do not fit.
    """
    from streammatte.models.weights import Embedded, Hub, is_another

    if isinstance(card.weights, Embedded | Hub) and card.weights.sha256 == digest:
        return "the published weights"
    if network := _onnx(card):
        return "fits as it is" if network.fits else "can be adapted, as its card says"
    try:
        from streammatte.models.birefnet.checkpoint import PretrainedBiRefNet
    except ImportError as error:
        return f"here; to look at keys and shapes, {error.name} is needed"
    (path,) = _files(card)
    backbone = PretrainedBiRefNet.from_pretrained(path).config.backbone
    words = f"keys and shapes are those of a BiRefNet with {backbone}"
    if isinstance(card.weights, Hub) and (other := is_another(card.weights, path)):
        return f"{words}, but not the published weights: revision {other[:12]}"
    return f"{words}; no digest of it is known"


def _place(files: list[Path], digest: str) -> Iterator[tuple[str, str]]:
    for file in files:
        yield "file", f"{file} ({file.stat().st_size / _MEGABYTE:.1f} MB)"
    yield "SHA-256", digest


def _card(arguments: argparse.Namespace) -> ModelCard:
    from streammatte.models import MODELS
    from streammatte.models.find import find

    return find(MODELS, arguments.name, revision=arguments.revision).card


def _onnx(card: ModelCard) -> OnnxFile | None:
    from streammatte.models.onnx_file import OnnxFile
    from streammatte.models.weights import Local

    if not isinstance(card.weights, Local) or card.weights.path.suffix.lower() != ".onnx":
        return None
    return OnnxFile.brought(card.weights.path)


def _files(card: ModelCard) -> list[Path]:
    """Return the files that hold a network's weights; none if they are not here."""
    from streammatte.models.weights import Embedded, at_hand

    if isinstance(card.weights, Embedded):
        return [card.weights.path]
    if network := _onnx(card):
        return network.files
    path = at_hand(card.weights)
    return [] if path is None else [path]


def _bytes(files: list[Path]) -> int | None:
    return sum(file.stat().st_size for file in files) if files else None


def _facts(card: ModelCard) -> dict[str, Any]:
    from streammatte.models.weights import Embedded, Hub

    weights, files = card.weights, _files(card)
    hub = weights if isinstance(weights, Hub) else None
    return {
        "name": card.name,
        "summary": card.summary,
        "licence": card.licence,
        "commercial": card.commercial,
        "origin": card.origin,
        "training_data": card.training_data,
        "limits": card.limits,
        "size": card.short_side,
        "size_range": card.short_side_range,
        "stride": card.stride,
        "trained": card.trained,
        "repository": hub.repository if hub else None,
        "revision": hub.revision if hub else None,
        "sha256": weights.sha256 if isinstance(weights, Hub | Embedded) else "",
        "path": str(files[0]) if files else None,
        "bytes": _bytes(files),
    }


def _graph_facts(network: OnnxFile) -> dict[str, Any]:
    return {
        "sha256": network.digest,
        "precision": network.precision,
        "batch": network.batch,
        "fits": network.fits,
        "metadata": network.metadata,
    }
