"""Computes the figures of the literature over a folder of pictures and ground truths.

    python tools/evaluate.py DIS5K/DIS-VD --model birefnet-lite
    python tools/evaluate.py COD10K-v3/Test --predictions mattes/
    python tools/evaluate.py P3M-10k/validation/P3M-500-NP --model birefnet-matting --json out.json
    python tools/evaluate.py --images photographs --truth masks --model selfie --protocol product

With DIS5K unpacked, the first line runs our export of BiRefNet-lite over the 470 pictures of its
validation set, the way the authors' own evaluation does, and prints S-, F-, E- and weighted
F-measure and MAE beside what the authors published for that network. Folders are recognised as
they come out of the archives of DIS5K and HRSOD (im, gt), COD10K (Image or Imgs, GT_Object or GT),
DUT-OMRON (DUT-OMRON-image, pixelwiseGT-new-PNG) and P3M (blurred_image or original_image, mask,
trimap); files belong together by their names, endings apart, and what has no partner is said.

Figures of segmentation equal those of pysodmetrics 1.6.2, which equal the official ones: maxF and
meanF with beta^2 = 0.3, the maximum and mean over 256 thresholds of curves averaged over pictures;
adpF and adpE at twice the prediction's mean; MAE after the truth was split in two and the
prediction stretched. Figures of matting are SAD, Grad and Conn divided by 1000, MSE and MAD times
1000, over the whole picture and, where there is a trimap or with --trimap-width, over its unknown
part. DIS5K's human correction effort (HCE), which skeletonises and counts corners of outlines, is
left out. Exit codes are those of streammatte.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import cv2
import numpy as np
from evaluation import data_sets, matting, segmentation
from evaluation.predicting import Folder, Network, Wish
from evaluation.published import published

from streammatte.errors import InputError, OutputError, StreamMatteError, UsageError
from streammatte.runtimes import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evaluation.data_sets import DataSet, Item
    from evaluation.predicting import Prediction, Predictor
    from evaluation.published import Published

DIGITS = 3
"""Of all figures on the terminal, as in the tables of the literature."""
WORKERS = 8
"""The most threads, unless more are asked for: memory is theirs times that of a picture."""
FAMILIES = ("segmentation", "matting", "all")


@dataclass(frozen=True)
class Plan:
    """What is measured of each picture."""

    family: str
    """One of ``FAMILIES``."""
    trimap_width: int | None = None
    """Pixels on either side of soft ones that are unknown; ``None`` for what trimaps say."""
    save: Path | None = None
    """Where predictions are kept, at the size of the truth."""


@dataclass(frozen=True)
class Result:
    """What one picture got."""

    name: str
    scores: segmentation.Scores | None
    mattes: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """All of it by name."""
        return {**(self.scores.figures if self.scores else {}), **self.mattes}


def measure(item: Item, prediction: Prediction, plan: Plan) -> Result:
    """Compare one prediction with its truth.

    Raises:
        InputError: if a file cannot be read.
        OutputError: if the prediction cannot be kept.
    """
    truth = data_sets.read_grey(item.truth)
    height, width = truth.shape
    given = prediction((height, width))
    if given.shape != truth.shape:
        given = np.asarray(cv2.resize(given, (width, height), interpolation=cv2.INTER_LINEAR))
    if plan.save is not None:
        _save(plan.save / f"{item.name}.png", given)
    scores = segmentation.score(given, truth) if plan.family != "matting" else None
    if plan.family == "segmentation":
        return Result(item.name, scores, {})
    unknown = None
    if plan.trimap_width is not None:
        unknown = matting.unknown_around(truth, plan.trimap_width)
    elif item.trimap is not None:
        trimap = data_sets.read_grey(item.trimap)
        if trimap.shape != truth.shape:
            raise InputError(f"{item.trimap} is not of the same size as {item.truth}")
        unknown = matting.unknown_of(trimap)
    return Result(item.name, scores, matting.score(given, truth, unknown))


def _save(path: Path, matte: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", matte)[1].tobytes())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def measured(
    items: Sequence[Item], predictor: Predictor, plan: Plan, workers: int
) -> Iterator[Result]:
    """Yield what every picture got; no more than two a worker are held in memory."""
    with (
        closing(predictor.predictions(items)) as predictions,
        ThreadPoolExecutor(workers) as pool,
    ):
        waiting: deque[Any] = deque()
        try:
            for item, prediction in predictions:
                waiting.append(pool.submit(measure, item, prediction, plan))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def mean(results: Sequence[Result]) -> dict[str, float]:
    """Return the figures of a data set; a figure that few have is the mean over those few."""
    scores = [result.scores for result in results if result.scores]
    figures = segmentation.mean(scores).figures if scores else {}
    names = dict.fromkeys(name for result in results for name in result.mattes)
    for name in names:
        values = [result.mattes[name] for result in results if name in result.mattes]
        figures[name] = float(np.mean(values))
    return figures


# ---- what people read


class Progress:
    """Counts on standard error, if somebody is looking."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._shown = sys.stderr.isatty()

    def step(self) -> None:
        """Count one more."""
        self._done += 1
        if self._shown:
            end = "\n" if self._done == self._total else ""
            print(f"\r{self._done} of {self._total} pictures", end=end, file=sys.stderr, flush=True)


