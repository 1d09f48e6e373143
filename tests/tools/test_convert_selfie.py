"""The converter of the embedded network, and the file it made."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "streammatte" / "data" / "selfie_general.onnx"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("tflite")
    path = ROOT / "tools" / "convert_selfie.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return open_session(SHIPPED)


def alpha_of(session: onnxruntime.InferenceSession, image: np.ndarray) -> np.ndarray:
    (alpha,) = session.run(None, {"image": image[np.newaxis]})
    return alpha[0, 0]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A woman before a flag and a model of the shuttle, [512, 512, 3]."""
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


def halve(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


class TestShippedFile:
    def test_keeps_the_contract(self, session: onnxruntime.InferenceSession) -> None:
        (image,) = session.get_inputs()
        (alpha,) = session.get_outputs()
        assert (image.name, image.type) == ("image", "tensor(uint8)")
        assert image.shape == [1, "height", "width", 3]
        assert (alpha.name, alpha.type) == ("alpha", "tensor(float)")
        assert alpha.shape == [1, 1, "height", "width"]

    def test_tells_where_it_comes_from(self, session: onnxruntime.InferenceSession) -> None:
        metadata = session.get_modelmeta().custom_metadata_map
        assert metadata["name"] == "MediaPipe Selfie Segmentation (general)"
        assert metadata["source"].startswith("mediapipe==0.10.21 ")
        assert metadata["source_sha256"].startswith("9ee168ec7c8f2a16")
        assert metadata["licence"] == "Apache-2.0"
        assert metadata["stride"] == "32"
        assert "converted from TFLite to ONNX" in metadata["changes"]

    def test_is_small_and_in_a_format_old_runtimes_read(self) -> None:
        model = onnx.load(SHIPPED)
        assert SHIPPED.stat().st_size < 240_000
        assert model.ir_version == 8
        assert [opset.version for opset in model.opset_import] == [17]

    def test_comes_with_its_licence(self) -> None:
        text = SHIPPED.with_name("LICENSE.selfie_segmentation.txt").read_text()
        assert "Apache License" in text
        assert "END OF TERMS AND CONDITIONS" in text

    @pytest.mark.parametrize(
        ("height", "width"), [(256, 256), (256, 448), (448, 256), (32, 32), (96, 160)]
    )
    def test_takes_any_size_in_steps_of_32(
        self, session: onnxruntime.InferenceSession, height: int, width: int
    ) -> None:
        alpha = alpha_of(session, noise(height, width))
        assert alpha.shape == (height, width)
        assert alpha.dtype == np.float32
        assert alpha.min() >= 0
        assert alpha.max() <= 1

    def test_finds_the_astronaut(
        self, session: onnxruntime.InferenceSession, astronaut: np.ndarray
    ) -> None:
        alpha = alpha_of(session, halve(astronaut))
        assert 0.50 <= (alpha > 0.5).mean() <= 0.59
        assert alpha[:20, -20:].max() < 0.01  # top right corner
        assert alpha[40:70, 100:130].min() > 0.99  # face

    @pytest.mark.parametrize(
        ("rows", "columns", "share"),
        [(slice(256), slice(448), 0.2991), (slice(448), slice(96, 352), 0.6946)],
        ids=["wide", "tall"],
    )
    def test_agrees_with_the_original_stretched_to_another_size(
        self,
        session: onnxruntime.InferenceSession,
        astronaut: np.ndarray,
        rows: slice,
        columns: slice,
        share: float,
    ) -> None:
        # The share of the picture that LiteRT finds to be her, with the pooling windows and the
        # resizing targets in the TFLite file scaled to this size (each pixel within 1.3e-4).
        alpha = alpha_of(session, np.ascontiguousarray(astronaut[rows, columns]))
        assert (alpha > 0.5).mean() == pytest.approx(share, abs=1e-3)

    def test_reads_red_first(
        self, session: onnxruntime.InferenceSession, astronaut: np.ndarray
    ) -> None:
        image = halve(astronaut)
        swapped = np.ascontiguousarray(image[..., ::-1])
        assert np.abs(alpha_of(session, image) - alpha_of(session, swapped)).mean() > 1e-3


class TestRefusals:
    """Each is one line on the error stream and exit status 1, and leaves no file."""

    def refusal(self, tool: ModuleType, wheel: Path, capsys: pytest.CaptureFixture[str]) -> str:
        output = wheel.with_name("out.onnx")
        assert tool.main(["--wheel", str(wheel), "-o", str(output)]) == 1
        assert not output.exists()
        printed = capsys.readouterr()
        assert not printed.out
        assert printed.err.startswith("convert_selfie: ")
        assert printed.err.count("\n") == 1
        return printed.err

    def test_another_model(
        self, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wheel = tmp_path / "mediapipe.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(tool.MEMBER, b"another model")
        message = self.refusal(tool, wheel, capsys)
        assert hashlib.sha256(b"another model").hexdigest() in message
        assert f"expected {tool.MEMBER_SHA256}" in message

    def test_another_wheel(
        self, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wheel = tmp_path / "numpy.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("numpy/__init__.py", b"")
        assert "numpy.whl is not mediapipe==0.10.21" in self.refusal(tool, wheel, capsys)

    def test_no_wheel_at_all(
        self, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "No such file" in self.refusal(tool, tmp_path / "missing.whl", capsys)
        text = tmp_path / "notes.txt"
        text.write_text("not a zip file")
        assert "notes.txt is not mediapipe==0.10.21" in self.refusal(tool, text, capsys)

    def test_no_network(
        self,
        tool: ModuleType,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        assert tool.main(["-o", str(tmp_path / "out.onnx")]) == 1
        message = capsys.readouterr().err
        assert message.startswith("convert_selfie: pip could not download mediapipe==0.10.21 (")
        assert message.endswith("give a wheel you have with --wheel\n")
        assert message.count("\n") == 1


def test_an_operator_it_does_not_know_is_named(tool: ModuleType) -> None:
    network = tool.Network(
        operators=[tool.Operator("SOFTMAX", inputs=(0,), output=1)],
        tensors=[tool.Tensor((1, 256, 256, 3)), tool.Tensor((1, 256, 256, 1))],
        input=0,
        output=1,
    )
    with pytest.raises(tool.ConversionError, match="operator not supported: SOFTMAX"):
        tool.convert(network)


@pytest.mark.skipif(
    "STREAMMATTE_MEDIAPIPE_WHEEL" not in os.environ,
    reason="set STREAMMATTE_MEDIAPIPE_WHEEL to the wheel of mediapipe 0.10.21",
)
class TestFromTheWheel:
    @pytest.fixture
    def wheel(self) -> Path:
        return Path(os.environ["STREAMMATTE_MEDIAPIPE_WHEEL"])

    def test_makes_the_shipped_file_again(
        self,
        tool: ModuleType,
        session: onnxruntime.InferenceSession,
        wheel: Path,
        tmp_path: Path,
    ) -> None:
        first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
        for output in (first, second):
            assert tool.main(["--wheel", str(wheel), "-o", str(output)]) == 0
        assert first.read_bytes() == second.read_bytes()
        again = open_session(first)
        for image in (noise(256, 256), noise(256, 448)):
            np.testing.assert_allclose(
                alpha_of(again, image), alpha_of(session, image), rtol=0, atol=1e-6
            )

    def test_agrees_with_another_reader_of_the_original(
        self,
        tool: ModuleType,
        session: onnxruntime.InferenceSession,
        wheel: Path,
        astronaut: np.ndarray,
    ) -> None:
        cv2 = pytest.importorskip("cv2", minversion="5.0")
        original = np.frombuffer(tool.read_member(wheel), np.uint8)
        net = cv2.dnn.readNetFromTFLite(original)
        for image in (noise(256, 256), halve(astronaut)):
            net.setInput(cv2.dnn.blobFromImage(image, 1 / 255))
            np.testing.assert_allclose(
                alpha_of(session, image), net.forward().reshape(256, 256), rtol=0, atol=1e-4
            )
