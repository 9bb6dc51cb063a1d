"""Models with the shapes of Llama 3 and random weights, written at the speed of the disk.

What a model says does not matter to how fast it says it. Every row of a matrix is a piece of one pool of
random blocks, so that nothing is computed per weight: 16 GB of bf16 take seconds. Tokenizer and chat template
are a real model's; the vocabulary is filled up to Llama's size with tokens whose logits are never the
largest, so that what is generated is text throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, TokenType
from gguf.constants import GGML_QUANT_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

_LOGIT_STD = 4.0
"""Spread of the logits; see `tests/python/support/tiny_gguf.py`."""
_POOL_BYTES = 1 << 24
_TEXT = re.compile(r"[!-~ĠĊ]+")
"""Tokens of byte-level BPE that are ASCII characters, blanks and line ends: never half of a character."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A model of the llama architecture.

    Attributes:
        n_layers: transformer blocks.
        width: embedding length.
        n_heads: attention heads.
        n_kv_heads: heads of keys and values.
        n_ff: width of the feed-forward part.
        n_vocab: tokens, at least as many as the tokenizer has.
        tied: whether the output matrix is the token embeddings.
    """

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int = 128_256
    tied: bool = False

    @property
    def n_kv(self) -> int:
        """Width of keys and of values."""
        return self.width // self.n_heads * self.n_kv_heads


SHAPES = {
    "1b": Shape(n_layers=16, width=2048, n_heads=32, n_kv_heads=8, n_ff=8192, tied=True),
    "8b": Shape(n_layers=32, width=4096, n_heads=32, n_kv_heads=8, n_ff=14_336),
    "quick": Shape(n_layers=2, width=256, n_heads=4, n_kv_heads=2, n_ff=512, n_vocab=50_176),
}
"""Llama 3.2 1B, Llama 3 8B, and one that a CPU computes at once."""

TYPES = ("bf16", "q8_0", "q4_k")
"""Of the matrices; with `q4_k`, embeddings and output are `q8_0`."""


def write_model(path: Path, tokenizer: Path, shape: Shape, dtype: str) -> Path:
    """Write a model.

    Args:
        path: the file to write; its stem becomes the model's name.
        tokenizer: a GGUF whose `tokenizer.*` metadata is copied.
        shape: of the model.
        dtype: one of `TYPES`.

    Raises:
        ValueError: the tokenizer has more tokens than the shape.
    """
    writer = GGUFWriter(path, "llama")
    usable = _add_tokenizer(writer, tokenizer, shape.n_vocab)
    _add_shape(writer, path.stem, shape)
    tensors = list(_tensors(shape, dtype))
    for name, rows, columns, kind, _ in tensors:
        byte_shape = (rows, _row_bytes(columns, kind)) if rows else (columns * 4,)
        dims = (rows, columns) if rows else (columns,)
        writer.add_tensor_info(f"{name}.weight", dims, np.dtype(np.float32), int(np.prod(byte_shape)), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    pools = _Pools(np.random.default_rng(1))
    for name, rows, columns, kind, std in tensors:
        norm: npt.NDArray[Any] = np.ones(columns, np.float32)
        data = pools.rows(rows, columns, kind, std) if rows else norm
        if name in {"token_embd", "output"}:
            data[: len(usable)][~usable] = 0
            data[len(usable) :] = 0
        writer.write_tensor_data(data)
    writer.close()
    return path


def n_parameters(shape: Shape) -> int:
    """How many weights a model of this shape has."""
    return sum(max(rows, 1) * columns for _, rows, columns, _, _ in _tensors(shape, "bf16"))


def write_tokenizer(source: Path, path: Path) -> Path:
    """Write a GGUF that has nothing but the tokenizer and chat template of another."""
    writer = GGUFWriter(path, "llama")
    for name, value, kind, element in _tokenizer_fields(source):
        writer.add_key_value(name, value, kind, element)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


@cache
def _tokenizer_fields(source: Path) -> list[tuple[str, Any, Any, Any]]:
    """Name, value, type and type of the elements; kept, for reading them takes seconds."""
    return [
        (name, field.contents(), field.types[0], field.types[1] if len(field.types) > 1 else None)
        for name, field in GGUFReader(source).fields.items()
        if name.startswith("tokenizer.")
    ]


def _add_tokenizer(writer: GGUFWriter, source: Path, n_vocab: int) -> npt.NDArray[np.bool_]:
    """Add it, filled up to `n_vocab` tokens; returns which of its own tokens are plain text."""
    fields = {name: (value, kind, element) for name, value, kind, element in _tokenizer_fields(source)}
    tokens, types = fields["tokenizer.ggml.tokens"][0], fields["tokenizer.ggml.token_type"][0]
    n_padding = n_vocab - len(tokens)
    if n_padding < 0:
        raise ValueError(f"n_vocab={n_vocab}: the tokenizer has {len(tokens)} tokens")
    usable = [
        kind == TokenType.NORMAL and _TEXT.fullmatch(token) is not None
        for token, kind in zip(tokens, types, strict=True)
    ]
    padded = {
        "tokenizer.ggml.tokens": [*tokens, *(f"<|unused_{index}|>" for index in range(n_padding))],
        "tokenizer.ggml.token_type": [*types, *[int(TokenType.UNUSED)] * n_padding],
    }
    for name, (value, kind, element) in fields.items():
        writer.add_key_value(name, padded.get(name, value), kind, element)
    return np.array(usable)


def _add_shape(writer: GGUFWriter, name: str, shape: Shape) -> None:
    writer.add_name(name)
    writer.add_context_length(131_072)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_rope_dimension_count(shape.width // shape.n_heads)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.n_vocab)


def _tensors(shape: Shape, dtype: str) -> Iterator[tuple[str, int, int, GGMLQuantizationType, float]]:
    """Name, rows (0: a norm), columns, type and standard deviation of each tensor."""
    inner = GGMLQuantizationType[dtype.upper()]
    outer = GGMLQuantizationType.Q8_0 if dtype == "q4_k" else inner
    norm, width = GGMLQuantizationType.F32, shape.width
    output_std = _LOGIT_STD * width**-0.5
    yield "token_embd", shape.n_vocab, width, outer, output_std
    for layer in range(shape.n_layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm", 0, width, norm, 0
        yield f"{block}.attn_q", width, width, inner, width**-0.5
        yield f"{block}.attn_k", shape.n_kv, width, inner, width**-0.5
        yield f"{block}.attn_v", shape.n_kv, width, inner, width**-0.5
        yield f"{block}.attn_output", width, width, inner, width**-0.5
        yield f"{block}.ffn_norm", 0, width, norm, 0
        yield f"{block}.ffn_gate", shape.n_ff, width, inner, width**-0.5
        yield f"{block}.ffn_up", shape.n_ff, width, inner, width**-0.5
        yield f"{block}.ffn_down", width, shape.n_ff, inner, shape.n_ff**-0.5
    yield "output_norm", 0, width, norm, 0
    if not shape.tied:
        yield "output", shape.n_vocab, width, outer, output_std


def _row_bytes(columns: int, kind: GGMLQuantizationType) -> int:
    weights, size = GGML_QUANT_SIZES[kind]
    return columns // weights * size


class _Pools:
    """Random blocks, of which matrices are cut."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pools: dict[tuple[GGMLQuantizationType, float], Bytes] = {}

    def rows(self, rows: int, columns: int, kind: GGMLQuantizationType, std: float) -> Bytes:
        """The bytes of a matrix: each row the pool's, from a random block on."""
        size, row_bytes = GGML_QUANT_SIZES[kind][1], _row_bytes(columns, kind)
        pool = self._pool(kind, std)
        starts = self._rng.integers(0, (len(pool) - row_bytes) // size, rows) * size
        matrix = np.empty((rows, row_bytes), np.uint8)
        for row, start in zip(matrix, starts.tolist(), strict=True):
            row[:] = pool[start : start + row_bytes]
        return matrix

    def _pool(self, kind: GGMLQuantizationType, std: float) -> Bytes:
        if (kind, std) not in self._pools:
            n_blocks = _POOL_BYTES // GGML_QUANT_SIZES[kind][1]
            self._pools[kind, std] = BLOCKS[kind](self._rng, n_blocks, std).reshape(-1)
        return self._pools[kind, std]


def _bf16(rng: np.random.Generator, n_blocks: int, std: float) -> Bytes:
    values = rng.standard_normal(n_blocks, np.float32) * np.float32(std)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def _q8_0(rng: np.random.Generator, n_blocks: int, std: float) -> Bytes:
    """32 weights of a byte each behind their scale: uniform, so that one is 73.9 scales wide."""
    blocks = rng.integers(0, 256, (n_blocks, 34), np.uint8)
    blocks[:, :2] = np.full(n_blocks, std / 73.9, np.float16).view(np.uint8).reshape(-1, 2)
    return blocks


def _q4_k(rng: np.random.Generator, n_blocks: int, std: float) -> Bytes:
    """256 weights d·s·q - e·m: q of 4 bits, s and m of 6 bits per 32 weights, d and e before them.

    With e = 7.5·d their mean is zero, and they are 249 d wide.
    """
    blocks = rng.integers(0, 256, (n_blocks, 144), np.uint8)
    scale = std / 249
    blocks[:, :4] = np.array([scale, 7.5 * scale], np.float16).view(np.uint8)
    return blocks


BLOCKS: dict[GGMLQuantizationType, Callable[[np.random.Generator, int, float], Bytes]] = {
    GGMLQuantizationType.BF16: _bf16,
    GGMLQuantizationType.Q8_0: _q8_0,
    GGMLQuantizationType.Q4_K: _q4_k,
}
"""Makes so many random blocks of a type, of weights with a mean of zero and this standard deviation."""
