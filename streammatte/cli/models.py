"""``streammatte models list``: which networks there are, and under which licences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from streammatte.cli import console

if TYPE_CHECKING:
    import argparse

    from streammatte.models import ModelCard

NAME = "models"
USAGE = "streammatte models [list] [--json]"
HELP = "list the networks and their licences"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what", choices=("list",), nargs="?", default="list", help="all of them (the default)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON: an array of objects")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from streammatte.models import MODELS, load_card

    cards = [load_card(name) for name in MODELS]
    if arguments.json:
        console.out(json.dumps([_facts(card) for card in cards], indent=2) + "\n")
    else:
        console.out("\n".join(_lines(card) for card in cards))
    return 0


def _lines(card: ModelCard) -> str:
    use = "commercial use allowed" if card.commercial else "no commercial use"
    least, greatest = card.short_side_range
    return (
        f"{card.name}: {card.summary}\n"
        f"  licence  {card.licence} ({use})\n"
        f"  origin   {card.origin}\n"
        f"  trained  {card.training_data}\n"
        f"  limits   {card.limits}\n"
        f"  --size   {least} to {greatest}, default {card.short_side}\n"
    )


def _facts(card: ModelCard) -> dict[str, object]:
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
    }
