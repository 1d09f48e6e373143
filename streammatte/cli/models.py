"""``streammatte models list``: which networks there are, and under which licences."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from streammatte.models import ModelCard

NAME = "models"
HELP = "list the networks and their licences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=("list",), help="list: all of them")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from streammatte.models import MODELS, load_card

    cards = [load_card(name) for name in MODELS]
    if arguments.json:
        sys.stdout.write(json.dumps([_facts(card) for card in cards], indent=2) + "\n")
        return 0
    for card in cards:
        use = "commercial use allowed" if card.commercial else "no commercial use"
        least, greatest = card.short_side_range
        sys.stdout.write(
            f"{card.name}: {card.summary}\n"
            f"  licence   {card.licence} ({use})\n"
            f"  origin    {card.origin}\n"
            f"  trained   {card.training_data}\n"
            f"  limits    {card.limits}\n"
            f"  --size    {least} to {greatest}, default {card.short_side}\n"
        )
    return 0


def _facts(card: ModelCard) -> dict[str, object]:
    return {
        "name": card.name,
        "summary": card.summary,
        "licence": card.licence,
        "commercial": card.commercial,
        "origin": card.origin,
        "training_data": card.training_data,
        "limits": card.limits,
        "sha256": card.sha256,
        "size": card.short_side,
        "size_range": card.short_side_range,
    }
