"""Files of image sequences, opened as a stranger would: by OpenImageIO, OpenCV and ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from streammatte.colour import FLOAT, LINEAR, SRGB
from streammatte.errors import InputError, UsageError
from streammatte.frames import Layout, Picture
from streammatte.images import Box, Layer, Manner, kind_of

OpenImageIO = pytest.importorskip("OpenImageIO", reason="needs the extra vfx")
pytest.importorskip("OpenEXR", reason="needs the extra vfx")

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.images import Image

SIZE = (48, 32)


def planes(depth: int, seed: int = 0) -> list[NDArray[Any]]:
    """Return G, B, R and A: noise, with alpha 0 and 1 among the rest."""
    random = np.random.default_rng(seed)
    made = list(random.random((4, *SIZE[::-1]), np.float32))
    made[3][:8], made[3][8:16] = 0, 1
    if depth == FLOAT:
        return [np.float16(plane).astype(np.float32) for plane in made]
    peak = (1 << depth) - 1
    return [np.rint(plane * peak).astype(np.uint8 if depth == 8 else np.uint16) for plane in made]


def picture(depth: int, *, alpha: bool = True, seed: int = 0) -> Picture:
    colour = LINEAR if depth == FLOAT else SRGB
    layout = Layout("rgb", depth, alpha=alpha)
    return Picture.of(planes(depth, seed)[: 4 if alpha else 3], layout, colour)


def written(path: Path, *layers: Layer, header: Any = None, **manner: Any) -> Path:
    suffix, depth = path.suffix.lower(), layers[0].picture.layout.depth
    kind_of(path).write(path, list(layers), header or {}, Manner(suffix, depth, **manner))
    return path


def comp(depth: int, *, alpha: bool = True) -> Layer:
    return Layer("comp", picture(depth, alpha=alpha), alpha, data=False)


def matte(depth: int) -> Layer:
    plane = planes(depth, 7)[0]
    colour = LINEAR if depth == FLOAT else SRGB
    return Layer("matte", Picture.of([plane] * 3, Layout("rgb", depth), colour), False, data=True)


def stranger(path: Path, wanted: str = "float") -> tuple[Any, NDArray[Any]]:
    """Return what OpenImageIO finds: its words on the file, and ``[h, w, channels]`` as stored."""
    wish = OpenImageIO.ImageSpec()
    wish.attribute("oiio:UnassociatedAlpha", 1)
    file = OpenImageIO.ImageInput.open(str(path), wish)
    assert file is not None, OpenImageIO.geterror()
    return file.spec(), file.read_image(wanted)


def own(path: Path) -> Image:
    return kind_of(path).read(path)


class TestExr:
    def test_half_precision_is_exact_where_the_samples_are(self, tmp_path: Path) -> None:
        layer = comp(FLOAT)
        path = written(tmp_path / "x.exr", layer, multiplied=True)
        spec, found = stranger(path)
        assert spec.channelnames == ("R", "G", "B", "A")
        assert str(spec.channelformat(0)) == "half"
        for place, plane in zip((1, 2, 0, 3), layer.picture.planes, strict=False):
            assert (found[..., place] == plane).all()
        assert layer.picture.alpha is not None
        assert (found[..., 3] == layer.picture.alpha).all()

    def test_float_is_exact(self, tmp_path: Path) -> None:
        layer = comp(FLOAT)
        layer.picture.planes[0][:] += np.float32(1e-5)
        path = written(tmp_path / "x.exr", layer, multiplied=True, full_float=True)
        spec, found = stranger(path)
        assert str(spec.channelformat(0)) == "float"
        assert (found[..., 1] == layer.picture.planes[0]).all()

    def test_premultiplied_colours_come_back_straight(self, tmp_path: Path) -> None:
        layer = comp(FLOAT)
        written(tmp_path / "x.exr", layer, multiplied=True, full_float=True)
        found = own(tmp_path / "x.exr").picture
        alpha = layer.picture.alpha
        assert alpha is not None
        assert found.alpha is not None
        assert (found.alpha == alpha).all()
        soft = alpha > 0.01
        for mine, theirs in zip(found.planes, layer.picture.planes, strict=True):
            assert np.allclose(mine[soft] * alpha[soft], theirs[soft], rtol=1e-6)

    def test_straight_colours_are_said_to_be(self, tmp_path: Path) -> None:
        layer = comp(FLOAT)
        spec, found = stranger(written(tmp_path / "x.exr", layer))
        assert spec.getattribute("streammatte/alpha") == "straight"
        assert (found[..., 0] == layer.picture.planes[2]).all()
        assert (own(tmp_path / "x.exr").picture.planes[0] == layer.picture.planes[0]).all()

    def test_a_matte_alone(self, tmp_path: Path) -> None:
        spec, found = stranger(written(tmp_path / "m.exr", matte(FLOAT)))
        assert spec.channelnames == ("R", "G", "B", "A")  # for readers that want colours
        assert all((found[..., at] == matte(FLOAT).picture.planes[0]).all() for at in range(4))
        alpha = own(tmp_path / "m.exr").picture.alpha
        assert alpha is not None
        assert (alpha == found[..., 3]).all()

    def test_layers_have_the_names_that_compositors_look_for(self, tmp_path: Path) -> None:
        fgr = Layer("fgr", picture(FLOAT, alpha=False, seed=3), alpha=False, data=False)
        confidence = matte(FLOAT)._replace(name="confidence")
        path = written(
            tmp_path / "x.exr", comp(FLOAT), fgr, matte(FLOAT), confidence, multiplied=True
        )
        spec, found = stranger(path)
        assert set(spec.channelnames) == {
            *("R", "G", "B", "A", "fgr.R", "fgr.G", "fgr.B", "matte.A", "confidence.Y")
        }
        at = spec.channelnames.index
        assert (found[..., at("matte.A")] == matte(FLOAT).picture.planes[0]).all()
        assert (found[..., at("fgr.R")] == fgr.picture.planes[2]).all()

    @pytest.mark.parametrize("name", ["none", "rle", "zips", "zip", "piz"])
    def test_lossless_compressions(self, name: str, tmp_path: Path) -> None:
        spec, found = stranger(written(tmp_path / "x.exr", comp(FLOAT), compression=name))
        assert spec.get_string_attribute("compression") == name
        assert (found[..., 0] == comp(FLOAT).picture.planes[2]).all()

    def test_a_matte_is_never_lossy(self, tmp_path: Path) -> None:
        spec, found = stranger(written(tmp_path / "m.exr", matte(FLOAT), compression="dwaa"))
        assert spec.get_string_attribute("compression") == "zips"
        assert (found[..., 0] == matte(FLOAT).picture.planes[0]).all()
        spec, _ = stranger(written(tmp_path / "c.exr", comp(FLOAT), compression="dwaa"))
        assert spec.get_string_attribute("compression").startswith("dwaa")

    def test_windows_aspect_rate_and_primaries(self, tmp_path: Path) -> None:
        xy = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
        path = written(
            tmp_path / "x.exr",
            comp(FLOAT),
            header={"dataWindow": Box(14, 2, 41, 29)},
            canvas=Box(4, -6, 51, 25),
            display=Box(0, 0, 63, 35),
            pixel_aspect=Fraction(2),
            rate=Fraction(24000, 1001),
            chromaticities=xy,
        )
        spec, _ = stranger(path)
        assert (spec.x, spec.y, spec.width, spec.height) == (14, 2, 28, 24)
        assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (0, 0, 64, 36)
        assert spec.get_float_attribute("PixelAspectRatio") == 2
        assert spec.getattribute("chromaticities") == pytest.approx(xy)
        assert tuple(spec.getattribute("FramesPerSecond")) == (24000, 1001)
        image = own(path)
        assert image.canvas == Box(0, 0, 63, 35)
        assert image.display == Box(0, 0, 63, 35)
        assert image.header["dataWindow"] == Box(14, 2, 41, 25)
        assert (image.rate, image.pixel_aspect) == (Fraction(24000, 1001), 2)

    def test_time_codes(self, tmp_path: Path) -> None:
        for code in ("10:11:12:13", "01:02:03;04"):
            path = written(tmp_path / "x.exr", comp(FLOAT), header={"timeCode": code})
            assert own(path).timecode == code
        spec, _ = stranger(path)
        assert spec.getattribute("smpte:TimeCode") is not None

    def test_nothing_but_an_alpha_is_read(self, tmp_path: Path) -> None:
        import OpenEXR

        grey = np.float16(planes(FLOAT)[0])
        OpenEXR.File({}, {"A": grey}).write(str(tmp_path / "a.exr"))
        assert all((plane == grey).all() for plane in own(tmp_path / "a.exr").picture.planes)

    def test_grey_and_unknown_layers_are_read(self, tmp_path: Path) -> None:
        import OpenEXR

        grey = np.float16(planes(FLOAT)[0])
        OpenEXR.File({}, {"Y": grey}).write(str(tmp_path / "y.exr"))
        assert all((plane == grey).all() for plane in own(tmp_path / "y.exr").picture.planes)
        beauty = {f"render.{letter}": grey for letter in "RGB"}
        OpenEXR.File({}, {**beauty, "Z": np.float32(grey)}).write(str(tmp_path / "b.exr"))
        assert (own(tmp_path / "b.exr").picture.planes[0] == grey).all()
        OpenEXR.File({}, {"Z": np.float32(grey)}).write(str(tmp_path / "z.exr"))
        with pytest.raises(InputError, match=r"z\.exr has no channels R, G and B"):
            own(tmp_path / "z.exr")

    def test_what_is_no_number_becomes_0_and_is_said(self, tmp_path: Path) -> None:
        layer = comp(FLOAT, alpha=False)
        layer.picture.planes[2][0, :3] = np.nan, np.inf, -np.inf
        image = own(written(tmp_path / "x.exr", layer, full_float=True))
        assert (image.picture.planes[2][0, :3] == 0).all()
        assert any("3 samples were no numbers" in note for note in image.notes)

    def test_light_too_bright_for_half_stays_finite(self, tmp_path: Path) -> None:
        layer = comp(FLOAT, alpha=False)
        layer.picture.planes[0][0, 0] = 1e6
        _, found = stranger(written(tmp_path / "x.exr", layer))
        assert found[0, 0, 1] == 65504

    @pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.99])
    def test_a_file_that_is_cut_short(self, share: float, tmp_path: Path) -> None:
        path = written(tmp_path / "x.exr", comp(FLOAT))
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=r"x\.exr"):
            own(path)


class TestTiff:
    @pytest.mark.parametrize("depth", [8, 10, 16])
    def test_samples_are_exact(self, depth: int, tmp_path: Path) -> None:
        layer = comp(depth)
        path = written(tmp_path / "x.tif", layer)
        stored = 8 if depth == 8 else 16
        spec, found = stranger(path, f"uint{stored}")
        assert spec.get_int_attribute("oiio:UnassociatedAlpha") == 1
        assert spec.nchannels == 4
        scale = ((1 << stored) - 1) / ((1 << depth) - 1)
        expected = [np.rint(plane * scale) for plane in planes(depth)]
        for place, plane in zip((1, 2, 0, 3), expected, strict=True):
            assert (found[..., place] == plane).all()
        if depth != 10:
            again = own(path).picture
            assert again.alpha is not None
            for mine, plane in zip([*again.planes, again.alpha], planes(depth), strict=True):
                assert (mine == plane).all()

    def test_premultiplied_is_said_and_comes_back_straight(self, tmp_path: Path) -> None:
        deep = planes(16)
        alpha = deep[3] / 65535
        shades = [np.rint(plane * alpha).astype(np.uint16) for plane in deep[:3]]
        layer = Layer(
            "premult",
            Picture.of([*shades, deep[3]], Layout("rgb", 16, alpha=True), SRGB),
            alpha=True,
            data=False,
        )
        path = written(tmp_path / "x.tif", layer, multiplied=True)
        spec, found = stranger(path, "uint16")
        assert spec.get_int_attribute("oiio:UnassociatedAlpha") == 0
        assert (found[..., 0] == shades[2]).all()
        again = own(path).picture
        solid = alpha > 0.25
        assert np.abs(again.planes[0][solid].astype(int) - deep[0][solid]).max() <= 2

    def test_a_matte_is_grey(self, tmp_path: Path) -> None:
        spec, found = stranger(written(tmp_path / "m.tif", matte(16)), "uint16")
        assert spec.nchannels == 1
        assert (found[..., 0] == planes(16, 7)[0]).all()


class TestDpx:
    @pytest.mark.parametrize("depth", [10, 12, 16])
    def test_samples_are_exact(self, depth: int, tmp_path: Path) -> None:
        layer = comp(depth, alpha=False)
        path = written(tmp_path / "x.dpx", layer)
        spec, _ = stranger(path)
        assert spec.get_int_attribute("oiio:BitsPerSample") == depth
        image = own(path)
        assert image.picture.layout.depth == depth
        for mine, plane in zip(image.picture.planes, planes(depth), strict=False):
            assert (mine == plane).all()

    @pytest.mark.parametrize("depth", [10, 16])
    def test_alpha_beside_straight_colours(self, depth: int, tmp_path: Path) -> None:
        path = written(tmp_path / "x.dpx", comp(depth))
        spec, found = stranger(path, "uint16")
        assert spec.channelnames == ("R", "G", "B", "A")
        for place, plane in zip((1, 2, 0, 3), planes(depth), strict=True):
            assert (found[..., place] >> (16 - depth) == plane).all()
        again = own(path).picture
        assert again.alpha is not None
        for mine, plane in zip([*again.planes, again.alpha], planes(depth), strict=True):
            assert (mine == plane).all()

    def test_8_bits_become_10(self, tmp_path: Path) -> None:
        found = own(written(tmp_path / "x.dpx", comp(8, alpha=False))).picture
        assert found.layout.depth == 10
        assert (found.planes[0] == np.rint(planes(8)[0] * (1023 / 255))).all()

    def test_what_is_said_beside(self, tmp_path: Path) -> None:
        header = {"timeCode": "10:11:12:13", "reelName": "A001C002"}
        path = written(
            tmp_path / "x.dpx",
            comp(10, alpha=False),
            header=header,
            rate=Fraction(24000, 1001),
            pixel_aspect=Fraction(2),
        )
        image = own(path)
        assert (image.timecode, image.header["reelName"]) == ("10:11:12:13", "A001C002")
        assert (image.rate, image.pixel_aspect) == (Fraction(24000, 1001), 2)

    def test_depth_is_what_results_have(self, tmp_path: Path) -> None:
        """Whatever the pictures are in: what is composited in linear light comes in float."""
        path = tmp_path / "x.dpx"
        layer = Layer("comp", picture(FLOAT, alpha=False), alpha=False, data=False)
        kind_of(path).write(path, [layer], {}, Manner(".dpx", 10))
        assert stranger(path)[0].get_int_attribute("oiio:BitsPerSample") == 10


class TestPlain:
    @pytest.mark.parametrize("depth", [8, 16])
    def test_png_is_exact(self, depth: int, tmp_path: Path) -> None:
        path = written(tmp_path / "x.png", comp(depth))
        _, found = stranger(path, "uint8" if depth == 8 else "uint16")
        for place, plane in zip((1, 2, 0, 3), planes(depth), strict=True):
            assert (found[..., place] == plane).all()
        again = own(path).picture
        assert again.alpha is not None
        for mine, plane in zip([*again.planes, again.alpha], planes(depth), strict=True):
            assert (mine == plane).all()

    def test_jpeg(self, tmp_path: Path) -> None:
        flat = Picture.of([np.full(SIZE[::-1], 90, np.uint8)] * 3, Layout("rgb", 8), SRGB)
        path = written(tmp_path / "x.jpg", Layer("comp", flat, alpha=False, data=False))
        assert np.abs(cv2.imread(str(path)).astype(int) - 90).max() <= 1

    def test_opencv_has_nothing_to_say(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        written(tmp_path / "x.png", comp(8))
        assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg command is absent")
@pytest.mark.parametrize(("suffix", "depth"), [(".dpx", 10), (".tif", 16), (".png", 16)])
def test_ffmpeg_reads_the_same(suffix: str, depth: int, tmp_path: Path) -> None:
    path = written(tmp_path / f"x{suffix}", comp(depth, alpha=False))
    words = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt"]
    raw = subprocess.run([*words, f"gbrp{depth}le", "-"], capture_output=True, check=True).stdout
    found = np.frombuffer(raw, "<u2").reshape(3, *SIZE[::-1])
    assert all((theirs == plane).all() for theirs, plane in zip(found, planes(depth), strict=False))


@pytest.mark.parametrize("suffix", [".exr", ".dpx", ".tif", ".png", ".jpg"])
def test_what_is_no_picture(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    for content in (b"", b"letters", bytes(range(256)) * 9):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"x{suffix}"):
            own(path)
    path.unlink()
    with pytest.raises(InputError, match=f"x{suffix}"):
        own(path)


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.gif: no image sequences of that kind; use one of"):
        kind_of(tmp_path / "x.gif")
