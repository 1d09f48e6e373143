"""Photographs in bulk: what goes along, what fails alone, what is left alone, and memory."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from photographs import (
    DATE,
    MAKER,
    ORIENTATION,
    SIZE,
    STUB,
    exif,
    folder_of,
    names,
    opened,
    save,
    scene,
    stored,
    wide,
)
from PIL import Image, ImageCms

import streammatte
from streammatte.errors import InputError, OutputError, UsageError
from streammatte.options import SequenceOptions

if TYPE_CHECKING:
    from pathlib import Path


class TestWhatGoesAlong:
    """What a photograph says beside its pixels is in the result."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    def test_upright(self, suffix: str, orientation: int, tmp_path: Path) -> None:
        lossless = {"lossless": True} if suffix == ".webp" else {}
        lossless |= {"quality": 98} if suffix == ".jpg" else {}
        path = save(
            tmp_path / f"a{suffix}",
            stored(scene(), orientation),
            exif=exif(orientation),
            **lossless,
        )
        report = streammatte.render(path, tmp_path / "o.png", passes=["plate"], runtime="stub")
        assert report.frames == 1
        found = opened(tmp_path / "o.png")
        assert found.size == SIZE
        assert np.abs(np.asarray(found.convert("RGB")).astype(int) - scene()).mean() < 3
        assert found.getexif().get(ORIENTATION, 1) == 1

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    @pytest.mark.parametrize("result", [".jpg", ".png", ".webp", ".tif"])
    def test_profile_exif_and_resolution(self, suffix: str, result: str, tmp_path: Path) -> None:
        path = save(
            tmp_path / f"a{suffix}",
            exif=exif(),
            icc_profile=wide(),
            **({} if suffix == ".webp" else {"dpi": (300, 300)}),
        )
        streammatte.render(path, tmp_path / f"o{result}", **STUB)
        found = opened(tmp_path / f"o{result}")
        assert found.info["icc_profile"] == wide()
        assert found.getexif()[MAKER] == "Maker"
        assert found.getexif()[DATE] == "2026:11:27 10:00:00"
        if suffix != ".webp" != result:
            assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_16_bits(self, suffix: str, tmp_path: Path) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (64, 96, 3), dtype=np.uint16)
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), deep)
        streammatte.render(path, tmp_path / f"o{suffix}", bg="transparent", runtime="stub")
        found = cv2.imread(str(tmp_path / f"o{suffix}"), cv2.IMREAD_UNCHANGED)
        assert found.dtype == np.uint16
        solid = found[..., 3] == 65535
        assert solid.any()
        assert (found[solid][:, :3] == deep[solid]).all()

    def test_16_bits_with_tags(self, tmp_path: Path) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (64, 96, 3), dtype=np.uint16)
        path = tmp_path / "a.tif"
        cv2.imwrite(str(path), deep)
        for result in (".png", ".tif"):
            streammatte.render(path, tmp_path / f"o{result}", **STUB)
            assert cv2.imread(str(tmp_path / f"o{result}"), -1).dtype == np.uint16

    def test_grey_and_its_own_alpha(self, tmp_path: Path) -> None:
        save(tmp_path / "in" / "grey.png", scene()[..., 0])
        alpha = np.zeros((64, 96), np.uint8)
        alpha[16:48, 24:72] = 255
        save(tmp_path / "in" / "alpha.png", np.dstack([scene(), alpha]))
        report = streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)
        assert report.frames == 2
        found = np.asarray(opened(tmp_path / "out" / "alpha.png").convert("RGB"))
        assert (found[alpha == 0] == (255, 0, 0)).all()
        assert (found[alpha == 255] == scene()[alpha == 255]).all()

    def test_ink(self, tmp_path: Path) -> None:
        path = tmp_path / "in" / "ink.jpg"
        path.parent.mkdir()
        Image.fromarray(scene()).convert("CMYK").save(path, quality=98)
        report = streammatte.render(path, tmp_path / "o.png", passes=["plate"], runtime="stub")
        assert any("cyan, magenta, yellow and black" in note for note in report.notes)
        found = np.asarray(opened(tmp_path / "o.png").convert("RGB")).astype(int)
        assert np.abs(found - scene()).mean() < 4

    def test_heic_and_avif(self, tmp_path: Path) -> None:
        pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra stills")
        pillow_heif.register_heif_opener()
        for suffix in (".heic", ".avif"):
            path = save(tmp_path / "in" / f"a{suffix}", quality=95, exif=exif(), icc_profile=wide())
            assert path.stat().st_size > 100
        report = streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)
        assert report.frames == 2
        assert names(tmp_path / "out") == ["a_avif.jpg", "a_heic.jpg"]
        for name in names(tmp_path / "out"):
            found = opened(tmp_path / "out" / name)
            assert found.info["icc_profile"] == wide()
            assert found.getexif()[MAKER] == "Maker"

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_a_heic_that_was_turned(self, orientation: int, tmp_path: Path) -> None:
        """As telephones write it: stored lying, EXIF and the container's own turn saying so."""
        pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra stills")
        pillow_heif.register_heif_opener()
        lying = stored(scene(), orientation)
        path = save(tmp_path / "a.heic", lying, quality=95, exif=exif(orientation))
        assert (b"irot" in path.read_bytes()) == (orientation != 1)
        shown = np.asarray(opened(path))  # by the library's own judgement
        streammatte.render(path, tmp_path / "o.png", passes=["plate"], runtime="stub")
        found = opened(tmp_path / "o.png")
        assert found.size == shown.shape[1::-1] == SIZE
        assert np.abs(np.asarray(found.convert("RGB")).astype(int) - scene()).mean() < 6
        assert found.getexif().get(ORIENTATION, 1) == 1


