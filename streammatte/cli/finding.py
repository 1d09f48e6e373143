"""What ``streammatte doctor`` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "absent", "broken"]
    """``broken`` keeps ``render`` from working; ``absent`` does not."""
    detail: str
