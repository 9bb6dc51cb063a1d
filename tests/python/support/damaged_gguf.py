"""Model files as interrupted downloads and wrong file types leave them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gguf import GGUFReader

if TYPE_CHECKING:
    from pathlib import Path


def write_not_a_gguf(path: Path) -> Path:
    """Write text where a model is expected, as a download that fetched an error page."""
    path.write_text("<!doctype html><title>404 Not Found</title>" * 64)
    return path


def write_empty(path: Path) -> Path:
    """Write a file without content."""
    path.write_bytes(b"")
    return path


def write_truncated_header(source: Path, path: Path) -> Path:
    """Write `source` cut in the middle of its metadata."""
    path.write_bytes(source.read_bytes()[: GGUFReader(source).data_offset // 2])
    return path


def write_truncated_tensors(source: Path, path: Path) -> Path:
    """Write `source` without the second half of its tensor data."""
    content = source.read_bytes()
    data_offset = GGUFReader(source).data_offset
    path.write_bytes(content[: data_offset + (len(content) - data_offset) // 2])
    return path


def write_unknown_version(source: Path, path: Path) -> Path:
    """Write `source` with a GGUF version of the far future in its header."""
    content = bytearray(source.read_bytes())
    struct.pack_into("<I", content, 4, 999)
    path.write_bytes(content)
    return path
