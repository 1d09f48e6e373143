"""One at a time: work of which the result is kept, and that two processes may want at once.

The locks are the operating system's, on files that are empty and stay: that such a file exists
means nothing, and whoever held its lock has let go of it when its process is dead.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from streammatte.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import BaseFileLock

WAITING = "waiting for another process that does the same"


@contextmanager
def exclusive(path: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Run a block while no other thread or process runs one with the same path.

    Not to be entered twice by one thread. Waiting ends with Ctrl-C.

    Args:
        path: Of the lock, in a folder that exists; no file that holds anything.
        tell: Told if there is somebody to wait for.

    Raises:
        OutputError: if the lock cannot be written.
    """
    lock = _lock(path)
    if not _acquired(lock, path, wait=False):
        tell(WAITING)
        _acquired(lock, path, wait=True)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Run a block at once, and say whether it has the lock that ``exclusive`` takes.

    Raises:
        OutputError: if the lock cannot be written.
    """
    lock = _lock(path)
    free = _acquired(lock, path, wait=False)
    try:
        yield free
    finally:
        if free:
            lock.release()


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    # A new one every time: the system then tells threads of one process apart, too.
    return FileLock(path)


def _acquired(lock: BaseFileLock, path: Path, *, wait: bool) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:  # the latter: no such thing on this system
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path} cannot be locked: {reason}; set STREAMMATTE_HOME elsewhere"
        ) from error
    return True
