"""The matting benchmark: a small clip made here, the truth damaged, through the whole command."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH, COUNT = 108, 192, 10


@pytest.fixture(scope="module")
def tool() -> Any:
    """``tools/matting_benchmark.py``, which finds its parts beside it."""
    threads = cv2.getNumThreads()
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import matting_benchmark

        yield matting_benchmark
    finally:
        sys.path.remove(str(ROOT / "tools"))
        cv2.setNumThreads(threads)


def wall() -> Bytes:
    """A patterned background: uint8 B'G'R'."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (14, 24, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def disc(x: float, radius: float = 30) -> Bytes:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(rows - 60, columns - x)
    return np.rint(255 * np.clip((radius - away) / 3 + 0.5, 0, 1)).astype(np.uint8)


def make(tool: Any, folder: Path, places: list[float], **meta: Any) -> Path:
    """Write a clip of a red disc that goes from place to place."""
    for index, x in enumerate(places):
        alpha = disc(x)
        colours = np.full((HEIGHT, WIDTH, 3), (40, 60, 200), np.uint8)
        colours[::6] = (60, 90, 240)
        share = alpha[..., None] / 255
        seen = np.rint(share * colours + (1 - share) * wall()).astype(np.uint8)
        tool.clips.write_frame(folder, index, {"com": seen, "pha": alpha, "fgr": colours})
    if meta:
        (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture
def clips(tool: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    sways = [96 + 3 * np.sin(index) for index in range(COUNT)]
    make(tool, folder / "00_talk", sways, scene="talk", kind="person", fps=25.0)
    enters = [-60, -60, -40, 0, 30, 40, 50, 60, 60, 60]
    make(tool, folder / "01_enter", enters, scene="enter", kind="thing", fps=25.0)
    return folder


def run(tool: Any, tmp_path: Path, *words: object) -> int:
    told = [str(word) for word in (*words, "--cache", tmp_path / "cache")]
    code: int = tool.main(told)
    return code


def record(tool: Any, clip: str, method: str, **figures: float) -> Any:
    return tool.runs.Record("steady", "damage", clip, "thing", "", method, figures)


# ---- the whole command


class TestCommand:
    def test_tables_a_sheet_and_json(
        self, tool: Any, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "o.json"
        words = ("--clips", clips, "--network", "damage", "-o", output)
        assert run(tool, tmp_path, *words) == 0
        told = capsys.readouterr().out
        for title in ("Steadiness", "every N-th frame", "Edges", "Foreground colours", "| Show |"):
            assert title in told
        report = json.loads(output.read_text())
        records = {(one["part"], one["clip"], one["method"]): one for one in report["records"]}
        for part, method in (
            ("steady", "per frame"),
            ("steady", "old"),
            ("every", "repeat 4"),
            ("edges 256", "bilinear"),
            ("edges 512", "bicubic"),
            ("colours", "fast"),
        ):
            for clip in ("00_talk", "01_enter"):
                assert all(np.isfinite(list(records[part, clip, method]["figures"].values())))
        alone = records["steady", "00_talk", "per frame"]["figures"]
        assert 1 < alone["MAD"] < 20
        assert alone["dtSSD"] > 1
        held = records["every", "01_enter", "repeat 4"]["figures"]
        assert held["MAD"] > 2 * records["every", "01_enter", "per frame"]["figures"]["MAD"]
        fast, off = (records["colours", "00_talk", how]["figures"] for how in ("fast", "off"))
        assert fast["colour, soft"] < off["colour, soft"]

        sheet = cv2.imread(str(output.with_suffix(".png")))
        rows = {one["clip"] for one in report["records"]}
        assert sheet.shape[0] >= len(rows) * 3 * 100
        assert sheet.std() > 20

    def test_the_same_twice(self, tool: Any, clips: Path, tmp_path: Path) -> None:
        figures = []
        for name in ("one.json", "two.json"):
            words = ("--clips", clips, "--network", "damage", "--only", "steady,every")
            assert run(tool, tmp_path, *words, "-o", tmp_path / name) == 0
            report = json.loads((tmp_path / name).read_text())
            figures.append([one["figures"] for one in report["records"]])
        assert figures[0] == figures[1]

    def test_the_embedded_network(
        self, tool: Any, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It does not know discs: that is said, and such clips count only if they are persons."""
        words = ("--clips", clips, "--network", "selfie", "--only", "steady", "--frames", 3)
        assert run(tool, tmp_path, *words) == 0
        told = capsys.readouterr().out
        assert "selfie does not know the subject of" in told
        assert "| selfie | 1 person | per frame |" in told
        assert list((tmp_path / "cache" / "mattes").glob("*.npy"))

    def test_tables_go_into_a_readme(self, tool: Any, clips: Path, tmp_path: Path) -> None:
        pytest.importorskip("psutil")
        readme = tmp_path / "README.md"
        readme.write_text("before\n<!-- matting -->\nold\n<!-- /matting -->\nafter\n")
        words = ("--clips", clips, "--network", "damage", "--only", "steady", "--frames", 3)
        assert run(tool, tmp_path, *words, "--readme", readme) == 0
        content = readme.read_text()
        assert "| damage | 1 person | per frame |" in content
        assert "old\n" not in content
        assert content.startswith("before\n")
        assert content.endswith("after\n")

    @pytest.mark.parametrize(("value", "words", "code"), [(0.9, ["--check"], 1), (0.9, [], 0)])
    def test_a_promise_that_is_not_kept(
        self,
        tool: Any,
        clips: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        value: float,
        words: list[str],
        code: int,
    ) -> None:
        broken = tool.tables.Check(1, "steady", value, 0.5)
        monkeypatch.setattr(tool.tables, "checks", lambda *_, **__: [broken])
        what = ("--clips", clips, "--network", "damage", "--only", "steady", "--frames", 2)
        assert run(tool, tmp_path, *what, *words) == code
        assert "| 1 | steady | 0.900 | 0.500 | FAIL |" in capsys.readouterr().out

    def test_what_is_not_there_is_skipped_with_a_word(
        self,
        tool: Any,
        clips: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.delattr(tool.ours.smooth, "live", raising=False)
        words = ("--clips", clips, "--network", "damage", "--only", "steady", "--frames", 3)
        assert run(tool, tmp_path, *words, "--check") in (0, 1)
        told = capsys.readouterr().out
        assert "- live: skipped, stages.smooth has no live()" in told
        assert "| 1 | damage, live, made clips: dtSSD |  | 0.730 | skipped |" in told
        assert "| damage | 2 made | live |" not in told

    @pytest.mark.parametrize(
        ("words", "code", "complaint"),
        [
            (["--clips", "nowhere", "--network", "damage"], 3, "nowhere holds no clips"),
            (["--clips", "{clips}", "--network", "selfi"], 5, "did you mean selfie"),
            (["--only", "steady,shiny"], 2, "--only shiny: use steady, every, edges, colours"),
            (["--every", "two"], 2, "not a whole number"),
            (["-o", "no/such/o.json"], 2, "no such folder"),
            (["--frobnicate"], 2, "--frobnicate"),
        ],
    )
    def test_bad_input_gets_one_line(
        self,
        tool: Any,
        clips: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        complaint: str,
    ) -> None:
        assert run(tool, tmp_path, *[word.format(clips=clips) for word in words]) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("matting_benchmark: ")
        assert complaint in lines[0]

    def test_without_a_generator_it_says_so(
        self,
        tool: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("STREAMMATTE_SHARED", str(tmp_path))
        assert run(tool, tmp_path) == 3
        assert "name a folder of clips with --clips" in capsys.readouterr().err


# ---- clips


class TestClips:
    def test_what_a_folder_says(self, tool: Any, clips: Path) -> None:
        one, other = tool.clips.find(clips)
        assert (one.name, one.kind, one.scene, one.rate) == ("00_talk", "person", "talk", 25)
        assert (len(one), len(one.only(4)), other.kind) == (COUNT, 4, "thing")
        assert one.only(4).truths().shape == (4, HEIGHT, WIDTH)
        assert one.truths()[0, 60, 96] == 255
        assert abs(one.colours()[0][61, 96].astype(int) - (200, 60, 40)).max() == 0  # R'G'B'
        assert abs(one.pictures()[0][61, 96].astype(int) - (200, 60, 40)).max() < 12  # a JPEG

    def test_a_folder_like_that_of_davis(self, tool: Any, clips: Path) -> None:
        folder = clips / "00_talk"
        (folder / "meta.json").unlink()
        for path in (folder / "fgr").iterdir():
            path.unlink()
        (folder / "fgr").rmdir()
        (found,) = tool.clips.find(folder)
        assert (found.kind, found.has_colours, found.rate) == ("real", False, 25)

    def test_the_kind_is_that_of_the_catalogue(self, tool: Any, tmp_path: Path) -> None:
        """A cut shows two subjects: if they are of two kinds, it is neither's."""
        (tmp_path / "assets.json").write_text(
            json.dumps(
                [
                    {"file": "fg/ann.webp", "kind": "person"},
                    {"file": "fg/bob.webp", "kind": "person"},
                    {"file": "fg/cat.webp", "kind": "animal"},
                ]
            )
        )
        kinds = {}
        for name, scene, other in (("a", "walk", "cat"), ("b", "cut", "cat"), ("c", "cut", "bob")):
            cutouts = {
                "fg": str(tmp_path / "fg/ann.webp"),
                "fg2": str(tmp_path / f"fg/{other}.webp"),
            }
            make(tool, tmp_path / "clips" / name, [50.0], scene=scene, **cutouts)
        for clip in tool.clips.find(tmp_path / "clips"):
            kinds[clip.name] = clip.kind
        assert kinds == {"a": "person", "b": "mixed", "c": "person"}

    def test_flows_are_kept_and_point_along_the_motion(self, tool: Any, tmp_path: Path) -> None:
        """The wall moves to the right by 4 pixels."""
        pictures = [wall(), np.roll(wall(), 4, axis=1)]
        (first,) = tool.clips.moves(pictures, tmp_path / "cache")
        assert len(list((tmp_path / "cache" / "flow").glob("*.npz"))) == 1
        (again,) = tool.clips.moves(pictures, tmp_path / "cache")
        assert np.array_equal(first, again)
        assert np.median(first - np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)) == 4


# ---- mattes


class TestDamage:
    def test_it_is_seeded(self, tool: Any) -> None:
        truths = np.stack([disc(96)] * 4)
        damaged = tool.ours.damage.damaged
        one, same, other = damaged(truths, 1), damaged(truths, 1), damaged(truths, 2)
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not np.array_equal(one[0], other[0])

    def test_it_is_small_restless_and_about_right(self, tool: Any) -> None:
        truths = np.stack([disc(96)] * 40)
        mattes = tool.ours.damage.damaged(truths, 3)
        small = cv2.resize(truths[0] / np.float32(255), (64, 36), interpolation=cv2.INTER_AREA)
        assert {matte.shape for matte in mattes} == {(36, 64)}
        assert all(matte.dtype == np.float32 for matte in mattes)
        assert min(matte.min() for matte in mattes) >= 0
        assert max(matte.max() for matte in mattes) <= 1
        away = [float(np.abs(matte - small).mean()) for matte in mattes]
        assert 0.001 < np.median(away) < 0.02
        assert max(away) > 2 * np.median(away)  # something is missing or false for a while
        changes = [np.abs(b - a).mean() for a, b in itertools.pairwise(mattes)]
        assert np.median(changes) > 0.0005

    def test_some_of_it_is_slow(self, tool: Any) -> None:
        """The outline is wrong in the same way for a while, so neighbours' errors are alike."""
        truths = np.stack([disc(96)] * 40)
        small = cv2.resize(truths[0] / np.float32(255), (64, 36), interpolation=cv2.INTER_AREA)
        wrong = [matte - small for matte in tool.ours.damage.damaged(truths, 4)]

        def alike(step: int) -> float:
            pairs = zip(wrong, wrong[step:], strict=False)
            return float(np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))

        assert alike(1) > alike(16) + 0.1

    def test_nobody_there_is_no_error(self, tool: Any) -> None:
        mattes = tool.ours.damage.damaged(np.zeros((5, 54, 96), np.uint8), 5, size=(48, 27))
        assert [float(matte.max()) for matte in mattes] == [0] * 5


class TestMattes:
    def test_a_recorded_runtime_knows_pictures(self, tool: Any) -> None:
        rng = np.random.default_rng(1)
        views = [rng.integers(0, 255, (4, 6, 3), dtype=np.uint8) for _ in range(3)]
        alphas = [np.full((4, 6), value, np.float32) for value in (0.1, 0.2, 0.3)]
        runtime = tool.ours.Recorded(views, alphas, "made up")
        assert runtime.infer(views[2][None])[0, 0, 0, 0] == np.float32(0.3)
        assert runtime.infer(views[0][None]).shape == (1, 1, 4, 6)
        assert runtime.seen == 2

    def test_pictures_keep_their_samples(self, tool: Any) -> None:
        rgb = np.random.default_rng(2).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        assert np.array_equal(tool.ours.rgb_of(tool.ours.picture_of(rgb)), rgb)

    def test_frames_have_the_rate(self, tool: Any) -> None:
        frames = tool.ours.frames_of([np.zeros((4, 4, 3), np.uint8)] * 3, 30000 / 1001)
        assert frames[2].seconds == pytest.approx(2 * 1001 / 30000)

    def test_repeating(self, tool: Any, clips: Path) -> None:
        (clip, _) = tool.clips.find(clips)
        shown = tool.ours.Damage().show(clip, tool.ours.frames_of(clip.pictures(), 25))
        mattes = shown.mattes()
        held = list(tool.ours.held(mattes, 4))
        assert [one.frame for one in held] == [one.frame for one in mattes]
        assert np.array_equal(held[7].alpha, mattes[4].alpha)
        assert np.array_equal(held[8].alpha, mattes[8].alpha)

    def test_how_late(self, tool: Any) -> None:
        def share(value: float) -> NDArray[np.float32]:
            return np.full((10, 10), value, np.float32)

        wanted = [share(value) for value in (0, 0, 0.03, 0.1, 0.2, 0.2)]
        assert tool.runs.lateness(wanted, wanted) == 0
        made = [share(value) for value in (0, 0, 0, 0.04, 0.1, 0.2)]
        assert tool.runs.lateness(wanted, made) == 2
        assert tool.runs.lateness(wanted, [share(0)] * 6) == 4
        assert tool.runs.lateness(wanted[3:], made[3:]) is None  # there from the start
        assert tool.runs.lateness([share(0)] * 6, made) is None


# ---- tables


class TestTables:
    def test_ratios_are_geometric_and_the_worst_is_named(self, tool: Any) -> None:
        """Half and double are as before; of 4 and 1 the mean is 2."""
        records = tool.tables.Records(
            [
                record(tool, "a", "per frame", MAD=10, dtSSD=1),
                record(tool, "b", "per frame", MAD=20, dtSSD=1),
                record(tool, "a", "live", MAD=5, dtSSD=4),
                record(tool, "b", "live", MAD=40, dtSSD=1),
            ]
        )
        mad = records.ratio("steady", "damage", "live", "per frame", "MAD", "made")
        assert mad.mean == pytest.approx(1, rel=1e-3)
        assert mad.worst == pytest.approx(2, rel=1e-3)
        assert (mad.clip, mad.clips) == ("b", 2)
        dtssd = records.ratio("steady", "damage", "live", "per frame", "dtSSD", "made")
        assert dtssd.mean == pytest.approx(2, rel=1e-2)
        assert records.ratio("steady", "damage", "live", "per frame", "MAD", "real") is None

    def test_nothing_against_nothing_is_no_change(self, tool: Any) -> None:
        records = tool.tables.Records(
            [record(tool, "a", "per frame", ghost=0), record(tool, "a", "live", ghost=0)]
        )
        ratio = records.ratio("steady", "damage", "live", "per frame", "ghost", "made")
        assert ratio.mean == 1

    def test_subjects_that_a_network_does_not_know_do_not_count(self, tool: Any) -> None:
        records = tool.tables.Records(
            [
                record(tool, "a", "per frame", MAD=10, J=90),
                record(tool, "b", "per frame", MAD=300, J=20),
                record(tool, "a", "live", MAD=11, J=90),
                record(tool, "b", "live", MAD=30, J=20),
            ]
        )
        ratio = records.ratio("steady", "damage", "live", "per frame", "MAD", "made")
        assert ratio.mean == pytest.approx(1.1, rel=1e-3)
        assert records.unknown("steady", "damage") == ["b"]

    @pytest.mark.parametrize(
        ("dtssd", "mad", "words"),
        [
            (0.72, 0.99, ["pass", "pass", "pass"]),
            (0.74, 0.99, ["FAIL", "pass", "pass"]),
            (0.72, 1.02, ["pass", "FAIL", "pass"]),
            (0.72, 1.06, ["pass", "FAIL", "FAIL"]),
        ],
    )
    def test_bounds(self, tool: Any, dtssd: float, mad: float, words: list[str]) -> None:
        records = tool.tables.Records(
            [
                record(tool, "a", "per frame", MAD=100, dtSSD=100),
                record(tool, "a", "live", MAD=100 * mad, dtSSD=100 * dtssd),
            ]
        )
        assert [one.word for one in tool.tables.checks(records)[:3]] == words
        others = tool.tables.checks(records, other=True)
        assert others[0].bound == 0.85

    def test_checks_are_told(self, tool: Any) -> None:
        found = [tool.tables.Check(2, "every 2: MAD", None, 1.02)]
        assert "| 2 | every 2: MAD |  | 1.020 | skipped |" in tool.tables.check_table(found)
