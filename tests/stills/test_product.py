"""Product shots: trimmed, padded, centred, on a canvas, with a shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

import streammatte
from streammatte.errors import UsageError
from streammatte.options import StillOptions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (300, 200)
LEFT, TOP, RIGHT, BOTTOM = 40, 60, 120, 160
"""Of the product, which brings its own alpha."""


@pytest.fixture
def product(tmp_path: Path) -> Path:
    rgba = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    rgba[..., :3] = (10, 200, 30)
    rgba[TOP:BOTTOM, LEFT:RIGHT] = (40, 80, 160, 255)
    rgba[TOP:BOTTOM, LEFT : LEFT + 10, :3] = (200, 80, 160)  # so that a mirrored one shows
    path = tmp_path / "shoe.png"
    cv2.imwrite(str(path), rgba)
    return path


def made(product: Path, bg: str = "transparent", **wish: Any) -> NDArray[np.uint8]:
    path = product.with_name("out.png")
    streammatte.render(
        product, path, bg=bg, runtime="stub", still=StillOptions(**wish), overwrite=True
    )
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)


def box(picture: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is opaque."""
    rows, columns = np.nonzero(picture[..., 3] > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_trimmed(product: Path) -> None:
    found = made(product, trim=True)
    assert found.shape[:2] == (BOTTOM - TOP, RIGHT - LEFT)
    assert (found[..., 3] == 255).all()
    assert tuple(found[5, 5, :3]) == (200, 80, 160)


def test_padded_by_a_share_and_by_pixels(product: Path) -> None:
    found = made(product, trim=True, pad_share=0.1)  # of 100, the longer side
    assert found.shape[:2] == (120, 100)
    assert box(found) == (10, 10, 90, 110)
    found = made(product, trim=True, pad_pixels=7)
    assert found.shape[:2] == (114, 94)
    assert box(found) == (7, 7, 87, 107)
    found = made(product, pad_pixels=20)
    assert found.shape[:2] == (240, 340)
    assert box(found) == (60, 80, 140, 180)


def test_centred(product: Path) -> None:
    found = made(product, centre=True)
    assert found.shape[:2] == SIZE[::-1]
    left, top, right, bottom = box(found)
    assert (left + right, top + bottom) == SIZE


def test_on_a_canvas(product: Path) -> None:
    found = made(product, trim=True, canvas=(500, 400), pad_share=0.05)
    assert found.shape[:2] == (400, 500)
    left, top, right, bottom = box(found)
    assert (top, bottom) == (20, 380)  # 5 % of the shorter side
    assert abs(left + right - 500) <= 1
    assert abs((right - left) / (bottom - top) - 0.8) < 0.02


def test_a_background_fills_the_canvas(product: Path) -> None:
    found = made(product, bg="#ffffff", canvas=(500, 500), trim=True)
    assert found.shape == (500, 500, 3)
    for y, x in ((0, 0), (0, 499), (499, 0), (499, 499)):
        assert tuple(found[y, x]) == (255, 255, 255)
    assert tuple(found[250, 250]) == (40, 80, 160)


@pytest.mark.parametrize("bg", ["#ffffff", "transparent"])
def test_a_shadow_is_dark_below_and_leaves_the_product_alone(product: Path, bg: str) -> None:
    plain = made(product, bg=bg, pad_pixels=50)
    soft = made(product, bg=bg, pad_pixels=50, shadow="soft", shadow_opacity=0.5)
    assert plain.shape == soft.shape
    inside = (slice(TOP + 55, BOTTOM + 45), slice(LEFT + 55, RIGHT + 45))
    assert (plain[inside] == soft[inside]).all()
    below, above = (BOTTOM + 52, (LEFT + RIGHT) // 2 + 50), (TOP + 20, (LEFT + RIGHT) // 2 + 50)
    if bg == "transparent":
        assert 40 < soft[below][3] <= 128
        assert soft[below][:3].max() == 0
        assert soft[above][3] <= 1
    else:
        assert 127 <= soft[below].max() < 215
        assert soft[above].min() >= 254
    assert (soft[0] == plain[0]).all()  # it ends before the picture does


def test_a_round_foot_stands_on_no_slab(tmp_path: Path) -> None:
    """Below the corners of a body, where it does not touch the ground, it is lighter."""
    rgba = np.zeros((300, 300, 4), np.uint8)
    rgba[50:230, 50:250] = 255
    cv2.ellipse(rgba, (150, 230), (100, 30), 0, 0, 180, (255, 255, 255, 255), -1)
    path = tmp_path / "mug.png"
    cv2.imwrite(str(path), rgba)
    taken = 255 - made(path, bg="#ffffff", shadow="soft").astype(int)[262, :, 0]
    foot, left, right = taken[150], taken[55], taken[245]
    assert foot > 50
    assert left < foot / 2
    assert right < foot / 2


def test_light_is_taken_away_as_light(product: Path, tmp_path: Path) -> None:
    """In linear light, half of it is left where half is taken, not half of the code."""
    from streammatte.options import ColourOptions

    wish: dict[str, Any] = {
        "bg": "#ffffff",
        "runtime": "stub",
        "still": StillOptions(pad_pixels=50, shadow="soft", shadow_opacity=0.5),
    }
    streammatte.render(product, tmp_path / "code.png", **wish)
    streammatte.render(product, tmp_path / "light.png", colour=ColourOptions(linear=True), **wish)
    code, light = (cv2.imread(str(tmp_path / f"{each}.png")) for each in ("code", "light"))
    below = (BOTTOM + 52, (LEFT + RIGHT) // 2 + 50)
    assert light[below].min() > code[below].max() + 10
    assert (light[0, 0] == 255).all()


def test_nothing_to_trim_is_said(tmp_path: Path) -> None:
    clear = np.zeros((60, 80, 4), np.uint8)
    path = tmp_path / "clear.png"
    cv2.imwrite(str(path), clear)
    report = streammatte.render(
        path,
        tmp_path / "o.png",
        bg="transparent",
        runtime="stub",
        still=StillOptions(trim=True, shadow="soft"),
    )
    assert any("no subject was found to be placed" in note for note in report.notes)
    assert cv2.imread(str(tmp_path / "o.png"), -1).shape == (60, 80, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pad", "much"], "--pad"),
        (["--pad", "-3px"], "--pad"),
        (["--canvas", "20x"], "--canvas"),
        (["--canvas", "0x9"], "--canvas"),
        (["--shadow", "soft", "--shadow-opacity", "7"], "--shadow-opacity"),
        (["--canvas", "90000x9"], "--canvas"),
    ],
)
def test_what_makes_no_sense(
    words: list[str], message: str, product: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from streammatte import cli

    out = product.with_name("o.png")
    line = ["render", str(product), "-o", str(out), "--bg", "white", "--runtime", "stub", *words]
    assert cli.main(line) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert message in told
    assert not out.exists()


def test_they_are_for_photographs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are for photographs"):
        streammatte.render(
            "synthetic:64x48@25x2",
            tmp_path / "o.mp4",
            bg="red",
            runtime="stub",
            still=StillOptions(trim=True),
        )
