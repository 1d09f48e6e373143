"""Scene cuts: between dark places, not in pans, flashes, moving subjects or changes of light."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from streammatte.sources.synthetic import Synthetic
from streammatte.stages import scenes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    View = NDArray[np.uint8]


def views(count: int) -> list[View]:
    from av.video.reformatter import VideoReformatter

    scaler = VideoReformatter()
    return [frame.picture.view(448, 256, scaler) for frame in Synthetic(count=count).frames()]


def place(seed: int, brightest: int = 90, width: int = 448) -> View:
    """A place, by default a dark one, all in the same few colours: large soft shapes."""
    cells = (4, 6 * width // 448)
    rough = np.random.default_rng(seed).integers(0, brightest, cells, dtype=np.uint8)
    return cv2.cvtColor(
        cv2.resize(rough, (width, 256), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB
    )


@pytest.mark.parametrize("later", [1, 5, 11])
def test_a_subject_that_moves_is_no_cut(later: int) -> None:
    seen = views(later + 1)
    assert not scenes.is_other_scene(seen[0], seen[later])


def test_a_hand_held_camera_is_no_cut() -> None:
    (view,) = views(1)
    assert not scenes.is_other_scene(view, np.ascontiguousarray(np.roll(view, 5, axis=1)))


@pytest.mark.parametrize("gain", [0.7, 1.08, 1.3])
def test_a_change_of_light_is_no_cut(gain: float) -> None:
    (view,) = views(1)
    assert not scenes.is_other_scene(view, np.clip(np.round(view * gain), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("brightest", [90, 255])
def test_a_cut_between_places_is_a_cut(brightest: int) -> None:
    """Of a few colours, which may look alike in part by chance: nearly always, then."""
    pairs = list(combinations(range(9), 2))
    found = [scenes.is_other_scene(place(a, brightest), place(b, brightest)) for a, b in pairs]
    assert np.mean(found) > 0.9


@pytest.mark.parametrize("pixels", [60, 120, 200])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("seed", range(3))
def test_a_fast_pan_is_no_cut(pixels: int, direction: int, seed: int) -> None:
    """Nearly half of the picture is new in the fastest one; it is smeared, too."""
    wide = place(seed, 255, 900)
    smeared = cv2.blur(wide, (pixels // 2, 1))
    one, other = smeared[:, :448], smeared[:, pixels : pixels + 448]
    assert scenes.resemblance(*map(scenes.thumbnail, (one, other))) < 0.97
    assert not scenes.is_other_scene(*(one, other)[::direction])


def test_a_sky_in_common_is_no_pan() -> None:
    """Half a picture that is all but plain is found in any other that has such a half."""
    one, other = place(0, 255), place(1, 255)
    sky = np.linspace(120, 121.9, 128).astype(np.uint8)[:, None, None]
    one[:128], other[128:] = sky, sky
    assert scenes.is_other_scene(one, other)


def test_resemblance_goes_from_opposite_to_same() -> None:
    one = scenes.thumbnail(place(0))
    assert scenes.resemblance(one, one) == pytest.approx(1, abs=1e-5)
    assert scenes.resemblance(one, -one) == pytest.approx(-1, abs=1e-5)
    assert scenes.overlap(one, one) == pytest.approx(1, abs=0.02)
    assert scenes.overlap(0 * one, one) == scenes.overlap(one, 0 * one) == 0


def test_the_cuts_of_real_footage_are_found(footage: Callable[[str], Path]) -> None:
    """Three, between dark scenes of the same few colours."""
    seen = decoded(footage("short_hamilton_clip.mp4"))
    cuts = [i for i in range(1, len(seen)) if scenes.is_other_scene(seen[i - 1], seen[i])]
    assert cuts == [20, 82, 211]


@pytest.mark.parametrize("name", ["asl_book.mkv", "asl_help.mkv"])
def test_signing_hands_are_no_cut(name: str, footage: Callable[[str], Path]) -> None:
    seen = decoded(footage(name))
    assert not any(scenes.is_other_scene(*pair) for pair in pairwise(seen))


def decoded(path: Path) -> list[View]:
    """Return a clip's frames as networks see them."""
    with av.open(path) as container:
        return [
            frame.reformat(448, 256, "rgb24", interpolation="AREA").to_ndarray()
            for frame in container.decode(video=0)
        ]
