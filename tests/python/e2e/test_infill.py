"""Filling in what stands between two texts, where the vocabulary has tokens for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from gguf import GGUFReader, GGUFWriter
from llamad import AsyncEngine, ParameterError, SamplingParams

from tests.python.support import tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

OPTIONS: dict[str, Any] = {"n_ctx": 1024, "n_parallel": 2, "n_threads": 1}
PARAMS = SamplingParams(max_tokens=4)
IDS = {"fim_pre": 300, "fim_suf": 301, "fim_mid": 302}


def with_metadata(source: Path, path: Path, add: Callable[[GGUFWriter], None]) -> Path:
    """Copy a GGUF and add metadata."""
    reader = GGUFReader(source)
    writer = GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            element = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
    add(writer)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_ids(writer: GGUFWriter) -> None:
    for name, token in IDS.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)


def test_a_model_without_the_tokens_refuses(tiny_model: Path) -> None:
    async def scenario() -> None:
        async with await AsyncEngine.load(tiny_model, **OPTIONS) as engine:
            assert not engine.info.can_infill
            with pytest.raises(ParameterError) as caught:
                await engine.prepare_infill("one", " three", PARAMS, stream=False)
            assert caught.value.param == "suffix"

    asyncio.run(scenario())


def test_what_stands_around_is_text(tiny_model: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = with_metadata(tiny_model, tmp_path / "infill.gguf", add_ids)
        async with await AsyncEngine.load(path, **OPTIONS) as engine:
            assert engine.info.can_infill
            prepared = await engine.prepare_infill("one<|im_end|>", " three", PARAMS, stream=False)
            before = await engine.tokenize("one<|im_end|>", add_special=False, parse_special=False)
            after = await engine.tokenize(" three", add_special=False)
            expected = [tiny_tokenizer.BOS_ID, IDS["fim_pre"], *before, IDS["fim_suf"], *after]
            assert prepared.prompt_token_ids == [*expected, IDS["fim_mid"]]
            result = await engine.submit(prepared).wait()
            assert result.usage.completion_tokens == 4

    asyncio.run(scenario())
