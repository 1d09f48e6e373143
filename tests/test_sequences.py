"""Image sequences from end to end: numbers, headers and values kept, whole files, continued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import streammatte
from streammatte.colour import to_linear
from streammatte.convert import to_rgb
from streammatte.errors import InputError, OutputError, UsageError
from streammatte.options import SequenceOptions
from streammatte.sources.video_file import VideoFile

OpenImageIO = pytest.importorskip("OpenImageIO", reason="needs the extra vfx")
OpenEXR = pytest.importorskip("OpenEXR", reason="needs the extra vfx")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

RATE = Fraction(24000, 1001)
XY = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
"""Of ACEScg."""
DATA, DISPLAY = (8, 4, 87, 59), (0, 0, 95, 63)
SIZE = (96, 64)
STUB = {"runtime": "stub", "bg": "red"}


def pixels(number: int) -> NDArray[np.float16]:
    """Return what frame ``number`` shows: half ``[h, w, 3]``; light up to 4, some below 0."""
    height, width = DATA[3] - DATA[1] + 1, DATA[2] - DATA[0] + 1
    random = np.random.default_rng(number)
    return np.float16(random.random((height, width, 3)) ** 3 * 4 - 0.01)


def plate(folder: Path, numbers: range, name: str = "plate.{:04d}.exr") -> str:
    """Write a plate with everything that headers say."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        second, frame = divmod(number - 1001 + 12, 24)
        header = {
            "compression": OpenEXR.ZIP_COMPRESSION,
            "type": OpenEXR.scanlineimage,
            "dataWindow": (np.array(DATA[:2], np.int32), np.array(DATA[2:], np.int32)),
            "displayWindow": (np.array(DISPLAY[:2], np.int32), np.array(DISPLAY[2:], np.int32)),
            "pixelAspectRatio": 2.0,
            "chromaticities": XY,
            "framesPerSecond": RATE,
            "timeCode": OpenEXR.TimeCode(
                1, 0, second, frame, False, False, False, False, False, False, *range(1, 9)
            ),
            "reelName": "A001C002",
            "owner": "somebody",
        }
        shown = pixels(number)
        channels = {letter: shown[..., place].copy() for place, letter in enumerate("RGB")}
        OpenEXR.File(header, channels).write(str(folder / name.format(number)))
    return str(folder / name.replace("{:04d}", "%04d"))


def opened(path: Path) -> tuple[Any, NDArray[np.float32]]:
    """Return what OpenImageIO, a stranger, says of a file, and its channels."""
    file = OpenImageIO.ImageInput.open(str(path))
    assert file is not None, OpenImageIO.geterror()
    return file.spec(), file.read_image("float")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".job.json"))


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shot")
    where = plate(root / "in", range(1001, 1049))
    report = streammatte.render(
        where,
        root / "out" / "shot.####.exr",
        runtime="stub",
        sequence=SequenceOptions(multilayer=True),
    )
    assert report.frames == 48
    return root / "out"


class TestPlate:
    """The job of a compositor: 48 frames of OpenEXR from 1001 on."""

    def test_numbers(self, result: Path) -> None:
        assert names(result) == [f"shot.{number}.exr" for number in range(1001, 1049)]

    @pytest.mark.parametrize("number", [1001, 1013, 1048])
    def test_headers(self, result: Path, number: int) -> None:
        spec, _ = opened(result / f"shot.{number}.exr")
        before, _ = opened(result.parent / "in" / f"plate.{number}.exr")
        for name in ("smpte:TimeCode", "FramesPerSecond", "chromaticities", "PixelAspectRatio"):
            assert spec.getattribute(name) == before.getattribute(name) is not None, name
        assert spec.getattribute("reelName") == "A001C002"
        assert spec.getattribute("Copyright") == before.getattribute("Copyright") == "somebody"
        windows = (spec.x, spec.y, spec.width, spec.height)
        assert windows == (before.x, before.y, before.width, before.height)
        assert (spec.full_width, spec.full_height) == SIZE
        assert spec.getattribute("compression") == "zips"

    @pytest.mark.parametrize("number", [1001, 1048])
    def test_values(self, result: Path, number: int) -> None:
        """Where alpha is 1 the plate comes through to the last bit of half precision."""
        spec, found = opened(result / f"shot.{number}.exr")
        at = {name: found[..., place] for place, name in enumerate(spec.channelnames)}
        solid = at["A"] == 1
        assert 0.05 < solid.mean() < 0.95
        shown = pixels(number).astype(np.float32)
        for place, letter in enumerate("RGB"):
            assert (at[letter][solid] == shown[..., place][solid]).all()
            assert (at[f"fgr.{letter}"][solid] == shown[..., place][solid]).all()
            assert (at[letter][at["A"] == 0] == 0).all()
        assert (at["matte.A"] == at["A"]).all()
        assert "confidence.Y" in at


