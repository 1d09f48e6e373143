"""The figures against those of other programs and of slow ones; data sets; the whole command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

ROOT = Path(__file__).parents[2]

# ---- pictures that are the same everywhere: whole numbers and the raw bits of a generator


def noise(seed: int, height: int, width: int) -> Bytes:
    raw = np.random.PCG64(seed).random_raw(height * width)
    return (raw >> np.uint64(56)).astype(np.uint8).reshape(height, width)


def disc(height: int, width: int, y: int, x: int, radius: int, soft: int = 1) -> Bytes:
    """A disc of 255 whose edge is about ``soft / radius`` pixels wide."""
    rows, columns = np.mgrid[:height, :width]
    depth = radius**2 - (rows - y) ** 2 - (columns - x) ** 2
    return np.clip(depth * 255 // soft, 0, 255).astype(np.uint8)


def pairs() -> dict[str, tuple[Bytes, Bytes]]:
    """Predictions and truths by name: uint8 ``[h, w]``, not always of the same size."""
    truth = disc(64, 80, 30, 36, 20)
    soft = disc(64, 80, 33, 40, 24, 300)
    blobs = np.maximum(disc(301, 257, 90, 80, 60, 900), disc(301, 257, 220, 200, 33, 40))
    near = np.maximum(disc(301, 257, 95, 84, 62, 2000), disc(301, 257, 214, 190, 28, 100))
    grain = noise(1, 64, 80)
    corner = np.zeros((64, 80), np.uint8)
    corner[60:, 70:79] = 255
    pixel = np.zeros((64, 80), np.uint8)
    pixel[17, 50] = 255
    full, empty = np.full((64, 80), 255, np.uint8), np.zeros((64, 80), np.uint8)
    return {
        "soft disc": (soft, truth),
        "perfect": (truth, truth),
        "inverted": (255 - truth, truth),
        "grainy": (soft // 2 + grain // 2, truth),
        "noise in noise": (grain, noise(2, 64, 80)),
        "noise in sparse": (grain, (noise(3, 64, 80) > 250).astype(np.uint8) * 255),
        "soft truth": (soft, disc(64, 80, 30, 36, 20, 500)),
        "narrow range": (40 + soft // 5, truth),
        "two levels": ((soft > 99).astype(np.uint8) * 100 + 50, truth),
        "corner": (soft, corner),
        "one pixel": (grain, pixel),
        "nothing there": (grain, empty),
        "all there": (grain, full),
        "black": (empty, truth),
        "white": (full, truth),
        "flat": (np.full_like(truth, 51), truth),
        "black, nothing there": (empty, empty),
        "white, nothing there": (full, empty),
        "black, all there": (empty, full),
        "white, all there": (full, full),
        "flat, nothing there": (np.full_like(truth, 77), empty),
        "flat, all there": (np.full_like(truth, 77), full),
        "large": (near, blobs),
        "large and grainy": (near // 2 + noise(4, 301, 257) // 2, blobs),
        "tiny": (np.array([[9, 200, 30], [255, 0, 4]], np.uint8), np.uint8([[0, 255, 0]] * 2)),
        "too small": (disc(32, 40, 16, 20, 12, 90), truth),
        "too large": (disc(200, 150, 95, 70, 60, 900), truth),
    }


# ---- what is tested


@pytest.fixture(scope="module")
def tool() -> Any:
    """``tools/evaluate.py``, which finds its parts beside it."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import evaluate
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return evaluate


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, float]]:
    """What pysodmetrics 1.6.2 makes of ``pairs()``, with numpy 2.3.4 and OpenCV 4.14.

    Every class was made anew for each pair and given the pair (the prediction first brought to the
    truth's size by ``cv2.resize``) in one step; one more of each got all pairs, for the mean. F is
    that of ``Fmeasure``, its beta left at 0.3.
    """
    told: dict[str, dict[str, float]] = json.loads(Path(__file__).with_name(REFERENCE).read_text())
    return told


REFERENCE = "pysodmetrics.json"