def table(figures: dict[str, float], other: Published | None) -> str:
    """Return the figures, and those that were published beside them, one a line."""
    lines = [f"{'':14}{'ours':>10}" + (f"{'published':>12}{'difference':>12}" if other else "")]
    for name, value in figures.items():
        line = f"{name:14}{value:10.{DIGITS}f}"
        if other and name in other.figures:
            theirs = other.figures[name]
            line += f"{theirs:12.{DIGITS}f}{value - theirs:+12.{DIGITS}f}"
        lines.append(line)
    if other:
        lines.append(f"published: {other.source}, at {other.size}")
    return "\n".join(lines)


def report(
    data_set: DataSet, predictor: Predictor, results: Sequence[Result], other: Published | None
) -> dict[str, Any]:
    """Return all that is known, ready for JSON."""
    return {
        "data_set": data_set.name,
        "predictions": predictor.description,
        "pictures": len(results),
        "notes": [*data_set.notes, *predictor.notes],
        "figures": mean(results),
        "published": other and other._asdict(),
        "per_picture": {
            result.name: result.figures for result in sorted(results, key=lambda one: one.name)
        },
    }


# ---- the command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        UsageError: if it makes no sense.
    """
    told = _parser().parse_args(arguments)
    if bool(told.folders) == bool(told.truth):
        raise UsageError("name the folder of a data set, or --truth and --images")
    if bool(told.model) == bool(told.predictions):
        raise UsageError("say either --model, to make predictions, or --predictions, to read them")
    if told.truth and told.model and not told.images:
        raise UsageError("--model needs --images beside --truth")
    if told.images and not told.truth:
        raise UsageError("--images needs --truth")
    if len(told.folders) > 1 and (told.predictions or told.save):
        raise UsageError("--predictions and --save are for one data set at a time")
    if told.json and not told.json.absolute().parent.is_dir():
        raise UsageError(f"--json {told.json}: there is no such folder; make it first")
    return told


def _parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = _Parser(
        prog="evaluate",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what is evaluated")
    what.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="a data set's folder")
    what.add_argument("--images", type=Path, metavar="DIR", help="pictures, instead of FOLDER")
    what.add_argument("--truth", type=Path, metavar="DIR", help="ground truths, instead of FOLDER")
    what.add_argument("--limit", type=_count, metavar="N", help="only the first N pictures")
    who = parser.add_argument_group("whose predictions")
    who.add_argument("--predictions", type=Path, metavar="DIR", help="mattes that were made before")
    who.add_argument("--model", metavar="NAME|PATH", help="a network of ours, as for render")
    who.add_argument("--weights", metavar="PATH|random", help="instead of the network's own")
    who.add_argument("--runtime", default="auto", help="what runs it (%(default)s)")
    who.add_argument("--device", default="auto", help="where it runs (%(default)s)")
    who.add_argument("--precision", default="auto", choices=("auto", "fp32", "fp16"))
    who.add_argument("--size", type=_size, metavar="N|HxW", help="its input (as it was trained)")
    who.add_argument(
        "--protocol",
        choices=("official", "product"),
        default="official",
        help="treat pictures as BiRefNet's authors do, or as render does (%(default)s)",
    )
    how = parser.add_argument_group("what comes out")
    how.add_argument("--figures", choices=FAMILIES, help="all for P3M and --truth, else the first")
    how.add_argument(
        "--trimap-width",
        type=_count,
        metavar="N",
        help="figures of matting also within N pixels of the truth's soft ones",
    )
    how.add_argument("--json", type=Path, metavar="FILE", help="every picture's figures")
    how.add_argument("--save", type=Path, metavar="DIR", help="keep the predictions as PNG")
    how.add_argument(
        "--workers",
        type=_count,
        default=min(os.cpu_count() or 1, WORKERS),
        metavar="N",
        help="threads (%(default)s); each takes about 50 bytes a pixel",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _size(text: str) -> int | tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not width:
        return _count(height)
    return _count(width), _count(height)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, which is that of ``streammatte.errors``."""
    try:
        told = parse(arguments)
        reports = [evaluate(source, told) for source in told.folders or [None]]
        if told.json is not None:
            _write(told.json, reports[0] if len(reports) == 1 else reports)
    except StreamMatteError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nevaluate: interrupted", file=sys.stderr)
        return 130
    return 0


