"""Writes GGUF files, version 3: key-value pairs, descriptions of the tensors, then their bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Value = bool | int | float | str | Sequence[str] | Sequence[int]

_MAGIC, _VERSION, _ALIGNMENT = b"GGUF", 3, 32
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

TENSOR_TYPES = {"F32": 0, "F16": 1}
"""ggml's numbers of the types that a tensor can have here."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        type: "F32" or "F16".
        shape: the extents, outermost first.
        data: the values, row by row, little-endian.
    """

    type: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def write(file: BinaryIO, pairs: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> None:
    """Write a model.

    Args:
        file: where to.
        pairs: the metadata. Integers become uint32, floats float32; a sequence is all strings or all int32.
        tensors: by name.
    """
    file.write(_MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(pairs)))
    written = 24
    for key, value in pairs.items():
        written += file.write(_string(key) + _typed(value))
    offset = 0
    for name, tensor in tensors.items():
        # ggml counts extents from the innermost.
        extents = struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        description = struct.pack("<I", len(tensor.shape)) + extents
        description += struct.pack("<IQ", TENSOR_TYPES[tensor.type], offset)
        written += file.write(_string(name) + description)
        offset += len(tensor.data) + _padding(len(tensor.data))
    file.write(bytes(_padding(written)))
    for tensor in tensors.values():
        file.write(tensor.data)
        file.write(bytes(_padding(len(tensor.data))))


def _padding(length: int) -> int:
    return -length % _ALIGNMENT


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _typed(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    strings = [item for item in value if isinstance(item, str)]
    if strings:
        return struct.pack("<IIQ", _ARRAY, _STRING, len(strings)) + b"".join(map(_string, strings))
    return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _INT32, len(value), *value)