def sized(prediction: Bytes, truth: Bytes) -> Bytes:
    if prediction.shape == truth.shape:
        return prediction
    return np.asarray(cv2.resize(prediction, truth.shape[::-1]), np.uint8)


class TestSegmentation:
    @pytest.mark.parametrize("name", list(pairs()))
    def test_figures_are_those_of_pysodmetrics(
        self, tool: Any, reference: dict[str, dict[str, float]], name: str
    ) -> None:
        prediction, truth = pairs()[name]
        scores = tool.segmentation.score(sized(prediction, truth), truth)
        assert scores.figures == pytest.approx(reference[name], abs=1e-12)

    def test_curves_are_averaged_before_their_maximum_is_taken(
        self, tool: Any, reference: dict[str, dict[str, float]]
    ) -> None:
        scores = [tool.segmentation.score(sized(*pair), pair[1]) for pair in pairs().values()]
        assert tool.segmentation.mean(scores).figures == pytest.approx(reference["mean"], abs=1e-12)

    def test_truth_along_the_last_column_has_a_figure(self, tool: Any) -> None:
        """Two quarters are empty then, which is where pysodmetrics says "not a number"."""
        truth = np.zeros((20, 30), np.uint8)
        truth[:, -1] = 255
        assert tool.segmentation.score(truth, truth).s == pytest.approx(1, abs=1e-12)
        assert 0 < tool.segmentation.score(noise(5, 20, 30), truth).s < 0.6

    def test_turning_a_picture_changes_nothing(self, tool: Any) -> None:
        prediction, truth = pairs()["grainy"]
        one = tool.segmentation.score(prediction, truth).figures
        two = tool.segmentation.score(prediction.T.copy(), truth.T.copy()).figures
        assert two == pytest.approx(one, abs=1e-3)


# ---- mattes, the slow way: straight from Rhemann et al. 2009, one pixel after the other


