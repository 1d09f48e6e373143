"""Recipes: which is taken, what they may say, and that they are in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

from streammatte import home
from streammatte.engines import recipe as recipes
from streammatte.engines.kinds import TENSORRT, TENSORRT_RTX
from streammatte.engines.recipe import Builder, Recipe, Tolerance, read_recipe, recipe_for
from streammatte.errors import ModelError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's own recipes."""
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "home"))
    folder = tmp_path / "home" / "recipes"
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return path


# --- Ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["birefnet", "birefnet-lite"])
@pytest.mark.parametrize("side", [512, 1024])
def test_ours(model: str, side: int) -> None:
    recipe = recipe_for(model, (side, side), "fp16")
    assert recipe.name == f"{model}-{side}-fp16"
    assert (recipe.model, recipe.size, recipe.precision) == (model, (side, side), "fp16")
    assert recipe.opset == 20
    assert recipe.builder.half_share == 1.0


@pytest.mark.parametrize(
    ("model", "size", "precision"),
    [
        ("birefnet", (1024, 512), "fp16"),
        ("birefnet", (512, 512), "fp32"),
        ("modnet", (512, 512), "fp16"),
    ],
)
def test_the_default(model: str, size: tuple[int, int], precision: str) -> None:
    assert recipe_for(model, size, precision).name == "default"


def test_the_opset_is_that_of_the_exports() -> None:
    from streammatte.models.birefnet.export import OPSET

    assert {recipe.opset for recipe in recipes.recipes()} == {None, OPSET}


def test_they_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("pip")
    pytest.importorskip("hatchling", reason="building a wheel needs it")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "-w", str(tmp_path), str(ROOT)],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        "from streammatte.engines import recipe; print(recipe.folder());"
        "print(*sorted(one.name for one in recipe.recipes()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "installed", capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert found[0] == str(tmp_path / "installed" / "streammatte" / "engines" / "recipes")
    assert found[1].split() == sorted(path.stem for path in (ROOT / "engines").glob("*.toml"))


