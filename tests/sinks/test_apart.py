"""A virtual camera fed by a process of its own: what leaves, when, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apart_doubles
import psutil
import pytest
from outputs_doubles import HEIGHT, INFO, WIDTH, picture, samples

from streammatte.errors import DependencyError, OutputError
from streammatte.sinks import apart
from streammatte.sinks.apart import Apart, Keeper, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streammatte.frames import Picture

PERIOD = 33_333
SLATE = picture(30)


def lines(path: Path) -> list[str]:
    """Return the samples that left, in order."""
    written = path.read_text().splitlines() if path.exists() else []
    return [line.split()[2] for line in written if line.count(" ") == 2]


def until(done: Callable[[], Any], patience: float = 20) -> None:
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def now() -> int:
    return time.monotonic_ns() // 1000


# ---- both processes


@pytest.fixture
def diary(tmp_path: Path) -> Iterator[tuple[Apart, Path]]:
    path = tmp_path / "diary"
    output = Apart(str(path), INFO, SLATE, apart_doubles.diary)
    yield output, path
    output.close()


def test_pictures_leave_whole_and_in_order(diary: tuple[Apart, Path]) -> None:
    output, path = diary
    assert output.readers is None  # nobody has looked yet
    shown = [picture(60 + 10 * i) for i in range(8)]
    begun = now()
    for index, each in enumerate(shown):
        due = begun + index * PERIOD
        time.sleep(max(0, due - now()) / 1e6)
        output.send(each, due)
    until(lambda: samples(shown[-1]).hex() in lines(path))
    known = [samples(each).hex() for each in shown]
    order = [known.index(line) for line in lines(path)]
    assert order == sorted(order)
    assert output.description == f"a diary of {WIDTH}x{HEIGHT}"
    until(lambda: output.readers == 3)
    assert output.pace.sent >= len(set(order))


def test_the_last_picture_goes_again_and_the_slate_in_the_end(diary: tuple[Apart, Path]) -> None:
    output, path = diary
    shown = picture(90)
    output.send(shown, now())
    until(lambda: samples(SLATE).hex() in lines(path))
    left = lines(path)
    assert left.count(samples(shown).hex()) > 10
    assert set(left) == {samples(shown).hex(), samples(SLATE).hex()}
    again = picture(91)
    output.send(again, now())
    until(lambda: samples(again).hex() in lines(path))


def test_a_picture_that_is_sent_again_is_copied_once(diary: tuple[Apart, Path]) -> None:
    output, path = diary
    shown = picture(90)
    for _ in range(3):
        output.send(shown, now())
    until(lambda: len(lines(path)) > 2)
    assert output._serial == 1
    assert set(lines(path)) == {samples(shown).hex()}


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"^no permission to use /dev/video20$"):
        Apart("/dev/video20", INFO, SLATE, apart_doubles.forbidden)
    with pytest.raises(OutputError, match=r"^what feeds /dev/video20 has died \(9\)$"):
        Apart("/dev/video20", INFO, SLATE, apart_doubles.crashing)


def test_a_camera_that_is_gone_says_so_in_its_words(diary: tuple[Apart, Path]) -> None:
    output, path = diary
    output.send(picture(90), now())
    Path(f"{path}.gone").touch()
    with pytest.raises(OutputError, match=r"^the diary is full; buy another$"):
        until(lambda: output.send(picture(90), now()))


def test_whatever_goes_wrong_there_is_told_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "diary"
    output = Apart(str(path), INFO, SLATE, apart_doubles.broken)
    with pytest.raises(OutputError, match=r"diary: ZeroDivisionError: nothing is divided here$"):
        until(lambda: output.send(picture(90), now()))
    output.close()
    assert capfd.readouterr() == ("", "")
    assert path.read_text() == "end\n"


def test_a_process_that_was_killed_is_noticed(diary: tuple[Apart, Path]) -> None:
    output, _ = diary
    output.send(picture(90), now())
    assert output._process.pid is not None
    os.kill(output._process.pid, signal.SIGKILL)
    with pytest.raises(OutputError, match=r"has died \(-9\)"):
        until(lambda: output.send(picture(90), now()))


def test_a_process_that_stands_still_holds_nobody_up(diary: tuple[Apart, Path]) -> None:
    output, path = diary
    assert output._process.pid is not None
    os.kill(output._process.pid, signal.SIGSTOP)
    shown = [picture(60), picture(61)]
    for index in range(5000):  # a pipe that nobody reads is full long before that
        output.send(shown[index % 2], now())
    os.kill(output._process.pid, signal.SIGCONT)
    last = picture(62)
    until(lambda: output.send(last, now()) or samples(last).hex() in lines(path))


def test_closing_ends_the_process_and_leaves_nothing(tmp_path: Path) -> None:
    me = psutil.Process()
    before = me.num_fds() if hasattr(me, "num_fds") else 0
    for _ in range(2):
        output = Apart(str(tmp_path / "diary"), INFO, SLATE, apart_doubles.diary)
        output.send(picture(90), now())
        output.close()
        output.close()
        assert not output._process.is_alive()
        assert output._process.exitcode == 0
    assert (tmp_path / "diary").read_text().endswith("end\n")
    with pytest.raises(OutputError, match="is closed"):
        output.send(picture(90), now())
    after = me.num_fds() if hasattr(me, "num_fds") else 0
    assert after <= before + 6  # what multiprocessing keeps for all that follow


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    script = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parent)]!r}
        import apart_doubles
        from outputs_doubles import INFO, picture
        from streammatte.sinks.apart import Apart
        if __name__ == "__main__":
            output = Apart({str(path)!r}, INFO, picture(30), apart_doubles.diary)
            while True:
                output.send(picture(90), time.monotonic_ns() // 1000)
                print(output._process.pid, flush=True)
                time.sleep(0.03)
    """)
    (tmp_path / "show.py").write_text(script)
    show = subprocess.Popen(
        [sys.executable, str(tmp_path / "show.py")], stdout=subprocess.PIPE, text=True
    )
    assert show.stdout is not None
    child = int(show.stdout.readline())
    until(lambda: lines(path))
    show.kill()
    show.communicate()
    until(lambda: path.read_text().endswith("end\n"))
    until(lambda: not psutil.pid_exists(child))


