"""Tiny GGUF models of kinds that remember otherwise than by keeping every token's keys and values.

    window      Gemma 3: all but one layer see only the last `WINDOW` tokens
    recurrent   Mamba: a state that each token changes
    hybrid      Jamba: both Mamba layers and one of attention

What they generate depends on tokens far back, so that a wrong state shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFWriter

from tests.python.support import tiny_tokenizer
from tests.python.support.tiny_gguf import Weights, finish, printable_tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOW = 64
"""Tokens that a layer with a sliding window sees."""

_WIDTH = 64
_N_FF = 128
_N_HEADS = 4
_N_LAYERS = 3
_D_CONV = 4
_D_INNER = 2 * _WIDTH  # llama.cpp accepts no other
_D_STATE = 16
_DT_RANK = 4


def write_kind(kind: str, path: Path) -> Path:
    """Write a model of the given kind; greedy output is printable ASCII and never ends by itself.

    Args:
        kind: "window", "recurrent" or "hybrid".
        path: the file to write.
    """
    architecture, write = _KINDS[kind]
    embedding_std = _WIDTH**-0.5 if kind == "window" else 1.0  # Gemma multiplies by the root of the width
    writer = GGUFWriter(path, architecture)
    tiny_tokenizer.add_to(writer)
    writer.add_name(path.stem)
    writer.add_context_length(2048)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_N_LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    printable = printable_tokens()
    weights = Weights(writer, seed=1)
    weights.matrix("token_embd", len(printable), _WIDTH, embedding_std)
    write(writer, weights)
    weights.norm("output_norm", _WIDTH)
    weights.output(_WIDTH, printable)
    finish(writer)
    return path


def _write_window(writer: GGUFWriter, weights: Weights) -> None:
    _add_attention(writer, _N_HEADS)
    writer.add_key_length(_WIDTH // _N_HEADS)
    writer.add_value_length(_WIDTH // _N_HEADS)
    writer.add_sliding_window(WINDOW)
    writer.add_sliding_window_pattern([layer + 1 < _N_LAYERS for layer in range(_N_LAYERS)])
    for layer in range(_N_LAYERS):
        block = f"blk.{layer}"
        weights.norm(f"{block}.attn_norm", _WIDTH)
        _write_attention(block, weights)
        weights.norm(f"{block}.attn_q_norm", _WIDTH // _N_HEADS)
        weights.norm(f"{block}.attn_k_norm", _WIDTH // _N_HEADS)
        weights.norm(f"{block}.post_attention_norm", _WIDTH)
        _write_feed_forward(block, weights)
        weights.norm(f"{block}.post_ffw_norm", _WIDTH)


def _write_recurrent(writer: GGUFWriter, weights: Weights) -> None:
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    _add_ssm(writer)
    for layer in range(_N_LAYERS):
        weights.norm(f"blk.{layer}.attn_norm", _WIDTH)
        _write_ssm(f"blk.{layer}", writer, weights)


def _write_hybrid(writer: GGUFWriter, weights: Weights) -> None:
    attention_layer = 1
    _add_attention(writer, [_N_HEADS if layer == attention_layer else 0 for layer in range(_N_LAYERS)])
    _add_ssm(writer)
    for layer in range(_N_LAYERS):
        block = f"blk.{layer}"
        weights.norm(f"{block}.attn_norm", _WIDTH)
        if layer == attention_layer:
            _write_attention(block, weights)
        else:
            _write_ssm(block, writer, weights)
            weights.norm(f"{block}.ssm_dt_norm", _DT_RANK)
            weights.norm(f"{block}.ssm_b_norm", _D_STATE)
            weights.norm(f"{block}.ssm_c_norm", _D_STATE)
        _write_feed_forward(block, weights)


def _add_attention(writer: GGUFWriter, n_heads_kv: int | list[int]) -> None:
    writer.add_feed_forward_length(_N_FF)
    writer.add_head_count(_N_HEADS)
    writer.add_head_count_kv(n_heads_kv)


def _add_ssm(writer: GGUFWriter) -> None:
    writer.add_ssm_conv_kernel(_D_CONV)
    writer.add_ssm_inner_size(_D_INNER)
    writer.add_ssm_state_size(_D_STATE)
    writer.add_ssm_time_step_rank(_DT_RANK)


def _write_attention(block: str, weights: Weights) -> None:
    for projection in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights.matrix(f"{block}.{projection}", _WIDTH, _WIDTH, 2 * _WIDTH**-0.5)


def _write_feed_forward(block: str, weights: Weights) -> None:
    weights.norm(f"{block}.ffn_norm", _WIDTH)
    weights.matrix(f"{block}.ffn_gate", _N_FF, _WIDTH, 2 * _WIDTH**-0.5)
    weights.matrix(f"{block}.ffn_up", _N_FF, _WIDTH, _WIDTH**-0.5)
    weights.matrix(f"{block}.ffn_down", _WIDTH, _N_FF, _N_FF**-0.5)


def _write_ssm(block: str, writer: GGUFWriter, weights: Weights) -> None:
    weights.matrix(f"{block}.ssm_in", 2 * _D_INNER, _WIDTH, 2 * _WIDTH**-0.5)
    weights.matrix(f"{block}.ssm_conv1d", _D_INNER, _D_CONV, _D_CONV**-0.5)
    weights.matrix(f"{block}.ssm_x", _DT_RANK + 2 * _D_STATE, _D_INNER, _D_INNER**-0.5)
    weights.matrix(f"{block}.ssm_dt", _D_INNER, _DT_RANK, 0.1)
    weights.matrix(f"{block}.ssm_out", _WIDTH, _D_INNER, 2 * _D_INNER**-0.5)
    ones = np.ones(_D_INNER, dtype=np.float32)
    writer.add_tensor(f"{block}.ssm_conv1d.bias", 0 * ones)
    writer.add_tensor(f"{block}.ssm_d", ones)
    # Steps of softplus(-2) = 0.13, after which exp(-0.13 * 0.1) of the state is left: it reaches back over
    # a hundred tokens.
    writer.add_tensor(f"{block}.ssm_dt.bias", -2 * ones)
    writer.add_tensor(f"{block}.ssm_a", np.full((_D_INNER, _D_STATE), -0.1, dtype=np.float32))


_KINDS: dict[str, tuple[str, Callable[[GGUFWriter, Weights], None]]] = {
    "window": ("gemma3", _write_window),
    "recurrent": ("mamba", _write_recurrent),
    "hybrid": ("jamba", _write_hybrid),
}
