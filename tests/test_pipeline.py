"""The pipeline as a whole: untouched where the subject is, the same on any threads, clean ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import streammatte
from streammatte import pipeline
from streammatte.convert import convert
from streammatte.errors import InputError, OutputError
from streammatte.frames import Frame, Layout
from streammatte.meters import Meters
from streammatte.models import load_card, open_model
from streammatte.options import (
    BackgroundSpec,
    EncodeOptions,
    MatteOptions,
    NetworkOptions,
    RenderOptions,
)
from streammatte.runtimes import Placement
from streammatte.runtimes.onnxruntime import OnnxRuntime
from streammatte.runtimes.stub import Stub
from streammatte.sinks.null import Null
from streammatte.sinks.video_file import VideoFileSink
from streammatte.sources.synthetic import Synthetic
from streammatte.sources.video_file import VideoFile
from streammatte.stages import backgrounds, composite, matte, refine, smooth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Matte
    from streammatte.options import Decontaminate

EXAMPLES = Path(__file__).parents[1] / "examples"
SHORT = "synthetic:160x96@25x9"
LAYOUTS = [Layout("yuv", depth, x, y) for depth in (8, 10) for x, y in ((0, 0), (1, 0), (1, 1))]


@pytest.fixture(autouse=True)
def no_thread_outlives_a_test() -> Iterator[None]:
    yield
    assert not ours()


def ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("streammatte-")]


def options(bg: str = "#00b140", codec: str | None = "ffv1", **changes: Any) -> RenderOptions:
    encode = EncodeOptions(codec)
    network = NetworkOptions(runtime="stub")
    names = [name for name in changes if name in MatteOptions.__dataclass_fields__]
    mattes = MatteOptions(**{name: changes.pop(name) for name in names})
    background = BackgroundSpec.parse(bg)
    return RenderOptions(background, network=network, matte=mattes, encode=encode, **changes)


def frames_of(path: Path) -> list[Frame]:
    with VideoFile(path) as result:
        return list(result.frames())


def planes_of(frame: Frame) -> list[NDArray[Any]]:
    alpha = frame.picture.alpha
    return [*frame.picture.planes, *([] if alpha is None else [alpha])]


def footage_is(source: Synthetic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "open_source", lambda *_: source)


# --- The subject stays as it is -------------------------------------------------------------------


def mattes_of(source: Synthetic) -> Iterator[Matte]:
    """The mattes that the pipeline makes, by its stages."""
    model = open_model("selfie")
    size = model.card.input_size(source.info.width, source.info.height)
    network = Stub(model, size, Placement())
    return refine.snap(smooth.file(matte.infer(source.frames(), network, size, Meters())))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("decontaminate", ["off", "fast", "fine"])
@pytest.mark.parametrize("bg", ["#00b140", "blur", "transparent"])
def test_where_alpha_is_one_the_samples_are_the_sources(
    bg: str,
    decontaminate: Decontaminate,
    layout: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit for bit, in every plane, through a lossless file."""

    def source() -> Synthetic:
        return Synthetic(160, 96, 3, layout=layout)

    footage_is(source(), monkeypatch)
    path = tmp_path / "out.mkv"
    report = pipeline.render("synthetic", path, options(bg, decontaminate=decontaminate))
    results = frames_of(path)
    assert report.frames == len(results) == 3
    for result, wanted in zip(results, mattes_of(source()), strict=True):
        picture = wanted.frame.picture
        assert result.picture.layout.with_alpha(alpha=False) == layout
        assert (result.picture.alpha is not None) == (bg == "transparent")
        alphas = composite.plane_alphas(picture, composite.full_size(wanted))
        for out, plane, alpha in zip(result.picture.planes, picture.planes, alphas, strict=True):
            opaque = alpha == np.iinfo(alpha.dtype).max
            assert opaque.mean() > 0.05
            assert (out[opaque] == plane[opaque]).all()
            if bg == "#00b140":
                assert len(np.unique(out[alpha == 0])) == 1