def test_a_video_becomes_a_sequence_and_comes_back(
    tmp_path: Path, clip: Callable[..., Path]
) -> None:
    video = clip("clip.mp4", count=6)
    sequence = tmp_path / "frames" / "f.%04d.png"
    report = streammatte.render(video, sequence, **STUB)
    assert names(tmp_path / "frames") == [f"f.{number}.png" for number in range(1001, 1007)]
    assert report.frames == 6
    slow = streammatte.render(sequence, tmp_path / "slow.mkv", **STUB)
    assert any("no file says its rate: 24 a second" in note for note in slow.notes)
    again = streammatte.render(
        sequence, tmp_path / "again.mkv", sequence=SequenceOptions(rate=Fraction(25)), **STUB
    )
    assert not any("no file says its rate" in note for note in again.notes)
    for name, rate in (("slow", 24), ("again", 25)):
        with VideoFile(tmp_path / f"{name}.mkv") as file:
            assert (file.info.rate, len(list(file.frames()))) == (rate, 6)


@pytest.mark.parametrize("suffix", [".exr", ".dpx", ".tif", ".png", ".jpg"])
def test_every_kind_goes_in_and_out(suffix: str, tmp_path: Path) -> None:
    first = tmp_path / "a" / f"a.%04d{suffix}"
    report = streammatte.render("synthetic:64x48@25x3", first, **STUB)
    assert report.frames == 3
    second = tmp_path / "b" / f"b.###{suffix}"
    report = streammatte.render(first, second, passes=["plate"], runtime="stub")
    assert report.frames == 3
    assert names(tmp_path / "b") == [f"b.{number}{suffix}" for number in range(1001, 1004)]
    for number in range(1001, 1004):
        _, one = opened(tmp_path / "a" / f"a.{number}{suffix}")
        _, other = opened(tmp_path / "b" / f"b.{number}{suffix}")
        assert one.std() > 0.05  # there is something to be seen
        apart = np.abs(one - other)
        assert apart.mean() < 0.01 if suffix == ".jpg" else apart.max() == 0


class TestNumbers:
    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        return plate(tmp_path / "in", range(1001, 1011))

    def run(self, where: str, tmp_path: Path, **options: Any) -> list[int]:
        report = streammatte.render(
            where, tmp_path / "out" / "m.%04d.exr", sequence=SequenceOptions(**options), **STUB
        )
        found = [int(name.split(".")[1]) for name in names(tmp_path / "out")]
        assert report.frames == len(found)
        return found

    def test_a_range(self, where: str, tmp_path: Path) -> None:
        assert self.run(where, tmp_path, frames=(1003, 1005)) == [1003, 1004, 1005]

    def test_handles_as_far_as_there_are_any(self, where: str, tmp_path: Path) -> None:
        found = self.run(where, tmp_path, frames=(1003, 1008), handles=5)
        assert found == list(range(1001, 1011))

    def test_another_first_number(self, where: str, tmp_path: Path) -> None:
        assert self.run(where, tmp_path, start_number=1) == list(range(1, 11))
        _, first = opened(tmp_path / "out" / "m.0001.exr")
        assert first.shape[:2] == SIZE[::-1]  # a comp fills what is to be seen

    def test_a_window_in_seconds(self, where: str, tmp_path: Path) -> None:
        streammatte.render(
            where, tmp_path / "out" / "m.%04d.exr", start=Fraction(3) / RATE, to=6 / RATE, **STUB
        )
        assert names(tmp_path / "out") == ["m.1004.exr", "m.1005.exr", "m.1006.exr"]

    def test_frames_that_are_not_there(self, where: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"none of the frames 1-9 is there; there are 1001-"):
            self.run(where, tmp_path, frames=(1, 9))
        with pytest.raises(InputError, match=r"2 frames are missing \(1011-1012\)"):
            self.run(where, tmp_path, frames=(1009, 1012))


