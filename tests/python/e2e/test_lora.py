"""LoRA adapters: what they change, what is refused, and whose prefixes are whose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from llamad import AsyncEngine, Engine, ModelLoadError, ParameterError, _engine

from tests.python.support import damaged_gguf
from tests.python.support.server_process import wait_until
from tests.python.support.tiny_gguf import TinyModel, finish, write_tiny_model
from tests.python.support.tiny_lora import CHANGED, RANK, start, write_adapter, write_merged

if TYPE_CHECKING:
    from pathlib import Path

    from gguf import GGUFWriter

PROMPT = "count the story of one world and two"
OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 1, "n_threads": 1}


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "adapter.gguf", tiny_model)


def scores(model: Path, *adapters: tuple[Path, float]) -> list[float]:
    """What the model thinks of the tokens of `PROMPT`."""
    with Engine(model, lora_adapters=[(str(path), scale) for path, scale in adapters], **OPTIONS) as engine:
        [result] = engine.choices(PROMPT, n=1, max_tokens=0, prompt_logprobs=0)
    assert result.prompt_logprobs is not None
    return [token.logprob for token in result.prompt_logprobs]


def test_a_scale_of_zero_changes_nothing(tiny_model: Path, adapter: Path) -> None:
    assert scores(tiny_model, (adapter, 0.0)) == scores(tiny_model)


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_an_adapter_does_what_changed_weights_do(
    tiny_model: Path, adapter: Path, tmp_path: Path, scale: float
) -> None:
    merged = write_merged(tmp_path / "merged.gguf", tiny_model, scale=scale)
    adapted = scores(tiny_model, (adapter, scale))
    assert adapted == pytest.approx(scores(merged), abs=0.02)
    assert adapted != pytest.approx(scores(tiny_model), abs=0.5)


def test_adapters_add_up(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(adapter.read_bytes())
    both = scores(tiny_model, (adapter, 0.25), (copy, 0.75))
    assert both == pytest.approx(scores(tiny_model, (adapter, 1.0)), abs=0.02)


def refusal(model: Path, path: Path) -> str:
    with pytest.raises(ModelLoadError) as refused:
        Engine(model, lora_adapters=[(str(path), 1.0)], **OPTIONS)
    message = str(refused.value)
    assert str(path) in message
    config = _engine.EngineConfig(model_path=str(model), lora_adapters=[(str(path), 1.0)])
    with pytest.raises(ModelLoadError) as estimated:
        _engine.estimate_memory(config)
    assert str(estimated.value) == message
    return message


def test_files_that_cannot_be_used(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    other = write_adapter(tmp_path / "other.gguf", tiny_model, architecture="qwen3")
    assert "arch" in refusal(tiny_model, other)
    assert "no such" in refusal(tiny_model, tmp_path / "missing.gguf")
    assert "no LoRA adapter" in refusal(tiny_model, tiny_model)
    assert "is not a GGUF" in refusal(tiny_model, damaged_gguf.write_not_a_gguf(tmp_path / "page.gguf"))
    cut = damaged_gguf.write_truncated_tensors(adapter, tmp_path / "cut.gguf")
    assert "cut off" in refusal(tiny_model, cut)
    wide = write_tiny_model(tmp_path / "wide.gguf", TinyModel(width=128))
    assert "shape" in refusal(wide, adapter)
    shallow = write_tiny_model(tmp_path / "shallow.gguf", TinyModel(n_layers=1))
    assert "does not have" in refusal(shallow, adapter)


def write_hostile(kind: str, writer: GGUFWriter) -> None:
    a, b = np.ones((RANK, 64), dtype=np.float32), np.ones((64, RANK), dtype=np.float32)
    name = CHANGED[0]
    if kind == "invocation":
        writer.add_array("adapter.alora.invocation_tokens", [1, 2])
    elif kind == "integers":
        a = a.astype(np.int32)
    elif kind == "ranks":
        b = np.ones((64, RANK + 1), dtype=np.float32)
    elif kind == "intermediate":
        blocks = np.zeros((RANK, 292), dtype=np.uint8)
        writer.add_tensor(f"{name}.lora_a", blocks, raw_dtype=GGMLQuantizationType.Q8_K)
        return
    elif kind == "cube":
        a = np.ones((2, RANK, 64), dtype=np.float32)
    writer.add_tensor(f"{name}.lora_a", a)
    if kind != "lonely":
        writer.add_tensor(f"{name}.lora_b", b)
    if kind == "stranger":
        writer.add_tensor("something", b)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("invocation", "not supported"),
        ("integers", "cannot be multiplied"),
        ("intermediate", "not one of weights"),
        ("ranks", "shape"),
        ("cube", "shape"),
        ("lonely", "has no blk.0.attn_q.weight.lora_b"),
        ("stranger", "unexpected suffix"),
    ],
)
def test_adapters_that_would_end_the_process(
    tiny_model: Path, tmp_path: Path, kind: str, message: str
) -> None:
    path = tmp_path / "adapter.gguf"
    writer = start(path)
    write_hostile(kind, writer)
    finish(writer)
    assert message in refusal(tiny_model, path)


def test_metadata_of_another_type(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    typed = tmp_path / "typed.gguf"
    writer = start(typed)
    writer.kv_data[0]["adapter.lora.alpha"].value = "six"
    writer.kv_data[0]["adapter.lora.alpha"].type = writer.kv_data[0]["adapter.type"].type
    finish(writer)
    assert "adapter.lora.alpha" in refusal(tiny_model, typed)


@pytest.mark.parametrize(
    ("given", "blamed"),
    [
        ([("", 1.0)], "lora_adapters[0]"),
        ([("a.gguf", 1.0), ("b.gguf", float("nan"))], "lora_adapters[1].scale"),
        ([("a.gguf", 1.0), ("a.gguf", 2.0)], "lora_adapters[1]"),
        ([("a.gguf", 1.0)] * 33, "lora_adapters"),
        ([("a.gguf",)], "lora_adapters"),
        ([("a.gguf", "1")], "lora_adapters"),
        ("a.gguf", "lora_adapters"),
    ],
)
def test_wrong_values_are_named(tiny_model: Path, given: Any, blamed: str) -> None:
    with pytest.raises(ParameterError) as refused:
        Engine(tiny_model, lora_adapters=given, **OPTIONS)
    assert refused.value.param == blamed


def test_prefixes_on_disk_are_kept_apart(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.gguf"
    moved.write_bytes(adapter.read_bytes())
    other = write_adapter(tmp_path / "other.gguf", tiny_model, seed=2)
    kept: list[tuple[Path, float] | None] = [None, (adapter, 1.0), (adapter, 1.0000002), (other, 1.0)]
    same: list[tuple[Path, float] | None] = [(adapter, 0.0), (moved, 1.0)]

    def cached_tokens(case: tuple[Path, float] | None, *, known: bool) -> int:
        adapters = [] if case is None else [(str(case[0]), case[1])]
        cache: dict[str, Any] = {"prefix_cache_dir": str(tmp_path / "cache"), "prefix_cache_mib": 16}
        with Engine(tiny_model, lora_adapters=adapters, **cache, **OPTIONS) as engine:
            if known:
                wait_until(lambda: engine.stats()["prefix_cache_entries"] >= 1, "the state is found")
            return engine.generate(f"{PROMPT} " * 6, max_tokens=2, temperature=0).usage.cached_tokens

    assert [cached_tokens(case, known=False) for case in kept] == [0] * len(kept)
    assert min(cached_tokens(case, known=True) for case in kept + same) > 0


def test_an_engine_on_an_event_loop_takes_them_too(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    async def generate(**options: Any) -> str:
        async with await AsyncEngine.load(tiny_model, **options, **OPTIONS) as engine:
            return (await engine.generate(PROMPT, max_tokens=20, temperature=0)).text

    adapted = asyncio.run(generate(lora_adapters=[(str(adapter), 1.0)]))
    merged = write_merged(tmp_path / "merged.gguf", tiny_model, scale=1.0)
    with Engine(merged, **OPTIONS) as engine:
        assert adapted == engine.generate(PROMPT, max_tokens=20, temperature=0).text
    assert adapted != asyncio.run(generate())
    with pytest.raises(ModelLoadError, match="missing"):
        asyncio.run(generate(lora_adapters=[(str(tmp_path / "missing.gguf"), 1.0)]))
