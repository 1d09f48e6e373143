"""Every kind of sink keeps the contract of ``sinks.base.Sink``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streammatte.options import BackgroundSpec, RenderOptions
from streammatte.sinks import open_sink
from streammatte.sinks.codecs import EXTENSIONS, IMAGE_EXTENSIONS
from streammatte.sinks.null import Null
from streammatte.sources.synthetic import Synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.sinks import Sink

FILES = [*EXTENSIONS, *IMAGE_EXTENSIONS]
SUFFIXES = [*FILES, ""]


def opened(path: Path, *, overwrite: bool = False) -> tuple[Sink, Synthetic]:
    """Open the sink that a name asks for; no name is the sink that forgets."""
    source = Synthetic(96, 64, 1)
    if not path.suffix:
        return Null(), source
    if path.suffix in IMAGE_EXTENSIONS:
        from dataclasses import replace

        source.info = replace(source.info, still=True)
    options = RenderOptions(BackgroundSpec("blur"), overwrite=overwrite)
    return open_sink(path, source, options), source


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out{request.param}"


def listing(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


def test_leaving_it_puts_the_output_under_its_name_and_not_before(path: Path) -> None:
    sink, source = opened(path)
    with sink:
        for frame in source.frames():
            sink.write(frame)
        assert not path.exists()
        assert sink.description
        assert isinstance(sink.notes, list)
    assert listing(path) == ([path.name] if path.suffix else [])
    assert not path.suffix or path.stat().st_size > 100


@pytest.mark.parametrize("fault", [ValueError("boom"), KeyboardInterrupt()])
def test_a_fault_leaves_nothing_and_is_not_swallowed(path: Path, fault: BaseException) -> None:
    sink, source = opened(path)

    def work() -> None:
        with sink:
            sink.write(next(source.frames()))
            raise fault

    with pytest.raises(type(fault)) as caught:
        work()
    assert caught.value is fault
    assert listing(path) == []


@pytest.mark.parametrize("suffix", FILES)
def test_a_fault_keeps_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("precious")
    sink, source = opened(path, overwrite=True)

    def work() -> None:
        with sink:
            sink.write(next(source.frames()))
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        work()
    assert path.read_text() == "precious"
    assert listing(path) == [path.name]


@pytest.mark.parametrize("suffix", FILES)
def test_it_replaces_only_when_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    sink, source = opened(path, overwrite=True)
    with sink:
        for frame in source.frames():
            sink.write(frame)
        assert path.read_text() == "old"
    assert path.stat().st_size > 100
    assert listing(path) == [path.name]