class TestMissing:
    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        where = plate(tmp_path / "in", range(1001, 1009))
        (tmp_path / "in" / "plate.1003.exr").unlink()
        (tmp_path / "in" / "plate.1004.exr").unlink()
        return where

    def run(self, where: str, tmp_path: Path, missing: Any) -> Any:
        return streammatte.render(
            where,
            tmp_path / "out" / "m.%04d.exr",
            passes=["plate"],
            sequence=SequenceOptions(missing=missing),
            **STUB,
        )

    def test_it_is_told(self, where: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"2 frames are missing \(1003-1004\).*--missing hold"):
            self.run(where, tmp_path, "fail")
        assert not (tmp_path / "out").exists()

    def test_held(self, where: str, tmp_path: Path) -> None:
        report = self.run(where, tmp_path, "hold")
        assert names(tmp_path / "out") == [f"m.{number}.exr" for number in range(1001, 1009)]
        assert any("1003-1004" in note and "held" in note for note in report.notes)
        _, held = opened(tmp_path / "out" / "m.1004.exr")
        _, before = opened(tmp_path / "out" / "m.1002.exr")
        assert (held == before).all()

    def test_skipped(self, where: str, tmp_path: Path) -> None:
        report = self.run(where, tmp_path, "skip")
        found = [f"m.{number}.exr" for number in (1001, 1002, *range(1005, 1009))]
        assert names(tmp_path / "out") == found
        assert any("1003-1004" in note and "skipped" in note for note in report.notes)

    def test_a_damaged_frame_is_held_or_ends_it(self, tmp_path: Path) -> None:
        where = plate(tmp_path / "in", range(1001, 1006))
        broken = tmp_path / "in" / "plate.1003.exr"
        broken.write_bytes(broken.read_bytes()[:900])
        with pytest.raises(InputError, match=r"plate\.1003\.exr is damaged"):
            self.run(where, tmp_path, "fail")
        report = streammatte.render(
            where,
            tmp_path / "o2" / "m.%04d.exr",
            sequence=SequenceOptions(missing="hold"),
            **STUB,
        )
        assert report.frames == 5
        assert report.corrupt_frames == 1
        assert any("1003 could not be read" in note for note in report.notes)


class TestAlike:
    def test_another_size(self, tmp_path: Path) -> None:
        where = plate(tmp_path / "in", range(1001, 1003))
        odd = {letter: np.zeros((10, 10), np.float16) for letter in "RGB"}
        OpenEXR.File({}, odd).write(str(tmp_path / "in" / "plate.1002.exr"))
        # What lies within the first frame's windows is taken: artists crop.
        streammatte.render(where, tmp_path / "out" / "m.%04d.exr", **STUB)
        spec, found = opened(tmp_path / "out" / "m.1002.exr")
        assert (spec.full_width, spec.full_height) == SIZE
        assert found[32, 48].max() == 0  # where the small one shows nothing, there is nothing
        png = tmp_path / "p.%04d.png"
        streammatte.render("synthetic:64x48@25x2", png, **STUB)
        streammatte.render("synthetic:32x48@25x1", tmp_path / "q.%04d.png", **STUB)
        (tmp_path / "q.1001.png").replace(tmp_path / "p.1002.png")
        with pytest.raises(InputError, match=r"p\.1002\.png is 32x48, and the first frame 64x48"):
            streammatte.render(png, tmp_path / "out" / "m.%04d.png", **STUB)