def test_the_wheel_is_told_to_have_them() -> None:
    """Where no wheel can be built."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = told["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    (source, place), *_ = included.items()
    assert (ROOT / source, ROOT / place) == (recipes._CHECKOUT, recipes._PACKAGED)
    assert (ROOT / source / "default.toml").is_file()


def test_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "_CHECKOUT", tmp_path / "gone")
    with pytest.raises(ModelError, match=r"recipes of engines are missing .*; reinstall"):
        recipe_for("birefnet", (512, 512), "fp16")


# --- A user's -------------------------------------------------------------------------------------


def test_what_says_more_is_taken(users: Path) -> None:
    write(users, "a", 'model = "net"\nprecision = "fp16"')
    assert recipe_for("net", (64, 96), "fp16").name == "a"
    assert recipe_for("net", (64, 96), "fp32").name == "default"
    write(users, "b", 'model = "net"')
    assert recipe_for("net", (64, 96), "fp16").name == "a"
    assert recipe_for("net", (64, 96), "fp32").name == "b"
    write(users, "c", 'model = "net"\nsize = [96, 64]\nprecision = "fp16"')
    assert recipe_for("net", (64, 96), "fp16").name == "c"
    assert recipe_for("net", (96, 64), "fp16").name == "a"
    write(users, "d", "size = 64")
    assert recipe_for("other", (64, 64), "fp16").name == "d"
    assert recipe_for("net", (64, 64), "fp32").name == "b"
    write(users, "e", 'model = "net"\nsize = 64')
    assert recipe_for("net", (64, 64), "fp32").name == "e"
    assert recipe_for("net", (64, 64), "fp16").name == "a"


def test_a_users_before_ours(users: Path) -> None:
    write(users, "mine", 'model = "birefnet"\nsize = 512\nprecision = "fp16"')
    write(users, "usual", "[builder]\noptimization_level = 5")
    assert recipe_for("birefnet", (512, 512), "fp16").name == "mine"
    assert recipe_for("modnet", (512, 512), "fp16").builder.optimization_level == 5


# --- What they may say ----------------------------------------------------------------------------


def test_all_of_it(tmp_path: Path) -> None:
    text = (
        'model = "net"\nsize = [96, 64]\nprecision = "fp32"\nopset = 18\ndeform = "native"\n'
        "[builder]\noptimization_level = 4\nworkspace_mib = 512\nmax_aux_streams = 0\n"
        "tf32 = true\nhalf_share = 1\n[tolerance]\nlargest = 0.5\nmean = 0\n"
    )
    assert read_recipe(write(tmp_path, "all", text)) == Recipe(
        name="all",
        model="net",
        size=(64, 96),
        precision="fp32",
        opset=18,
        deform="native",
        builder=Builder(4, 512, 0, True, 1.0),
        tolerance=Tolerance(0.5, 0.0),
    )
    assert read_recipe(write(tmp_path, "none", "")) == Recipe(name="none")


def test_the_text_at_the_head_is_a_recipe(tmp_path: Path) -> None:
    assert recipes.__doc__ is not None
    text = recipes.__doc__.split("::\n")[1].split("\nOurs are")[0]
    recipe = read_recipe(write(tmp_path, "told", text.replace("\n    ", "\n")))
    assert (recipe.builder.workspace_mib, recipe.size) == (4096, (1024, 1024))
    assert recipe.tolerance == Tolerance()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 3", "bad.toml: unknown key speed; known: builder, deform, model, opset,"),
        ("[builder]\nlevel = 3", "unknown key builder.level; known: half_share, max_aux_streams"),
        ("[tolerance]\nmax = 3", "unknown key tolerance.max; known: largest, mean"),
        ("name = 'x'", "unknown key name"),
        ("builder = 3", r"builder must be a table, \[builder\], not 3"),
        ("model = 3", "model must be a text in quotes, not 3"),
        ("model = ''", "model must be a text"),
        ("size = 'big'", r"size must be a number or \[height, width\], not 'big'"),
        ("size = [1, 2, 3]", "size must be"),
        ("size = true", "size must be"),
        ("size = 0", "size must be"),
        ("precision = 'int8'", "precision must be fp32 or fp16, not 'int8'"),
        ("deform = 3", "deform must be native or gather, not 3"),
        ("opset = 0", "opset must be a whole number, 1 to 99, not 0"),
        ("opset = 20.0", "opset must be"),
        ("[builder]\noptimization_level = 6", "optimization_level must be a whole number, 0 to 5"),
        ("[builder]\nworkspace_mib = 0", "workspace_mib must be"),
        ("[builder]\ntf32 = 1", "tf32 must be true or false, not 1"),
        ("[builder]\nhalf_share = 1.5", "half_share must be a number, 0 to 1, not 1.5"),
        ("[builder]\nhalf_share = true", "half_share must be"),
        ("[tolerance]\nmean = nan", "mean must be"),
        ("size = ", "bad.toml is not TOML: "),
    ],
)
def test_refused(text: str, message: str, users: Path) -> None:
    write(users, "bad", text)
    with pytest.raises(ModelError, match=message) as caught:
        recipe_for("birefnet", (512, 512), "fp16")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.toml cannot be read: No such file"):
        read_recipe(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe9"')
    with pytest.raises(ModelError, match="is not TOML"):
        read_recipe(tmp_path / "latin.toml")


# --- What it says to others -----------------------------------------------------------------------


def test_the_operator_is_for_the_full_tensorrt() -> None:
    assert Recipe("x", deform="native").deform_for(TENSORRT) == "native"
    assert Recipe("x", deform="native").deform_for(TENSORRT_RTX) is None
    assert Recipe("x").deform_for(TENSORRT) is None


def test_the_builders_items_are_all_and_in_order() -> None:
    items = Builder(workspace_mib=7).as_items()
    assert [name for name, _ in items] == sorted(one.name for one in fields(Builder))
    assert dict(items)["workspace_mib"] == 7
    assert all(isinstance(name, str) for name, _ in items)
