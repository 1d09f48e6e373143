"""The ring: right however the GPU takes its time, and every way to get it wrong is found."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.fixtures import POLICIES
from gpu_work import IMAGE, MATTE, Work, images, mean

from streammatte.errors import RuntimeFailure, StreamMatteError
from streammatte.runtimes.cuda import Device, OutOfMemory
from streammatte.runtimes.ring import SLOTS, Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.fake_cuda import FakeCuda
    from numpy.typing import NDArray

FRAMES = 3 * SLOTS + 1


def made(gpu: FakeCuda, *, graphs: bool = False, slots: int = SLOTS) -> tuple[Device, Ring]:
    device = Device(0)
    ring = Ring(device, Work(gpu), IMAGE, MATTE, slots)
    if graphs:
        ring.capture()
    return device, ring


def through(
    ring: Ring, given: list[NDArray[np.uint8]], ahead: int = SLOTS
) -> list[NDArray[np.float32]]:
    """Return the mattes of images, with so many in flight; the images are spoilt at once."""
    found = []
    for image in given:
        if len(ring) == ahead:
            found.append(ring.collect())
        passing = image.copy()
        ring.submit(passing)
        passing[:] = 0
    while len(ring):
        found.append(ring.collect())
    return found


def right(found: list[NDArray[np.float32]]) -> bool:
    wanted = [mean(image) for image in images(FRAMES)]
    return all(map(np.array_equal, found, wanted)) and len(found) == len(wanted)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("policy", "seed"), POLICIES)
def test_frames_come_out_right_and_in_order(
    plug_gpu: Any, policy: str, seed: int, graphs: bool
) -> None:
    for ahead in range(1, SLOTS + 1):
        gpu = plug_gpu(policy, seed)
        device, ring = made(gpu, graphs=graphs)
        assert right(through(ring, images(FRAMES), ahead))
        device.close()


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_any_number_of_slots(plug_gpu: Any, slots: int) -> None:
    for seed in range(5):
        device, ring = made(plug_gpu("random", seed), slots=slots)
        assert right(through(ring, images(FRAMES), slots))
        device.close()


def test_random_turns_of_submit_and_collect(plug_gpu: Any) -> None:
    for seed in range(40):
        gpu = plug_gpu("random", seed)
        device, ring = made(gpu, graphs=bool(seed % 2))
        dice, given, found = np.random.default_rng(seed), images(FRAMES), []
        while len(found) < FRAMES:
            if given and len(ring) < SLOTS and (not len(ring) or dice.random() < 0.6):
                ring.submit(given.pop(0))
            else:
                found.append(ring.collect())
        assert right(found)
        device.close()


def test_a_full_ring_takes_no_more_and_an_empty_one_gives_nothing(gpu: FakeCuda) -> None:
    device, ring = made(gpu)
    with pytest.raises(IndexError):
        ring.collect()
    given = images(FRAMES)
    for image in given[:SLOTS]:
        ring.submit(image)
    before = len(gpu.log)
    with pytest.raises(IndexError):
        ring.submit(given[SLOTS])
    assert len(ring) == SLOTS
    assert len(gpu.log) == before  # nothing was asked for
    assert np.array_equal(ring.collect(), mean(given[0]))
    ring.submit(given[SLOTS])
    device.close()


def test_mattes_stay_what_they_were(gpu: FakeCuda) -> None:
    device, ring = made(gpu)
    found = through(ring, images(FRAMES))
    device.close()  # frees the memory that they came in
    assert right(found)


def test_nothing_waits_but_collect(gpu: FakeCuda) -> None:
    device, ring = made(gpu)
    for image in images(SLOTS):
        ring.submit(image)
    assert gpu.done == 0  # all three are in flight, and nobody waited
    assert not any("Synchronize" in call.name for call in gpu.log)
    ring.collect()
    assert gpu.done == 3  # copy in, compute, copy out of one frame
    assert [call.name for call in gpu.log if "Synchronize" in call.name] == ["cudaEventSynchronize"]
    device.close()


def test_the_steps_have_streams_of_their_own(gpu: FakeCuda) -> None:
    device, ring = made(gpu)
    through(ring, images(FRAMES))
    copies = {
        (call.arguments["kind"].name, call.arguments["stream"])
        for call in gpu.log
        if call.name == "cudaMemcpyAsync"
    }
    assert len({stream for _, stream in copies}) == len(copies) == 2
    assert gpu.calls["cudaStreamCreateWithFlags"] == 3
    events = [call for call in gpu.log if call.name == "cudaEventCreateWithFlags"]
    assert {call.arguments["flags"] for call in events} == {2}  # they order, and measure nothing
    device.close()


def test_a_frame_costs_the_same_calls_every_time(gpu: FakeCuda) -> None:
    device, ring = made(gpu, graphs=True)
    before = Counter(gpu.calls)
    through(ring, images(FRAMES))
    assert gpu.calls - before == {
        "cudaMemcpyAsync": 2 * FRAMES,
        "cudaEventRecord": 3 * FRAMES,
        "cudaStreamWaitEvent": 2 * FRAMES,
        "cudaGraphLaunch": FRAMES,
        "cudaEventSynchronize": FRAMES,
    }
    device.close()


def test_work_that_cannot_be_noted_down_can_still_be_done(gpu: FakeCuda) -> None:
    device = Device(0)
    inner, allocate = Work(gpu), True

    def work(source: int, target: int, stream: Any) -> None:
        if allocate:
            device.malloc(8)  # as what sets itself up on first use
        inner(source, target, stream)

    ring = Ring(device, work, IMAGE, MATTE)
    with pytest.raises(RuntimeFailure, match="cudaErrorStreamCaptureUnsupported"):
        ring.capture()
    assert right(through(ring, images(FRAMES)))
    allocate = False
    ring.capture()
    assert right(through(ring, images(FRAMES)))
    assert gpu.calls["cudaGraphLaunch"] == FRAMES
    device.close()


def test_a_capture_that_fails_halfway_changes_nothing(gpu: FakeCuda) -> None:
    device, ring = made(gpu)
    gpu.fail("cudaGraphInstantiate", "cudaErrorMemoryAllocation", after=2)
    with pytest.raises(OutOfMemory):
        ring.capture()
    assert right(through(ring, images(FRAMES)))
    assert gpu.calls["cudaGraphLaunch"] == 0
    device.close()


def test_no_room_for_the_buffers(plug_gpu: Any) -> None:
    gpu = plug_gpu(memory=300)
    device = Device(0)
    with pytest.raises(OutOfMemory):
        Ring(device, Work(gpu), IMAGE, MATTE)
    device.close()


def test_close_with_frames_in_flight(plug_gpu: Any) -> None:
    for policy, seed in POLICIES:
        device, ring = made(plug_gpu(policy, seed))
        for image in images(SLOTS):
            ring.submit(image)
        device.close()


def _calls() -> list[tuple[str, int]]:
    """Return each call of a life without failures: its name, and the how manieth of that name."""
    from fakes.fake_cuda import FakeCuda

    gpu = FakeCuda()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streammatte.runtimes.cuda.api", lambda: gpu)
        device, ring = made(gpu, graphs=True)
        through(ring, images(SLOTS + 1))
        device.close()
    names = sorted(name for name in gpu.calls if name != "cudaGetLastError")
    return [(name, turn + 1) for name in names for turn in range(gpu.calls[name])]


CALLS = _calls()


@pytest.mark.parametrize("policy", ["latest", "eager"])
@pytest.mark.parametrize("status", ["cudaErrorInvalidValue", "cudaErrorLaunchFailure"])
@pytest.mark.parametrize(("name", "turn"), CALLS)
def test_whatever_fails_is_told_and_everything_is_returned(
    plug_gpu: Any, name: str, turn: int, status: str, policy: str
) -> None:
    gpu = plug_gpu(policy, checked=False)
    gpu.fail(name, status, after=turn)
    raised: Exception | None = None
    device = None
    try:
        device = Device(0)
        ring = Ring(device, Work(gpu), IMAGE, MATTE)
        ring.capture()
        assert all(map(np.array_equal, through(ring, images(SLOTS + 1)), map(mean, images(4))))
    except StreamMatteError as caught:
        raised = caught
    if device is not None:
        device.close()
    gpu.assert_all_returned()
    gpu.assert_clean()
    if raised is None:
        assert (
            name in ("cudaStreamSynchronize", "cudaSetDevice")
            or "Destroy" in name
            or "Free" in name
        )
    else:
        silent = "cudaGraphDestroy"  # what is called next tells of the loss
        assert f"{status} in {name if name != silent else ''}" in str(raised)


# --- mistakes made on purpose: each must be found -----------------------------------------------


def compute_does_not_wait(device: Any, ring: Any) -> None:
    order = device.order
    device.order = lambda stream, event: stream is ring.compute or order(stream, event)


def copy_out_does_not_wait(device: Any, ring: Any) -> None:
    order = device.order
    device.order = lambda stream, event: stream is ring._copy_out or order(stream, event)


def collect_does_not_wait(device: Any, ring: Any) -> None:
    device.wait = lambda _event: None


def collect_waits_for(step: str) -> Callable[[Any, Any], None]:
    def mistake(device: Any, ring: Any) -> None:
        wait = device.wait
        slots = {int(slot.downloaded): getattr(slot, step) for slot in ring._slots}
        device.wait = lambda event: wait(slots[int(event)])

    mistake.__name__ = f"collect_waits_for_{step}"
    return mistake


def recorded_on(step: str, stream: str) -> Callable[[Any, Any], None]:
    def mistake(device: Any, ring: Any) -> None:
        record = device.record
        wrong = {int(getattr(slot, step)) for slot in ring._slots}

        def elsewhere(event: Any, where: Any) -> None:
            record(event, getattr(ring, stream) if int(event) in wrong else where)

        device.record = elsewhere

    mistake.__name__ = f"{step}_recorded_on{stream}"
    return mistake


def never_recorded(step: str) -> Callable[[Any, Any], None]:
    def mistake(device: Any, ring: Any) -> None:
        record = device.record
        missing = {int(getattr(slot, step)) for slot in ring._slots}
        device.record = lambda event, stream: int(event) in missing or record(event, stream)

    mistake.__name__ = f"{step}_never_recorded"
    return mistake


def recorded_too_early(device: Any, ring: Any) -> None:
    upload, record = device.upload, device.record
    by_image = {id(slot.image): slot.uploaded for slot in ring._slots}

    def early(address: int, image: Any, stream: Any) -> None:
        record(by_image[id(image)], stream)
        upload(address, image, stream)

    uploaded = {int(event) for event in by_image.values()}
    device.upload = early
    device.record = lambda event, stream: int(event) in uploaded or record(event, stream)


def shared(part: str) -> Callable[[Any, Any], None]:
    def mistake(device: Any, ring: Any) -> None:
        setattr(ring._slots[1], part, getattr(ring._slots[0], part))

    mistake.__name__ = f"{part}_shared"
    return mistake


def a_slot_too_many(device: Any, ring: Any) -> None:
    ring._free.append(ring._slots[0])


def slots_free_at_once(device: Any, ring: Any) -> None:
    submit = ring.submit

    def again(image: Any) -> None:
        slot = ring._free[0]
        submit(image)
        if len(ring._free) < len(ring._slots) - 1:
            ring._free.appendleft(slot)

    ring.submit = again


def on_the_default_stream(device: Any, ring: Any) -> None:
    ring._copy_in = 0


def one_stream_destroyed(device: Any, ring: Any) -> None:
    device._call("cudaStreamDestroy", ring._copy_out)


def a_buffer_freed(device: Any, ring: Any) -> None:
    device._call("cudaFree", ring._slots[2].target)


def graphs_mixed_up(device: Any, ring: Any) -> None:
    first, second, _ = ring._slots
    first.graph, second.graph = second.graph, first.graph


def image_not_copied(device: Any, ring: Any) -> None:
    """The image of the next frame goes into the slot that is in flight."""
    submit, last = ring.submit, []

    def late(image: Any) -> None:
        if last:
            last[0].image.array[:] = image
        last[:] = [ring._free[0]]
        submit(image)

    ring.submit = late


MISTAKES = [
    compute_does_not_wait,
    copy_out_does_not_wait,
    collect_does_not_wait,
    collect_waits_for("uploaded"),
    collect_waits_for("computed"),
    recorded_on("uploaded", "compute"),
    recorded_on("uploaded", "_copy_out"),
    recorded_on("computed", "_copy_in"),
    recorded_on("computed", "_copy_out"),
    recorded_on("downloaded", "_copy_in"),
    recorded_on("downloaded", "compute"),
    never_recorded("uploaded"),
    never_recorded("computed"),
    never_recorded("downloaded"),
    recorded_too_early,
    shared("image"),
    shared("source"),
    shared("target"),
    shared("matte"),
    a_slot_too_many,
    slots_free_at_once,
    on_the_default_stream,
    one_stream_destroyed,
    a_buffer_freed,
    graphs_mixed_up,
    image_not_copied,
]


def cases() -> list[Any]:
    """Return each mistake with and without graphs, where it is one."""
    without = {graphs_mixed_up}  # there are none to mix up
    within = {"source_shared", "target_shared"}  # a graph has addresses of its own
    return [
        pytest.param(one, graphs, id=f"{one.__name__}{'-graphs' if graphs else ''}")
        for one in MISTAKES
        for graphs in (False, True)
        if one not in (set() if graphs else without) and not (graphs and one.__name__ in within)
    ]


@pytest.mark.parametrize(("policy", "seed"), POLICIES[:4])
@pytest.mark.parametrize(("mistake", "graphs"), cases())
def test_mistakes_are_found(
    plug_gpu: Any, mistake: Callable[[Any, Any], None], graphs: bool, policy: str, seed: int
) -> None:
    gpu = plug_gpu(policy, seed, checked=False)
    device, ring = made(gpu, graphs=graphs)
    mistake(device, ring)
    ahead = SLOTS + 1 if mistake is a_slot_too_many else SLOTS
    wrong = ""
    try:
        if not right(through(ring, images(FRAMES), ahead)):
            wrong = "the mattes"
    except RuntimeFailure as error:
        wrong = str(error)
    assert gpu.violations, f"found by no violation; wrong: {wrong or 'nothing'}"
