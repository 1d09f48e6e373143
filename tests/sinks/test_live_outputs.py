"""Outputs of a show: which word means which, and files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import av
import pytest
from outputs_doubles import HEIGHT, INFO, picture

from streammatte.errors import OutputError, UsageError
from streammatte.sinks import live_outputs
from streammatte.sinks.live_outputs import open_output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("camera", "'camera' is no output; use auto, /dev/video20"),
        ("talk.txt", "is no output"),
        ("talk.webm", "does not hold h264; use .mp4"),
        ("srt://here:1", "not sent to srt://; use one of udp://.*MediaMTX"),
        ("http://here", "not sent to http://; use one of udp://"),
    ],
)
def test_what_is_no_output_is_refused(
    where: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        open_output(where, INFO)
    assert list(tmp_path.iterdir()) == []


def test_nowhere() -> None:
    output = open_output("null", INFO)
    output.send(picture(50), 0)
    assert output.readers is None
    output.close()


# --- a file


def test_a_file_has_the_pictures_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    output = open_output(str(path), INFO)
    times = [round(1e6 * index / 30) for index in range(20)]
    times[10:] = [time + 500_000 for time in times[10:]]  # half a second of nothing
    for index, time in enumerate(times):
        output.send(picture(40 + 8 * index), 5_000_000 + time)
    assert not path.exists()
    output.close()
    output.close()
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == "h264"
        assert not container.streams.audio
    assert [frame.time for frame in frames] == pytest.approx([t / 1e6 for t in times], abs=1e-3)
    levels = [float(frame.to_ndarray()[:HEIGHT, 2:].mean()) for frame in frames]
    assert levels == pytest.approx([40 + 8 * index for index in range(20)], abs=2)
    assert output.notes == []


def test_a_file_in_memory_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_outputs, "Recorder", lambda path, *_, **__: path)
    assert str(open_output("/dev/shm/talk.mp4", INFO)) == "/dev/shm/talk.mp4"


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists"):
        open_output(str(path), INFO)
    output = open_output(str(path), INFO, overwrite=True)
    output.send(picture(50), 0)
    output.close()
    assert path.stat().st_size > 500


def test_pictures_that_others_get_too_keep_their_time_stamps(tmp_path: Path) -> None:
    output = open_output(str(tmp_path / "talk.mp4"), INFO)
    shared = picture(50)
    shared.native.pts = 77
    for index in range(3):
        output.send(shared, index * 33_333)
    output.close()
    assert shared.native.pts == 77
    with av.open(str(tmp_path / "talk.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3


def test_an_encoder_that_is_too_slow_leaves_pictures_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: Any = open_output(str(tmp_path / "talk.mp4"), INFO)
    go, begun = threading.Event(), threading.Event()
    write = output._sink.write

    def slow(frame: Any) -> None:
        begun.set()
        go.wait(20)
        write(frame)

    monkeypatch.setattr(output._sink, "write", slow)
    output.send(picture(50), 0)
    assert begun.wait(20)
    for index in range(live_outputs.MOST_WAITING + 6):
        output.send(picture(50), (1 + index) * 33_333)
    threading.Timer(0.2, go.set).start()  # it is told to end while it has no room for that
    output.close()
    assert len(output.notes) == 1
    assert output.notes[0].endswith(": 6 pictures were left out, the encoder was too slow")
    with av.open(str(tmp_path / "talk.mp4")) as container:
        assert len(list(container.decode(video=0))) == live_outputs.MOST_WAITING + 1


@pytest.mark.parametrize("error", [OutputError("the disk is full"), ValueError("the disk is full")])
def test_a_full_disk_ends_the_recording_and_says_so(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: Any = open_output(str(tmp_path / "talk.mp4"), INFO)
    monkeypatch.setattr(output._sink, "write", raising(error))
    output.send(picture(50), 0)
    output._thread.join(20)
    with pytest.raises(OutputError, match="the recording has ended: the disk is full"):
        output.send(picture(50), 99)
    output.close()
    assert output.notes == ["the recording has ended: the disk is full"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_very_end_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output: Any = open_output(str(tmp_path / "talk.mp4"), INFO)
    monkeypatch.setattr(output._sink._file, "commit", raising(OutputError("the disk is full")))
    output.send(picture(50), 0)
    output.close()
    assert output.notes == ["the recording has ended: the disk is full"]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail
