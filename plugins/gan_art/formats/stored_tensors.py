"""Tensors and arrays as files describe them: nothing is allocated before every number has been checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

ITEM_SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""Bytes of a number by its torch dtype."""
STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
MAX_DIMENSIONS = 8
_NUMPY_DTYPE = re.compile(r"[<>|=]?(f2|f4|f8|i1|i2|i4|i8|u1|u2|u4|u8|b1)")


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat row of `count` numbers in a file. `read(start, end)` returns its bytes in that range."""

    dtype: str
    count: int
    read: Callable[[int, int], bytes | memoryview]


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a storage. Raises ValueError where its shape, stride or offset do not lie in it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = (self.offset, *self.shape, *self.stride)
        if not all(type(number) is int and 0 <= number < 2**63 for number in sizes):
            raise ValueError("a tensor whose sizes are no whole numbers from zero")
        if len(self.shape) != len(self.stride) or len(self.shape) > MAX_DIMENSIONS:
            raise ValueError("a tensor whose shape and stride differ")
        if self.count > self.storage.count or self._end > self.storage.count:
            raise ValueError("a tensor that is larger than what is stored")

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def byte_count(self) -> int:
        return self.count * ITEM_SIZES[self.storage.dtype]

    @property
    def is_floating_point(self) -> bool:
        return "float" in self.storage.dtype

    def read(self) -> Tensor:
        """Return the values as a contiguous tensor of its own on the CPU, in float32 where they are floating point."""
        import torch

        dtype: torch.dtype = getattr(torch, self.storage.dtype)
        kept = torch.float32 if dtype.is_floating_point else dtype
        if self.count == 0:
            return torch.zeros(self.shape, dtype=kept)
        size = ITEM_SIZES[self.storage.dtype]
        content = bytearray(self.storage.read(self.offset * size, self._end * size))
        flat = torch.frombuffer(content, dtype=dtype, count=self._end - self.offset)
        return flat.as_strided(self.shape, self.stride).to(kept, copy=True, memory_format=torch.contiguous_format)

    @property
    def _end(self) -> int:
        """Index behind the last value in the storage."""
        if self.count == 0:
            return self.offset
        steps = ((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))
        return self.offset + sum(steps) + 1


class StoredDtype:
    """A numpy dtype in a pickle. Raises ValueError for objects, texts and records."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not (match := _NUMPY_DTYPE.fullmatch(code)):
            raise ValueError("an array of something other than numbers")
        self._code = match[1]
        self._order = "<"

    @property
    def code(self) -> str:
        return self._order + self._code

    def set_state(self, state: Any) -> None:
        _, order, subtype, names, fields, *_ = state
        if order not in ("<", ">", "|", "=") or subtype is not None or names is not None or fields is not None:
            raise ValueError("an array of something other than numbers")
        self._order = ">" if order == ">" else "<"


class StoredArray:
    """A numpy array in a pickle."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self._dtype = StoredDtype("f8")
        self._fortran = False
        self._content: bytes = b""

    def set_state(self, state: Any) -> None:
        *_, shape, dtype, fortran, content = state
        self.fill(shape, dtype, bool(fortran), content)

    def fill(self, shape: Sequence[int], dtype: StoredDtype, fortran: bool, content: Any) -> None:
        """Set the values. Raises ValueError where their number is not that of the shape."""
        if not isinstance(dtype, StoredDtype) or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError("an array without a shape")
        content = content.encode("latin-1") if isinstance(content, str) else content
        if not isinstance(content, bytes | bytearray) or len(shape) > MAX_DIMENSIONS:
            raise ValueError("an array of something other than numbers")
        if math.prod(shape) * int(dtype.code[-1]) != len(content):
            raise ValueError("an array whose size is not that of its content")
        self.shape, self._dtype, self._fortran, self._content = tuple(shape), dtype, fortran, bytes(content)

    def read(self) -> NDArray[np.generic]:
        import numpy as np

        flat = np.frombuffer(self._content, self._dtype.code)
        return flat.reshape(self.shape, order="F" if self._fortran else "C")


def read_scalar(dtype: Any, content: Any = b"") -> int | float | bool:
    """Return the number that a numpy scalar in a pickle has."""
    array = StoredArray()
    array.fill((), dtype, False, content)
    value: int | float | bool = array.read().item()
    return value
