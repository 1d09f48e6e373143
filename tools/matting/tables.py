"""From records to what people read: tables of ratios, and whether what was promised holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matting.ours import DAMAGE
from matting.runs import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matting.runs import Record

LEAST = 1e-3
"""Added to both sides of a ratio: what is less than this of any figure is nothing."""
KNOWN = 50.0
"""J in per cent from which a network knows a clip's subject; ratios of others would say nothing.
Persons always count: whoever is not found today is to be found tomorrow."""
GROUPS: dict[str, Callable[[Record], bool]] = {
    "person": lambda record: record.kind == "person",
    "made": lambda record: record.kind != "real",
    "real": lambda record: record.kind == "real",
}
STEADY = (
    "dtSSD",
    "dtSSD, still",
    "dtSSD, moving",
    "MAD",
    "MSE",
    "Grad",
    "Conn",
    "MESSDdt",
    "flicker",
    "ghost",
)
EDGES = ("MAD", "MSE", "Grad", "dtSSD", "flicker")
BASES = (ALONE, "bilinear", "off")
"""The methods that others are compared with, of which each part has one."""
COLOURS = ("colour", "colour, soft", "composite", "restless")


class Ratio(NamedTuple):
    """How a method compares with another one over clips."""

    mean: float
    """Geometric."""
    worst: float
    clip: str
    """Where it is worst."""
    clips: int


class Records:
    """Records, and questions to them."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Sort the records."""
        self._by = {(one.part, one.source, one.clip, one.method): one for one in records}
        self.all = list(self._by.values())

    def sources(self, part: str) -> list[str]:
        """Return whose mattes there are, in the order of trying."""
        return list(dict.fromkeys(one.source for one in self.all if one.part == part))

    def methods(self, part: str, source: str) -> list[str]:
        """Return what was tried."""
        found = (one for one in self.all if (one.part, one.source) == (part, source))
        return list(dict.fromkeys(one.method for one in found))

    def of(self, part: str, source: str, method: str, group: str) -> list[Record]:
        """Return the records of a method over a group of clips whose subject is known."""
        return [
            one
            for one in self.all
            if (one.part, one.source, one.method) == (part, source, method)
            and GROUPS[group](one)
            and (group == "person" or not self.is_unknown(one))
        ]

    def is_unknown(self, record: Record) -> bool:
        """Whether the network does not know what this clip is of."""
        bases = (self._by.get((record.part, record.source, record.clip, base)) for base in BASES)
        return any(base.figures.get("J", 100.0) < KNOWN for base in bases if base is not None)

    def unknown(self, part: str, source: str) -> list[str]:
        """Return the clips whose subject the network does not know."""
        found = (one for one in self.all if (one.part, one.source) == (part, source))
        return list(dict.fromkeys(one.clip for one in found if self.is_unknown(one)))

    def ratio(
        self, part: str, source: str, method: str, base: str, figure: str, group: str
    ) -> Ratio | None:
        """Compare two methods by a figure; ``None`` if there is nothing to compare."""
        ratios = {}
        for one in self.of(part, source, method, group):
            other = self._by.get((part, source, one.clip, base))
            if other is not None and figure in one.figures and figure in other.figures:
                ratios[one.clip] = (one.figures[figure] + LEAST) / (other.figures[figure] + LEAST)
        if not ratios:
            return None
        clip = max(ratios, key=lambda name: ratios[name])
        mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
        return Ratio(mean, ratios[clip], clip, len(ratios))


# ---- tables


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{100 * (ratio.mean - 1):+.1f} %"


