"""The GPU benchmark on a CPU: its models load and speak, and `benchmarks.gpu` runs from start to end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from llamad import Engine, SamplingParams

from benchmarks import gpu_models, servers
from benchmarks.gpu_models import SHAPES, TYPES, Shape, write_model, write_tokenizer
from benchmarks.gpu_workloads import QUICK, mixed_measurements
from benchmarks.models import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Shape(n_layers=1, width=256, n_heads=4, n_kv_heads=2, n_ff=512, n_vocab=49_408)


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(smollm2, tmp_path_factory.mktemp("tokenizer") / "tokenizer.gguf")


@pytest.mark.parametrize("dtype", TYPES)
def test_a_model_says_plain_text(dtype: str, tokenizer: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / f"small-{dtype}.gguf", tokenizer, SMALL, dtype)
    greedy = SamplingParams(temperature=0, ignore_eos=True)
    sampled = SamplingParams(temperature=1.5, seed=1, ignore_eos=True)
    with Engine(model, n_parallel=2, n_ctx=128, n_threads=1) as engine:
        first, second = engine.generate(["Once upon a time", "In the garden"], greedy, max_tokens=24)
        third = engine.generate("Once upon a time", sampled, max_tokens=24)
    for result in (first, second, third):
        assert result.usage.completion_tokens == 24
        assert result.text.isascii()
        assert "unused" not in result.text
    assert first.text != second.text


@pytest.mark.parametrize("kind", list(gpu_models.BLOCKS))
def test_weights_are_as_wide_as_asked_and_centred(kind: GGMLQuantizationType) -> None:
    blocks = gpu_models.BLOCKS[kind](np.random.default_rng(0), 4096, 0.02)
    weights = dequantize(blocks.reshape(64, -1), kind)
    assert weights.std() == pytest.approx(0.02, rel=0.06)
    assert abs(weights.mean()) < 0.001


def test_the_shapes_have_llamas_sizes() -> None:
    n_parameters = {name: gpu_models.n_parameters(shape) for name, shape in SHAPES.items()}
    assert n_parameters["1b"] == pytest.approx(1.236e9, rel=0.001)  # Llama 3.2 1B
    assert n_parameters["8b"] == pytest.approx(8.030e9, rel=0.001)  # Llama 3 8B


def test_a_vocabulary_larger_than_the_models_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    shape = Shape(n_layers=1, width=256, n_heads=4, n_kv_heads=2, n_ff=512, n_vocab=1000)
    with pytest.raises(ValueError, match="n_vocab=1000: the tokenizer has 49152 tokens"):
        write_model(tmp_path / "m.gguf", tokenizer, shape, "bf16")


def test_a_server_whose_model_does_not_load_says_why(tiny_model: Path, tmp_path: Path) -> None:
    workload = mixed_measurements("tiny", QUICK)[0].workload
    launch = servers.llamad(tiny_model, workload, ("--memory-budget", "1MiB"))
    with (
        pytest.raises(RuntimeError, match=r"(?s)llamad did not start.*the budget is 0.00 GiB"),
        servers.Server(launch, tmp_path / "log"),
    ):
        pytest.fail("it is not ready")


@pytest.mark.timeout(300)
def test_the_benchmark_runs_on_a_cpu(tokenizer: Path, tmp_path: Path) -> None:
    """Without peers, which are not built for tests."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--only", "models", "--only", "bench"]
    command += ["--only", "profile", "--program", "llamad", "--workload", "decode", "--streams", "1"]
    command += ["--model", "quick-q4_k", "--tokenizer", str(tokenizer), "--out", str(tmp_path / "out")]
    command += ["--build", str(tmp_path / "build"), "--models-directory", str(tmp_path / "models")]
    command += ["--variant=--threads 1", "--minutes", "4"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["failures"] == []
    assert set(content["figures"]) == {"quick-q4_k, 1 x 16, greedy", "quick-q4_k, 1 x 16, sampled"}
    for by_program in content["figures"].values():
        assert set(by_program) == {"llamad", "llamad --threads 1"}
        assert all(run["completion_tokens"] == 16 for runs in by_program.values() for run in runs)
    profiles = {path.name for path in (tmp_path / "out").glob("profile-*.pb.gz")}
    assert profiles == {"profile-quick-q4_k-4-greedy.pb.gz", "profile-quick-q4_k-4-sampled.pb.gz"}
