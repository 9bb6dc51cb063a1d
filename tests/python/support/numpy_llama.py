"""What a Llama of a GGUF in F32 computes, in numpy: one sequence at a time, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGUFReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROPE_BASE = 10_000.0


class Llama:
    """A model that was written by `write_tiny_model`."""

    def __init__(self, path: Path) -> None:
        reader = GGUFReader(path)
        self._tensors = {tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors}
        self._n_heads = int(reader.fields["llama.attention.head_count"].contents())
        self._n_layers = int(reader.fields["llama.block_count"].contents())
        self._epsilon = float(reader.fields["llama.attention.layer_norm_rms_epsilon"].contents())

    def logprobs(self, tokens: Sequence[int]) -> Any:
        """Return the log-probability of each token of the vocabulary after each of the tokens."""
        rows = self._tensors["token_embd.weight"][list(tokens)]
        for layer in range(self._n_layers):
            block = f"blk.{layer}"
            rows = rows + self._attention(self._norm(rows, f"{block}.attn_norm"), block)
            inner = self._norm(rows, f"{block}.ffn_norm")
            gate = self._linear(inner, f"{block}.ffn_gate")
            silu = gate / (1 + np.exp(-gate))
            rows = rows + self._linear(silu * self._linear(inner, f"{block}.ffn_up"), f"{block}.ffn_down")
        logits = self._linear(self._norm(rows, "output_norm"), "output")
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def _linear(self, rows: Any, name: str) -> Any:
        return rows @ self._tensors[f"{name}.weight"].T

    def _norm(self, rows: Any, name: str) -> Any:
        scale = np.sqrt((rows**2).mean(axis=-1, keepdims=True) + self._epsilon)
        return rows / scale * self._tensors[f"{name}.weight"]

    def _attention(self, rows: Any, block: str) -> Any:
        n, width = rows.shape
        heads = [
            self._linear(rows, f"{block}.{name}").reshape(n, self._n_heads, -1).transpose(1, 0, 2)
            for name in ("attn_q", "attn_k", "attn_v")
        ]
        queries, keys, values = _rotated(heads[0]), _rotated(heads[1]), heads[2]
        scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(width // self._n_heads)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ values).transpose(1, 0, 2).reshape(n, width)
        return self._linear(mixed, f"{block}.attn_output")


def _rotated(heads: Any) -> Any:
    """Turn each pair of neighbouring numbers by an angle that grows with the position (RoPE)."""
    _, n, width = heads.shape
    speeds = _ROPE_BASE ** (-np.arange(0, width, 2) / width)
    angles = np.arange(n)[:, None] * speeds
    pairs = (heads[..., 0::2] + 1j * heads[..., 1::2]) * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], axis=-1).reshape(heads.shape)