def test_the_real_network_leaves_the_subject_alone_as_well(tmp_path: Path) -> None:
    clip, path = EXAMPLES / "astronaut.mp4", tmp_path / "out.mkv"
    streammatte.render(clip, path, bg="white", codec="ffv1", length="0.12")
    cutouts = list(streammatte.mattes(clip, length="0.12"))
    results = frames_of(path)
    assert len(cutouts) == len(results) > 1
    for cutout, result in zip(cutouts, results, strict=True):
        opaque = cutout.alpha == 1
        assert opaque.mean() > 0.1
        source = cutout.frame.picture.planes[0]
        assert (result.picture.planes[0][opaque] == source[opaque]).all()
        assert cutout.seconds == cutout.frame.seconds
        assert cutout.rgb.shape == cutout.foreground().shape == (*cutout.alpha.shape, 3)


def test_times_are_the_sources(tmp_path: Path) -> None:
    source = Synthetic(160, 96, 9, Fraction(30000, 1001))
    path = tmp_path / "out.mp4"
    pipeline.render("synthetic:160x96@30000/1001x9", path, options(codec="h264"))
    wanted = [frame.seconds for frame in source.frames()]
    assert [frame.seconds for frame in frames_of(path)] == wanted


# --- Threads change nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bg", "codec", "name"),
    [
        ("#00b140", "h264", "out.mp4"),
        ("blur", "ffv1", "out.mkv"),
        ("transparent", "prores", "out.mov"),
        (str(EXAMPLES / "astronaut.mp4"), "h264", "out.mov"),
        (str(EXAMPLES / "beach.jpg"), "vp9", "out.webm"),
    ],
)
def test_serial_and_threaded_runs_give_the_same(
    bg: str, codec: str, name: str, tmp_path: Path
) -> None:
    """Byte for byte where the container has no dates or random numbers, else sample for sample."""
    results = []
    for serial in (True, False):
        path = tmp_path / str(serial) / name
        path.parent.mkdir()
        pipeline.render(SHORT, path, options(bg, codec, serial=serial))
        results.append(path)
    if path.suffix in (".mp4", ".mov"):
        assert results[0].read_bytes() == results[1].read_bytes()
    one, other = map(frames_of, results)
    assert len(one) == len(other) == 9
    for a, b in zip(one, other, strict=True):
        assert (a.pts, a.duration) == (b.pts, b.duration)
        for p, q in zip(planes_of(a), planes_of(b), strict=True):
            assert (p == q).all()


