"""The network of the show: sees the newest frame whenever it is free, and is changed in passing.

What runs is never closed before what follows it is ready; opening takes from a tenth of a second to
minutes, and happens on a thread of its own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.errors import RuntimeFailure, StreamMatteError
from streammatte.live.exchange import Answer
from streammatte.models import load_card

if TYPE_CHECKING:
    from collections.abc import Callable

    from streammatte.live.exchange import Exchange, Sight
    from streammatte.options import NetworkOptions
    from streammatte.pipeline import Engine

    Opener = Callable[[NetworkOptions, tuple[int, int]], Engine]

PATIENCE = 0.1
"""Seconds that a round waits for a frame."""
AGAIN = 0.5
"""Seconds after a failure until the network is opened anew."""
INERTIA = 0.8
"""Of the mean time that a frame takes."""


@dataclass(frozen=True)
class Wish:
    """Which network is wanted."""

    options: NetworkOptions
    size: tuple[int, int]
    """``(width, height)`` of its input."""


class Network:
    """Runs the network that is wanted, or the one before while that is opened."""

    def __init__(
        self,
        exchange: Exchange,
        wish: Wish,
        opener: Opener,
        tell: Callable[[str], None],
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin to open the network.

        Args:
            exchange: Where frames are and answers go.
            wish: What is wanted at first.
            opener: Makes a network ready.
            tell: Told what went wrong and what was changed.
            may_begin: Whether it may see frames; until then it stays out of others' way.
        """
        self.every = 1
        """It sees every so-manieth frame at the most."""
        self.engine: Engine | None = None
        self.coarse = load_card(wish.options.model).coarse
        self.size = wish.size
        """Of its input, ``(width, height)``."""
        self.trouble = "the network is being opened"
        """Why there are no mattes; empty if there are."""
        self.failure: StreamMatteError | None = None
        """Why the first one could not be opened at all."""
        self.frames = 0
        """That it saw, so far."""
        self.seconds = 0.0
        """That it takes a frame, lately."""
        self._is_guess = True
        self.wish = wish
        self._exchange = exchange
        self._opener = opener
        self._tell = tell
        self._may_begin = may_begin
        self._scaler = VideoReformatter()
        self._ready: tuple[Wish, Engine] | None = None
        self._opening: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._open(wish)

    def want(self, wish: Wish) -> None:
        """Ask for another network; the one that runs goes on until it is ready."""
        with self._lock:
            if wish != self.wish:
                self.wish = wish
                self._open(wish)

    def _open(self, wish: Wish) -> None:
        if self._opening is None or not self._opening.is_alive():
            self._opening = threading.Thread(
                target=self._opened, args=(wish,), name="streammatte-open", daemon=True
            )
            self._opening.start()

    def _opened(self, wish: Wish) -> None:
        try:
            engine = self._opener(wish.options, wish.size)
        except StreamMatteError as error:
            if self.engine is None and not self.frames:
                self.failure = error
            else:
                self._tell(f"the network stays as it is: {error}")
            return
        self._ready = wish, engine

    def around(self) -> None:
        """Let the network see a frame."""
        self._take_over()
        if self.engine is None:
            time.sleep(PATIENCE / 5)
            return
        if not self.frames and not self._may_begin():
            self.trouble = "loops are being compiled, which the first start takes seconds for"
            time.sleep(PATIENCE / 5)
            return
        sight = self._exchange.ask(self.every, PATIENCE)
        if sight is None:
            return
        try:
            self._see(sight, self.engine)
        except StreamMatteError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  libraries raise what they like
            self._failed(f"{type(error).__name__}: {error}")

    def _see(self, sight: Sight, engine: Engine) -> None:
        width, height = self.size
        view = sight.view
        if view.shape[:2] != (height, width):
            view = sight.frame.picture.view(width, height, self._scaler)
        begun = time.perf_counter()
        alpha = np.asarray(engine.runtime.infer(view[None])[0, 0], np.float32)
        if not np.isfinite(alpha).all():
            raise RuntimeFailure("the network gave no numbers")
        took = time.perf_counter() - begun
        self.seconds = took if self._is_guess else self._mixed(took)
        self._is_guess = False
        self.frames += 1
        self.trouble = ""
        self._exchange.answer(Answer(replace(sight, view=view), alpha))

    def _mixed(self, took: float) -> float:
        return INERTIA * self.seconds + (1 - INERTIA) * took

    def _take_over(self) -> None:
        """Go over to the network that was opened, and on to the one that is wanted by now."""
        ready, self._ready = self._ready, None
        if ready is not None:
            wish, engine = ready
            if self.engine is not None:
                self.engine.runtime.close()
                self._tell(f"the network is now {engine.model.card.name} at {_words(wish.size)}")
            # Until it is known, it takes what its pixels suggest: who waits must not give up early.
            self.seconds *= _pixels(wish.size) / _pixels(self.size)
            self._is_guess = True
            self.engine, self.size = engine, wish.size
            self.coarse = engine.model.card.coarse
            with self._lock:
                if wish != self.wish:
                    self._open(self.wish)

    def _failed(self, reason: str) -> None:
        """Open it anew; until then there are no mattes."""
        if not self.trouble:
            self._tell(f"the network failed: {reason}")
        self.trouble = f"the network failed: {reason}"
        time.sleep(AGAIN)
        with self._lock:
            self._open(self.wish)

    def close(self) -> None:
        """Let go of it; to be called when its thread has ended."""
        opening = self._opening
        if opening is not None:
            opening.join(AGAIN)
        engines = [self.engine, self._ready[1] if self._ready else None]
        for engine in engines:
            if engine is not None:
                engine.runtime.close()
        self.engine = self._ready = None


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