def slow_steepness(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    sigma, reach = 1.4, 4
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    bell = np.exp(-(rows**2 + columns**2) / (2 * sigma**2))
    kernels = [bell * rows, bell * columns]
    kernels = [kernel / np.sqrt((kernel**2).sum()) for kernel in kernels]
    wide = np.pad(alpha, reach, mode="edge")
    result = np.zeros_like(alpha)
    for y, x in np.ndindex(*alpha.shape):
        part = wide[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        result[y, x] = np.hypot(*((part * kernel).sum() for kernel in kernels))
    return result


def slow_parts(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    parts = []
    while left:
        part, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            part.add((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    front.append(near)
        parts.append(part)
    return parts


def slow_level(both: Bytes) -> NDArray[np.float64]:
    level = np.zeros(both.shape)
    for y, x in np.ndindex(*both.shape):
        for step in range(1, 11):
            parts = slow_parts(both.astype(int) * 10 >= 255 * step)
            if not parts or (y, x) not in max(parts, key=len):
                break
            level[y, x] = step / 10
    return level


def slow_figures(prediction: Bytes, truth: Bytes, where: NDArray[np.bool_]) -> dict[str, float]:
    given, wanted = prediction / 255, truth / 255
    level = slow_level(np.minimum(prediction, truth))
    phi = [1 - (alpha - level) * (alpha - level >= 0.15) for alpha in (given, wanted)]
    steeper = (slow_steepness(given) - slow_steepness(wanted)) ** 2
    return {
        "SAD": np.abs(given - wanted)[where].sum() / 1000,
        "MSE": ((given - wanted) ** 2)[where].mean() * 1000,
        "MAD": np.abs(given - wanted)[where].mean() * 1000,
        "Grad": steeper[where].sum() / 1000,
        "Conn": np.abs(phi[0] - phi[1])[where].sum() / 1000,
    }


def mattes() -> tuple[Bytes, Bytes]:
    """A small matte with two parts of different size, and a grainy guess at it."""
    truth = np.maximum(disc(18, 22, 8, 7, 6, 30), disc(18, 22, 14, 18, 3, 8))
    return (truth // 4 * 3 + noise(7, 18, 22) // 4).astype(np.uint8), truth


class TestMatting:
    def test_figures_are_those_of_the_slow_way(self, tool: Any) -> None:
        prediction, truth = mattes()
        unknown = noise(8, 18, 22) > 120
        figures = tool.matting.score(prediction, truth, unknown)
        everywhere = np.ones_like(unknown)
        expected = slow_figures(prediction, truth, everywhere)
        inside = slow_figures(prediction, truth, unknown)
        expected |= {f"{name} unknown": value for name, value in inside.items()}
        assert figures == pytest.approx(expected, rel=1e-5)
        assert min(figures.values()) > 0

    @pytest.mark.parametrize("name", ["soft disc", "large", "noise in noise", "nothing there"])
    def test_figures_are_those_of_the_prototype(
        self, tool: Any, shared: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """All of these span the whole range; the prototype stretches others before Grad."""
        monkeypatch.syspath_prepend(shared / "clips")
        import metrics

        alphas = [alpha.astype(np.float32) / 255 for alpha in pairs()[name]]
        expected = {what: getattr(metrics, what.lower())(*alphas) for what in ("SAD", "MSE", "MAD")}
        expected |= {"Grad": metrics.grad(*alphas), "Conn": metrics.conn(*alphas)}
        assert tool.matting.score(*pairs()[name]) == pytest.approx(expected, rel=1e-4)

    def test_unknown_region_is_as_wide_as_asked(self, tool: Any) -> None:
        truth = np.zeros((20, 40), np.uint8)
        truth[:, 20:] = 255
        truth[:, 20] = 90
        unknown = tool.matting.unknown_around(truth, 3)
        assert np.array_equal(np.flatnonzero(unknown[9]), np.arange(17, 24))

    def test_nothing_unknown_is_no_error(self, tool: Any) -> None:
        prediction, truth = mattes()
        figures = tool.matting.score(prediction, truth, np.zeros(truth.shape, bool))
        assert figures["MSE unknown"] == figures["SAD unknown"] == 0


# ---- data sets


def write(folder: Path, name: str, picture: Bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(cv2.imencode(Path(name).suffix, picture)[1].tobytes())


def photograph(seed: int, subject: Bytes) -> Bytes:
    """A blue subject before a grainy grey wall."""
    grain = np.dstack([noise(seed + part, *subject.shape) // 8 + 90 for part in range(3)])
    grain[subject > 128] = (200, 60, 30)
    return grain


def make_set(folder: Path, pictures: str, truths: str, count: int = 3) -> Path:
    for index in range(count):
        truth = disc(96, 128, 40 + 5 * index, 60, 30)
        write(folder / pictures, f"one-{index}.jpg", photograph(index, truth))
        write(folder / truths, f"one-{index}.png", truth)
    return folder


@pytest.fixture
def dis(tmp_path: Path) -> Path:
    return make_set(tmp_path / "DIS5K" / "DIS-VD", "im", "gt")


@pytest.fixture(scope="module")
def shared() -> Path:
    path = Path(os.environ.get("STREAMMATTE_SHARED", ROOT.parent / "shared"))
    if not (path / "clips" / "fg").is_dir():
        pytest.skip(f"no {path}/clips: set STREAMMATTE_SHARED to the folder that holds clips/")
    return path


class TestDataSets:
    @pytest.mark.parametrize(
        ("below", "pictures", "truths", "name", "is_mattes"),
        [
            ("DIS5K/DIS-TE1", "im", "gt", "DIS-TE1", False),
            ("COD10K-v3/Test", "Image", "GT_Object", "COD10K-v3", False),
            ("TestDataset/COD10K", "Imgs", "GT", "COD10K", False),
            ("DUT-OMRON", "DUT-OMRON-image", "pixelwiseGT-new-PNG", "DUT-OMRON", False),
            ("P3M-10k/validation/P3M-500-P", "blurred_image", "mask", "P3M-500-P", True),
            ("P3M-500-NP", "original_image", "mask", "P3M-500-NP", True),
        ],
    )
    def test_layouts_are_found_from_above(
        self,
        tool: Any,
        tmp_path: Path,
        below: str,
        pictures: str,
        truths: str,
        name: str,
        is_mattes: bool,
    ) -> None:
        make_set(tmp_path / below, pictures, truths, 2)
        found = tool.data_sets.find(tmp_path)
        assert (found.name, found.mattes, found.notes) == (name, is_mattes, [])
        assert [item.name for item in found.items] == ["one-0", "one-1"]
        assert found.items[1].picture == tmp_path / below / pictures / "one-1.jpg"
        assert found.items[1].truth == tmp_path / below / truths / "one-1.png"

    def test_what_has_no_partner_is_said(self, tool: Any, dis: Path) -> None:
        (dis / "im" / "one-0.jpg").unlink()
        (dis / "gt" / "one-2.png").unlink()
        found = tool.data_sets.find(dis)
        assert [item.name for item in found.items] == ["one-1"]
        assert found.notes == ["1 file has no truth: one-2", "1 file has no picture: one-0"]

    def test_pictures_without_an_object_are_left_out_and_said(
        self, tool: Any, tmp_path: Path
    ) -> None:
        make_set(tmp_path, "Image", "GT_Object", 1)
        write(tmp_path / "Image", "COD10K-NonCAM-1.jpg", photograph(0, disc(9, 9, 4, 4, 2)))
        write(tmp_path / "GT_Object", "COD10K-NonCAM-1.png", disc(9, 9, 4, 4, 2))
        found = tool.data_sets.find(tmp_path)
        assert [item.name for item in found.items] == ["one-0"]
        assert "1 without a hidden object" in found.notes[0]

    def test_published_figures_are_found_by_any_of_the_names(self, tool: Any) -> None:
        for name in ("ZhengPeng7/BiRefNet_lite", "birefnet-lite", "/models/BiRefNet_lite/"):
            assert tool.published(["nobody", name], "DIS-VD").figures == {"S": 0.882, "wF": 0.83}
        assert tool.published(["birefnet-cod"], "COD10K-v3").figures["MAE"] == 0.014
        assert tool.published(["selfie"], "DIS-VD") is None


# ---- the whole command


def run(tool: Any, *words: object) -> int:
    code: int = tool.main([str(word) for word in words])
    return code


def grey(path: Path) -> Bytes:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


class TestCommand:
    def test_perfect_predictions_beside_what_was_published(
        self, tool: Any, dis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mine = tmp_path / "BiRefNet_lite"
        for path in (dis / "gt").iterdir():
            write(mine, path.name, grey(path))
        assert run(tool, dis.parent, "--predictions", mine, "--json", tmp_path / "o.json") == 0
        told = capsys.readouterr().out
        assert "DIS-VD: 3 pictures" in told
        assert ["S", "1.000", "0.882", "+0.118"] in [line.split() for line in told.splitlines()]
        assert "SAD" not in told
        report = json.loads((tmp_path / "o.json").read_text())
        assert report["figures"]["MAE"] == 0
        assert list(report["per_picture"]) == ["one-0", "one-1", "one-2"]

    def test_a_network_gets_what_its_saved_predictions_get(self, tool: Any, tmp_path: Path) -> None:
        place = make_set(tmp_path / "P3M-500-NP", "original_image", "mask")
        common = [place, "--trimap-width", 5, "--json"]
        network = ["--model", "selfie", "--save", tmp_path / "kept"]
        assert run(tool, *common, tmp_path / "a.json", *network) == 0
        assert run(tool, *common, tmp_path / "b.json", "--predictions", tmp_path / "kept") == 0
        first, again = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
        assert first["figures"] == again["figures"]
        assert {"S", "maxE", "SAD", "Conn unknown"} <= set(first["figures"])
        assert "selfie at 352x256, official protocol, ONNX Runtime" in first["predictions"]

    def test_official_protocol_keeps_corners_and_rounds_down(
        self, tool: Any, dis: Path, tmp_path: Path
    ) -> None:
        torch = pytest.importorskip("torch")
        from streammatte.models import open_model
        from streammatte.runtimes import RUNTIMES, Placement

        words = ["--model", "selfie", "--runtime", "stub", "--size", "192x224"]
        assert run(tool, dis, *words, "--save", tmp_path / "kept") == 0
        stub = RUNTIMES.load("stub")(open_model("selfie"), (224, 192), Placement())
        alpha = torch.from_numpy(stub.infer(np.zeros((1, 192, 224, 3), np.uint8)))
        full = torch.nn.functional.interpolate(
            alpha, (96, 128), mode="bilinear", align_corners=True
        )
        expected = (full[0, 0].numpy() * 255).astype(np.uint8)
        given = grey(tmp_path / "kept" / "one-0.png")
        assert np.abs(given.astype(int) - expected).max() <= 1  # where rounding errors tip it
        assert np.mean(given != expected) < 0.01

    @pytest.mark.usefixtures("tool")
    def test_official_view_is_not_smoothed(self) -> None:
        from evaluation.predicting import official_view

        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::4] = 255
        assert not official_view(stripes, (16, 16)).any()  # it looks between the white ones

    def test_product_protocol_is_what_the_product_makes(
        self, tool: Any, dis: Path, tmp_path: Path
    ) -> None:
        import streammatte

        words = ["--model", "selfie", "--protocol", "product", "--save", tmp_path / "kept"]
        assert run(tool, dis, *words) == 0
        (cutout,) = streammatte.mattes(dis / "im" / "one-1.jpg", model="selfie", temporal="off")
        expected = np.rint(cutout.alpha * 255).astype(np.uint8)
        assert np.array_equal(grey(tmp_path / "kept" / "one-1.png"), expected)

    def test_other_folders_other_sizes_and_a_limit(
        self, tool: Any, dis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in sorted((dis / "gt").iterdir())[:2]:
            write(tmp_path / "small", path.name, cv2.resize(grey(path), (64, 48)))
        words = ["--truth", dis / "gt", "--predictions", tmp_path / "small", "--limit", 2]
        assert run(tool, *words) == 0
        told = capsys.readouterr()
        assert "only 2 of 3 pictures" in told.err
        assert "2 pictures" in told.out
        assert "SAD" in told.out

    def test_missing_predictions_are_said(
        self, tool: Any, dis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tmp_path / "few", "one-1.png", grey(dis / "gt" / "one-1.png"))
        assert run(tool, dis, "--predictions", tmp_path / "few") == 0
        assert "2 files have no prediction: one-0, one-2" in capsys.readouterr().err

    def test_a_trimap_gives_figures_of_its_unknown_part(
        self, tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = make_set(tmp_path / "P3M-500-P", "blurred_image", "mask", 1)
        truth = grey(place / "mask" / "one-0.png")
        guess = truth.copy()
        guess[:10, :10] = 255  # wrong, and known
        write(tmp_path / "mine", "one-0.png", guess)
        trimap = truth.copy()
        trimap[30:50] = 128
        write(place / "trimap", "one-0.png", trimap)
        assert run(tool, place, "--predictions", tmp_path / "mine") == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["SAD", "0.100"] in rows
        assert ["SAD", "unknown", "0.000"] in rows

    def test_as_a_script(self, dis: Path, tmp_path: Path) -> None:
        command = [sys.executable, ROOT / "tools" / "evaluate.py", dis, "--model", "selfie"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "DIS-VD: 3 pictures, selfie" in done.stdout

    @pytest.mark.parametrize(
        ("words", "code", "complaint"),
        [
            (["nowhere", "--model", "selfie"], 3, "nowhere is not a folder"),
            (["{tmp}/empty", "--model", "selfie"], 3, "holds no folders of pictures and truths"),
            (["{tmp}/two", "--model", "selfie"], 3, "several data sets (DIS-TE1, DIS-VD)"),
            (["{dis}"], 2, "either --model"),
            (["{dis}", "--model", "selfie", "--predictions", "x"], 2, "either --model"),
            (["--model", "selfie"], 2, "--truth"),
            (["--truth", "{dis}/gt", "--model", "selfie"], 2, "--images"),
            (["{dis}", "--model", "selfi"], 5, "did you mean selfie"),
            (["{dis}", "--model", "selfie", "--runtime", "stubb"], 2, "did you mean stub"),
            (["{dis}", "--model", "selfie", "--size", "wide"], 2, "not a whole number"),
            (["{dis}", "--model", "selfie", "--size", "100x100"], 2, "--size for selfie"),
            (["{dis}", "--model", "selfie", "--figures", "iou"], 2, "--figures"),
            (["{dis}", "--model", "selfie", "--frobnicate"], 2, "--frobnicate"),
            (["{dis}", "--model", "selfie", "--json", "no/such/o.json"], 2, "no such folder"),
            (["{dis}", "--predictions", "{tmp}/empty"], 3, "holds no pictures"),
            (["{dis}", "--predictions", "{tmp}/other"], 3, "has the name of a picture"),
            (["{tmp}/broken", "--model", "selfie"], 3, "one-0.png cannot be read"),
        ],
    )
    def test_bad_input_gets_one_line(
        self,
        tool: Any,
        dis: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        complaint: str,
    ) -> None:
        (tmp_path / "empty").mkdir()
        for name in ("DIS-TE1", "DIS-VD"):
            make_set(tmp_path / "two" / name, "im", "gt", 1)
        write(tmp_path / "other", "else.png", disc(9, 9, 4, 4, 2))
        broken = make_set(tmp_path / "broken", "im", "gt", 1) / "gt" / "one-0.png"
        broken.write_bytes(broken.read_bytes()[:40])
        told = [word.format(tmp=tmp_path, dis=dis) for word in words]
        assert run(tool, *told) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if line]
        assert complaint in lines[-1]
        assert lines[-1].startswith("evaluate: ")
        assert len(lines) == 1


class TestOnPhotographs:
    """The embedded network on people over backgrounds, laid out as P3M is."""

    def test_people_are_found(self, tool: Any, shared: Path, tmp_path: Path) -> None:
        place = tmp_path / "P3M-500-NP"
        for name, back in (("person_curly", "hills"), ("man_coat", "palm")):
            picture, alpha = composite(shared / "clips", name, back)
            write(place / "original_image", f"{name}.jpg", picture)
            write(place / "mask", f"{name}.png", alpha)
        words = [place, "--model", "selfie", "--trimap-width", 10, "--json", tmp_path / "o.json"]
        assert run(tool, *words) == 0
        figures = json.loads((tmp_path / "o.json").read_text())["figures"]
        assert figures["S"] > 0.95
        assert figures["wF"] > 0.95
        assert figures["MAE"] < 0.03
        assert figures["MSE unknown"] > figures["MSE"]  # it is the edge that is hard


def composite(clips: Path, name: str, back: str) -> tuple[Bytes, Bytes]:
    """Put a cut-out over a background: the picture in OpenCV's order, and the exact alpha."""
    cut = cv2.imread(str(clips / "fg" / f"{name}.webp"), cv2.IMREAD_UNCHANGED)
    cut = cv2.resize(cut, (cut.shape[1] * 600 // cut.shape[0], 600), interpolation=cv2.INTER_AREA)
    wall = cv2.resize(cv2.imread(str(clips / "bg" / f"{back}.jpg")), (960, 640))
    layer = np.zeros((640, 960, 4), np.uint8)
    left = (960 - cut.shape[1]) // 2
    layer[40:, left : left + cut.shape[1]] = cut
    share = layer[..., 3:] / 255
    return np.rint(layer[..., :3] * share + wall * (1 - share)).astype(np.uint8), layer[..., 3]
