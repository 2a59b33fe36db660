"""Small ONNX files, written byte by byte as onnx.proto tells."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

FLOAT = 1


def file(nodes: Sequence[bytes], weights: dict[str, np.ndarray], shape: Sequence[int | str]) -> bytes:
    """A model from ``picture``, of a shape in which words stand for open sides, to ``painting``."""
    graph = b"".join(_part(1, node) for node in nodes) + _part(2, b"graph")
    graph += b"".join(_part(5, _tensor(name, value)) for name, value in weights.items())
    graph += _part(11, _value("picture", shape)) + _part(12, _value("painting", shape))
    return _whole(1, 8) + _part(7, graph) + _part(8, _whole(2, 17))


def node(kind: str, given: Sequence[str], made: str, **attributes: Any) -> bytes:
    parts = b"".join(_part(1, name.encode()) for name in given) + _part(2, made.encode()) + _part(4, kind.encode())
    return parts + b"".join(_part(5, _attribute(name, value)) for name, value in attributes.items())


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, float):
        return _part(1, name.encode()) + _key(2, 5) + struct.pack("<f", value) + _whole(20, 1)
    return _part(1, name.encode()) + b"".join(_whole(8, number) for number in value) + _whole(20, 7)


def _tensor(name: str, value: np.ndarray) -> bytes:
    sides = b"".join(_whole(1, side) for side in value.shape)
    return sides + _whole(2, FLOAT) + _part(8, name.encode()) + _part(9, value.astype("<f4").tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sides = (_whole(1, side) if isinstance(side, int) else _part(2, side.encode()) for side in shape)
    tensor = _whole(1, FLOAT) + _part(2, b"".join(_part(1, side) for side in sides))
    return _part(1, name.encode()) + _part(2, _part(1, tensor))


def _part(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _whole(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    packed = b""
    while value > 127:
        packed += bytes([value & 127 | 128])
        value >>= 7
    return packed + bytes([value])
