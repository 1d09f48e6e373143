"""PyTorch on our streams: its side on the CPU, the streams' side on a virtual GPU."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny
from fakes.fixtures import POLICIES
from gpu_work import IMAGE, MATTE, images, mean
from gpu_work import Work as VirtualWork

from streammatte.errors import RuntimeFailure
from streammatte.runtimes import Placement
from streammatte.runtimes.base import Flight
from streammatte.runtimes.cuda import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fakes.fake_cuda import FakeCuda
    from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra export")
runtime = pytest.importorskip("streammatte.runtimes.torch")
overlap = pytest.importorskip("streammatte.runtimes.torch_overlap")

SIZE = (6, 4)
"""Of ``gpu_work``'s images."""


# ---- PyTorch's side: what is asked for, and when


class Mean(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Spreads the mean of an image over its matte, as ``gpu_work`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.failing: Exception | None = None

    def forward(self, image: Any) -> Any:
        self.runs += 1
        if self.failing is not None:
            raise self.failing
        return image.float().mean().expand(MATTE).half()


class Recorded:
    """A CUDA graph that is none: replaying it runs again what was asked for while it was noted."""

    def __init__(self) -> None:
        self.again: Callable[[], None] = lambda: None
        self.replays = 0
        self.was_reset = False

    def replay(self) -> None:
        self.replays += 1
        self.again()

    def reset(self) -> None:
        self.was_reset = True


class Cuda:
    """What is used of ``torch.cuda``, on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: list[int] = []
        self.current = 0
        self.graphs: list[Recorded] = []
        self.modes: list[str] = []
        self.module = Mean()
        self.memory: dict[int, Any] = {}
        self.cannot = ""
        """Why nothing can be noted down."""
        patches = {
            "ExternalStream": lambda pointer, **_: pointer,
            "stream": self.on,
            "current_stream": lambda _: self.current,
            "CUDAGraph": self.graph,
            "graph": self.noted,
        }
        for name, value in patches.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(overlap.Work, "_view", lambda _, address, __: self.memory[address])
        self.forgotten: list[int] = []
        """How often the module had run whenever work space was let go of."""
        monkeypatch.setattr(
            torch._C,
            "_cuda_clearCublasWorkspaces",
            lambda: self.forgotten.append(self.module.runs),
            raising=False,
        )

    @contextlib.contextmanager
    def on(self, stream: int) -> Iterator[None]:
        before, self.current = self.current, stream
        self.streams.append(stream)
        try:
            yield
        finally:
            self.current = before

    def graph(self) -> Recorded:
        self.graphs.append(Recorded())
        return self.graphs[-1]

    @contextlib.contextmanager
    def noted(self, _: Recorded, *, stream: int, capture_error_mode: str) -> Iterator[None]:
        assert stream == self.current != 0  # not on the default stream
        self.modes.append(capture_error_mode)
        before = self.module.runs
        yield
        assert self.module.runs == before + 1
        if self.cannot:
            raise RuntimeError(self.cannot)

    def work(self) -> Any:
        work = overlap.Work(self.module, torch.device("cpu"), IMAGE, MATTE, contextlib.nullcontext)
        self.memory = {1: torch.zeros(IMAGE, dtype=torch.uint8), 2: torch.zeros(MATTE)}
        return work

    def run(self, work: Any, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.memory[1].copy_(torch.from_numpy(image))
        work(1, 2, 7)
        found: NDArray[np.float32] = self.memory[2].numpy().copy()
        return found


@pytest.fixture
def torch_cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(monkeypatch)


def test_without_a_graph_the_module_runs_on_the_stream(torch_cuda: Cuda) -> None:
    work = torch_cuda.work()
    for image in images(3):
        assert np.allclose(torch_cuda.run(work, image), mean(image), rtol=1e-3)
    assert set(torch_cuda.streams) == {7}
    assert torch_cuda.module.runs == 3
    assert torch_cuda.current == 0


def test_noted_down_it_is_replayed_on_what_is_copied_in(torch_cuda: Cuda) -> None:
    work = torch_cuda.work()
    assert work.note_down(7) == ""
    (graph,) = torch_cuda.graphs
    assert torch_cuda.modes == ["thread_local"]  # others go on meanwhile

    def again() -> None:
        work._alpha.copy_(work._image.float().mean().expand(MATTE))

    work._alpha = torch.zeros(MATTE)
    graph.again = again
    runs = torch_cuda.module.runs
    for image in images(3):
        assert np.allclose(torch_cuda.run(work, image), mean(image), rtol=1e-3)
    assert graph.replays == 3
    assert torch_cuda.module.runs == runs  # Python asks for nothing else
    assert torch_cuda.forgotten == [0]  # before it was noted down
    work.close()
    assert graph.was_reset
    assert len(torch_cuda.forgotten) == 2
    work.close()


@pytest.mark.parametrize("where", ["module", "end"])
def test_what_cannot_be_noted_down_says_why_and_runs_all_the_same(
    where: str, torch_cuda: Cuda
) -> None:
    work = torch_cuda.work()
    words = "operation not permitted when stream is capturing"
    if where == "module":
        torch_cuda.module.failing = RuntimeError(words)
    else:
        torch_cuda.cannot = words
    assert work.note_down(7) == words
    torch_cuda.module.failing = None
    (image, *_) = images(1)
    assert np.allclose(torch_cuda.run(work, image), mean(image), rtol=1e-3)
    assert torch_cuda.graphs[0].replays == 0
    assert torch_cuda.current == 0


def test_memory_is_told_as_others_understand_it() -> None:
    told = overlap.There(4096, IMAGE, "|u1").__cuda_array_interface__
    assert told == {
        "shape": IMAGE,
        "typestr": "|u1",
        "data": (4096, False),
        "version": 3,
        "strides": None,
    }


# ---- the streams' side


class Fake(VirtualWork):
    """``torch_overlap.Work`` on a virtual GPU."""

    gpu: FakeCuda
    made: list[Fake]
    cannot = ""
    failing: Exception | None = None
    """What is raised where it is asked for a run."""

    def __init__(self, *_: Any) -> None:
        super().__init__(self.gpu)
        self.runs = 0
        self.before: int | None = None
        """Runs before it was noted down."""
        self.closed = 0
        self.made.append(self)

    def __call__(self, source: int, target: int, stream: Any) -> None:
        if self.failing is not None:
            raise self.failing
        self.runs += 1
        super().__call__(source, target, stream)

    def note_down(self, _: Any) -> str:
        self.before = self.runs
        return self.cannot

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch, plug_gpu: Any) -> Callable[..., type[Fake]]:
    def plug(*policy: Any, **words: Any) -> type[Fake]:
        kind = type("Fake", (Fake,), {"gpu": plug_gpu(*policy, **words), "made": []})
        monkeypatch.setattr(overlap, "Work", kind)
        return kind

    return plug


def overlapped(**words: Any) -> Any:
    return overlap.Overlapped(
        None, torch.device("cuda", 0), IMAGE, MATTE, contextlib.nullcontext, **words
    )


@pytest.mark.parametrize(("policy", "seed"), POLICIES)
def test_frames_come_out_right_and_in_order(virtual: Any, policy: str, seed: int) -> None:
    kind = virtual(policy, seed)
    ours = overlapped()
    found, given = [], images(10)
    for index, image in enumerate(given):
        if index >= overlap.SLOTS:
            found.append(ours.collect())
        ours.submit(image)
    found += [ours.collect() for _ in range(overlap.SLOTS)]
    assert all(map(np.array_equal, found, map(mean, given)))
    assert kind.made[0].before == overlap.WARM  # libraries have chosen their kernels by then
    assert ours.why_no_graphs == ""
    ours.close()
    ours.close()


def test_graphs_that_cannot_be_are_told_and_those_nobody_wants_not_tried(virtual: Any) -> None:
    kind = virtual("latest")
    kind.cannot = "no"
    ours = overlapped()
    assert ours.why_no_graphs == "no"
    ours.close()
    ours = overlapped(graph=False)
    assert kind.made[-1].before is None
    assert ours.why_no_graphs
    ours.close()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), OutOfMemory, "too small for 1 at"),
        (RuntimeError("a kernel\nfailed"), RuntimeFailure, "PyTorch failed on a frame: a kernel"),
    ],
)
def test_what_fails_is_told_and_nothing_is_kept(
    error: Exception, kind: Any, words: str, virtual: Any
) -> None:
    virtual("latest").failing = error
    with pytest.raises(kind, match=words) as caught:
        overlapped()
    assert "\n" not in str(caught.value)


def test_too_little_memory_for_its_buffers_is_told(virtual: Any) -> None:
    virtual("latest").gpu.fail("cudaMalloc", "cudaErrorMemoryAllocation")
    with pytest.raises(OutOfMemory):
        overlapped()


# ---- the runtime


class Halves(tiny.Tiny):
    """A network that gives half of what it sees."""

    def module(self, size: tuple[int, int]) -> Any:  # noqa: ARG002  any will do
        class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, image: Any) -> Any:
                return image[..., 0][:, None].float() / 510

        return Module()


class Passing:
    """``Overlapped`` that is none."""

    made: list[Passing]
    why = ""
    error: Exception | None = None

    def __init__(self, module: Any, _: Any, image: Any, matte: Any, __: Any, **words: Any) -> None:
        if self.error is not None:
            raise self.error
        self.module, self.image, self.matte, self.words = module, image, matte, words
        self.why_no_graphs = self.why
        self.waiting: list[Any] = []
        self.closed = False
        self.made.append(self)

    def submit(self, given: NDArray[np.uint8]) -> None:
        assert given.shape == self.image
        self.waiting.append(self.module(torch.from_numpy(given.copy())).numpy())

    def collect(self) -> Any:
        return self.waiting.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> type[Passing]:
    """Let there be a GPU that calculates, the CPU by a name that nobody can ask for."""
    kind = type("Passing", (Passing,), {"made": []})
    monkeypatch.setattr(runtime, "_place", lambda _: torch.device("cpu", 0))
    monkeypatch.setattr(runtime, "_words", lambda _: "a GPU")
    monkeypatch.setattr(runtime, "_why_not_overlapped", lambda _: "")
    monkeypatch.setattr(overlap, "Overlapped", kind)
    return kind


def opened(folder: Path, **words: Any) -> Any:
    return runtime.Torch(Halves(folder), SIZE, Placement("cuda", **words))


def test_frames_overlap_one_at_a_time(tmp_path: Path, passing: type[Passing]) -> None:
    network = opened(tmp_path)
    (ours,) = passing.made
    assert (network.batch, network.slots, network.has_graphs) == (1, 3, True)
    assert (ours.image, ours.matte) == (IMAGE, MATTE)
    assert network.description == f"PyTorch {torch.__version__} on a GPU"
    flight = Flight(network)
    assert flight.slots == 3
    given = images(3)
    for image in given:
        flight.submit(image)
    for image in given:
        assert np.allclose(flight.collect()[0, 0], image[0, ..., 0] / 510)
    network.close()
    network.close()
    assert ours.closed


def test_a_batch_that_was_asked_for_is_filled(tmp_path: Path, passing: type[Passing]) -> None:
    network = opened(tmp_path, batch=4)
    assert network.batch == passing.made[0].image[0] == 4
    given = np.concatenate(images(3))
    found = network.infer(given)
    assert np.allclose(found[:, 0], given[..., 0] / 510)


def test_without_graphs_it_says_so(tmp_path: Path, passing: type[Passing]) -> None:
    passing.why = "it looks at what it computes"
    network = opened(tmp_path)
    assert network.description.endswith("on a GPU without CUDA graphs")
    assert (network.has_graphs, network.why_no_graphs) == (False, "it looks at what it computes")
    assert network.slots == 3


def test_graphs_that_nobody_wants_are_not_asked_for(
    tmp_path: Path, passing: type[Passing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.Torch, "wants_graphs", False)
    opened(tmp_path)
    assert passing.made[0].words == {"graph": False}


def test_where_frames_cannot_overlap_they_come_one_by_one(
    tmp_path: Path, passing: type[Passing]
) -> None:
    passing.error = OutOfMemory("the memory is too small")
    network = opened(tmp_path)
    assert network.slots == 1
    assert network.description.endswith("on a GPU, one frame at a time: the memory is too small")
    (image, *_) = images(1)
    assert np.allclose(network.infer(image)[0, 0], image[0, ..., 0] / 510)
    flight = Flight(network)
    flight.submit(image)
    assert np.allclose(flight.collect()[0, 0], image[0, ..., 0] / 510)


def test_only_nvidias_gpus_with_their_bindings_overlap(
    monkeypatch: pytest.MonkeyPatch, plug_gpu: Any
) -> None:
    from streammatte.errors import DependencyError

    cuda = torch.device("cuda", 0)
    plug_gpu("latest")
    assert runtime._why_not_overlapped(cuda) == ""
    for kind in ("cpu", "mps", "xpu", "meta"):
        assert "NVIDIA" in runtime._why_not_overlapped(torch.device(kind))
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "hip", "7.0")
        assert "NVIDIA" in runtime._why_not_overlapped(cuda)

    def missing() -> Any:
        raise DependencyError("CUDA's Python bindings do not load: pip install cuda-bindings")

    monkeypatch.setattr("streammatte.runtimes.cuda.api", missing)
    assert "pip install cuda-bindings" in runtime._why_not_overlapped(cuda)
