"""What a model is said to take of memory, and what it takes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from llamad import InvalidModelError, ModelLoadError, ModelNotFoundError, _engine
from llamad.errors import TruncatedModelError

from tests.python.support import damaged_gguf
from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_kinds import write_kind
from tests.python.support.tiny_lora import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

MIB = 1 << 20
ON_HOST: dict[str, Any] = {"n_gpu_layers": 0}

ENGINE = """
import json, sys
from pathlib import Path
from llamad import _engine
from llamad.sampling import SamplingParams

def resident(kind):
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields[kind].split()[0]) * 1024

options = json.loads(sys.argv[1])
config = _engine.EngineConfig(**options)
_engine.devices()
before = resident("RssAnon")
engine = _engine.Engine(config)
n_parallel = engine.info.n_parallel
n_tokens = engine.info.n_ctx // (n_parallel if options.get("kv_unified") else 1)
# As many rows of logits as there may be, and all the tokens that there is room for.
scored, plain = SamplingParams(max_tokens=1, prompt_logprobs=0).native, SamplingParams(max_tokens=1).native
prompts = [[i + 9, *[5] * (n_tokens - 3)] for i in range(n_parallel)]
engine.submit(engine.prepare([4] * 150, scored), *[engine.prepare(prompt, plain) for prompt in prompts])
left = n_parallel + 1
while left:
    engine.wait(10)
    left -= sum(event[4] is not None for event in engine.drain())
print(resident("RssAnon") - before)
engine.close()
"""

EMBEDDER = """
import json, select, sys
from pathlib import Path
from llamad import _engine

def resident(kind):
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields[kind].split()[0]) * 1024

config = _engine.EmbedderConfig(**json.loads(sys.argv[1]))
_engine.devices()
before = resident("RssAnon")
embedder = _engine.Embedder(config)
embedder.submit(embedder.prepare([[5] * embedder.info.n_ctx]))
select.select([embedder.fileno()], [], [], 120)
[end] = embedder.drain()
assert not end.error_message, end.error_message
print(resident("RssAnon") - before)
embedder.close()
"""


def measured(program: str, options: dict[str, Any]) -> int:
    """Bytes of anonymous memory that loading and working take, in a process of its own."""
    command = [sys.executable, "-c", program, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def estimate(config: _engine.EngineConfig | _engine.EmbedderConfig) -> dict[str, int]:
    """What is taken of the machine's memory; all of it, for the models here are put on no GPU."""
    [host] = [entry for entry in _engine.estimate_memory(config) if entry.pop("device") == "CPU"]
    return host


def memory_peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def total(estimated: dict[str, int]) -> int:
    return estimated["weights"] + estimated["context"] + estimated["compute"]


@pytest.mark.parametrize(
    "options",
    [
        {"n_ctx": 256, "n_parallel": 1},
        {"n_ctx": 768, "n_parallel": 2},
        {"n_ctx": 256, "n_parallel": 6, "cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"},
        {"n_ctx": 1024, "n_parallel": 4, "kv_unified": True, "n_ubatch": 128},
    ],
)
def test_it_is_what_a_model_takes(smollm2: Path, options: dict[str, Any]) -> None:
    alike: dict[str, Any] = {"use_mmap": False, "prefix_cache_mib": 0, "n_threads": 1, **ON_HOST}
    given = {"model_path": str(smollm2), **alike, **options}
    estimated = total(estimate(_engine.EngineConfig(**given)))
    taken = measured(ENGINE, given)
    # Not all of a buffer need be touched; graphs, threads and what Python does are not in the estimate.
    assert estimated * 0.93 < taken < estimated * 1.05 + 10 * MIB


def test_it_is_what_an_embedder_takes(minilm: Path) -> None:
    given: dict[str, Any] = {"model_path": str(minilm), "use_mmap": False, "n_threads": 1, **ON_HOST}
    estimated = total(estimate(_engine.EmbedderConfig(**given)))
    assert estimated * 0.9 < measured(EMBEDDER, given) < estimated * 1.05 + 10 * MIB


