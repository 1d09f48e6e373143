"""Kinds of photographs that are rare, or that libraries read differently than one thinks."""

from __future__ import annotations

import io
import struct
import sys
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from photographs import (
    ORIENTATION,
    SIZE,
    STUB,
    exif,
    opened,
    profile,
    save,
    scene,
    stored,
    wide,
)
from PIL import Image, ImageCms

import streammatte
from streammatte.errors import InputError
from streammatte.stills import ifd
from streammatte.stills.photo import read_photo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ORIENTATIONS = range(1, 9)
ALPHA_KIND, MULTIPLIED, STRAIGHT = 338, 1, 2


def plate(path: Path) -> NDArray[np.int64]:
    """Return R, G, B of a photograph as it comes out if nothing is done to it."""
    out = path.with_name("plate_of_it.png")
    streammatte.render(path, out, passes=["plate"], runtime="stub", overwrite=True)
    assert opened(out).getexif().get(ORIENTATION, 1) == 1
    return np.asarray(opened(out).convert("RGB")).astype(int)


def looks_like(found: NDArray[np.int64], expected: NDArray[Any], within: float) -> bool:
    assert found.shape == expected.shape
    return bool(np.abs(found - expected).mean() <= within)


def large_profile() -> bytes:
    """Return a profile of 150 KB, as scanners have: sRGB's, and tables that nobody reads."""
    small = profile()
    (count,) = struct.unpack_from(">I", small, 128)
    table = bytearray(small[132 : 132 + 12 * count])
    for place in range(4, len(table), 12):
        struct.pack_into(">I", table, place, struct.unpack_from(">I", table, place)[0] + 12)
    rest = small[132 + 12 * count :]
    more = b"data\0\0\0\0" + np.random.default_rng(0).bytes(150_000)
    at = 128 + 4 + len(table) + 12 + len(rest)
    rest += bytes(-at % 4)
    table += struct.pack(">4sII", b"zzzz", at + (-at % 4), len(more))
    made = small[:128] + struct.pack(">I", count + 1) + bytes(table) + rest + more
    made = struct.pack(">I", len(made)) + made[4:]
    ImageCms.ImageCmsProfile(io.BytesIO(made))  # which refuses what is no profile
    return made


class TestTurned:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("suffix", [".avif", ".heic"])
    def test_by_its_container(self, suffix: str, orientation: int, tmp_path: Path) -> None:
        if suffix == ".heic":
            pytest.importorskip("pillow_heif").register_heif_opener()
        lying = stored(scene(), orientation)
        path = save(tmp_path / f"a{suffix}", lying, quality=95, exif=exif(orientation))
        turned = b"irot" in path.read_bytes() or b"imir" in path.read_bytes()
        assert turned == (orientation != 1)
        assert looks_like(plate(path), scene(), 4)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("packed", ["raw", "tiff_lzw", "jpeg"])
    def test_ink_in_tiff(self, packed: str, orientation: int, tmp_path: Path) -> None:
        lying = Image.fromarray(stored(scene(), orientation)).convert("CMYK")
        lying.save(tmp_path / "a.tif", compression=packed, exif=exif(orientation))
        assert looks_like(plate(tmp_path / "a.tif"), scene(), 4)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_ink_in_jpeg(self, orientation: int, tmp_path: Path) -> None:
        lying = Image.fromarray(stored(scene(), orientation)).convert("CMYK")
        lying.save(tmp_path / "a.jpg", quality=98, exif=exif(orientation))
        assert looks_like(plate(tmp_path / "a.jpg"), scene(), 4)


