"""Tiny llama-architecture GGUF models with seeded random weights, written in milliseconds.

The tests' models have a byte-level BPE tokenizer of their own (`write_tiny_model`); the benchmarks'
models carry a real model's tokenizer (`write_model_with_tokenizer_of`), so that what costs time is
the server and not the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFReader, GGUFWriter

from tests.python.support import tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The default model, as `llamad pull smollm2` names it."""

ENDLESS_N_CTX = 131_072
"""A context that takes minutes to fill: a request that may use it all ends only by being cancelled."""

_LOGIT_STD = 4.0
"""Spread of the logits: wide enough that greedy choices have clear margins, narrow enough to sample."""


@dataclass(frozen=True, slots=True)
class TinyModel:
    """Shape of a model.

    Attributes:
        n_layers: transformer blocks.
        width: embedding length.
        n_heads: attention heads; `width` is a multiple of twice this.
        n_ctx_train: context length that the file declares.
        seed: of the weights.
        dtype: "f32" or "f16" matrices; norms are f32 always.
        shards_of: most tensors in one file; 0 writes a single file.
        infills: whether its vocabulary has tokens for filling in the middle.
    """

    n_layers: int = 2
    width: int = 64
    n_heads: int = 4
    n_ctx_train: int = 2048
    seed: int = 1
    dtype: str = "f32"
    shards_of: int = 0
    infills: bool = False


def write_tiny_model(path: Path, model: TinyModel | None = None) -> Path:
    """Write a model with its own small tokenizer; greedy output is printable ASCII and never ends by itself.

    Args:
        path: the file to write; with `shards_of`, the stem of "stem-00001-of-0000N.gguf".
        model: its shape; a default `TinyModel` where None.

    Returns:
        The path to load: `path`, or the first shard.
    """
    model = model or TinyModel()
    vocabulary = tiny_tokenizer.vocabulary()
    writer = GGUFWriter(path, "llama", split_max_tensors=model.shards_of)
    tiny_tokenizer.add_to(writer)
    if model.infills:
        tiny_tokenizer.add_infill_to(writer)
    _write(writer, model, len(vocabulary), path.stem, printable_tokens())
    return path if not model.shards_of else min(path.parent.glob(f"{path.stem}-00001-of-*.gguf"))


def printable_tokens() -> npt.NDArray[np.bool_]:
    """Which tokens of the tests' tokenizer are printable ASCII."""
    return np.array([tiny_tokenizer.is_printable(token) for token in tiny_tokenizer.vocabulary()])


def write_model_with_tokenizer_of(source: Path, path: Path, model: TinyModel) -> Path:
    """Write a model that has the tokenizer and chat template of another GGUF file.

    Args:
        source: the GGUF whose `tokenizer.*` metadata is copied.
        path: the file to write.
        model: its shape.
    """
    reader = GGUFReader(source)
    writer = GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            element = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
    n_vocab = len(reader.fields["tokenizer.ggml.tokens"].data)
    _write(writer, model, n_vocab, path.stem, np.ones(n_vocab, dtype=bool))
    return path


class Weights:
    """Adds seeded random tensors to a GGUF.

    Args:
        writer: where to.
        seed: the same seed and the same calls give the same weights.
        dtype: "f32" or "f16", of matrices.
    """

    def __init__(self, writer: GGUFWriter, seed: int, dtype: str = "f32") -> None:
        self._writer = writer
        self._rng = np.random.default_rng(seed)
        self._dtype = np.dtype({"f32": np.float32, "f16": np.float16}[dtype])

    def matrix(self, name: str, rows: int, columns: int, std: float) -> None:
        """Add Gaussian weights that turn `columns` values into `rows`."""
        self._writer.add_tensor(f"{name}.weight", self._gaussian(rows, columns, std).astype(self._dtype))

    def output(self, width: int, likely: npt.NDArray[np.bool_]) -> None:
        """Add the output matrix, one row per token, of which only the likely ones come out on top."""
        values = self._gaussian(len(likely), width, _LOGIT_STD * width**-0.5)
        values[~likely] = 0  # a logit of zero, far below the maximum of hundreds of Gaussians
        self._writer.add_tensor("output.weight", values.astype(self._dtype))

    def norm(self, name: str, width: int) -> None:
        """Add a norm that scales by one."""
        self._writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))

    def _gaussian(self, rows: int, columns: int, std: float) -> npt.NDArray[np.float32]:
        return self._rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(std)


def finish(writer: GGUFWriter) -> None:
    """Write the file that the writer has collected."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write(
    writer: GGUFWriter, model: TinyModel, n_vocab: int, name: str, likely: npt.NDArray[np.bool_]
) -> None:
    width, n_ff = model.width, 2 * model.width
    writer.add_name(name)
    writer.add_context_length(model.n_ctx_train)
    writer.add_embedding_length(width)
    writer.add_block_count(model.n_layers)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(model.n_heads)
    writer.add_head_count_kv(model.n_heads)
    writer.add_rope_dimension_count(width // model.n_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(n_vocab)

    weights = Weights(writer, model.seed, model.dtype)
    weights.matrix("token_embd", n_vocab, width, 1.0)
    for layer in range(model.n_layers):
        block = f"blk.{layer}"
        weights.norm(f"{block}.attn_norm", width)
        for projection in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{block}.{projection}", width, width, 2 * width**-0.5)
        weights.norm(f"{block}.ffn_norm", width)
        weights.matrix(f"{block}.ffn_gate", n_ff, width, 2 * width**-0.5)
        weights.matrix(f"{block}.ffn_up", n_ff, width, width**-0.5)
        weights.matrix(f"{block}.ffn_down", width, n_ff, n_ff**-0.5)
    weights.norm("output_norm", width)
    weights.output(width, likely)
    finish(writer)