class TestFolder:
    def test_a_folder_into_a_folder(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 5)
        report = streammatte.render(
            tmp_path / "in", tmp_path / "out", bg="transparent", runtime="stub"
        )
        assert report.frames == 5
        assert names(tmp_path / "out") == names(tmp_path / "in")
        assert opened(tmp_path / "out" / "003.png").mode == "RGBA"

    def test_a_name_of_its_own(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 2)
        report = streammatte.render(tmp_path / "in", **STUB)
        assert report.output == str(tmp_path / "in_ff0000")
        assert names(tmp_path / "in_ff0000") == ["000.png", "001.png"]

    def test_patterns_and_folders_below(self, tmp_path: Path) -> None:
        for name in ("a.png", "b/c.png", "b/d/e.jpg", "b/f.txt"):
            path = tmp_path / "in" / name
            save(path) if path.suffix != ".txt" else path.write_text("x")
        out = tmp_path / "out"
        report = streammatte.render(f"{tmp_path}/in/**/*", out, **STUB)
        assert report.frames == 3
        assert names(out) == ["a.png", "b/c.png", "b/d/e.jpg"]
        report = streammatte.render(f"{tmp_path}/in/*.png", tmp_path / "two", **STUB)
        assert names(tmp_path / "two") == ["a.png"]
        report = streammatte.render(tmp_path / "in", tmp_path / "three", **STUB)
        assert names(tmp_path / "three") == ["a.png"]
        assert any("not looked into" in note for note in report.notes)

    def test_a_list(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 3)
        where = [tmp_path / "in" / "000.png", tmp_path / "in" / "002.png"]
        streammatte.render(where, tmp_path / "out", **STUB)
        assert names(tmp_path / "out") == ["000.png", "002.png"]

    def test_names_that_would_be_one(self, tmp_path: Path) -> None:
        save(tmp_path / "in" / "a.png")
        save(tmp_path / "in" / "a.jpg")
        report = streammatte.render(
            tmp_path / "in", tmp_path / "out", bg="transparent", runtime="stub"
        )
        assert names(tmp_path / "out") == ["a_jpg.png", "a_png.png"]
        assert any("would have had one name" in note for note in report.notes)

    def test_several_passes(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 2)
        streammatte.render(
            tmp_path / "in", tmp_path / "out", passes=["comp", "matte", "fgr"], **STUB
        )
        expected = [f"{n}_{p}.png" for n in ("000", "001") for p in ("comp", "fgr", "matte")]
        assert names(tmp_path / "out") == expected
        matte = cv2.imread(str(tmp_path / "out" / "000_matte.png"), -1)
        assert matte.max() > 250

    def test_what_cannot_be_read_fails_alone(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from streammatte import cli

        folder_of(tmp_path / "in", 3)
        (tmp_path / "in" / "empty.jpg").write_bytes(b"")
        (tmp_path / "in" / "noise.jpg").write_bytes(bytes(range(256)) * 40)
        whole = (tmp_path / "in" / "001.png").read_bytes()
        (tmp_path / "in" / "cut.png").write_bytes(whole[:20])
        words = ["render", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--bg", "red"]
        assert cli.main([*words, "--runtime", "stub"]) == 3
        told = capfd.readouterr().err
        for name in ("empty.jpg", "noise.jpg", "cut.png"):
            assert told.count(f"{os.sep}{name} ") == 1, told
        assert "Traceback" not in told
        assert names(tmp_path / "out") == ["000.png", "001.png", "002.png"]

    def test_alone_it_fails_as_a_whole(self, tmp_path: Path) -> None:
        (tmp_path / "empty.jpg").write_bytes(b"")
        with pytest.raises(InputError, match=r"empty\.jpg is empty"):
            streammatte.render(tmp_path / "empty.jpg", tmp_path / "o.jpg", **STUB)
        assert not (tmp_path / "o.jpg").exists()

    def test_nothing_is_replaced_unasked(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 3)
        out = tmp_path / "out"
        streammatte.render(tmp_path / "in", out, **STUB)
        before = {name: (out / name).read_bytes() for name in names(out)}
        with pytest.raises(OutputError, match="3 of the results exist"):
            streammatte.render(tmp_path / "in", out, runtime="stub", bg="blue")
        (out / "001.png").unlink()
        report = streammatte.render(
            tmp_path / "in",
            out,
            runtime="stub",
            bg="blue",
            sequence=SequenceOptions(skip_existing=True),
        )
        assert report.frames == 1
        assert any("2 were there already" in note for note in report.notes)
        assert (out / "000.png").read_bytes() == before["000.png"]
        assert (out / "001.png").read_bytes() != before["001.png"]
        streammatte.render(tmp_path / "in", out, runtime="stub", bg="blue", overwrite=True)
        assert (out / "000.png").read_bytes() != before["000.png"]

    def test_photographs_are_never_written_over(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 2)
        before = (tmp_path / "in" / "000.png").read_bytes()
        with pytest.raises(UsageError, match="is read for this"):
            streammatte.render(tmp_path / "in", tmp_path / "in", overwrite=True, **STUB)
        assert (tmp_path / "in" / "000.png").read_bytes() == before

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"codec": "h264"}, "not for images"),
            ({"start": 1}, "-ss, -to and -t cut videos"),
            ({"purpose": "web"}, "--for web is not for several photographs"),
            ({"mask_override": "fix.png"}, "--mask-override is not for several photographs"),
        ],
    )
    def test_what_is_for_videos(self, options: Any, message: str, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 2)
        with pytest.raises(streammatte.errors.StreamMatteError, match=message):
            streammatte.render(tmp_path / "in", tmp_path / "out", **STUB, **options)
        assert not (tmp_path / "out").exists()

    def test_one_file_cannot_hold_several(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 2)
        with pytest.raises(UsageError, match="several photographs need a folder"):
            streammatte.render(tmp_path / "in", tmp_path / "out.png", **STUB)
        with pytest.raises(UsageError, match="several photographs need a folder"):
            streammatte.render(tmp_path / "in", tmp_path / "out.mp4", **STUB)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="has no photographs"):
            streammatte.render(tmp_path / "empty", tmp_path / "out", **STUB)

    def test_a_folder_of_frames_is_told_how_it_is_given(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name in ("plate.1001.exr", "plate.1002.exr", "plate.job.json"):
            (tmp_path / "in" / name).touch()
        with pytest.raises(InputError, match=r"an image sequence; give it as .*plate\.####\.exr"):
            streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)
        (tmp_path / "in" / "plate.1001.exr").unlink()
        with pytest.raises(InputError, match=r"give it as .*plate\.1002\.exr"):
            streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)