class TestTiff:
    @pytest.mark.parametrize("packed", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    def test_exact(self, packed: str, tmp_path: Path) -> None:
        save(tmp_path / "a.tif", compression=packed)
        assert looks_like(plate(tmp_path / "a.tif"), scene(), 0)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_packed_as_jpeg(self, orientation: int, tmp_path: Path) -> None:
        """FFmpeg makes these black, and says nothing."""
        lying = stored(scene(), orientation)
        save(tmp_path / "a.tif", lying, compression="jpeg", quality=95, exif=exif(orientation))
        assert looks_like(plate(tmp_path / "a.tif"), scene(), 3)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_colours_that_were_multiplied(self, dtype: Any, tmp_path: Path) -> None:
        peak = np.iinfo(dtype).max
        alpha = np.tile(np.linspace(0, 1, SIZE[0]), (SIZE[1], 1))
        straight = scene() / 255
        rgba = np.dstack([straight * alpha[..., None], alpha])
        path = tmp_path / "a.tif"
        stored_ = np.rint(rgba[..., [2, 1, 0, 3]] * peak).astype(dtype)
        cv2.imwrite(str(path), stored_)
        data = path.read_bytes()
        entries = ifd.read(data)
        kind = struct.pack(ifd.order_of(data) + "H", MULTIPLIED)
        entries.entries[ALPHA_KIND] = ifd.Entry(3, 1, kind)
        at = len(data) + len(data) % 2
        head = data[:4] + struct.pack(ifd.order_of(data) + "I", at) + data[8:]
        path.write_bytes(head.ljust(at, b"\0") + ifd.write(entries, ifd.order_of(data), at))
        green, blue, red = read_photo(path).frame.picture.planes
        found = np.stack([red, green, blue], -1) / peak
        seen = alpha > 0.2
        assert np.abs(found - straight)[seen].max() < (0.02 if dtype is np.uint8 else 1e-3)

    @pytest.mark.parametrize(("alpha", "kind"), [("straight", STRAIGHT), ("premult", MULTIPLIED)])
    def test_results_say_which_they_are(self, alpha: Any, kind: int, tmp_path: Path) -> None:
        save(tmp_path / "a.png")
        streammatte.render(
            tmp_path / "a.png", tmp_path / "o.tif", bg="transparent", runtime="stub", alpha=alpha
        )
        assert opened(tmp_path / "o.tif").tag_v2[ALPHA_KIND] == (kind,)

    def test_16_bits_say_as_much_as_8(self, tmp_path: Path) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (64, 96, 3), dtype=np.uint16)
        first = tmp_path / "a.tif"
        save(tmp_path / "tags.tif", icc_profile=wide(), exif=exif(), dpi=(240, 240))
        from streammatte.stills import tiff
        from streammatte.stills.headers import header_of, mapped

        with mapped(tmp_path / "tags.tif") as data:
            tags = header_of(first, data).tags
        first.write_bytes(tiff.tagged(cv2.imencode(".tif", deep)[1].tobytes(), tags))
        for number, suffix in enumerate((".png", ".tif", ".png")):
            path = tmp_path / f"{number}{suffix}"
            streammatte.render(first, path, bg="transparent", runtime="stub")
            found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            solid = found[..., 3] == 65535
            assert solid.any()
            assert (found[solid][:, :3] == deep[solid]).all()
            told = read_photo(path).tags
            assert told.profile == wide()
            assert told.dpi == pytest.approx((240, 240), abs=0.1)
            assert b"Maker" in told.exif


