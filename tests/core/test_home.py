"""The folder that StreamMatte keeps things in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streammatte import home
from streammatte.errors import OutputError


def test_the_variable_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "new"))
    assert home.home() == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    assert home.folder("exports", "abc") == tmp_path / "new" / "exports" / "abc"
    assert home.folder("exports", "abc").is_dir()
    assert home.folder() == tmp_path / "new"


def test_the_variable_may_begin_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(home.VARIABLE, "~/kept")
    assert home.folder("a") == tmp_path / "kept" / "a"


@pytest.mark.parametrize("value", ["", None])
def test_without_the_variable_it_is_the_users_cache(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(home.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(home.VARIABLE, value)
    where = home.home()
    assert where.is_absolute()
    assert where != Path.cwd()
    assert "streammatte" in where.parts


def test_a_file_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        monkeypatch.setenv(home.VARIABLE, str(tmp_path / place))
        with pytest.raises(OutputError, match=f"file.*; set {home.VARIABLE}") as caught:
            home.folder("exports")
        assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may write anywhere; so the answer of the system is made up."""
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=f"cannot be written; set {home.VARIABLE} to a folder"):
        home.folder("exports")


def test_a_name_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / ("x" * 5000)))
    with pytest.raises(OutputError, match=home.VARIABLE):
        home.folder("exports")
