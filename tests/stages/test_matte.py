"""The network gets what its contract says, and the footage's own alpha is heeded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streammatte.errors import RuntimeFailure
from streammatte.frames import Matte, Picture
from streammatte.meters import Meters
from streammatte.models import load_card, open_model
from streammatte.runtimes import Placement
from streammatte.runtimes.stub import Stub
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import matte

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Layout
    from streammatte.options import Every

SIZE = (64, 32)


class Spy(Stub):
    """Remembers what it was shown."""

    def __init__(self, size: tuple[int, int], batch: int = 1) -> None:
        super().__init__(open_model("selfie"), size, Placement(batch=batch))
        self.seen: list[NDArray[np.uint8]] = []

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer with the disc, darker each time, so that answers can be told apart."""
        alphas = super().infer(images)
        for image, alpha in zip(images, alphas, strict=True):
            np.multiply(alpha, 0.9 ** len(self.seen), out=alpha)
            self.seen.append(image[None])
        return alphas


def frames(count: int = 2, **changes: Any) -> Iterator[Frame]:
    yield from Synthetic(160, 90, count, **changes).frames()


def with_alpha(frame: Frame, alpha: NDArray[np.float64] | float, layout: Layout) -> Frame:
    from streammatte.convert import convert

    picture = convert(frame.picture, layout, frame.picture.colour)
    assert picture.alpha is not None
    picture.alpha[:] = np.round(np.asarray(alpha) * layout.peak)
    return replace(frame, picture=picture)