def test_a_job_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streammatte import cli

    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "in", 3)
    words = "render in -o out --bg red --out comp,matte --trim --runtime stub -q --job"
    assert cli.main([*words.split(), "jobs.json"]) == 0
    assert cli.main(["render", "--from", "jobs.json", "-o", "again", "-q"]) == 0
    assert names(tmp_path / "out") == names(tmp_path / "again") != []
    for name in names(tmp_path / "out"):
        data = (tmp_path / "again" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == data


class TestAlike:
    """However many there are, each is made as if it were alone."""

    def test_one_by_one_serial_and_in_bulk(self, tmp_path: Path) -> None:
        sizes = [(96, 64), (64, 96), (120, 64), (96, 64)]
        for number, size in enumerate(sizes):
            save(tmp_path / "in" / f"{number}.png", scene(size, number))
        streammatte.render(tmp_path / "in", tmp_path / "bulk", **STUB)
        streammatte.render(tmp_path / "in", tmp_path / "serial", serial=True, **STUB)
        (tmp_path / "alone").mkdir()
        for name in names(tmp_path / "in"):
            streammatte.render(tmp_path / "in" / name, tmp_path / "alone" / name, **STUB)
        for name in names(tmp_path / "in"):
            data = (tmp_path / "bulk" / name).read_bytes()
            assert data == (tmp_path / "serial" / name).read_bytes()
            assert data == (tmp_path / "alone" / name).read_bytes()

    def test_in_batches(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "in", 5, (320, 240))
        streammatte.render(tmp_path / "in", tmp_path / "one", **STUB)
        streammatte.render(tmp_path / "in", tmp_path / "four", batch=4, **STUB)
        for name in names(tmp_path / "one"):
            data = (tmp_path / "four" / name).read_bytes()
            assert data == (tmp_path / "one" / name).read_bytes()

    def test_in_linear_light(self, tmp_path: Path) -> None:
        from streammatte.options import ColourOptions

        folder_of(tmp_path / "in", 2)
        colour = ColourOptions(linear=True)
        streammatte.render(tmp_path / "in", tmp_path / "out", colour=colour, **STUB)
        found = np.asarray(opened(tmp_path / "out" / "000.png").convert("RGB"))
        assert tuple(found[0, 0]) == (255, 0, 0)
        middle = found[32, 48].astype(int)
        assert np.abs(middle - scene()[32, 48]).max() <= 1


class TestBackground:
    def test_a_photograph_turned_and_in_another_profile(self, tmp_path: Path) -> None:
        behind = np.zeros((64, 96, 3), np.uint8)
        behind[:, :48] = (200, 60, 60)
        save(tmp_path / "bg.png", stored(behind, 6), exif=exif(6), icc_profile=wide())
        save(tmp_path / "in" / "same.png", icc_profile=wide())
        save(tmp_path / "in" / "plain.png")
        streammatte.render(
            tmp_path / "in", tmp_path / "out", bg=str(tmp_path / "bg.png"), runtime="stub"
        )
        same, plain = (
            np.asarray(opened(tmp_path / "out" / name).convert("RGB")).astype(int)
            for name in ("same.png", "plain.png")
        )
        assert np.abs(same[2, 2] - (200, 60, 60)).max() <= 1
        assert np.abs(same[2, -3]).max() <= 1
        expected = ImageCms.profileToProfile(
            Image.fromarray(behind),
            ImageCms.ImageCmsProfile(io.BytesIO(wide())),
            ImageCms.createProfile("sRGB"),
        )
        assert np.abs(plain[2, 2] - np.asarray(expected)[2, 2]).max() <= 2
        assert np.abs(plain[2, 2] - same[2, 2]).max() > 5

    def test_a_colour_is_what_it_looks_like(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png", icc_profile=wide())
        streammatte.render(tmp_path / "a.png", tmp_path / "o.png", runtime="stub", bg="#c83c3c")
        found = opened(tmp_path / "o.png")
        shown = ImageCms.profileToProfile(
            found.convert("RGB"),
            ImageCms.ImageCmsProfile(io.BytesIO(found.info["icc_profile"])),
            ImageCms.createProfile("sRGB"),
        )
        assert np.abs(np.asarray(shown)[2, 2].astype(int) - (200, 60, 60)).max() <= 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_whole_files_and_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / "in" / f"{number:03}.png", scene((800, 600), number))
    line = [sys.executable, "-m", "streammatte", "render", str(tmp_path / "in")]
    line += ["-o", str(tmp_path / "out"), "--bg", "red", "--runtime", "stub"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    until = time.monotonic() + 60
    while not (tmp_path / "out").exists() or len(names(tmp_path / "out")) < 3:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert process.returncode not in (0, 1)
    assert "Traceback" not in told
    done = names(tmp_path / "out")
    assert 3 <= len(done) < 40
    assert re.search(r"[0-9]+ of 40 photographs are done", told), told
    for name in done:
        assert cv2.imread(str(tmp_path / "out" / name)).shape == (600, 800, 3)
    again = subprocess.run([*line, "--skip-existing"], check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(names(tmp_path / "out")) == 40


def test_memory_is_that_of_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many photographs there are, only so many are decoded at a time."""
    from streammatte.stills import matting

    lock, alive, most = threading.Lock(), 0, 0
    read = matting.read_photo

    def gone() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def counted(path: Path) -> Any:
        nonlocal alive, most
        photo = read(path)
        weakref.finalize(photo, gone)
        with lock:
            alive += 1
            most = max(most, alive)
        return photo

    monkeypatch.setattr(matting, "read_photo", counted)
    folder_of(tmp_path / "in", 60)
    report = streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)
    assert report.frames == 60
    assert 1 <= most <= 20
