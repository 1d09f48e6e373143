"""Everything StreamMatte raises on purpose, and the exit code each one ends a command with.

::

    StreamMatteError            1   (never raised itself)
    ├── UsageError              2   an option or a combination of options makes no sense
    ├── InputError              3   footage or a background cannot be read
    ├── DependencyError         4   a device or an optional package is missing
    ├── ModelError              5   a network or its weights cannot be used
    ├── RuntimeFailure          6   the network failed while it ran, or its engine could not start
    ├── OutputError             7   the result cannot be written
    └── Interrupted           130   Ctrl-C or SIGTERM

Messages are one line: what is wrong, then what to do. Exceptions of other libraries are turned
into these in the one file that knows the library; only the command line turns these into text.
"""

from __future__ import annotations


class StreamMatteError(Exception):
    """The root of the tree: ``except StreamMatteError`` catches all that is ours."""

    exit_code = 1


class UsageError(StreamMatteError):
    """An option has a value it cannot have, or options contradict each other."""

    exit_code = 2


class InputError(StreamMatteError):
    """Footage or a background is missing, unreadable or not what it should be."""

    exit_code = 3


class DependencyError(StreamMatteError):
    """A device or an optional package that was asked for is not there."""

    exit_code = 4


class ModelError(StreamMatteError):
    """A network is unknown, or its weights are missing, changed or of the wrong shape."""

    exit_code = 5


class RuntimeFailure(StreamMatteError):  # noqa: N818  "RuntimeError" is taken
    """The engine that runs the network could not start, or failed on a frame."""

    exit_code = 6


class OutputError(StreamMatteError):
    """The result cannot be written: no room, no permission, or an encoder that refused."""

    exit_code = 7


class Interrupted(StreamMatteError):  # noqa: N818  it is no fault
    """The user (Ctrl-C) or the system (SIGTERM) ended the work."""

    exit_code = 130