def test_the_network_sees_what_the_contract_says() -> None:
    network = Spy(SIZE)
    mattes = list(matte.infer(frames(3), network, SIZE, Meters()))
    assert len(network.seen) == len(mattes) == 3
    for image, result in zip(network.seen, mattes, strict=True):
        assert image.shape == (1, 32, 64, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert (image[0] == result.view).all()
        assert result.alpha.shape == (32, 64)
        assert result.alpha.dtype == np.float32
    # The figure's face, before the wall: what is shown is upright and in R, G, B.
    assert network.seen[0][0, 11, 32] == pytest.approx([180, 120, 115], abs=25)


def test_what_the_network_says_of_every_frame_is_its_matte_to_the_bit() -> None:
    said: list[NDArray[np.float32]] = []

    class Noting(Spy):
        def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            alphas = super().infer(images)
            said.extend(alphas[:, 0].copy())
            return alphas

    meters = Meters()
    mattes = list(matte.infer(frames(5), Noting(SIZE), SIZE, meters))
    for each, alpha in zip(mattes, said, strict=True):
        assert (each.alpha == alpha).all()
        assert each.inferred
    assert "propagate" not in meters.stages


def test_frames_come_out_one_by_one_in_order() -> None:
    asked = []

    def source() -> Iterator[Frame]:
        for frame in frames(4):
            asked.append(frame.pts)
            yield frame

    for index, result in enumerate(matte.infer(source(), Spy(SIZE), SIZE, Meters())):
        assert result.frame.pts == index
        assert asked == list(range(index + 1))


def still(count: int, change: int | None = None) -> Iterator[Frame]:
    """One picture again and again; from frame ``change`` on another one."""
    (first,) = frames(1)
    layout, colour = first.picture.layout, first.picture.colour
    other = Picture.of([plane[::-1] for plane in first.picture.planes], layout, colour)
    for pts in range(count):
        changed = change is not None and pts >= change
        yield replace(first, pts=pts, picture=other if changed else first.picture)


def answers_of(mattes: list[Matte]) -> list[int]:
    """Return whose answer each frame got."""
    return [round(np.log(float(each.alpha.max())) / np.log(0.9)) for each in mattes]


def turns(every: int, batch: int, count: int) -> tuple[Spy, list[int]]:
    """Show frames to a network; return it, and whose answer each frame got."""
    network = Spy(SIZE, batch)
    clip = frames(count) if every == 1 else still(count)
    mattes = list(matte.infer(clip, network, SIZE, Meters(), every, ahead=False))
    assert [each.frame.pts for each in mattes] == list(range(count))
    return network, answers_of(mattes)


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_the_network_sees_several_frames_at_once(batch: int) -> None:
    network, answers = turns(1, batch, 7)
    assert answers == list(range(7))
    views = [
        view for frame in frames(7) for view in [frame.picture.view(*SIZE, VideoReformatter())]
    ]
    assert all((seen[0] == view).all() for seen, view in zip(network.seen, views, strict=True))


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("every", [2, 3, 5, 50])
def test_the_network_sees_every_nth_frame(every: int, batch: int) -> None:
    network, answers = turns(every, batch, 13)
    assert answers == [index // every for index in range(13)]
    assert len(network.seen) == -(-13 // every)


def test_frames_between_do_not_wait_if_told_so() -> None:
    asked = []

    def source() -> Iterator[Frame]:
        for frame in frames(6):
            asked.append(frame.pts)
            yield frame

    mattes = matte.infer(source(), Spy(SIZE), SIZE, Meters(), 3, ahead=False)
    for index, each in enumerate(mattes):
        assert asked == list(range(index + 1))
        assert each.inferred == (index % 3 == 0)


def test_a_new_scene_does_not_wait_for_its_turn() -> None:
    """Nor does it count as one: the next turn is a whole round later."""

    mattes = list(matte.infer(still(12, 5), Spy(SIZE), SIZE, Meters(), 4, ahead=False))
    assert answers_of(mattes) == [0, 0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 3]
    assert [each.inferred for each in mattes] == [index in (0, 4, 5, 9) for index in range(12)]


@pytest.mark.parametrize(
    ("width", "height", "wish"),
    [
        (1920, 1080, None),
        (1080, 1920, None),
        (640, 480, 192),
        (4096, 300, None),
        (100, 9000, 512),
        (16, 16, None),
        (1, 1, None),
    ],
)
def test_the_network_size_keeps_the_stride_and_about_the_aspect(
    width: int, height: int, wish: int | None
) -> None:
    card = load_card("selfie")
    size = card.input_size(width, height, wish)
    assert all(side % card.stride == 0 and 0 < side <= card.longest_side for side in size)
    if max(width, height) < 2 * min(width, height):
        if wish is not None:
            assert min(size) == pytest.approx(wish, abs=card.stride / 2)
        assert size[0] / size[1] == pytest.approx(width / height, rel=0.12)


@pytest.mark.parametrize("depth", [8, 10])
def test_what_is_see_through_in_the_footage_stays_so(depth: int) -> None:
    (frame,) = frames(1)
    half = np.ones((90, 160))
    half[:, :80] = 0
    layout = replace(frame.picture.layout, depth=depth, alpha=True)
    (result,) = matte.infer([with_alpha(frame, half, layout)], Spy(SIZE), SIZE, Meters())
    assert not result.alpha[:, :31].any()
    assert result.alpha[16, 34] == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_see_through_in_one_frame_is_not_kept_for_the_next(batch: int) -> None:
    """The frames between keep the network's matte, not what the footage's alpha left of it."""
    first, second, third, fourth = still(4)
    layout = first.picture.layout.with_alpha(alpha=True)
    half = np.ones((90, 160))
    half[:, :80] = 0
    shown = [with_alpha(frame, half, layout) for frame in (first, third)]
    whole = [with_alpha(frame, 1.0, layout) for frame in (second, fourth)]
    clip = [shown[0], whole[0], shown[1], whole[1]]
    mattes = list(matte.infer(clip, Spy(SIZE, batch), SIZE, Meters(), 3, ahead=False))
    disc = mattes[1].alpha
    assert disc[16, 29] == 1
    assert (disc[:, ::-1] == disc).all()
    for each in (mattes[0], mattes[2]):
        assert not each.alpha[:, :31].any()
        assert (each.alpha[:, 34:] == disc[:, 34:]).all()
    assert (mattes[3].alpha == disc * np.float32(0.9)).all()


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("precision", "what"), [("fp16", "use --precision fp32"), ("fp32", "weights must be damaged")]
)
def test_mattes_that_are_no_numbers_are_refused(fault: float, precision: Any, what: str) -> None:
    """From whatever runtime: such a matte would be composited without a word."""

    class Overflowing(Spy):
        def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            alpha = super().infer(images)
            if len(self.seen) > 2:
                alpha[0, 0, 3, 4] = fault
            return alpha

    network = Overflowing(SIZE)
    network.precision = precision
    mattes = matte.infer(frames(3), network, SIZE, Meters())
    assert [next(mattes).frame.pts for _ in range(2)] == [0, 1]
    with pytest.raises(RuntimeFailure, match=f"no numbers for a frame: .*{what}") as caught:
        next(mattes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("found", "count", "words"),
    [
        (0, 1, "nobody was found in any frame; "),
        (0, 300, "nobody was found in any frame; "),
        (1, 1, ""),
        (1, 9, ""),
        (1, 10, "somebody was found in 1 of 10 frames only; "),
        (2, 10, ""),
        (2, 100, ""),
        (2, 101, "somebody was found in 2 of 101 frames only; "),
        (5, 300, "somebody was found in 5 of 300 frames only; "),
        (6, 300, ""),
        (300, 300, ""),
    ],
)
def test_a_wisp_is_nobody(found: int, count: int, words: str) -> None:
    (frame,) = frames(1)
    view, somebody = np.zeros((32, 64, 3), np.uint8), np.full((32, 64), 0.005, np.float32)
    coverage = matte.Coverage()
    alphas = [somebody + np.float32(1e-6)] * found + [somebody * 0.9] * (count - found)
    passed = list(coverage.watch(Matte(frame, view, alpha) for alpha in alphas))
    assert len(passed) == count
    notes = coverage.notes
    if not words:
        assert notes == []
    else:
        assert notes == [f"{words}'streammatte models list' says what networks know"]


@pytest.mark.parametrize(
    ("every", "said"), [(1, []), (2, ["3 of 5"]), (4, ["2 of 5"]), ("auto", ["1 of 5"])]
)
def test_the_report_says_how_many_frames_the_network_saw(every: Every, said: list[str]) -> None:
    coverage, meters = matte.Coverage(), Meters()
    list(coverage.watch(matte.infer(still(5), Spy(SIZE), SIZE, meters, every)))
    words = "; the mattes between were carried along the motion"
    assert coverage.notes == [f"the network saw {count} frames{words}" for count in said]
    assert ("propagate" in meters.stages) == (every != 1)


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_the_footages_own_alpha_is_taken_exactly(depth: int) -> None:
    (frame,) = frames(1)
    layout = replace(frame.picture.layout, depth=depth, alpha=True)
    ramp = np.round(np.linspace(0, layout.peak, 90 * 160)).reshape(90, 160) / layout.peak
    (result,) = matte.take_own([with_alpha(frame, ramp, layout)], SIZE)
    assert result.alpha.shape == (90, 160)
    assert np.abs(result.alpha - ramp).max() < 1e-6
    assert result.view.shape == (32, 64, 3)


def test_footage_without_alpha_is_opaque_all_over() -> None:
    (frame,) = frames(1)
    assert (matte.own_alpha(frame.picture) == 1).all()
    assert matte.own_alpha(frame.picture).shape == (90, 160)
    (result,) = matte.take_own([frame], SIZE)
    assert (result.alpha == 1).all()


def test_only_an_alpha_that_says_something_counts() -> None:
    (frame,) = frames(1)
    layout = frame.picture.layout.with_alpha(alpha=True)
    assert not matte.brings_matte(frame.picture)
    assert not matte.brings_matte(with_alpha(frame, 1.0, layout).picture)
    spot = np.ones((90, 160))
    spot[4, 5] = 0
    assert not matte.brings_matte(with_alpha(frame, spot, layout).picture)
    spot[:, :80] = 0.9
    assert not matte.brings_matte(with_alpha(frame, spot, layout).picture)
    spot[:, :80] = 0
    assert matte.brings_matte(with_alpha(frame, spot, layout).picture)


# --- several groups on their way at once --------------------------------------------------------


class Ahead(Spy):
    """Takes images ahead, as a GPU's runtimes do, and notes down what was asked in which order."""

    slots = 3

    def __init__(self, size: tuple[int, int], batch: int = 1) -> None:
        super().__init__(size, batch)
        self.asked: list[str] = []
        self.under_way: list[NDArray[np.float32]] = []

    def submit(self, images: NDArray[np.uint8]) -> None:
        self.asked.append("submit")
        assert len(self.under_way) < self.slots
        alphas = Spy.infer(self, images)
        filling = np.full((self.batch - len(images), *alphas.shape[1:]), np.nan, np.float32)
        self.under_way.append(np.concatenate([alphas, filling]))

    def collect(self) -> NDArray[np.float32]:
        self.asked.append("collect")
        return self.under_way.pop(0)

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError(f"{len(images)} were not taken ahead")


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    ("every", "batch"), [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (50, 1), ("auto", 1), ("auto", 2)]
)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 13])
def test_frames_under_way_come_out_as_if_one_by_one(
    every: Every, batch: int, count: int, wait: bool
) -> None:
    ahead, plain = Ahead(SIZE, batch), Spy(SIZE, batch)
    found = list(matte.infer(frames(count), ahead, SIZE, Meters(), every, ahead=wait))
    truth = list(matte.infer(frames(count), plain, SIZE, Meters(), every, ahead=wait))
    assert [each.frame.pts for each in found] == list(range(count))
    for one, other in zip(found, truth, strict=True):
        np.testing.assert_array_equal(one.alpha, other.alpha)
        np.testing.assert_array_equal(one.view, other.view)
    assert not ahead.under_way
    assert ahead.asked.count("submit") == ahead.asked.count("collect")


def test_the_ring_is_kept_full() -> None:
    """Frame n + 2 is on its way before frame n is waited for."""
    network = Ahead(SIZE)
    list(matte.infer(frames(6), network, SIZE, Meters()))
    full = ["submit"] * 3 + ["collect", "submit"] * 3 + ["collect"] * 3
    assert network.asked == full


def test_leaving_early_asks_for_nothing_more() -> None:
    network = Ahead(SIZE)
    mattes = matte.infer(frames(6), network, SIZE, Meters())
    next(mattes)
    mattes.close()  # type: ignore[attr-defined]
    assert network.asked == ["submit"] * 3 + ["collect"]