def _worst(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{100 * (ratio.worst - 1):+.1f} % ({ratio.clip})"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _ms(records: Sequence[Record]) -> str:
    known = [one.ms for one in records if one.ms is not None]
    return f"{np.median(known):.1f}" if known else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def ratio_table(
    records: Records, part: str, base: str, figures: Sequence[str], worst: str = "MAD"
) -> str:
    """Return a table: the base method's figures, and for every other by how much they change."""
    inferred = any("inferred" in one.notes for one in records.all if one.part == part)
    extra = ["frames inferred", "late"] if inferred else []
    titles = ["mattes", "clips", "method", *figures, f"worst {worst}", "CPU ms", *extra]
    lines = [_row(titles), "|---|---|---" + "|---:" * (len(titles) - 3) + "|"]
    for source in records.sources(part):
        for group in GROUPS:
            if records.of(part, source, base, group):
                lines += _group_rows(records, part, base, figures, worst, source, group, inferred)
    return "\n".join(lines)


def _group_rows(
    records: Records,
    part: str,
    base: str,
    figures: Sequence[str],
    worst: str,
    source: str,
    group: str,
    inferred: bool,
) -> Iterable[str]:
    for method in records.methods(part, source):
        found = records.of(part, source, method, group)
        if not found:
            continue
        if method == base:
            values = [_number(_mean(one.figures.get(name) for one in found)) for name in figures]
            last = ""
        else:
            ratios = {
                name: records.ratio(part, source, method, base, name, group)
                for name in {*figures, worst}
            }
            values, last = [_percent(ratios[name]) for name in figures], _worst(ratios[worst])
        cells = [source, f"{len(found)} {group}", method, *values, last, _ms(found)]
        if inferred:
            share = _mean(one.notes.get("inferred") for one in found)
            cells.append("" if share is None else f"{100 * share:.0f} %")
            late = [one.notes["late"] for one in found if "late" in one.notes]
            cells.append(f"{max(late):.0f}" if late else "")
        yield _row(cells)


def tables(records: Records, missing: dict[str, str]) -> str:
    """Return all that was measured, as Markdown."""
    parts = []
    if records.sources("steady"):
        parts.append(
            "**Steadiness**, against each frame's own matte (geometric means over clips)\n\n"
            + ratio_table(records, "steady", ALONE, STEADY)
        )
    if records.sources("every"):
        parts.append(
            "**The network on every N-th frame**, against every frame\n\n"
            + ratio_table(records, "every", ALONE, ("dtSSD", "MAD", "MSE", "ghost", "J", "F"))
        )
    for part in sorted({one.part for one in records.all if one.part.startswith("edges")}):
        lines = part.split()[1]
        parts.append(
            f"**Edges**, from {lines} rows (of 1080), against bilinear\n\n"
            + ratio_table(records, part, "bilinear", EDGES)
        )
    if records.sources("colours"):
        parts.append(
            "**Foreground colours**, against what the camera saw\n\n"
            + ratio_table(records, "colours", "off", COLOURS, "colour, soft")
        )
    notes = [f"{method}: skipped, {reason}" for method, reason in missing.items()]
    notes += [
        f"{source} does not know the subject of {', '.join(names)}"
        for part in ("steady", "every")
        for source in records.sources(part)
        if (names := records.unknown(part, source))
    ]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in dict.fromkeys(notes))]).strip()


# ---- what was promised


@dataclass(frozen=True)
class Bounds:
    """What must hold for steadied mattes."""

    live: float
    """The most that dtSSD may be of the per-frame mattes' in causal mode."""
    file: float
    mad: float = 1.0
    worst: float = 1.05
    ghost: float = 1.05


NETWORK = Bounds(live=0.74, file=0.60)
DAMAGED = Bounds(live=0.73, file=0.58)
OTHERS = Bounds(live=0.85, file=0.80, mad=1.01, worst=1.06)
EVERY_MAD = {"2": 1.02, "4": 1.06, "auto": 1.06}
REAL_EVERY_MAD = 1.08
INFERRED, LATE = 1 / 3, 2.0
FINE_MAD, FINE_GRAD, FINE_COLOUR = 0.60, 0.30, 0.25
ROUNDING = 1e-9


class Check(NamedTuple):
    """Something that was promised, and what was found."""

    show: int
    what: str
    value: float | None
    """``None`` if it could not be tried."""
    bound: float

    @property
    def word(self) -> str:
        """``pass``, ``FAIL`` or ``skipped``."""
        if self.value is None:
            return "skipped"
        return "pass" if self.value <= self.bound + ROUNDING else "FAIL"


def checks(records: Records, *, other: bool = False) -> list[Check]:
    """Return what the issue's Shows ask for, where this tool can tell.

    Args:
        records: What was measured.
        other: Whether the clips are not those that the methods were made with.
    """
    return [*_steady(records, other), *_every(records), *_edges(records), *_colours(records)]


def _of(ratio: Ratio | None) -> float | None:
    return None if ratio is None else ratio.mean


