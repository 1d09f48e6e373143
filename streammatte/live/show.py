"""The show: camera in, pictures out at a steady rate, whatever happens in between.

::

 "feed"     drains the camera                                   sources/feed.py
 "intake"   frame -> sight: mirrored, small, cut or no cut      intake.py
 "network"  the newest sight -> alpha                           network.py      exchange.py: where
 "mattes"   own or carried, steadied, snapped; or none          mattes.py       they meet
 "compose"  when it is due: over the background, or alone       compose.py, backdrop.py
 caller     a picture every 1/fps: new, again, or the slate     here; state.py says which

A virtual camera is fed by a process of its own, so that the rate is kept: sinks/apart.py.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from streammatte.errors import StreamMatteError
from streammatte.live.backdrop import Backdrop
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.live.compose import Composer, Shown
from streammatte.live.desk import LiveDesk
from streammatte.live.events import Beat, Entered, Event, LiveReport, Started, Told
from streammatte.live.exchange import Exchange
from streammatte.live.governor import Governor, Sample, levels
from streammatte.live.intake import Intake
from streammatte.live.mattes import Mattes
from streammatte.live.network import Network, Wish
from streammatte.live.outlets import Outlet
from streammatte.live.settings import read_scenes
from streammatte.live.slate import slate
from streammatte.live.state import Signs, State, judge
from streammatte.live.stats import Latencies, Machine, Processor, Rate
from streammatte.live.worker import Worker
from streammatte.meters import Meters
from streammatte.models import load_card
from streammatte.options import BackgroundSpec
from streammatte.pipeline import open_engine
from streammatte.sinks.live_outputs import open_output
from streammatte.sources.feed import open_feed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from streammatte.control.server import Server
    from streammatte.frames import Picture, VideoInfo
    from streammatte.live.base import Feed
    from streammatte.live.network import Opener
    from streammatte.live.options import LiveOptions
    from streammatte.live.settings import Settings
    from streammatte.sinks.apart import Pace

UNREAD = 5.0
"""Seconds without a reader after which the camera is let go of, if that is wanted."""
ENDING = 1.0
"""Seconds that all threads get to end."""
MOST_EVENTS = 1000
"""That a report has; the oldest go."""


class Show:
    """Runs from entering to leaving its context; ``run`` sends the pictures."""

    def __init__(
        self,
        options: LiveOptions,
        open_feed: Callable[[], Feed],
        outlets: Sequence[Outlet],
        feed: Feed,
        *,
        tell: Callable[[Event], None] = lambda _: None,
        opener: Opener = open_engine,
    ) -> None:
        """Prepare everything and begin to open the network.

        Args:
            options: What is wanted.
            open_feed: Opens the camera anew, after it was let go of.
            outlets: Where pictures go.
            feed: The camera, open.
            tell: Told what happens, on any thread.
            opener: Makes a network ready.

        Raises:
            StreamMatteError: if the background, the slate or the network cannot be.
        """
        self.options = options
        self.settings = options.settings
        self.meters = Meters()
        self.latencies = Latencies()
        self.state = State("starting")
        self.sent: Picture | None = None
        """The last picture that left."""
        self.frames = self.repeated = self.missed = self.pictures = 0
        self.outlets = outlets
        self._tell = tell
        self._begun = time.monotonic()
        self._states: deque[list[Any]] = deque(maxlen=MOST_EVENTS)
        self._events: deque[list[Any]] = deque(maxlen=MOST_EVENTS)
        self.info = _info(feed, options)
        self._open_feed = open_feed
        self._slate = slate(self.info, options.slate)
        self.backdrop = Backdrop(self.info, self._slate, self.note)
        self.backdrop.change(BackgroundSpec.parse(self.settings.background), self.settings.fit)
        self.exchange = Exchange()
        self.governor = Governor(levels(self._sizes()))
        self.network = Network(self.exchange, self._wish(), opener, self.note, self._is_warm)
        self.intake = Intake(feed, self.exchange, lambda: self.network.size)
        self.composer = Composer(
            self.settings, self.backdrop, self._slate, options.align, self.meters
        )
        self.mattes = Mattes(self.exchange, self.network, options.align, self.composer.post)
        # Loops are compiled when they are first used: on these threads, while the slate is shown,
        # and before the network sees anything: it would take the processor that they need.
        self._workers = [
            Worker("intake", self.intake.around, self._stumbled),
            Worker("network", self.network.around, self._stumbled),
            Worker("mattes", self.mattes.around, self._stumbled, self._warm_mattes),
            Worker("compose", self.composer.around, self._stumbled, self._warm_composer),
        ]
        self._end = threading.Event()
        self._newest: Shown | None = None
        self._newest_at = 0.0
        self._was_live = False
        self._asleep = False
        self._unread = 0.0
        self._unseen = 0
        self._helper: threading.Thread | None = None
        self._rates = {"pictures": Rate(), "network": Rate()}
        self._processor = Processor()
        self._machine = Machine()
        self.beat = Beat("starting", 0.0, 0.0, None, 0, 0, 0.0, 0)

    # ---- beginning and ending

    def __enter__(self) -> Self:
        self.adopt(self.settings)
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.end()
        end = time.monotonic() + ENDING
        for worker in self._workers:
            worker.join(timeout=max(0.0, end - time.monotonic()))
        if self._helper is not None:
            self._helper.join(ENDING)
        self.intake.feed.close()
        self.backdrop.close()
        if not any(worker.is_alive() for worker in self._workers):
            self.network.close()  # else it is inside a call, and must not be taken away

    def _is_warm(self) -> bool:
        return all(worker.begun.is_set() for worker in self._workers)

    def _warm_mattes(self) -> None:
        self.mattes.warm_up(*self.network.size)

    def _warm_composer(self) -> None:
        self.composer.warm_up(self._slate, *self.network.size)

    def end(self) -> None:
        """Let ``run`` return; from any thread."""
        self._end.set()

    # ---- what it is told

    def adopt(self, settings: Settings) -> None:
        """Show by these settings from now on; the background has been changed already."""
        self.settings = self.composer.settings = settings
        self.intake.mirror = settings.mirror
        self._plan()

    def _plan(self) -> None:
        """Tell the network what is wanted of it, and begin with all that can be."""
        steps = levels(self._sizes())
        if steps != self.governor.steps:
            self.governor = Governor(steps)
        self._obey()

    def _obey(self) -> None:
        level = self.governor.level
        self.network.every = level.every
        self.composer.cheap = level.cheap
        self.mattes.steady = not level.cheap
        self.network.want(self._wish())

    def _wish(self) -> Wish:
        options = replace(self.options.network, model=self.settings.model)
        return Wish(options, self.governor.level.size)

    def _sizes(self) -> list[tuple[int, int]]:
        """Return the sizes of the network's input that make sense, the best first."""
        card = load_card(self.settings.model)
        width, height = self.info.width, self.info.height
        asked = self.options.network.size
        wish = asked or (card.quick_side if self.settings.quality == "live" else None)
        sizes = [card.input_size(width, height, wish)]
        least = card.short_side_range[0]
        for share in (0.75, 0.5):
            side = max(least, round(min(sizes[0]) * share / card.stride) * card.stride)
            size = card.input_size(width, height, side)
            if size[0] * size[1] < sizes[-1][0] * sizes[-1][1]:
                sizes.append(size)
        return sizes

    def note(self, what: str) -> None:
        """Keep and tell what was changed or went wrong."""
        seconds = self._since
        self._events.append([seconds, what])
        self._tell(Told(what, seconds))

    def _stumbled(self, error: Exception) -> None:
        what = f"{type(error).__name__}: {error}"
        if not self._events or self._events[-1][1] != what:
            self.note(what)

    @property
    def _since(self) -> float:
        return round(time.monotonic() - self._begun, 2)

    # ---- sending pictures

    def run(self, second: Callable[[], None] = lambda: None) -> None:
        """Send a picture every 1/fps until it is over.

        Args:
            second: Called once a second, on this thread.

        Raises:
            StreamMatteError: if there is no network at all.
        """
        self._begun = time.monotonic()
        self._unseen = self._dropped  # while the show was made ready
        period = 1 / float(self.info.rate)
        tick, told = 0, 0
        while not self._is_over:
            at = self._begun + tick * period
            late = time.monotonic() - at
            if late < 0:
                self._end.wait(-late)
            elif late > period:
                self.missed += int(late / period)
                tick += int(late / period)
                at = self._begun + tick * period
            self._send(self._picture(), round(at / TICK))
            tick += 1
            if self._since >= told + 1:
                told = int(self._since)
                self._second()
                second()

    @property
    def _is_over(self) -> bool:
        if self.network.failure is not None:
            raise self.network.failure
        options = self.options
        by_count = options.frames is not None and self.frames >= options.frames
        by_clock = options.seconds is not None and self._since >= options.seconds
        return by_count or by_clock or self._end.is_set()

    def _send(self, picture: Picture, pts: int) -> None:
        self.sent = picture
        self.frames += 1
        for outlet in self.outlets:
            outlet.send(picture, pts)
        newest = self._newest
        if newest is not None and newest.picture is picture and self._is_new:
            pace = self._pace
            late = pace.late if pace else 0.0
            self.latencies.add(time.monotonic() - newest.captured + late)

    @property
    def _pace(self) -> Pace | None:
        """Return how it goes where a process of its own sends the pictures."""
        paces = [outlet.pace for outlet in self.outlets]
        return next((pace for pace in paces if pace is not None), None)

    def _picture(self) -> Picture:
        """Return what is to be seen now: the rule that ``state`` draws."""
        now = time.monotonic()
        shown = self.composer.ready.take()
        self._is_new = shown is not None
        if shown is not None:
            self._newest, self._newest_at = shown, now
            self.pictures += 1
        else:
            self.repeated += 1
        state = judge(self._signs(now))
        self._enter(state)
        newest = self._newest
        if state.name == "live":
            assert newest is not None
            return newest.picture
        if state.name == "held" and self.settings.show == "freeze":
            return self.sent or self._slate
        if state.name in ("lost", "asleep") or self.settings.show == "slate":
            return self._slate
        if newest is not None and not newest.subject:
            return newest.picture  # the background alone
        return self.backdrop.lately or self._slate

    def _signs(self, now: float) -> Signs:
        newest, feed = self._newest, self.intake.feed
        subject = newest is not None and newest.subject
        self._was_live = self._was_live or subject
        return Signs(
            show=self.settings.show,
            camera=feed.condition,
            camera_reason=feed.reason,
            asleep=self._asleep,
            subject=subject,
            age=now - self._newest_at,
            trouble=self.network.trouble,
            begun=self._was_live,
        )

    def _enter(self, state: State) -> None:
        if state == self.state and self._states:
            return
        known = bool(self._states) and state.name == self.state.name
        self.state = state
        if known and state.name in ("live", "held"):
            return
        self._states.append([self._since, state.name, state.reason])
        self._tell(Entered(state.name, state.reason, self._since))

    # ---- once a second

    def _second(self) -> None:
        rates = {
            "pictures": self._rates["pictures"].update(self.pictures),
            "network": self._rates["network"].update(self.network.frames),
        }
        self.beat = Beat(
            state=self.state.name,
            fps=round(rates["pictures"], 1),
            network_fps=round(rates["network"], 1),
            latency_ms=self.latencies.milliseconds()["p50"],
            dropped=self.dropped,
            repeated=self.repeated,
            cpu=round(self._processor.share(), 2),
            level=self.governor.index,
        )
        self._tell(self.beat)
        if self.options.governed and self.state.name == "live":
            self._govern()
        if self.options.on_demand:
            self._watch_readers()

    def _govern(self) -> None:
        beat, busy = self.beat, self._machine.busy()
        sample = Sample(
            rate=min(float(self.info.rate), float(self.intake.feed.info.rate)),
            pictures=beat.fps,
            network_fps=beat.network_fps,
            network_seconds=self.network.seconds,
            cpu=beat.cpu if busy is None else max(beat.cpu, busy),
        )
        changed = self.governor.observe(sample)
        if changed is not None:
            self._obey()
            self.note(f"level {self.governor.index}: {changed}")

    def _watch_readers(self) -> None:
        readers = [outlet.readers for outlet in self.outlets]
        known = [count for count in readers if count is not None]
        now = time.monotonic()
        if not known or any(known):
            self._unread = now
            if self._asleep:
                self._aside(self._wake)
        elif not self._unread:
            self._unread = now
        elif not self._asleep and now - self._unread > UNREAD:
            self._asleep = True
            self._aside(self._sleep)

    def _aside(self, work: Callable[[], None]) -> None:
        """Do on another thread what takes up to a second, while pictures leave, if it is free."""
        if self._helper is None or not self._helper.is_alive():
            self._helper = threading.Thread(target=work, name="streammatte-wake", daemon=True)
            self._helper.start()

    def _sleep(self) -> None:
        self.intake.feed.close()
        self.exchange.clear()

    def _wake(self) -> None:
        try:
            feed = self._open_feed()
        except StreamMatteError as error:
            self._stumbled(error)
            return
        self.intake.last = None
        self.intake.feed = feed
        self._asleep = False

    # ---- the end

    @property
    def dropped(self) -> int:
        """Frames of the camera that were not shown, so far."""
        return max(0, self._dropped - self._unseen)

    @property
    def _dropped(self) -> int:
        parts = (self.intake.feed, self.exchange, self.composer, self.composer.ready)
        return sum(part.dropped for part in parts)

    def report(self) -> LiveReport:
        """Return how it was."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        engine = self.network.engine
        latency = self.latencies.milliseconds()
        notes = [*self.backdrop.notes, *(note for outlet in self.outlets for note in outlet.notes)]
        pace = self._pace
        frames = pace.sent if pace else self.frames
        return LiveReport(
            camera=self.intake.feed.description,
            outputs=[outlet.description for outlet in self.outlets],
            seconds=round(seconds, 2),
            frames=frames,
            fps=round(frames / seconds, 2),
            composited=self.pictures,
            repeated=max(0, frames - self.pictures),
            missed=pace.missed if pace else self.missed,
            dropped=self.dropped,
            inferred=self.network.frames,
            carried=self.mattes.carried,
            latency_ms=latency,
            model=self.settings.model,
            runtime=engine.runtime.description if engine else "none",
            device=engine.runtime.device if engine else "",
            align=self.options.align,
            states=list(self._states),
            events=list(self._events),
            milliseconds=self.meters.milliseconds(max(self.pictures, 1)),
            notes=list(dict.fromkeys(notes)),
        )


def _info(feed: Feed, options: LiveOptions) -> VideoInfo:
    return replace(
        feed.info,
        path=None,
        layout=LAYOUT,
        colour=COLOUR,
        time_base=TICK,
        rate=options.rate or feed.info.rate,
        seconds=None,
    )


def live(
    options: LiveOptions,
    tell: Callable[[Event], None] = lambda _: None,
    keys: Callable[[Callable[[str], None]], None] = lambda _: None,
) -> LiveReport:
    """Put the camera's subject before another background, and send it on, until Ctrl-C.

    Args:
        options: What is wanted.
        tell: Told what happens, on any thread.
        keys: Called with what is to be called with every key that is pressed; see
            ``LiveDesk.press``.

    Raises:
        StreamMatteError: if the camera, an output, the network or the background cannot be had at
            the start; later on, what fails is told, and looked for again.
    """
    scenes = read_scenes(options.scenes) if options.scenes else ()

    def opened() -> Feed:
        return open_feed(options.camera, options.mode)

    with contextlib.ExitStack() as stack:
        feed = opened()
        stack.callback(feed.close)
        outlets = _outlets(stack, options, _info(feed, options), tell)
        show = stack.enter_context(Show(options, opened, outlets, feed, tell=tell))
        desk = LiveDesk(show, scenes)
        server = _served(stack, options, desk)
        tell(_started(show, server))
        keys(desk.press)
        with contextlib.suppress(KeyboardInterrupt):
            show.run(desk.second)
        report = show.report()
    # Some tell how they ended when they are closed.
    notes = [note for outlet in outlets for note in outlet.notes]
    notes += server.notes if server else []
    return replace(report, notes=list(dict.fromkeys([*report.notes, *notes])))


def _served(stack: contextlib.ExitStack, options: LiveOptions, desk: LiveDesk) -> Server | None:
    """Serve the control page, if it is wanted."""
    if options.control is None:
        return None
    from streammatte.control import serve  # an extra

    server = serve(options.control, desk, options.token)
    stack.callback(server.close)
    return server


def _outlets(
    stack: contextlib.ExitStack,
    options: LiveOptions,
    info: VideoInfo,
    tell: Callable[[Event], None],
) -> list[Outlet]:
    """Open all outputs; each is closed with the stack."""
    begun = time.monotonic()
    wheres = [*options.outputs, *(["window"] if options.preview else [])]
    if options.record is not None:
        wheres.append(str(options.record))
    safe = slate(info, options.slate)
    outlets = []
    for where in wheres:

        def opened(where: str = where) -> Any:
            return open_output(where, info, overwrite=options.overwrite, slate=safe)

        again = opened if re.fullmatch(r"auto|/dev/video[0-9]+", where) else None
        outlet = Outlet(
            opened(), again, lambda what: tell(Told(what, round(time.monotonic() - begun, 2)))
        )
        stack.callback(outlet.close)
        outlets.append(outlet)
    return outlets


def _started(show: Show, server: Server | None) -> Started:
    info = show.info
    return Started(
        camera=show.intake.feed.description,
        outputs=[outlet.description for outlet in show.outlets],
        size=(info.width, info.height),
        fps=round(float(info.rate), 3),
        align=show.options.align,
        control=server.url if server else "",
        notes=list(server.notes) if server else [],
    )
