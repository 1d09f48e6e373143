"""Photographs: what people's cameras and programs put into them."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

import streammatte
from streammatte.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path


def gradient(width: int = 96, height: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)


def with_profile(png: bytes) -> bytes:
    """Put a colour profile into a PNG, as screenshots have it."""
    body = b"profile\0\0" + zlib.compress(b"\0" * 128 + b"acsp" + b"\0" * 300)
    chunk = b"iCCP" + body
    packed = (len(body)).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return png[:33] + packed + png[33:]


def test_a_colour_profile_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "screenshot.png"
    path.write_bytes(with_profile(cv2.imencode(".png", gradient())[1].tobytes()))
    code = (
        "import gc, sys, streammatte\n"
        "streammatte.render(sys.argv[1], sys.argv[2], bg=sys.argv[1], runtime='stub')\n"
        "gc.collect()\n"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "out.png")]
    assert subprocess.run(command, check=False).returncode == 0
    gc.collect()


def test_a_few_soft_pixels_are_no_matte(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(), np.full((64, 96), 255, np.uint8)])
    rgba[3, 3, 3] = 254
    path = tmp_path / "nearly.png"
    cv2.imwrite(str(path), rgba)
    report = streammatte.render(path, tmp_path / "out.png", bg="green", runtime="stub")
    assert report.model == "selfie"


def test_a_cut_off_jpeg_is_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    whole, part = tmp_path / "whole.jpg", tmp_path / "part.jpg"
    whole.write_bytes(content)
    part.write_bytes(content[: len(content) // 2])
    said = {}
    for path in (whole, part):
        report = streammatte.render(
            path, tmp_path / "o.png", bg="red", runtime="stub", overwrite=True
        )
        said[path.stem] = any("cut off" in note for note in report.notes)
    assert said == {"whole": False, "part": True}


def test_two_pictures_in_a_jpeg_are_one_photograph(tmp_path: Path) -> None:
    content = cv2.imencode(".jpg", gradient())[1].tobytes()
    path = tmp_path / "burst.jpg"
    path.write_bytes(content * 2)
    with open_source(path) as source:
        assert source.info.still
        assert len(list(source.frames())) == 1


def test_avif_is_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        frame = av.VideoFrame.from_ndarray(gradient(128, 96), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(buffer.getvalue())
    with open_source(path) as source:
        assert source.info.still


def test_fewer_bits_are_said(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), gradient().astype(np.uint16) * 257)
    report = streammatte.render(path, tmp_path / "o.jpg", bg="red", runtime="stub")
    assert "16 bit reduced to 8: use .png or .tif for more" in report.notes
    report = streammatte.render(path, tmp_path / "o.webm", bg="transparent", runtime="stub")
    assert any(note.startswith("16 bit reduced to 8") for note in report.notes)


def test_nobody_found_is_said(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((256, 256, 3), 200, np.uint8))
    report = streammatte.render(path, tmp_path / "o.png", bg="green")
    assert any(note.startswith("nobody was found") for note in report.notes)


def test_video_options_are_refused_for_images(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), gradient())
    with pytest.raises(streammatte.errors.UsageError, match="not for images"):
        streammatte.render(path, tmp_path / "o.jpg", bg="red", codec="h264", runtime="stub")


@pytest.mark.parametrize(("codec", "suffix"), [("prores", ".mov"), ("vp9", ".mkv"), (None, ".mkv")])
def test_the_chosen_name_holds_the_codec(codec: str | None, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    streammatte.render("synthetic:64x48x3", path, bg="red", runtime="stub")
    report = streammatte.render(path, bg="green", codec=codec, runtime="stub")
    assert report.output == str(tmp_path / f"clip_green{suffix}")