class TestWhatIsThere:
    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        return plate(tmp_path / "in", range(1001, 1005))

    def test_nothing_is_overwritten_unasked(self, where: str, tmp_path: Path) -> None:
        out = tmp_path / "out" / "m.%04d.exr"
        streammatte.render(where, out, **STUB)
        before = content(tmp_path / "out")
        with pytest.raises(OutputError, match=r"frames 1001-1004 exist; give -y"):
            streammatte.render(where, out, **STUB)
        assert content(tmp_path / "out") == before
        streammatte.render(where, out, overwrite=True, runtime="stub", bg="blue")
        assert content(tmp_path / "out") != before

    def test_the_plate_is_never_written_over(self, where: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is read for this"):
            streammatte.render(where, tmp_path / "in" / "plate.####.exr", overwrite=True, **STUB)

    def test_nor_is_the_background(self, where: str, tmp_path: Path) -> None:
        behind = plate(tmp_path / "bg", range(1001, 1005))
        before = content(tmp_path / "bg")
        with pytest.raises(UsageError, match="is read for this"):
            streammatte.render(where, behind, bg=behind, runtime="stub", overwrite=True)
        assert content(tmp_path / "bg") == before

    @pytest.mark.usefixtures("where")
    def test_one_picture_of_many_is_told_to_be_one(self, tmp_path: Path) -> None:
        one = tmp_path / "in" / "plate.1002.exr"
        report = streammatte.render(one, tmp_path / "one.exr", **STUB)
        assert report.frames == 1
        assert any("one of 4 numbered pictures" in note for note in report.notes)
        assert any("plate.####.exr means all" in note for note in report.notes)

    def test_files_beside_are_told(self, where: str, tmp_path: Path) -> None:
        plate(tmp_path / "out", range(1004, 1009), "m.{:04d}.exr")
        report = streammatte.render(where, tmp_path / "out" / "m.%04d.exr", overwrite=True, **STUB)
        assert any("an earlier run" in note and "1005-1008" in note for note in report.notes)


class TestContinued:
    """What is interrupted leaves whole files alone, and ``--skip-existing`` makes the others."""

    WORDS = ("--runtime", "stub", "--bg", "red", "--temporal", "off")

    def start(self, *words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "streammatte", "render", *words, *self.WORDS]
        return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, encoding="utf-8")

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_interrupted(self, how: signal.Signals, tmp_path: Path) -> None:
        where = plate(tmp_path / "in", range(1001, 1121))
        out = str(tmp_path / "out" / "m.%04d.exr")
        process = self.start(where, "-o", out, "--out", "comp,matte")
        folder = tmp_path / "out"
        until = time.monotonic() + 60
        while not (folder.exists() and len(list(folder.glob("m_comp*.exr"))) >= 5):
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "Traceback" not in told
        done = content(folder)
        whole = {name: data for name, data in done.items() if name.endswith(".exr")}
        assert 5 <= len(whole) < 240
        if how is not signal.SIGKILL:
            assert whole == done  # and nothing else
        for name in whole:
            opened(folder / name)
        process = self.start(where, "-o", out, "--out", "comp,matte", "--skip-existing")
        _, told = process.communicate(timeout=100)
        assert process.returncode == 0, told
        assert "were there already" in told
        after = {name: data for name, data in content(folder).items() if name.endswith(".exr")}
        assert len(after) == 240
        pairs = {name.replace("matte", "comp") for name in whole if "matte" in name}
        both = {name for name in whole if name in pairs}
        assert all(after[name] == whole[name] for name in both)
        process = self.start(where, "-o", str(tmp_path / "new" / "m.%04d.exr"), "--out", "comp")
        process.communicate(timeout=100)
        fresh = content(tmp_path / "new")
        assert all(after[name.replace("m.", "m_comp.")] == data for name, data in fresh.items())

    def test_nothing_is_left_to_do(self, tmp_path: Path) -> None:
        where = plate(tmp_path / "in", range(1001, 1004))
        out = tmp_path / "out" / "m.%04d.exr"
        streammatte.render(where, out, **STUB)
        before = content(tmp_path / "out")
        report = streammatte.render(
            where, out, sequence=SequenceOptions(skip_existing=True), **STUB
        )
        assert report.frames == 0
        assert "nothing was left to render" in report.notes
        assert content(tmp_path / "out") == before

    def test_steadied_mattes_go_on_as_if_nothing_had_been(self, tmp_path: Path) -> None:
        where = plate(tmp_path / "in", range(1001, 1041))
        whole, parts = tmp_path / "whole" / "m.%04d.exr", tmp_path / "parts" / "m.%04d.exr"
        how: dict[str, Any] = {"runtime": "stub", "passes": ["matte"], "temporal": "file"}
        streammatte.render(where, whole, **how)
        streammatte.render(where, parts, **how)
        for number in (*range(1020, 1025), 1040):
            (tmp_path / "parts" / f"m.{number}.exr").unlink()
        streammatte.render(where, parts, sequence=SequenceOptions(skip_existing=True), **how)
        for number in range(1001, 1041):
            _, one = opened(tmp_path / "whole" / f"m.{number}.exr")
            _, other = opened(tmp_path / "parts" / f"m.{number}.exr")
            assert np.abs(one - other).max() <= 1 / 1023

    def test_one_file_is_not_continued(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="--skip-existing continues image sequences"):
            streammatte.render(
                "synthetic:64x48@25x3",
                tmp_path / "x.mp4",
                sequence=SequenceOptions(skip_existing=True),
                **STUB,
            )


