"""onnxruntime values over memory that is ours: made through DLPack, because no other door takes a bare address.

(`OrtValue.ortvalue_from_numpy` copies into memory that onnxruntime owns, and `SessionOptions.add_initializer` refuses
that.)
"""

import ctypes
from collections.abc import Sequence

import onnxruntime

# ONNX element type (TensorProto.DataType) -> DLPack's kind of number (dlpack.h: 0 signed, 1 unsigned, 2 floating
# point, 4 bfloat16) and bits. Booleans are left out: a capsule of them cannot be told from one of bytes.
_NUMBERS = {
    1: (2, 32),
    2: (1, 8),
    3: (0, 8),
    4: (1, 16),
    5: (0, 16),
    6: (0, 32),
    7: (0, 64),
    10: (2, 16),
    11: (2, 64),
    12: (1, 32),
    13: (1, 64),
    16: (4, 16),
}


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _NumberType(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("axes", ctypes.c_int32),
        ("type", _NumberType),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64),
    )


class _ManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def value_at(address: int, shape: Sequence[int], element_type: int, device: tuple[int, int]) -> onnxruntime.OrtValue:
    """Return a value that lies at an address; whoever owns the memory must keep it for as long as the value is used.

    Args:
        address: Where the contiguous tensor begins.
        shape: Its axes.
        element_type: Its ONNX element type.
        device: Whose memory it is, as DLPack names it.

    Raises:
        ValueError: DLPack has no numbers of this type.
    """
    if element_type not in _NUMBERS:
        raise ValueError(f"tensors of ONNX element type {element_type} cannot be shared")
    kind, bits = _NUMBERS[element_type]
    axes = (ctypes.c_int64 * len(shape))(*shape)
    # The description lives as long as the value does: it is freed by the C library itself, which may happen after the
    # interpreter has gone.
    place = _libc.malloc(ctypes.sizeof(_ManagedTensor) + ctypes.sizeof(axes))
    shape_place = place + ctypes.sizeof(_ManagedTensor)
    ctypes.memmove(shape_place, axes, ctypes.sizeof(axes))
    description = _ManagedTensor.from_address(place)
    number_type = _NumberType(kind, bits, 1)
    description.tensor = _Tensor(address, _Device(*device), len(shape), number_type, shape_place, None, 0)
    description.context = None
    description.deleter = ctypes.cast(_libc.free, ctypes.c_void_p).value
    return onnxruntime.OrtValue.from_dlpack(_new_capsule(place, b"dltensor", None))
