"""Job files: nothing is lost on the way to JSON and back, and what has changed is told."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from streammatte import job
from streammatte.digests import Digests, Files, files_of
from streammatte.errors import InputError, OutputError
from streammatte.options import (
    BackgroundSpec,
    ColourOptions,
    EdgeOptions,
    EncodeOptions,
    LookOptions,
    MatteOptions,
    NetworkOptions,
    RenderOptions,
    SequenceOptions,
    StillOptions,
    Zone,
)
from streammatte.pipeline import Report
from streammatte.plain import from_plain, to_plain
from streammatte.reads import sources
from streammatte.sources.base import Window

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = RenderOptions(BackgroundSpec("transparent"))
ALL = RenderOptions(
    background=BackgroundSpec("file", path="sky.exr", rgb=(1, 2, 3), radius=7.5, name="sky"),
    fit="contain",
    network=NetworkOptions(
        "birefnet-lite", "random:3", True, (576, 1024), "stub", "cuda:1", "fp16", True, "auto", 3
    ),
    matte=MatteOptions(
        "best", "live", 0.1 + 0.2, "fast", "off", "largest",
        (Zone((0.1, 0.2, 0.3, 1.0)), Zone(path="keep.png")), (Zone(path="drop.png"),),
    ),
    window=Window(Fraction(1, 3), Fraction(30000, 1001)),
    decoder="cuda",
    encode=EncodeOptions("prores", 12.5, "slow", "yuva444p10le"),
    passes=("matte", "fgr"),
    alpha="premult",
    edges=EdgeOptions(-1.5, 2.0, 1.1),
    look=LookOptions("auto", 0.7, 0.25),
    colour=ColourOptions(False, "show.ocio", "ARRI LogC", "ACEScg", "sRGB"),
    sequence=SequenceOptions(
        (1001, 1100), 5, "hold", 8, Fraction(24000, 1001), "dwaa", True, True, True
    ),
    still=StillOptions(True, 0.1, 40, True, (2000, 1500), "soft", 0.25),
    mask_override="fix.%04d.png",
    purpose="nuke",
    named=("edges",),
    overwrite=True,
    serial=True,
)  # fmt: skip
REPORT = Report(
    input="in.mov", output="shot.mov", frames=1, seconds=1, fps=1, model="selfie", digest="ab" * 32,
    runtime="stub", device="cpu", precision="fp32", codec="ffv1", colour="BT.709 limited",
    assumed="range", corrupt_frames=0, lost_packets=0, dropped_frames=0,
    milliseconds={"decode": {"cpu": 1.0, "wall": 2.0}},
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCIO", raising=False)
    return tmp_path


@pytest.fixture
def written(folder: Path) -> Callable[..., Path]:
    """Return a function that writes the job of a render that reads real files."""

    def write(
        options: RenderOptions = PLAIN, where: str = "in.mov", report: Report = REPORT
    ) -> Any:
        files = sources(where, options)
        with Digests(files) as digests:
            pass
        path = folder / "shot.job.json"
        job.write(path, where, options, report, digests.result(), (352, 256))
        return path

    (folder / "in.mov").write_bytes(b"plate")
    return write


def others(options: Any, plain: Any) -> list[str]:
    """Return the names of all fields, however deep, that are as they are by default."""
    same = []
    for each in fields(options):
        ours, default = getattr(options, each.name), getattr(plain, each.name)
        if is_dataclass(ours):
            same += others(ours, default)
        elif ours == default:
            same.append(each.name)
    return same


class TestPlain:
    def test_every_option_comes_back(self) -> None:
        """``ALL`` has none as it is by default, but those that exclude each other."""
        assert others(ALL, PLAIN) == ["bitrate", "linear"]
        text = json.dumps(to_plain(ALL), allow_nan=False)
        again = from_plain(RenderOptions, json.loads(text))
        assert again == ALL
        assert type(again.window.end) is Fraction
        assert type(again.passes) is tuple

    def test_what_an_older_version_did_not_have_is_as_it_was(self) -> None:
        assert from_plain(RenderOptions, {"background": {"kind": "transparent"}}) == PLAIN

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"glow": 1}, "options.glow is unknown"),
            ({"matte": {"halo": 1}}, "options.matte.halo is unknown"),
            ({"serial": 1}, "options.serial cannot be 1"),
            ({"fit": "fill"}, "options.fit cannot be 'fill'"),
            ({"network": {"batch": True}}, "options.network.batch cannot be True"),
            ({"window": {"end": "1/0"}}, "options.window.end cannot be '1/0'"),
            ({"passes": ["comp", 3]}, r"options.passes\[1\] cannot be 3"),
            ({"sequence": {"frames": [1]}}, r"options.sequence.frames cannot be \[1\]"),
            ({"sequence": {"frames": "1-2"}}, "options.sequence.frames cannot be '1-2'"),
            ({"background": {"path": "a"}}, "options.background.kind is missing"),
            ({"background": None}, "options.background cannot be None"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change: dict[str, Any], what: str) -> None:
        data = {"background": {"kind": "transparent"}, **change}
        with pytest.raises(ValueError, match=what):
            from_plain(RenderOptions, data, "options")

    def test_what_json_cannot_hold_is_refused(self) -> None:
        @dataclass
        class Odd:
            what: Any = field(default_factory=set)

        with pytest.raises(TypeError, match="cannot be written"):
            to_plain(Odd())

    def test_a_word_is_no_number(self) -> None:
        kind: Any = int | Literal["auto"]
        assert from_plain(kind, "auto") == "auto"
        assert from_plain(kind, 3) == 3
        with pytest.raises(ValueError, match="cannot be"):
            from_plain(kind, "3")


class TestPlaces:
    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("shot.mov", "shot.job.json"),
            ("a/shot.v2.mov", "a/shot.v2.job.json"),
            ("shot.%04d.exr", "shot.job.json"),
            ("a/shot_####.exr", "a/shot.job.json"),
            ("a/b/%04d.png", "a/b/b.job.json"),
            ("take #1.mp4", "take #1.job.json"),
        ],
    )
    def test_it_is_called_like_the_output(self, output: str, expected: str) -> None:
        assert job.place(Path(output)) == Path(expected)

    @pytest.mark.parametrize(
        ("output", "change", "expected"),
        [
            ("talk.mp4", {}, False),
            ("take #1.mp4", {}, False),
            ("matte.mov", {"passes": ("matte",)}, False),
            ("shot.mov", {"passes": ("comp", "matte")}, True),
            ("shot.mov", {"purpose": "resolve"}, True),
            ("shot.%04d.png", {}, True),
            ("still.exr", {}, True),
        ],
    )
    def test_what_is_handed_on_has_one(
        self, output: str, change: dict[str, Any], *, expected: bool
    ) -> None:
        assert job.wanted(Path(output), replace(PLAIN, **change)) is expected

    def test_one_of_another_output_is_not_replaced(self, written: Callable[..., Path]) -> None:
        path = written()
        job.check_place(path, "shot.mov", overwrite=False)
        job.check_place(path, "shot.%04d.exr", overwrite=True)
        with pytest.raises(OutputError, match=r"not the job file of shot\.%04d\.exr; give -y"):
            job.check_place(path, "shot.%04d.exr", overwrite=False)

    def test_what_is_no_job_file_is_not_replaced(self, folder: Path) -> None:
        (folder / "shot.job.json").write_text("{}")
        with pytest.raises(OutputError, match="exists and is not"):
            job.check_place(folder / "shot.job.json", "shot.mov", overwrite=False)

    def test_its_folder_must_be_there(self, folder: Path) -> None:
        with pytest.raises(OutputError, match="create it first"):
            job.check_place(folder / "no" / "a.job.json", "shot.mov", overwrite=True)


class TestDigests:
    def test_of_a_file(self, folder: Path) -> None:
        content = os.urandom(10_000_000)
        (folder / "in.mov").write_bytes(content)
        os.utime("in.mov", (0, 1_000_000_000))
        with Digests({"input": Files((Path("in.mov"),), alone=True)}) as digests:
            found = digests.result()["input"]
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert (found.files, found.bytes) == (1, 10_000_000)
        assert found.modified == "2001-09-09T01:46:40+00:00"

    @pytest.mark.parametrize("serial", [False, True])
    @pytest.mark.parametrize("pattern", ["p.%04d.exr", "p.####.exr"])
    def test_of_a_sequence_it_is_that_of_its_listing(
        self, folder: Path, pattern: str, *, serial: bool
    ) -> None:
        """In the order of the numbers, which is not that of the names."""
        names = ["p.0998.exr", "p.0999.exr", "p.10000.exr"]
        for name in [*names, "p.exr", "p.0999.exr.bak", "q.0001.exr"]:
            (folder / name).write_text(name)
        files = files_of(pattern)
        assert files is not None
        with Digests({"input": files}, serial=serial) as digests:
            found = digests.result()["input"]
        listing = "".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in names)
        assert found.sha256 == hashlib.sha256(listing.encode()).hexdigest()
        assert (found.files, found.first, found.last) == (3, 998, 10000)

    def test_a_sequence_of_one_file_is_a_sequence(self, folder: Path) -> None:
        (folder / "p.0001.exr").write_text("x")
        files = files_of("p.%04d.exr")
        assert files == Files((Path("p.0001.exr"),), (1,))
        listing = f"{hashlib.sha256(b'x').hexdigest()}  p.0001.exr\n"
        with Digests({"input": files}) as digests:
            found = digests.result()["input"]
        assert found.sha256 == hashlib.sha256(listing.encode()).hexdigest()

    def test_of_a_folder(self, folder: Path) -> None:
        for name in ("b.jpg", "a.jpg", ".hidden"):
            (folder / name).write_text(name)
        (folder / "inside").mkdir()
        files = files_of(str(folder))
        assert files == Files((folder / "a.jpg", folder / "b.jpg"))

    @pytest.mark.parametrize("name", ["synthetic:64x48", "no.mov", "no.%04d.exr", "no/no.%d.exr"])
    def test_what_is_no_file_has_none(self, name: str) -> None:
        assert files_of(name) is None

    def test_what_cannot_be_read_is_left_out(self, folder: Path) -> None:
        (folder / "in.mov").touch()
        files = {"a": Files((folder / "gone",), alone=True), "b": Files((folder / "in.mov",))}
        with Digests(files) as digests:
            assert list(digests.result()) == ["b"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_job_that_fails_does_not_wait_for_it(self, folder: Path) -> None:
        """The file is endless."""
        fifo = folder / "endless"
        os.mkfifo(fifo)
        stop = threading.Event()

        def feed() -> None:
            with fifo.open("wb", buffering=0) as pipe:
                while not stop.is_set():
                    try:
                        pipe.write(b"x" * 4096)
                    except BrokenPipeError:
                        return

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        with pytest.raises(RuntimeError, match="job"), Digests({"a": Files((fifo,))}) as digests:
            raise RuntimeError("job")
        stop.set()
        feeder.join(10)
        assert not feeder.is_alive()
        assert digests.result() == {}


class TestSources:
    def test_all_that_is_read(self, folder: Path) -> None:
        names = ["sky.exr", "keep.png", "drop.png", "show.ocio", "fix.0001.png", "net.onnx"]
        for name in [*names, *(f"plate.{number}.exr" for number in range(990, 1110))]:
            (folder / name).touch()
        options = replace(ALL, network=NetworkOptions("net.onnx", weights="net.onnx"))
        found = sources("plate.####.exr", options)
        assert list(found) == [
            "input", "background", "OpenColorIO configuration", "mask override", "keep 2", "drop 1",
        ]  # fmt: skip
        assert found["input"].numbers == tuple(range(993, 1109))  # with handles


class TestWriting:
    def test_what_is_written(self, written: Callable[..., Path], folder: Path) -> None:
        (folder / "shot.mov").write_bytes(b"12345")
        content = json.loads(written(replace(PLAIN, serial=True)).read_text())
        assert content["job"] == job.SCHEMA
        assert content["files"]["input"]["path"] == str(folder / "in.mov")
        assert content["files"]["input"]["relative"] == "in.mov"
        assert content["files"]["input"]["sha256"] == hashlib.sha256(b"plate").hexdigest()
        assert content["written_files"] == {"shot.mov": {"files": 1, "bytes": 5}}
        assert content["network"]["weights_sha256"] == REPORT.digest
        assert content["network"]["size"] == [352, 256]
        assert content["colour"] == {"taken_for": "BT.709 limited", "assumed": "range"}
        assert content["options"]["serial"] is True
        assert {"streammatte", "python", "av", "libavcodec", "numpy"} <= content["versions"].keys()
        assert content["report"]["milliseconds"] == {"decode": {"cpu": 1.0, "wall": 2.0}}

    def test_each_pass_is_counted(self, written: Callable[..., Path], folder: Path) -> None:
        for name in ("comp.0001", "comp.0002", "matte.0001"):
            (folder / f"shot_{name}.exr").write_bytes(b"123")
        options = replace(PLAIN, passes=("comp", "matte"))
        path = written(options, report=replace(REPORT, output="shot.%04d.exr"))
        assert json.loads(path.read_text())["written_files"] == {
            "shot_comp.%04d.exr": {"files": 2, "bytes": 6},
            "shot_matte.%04d.exr": {"files": 1, "bytes": 3},
        }

    def test_the_environment_is_written_down(
        self, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OCIO", "ocio://default")
        assert job.read(written()).options.colour.ocio is None
        spaces = replace(PLAIN, colour=ColourOptions(working_space="ACEScg"))
        path = written(spaces)
        monkeypatch.delenv("OCIO")
        assert job.read(path).options.colour == replace(spaces.colour, ocio="ocio://default")

    def test_a_folder_that_takes_nothing(self, folder: Path) -> None:
        with pytest.raises(OutputError):
            job.write(folder / "no" / "a.job.json", "synthetic", PLAIN, REPORT, {})


class TestReading:
    def test_it_reads_what_was_written(self, written: Callable[..., Path], folder: Path) -> None:
        for name in ("sky.exr", "keep.png", "drop.png", "show.ocio", "fix.0001.png"):
            (folder / name).write_text(name)
        found = job.read(written(ALL))
        assert (found.input, found.output) == (str(folder / "in.mov"), str(folder / "shot.mov"))
        assert found.warnings == []
        assert found.weights == REPORT.digest
        # Paths do not depend on where the command is given.
        assert found.options.background.path == str(folder / "sky.exr")
        assert found.options.mask_override == str(folder / "fix.%04d.png")
        assert [zone.path for zone in found.options.matte.keep] == ["", str(folder / "keep.png")]
        assert found.options.network == ALL.network
        assert found.options.sequence == ALL.sequence

    def test_what_is_no_file_stays_as_it_is(self, written: Callable[..., Path]) -> None:
        assert job.read(written(where="synthetic:64x48")).input == "synthetic:64x48"

    def test_a_folder_may_be_moved(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("old/plates/p.0001.exr", "old/sky.exr", "old/nets/net.onnx", "old/out/x"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        background = BackgroundSpec("file", path="old/sky.exr")
        options = RenderOptions(background, network=NetworkOptions("old/nets/net.onnx"))
        report = replace(REPORT, output="old/out/shot.mov")
        where = "old/plates/p.%04d.exr"
        with Digests(sources(where, options)) as digests:
            job.write(folder / "old/out/shot.job.json", where, options, report, digests.result())
        (folder / "old").rename(folder / "new")
        monkeypatch.chdir(folder / "new")
        found = job.read(Path("out/shot.job.json"))
        places = [found.input, found.output, found.options.background.path]
        resolved = [Path(os.path.normpath(place)) for place in places]
        new = folder / "new"
        assert resolved == [new / "plates/p.%04d.exr", new / "out/shot.mov", new / "sky.exr"]
        assert Path(found.options.network.model).samefile(new / "nets/net.onnx")
        assert found.warnings == []

    def test_changes_of_size_are_told_at_once(self, written: Callable[..., Path]) -> None:
        path = written()
        Path("in.mov").write_bytes(b"another plate")
        assert job.read(path).warnings == [
            "the input has changed since the job was written: another size"
        ]
        Path("in.mov").unlink()
        assert job.read(path).warnings == ["the input of the job is not there any more"]

    def test_files_that_were_added_are_told(self, written: Callable[..., Path]) -> None:
        Path("p.1.exr").touch()
        path = written(where="p.%d.exr")
        Path("p.2.exr").touch()
        assert job.read(path).warnings == ["the input of the job had 1 files, now it has 2"]

    def test_other_versions_are_told(self, written: Callable[..., Path]) -> None:
        path = written()
        content = json.loads(path.read_text())
        content["versions"] |= {"numpy": "1.0", "magic": "3"}
        path.write_text(json.dumps(content))
        (warning,) = job.read(path).warnings
        assert "numpy 1.0 (now " in warning
        assert "magic 3 (now missing)" in warning

    def test_other_contents_and_networks_are_told_afterwards(
        self, written: Callable[..., Path]
    ) -> None:
        found = job.read(written())
        assert found.differences(found.contents, REPORT) == []
        changed = {"input": replace(found.contents["input"], sha256="00")}
        report = replace(REPORT, digest="cd", runtime="another")
        assert found.differences(changed, report) == [
            "the input has changed since the job was written: another SHA-256",
            "the network's weights are not those of the job",
            "the network was run by stub for the job",
        ]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"job": 99, "streammatte": "9.0"}, "written by streammatte 9.0, which is newer"),
            ({"job": "1"}, "is no job file"),
            ({"options": {"glow": 1}, "streammatte": "9.0"}, "9.0, this is .*options.glow"),
            ({"options": None}, "options cannot be None"),
            ({"files": []}, "is damaged"),
            ({"files": {"input": {}}}, "is damaged"),
            ({"versions": None}, "is damaged"),
        ],
    )
    def test_what_it_cannot_be_is_refused(
        self, written: Callable[..., Path], change: dict[str, Any], words: str
    ) -> None:
        path = written()
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(InputError, match=words):
            job.read(path)

    def test_options_that_exclude_each_other_are_refused(
        self, written: Callable[..., Path]
    ) -> None:
        path = written()
        content = json.loads(path.read_text())
        content["options"]["encode"] = {"crf": 18.0, "bitrate": 8_000_000}
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="exclude each other"):
            job.read(path)

    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{} {}"])
    def test_other_files_are_refused(self, folder: Path, content: bytes) -> None:
        (folder / "a.json").write_bytes(content)
        with pytest.raises(InputError, match="is no job file"):
            job.read(folder / "a.json")

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            job.read(Path("no.job.json"))