# ---- when what goes, with a clock that is set by hand


class Clock:
    """The time, a pipe on which news come at known times, and an output that notes both."""

    readers = None
    description, notes = "", ()

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000
        self.begun = self.now
        self.shared = Shared((WIDTH, HEIGHT))
        self.news: deque[tuple[int, bytes]] = deque()
        self.left: list[tuple[int, int]] = []
        self.takes = 0
        """Microseconds that sending takes."""
        monkeypatch.setattr(apart, "_now", lambda: self.now)

    def hand_over(self, at: int, serial: int, due: int) -> None:
        """Let news come at a time; both are counted from the beginning."""
        news = apart._NEWS.pack(serial, self.begun + due, self.begun + at)
        self.news.append((self.begun + at, news))

    def end(self, at: int) -> None:
        self.news.append((self.begun + at, apart.END))

    def poll(self, timeout: float = 0.0) -> bool:
        end = self.now + round(timeout * 1e6)
        if self.news and self.news[0][0] <= end:
            self.now = max(self.now, self.news[0][0])
            return True
        self.now = end
        return False

    def recv_bytes(self) -> bytes:
        if not self.news:
            raise EOFError
        at, news = self.news.popleft()
        self.now = max(self.now, at)
        return news

    def send(self, shown: Picture, _: int) -> None:
        self.left.append((self.now - self.begun, int(shown.planes[0][1, 1])))
        self.now += self.takes

    def run(self, levels: dict[int, int]) -> list[tuple[int, int]]:
        """Send; ``levels`` are the lumas of the pictures by their serial numbers."""
        for serial, level in levels.items():
            self.shared.put(serial, picture(level))
        keeper: Any = Keeper(self, self.shared, self, INFO.rate)  # type: ignore[arg-type]
        keeper.run()
        return self.left


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_comes_in_time_leaves_at_once(clock: Clock) -> None:
    for index in range(3):
        clock.hand_over(index * PERIOD + 2000, index + 1, index * PERIOD)
    clock.end(3 * PERIOD)
    assert clock.run({1: 101, 2: 102, 3: 103}) == [
        (2000, 101),
        (PERIOD + 2000, 102),
        (2 * PERIOD + 2000, 103),
    ]
    assert clock.shared.tally.sent == 3
    assert clock.shared.tally.missed == 0


