"""The Hugging Face hub: its cache on this machine, and downloads into it.

The cache is shared with every other program that uses the hub. It is looked into here without any
of the hub's libraries, which only a download needs. ``HF_HUB_CACHE``, ``HF_HOME``,
``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` mean what they mean there.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammatte.errors import DependencyError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streammatte.models.weights import Hub

    Tell = Callable[[int, int | None], None]
    """Called with the bytes that have come, and how many there will be if that is known."""

FILE = "model.safetensors"
"""What the hub calls the weights of a network."""
PATIENCE = 4.0
"""Seconds within which the hub must answer before it counts as out of reach."""
_EVERY = 0.2
"""Seconds between two lines about a download."""


def cache() -> Path:
    """Return the hub's cache folder, as ``huggingface_hub`` finds it."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if named := os.environ.get(variable):
            return Path(os.path.expandvars(named)).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    whole = os.environ.get("HF_HOME") or f"{root}/huggingface"
    return Path(os.path.expandvars(whole)).expanduser() / "hub"


def snapshot(weights: Hub) -> Path:
    """Return where the cache keeps the weights of a revision, whether they are there or not."""
    folder = _repository(weights)
    try:  # a branch has the commit that it had when it was last looked at
        commit = (folder / "refs" / weights.revision).read_text().strip()
    except (OSError, ValueError):
        commit = weights.revision
    return folder / "snapshots" / commit / FILE


def snapshots(weights: Hub) -> list[Path]:
    """Return the weights that the cache has of a repository, of whatever revision."""
    return sorted(
        path for path in _repository(weights).glob(f"snapshots/*/{FILE}") if path.is_file()
    )


def current(weights: Hub) -> Path | None:
    """Return the weights of the main branch, if they are in the cache and may stand in."""
    if weights.exact:
        return None
    path = snapshot(replace(weights, revision="main"))
    return path if path.is_file() else None


def blob_digest(path: Path) -> str:
    """Return the SHA-256 that the hub announced for a file; empty if it is not known.

    It is the name of a big file in the cache, to which the snapshot only points.
    """
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else ""


def download(weights: Hub, name: str, tell: Tell | None = None, *, again: bool = False) -> Path:
    """Fetch weights into the cache and return the file.

    Args:
        weights: Where they come from.
        name: What the user calls the network.
        tell: Told how it goes; by default standard error is.
        again: Whether to replace what is there.

    Raises:
        ModelError: if they cannot be had; offline or without a network within ``PATIENCE``.
        DependencyError: if ``huggingface_hub`` is missing.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise DependencyError(
            f'to download {name}, {error.name} is needed: pip install "streammatte[export]"'
        ) from error
    if constants.HF_HUB_OFFLINE or _is_set("HF_HUB_OFFLINE") or _is_set("TRANSFORMERS_OFFLINE"):
        raise _absent(weights, name, "HF_HUB_OFFLINE is set")
    if not _answers(huggingface_hub.get_session, constants.ENDPOINT):
        raise _absent(weights, name, f"{_host()} cannot be reached (offline?)")
    try:
        with _quietly():
            path = huggingface_hub.hf_hub_download(
                weights.repository,
                FILE,
                revision=weights.revision,
                cache_dir=cache(),
                endpoint=constants.ENDPOINT,
                force_download=again,
                tqdm_class=_bar(tell or _Line(name)),
            )
    except Exception as error:
        raise _meant(error, weights, name) from error
    return Path(path)


def _repository(weights: Hub) -> Path:
    return cache() / f"models--{weights.repository.replace('/', '--')}"


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "on", "true", "yes"}


def _host() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT.partition("://")[2].partition("/")[0] or constants.ENDPOINT


def _answers(session: Callable[[], Any], endpoint: str) -> bool:
    """Return whether the hub answers, whatever it says.

    ``huggingface_hub`` itself tries for half a minute; and looking up a host may hang for as long
    as the system likes, whatever the time limit of the request: hence the thread.
    """
    answers: list[object] = []

    def ask() -> None:
        with suppress(Exception):
            answers.append(session().head(endpoint, timeout=PATIENCE))

    thread = threading.Thread(target=ask, name="hub", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answers)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the hub's warnings to itself, but for the disk that is too small."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "Not enough free disk space")
            yield
    finally:
        log.setLevel(level)


def _absent(weights: Hub, name: str, why: str) -> ModelError:
    others = snapshots(weights)
    state = "here only in another version" if others else "not here"
    folder = others[-1].parent if others else "FOLDER"
    return ModelError(
        f"the weights of {name} are {state}, and {why}; run 'streammatte models pull {name}' "
        f"where there is a network, or give --model {folder}"
    )


def _meant(error: Exception, weights: Hub, name: str) -> ModelError:
    """Return what went wrong with a download, and what to do about it."""
    from huggingface_hub import constants, errors

    where = weights.repository
    texts: dict[type[Exception], str] = {
        errors.GatedRepoError: f"{where} is open only to those who accept its licence: do so at "
        f"{constants.ENDPOINT}/{where}, then set HF_TOKEN or run 'hf auth login'",
        errors.RevisionNotFoundError: f"{where} has no revision {weights.revision} (any more); "
        f"look for a newer streammatte, or give --model FOLDER",
        errors.RepositoryNotFoundError: f"{_host()} shows no {where}; check HF_ENDPOINT and "
        f"HF_TOKEN",
        errors.RemoteEntryNotFoundError: f"{where} has no {FILE} at revision {weights.revision}; "
        f"give --model FOLDER",
    }
    for kind, text in texts.items():
        if isinstance(error, kind):
            return ModelError(text)
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return _absent(weights, name, f"{_host()} cannot be reached (offline?)")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        return ModelError(f"{_host()} answered {status} when asked for {where}; try again later")
    return _failed(error, name)


def _failed(error: Exception, name: str) -> ModelError:
    """Return what to say of an error that is not of the hub's own kinds."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, Warning) or number in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(
            f"there is no room for the weights of {name} in {cache()}; make some, or set HF_HOME"
        )
    if number in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
        return ModelError(f"{cache()} cannot be written; set HF_HOME to a folder that can")
    cause = error.__cause__ or error
    reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    return ModelError(
        f"the download of {name} broke off ({reason}); run 'streammatte models pull {name}' to try "
        f"again"
    )


def _bar(tell: Tell) -> type:
    """Return a progress bar that shows nothing, and tells instead."""
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options |= {"file": io.StringIO(), "disable": False}
            super().__init__(*args, **options)

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            tell(int(self.n), int(self.total) if self.total else None)
            return shown

    return Bar


class _Line:
    """Tells standard error how a download goes: as it goes on a terminal, elsewhere once."""

    def __init__(self, name: str) -> None:
        self._text = f"downloading the weights of {name}"
        self._live = sys.stderr.isatty()
        self._told = 0.0
        self._over = False

    def __call__(self, done: int, total: int | None) -> None:
        now, whole = time.monotonic(), total is not None and done >= total
        if self._over or (now - self._told < _EVERY and not whole):
            return
        self._told, self._over = now, whole or not self._live
        amount = f"{total / 1e6:.0f} MB" if total else "size unknown"
        if self._live:
            sys.stderr.write(f"\r{self._text}: {done / 1e6:.0f} of {amount}")
        else:
            sys.stderr.write(f"{self._text} ({amount})")
        sys.stderr.write("\n" if self._over else "")
        sys.stderr.flush()
