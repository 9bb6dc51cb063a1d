"""Reads safetensors files: a header in JSON, then the tensors' bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson

from ..errors import InvalidModelError

_HEADER_LENGTH_BYTES = 8
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    Attributes:
        dtype: safetensors' name of the type, such as "F32".
        shape: the extents, outermost first.
        data: the values, row by row, little-endian.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def read(content: bytes | memoryview) -> dict[str, Tensor]:
    """Return the tensors of a file, by name, without copying them.

    Raises:
        InvalidModelError: it is not a safetensors file, or is cut off.
    """
    view = memoryview(content)
    length = int.from_bytes(view[:_HEADER_LENGTH_BYTES], "little")
    start = _HEADER_LENGTH_BYTES + length
    try:
        header = orjson.loads(view[_HEADER_LENGTH_BYTES:start])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(entry, view[start:]) for name, entry in entries.items()}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidModelError(f"not a safetensors file, or a damaged one: {error}") from error


def _tensor(entry: dict[str, object], data: memoryview) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*sizes], "data_offsets": [int(begin), int(end)]}:
            shape = tuple(size for size in sizes if isinstance(size, int))
            values = data[begin:end]
            if len(values) != math.prod(shape) * _ITEM_BYTES[dtype]:
                raise ValueError(f"a tensor of shape {list(sizes)} has {len(values)} bytes")
            return Tensor(dtype, shape, values)
    raise ValueError("a tensor lacks its type, its shape or its place")
