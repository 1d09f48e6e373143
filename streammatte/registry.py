"""Tables of what there is: a name, where its code lives, and which extra brings what it needs."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streammatte.errors import DependencyError, StreamMatteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a table; nothing is imported until it is used."""

    target: str
    """``package.module:attribute``."""
    summary: str
    """What it is, in a few words."""
    extra: str = ""
    """The extra that installs what it needs, as in ``pip install "streammatte[extra]"``."""


class Registry:
    """Maps names to code, lazily, and says what is meant when a name is unknown."""

    def __init__(
        self,
        kind: str,
        entries: dict[str, Entry],
        error: type[StreamMatteError] = UsageError,
        *,
        aliases: dict[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.entries = entries
        self._error = error
        self._aliases = aliases or {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def entry(self, name: str) -> Entry:
        """Return the line for ``name``; see ``known``."""
        return self.entries[self.known(name)]

    def known(self, name: str) -> str:
        """Return the name in the table for a name as people write it: any case, or an alias.

        Raises:
            StreamMatteError: of the registry's kind, with the nearest known name.
        """
        plain = self._aliases.get(name.lower(), name.lower())
        if plain in self.entries:
            return plain
        near = difflib.get_close_matches(name, self.entries, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.entries)}"
        raise self._error(f"unknown {self.kind}: {name}; {hint}")

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises:
            DependencyError: if a package that it needs is not installed.
        """
        entry = self.entry(name)
        module, _, attribute = entry.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            if error.name and error.name.startswith("streammatte"):
                raise
            command = f'pip install "streammatte[{entry.extra}]"' if entry.extra else "reinstall it"
            raise DependencyError(
                f"{self.kind} {name} needs {error.name or error}: {command}"
            ) from error
