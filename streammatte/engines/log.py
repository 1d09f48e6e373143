"""What TensorRT says, kept rather than printed."""

from __future__ import annotations

from typing import Any

_ERROR = 1
"""Messages of this severity and below say what went wrong."""


class Log:
    """The errors that were told to ``logger``.

    TensorRT has one logger a process: the first that it is given, whatever it is given later. So
    there is one a kind (``Kind.log``), for as long as the process lives, and whoever begins
    something forgets what was said before.
    """

    def __init__(self, api: Any) -> None:
        """Make a logger for one of the two modules."""
        errors: list[str] = []

        class Logger(api.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                api.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if int(severity) <= _ERROR and not errors:  # what follows is its echo
                    errors.append(message)

        self._errors = errors
        self.logger = Logger()

    def said(self) -> str:
        """Return the first thing that went wrong."""
        return " ".join(self._errors[0].split()) if self._errors else "it does not say why"

    def forget(self) -> None:
        """Let what comes be the first."""
        self._errors.clear()