def test_serial_runs_on_the_calling_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    infer = Stub.infer

    def spy(self: Stub, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.add(threading.current_thread())
        return infer(self, image)

    monkeypatch.setattr(Stub, "infer", spy)
    pipeline.render(SHORT, tmp_path / "out.mkv", options("blur", serial=True))
    assert seen == {threading.current_thread()}


# --- Faults ---------------------------------------------------------------------------------------


class Boom(Exception):  # noqa: N818
    """What goes wrong."""


def fails_after(calls: int, work: Callable[..., Any], fault: BaseException) -> Callable[..., Any]:
    left = calls

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if left == 0:
            raise fault
        left -= 1
        return work(*args, **kwargs)

    return wrapped


PLACES: dict[str, tuple[Any, str, int]] = {
    "opening the source": (pipeline, "open_source", 0),
    "the network's start": (pipeline, "open_engine", 0),
    "opening the sink": (pipeline, "open_sink", 0),
    "opening the background": (pipeline, "open_background", 0),
    "the network": (Stub, "infer", 4),
    "the first inference": (Stub, "infer", 0),
    "refine": (refine, "guided_filter", 4),
    "smooth": (smooth, "look", 3),
    "the background": (backgrounds.Still, "behind", 4),
    "the foreground": (composite, "local_means", 4),
    "composite": (composite, "blend", 4),
    "the sink's conversion": (VideoFileSink, "_native", 4),
    "the sink's write": (VideoFileSink, "write", 4),
    "the first write": (VideoFileSink, "write", 0),
    "the sink's muxer": (VideoFileSink, "_mux", 2),
    "the sink's finish": (VideoFileSink, "finish", 0),
}


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt])
@pytest.mark.parametrize(
    "place", [*PLACES, "the source", "the first frame", "tell", "tell at last"]
)
def test_a_fault_anywhere_surfaces_once_and_leaves_nothing(
    place: str,
    kind: type[BaseException],
    serial: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The very exception, no file under any name, no thread, nothing on the terminal."""
    fault = kind("boom")
    told: list[Any] = []

    def tell(event: object) -> None:
        told.append(event)
        late = getattr(event, "stage", "") == "finishing"
        if (place == "tell" and len(told) == 2) or (place == "tell at last" and late):
            raise fault

    if place in PLACES:
        owner, name, calls = PLACES[place]
        monkeypatch.setattr(owner, name, fails_after(calls, getattr(owner, name), fault))
    elif place.startswith("the "):
        source = Synthetic(160, 96, 9)
        frames, calls = source.frames, 0 if "first" in place else 5

        def broken() -> Iterator[Frame]:
            for index, frame in enumerate(frames()):
                if index == calls:
                    raise fault
                yield frame

        monkeypatch.setattr(source, "frames", broken)
        footage_is(source, monkeypatch)

    path = tmp_path / "out.mp4"
    with pytest.raises(kind) as caught:
        pipeline.render(SHORT, path, options("#123", "h264", serial=serial), tell)
    assert caught.value is fault
    assert len(getattr(fault, "__notes__", [])) <= 1
    assert not ours()
    assert list(tmp_path.iterdir()) == []
    caught_output = capfd.readouterr()
    assert (caught_output.out, caught_output.err) == ("", "")


@pytest.mark.parametrize("serial", [False, True])
def test_a_fault_in_a_video_background_surfaces_too(
    serial: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Boom("boom")
    clip = str(EXAMPLES / "astronaut.mp4")
    broken = fails_after(3, backgrounds.fitted, fault)
    monkeypatch.setattr(backgrounds, "fitted", broken)
    with pytest.raises(Boom) as caught:
        pipeline.render(SHORT, tmp_path / "out.mkv", options(clip, serial=serial))
    assert caught.value is fault
    assert list(tmp_path.iterdir()) == []


def test_a_fault_keeps_what_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("precious")
    monkeypatch.setattr(VideoFileSink, "write", fails_after(3, VideoFileSink.write, Boom()))
    with pytest.raises(Boom):
        pipeline.render(SHORT, path, options(codec="h264", overwrite=True))
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_source_without_frames_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage_is(Synthetic(160, 96, 0), monkeypatch)
    with pytest.raises(InputError, match="no frames"):
        pipeline.render("synthetic", tmp_path / "out.mkv", options())


# --- What is told ---------------------------------------------------------------------------------


def test_what_is_told_and_reported(tmp_path: Path) -> None:
    told: list[Any] = []
    threads: set[threading.Thread] = set()

    def tell(event: object) -> None:
        told.append(event)
        threads.add(threading.current_thread())

    path = tmp_path / "out.mkv"
    report = pipeline.render(SHORT, path, options(), tell)
    start, *progress = told
    assert isinstance(start, pipeline.Start)
    assert (start.input, start.output, start.size) == (SHORT, str(path), (160, 96))
    assert start.frames_expected == 9
    assert [event.frames for event in progress] == sorted(event.frames for event in progress)
    assert progress[-1].stage == "finishing"
    assert progress[-1].frames == report.frames == 9
    assert threads == {threading.current_thread()}
    stages = {
        "decode",
        "network",
        "snap",
        "smooth",
        "enlarge",
        "background",
        "foreground",
        "composite",
    }
    assert stages | {"encode"} <= set(report.milliseconds)
    assert report.colour == "BT.709 limited"
    assert (report.assumed, report.notes) == ("", [])
    assert report.as_dict()["frames"] == 9


def test_what_is_done_once_does_not_count_as_slowness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only moves while the listener hears something."""
    now = 50.0

    def opened(*args: Any, tell: Callable[[str], None], **settings: Any) -> Any:
        tell("exporting")
        return open_model(*args, **settings)

    def tell(event: object) -> None:
        nonlocal now
        if isinstance(event, pipeline.Preparing):
            now += 600
        elif isinstance(event, pipeline.Start):
            now += 7
        elif isinstance(event, pipeline.Progress) and event.stage == "finishing":
            now += 3

    monkeypatch.setattr(pipeline, "open_model", opened)
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(perf_counter=lambda: now))
    report = pipeline.render(SHORT, tmp_path / "out.mkv", options(), tell)
    assert (report.frames, report.seconds, report.fps) == (9, 610, 3)


