"""LoRA adapters of the tests' tiny models, and the same change put into a model's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from tests.python.support.tiny_gguf import finish

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

ALPHA = 6.0
RANK = 3
CHANGED = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight", "blk.1.attn_output.weight")


def write_adapter(path: Path, model: Path, *, architecture: str = "llama", seed: int = 1) -> Path:
    """Write an adapter that changes three matrices of a model a good deal.

    Args:
        path: the file to write.
        model: the GGUF whose matrices say the shapes.
        architecture: which the adapter says it is for.
        seed: of its values.
    """
    writer = start(path, architecture)
    for name, (a, b) in _factors(model, seed).items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    finish(writer)
    return path


def start(path: Path, architecture: str = "llama") -> GGUFWriter:
    """Begin an adapter that says what it is, without tensors."""
    writer = GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    return writer


def write_merged(path: Path, model: Path, *, scale: float, seed: int = 1) -> Path:
    """Write a model whose weights are those of `model` with `write_adapter`'s change, `scale` times."""
    reader = GGUFReader(model)
    writer = GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        element = field.types[1] if field.types[0] is GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    changes = _factors(model, seed)
    for tensor in reader.tensors:
        values = np.array(tensor.data)
        if tensor.name in changes:
            a, b = changes[tensor.name]
            values += np.float32(scale * ALPHA / RANK) * (b @ a)
        writer.add_tensor(tensor.name, values)
    finish(writer)
    return path


def _factors(model: Path, seed: int) -> dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    rng = np.random.default_rng(seed)
    shapes = {tensor.name: tensor.data.shape for tensor in GGUFReader(model).tensors}

    def values(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.15)

    return {name: (values(RANK, shapes[name][1]), values(shapes[name][0], RANK)) for name in CHANGED}
