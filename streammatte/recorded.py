"""A render with its job file, and one that repeats what a job file says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte import job, pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streammatte.job import Job
    from streammatte.options import RenderOptions
    from streammatte.pipeline import Event, Report

Record = bool | Path | None
"""Where the job file goes: a path; ``True`` beside the output, ``False`` nowhere, ``None`` beside
the output if ``job.wanted`` says so."""


class Recorder:
    """Listens to a render for what its job file needs, and passes on what it hears."""

    def __init__(
        self, options: RenderOptions, record: Record, tell: Callable[[Event], None]
    ) -> None:
        self._options = options
        self._record = record
        self._tell = tell
        self.path: Path | None = None
        """Where the job file goes, from the start of the render on; ``None`` if there is none."""
        self.network_size: tuple[int, int] | None = None

    def hear(self, event: Event) -> None:
        """Pass an event on; at the start, decide where the job file goes.

        Raises:
            OutputError: if something else is there.
        """
        if isinstance(event, pipeline.Start):
            self.network_size = event.network_size
            self.path = self._place(Path(event.output))
            if self.path is not None:
                overwrite = self._options.overwrite
                job.check_place(self.path, event.output, overwrite=overwrite)
        self._tell(event)

    def _place(self, output: Path) -> Path | None:
        if isinstance(self._record, Path):
            return self._record
        keep = job.wanted(output, self._options) if self._record is None else self._record
        return job.place(output) if keep else None


def render(
    where: str | Path | Sequence[str | Path],
    output: str | Path | None,
    options: RenderOptions,
    tell: Callable[[Event], None] = pipeline.unheard,
    record: Record = None,
    repeated: Job | None = None,
) -> Report:
    """Render as ``pipeline.render`` does, and write the job file when the result is whole.

    What the job reads is read once more meanwhile, on a thread of its own, for the digests.

    Args:
        where: The footage. A list of photographs has no job file.
        output: Where the result goes; ``None`` for a name beside the footage.
        options: Everything else.
        tell: Told how it goes.
        record: Where the job file goes.
        repeated: The job that this repeats: the report says what was not as it had been.

    Raises:
        StreamMatteError: of the kind that ``errors`` describes; no output is left behind.
    """
    if not isinstance(where, (str, Path)):  # a job file names one input
        return pipeline.render(where, output, options, tell)
    recorder = Recorder(options, record, tell)
    # Without a name for the output, a result that is to be recorded shows in the options or in
    # the footage, whose kind it has.
    likely = job.wanted(Path(where if output is None else output), options)
    needed = repeated is not None or (likely if record is None else record is not False)
    files = job.sources(where, options) if needed else {}
    with job.Digests(files, serial=options.serial) as digests:
        report = pipeline.render(where, output, options, recorder.hear)
    if recorder.path is not None and not needed:
        digests = job.Digests(job.sources(where, options), serial=True)
    contents = digests.result()
    if repeated is not None:
        told = [*repeated.warnings, *repeated.differences(contents, report)]
        report = replace(report, notes=[*report.notes, *told])
    if recorder.path is not None:
        report = replace(report, job=str(recorder.path))
        size = recorder.network_size if report.digest else None
        job.write(recorder.path, where, options, report, contents, size)
    return report


def repeat(
    path: str | Path,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    tell: Callable[[Event], None] = pipeline.unheard,
    record: Record = None,
) -> Report:
    """Render what a job file says once more.

    Args:
        path: Of the job file.
        output: Where the result goes; ``None`` for where it went then.
        overwrite: Whether it may be replaced.
        tell: Told how it goes.
        record: Where the new job file goes.

    Raises:
        StreamMatteError: of the kind that ``errors`` describes; no output is left behind.
    """
    old = job.read(Path(path))
    options = replace(old.options, overwrite=overwrite)
    return render(old.input, output or old.output, options, tell, record, repeated=old)