def test_a_video_that_is_continued(tmp_path: Path, clip: Callable[..., Path]) -> None:
    video = clip("clip.mp4", count=8)
    out = tmp_path / "out" / "m.%04d.png"
    streammatte.render(video, out, **STUB)
    before = content(tmp_path / "out")
    for number in (1003, 1008):
        (tmp_path / "out" / f"m.{number}.png").unlink()
    report = streammatte.render(video, out, sequence=SequenceOptions(skip_existing=True), **STUB)
    assert report.frames == 2
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("x.%04d.png", {"multilayer": True}, "--multilayer is for OpenEXR"),
        ("x.mp4", {"multilayer": True}, "no image sequences of that kind"),
        ("x.%04d.exr", {"multilayer": True, "compression": "dwaa"}, "--compression dwaa loses"),
        ("x.%04d.gif", {}, "no image sequences of that kind"),
        ("x.%04d.exr", {"frames": (1, 2)}, "is no image sequence: --frames"),
    ],
)
def test_what_does_not_go_together(
    output: str, options: dict[str, Any], message: str, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    video = clip("clip.mp4", count=2)
    with pytest.raises(UsageError, match=message):
        streammatte.render(video, tmp_path / output, sequence=SequenceOptions(**options), **STUB)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".exr", ".dpx", ".tif", ".png"])
@pytest.mark.parametrize("name", ["premult", "matte", "fgr", "confidence"])
def test_alpha_is_read_back(suffix: str, name: Any, tmp_path: Path) -> None:
    report = streammatte.render(
        "synthetic:64x48@25x3", tmp_path / f"x.%04d{suffix}", passes=[name], runtime="stub"
    )
    told = any(note.startswith("alpha was read back and is right") for note in report.notes)
    assert told == (name != "fgr")