@pytest.mark.parametrize("heard", [True, False])
def test_what_cannot_be_interrupted_is_waited_for(
    heard: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while the network is inside a call: that is said, then the fault raised."""
    inside, returns = threading.Event(), threading.Event()
    seen, told = [], []

    def infer(self: Stub, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(images)
        if len(seen) == 2:
            inside.set()
            returns.wait(10)
        return self._alpha.repeat(len(images), axis=0)

    def write(self: VideoFileSink, frame: Frame) -> None:
        inside.wait(10)
        raise OutputError("the disk is full")

    def waiting(names: list[str]) -> None:
        told.append(names)
        returns.set()

    monkeypatch.setattr(Stub, "infer", infer)
    monkeypatch.setattr(VideoFileSink, "write", write)
    monkeypatch.setattr(pipeline, "log_waiting", waiting)

    def tell(event: pipeline.Event) -> None:
        if isinstance(event, pipeline.Stopping):
            waiting(event.waiting_for)

    told_to = [tell] if heard else []
    with pytest.raises(OutputError, match="full"):
        pipeline.render(SHORT, tmp_path / "out.mkv", options(temporal="live"), *told_to)
    assert told == [["streammatte-network"]]
    assert not list(tmp_path.iterdir())


def test_steadying_can_be_turned_off(tmp_path: Path) -> None:
    report = pipeline.render(SHORT, tmp_path / "out.mkv", options(temporal="off"))
    assert "smooth" not in report.milliseconds


def test_only_coarse_mattes_are_snapped_to_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mattes of large networks get worse by it."""
    report = pipeline.render(SHORT, tmp_path / "out.mkv", options())
    assert "snap" in report.milliseconds
    card = replace(load_card("selfie"), coarse=False)
    monkeypatch.setattr(pipeline, "load_card", lambda _: card)
    report = pipeline.render(SHORT, tmp_path / "other.mkv", options())
    assert "snap" not in report.milliseconds


def test_footage_with_its_own_alpha_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Synthetic(160, 96, 3)
    frames = [*source.frames()]

    def with_alpha() -> Iterator[Frame]:
        for index, frame in enumerate(frames):
            layout = frame.picture.layout.with_alpha(alpha=True)
            picture = convert(frame.picture, layout, frame.picture.colour)
            assert picture.alpha is not None
            picture.alpha[:] = np.round(255 * source.truth(index))
            yield Frame(picture, frame.pts, frame.duration, frame.time_base)

    monkeypatch.setattr(source, "frames", with_alpha)
    footage_is(source, monkeypatch)
    monkeypatch.setattr(pipeline, "open_engine", fails_after(0, Stub, Boom()))
    path = tmp_path / "out.mkv"
    report = pipeline.render("synthetic", path, options("white"))
    assert (report.model, report.runtime) == ("the footage's alpha", "none")
    for index, result in enumerate(frames_of(path)):
        truth = np.round(255 * source.truth(index))
        luma, was = result.picture.planes[0], frames[index].picture.planes[0]
        assert (luma[truth == 255] == was[truth == 255]).all()
        assert (luma[truth == 0] == 235).all()


def closings(monkeypatch: pytest.MonkeyPatch) -> list[Stub]:
    """Return a list that fills with the networks that are closed."""
    closed: list[Stub] = []

    def close(self: Stub) -> None:
        closed.append(self)

    monkeypatch.setattr(Stub, "close", close)
    return closed


def test_the_network_is_closed_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closings(monkeypatch)
    pipeline.render(SHORT, tmp_path / "out.mkv", options())
    monkeypatch.setattr(refine, "guided_filter", fails_after(2, refine.guided_filter, Boom()))
    with pytest.raises(Boom):
        pipeline.render(SHORT, tmp_path / "other.mkv", options())
    assert len(closed) == 2


def test_auto_is_the_runtime_that_works_here() -> None:
    engine = pipeline.open_engine(NetworkOptions(), (256, 256))
    assert isinstance(engine.runtime, OnnxRuntime)
    assert engine.model.card.name == "selfie"
    engine.runtime.close()


def test_what_a_sink_is_given_may_be_anything_with_its_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = Null()
    monkeypatch.setattr(pipeline, "open_sink", lambda *_: sink)
    report = pipeline.render(SHORT, "out.mkv", options())
    assert sink.count == report.frames == 9


# --- The Python iterator --------------------------------------------------------------------------


def test_the_iterator_yields_every_frame_with_its_alpha() -> None:
    cutouts = list(streammatte.mattes(SHORT, runtime="stub"))
    assert [cutout.frame.pts for cutout in cutouts] == list(range(9))
    for cutout in cutouts:
        assert cutout.alpha.shape == (96, 160)
        assert cutout.alpha.dtype == np.float32
        assert 0 <= cutout.alpha.min() < cutout.alpha.max() == 1
        assert cutout.rgb.dtype == cutout.foreground().dtype == np.uint8


def test_nothing_is_opened_before_the_iterator_is_asked() -> None:
    streammatte.mattes("no_such_file.mp4")


@pytest.mark.parametrize("taken", [1, 3])
def test_an_abandoned_iterator_ends_its_threads(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closings(monkeypatch)
    for end in ("close", "forget", "break"):
        cutouts: Any = streammatte.mattes("synthetic:160x96@25x500", runtime="stub")
        for _ in range(taken):
            next(cutouts)
        assert ours()
        if end == "close":
            cutouts.close()
        elif end == "forget":
            del cutouts
        else:
            for _ in cutouts:
                break
            cutouts = None
        assert not ours()
    assert len(closed) == 3


def test_a_fault_in_the_loop_body_ends_the_threads() -> None:
    def work() -> None:
        for _ in streammatte.mattes("synthetic:160x96@25x500", runtime="stub"):
            raise Boom

    with pytest.raises(Boom):
        work()
    assert not ours()


def test_a_fault_inside_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Boom("boom")
    monkeypatch.setattr(Stub, "infer", fails_after(3, Stub.infer, fault))
    got = []
    with pytest.raises(Boom) as caught:
        got.extend(streammatte.mattes(SHORT, runtime="stub"))
    assert caught.value is fault


# --- The package ----------------------------------------------------------------------------------

HEAVY = ("numpy", "av", "cv2", "numba", "onnxruntime", "rich")


def test_importing_is_light_and_the_names_are_those_of_all() -> None:
    script = f"""
import sys, types
import streammatte
print(*[name for name in {HEAVY!r} if name in sys.modules])
print(*sorted(
    name for name, value in vars(streammatte).items()
    if name in ("__version__", "errors") or not (
        name.startswith("_") or isinstance(value, types.ModuleType) or name == "annotations"
    )
))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy, names = run.stdout.splitlines()
    assert heavy == ""
    assert names.split() == sorted(streammatte.__all__)
    assert all(hasattr(streammatte, name) for name in streammatte.__all__)
