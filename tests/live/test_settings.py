from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streammatte.errors import InputError, UsageError
from streammatte.live.settings import Settings, read_scenes

if TYPE_CHECKING:
    from pathlib import Path


def test_changes_make_other_settings() -> None:
    before = Settings()
    after = before.changed({"background": "#00b140", "mirror": True, "softness": 0.5})
    assert (after.background, after.mirror, after.softness) == ("#00b140", True, 0.5)
    assert before == Settings()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "green"}, "unknown setting 'colour'; known are background"),
        ({"fit": "fill"}, "fit: unknown 'fill'; use cover, contain, stretch"),
        ({"show": "room"}, "show: unknown 'room'"),
        ({"quality": 3}, "quality: unknown 3"),
        ({"mirror": 1}, "mirror must be true or false"),
        ({"mirror": "yes"}, "mirror must be true or false"),
        ({"softness": 1.5}, "softness must be 0 to 1"),
        ({"softness": float("nan")}, "softness must be 0 to 1"),
        ({"softness": True}, "softness must be 0 to 1"),
        ({"model": ""}, "model must be a name"),
        ({"background": None}, "background must be a name"),
        ({"background": "transparent"}, "no transparency"),
        ({"background": "blur:1000"}, "up to 200"),
        ({"background": "gren"}, "did you mean green"),
        ({"show": ["subject"]}, "show: unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        Settings().changed(changes)


SCENES = """
[scene.desk]
key = "1"
background = "office.png"
mirror = true

[scene.break]
key = "2"
show = "background"
background = "green"
for = 300
then = "desk"
"""


def test_scenes(tmp_path: Path) -> None:
    (tmp_path / "office.png").touch()
    (tmp_path / "scenes.toml").write_text(SCENES)
    desk, pause = read_scenes(tmp_path / "scenes.toml")
    assert (desk.name, desk.key, desk.then) == ("desk", "1", "")
    assert desk.changes == {"background": str(tmp_path / "office.png"), "mirror": True}
    assert (pause.seconds, pause.then) == (300, "desk")
    assert pause.changes == {"show": "background", "background": "green"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold tables such as"),
        ("x = 1", "must hold tables such as"),
        ("scene = 3", "must hold tables such as"),
        ("[scene]\ndesk = 3", "must be a table"),
        ("[scene.desk]\nmirorr = true", "scene desk: unknown setting 'mirorr'"),
        ("[scene.desk]\nkey = 'ab'", "key must be one character"),
        ("[scene.desk]\nfor = 3", "go together"),
        ("[scene.desk]\nfor = -3\nthen = 'desk'", "go together"),
        ("[scene.desk]\nfor = 3\nthen = 'sofa'", "there is no scene 'sofa'"),
        ("[scene.a]\nkey='1'\n[scene.b]\nkey='1'", "two scenes have the same key"),
    ],
)
def test_scenes_that_make_no_sense(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "scenes.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_scenes(path)


@pytest.mark.parametrize("content", [b"[scene", b"\xff\xfe"])
def test_scenes_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scenes.toml"
    with pytest.raises(InputError, match="cannot be read"):
        read_scenes(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_scenes(path)
