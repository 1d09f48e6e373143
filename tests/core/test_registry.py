"""Tables: nothing is imported before it is used, and every mistake gets a helpful line."""

from __future__ import annotations

import sys

import pytest

from streammatte.errors import DependencyError, ModelError, UsageError
from streammatte.registry import Entry, Registry

TABLE = Registry(
    "thing",
    {
        "decimal": Entry("decimal:Decimal", "from the standard library"),
        "missing": Entry("no_such_package_here.core:Thing", "not installed", "vfx"),
        "broken": Entry("no_such_package_here:Thing", "a base dependency is gone"),
        "ours": Entry("streammatte.no_such_module:Thing", "a mistake of ours"),
    },
)


def test_it_names_and_loads() -> None:
    import decimal

    assert list(TABLE) == ["decimal", "missing", "broken", "ours"]
    assert TABLE.entry("decimal").summary == "from the standard library"
    assert TABLE.load("decimal") is decimal.Decimal


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"unknown thing: decimall; did you mean decimal\?"):
        TABLE.load("decimall")
    with pytest.raises(UsageError, match="known: decimal, missing, broken, ours"):
        TABLE.load("xyz")


def test_the_kind_of_error_is_the_tables() -> None:
    with pytest.raises(ModelError, match="unknown model"):
        Registry("model", {}, ModelError).entry("big")


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with pytest.raises(DependencyError) as caught:
        TABLE.load("missing")
    assert 'pip install "streammatte[vfx]"' in str(caught.value)
    assert "no_such_package_here" in str(caught.value)
    with pytest.raises(DependencyError, match="reinstall it"):
        TABLE.load("broken")


def test_a_mistake_of_ours_is_not_taken_for_a_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError):
        TABLE.load("ours")


def test_nothing_is_imported_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Registry("thing", {"zen": Entry("colorsys:hls_to_rgb", "lazy")})
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert table.entry("zen").target == "colorsys:hls_to_rgb"
    assert "colorsys" not in sys.modules
    table.load("zen")
    assert "colorsys" in sys.modules
