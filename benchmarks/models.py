"""The benchmark models: the default model, a smaller form of it, and two that take next to no arithmetic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.python.support.tiny_gguf import SMOLLM2_FILE, TinyModel, write_model_with_tokenizer_of

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
WRITTEN_MODELS = ROOT / "build" / "benchmark-models"

_SMALL = {
    "nano": TinyModel(n_layers=1, width=16, n_heads=1, n_ctx_train=8192, dtype="f32"),
    "tiny": TinyModel(n_layers=2, width=64, n_heads=2, n_ctx_train=8192, dtype="f16"),
}
"""With SmolLM2's 49,152 tokens they stand for fast hardware: what is left is the server. Element types are
those that llama.cpp's kernels like best at these widths: 16 is no multiple of the f16 kernels' stride."""


def smollm2() -> Path:
    """The default model, pulled into `models/` where it is not there yet."""
    path = MODELS / SMOLLM2_FILE
    if not path.exists():
        command = [sys.executable, "-m", "llamad", "pull", "smollm2", "--model-directory", str(MODELS)]
        subprocess.run(command, check=True)
    return path


def model_path(name: str) -> Path:
    """The file of a workload's model, written or pulled on first use.

    Args:
        name: "smollm2", "smollm2-q4_0" (its weights in the type that x86 processors compute fastest), "tiny"
            or "nano".
    """
    if name == "smollm2":
        return smollm2()
    path = WRITTEN_MODELS / f"{name}.gguf"
    if path.exists():
        return path
    WRITTEN_MODELS.mkdir(parents=True, exist_ok=True)
    if name == "smollm2-q4_0":
        from llamad import quantize  # noqa: PLC0415 - the other models need no llamad

        quantize(smollm2(), path, type="q4_0", allow_requantize=True)
    else:
        partial = path.with_suffix(".partial")
        write_model_with_tokenizer_of(smollm2(), partial, _SMALL[name]).rename(path)
    return path
