"""Pictures from strangers: what is kept, what is refused, and that nothing is decoded in vain."""

from __future__ import annotations

import struct
import threading
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from streammatte.control import uploads
from streammatte.control.uploads import read_header, safe_picture
from streammatte.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RED = (0, 0, 255)


def drawn(width: int = 96, height: int = 64, channels: int = 3) -> NDArray[np.uint8]:
    """Return a picture, red on its left half, blue on its right."""
    picture = np.zeros((height, width, channels), np.uint8)
    picture[:, : width // 2, 2] = 255
    picture[:, width // 2 :, 0] = 255
    if channels == 4:
        picture[..., 3] = 128
    return picture


def encoded(kind: str = ".jpg", picture: NDArray[np.uint8] | None = None) -> bytes:
    return bytes(cv2.imencode(kind, drawn() if picture is None else picture)[1].tobytes())


def turned(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation."""
    tag = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """Return a small PNG that claims to be a large one, and that a decoder would believe."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((min(width, 60_000) // 8 + 1) * min(height, 2000)), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    jpeg = bytearray(encoded())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(jpeg)


def webp_of_size(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0\0\0\0" + size


def read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_pictures_are_kept_as_they_look(tmp_path: Path, kind: str) -> None:
    path = safe_picture(encoded(kind), tmp_path, f"beach{kind}")
    assert path == tmp_path / "beach.jpg"
    kept = read(path).astype(int)
    assert kept.shape == (64, 96, 3)
    assert np.abs(kept[32, 20] - RED).max() < 12


@pytest.mark.parametrize("kind", [".png", ".webp"])
def test_transparent_parts_become_black(tmp_path: Path, kind: str) -> None:
    kept = read(safe_picture(encoded(kind, drawn(channels=4)), tmp_path, "glass")).astype(int)
    assert np.abs(kept[32, 20] - (0, 0, 128)).max() < 12


def test_deep_and_grey_pictures(tmp_path: Path) -> None:
    deep = np.full((64, 96, 3), 40_000, np.uint16)
    grey = np.full((64, 96), 156, np.uint8)
    for picture in (deep, grey):
        kept = read(safe_picture(encoded(".png", picture), tmp_path, "grey")).astype(int)
        assert np.abs(kept - 156).max() < 4


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    kept = read(safe_picture(turned(encoded(), 6), tmp_path, "phone.jpg")).astype(int)
    assert kept.shape == (96, 64, 3)
    assert np.abs(kept[20, 32] - RED).max() < 12  # the left half is on top


def test_nothing_of_the_file_itself_is_kept(tmp_path: Path) -> None:
    secret = b"GPS 52.5 N"
    jpeg = encoded()
    tagged = jpeg[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(secret)) + secret + jpeg[2:]
    kept = safe_picture(tagged + b"<script>", tmp_path, "x.jpg").read_bytes()
    assert secret not in kept
    assert b"<script>" not in kept


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    kept = read(safe_picture(encoded(".png", drawn(5000, 1000)), tmp_path, "wide"))
    assert kept.shape == (768, 3840, 3)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("beach.jpg", "beach"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\x.png", "x"),
        ("a b;c$d.jpg", "a-b-c-d"),
        ("Küste.jpg", "Küste"),
        ("", "picture"),
        ("...", "picture"),
        (".bashrc", "bashrc"),
        ("x\0y\n.jpg", "x-y"),
        ("con.jpg", "picture-con"),
        ("x" * 500 + ".jpg", "x" * 40),
        ("a.jpg.exe", "a-jpg"),
    ],
)
def test_names_are_made_safe(tmp_path: Path, name: str, stem: str) -> None:
    assert safe_picture(encoded(), tmp_path, name) == tmp_path / f"{stem}.jpg"


def test_names_do_not_collide(tmp_path: Path) -> None:
    first = safe_picture(encoded(), tmp_path, "a.jpg")
    other = safe_picture(encoded(".png", drawn()[:, ::-1]), tmp_path, "a.png")
    again = safe_picture(encoded(), tmp_path, "a.jpg")
    assert [first.name, other.name, again.name] == ["a.jpg", "a-2.jpg", "a.jpg"]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    pictures = [encoded(".png", np.full((64, 96, 3), 20 * each, np.uint8)) for each in range(6)]
    paths: list[Path] = []
    workers = [
        threading.Thread(target=lambda one=one: paths.append(safe_picture(one, tmp_path, "a")))
        for one in pictures
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(paths)) == 6
    assert {int(read(path)[0, 0, 0]) // 20 for path in paths} == set(range(6))
    assert {path.suffix for path in tmp_path.iterdir()} == {".jpg", ""}  # no halves; the lock


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(uploads.cv2, "imdecode", decode)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "content",
    [
        png_bomb(60_000, 60_000),
        png_bomb(2**31 - 1, 2**31 - 1),
        jpeg_of_size(65_000, 65_000),
        webp_of_size(16_000, 16_000),
    ],
    ids=["png", "png beyond all", "jpeg", "webp"],
)
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="more than 64 million; give a smaller"):
        safe_picture(content, tmp_path, "bomb")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_decoder")
def test_a_jpeg_that_is_made_to_be_slow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scans"):
        safe_picture(encoded() + b"\xff\xda" * 200, tmp_path, "slow")


@pytest.mark.usefixtures("no_decoder")
def test_files_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LARGEST_FILE", 1 << 20)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        safe_picture(encoded() + bytes(1 << 20), tmp_path, "large")


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0", b"\xff\xd8\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", png_bomb(0, 10),
        b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"GIF89a\x01\0\x01\0\0\0\0", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BM" + bytes(60), b"II*\0" + bytes(60), b"\0\0\0 ftypheic" + bytes(60), b"%PDF-1.7",
        b"#EXTM3U\nfile:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_undecoded(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="give a JPEG, PNG or WebP") as told:
        safe_picture(content, tmp_path, "x.jpg")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_damaged_pictures_never_raise_anything_else(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short or scribbled over, they are refused in our words, or kept as what is left."""
    monkeypatch.setattr(uploads, "LARGEST_AREA", 100_000)  # to be quick
    whole = encoded(kind)
    dice = np.random.default_rng(6)
    for number in range(60):
        content = bytearray(whole[: int(dice.integers(1, len(whole) + 1))])
        for at in dice.integers(0, len(content), 3):
            content[at] = dice.integers(256)
        with suppress(InputError):
            read(safe_picture(bytes(content), tmp_path, f"x{number}"))


@pytest.mark.parametrize("size", [(8, 64), (64, 8)])
def test_pictures_next_to_nothing_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="too few"):
        safe_picture(encoded(".png", drawn(*size)), tmp_path, "x")


def test_pictures_as_narrow_as_a_hair_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="narrow"):
        safe_picture(encoded(".png", drawn(9000, 16)), tmp_path, "x")


def test_the_folder_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_KEPT", 2)
    for name in ("a", "b"):
        safe_picture(encoded(), tmp_path, name)
    with pytest.raises(InputError, match="remove some"):
        safe_picture(encoded(), tmp_path, "c")


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_headers_say_what_decoders_find(kind: str) -> None:
    for channels in (3, 4) if kind != ".jpg" else (3,):
        header = read_header(encoded(kind, drawn(100, 40, channels)))
        assert header == (100, 40, channels == 4)
    lossy = cv2.imencode(".webp", drawn(100, 40), [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    assert read_header(lossy) == (100, 40, False)