class TestProfiles:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    def test_a_large_one(self, suffix: str, tmp_path: Path) -> None:
        large = large_profile()
        save(tmp_path / "a.jpg", icc_profile=large)
        streammatte.render(tmp_path / "a.jpg", tmp_path / f"o{suffix}", **STUB)
        assert opened(tmp_path / f"o{suffix}").info["icc_profile"] == large

    def test_the_network_sees_what_people_see(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same colours in two profiles are one picture to it; results keep their samples."""
        from streammatte.runtimes.stub import Stub

        seen: list[NDArray[np.uint8]] = []
        infer = Stub.infer

        def looked(self: Stub, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.append(frames.copy())
            return infer(self, frames)

        monkeypatch.setattr(Stub, "infer", looked)
        there, back = (io.BytesIO(each) for each in (wide(), profile()))
        plain = scene() // 2 + 60  # which both can show
        in_wide = ImageCms.profileToProfile(Image.fromarray(plain), back, there)
        save(tmp_path / "plain.png", plain, icc_profile=profile())
        save(tmp_path / "wide.png", np.asarray(in_wide), icc_profile=wide())
        assert np.abs(np.asarray(in_wide).astype(int) - plain).max() > 10
        for name in ("plain", "wide"):
            out = tmp_path / f"o_{name}.png"
            streammatte.render(tmp_path / f"{name}.png", out, passes=["plate"], runtime="stub")
        assert np.abs(seen[0].astype(int) - seen[1]).max() <= 3
        assert (np.asarray(opened(tmp_path / "o_wide.png").convert("RGB")) == in_wide).all()

    def test_a_profile_that_cannot_be_used_is_said(self, tmp_path: Path) -> None:
        hurt = profile()[:128] + bytes(300)
        save(tmp_path / "a.png", icc_profile=hurt)
        report = streammatte.render(
            tmp_path / "a.png", tmp_path / "o.png", bg="transparent", runtime="stub"
        )
        assert any("as if they were sRGB" in note for note in report.notes)

    def test_a_matte_has_none(self, tmp_path: Path) -> None:
        save(tmp_path / "a.jpg", icc_profile=wide(), dpi=(300, 300))
        streammatte.render(tmp_path / "a.jpg", tmp_path / "o.png", passes=["matte", "fgr"], **STUB)
        assert opened(tmp_path / "o_fgr.png").info["icc_profile"] == wide()
        assert "icc_profile" not in opened(tmp_path / "o_matte.png").info
        assert opened(tmp_path / "o_matte.png").info["dpi"] == pytest.approx((300, 300), abs=0.1)

    def test_one_of_grey(self, tmp_path: Path) -> None:
        made = bytearray(profile())
        made[16:20] = b"GRAY"
        save(tmp_path / "a.png", scene()[..., 0], icc_profile=bytes(made))
        report = streammatte.render(tmp_path / "a.png", tmp_path / "o.png", **STUB)
        assert any("a greyscale colour profile" in note for note in report.notes)
        assert "icc_profile" not in opened(tmp_path / "o.png").info


class TestDepth:
    def test_heic_of_10_bits(self, tmp_path: Path) -> None:
        pillow_heif = pytest.importorskip("pillow_heif")
        deep = scene().astype(np.uint16) * 257
        made = pillow_heif.from_bytes("RGB;16", SIZE, deep.tobytes())
        made.save(tmp_path / "a.heic", quality=100)
        assert read_photo(tmp_path / "a.heic").frame.picture.layout.depth == 16
        assert looks_like(plate(tmp_path / "a.heic"), scene(), 2)

    def test_avif_of_10_bits_is_said(self, tmp_path: Path) -> None:
        for name, pixels in (("yuv420p", "8"), ("yuv420p10le", "10")):
            with av.open(str(tmp_path / f"{pixels}.avif"), "w", format="avif") as container:
                stream = container.add_stream("libsvtav1", rate=1)
                stream.width, stream.height, stream.pix_fmt = 128, 96, name
                frame = av.VideoFrame.from_ndarray(scene((128, 96)), "rgb24")
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        said = {
            bits: any("more than 8 bits" in note for note in read_photo(path).notes)
            for bits, path in ((bits, tmp_path / f"{bits}.avif") for bits in ("8", "10"))
        }
        assert said == {"8": False, "10": True}

    @pytest.mark.parametrize("suffix", [".tif", ".png"])
    def test_grey_of_16_bits(self, suffix: str, tmp_path: Path) -> None:
        deep = np.random.default_rng(0).integers(0, 65536, (64, 96), dtype=np.uint16)
        Image.fromarray(deep).save(tmp_path / f"a{suffix}")
        for plane in read_photo(tmp_path / f"a{suffix}").frame.picture.planes:
            assert (plane == deep).all()


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_is_its_first_picture(suffix: str, tmp_path: Path) -> None:
    first, second = Image.fromarray(scene()), Image.fromarray(255 - scene())
    lossless = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=[second], **lossless)
    first.save(tmp_path / f"b{suffix}", **lossless)
    assert looks_like(plate(tmp_path / f"a{suffix}"), scene(), 2)
    for name, moves in (("a", True), ("b", False)):
        notes = read_photo(tmp_path / f"{name}{suffix}").notes
        assert any("animation" in note for note in notes) == moves


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_damage_is_told_in_a_line_whatever_it_is(suffix: str, tmp_path: Path) -> None:
    """Bytes changed and lost at random: a picture comes of it, or one clear error."""
    whole = save(tmp_path / f"a{suffix}", exif=exif(6), icc_profile=wide()).read_bytes()
    chance = np.random.default_rng(5)
    outcomes = set()
    for number in range(60):
        data = bytearray(whole)
        for place in chance.integers(12, min(len(data), 900), 1 + number % 8):
            data[place] = chance.integers(0, 256)
        path = tmp_path / f"hurt{suffix}"
        path.write_bytes(data[: chance.integers(16, len(data))] if number % 3 == 0 else data)
        outcomes.add(outcome_of(path))
    assert outcomes == {"refused", "read"}


def outcome_of(path: Path) -> str:
    told = ""
    try:
        photo = read_photo(path)
    except InputError as error:
        told = str(error)
    if not told:
        assert photo.frame.picture.planes[0].size
        return "read"
    assert "\n" not in told
    assert path.name in told
    return "refused"


class TestWithoutTheExtra:
    """Without Pillow or pillow-heif, what needs them fails alone and says how to get them."""

    def test_heic(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("pillow_heif").register_heif_opener()
        save(tmp_path / "in" / "a.heic")
        save(tmp_path / "in" / "b.png")
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        report = streammatte.render(tmp_path / "in", tmp_path / "out", **STUB)
        assert report.frames == 1
        (line,) = report.failed
        assert "a.heic: HEIC needs pillow-heif: pip install" in line

    def test_colours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = bytearray(wide())
        own[24:36] = struct.pack(">6H", 2026, 11, 27, 8, 0, 0)  # so that no other test met it
        path = save(tmp_path / "a.png", icc_profile=bytes(own))
        monkeypatch.setitem(sys.modules, "PIL", None)
        report = streammatte.render(path, tmp_path / "o.png", **STUB)
        assert any("as if they were sRGB: converting" in note for note in report.notes)
        assert any("background's colours were taken for those" in note for note in report.notes)
        monkeypatch.undo()
        assert opened(tmp_path / "o.png").info["icc_profile"] == bytes(own)