def test_jpeg_has_no_alpha(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jpg carries no alpha; use \.exr, \.png or \.tif"):
        streammatte.render(
            "synthetic:64x48@25x2", tmp_path / "x.%04d.jpg", bg="transparent", runtime="stub"
        )


def test_a_name_that_finds_nothing(tmp_path: Path) -> None:
    for name in ("gone.%04d.exr", "gone/x.####.png", "gone.exr"):
        with pytest.raises(InputError, match="gone"):
            streammatte.render(tmp_path / name, tmp_path / "o.mp4", **STUB)


class TestBackground:
    """What is behind the subject: seen where the stub's disc is not, in a corner."""

    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        return plate(tmp_path / "in", range(1001, 1009))

    def corners(self, folder: Path) -> dict[int, float]:
        return {
            int(name.split(".")[1]): float(opened(folder / name)[1][0, 0, 0])
            for name in names(folder)
        }

    def behind(self, folder: Path, numbers: range) -> str:
        """Write a sequence whose frames say their number in their brightness."""
        folder.mkdir()
        for number in numbers:
            flat = np.full((64, 96), number / 1024, np.float16)
            OpenEXR.File({}, dict.fromkeys("RGB", flat)).write(str(folder / f"b.{number}.exr"))
        return str(folder / "b.%04d.exr")

    def test_a_still_in_linear_light(self, where: str, tmp_path: Path) -> None:
        self.behind(tmp_path / "bg", range(512, 513))
        sky = tmp_path / "bg" / "b.512.exr"
        streammatte.render(where, tmp_path / "out" / "m.%04d.exr", bg=str(sky), runtime="stub")
        assert set(self.corners(tmp_path / "out").values()) == {0.5}

    def test_a_sequence_goes_along_by_its_numbers(self, where: str, tmp_path: Path) -> None:
        behind = self.behind(tmp_path / "bg", range(990, 1012))
        out = tmp_path / "out" / "m.%04d.exr"
        options = SequenceOptions(frames=(1003, 1006))
        streammatte.render(where, out, bg=behind, runtime="stub", sequence=options)
        found = self.corners(tmp_path / "out")
        assert found == {number: np.float16(number / 1024) for number in range(1003, 1007)}

    def test_it_starts_over_at_its_end(self, where: str, tmp_path: Path) -> None:
        behind = self.behind(tmp_path / "bg", range(1, 4))
        out = tmp_path / "out" / "m.%04d.exr"
        streammatte.render(where, out, bg=behind, runtime="stub")
        found = [round(value * 1024) for value in self.corners(tmp_path / "out").values()]
        assert found == [1, 2, 3, 1, 2, 3, 1, 2]

    @pytest.mark.parametrize("first", [1, 990])
    def test_what_is_continued_has_what_one_run_has(
        self, first: int, where: str, tmp_path: Path
    ) -> None:
        behind = self.behind(tmp_path / "bg", range(first, first + 30))
        out = tmp_path / "out" / "m.%04d.exr"
        how: dict[str, Any] = {"bg": behind, "runtime": "stub", "temporal": "off"}
        streammatte.render(where, out, **how)
        before = content(tmp_path / "out")
        for number in (1004, 1005, 1008):
            (tmp_path / "out" / f"m.{number}.exr").unlink()
        streammatte.render(where, out, sequence=SequenceOptions(skip_existing=True), **how)
        assert content(tmp_path / "out") == before


def test_a_job_is_repeated_to_the_last_byte(tmp_path: Path, monkeypatch: Any) -> None:
    from streammatte import cli

    monkeypatch.chdir(tmp_path)
    plate(tmp_path / "in", range(1001, 1005))
    words = "render in/plate.%04d.exr -o out/m.####.exr --multilayer --runtime stub -q"
    assert cli.main(words.split()) == 0
    assert (tmp_path / "out" / "m.job.json").exists()
    again = "render --from out/m.job.json -o again/m.####.exr -q"
    assert cli.main(again.split()) == 0
    assert content(tmp_path / "out") == content(tmp_path / "again") != {}


@pytest.mark.parametrize(
    ("codec", "pixel_format", "size", "aspect"),
    [
        ("libx264", "yuv420p", (96, 64), None),
        ("libx264", "yuv420p10le", (96, 64), Fraction(16, 11)),
        ("ffv1", "yuv422p10le", (95, 63), None),
        ("ffv1", "yuv444p16le", (97, 65), None),
        ("ffv1", "gbrp16le", (96, 64), None),
        ("ffv1", "yuv444p", (3840, 2160), None),
    ],
)
def test_footage_of_all_kinds_becomes_openexr(
    codec: str,
    pixel_format: str,
    size: tuple[int, int],
    aspect: Fraction | None,
    tmp_path: Path,
    clip: Callable[..., Path],
) -> None:
    """Half precision holds what the footage says, to the curve; alpha is the matte's."""
    count = 1 if size[0] > 1000 else 3
    source = clip(
        "x.mkv", codec=codec, pixel_format=pixel_format, size=size, count=count, aspect=aspect
    )
    streammatte.render(
        source,
        tmp_path / "x.%04d.exr",
        runtime="stub",
        passes=["premult", "plate", "matte"],
        sequence=SequenceOptions(multilayer=True),
    )
    with VideoFile(source) as file:
        pictures = [frame.picture for frame in file.frames()]
    for number, picture in enumerate(pictures, 1001):
        spec, found = opened(tmp_path / f"x.{number}.exr")
        assert (spec.width, spec.height) == (spec.full_width, spec.full_height) == size
        assert spec.getattribute("PixelAspectRatio") == pytest.approx(float(aspect or 1))
        at = {name: found[..., place] for place, name in enumerate(spec.channelnames)}
        light = to_linear(to_rgb(picture, reversible=True), picture.colour)
        solid = at["A"] == 1
        for place, letter in enumerate("RGB"):
            assert (at[f"plate.{letter}"] == np.float16(light[..., place])).all()
            assert (at[letter][solid] == np.float16(light[..., place])[solid]).all()
        assert (at["matte.A"] == at["A"]).all()


def test_a_file_that_cannot_be_written_is_absent_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammatte.images import plain

    write = plain.write

    def full(path: Path, *words: Any) -> None:
        write(path, *words)
        if "1003" in path.name:
            path.write_bytes(path.read_bytes()[:60])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(plain, "write", full)
    with pytest.raises(OutputError, match="is full; make room"):
        streammatte.render("synthetic:64x48@25x9", tmp_path / "out" / "m.%04d.png", **STUB)
    left = names(tmp_path / "out")
    assert {"m.1001.png", "m.1002.png"} <= set(left)
    assert "m.1003.png" not in left
    assert not [name for name in left if not name.endswith(".png")]
    for name in left:
        opened(tmp_path / "out" / name)