def evaluate(folder: Path | None, told: argparse.Namespace) -> dict[str, Any]:
    """Evaluate one data set, print its table, and return all that is known of it.

    Raises:
        StreamMatteError: of the kind that ``streammatte.errors`` describes.
    """
    data_set = _data_set(folder, told)
    predictor, data_set = _predictor(data_set, told)
    family = told.figures or ("all" if data_set.mattes else "segmentation")
    plan = Plan(family, told.trimap_width, told.save)
    _tell(data_set.notes)
    progress, results = Progress(len(data_set.items)), []
    for result in measured(data_set.items, predictor, plan, told.workers):
        results.append(result)
        progress.step()
    _tell(predictor.notes)
    other = published(predictor.names, data_set.name)
    print(f"{data_set.name}: {len(results)} pictures, {predictor.description}\n")
    print(table(mean(results), other), end="\n\n")
    return report(data_set, predictor, results, other)


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _data_set(folder: Path | None, told: argparse.Namespace) -> DataSet:
    if folder is not None:
        data_set = data_sets.find(folder)
    else:
        name = told.truth.resolve().parent.name
        data_set = data_sets.pair(name, told.images, told.truth, None, mattes=True)
    items, limit = data_set.items, told.limit
    if limit is None or limit >= len(items):
        return data_set
    note = f"only {limit} of {len(items)} pictures: not to be compared with figures over all"
    return replace(data_set, items=items[:limit], notes=[*data_set.notes, note])


def _predictor(data_set: DataSet, told: argparse.Namespace) -> tuple[Predictor, DataSet]:
    """Return who predicts, and the data set without what there are no predictions of."""
    if told.model:
        placement = Placement(told.device, told.precision)
        official = told.protocol == "official"
        wish = Wish(told.model, told.weights, told.runtime, placement, told.size, official)
        return Network(wish), data_set
    found = data_sets.stems(told.predictions)
    items = [item for item in data_set.items if item.name in found]
    if not items:
        raise InputError(f"no file in {told.predictions} has the name of a picture of the data set")
    lacking = [item.name for item in data_set.items if item.name not in found]
    notes = [*data_set.notes, *data_sets.missing("no prediction", lacking)]
    return Folder(told.predictions, found), replace(data_set, items=items, notes=notes)


def _write(path: Path, content: Any) -> None:
    try:
        path.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


if __name__ == "__main__":
    cv2.setNumThreads(1)  # every picture has a thread of its own already
    sys.exit(main())