def test_a_context_that_could_not_even_be_described_is_refused_at_once(tiny_model: Path) -> None:
    free = _engine.devices()[0]["free"]
    n_ctx = min(free // 48 // 2 * 3, 2**31 - 1)  # llama.cpp notes 48 bytes of each cell, and fills them
    if n_ctx * 48 < free * 1.2:
        pytest.skip("this machine can describe any context")
    before = memory_peak()
    config = _engine.EngineConfig(model_path=str(tiny_model), n_ctx=n_ctx, n_parallel=1, **ON_HOST)
    with pytest.raises(ModelLoadError, match=rf"1 slots of {n_ctx} tokens .* lower n_ctx or n_parallel"):
        _engine.estimate_memory(config)
    assert memory_peak() - before < 256 * MIB


def test_its_parts(smollm2: Path) -> None:
    def part(**options: Any) -> dict[str, int]:
        return estimate(_engine.EngineConfig(model_path=str(smollm2), **ON_HOST, **options))

    small, long, wide = (
        part(n_ctx=1024, n_parallel=1),
        part(n_ctx=4096, n_parallel=1),
        part(n_ctx=1024, n_parallel=4),
    )
    size = smollm2.stat().st_size
    for one in (small, long, wide):
        assert 0 < one["weights"] - size < 25 * MIB  # the vocabulary
        assert 0 < one["free"] <= one["total"]
    # 30 layers, 3 heads of 64 for keys and for values, 2 bytes each
    assert long["context"] - small["context"] == 3072 * 30 * 2 * 3 * 64 * 2
    assert wide["context"] - long["context"] == 3 * 49_152 * 4  # three rows of logits more
    halved = part(n_ctx=4096, n_parallel=1, cache_type_k="q8_0", cache_type_v="q8_0")
    assert halved["context"] < long["context"] * 0.7
    assert part(n_ctx=1024, n_parallel=1, n_ubatch=64)["compute"] < small["compute"]


def test_adapters_are_weights(tiny_model: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny_model)
    plain = estimate(_engine.EngineConfig(model_path=str(tiny_model), **ON_HOST))
    adapted = estimate(
        _engine.EngineConfig(model_path=str(tiny_model), lora_adapters=[(str(adapter), 1.0)], **ON_HOST)
    )
    assert adapted["weights"] - plain["weights"] == 3 * 4 * (64 + 64 + 64 + 128 + 64 + 64)


@pytest.mark.parametrize("kind", ["window", "recurrent", "hybrid"])
def test_other_kinds_of_memory(tmp_path: Path, kind: str) -> None:
    path = write_kind(kind, tmp_path / "model.gguf")
    one, four = (
        estimate(_engine.EngineConfig(model_path=str(path), n_ctx=512, n_parallel=n, **ON_HOST))
        for n in (1, 4)
    )
    assert one["weights"] == four["weights"] > 0
    assert one["context"] < four["context"]


@pytest.mark.parametrize("kind", ["mean", "rank", "causal-last"])
def test_other_kinds_of_models(tmp_path: Path, kind: str) -> None:
    path = write_embedder(kind, tmp_path / "model.gguf")
    config = _engine.EmbedderConfig(model_path=str(path), **ON_HOST)
    assert min(estimate(config)[part] for part in ("weights", "context", "compute")) > 0


def test_files_that_are_no_models(tiny_model: Path, minilm: Path, tmp_path: Path) -> None:
    def refuse(error: type[Exception], path: Path) -> None:
        with pytest.raises(error, match=path.name):
            _engine.estimate_memory(_engine.EngineConfig(model_path=str(path)))

    refuse(ModelNotFoundError, tmp_path / "missing.gguf")
    refuse(InvalidModelError, damaged_gguf.write_not_a_gguf(tmp_path / "page.gguf"))
    refuse(InvalidModelError, damaged_gguf.write_truncated_header(tiny_model, tmp_path / "head.gguf"))
    refuse(TruncatedModelError, damaged_gguf.write_truncated_tensors(tiny_model, tmp_path / "cut.gguf"))
    refuse(ModelLoadError, minilm)


def test_devices() -> None:
    [cpu, *others] = _engine.devices()
    assert cpu["name"] == "CPU"
    assert cpu["description"]
    assert 0 < cpu["free"] <= cpu["total"]
    assert all(device["total"] > 0 for device in others)
