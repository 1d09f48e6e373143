"""The contract of a sink: takes frames, and either finishes or leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from streammatte.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streammatte.frames import Frame


class Sink(Protocol):
    """Where frames go.

    As a context manager: leaving it normally finishes the output and puts it under its name;
    leaving it with an exception removes every trace of it.
    """

    description: str
    """Codec and format in words."""
    notes: list[str]
    """What could not be carried over from the source, one sentence each."""

    def write(self, frame: Frame) -> None:
        """Take the next frame; time stamps grow.

        Raises:
            OutputError: if it cannot be written.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class PartFile:
    """A file that gets its name only when it is whole: written as ``NAME.part``, then renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")

    def commit(self) -> None:
        """Put the file under its name.

        Raises:
            OutputError: if the system refuses.
        """
        try:
            self.part.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error

    def discard(self) -> None:
        """Remove what was written."""
        self.part.unlink(missing_ok=True)


def check_target(path: Path, source: Path | None, *, overwrite: bool) -> None:
    """Refuse a target that cannot or should not be written, before any work is done.

    Raises:
        UsageError: if it is the source itself.
        OutputError: if it exists, or its folder is missing or not writable.
    """
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise UsageError(f"{path} is the footage itself; give another output with -o")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name with -o")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; give -y to overwrite it or another name with -o")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first")
    part = PartFile(path).part
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write into {path.parent}: {error.strerror}; choose another place with -o"
        ) from error