def test_what_does_not_come_is_the_last_one_half_a_period_late(clock: Clock) -> None:
    clock.hand_over(0, 1, 0)
    clock.hand_over(3 * PERIOD, 2, 3 * PERIOD)
    clock.end(4 * PERIOD)
    left = clock.run({1: 101, 2: 102})
    assert [level for _, level in left] == [101, 101, 101, 102]
    times = [at for at, _ in left]
    assert times[1] == pytest.approx(1.5 * PERIOD, abs=2)
    assert max(b - a for a, b in pairwise(times)) <= 1.5 * PERIOD + 2


def test_what_comes_too_late_for_its_time_leaves_the_next_time(clock: Clock) -> None:
    clock.hand_over(0, 1, 0)
    clock.hand_over(round(1.8 * PERIOD), 2, PERIOD)
    clock.end(3 * PERIOD)
    assert [level for _, level in clock.run({1: 101, 2: 102})] == [101, 101, 102]


def test_news_of_the_same_picture_count_as_in_time(clock: Clock) -> None:
    for index in range(3):
        clock.hand_over(index * PERIOD, 1, index * PERIOD)
    clock.end(3 * PERIOD)
    left = clock.run({1: 101})
    assert [at for at, _ in left] == pytest.approx([0, PERIOD, 2 * PERIOD], abs=2)


def test_many_news_at_once_leave_as_one_picture(clock: Clock) -> None:
    clock.hand_over(0, 1, 0)
    for serial in (2, 3, 4):
        clock.hand_over(3 * PERIOD, serial, (serial - 1) * PERIOD)
    clock.end(4 * PERIOD)
    left = [level for _, level in clock.run({1: 101, 2: 102, 3: 103, 4: 104})]
    assert left == [101, 101, 101, 104]


def test_a_camera_that_is_slow_misses_and_catches_up(clock: Clock) -> None:
    clock.takes = round(2.5 * PERIOD)
    for index in range(6):
        clock.hand_over(index * PERIOD, index + 1, index * PERIOD)
    clock.end(6 * PERIOD)
    clock.run({1: 101, 2: 102, 3: 103, 4: 104})
    assert clock.shared.tally.missed > 0
    assert clock.shared.tally.sent + clock.shared.tally.missed in (6, 7)


def test_the_slate_comes_after_a_second_and_goes(clock: Clock) -> None:
    clock.hand_over(0, 1, 0)
    clock.hand_over(60 * PERIOD, 2, 60 * PERIOD)
    clock.end(61 * PERIOD)
    blank = clock.shared.planes(clock.shared.slate)
    blank[0][:] = 30
    left = clock.run({1: 101, 2: 102})
    assert [level for at, level in left if at < 1_000_000] == [101] * 30
    assert {level for at, level in left if 1_050_000 < at < 59 * PERIOD} == {30}
    assert left[-1][1] == 102


def test_a_picture_that_is_being_written_over_does_not_leave(clock: Clock) -> None:
    clock.hand_over(0, 1, 0)
    clock.hand_over(PERIOD, 2, PERIOD)
    clock.end(2 * PERIOD)
    clock.shared.put(2, picture(102))
    clock.shared.serials[2 % apart.SLOTS] = 0  # as while it is written
    assert [level for _, level in clock.run({1: 101})] == [101, 101]


def test_half_a_picture_is_never_seen(clock: Clock) -> None:
    clock.shared.put(2, picture(102))
    clock.shared.put(2 + apart.SLOTS, picture(110))
    assert not clock.shared.get(2, picture(0))
    into = picture(0)
    assert clock.shared.get(2 + apart.SLOTS, into)
    assert samples(into) == samples(picture(110))
