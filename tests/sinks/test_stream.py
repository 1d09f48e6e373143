"""Pictures sent to addresses: what arrives, and what happens when nobody is there any more."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import pytest
from outputs_doubles import HEIGHT, INFO, picture

from streammatte.errors import OutputError, UsageError
from streammatte.sinks import stream
from streammatte.sinks.live_outputs import open_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 40.0


@contextlib.contextmanager
def sending(address: str) -> Iterator[tuple[Any, Callable[[Callable[[], bool]], None]]]:
    """Open an output; hand out a function that sends pictures to it until something is so."""
    output: Any = open_output(address, INFO)
    index = 0

    def until(done: Callable[[], bool]) -> None:
        nonlocal index
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end
            output.send(picture(120), 7_000_000 + index * 100_000)
            index += 1
            time.sleep(0.01)

    try:
        yield output, until
    finally:
        output.close()


class Server:
    """Takes connections, one after the other, and what comes through them."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.got: list[bytearray] = []
        self.hang_up = threading.Event()
        self._over = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    self._take(connection)
                self._over.release()

    def _take(self, connection: socket.socket) -> None:
        content = bytearray()
        self.got.append(content)
        while part := connection.recv(65536):
            content += part
            if self.hang_up.is_set():
                self.hang_up.clear()
                return

    def wait(self, connections: int) -> None:
        """Wait until all has been read of so many connections."""
        for _ in range(connections):
            assert self._over.acquire(timeout=PATIENCE)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def decoded(content: bytes) -> list[Any]:
    with av.open(io.BytesIO(content), format="mpegts") as container:
        return list(container.decode(video=0))


def test_pictures_arrive_at_their_times(server: Server) -> None:
    with sending(server.address) as (output, until):
        until(lambda: bool(server.got) and len(server.got[0]) > 20_000)
    server.wait(1)
    frames = decoded(server.got[0])
    assert len(frames) > 10
    assert frames[0].to_ndarray()[:HEIGHT, 4:].mean() == pytest.approx(120, abs=4)
    assert frames[0].to_ndarray()[HEIGHT : HEIGHT * 5 // 4].mean() == pytest.approx(100, abs=8)
    steps = {round((after.time - before.time) * 1e3) for before, after in pairwise(frames)}
    # What is dropped on the way leaves a gap, and makes nothing else early.
    assert all(step % 100 == 0 for step in steps)
    assert not output._process.is_alive()
    assert not output._thread.is_alive()


def test_a_peer_that_goes_away_is_found_again(server: Server) -> None:
    with sending(server.address) as (output, until):
        until(lambda: bool(server.got) and len(server.got[0]) > 5_000)
        server.hang_up.set()
        until(lambda: len(server.got) > 1 and len(server.got[1]) > 5_000)
    server.wait(2)
    assert [note for note in output.notes if "trying again" in note] != []
    assert len(decoded(server.got[1])) > 3  # it begins with a whole picture


def test_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        content = bytearray()

        def enough() -> bool:
            with contextlib.suppress(BlockingIOError):
                content.extend(receiver.recv(65536))
            return len(content) > 30_000

        with sending(f"udp://127.0.0.1:{receiver.getsockname()[1]}") as (_, until):
            until(enough)
    assert content[0] == 0x47  # MPEG-TS
    assert len(content) % 188 == 0


def test_nobody_at_an_address_is_told_once_and_holds_nothing_up() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with sending(f"rtmp://127.0.0.1:{port}/live") as (output, until):
        until(lambda: bool(output.notes))
        later = time.monotonic() + 2 * stream.AGAIN
        until(lambda: time.monotonic() > later)
    assert [note for note in output.notes if "trying again" in note] == output.notes[:1]


def test_what_sends_may_die() -> None:
    with sending("udp://127.0.0.1:9") as (output, _):
        output._process.kill()
        output._process.join()
        with pytest.raises(OutputError, match="has died"):
            output.send(picture(50), 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process")
def test_what_sends_may_hang(server: Server) -> None:
    with sending(server.address) as (output, until):
        until(lambda: bool(server.got) and len(server.got[0]) > 2_000)
        until(lambda: output._begun)  # before it has answered, nothing counts as missed
        os.kill(output._process.pid, signal.SIGSTOP)
        for index in range(60):
            output.send(picture(120), 90_000_000 + index)  # never waits
    assert output._process.exitcode == -signal.SIGKILL
    assert any("pictures were not sent in time" in note for note in output.notes)


def test_the_newest_pictures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(stream.Stream, "_pass_on", lambda _: go.wait(PATIENCE))
    with sending("udp://127.0.0.1:9") as (output, _):
        for index in range(20):
            output.send(picture(120), index)
        waiting = [stream._HEAD.unpack_from(content)[0] for content in output._waiting.queue]
        go.set()
    assert waiting == [18, 19]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot stop a process")
def test_what_is_missed_while_the_process_starts_is_not_counted() -> None:
    with sending("udp://127.0.0.1:9") as (output, _):
        os.kill(output._process.pid, signal.SIGSTOP)
        for index in range(60):
            output.send(picture(120), index)
            time.sleep(0.002)  # so that some of them leave for the process
    assert output.notes == []


def test_keys_and_passwords_are_not_shown() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with sending(f"rtmp://me:secret@127.0.0.1:{port}/live/key") as (output, until):
        until(lambda: bool(output.notes))
        assert output.description.startswith(f"rtmp://127.0.0.1:{port}, h264")
    assert output.notes[0].startswith(f"rtmp://127.0.0.1:{port}: ")
    for words in (output.description, *output.notes):
        assert "secret" not in words
        assert "key" not in words


def test_what_ffmpeg_says_of_an_address_is_not_shown_either() -> None:
    error = ValueError("'tcp://me:secret@here:1/key?x=1' is broken")
    words = stream._trouble("tcp://me:secret@here:1/key?x=1", error)
    assert words == "tcp://here:1: 'tcp://here:1' is broken; trying again"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("udp://", "no whole address; such as udp://127.0.0.1:5000"),
        ("udp://127.0.0.1", "no whole address; such as udp://127.0.0.1:5000"),
        ("rtmp:///live/secret", "no whole address; such as rtmp://"),
        ("tcp://here:port/secret", "tcp://here:port is no address"),
    ],
)
def test_half_an_address_is_refused(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_output(address, INFO)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["udp://[::1]:5000?ttl=1", "rtmp://here/live", "rtsp://here/a"])
def test_whole_addresses_are_taken(address: str) -> None:
    stream._check(address)


def test_nothing_heavy_is_loaded_by_the_parent() -> None:
    assert "av" not in vars(sys.modules[stream.__name__])
