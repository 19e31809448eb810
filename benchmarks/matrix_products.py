"""How fast this machine multiplies matrices: the rate behind the floor that the models' times are held against.

Measured on the widening half of a feed-forward layer at 4,096 tokens, which is most of a model's work, through every
library at hand; the best of them is the machine's rate.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import onnx
import torch

from bigbird_inference.manifest import CpuPrecision
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.openvino_session import computes_bfloat16, session_properties
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

ROWS, INNER, COLUMNS = 4096, 768, 3072
OPERATIONS = 2 * ROWS * INNER * COLUMNS
RUNS = 3

_OPSET = 20

# Path -> its precision.
PATHS: Mapping[str, Literal["fp32", "bf16", "int8"]] = {
    "torch fp32": "fp32",
    "onnxruntime fp32": "fp32",
    "OpenVINO fp32": "fp32",
    "OpenVINO bf16": "bf16",
    "torch bf16": "bf16",
    "torch int8 (quantised linear)": "int8",
    "torch int8 (_int_mm)": "int8",
    "onnxruntime int8 (MatMulInteger)": "int8",
}


class MatrixProducts:
    """Every path, ready to run, with every core."""

    def __init__(self) -> None:
        torch.set_num_threads(available_cores())
        generator = torch.Generator().manual_seed(0)
        left = torch.randn(ROWS, INNER, generator=generator)
        right = torch.randn(INNER, COLUMNS, generator=generator)
        left_8, right_8 = left.mul(30).clamp(-127, 127).to(torch.int8), right.mul(30).clamp(-127, 127).to(torch.int8)
        left_16, right_16 = left.bfloat16(), right.bfloat16()
        linear = _quantised_linear(right)
        feeds = {"left": left.numpy()}
        product_of_floats = _onnx_product("MatMul", feeds, {"right": right.numpy()}, onnx.TensorProto.FLOAT)
        unsigned = (left_8.numpy().astype(np.int16) + 128).astype(np.uint8)
        feeds_8 = {"left": unsigned, "left_zero": np.array(128, np.uint8)}
        product_of_integers = _onnx_product(
            "MatMulInteger", feeds_8, {"right": right_8.numpy()}, onnx.TensorProto.INT32
        )
        # Written to the same memory each time, as a runtime with an arena does; fresh pages would be measured instead.
        product, product_16 = torch.empty(ROWS, COLUMNS), torch.empty(ROWS, COLUMNS, dtype=torch.bfloat16)
        product_32 = torch.empty(ROWS, COLUMNS, dtype=torch.int32)
        self._products: dict[str, Callable[[], object]] = {
            "torch fp32": lambda: torch.mm(left, right, out=product),
            "onnxruntime fp32": _in_onnxruntime(product_of_floats, feeds),
            "torch bf16": lambda: torch.mm(left_16, right_16, out=product_16),
            "torch int8 (quantised linear)": lambda: linear(left),
            "torch int8 (_int_mm)": lambda: torch._int_mm(left_8, right_8, out=product_32),
            "onnxruntime int8 (MatMulInteger)": _in_onnxruntime(product_of_integers, feeds_8),
        }
        if quiet_openvino.installed():
            self._products["OpenVINO fp32"] = _in_openvino(product_of_floats, feeds, "fp32")
            if computes_bfloat16():
                self._products["OpenVINO bf16"] = _in_openvino(product_of_floats, feeds, "bf16")

    def rates(self) -> dict[str, float]:
        """Return operations per second of each path, the best of a few runs after one that warms it."""
        with torch.inference_mode():
            return {path: OPERATIONS / _best_seconds(product) for path, product in self._products.items()}


def _best_seconds(product: Callable[[], object]) -> float:
    product()
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _quantised_linear(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    torch.backends.quantized.engine = "onednn"
    linear = torch.nn.Linear(INNER, COLUMNS, bias=False)
    linear.weight = torch.nn.Parameter(weight.T.contiguous(), requires_grad=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised: torch.nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            torch.nn.Sequential(linear), {torch.nn.Linear}, torch.qint8
        )
    return quantised


def _onnx_product(operator: str, fed: dict[str, np.ndarray], constant: dict[str, np.ndarray], result: int) -> bytes:
    """Return a model of one operator whose right side is a constant, as a model's weights are."""
    left, right = next(iter(fed)), next(iter(constant))
    node = onnx.helper.make_node(operator, [left, right, *list(fed)[1:]], ["product"])
    graph = onnx.helper.make_graph(
        [node],
        "product",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape)
            )
            for name, array in fed.items()
        ],
        [onnx.helper.make_tensor_value_info("product", result, [ROWS, COLUMNS])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constant.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OPSET)], ir_version=9)
    serialised: bytes = model.SerializeToString()
    return serialised


def _in_onnxruntime(model: bytes, fed: dict[str, np.ndarray]) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, fed)


def _in_openvino(model: bytes, fed: dict[str, np.ndarray], precision: CpuPrecision) -> Callable[[], object]:
    """Return a run whose operands come and go in fp32, whatever it computes in."""
    core = quiet_openvino.imported().Core()
    compiled = core.compile_model(core.read_model(model), "CPU", session_properties(precision, available_cores()))
    request = compiled.create_infer_request()
    return lambda: request.infer(fed, share_inputs=True, share_outputs=True)
