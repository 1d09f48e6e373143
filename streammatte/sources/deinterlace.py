"""Interlaced material made progressive, by FFmpeg's bwdif: one frame out for each one in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction


class Deinterlacer:
    """Passes progressive frames through; from the first interlaced one on, runs bwdif."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    @property
    def active(self) -> bool:
        """Whether frames go through the filter, which takes planar ones only."""
        return self._graph is not None

    def push(self, frame: av.VideoFrame, time_base: Fraction) -> Iterator[av.VideoFrame]:
        """Take a frame, yield those that are ready (one frame late once active)."""
        if self._graph is None and not frame.interlaced_frame:
            yield frame
            return
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:  # a filter keeps to the size it was made for
            yield from self.flush()
            self._graph = filter_chain(
                frame, time_base, ("bwdif", "mode=send_frame:deint=interlaced")
            )
            self._shape = shape
        assert self._graph is not None
        frame.time_base = time_base
        self._graph.push(frame)
        yield from self._ready()

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yield what is left."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(frame, av.VideoFrame)
            yield frame


def filter_chain(
    frame: av.VideoFrame, time_base: Fraction, *filters: tuple[str, str]
) -> av.filter.Graph:
    """Build a chain of filters, each a name and its options, for frames like ``frame``."""
    graph = av.filter.Graph()
    buffer = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=time_base
    )
    chain = [graph.add(name, options) for name, options in filters]
    graph.link_nodes(buffer, *chain, graph.add("buffersink")).configure()
    return graph