def _steady(records: Records, other: bool) -> Iterable[Check]:
    for source in records.sources("steady"):
        group = "made" if source == DAMAGE else "person"
        bounds = OTHERS if other else DAMAGED if source == DAMAGE else NETWORK
        for method, most in (("live", bounds.live), ("file", bounds.file)):

            def ratio(
                figure: str, group: str, method: str = method, source: str = source
            ) -> Ratio | None:
                return records.ratio("steady", source, method, ALONE, figure, group)

            name = f"{source}, {method}, {group} clips:"
            yield Check(1, f"{name} dtSSD", _of(ratio("dtSSD", group)), most)
            mad = ratio("MAD", group)
            yield Check(1, f"{name} MAD", _of(mad), bounds.mad)
            clip = f" ({mad.clip})" if mad else ""
            yield Check(1, f"{name} worst MAD{clip}", mad and mad.worst, bounds.worst)
            if source != DAMAGE:
                yield Check(1, f"{name} ghost", _of(ratio("ghost", group)), bounds.ghost)
            if real := ratio("MAD", "real"):
                yield Check(1, f"{source}, {method}, real clips: MAD", real.mean, OTHERS.mad)
                what = f"{source}, {method}, real clips: worst MAD ({real.clip})"
                yield Check(1, what, real.worst, OTHERS.worst)


def _every(records: Records) -> Iterable[Check]:
    for source in records.sources("every"):
        for method in records.methods("every", source):
            mode, _, every = method.partition(" ")
            if mode not in ("live", "file"):
                continue
            ratios = {
                (figure, group): records.ratio("every", source, method, ALONE, figure, group)
                for figure in ("MAD", "dtSSD")
                for group in ("made", "real")
            }
            name = f"{source}, {mode}, every {every}"
            if made := ratios["MAD", "made"]:
                bound = EVERY_MAD.get(every, EVERY_MAD["4"])
                yield Check(2, f"{name}, made clips: MAD", made.mean, bound)
                yield Check(2, f"{name}, made clips: dtSSD", _of(ratios["dtSSD", "made"]), 1.0)
            if every == "2" and (real := ratios["MAD", "real"]):
                yield Check(2, f"{name}, real clips: MAD", real.mean, REAL_EVERY_MAD)
            if every == "auto":
                yield from _auto(records, source, method, name)


def _auto(records: Records, source: str, method: str, name: str) -> Iterable[Check]:
    groups = (records.of("every", source, method, group) for group in ("made", "person"))
    for one in {record.clip: record for group in groups for record in group}.values():
        if one.scene == "talk":
            yield Check(2, f"{name}: inferred of {one.clip}", one.notes["inferred"], INFERRED)
        if "late" in one.notes:
            yield Check(2, f"{name}: frames late in {one.clip}", one.notes["late"], LATE)


def _edges(records: Records) -> Iterable[Check]:
    def ratio(lines: int, source: str, base: str, figure: str) -> float | None:
        return _of(records.ratio(f"edges {lines}", source, "fine", base, figure, "made"))

    if records.sources("edges 256"):
        for figure, bound in (("MAD", FINE_MAD), ("Grad", FINE_GRAD)):
            what = f"fine against bilinear, ideal 256: {figure}"
            yield Check(4, what, ratio(256, "ideal", "bilinear", figure), bound)
        for figure in ("MAD", "Grad"):
            what = f"fine against bicubic, ideal 512: {figure}"
            yield Check(4, what, ratio(512, "ideal", "bicubic", figure), 1.0)
        for lines in (256, 512):
            what = f"fine against bicubic, ideal {lines}: flicker"
            yield Check(4, what, ratio(lines, "ideal", "bicubic", "flicker"), 1.0)
    for source in records.sources("edges 256"):
        if source not in ("ideal", DAMAGE):
            for figure in ("MAD", "Grad"):
                what = f"fine against bilinear, {source} 256: {figure}"
                yield Check(4, what, ratio(256, source, "bilinear", figure), 1.0)


def _colours(records: Records) -> Iterable[Check]:
    for source in records.sources("colours"):
        ratio = records.ratio("colours", source, "fine", "off", "colour, soft", "made")
        if source == "ideal":
            yield Check(4, "fine colours in the soft band, true alpha", _of(ratio), FINE_COLOUR)
            continue
        clip = f" ({ratio.clip})" if ratio else ""
        what = f"fine colours in the soft band, {source}'s alpha, worst clip{clip}"
        yield Check(4, what, ratio and ratio.worst, 1.0)


def check_table(found: Sequence[Check]) -> str:
    """Return the checks, one a line, as Markdown."""
    lines = [_row(["Show", "what", "found", "at most", ""]), "|---:|---|---:|---:|---|"]
    for one in found:
        value = "" if one.value is None else f"{one.value:.3f}"
        lines.append(_row([str(one.show), one.what, value, f"{one.bound:.3f}", one.word]))
    return "\n".join(lines)
