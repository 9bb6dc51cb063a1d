"""Sentence-transformers' BERT models as GGUF: what all-MiniLM-L6-v2 and its kin are.

The names of tensors and keys, and the form of the vocabulary, are those that llama.cpp's BERT expects.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from ..errors import InvalidModelError
from . import gguf, safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Read = Callable[[str], bytes]

_CONFIG, _POOLING = "config.json", "1_Pooling/config.json"
_WEIGHTS, _VOCABULARY = "model.safetensors", "vocab.txt"

_TENSORS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER_TENSORS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_POOLINGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}
_ALWAYS_F32 = ("position_embd.weight", "token_types.weight")
"""They are read row by row and added, which llama.cpp wants in F32."""

_NORMAL, _CONTROL = 1, 3
"""llama.cpp's types of tokens."""

_SPECIAL = {"[PAD]": "padding", "[UNK]": "unknown", "[CLS]": "bos", "[SEP]": "seperator", "[MASK]": "mask"}
"""The special tokens, and what llama.cpp calls them in its keys, spelling included."""

_F16_FILE_TYPE = 1
_CHUNK = 1 << 16


def convert(read: Read, name: str, file: BinaryIO) -> None:
    """Write a model as GGUF, its matrices in F16. The same model gives the same bytes everywhere.

    Args:
        read: returns the content of one of the model's files, such as "config.json".
        name: the model's name.
        file: where to.

    Raises:
        InvalidModelError: the model is not a BERT of the kind that is understood here.
    """
    config = orjson.loads(read(_CONFIG))
    if config.get("architectures") != ["BertModel"] or config.get("hidden_act") != "gelu":
        raise InvalidModelError(f"{name} is not a BertModel with GELU")
    pairs = _hyperparameters(config, name)
    pairs["bert.pooling_type"] = _pooling(orjson.loads(read(_POOLING)))
    tensors = _tensors(safetensors.read(read(_WEIGHTS)), config["num_hidden_layers"])
    gguf.write(file, pairs | _vocabulary(read(_VOCABULARY)), tensors)


def _hyperparameters(config: Mapping[str, Any], name: str) -> dict[str, gguf.Value]:
    return {
        "general.architecture": "bert",
        "general.name": name,
        "general.file_type": _F16_FILE_TYPE,
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "bert.attention.causal": False,
    }


def _pooling(config: Mapping[str, Any]) -> int:
    chosen = [number for name, number in _POOLINGS.items() if config.get(name)]
    if len(chosen) != 1:
        raise InvalidModelError(f"one of {', '.join(_POOLINGS)} must be the pooling, not {dict(config)}")
    return chosen[0]


def _vocabulary(text: bytes) -> dict[str, gguf.Value]:
    """Return the WordPiece vocabulary; llama.cpp marks the beginning of words instead of their middle."""
    tokens = text.decode().rstrip("\n").split("\n")
    types = [_CONTROL if token in _SPECIAL else _NORMAL for token in tokens]
    marked = [
        token if kind == _CONTROL else token[2:] if token.startswith("##") else "\u2581" + token
        for token, kind in zip(tokens, types, strict=True)
    ]
    keys = {f"tokenizer.ggml.{key}_token_id": tokens.index(token) for token, key in _SPECIAL.items()}
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": marked,
        "tokenizer.ggml.token_type": types,
        **keys,
    }


def _tensors(source: Mapping[str, safetensors.Tensor], n_layers: int) -> dict[str, gguf.Tensor]:
    names = dict(_TENSORS)
    for layer in range(n_layers):
        for theirs, ours in _LAYER_TENSORS.items():
            names[f"encoder.layer.{layer}.{theirs}"] = f"blk.{layer}.{ours}"
    tensors = {}
    for theirs, ours in names.items():
        for part in ("weight", "bias"):
            tensor = source.get(f"{theirs}.{part}")
            if tensor is not None:
                tensors[f"{ours}.{part}"] = _converted(f"{ours}.{part}", tensor)
            elif part == "weight":
                raise InvalidModelError(f"the model has no tensor {theirs}.{part}")
    return tensors


def _converted(name: str, tensor: safetensors.Tensor) -> gguf.Tensor:
    if tensor.dtype != "F32":
        raise InvalidModelError(f"tensor {name} is {tensor.dtype}; only F32 is understood")
    if len(tensor.shape) == 1 or name in _ALWAYS_F32:
        return gguf.Tensor("F32", tensor.shape, tensor.data)
    return gguf.Tensor("F16", tensor.shape, _to_f16(tensor.data))


def _to_f16(values: memoryview) -> bytes:
    """Round little-endian F32 values to F16, some at a time: each is a Python object in between."""
    halves = bytearray()
    for begin in range(0, len(values), 4 * _CHUNK):
        chunk = values[begin : begin + 4 * _CHUNK]
        n_values = len(chunk) // 4
        halves += struct.pack(f"<{n_values}e", *struct.unpack(f"<{n_values}f", chunk))
    return bytes(halves)
