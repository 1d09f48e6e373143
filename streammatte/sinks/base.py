"""The contract of a sink: takes frames, and either finishes or leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import weakref
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

from streammatte.errors import OutputError, UsageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    bytes_expected: int | None
    """About how large the result will be, sound apart; ``None`` if nobody knows."""

    @property
    def notes(self) -> list[str]:
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


class InTwoSteps(ABC):
    """A sink whose output is finished and then named, so that several can be named together."""

    path: Path
    """Its name."""

    @abstractmethod
    def finish(self) -> None:
        """Write all that is left, under another name still.

        Raises:
            OutputError: if it cannot be written, or is not what it should be.
        """

    @abstractmethod
    def commit(self) -> None:
        """Put what is finished under its name.

        Raises:
            OutputError: if that is impossible.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Remove every trace of what is not committed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self.abandon()
            return
        try:
            self.finish()
            self.commit()
        except BaseException:
            self.abandon()
            raise


class PartFile:
    """A file that gets its name only when it is whole: written as ``NAME.part``, then renamed.

    The part exists, empty and locked against a second job of the same name, from the moment this
    is made. Unless it is committed it goes away with this object, whatever happens in between;
    only a process that is killed leaves it behind, and the next job takes it over.
    """

    def __init__(self, path: Path) -> None:
        """Create the part.

        Raises:
            OutputError: if that is impossible, or another job is writing the same file.
        """
        self.path = path
        # Absolute, so that FFmpeg takes no colon in a name for a protocol.
        self.part = path.absolute().with_name(path.name + ".part")
        with writable(path):
            self._handle = _claimed(self.part)
        self._discard = weakref.finalize(self, _remove, self.part, self._handle)

    def commit(self) -> None:
        """Put the file under its name, its bytes on the disk.

        Raises:
            OutputError: if the system refuses, or it is not the file that was written.
        """
        with writable(self.path):
            if self._handle is not None:
                os.fsync(self._handle)
            ours = self._handle is None or _is_open(self.part, self._handle)
            if not ours or self.part.stat().st_size == 0:
                raise OutputError(f"{self.part} was changed by something else; render again")
            self.part.replace(self.path)
        self._discard()

    def discard(self) -> None:
        """Remove what was written, unless it is committed."""
        self._discard()


def _claimed(part: Path) -> int | None:
    """Create ``part`` and lock it; return the handle that holds the lock, if there are locks."""
    if sys.platform == "win32":  # it neither renames nor removes a file that is open
        part.touch()
        return None
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open(part, handle):
                os.ftruncate(handle, 0)
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise OutputError(
                f"another job is writing {part.stem}; wait for it or give another name with -o"
            ) from error
        except OSError:  # some network drives have no locks
            return handle
        os.close(handle)


def _is_open(path: Path, handle: int) -> bool:
    """Whether ``handle`` is still the file of that name, not one that was renamed meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _remove(part: Path, handle: int | None) -> None:
    """Remove a part while it is still locked, so that it cannot be another job's."""
    with contextlib.suppress(OSError):
        if handle is None or _is_open(part, handle):
            part.unlink(missing_ok=True)
    if handle is not None:
        with contextlib.suppress(OSError):
            os.close(handle)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write ``path`` into an ``OutputError`` with advice."""
    try:
        yield
    except OSError as error:
        raise OutputError(refusal(path, error)) from error


def refusal(path: Path, error: OSError) -> str:
    """Say why the system does not write ``path``, and what to do."""
    reason = error.strerror or str(error)
    if error.errno == errno.ENAMETOOLONG:
        return f"the name {path.name} is too long here; give a shorter one with -o"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {path.parent} is full; make room or choose another place with -o"
    if error.errno == errno.EFBIG:
        return f"{path} grows larger than this system allows for a file"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write into {path.parent}: {reason}; choose another place with -o"
    return f"{path} cannot be written: {reason}; choose another place with -o"


def check_target(path: Path, *inputs: Path | None, overwrite: bool) -> None:
    """Refuse a target that should not be written, before any work is done.

    Args:
        path: The target.
        inputs: The files that are read, and must not be the target.
        overwrite: Whether an existing file may be replaced.

    Raises:
        UsageError: if it is one of the inputs.
        OutputError: if it exists, is a folder, or its folder is missing.
    """
    with writable(path):
        exists = path.exists()
        for source in inputs:
            if exists and source is not None and source.exists() and path.samefile(source):
                raise UsageError(f"{path} is read for this; give another output with -o")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a file name with -o")
        if exists and not overwrite:
            raise OutputError(f"{path} exists; give -y to overwrite it or another name with -o")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; create it first")
