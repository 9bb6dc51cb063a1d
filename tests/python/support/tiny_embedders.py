"""Tiny GGUF models that embed or rerank, and what a BERT computes, in numpy.

mean, cls   BERT: sees the whole input at once
rank        BERT with a classifier of one score
causal-mean, causal-last   Llama with a pooling: computes a long input in parts
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGUFReader, GGUFWriter, PoolingType, TokenType

from tests.python.support import tiny_tokenizer
from tests.python.support.tiny_gguf import Weights, finish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


MINILM_FILE = "all-MiniLM-L6-v2.F16.gguf"
"""The embedding model of the catalog, as `llamad pull minilm` names it."""

WIDTH = 32
N_CTX = 128
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLS, SEP = 2, 3

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = ("the", "cat", "dog", "sat", "on", "mat", "ran")
_N_HEADS = 4
_N_FF = 64
_N_LAYERS = 2
_EPSILON = 1e-6
_POOLINGS = {
    "mean": PoolingType.MEAN,
    "cls": PoolingType.CLS,
    "rank": PoolingType.RANK,
    "causal-mean": PoolingType.MEAN,
    "causal-last": PoolingType.LAST,
}


def write_embedder(kind: str, path: Path, *, n_ctx: int = N_CTX) -> Path:
    """Write a model with seeded random weights.

    Args:
        kind: one of those above.
        path: the file to write.
        n_ctx: tokens of context.
    """
    causal = kind.startswith("causal")
    writer = GGUFWriter(path, "llama" if causal else "bert")
    writer.add_name(path.stem)
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(_N_LAYERS)
    writer.add_feed_forward_length(_N_FF)
    writer.add_head_count(_N_HEADS)
    writer.add_pooling_type(_POOLINGS[kind])
    if causal:
        _write_llama(writer)
    else:
        _write_bert(writer, n_ctx, ranks=kind == "rank")
    finish(writer)
    return path


def _write_llama(writer: GGUFWriter) -> None:
    tiny_tokenizer.add_to(writer)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_dimension_count(WIDTH // _N_HEADS)
    weights = Weights(writer, seed=1)
    weights.matrix("token_embd", len(tiny_tokenizer.vocabulary()), WIDTH, 1.0)
    for layer in range(_N_LAYERS):
        block = f"blk.{layer}"
        weights.norm(f"{block}.attn_norm", WIDTH)
        for projection in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{block}.{projection}", WIDTH, WIDTH, 2 * WIDTH**-0.5)
        weights.norm(f"{block}.ffn_norm", WIDTH)
        weights.matrix(f"{block}.ffn_gate", _N_FF, WIDTH, 2 * WIDTH**-0.5)
        weights.matrix(f"{block}.ffn_up", _N_FF, WIDTH, WIDTH**-0.5)
        weights.matrix(f"{block}.ffn_down", WIDTH, _N_FF, _N_FF**-0.5)
    weights.norm("output_norm", WIDTH)


def _write_bert(writer: GGUFWriter, n_ctx: int, *, ranks: bool) -> None:
    writer.add_causal_attention(value=False)
    writer.add_layer_norm_eps(_EPSILON)
    _add_word_pieces(writer)
    weights, rng = Weights(writer, seed=1), np.random.default_rng(2)

    def bias(name: str, width: int) -> None:
        writer.add_tensor(f"{name}.bias", rng.standard_normal(width, dtype=np.float32) / 4)

    def norm(name: str) -> None:
        weights.norm(name, WIDTH)
        bias(name, WIDTH)

    weights.matrix("token_embd", len(vocabulary()), WIDTH, 1.0)
    weights.matrix("position_embd", n_ctx, WIDTH, 0.5)
    weights.matrix("token_types", 2, WIDTH, 0.5)
    norm("token_embd_norm")
    for layer in range(_N_LAYERS):
        block = f"blk.{layer}"
        for projection in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{block}.{projection}", WIDTH, WIDTH, 2 * WIDTH**-0.5)
            bias(f"{block}.{projection}", WIDTH)
        norm(f"{block}.attn_output_norm")
        weights.matrix(f"{block}.ffn_up", _N_FF, WIDTH, WIDTH**-0.5)
        bias(f"{block}.ffn_up", _N_FF)
        weights.matrix(f"{block}.ffn_down", WIDTH, _N_FF, _N_FF**-0.5)
        bias(f"{block}.ffn_down", WIDTH)
        norm(f"{block}.layer_output_norm")
    if ranks:
        weights.matrix("cls", WIDTH, WIDTH, WIDTH**-0.5)
        bias("cls", WIDTH)
        weights.matrix("cls.output", 1, WIDTH, 1.0)
        bias("cls.output", 1)


def vocabulary() -> tuple[str, ...]:
    """Return the word pieces in id order, "▁" before those that begin a word."""
    begin = tuple(f"\u2581{letter}" for letter in _LETTERS)
    return SPECIAL_TOKENS + begin + tuple(_LETTERS) + tuple(f"\u2581{word}" for word in _WORDS)


def _add_word_pieces(writer: GGUFWriter) -> None:
    tokens = vocabulary()
    types = [TokenType.CONTROL] * len(SPECIAL_TOKENS)
    types += [TokenType.NORMAL] * (len(tokens) - len(types))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(list(tokens))
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(CLS)
    writer.add_sep_token_id(SEP)
    writer.add_mask_token_id(4)


class Bert:
    """A BERT of a GGUF in F32, computed plainly: one sequence at a time, in float64."""

    def __init__(self, path: Path) -> None:
        reader = GGUFReader(path)
        self._tensors = {tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors}

    def hidden(self, tokens: Sequence[int]) -> Any:
        """Return the last layer's output, a row for each token."""
        rows: Any = self._tensors["token_embd.weight"][list(tokens)]
        rows = (
            rows
            + self._tensors["position_embd.weight"][: len(tokens)]
            + self._tensors["token_types.weight"][0]
        )
        rows = self._norm(rows, "token_embd_norm")
        for layer in range(_N_LAYERS):
            block = f"blk.{layer}"
            rows = self._norm(rows + self._attention(rows, block), f"{block}.attn_output_norm")
            inner = _gelu(self._linear(rows, f"{block}.ffn_up"))
            rows = self._norm(rows + self._linear(inner, f"{block}.ffn_down"), f"{block}.layer_output_norm")
        return rows

    def embedding(self, tokens: Sequence[int], kind: str) -> Any:
        """Return the vector of length 1 that pooling "mean" or "cls" makes."""
        hidden = self.hidden(tokens)
        pooled = hidden.mean(axis=0) if kind == "mean" else hidden[0]
        return pooled / np.linalg.norm(pooled)

    def score(self, tokens: Sequence[int]) -> float:
        """Return what the classifier makes of the first token."""
        inner = np.tanh(self._linear(self.hidden(tokens)[:1], "cls"))
        return float(self._linear(inner, "cls.output")[0, 0])

    def _linear(self, rows: Any, name: str) -> Any:
        return rows @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, rows: Any, name: str) -> Any:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        return scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]

    def _attention(self, rows: Any, block: str) -> Any:
        heads = [
            self._linear(rows, f"{block}.{name}").reshape(len(rows), _N_HEADS, -1).transpose(1, 0, 2)
            for name in ("attn_q", "attn_k", "attn_v")
        ]
        queries, keys, values = heads
        scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(WIDTH // _N_HEADS)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ values).transpose(1, 0, 2).reshape(len(rows), WIDTH)
        return self._linear(mixed, f"{block}.attn_output")


def _gelu(values: Any) -> Any:
    return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))
