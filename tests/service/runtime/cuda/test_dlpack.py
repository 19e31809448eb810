import gc

import numpy as np
import onnx
import onnxruntime
import pytest

from service.runtime.cuda.dlpack import value_at
from tests.service.runtime.cuda.host_memory import CPU


@pytest.mark.parametrize(
    ("dtype", "element_type"),
    [
        (np.float32, onnx.TensorProto.FLOAT),
        (np.float16, onnx.TensorProto.FLOAT16),
        (np.int64, onnx.TensorProto.INT64),
        (np.int32, onnx.TensorProto.INT32),
        (np.int8, onnx.TensorProto.INT8),
        (np.uint8, onnx.TensorProto.UINT8),
    ],
)
def test_a_value_is_the_memory_at_its_address(dtype: type[np.generic], element_type: int) -> None:
    array = np.arange(6).astype(dtype).reshape(2, 3)
    value = value_at(array.ctypes.data, (2, 3), element_type, CPU)
    assert value.element_type() == element_type
    assert value.shape() == [2, 3]
    assert value.data_ptr() == array.ctypes.data
    np.testing.assert_array_equal(value.numpy(), array)
    array[1, 2] = 100
    assert value.numpy()[1, 2] == 100


def test_half_precision_of_the_wide_kind_is_known_too() -> None:
    array = np.zeros(4, dtype=np.uint16)
    assert value_at(array.ctypes.data, (4,), onnx.TensorProto.BFLOAT16, CPU).element_type() == 16


def test_the_memory_outlives_the_value() -> None:
    array = np.ones(1000, dtype=np.float32)
    for _ in range(1000):
        value_at(array.ctypes.data, (10, 100), 1, CPU)
    gc.collect()
    assert array.sum() == 1000


def test_a_session_takes_such_a_value_as_a_weight_and_no_copy_that_onnxruntime_made() -> None:
    array = np.ones(2, dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.add_initializer("table", value_at(array.ctypes.data, (2,), 1, CPU))


def test_a_type_without_numbers_in_dlpack_is_refused() -> None:
    with pytest.raises(ValueError, match="element type 8"):
        value_at(0, (1,), onnx.TensorProto.STRING, CPU)
