from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from gguf import GGUFWriter
from llamad import _engine
from llamad.errors import EngineClosedError, InvalidModelError, ModelNotFoundError
from llamad.models import metadata
from llamad.models.metadata import cached_metadata, read_metadata

from tests.python.support.damaged_gguf import write_not_a_gguf, write_truncated_header
from tests.python.support.tiny_embedders import N_CTX, WIDTH, write_embedder
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model
from tests.python.support.tiny_kinds import write_kind

if TYPE_CHECKING:
    from pathlib import Path


def write_header(path: Path, architecture: str, **integers: int) -> Path:
    """Write a model without tensors."""
    writer = GGUFWriter(path, architecture)
    for name, value in integers.items():
        writer.add_uint32(name.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_what_a_header_says(tiny_model: Path) -> None:
    metadata = read_metadata(tiny_model)
    assert metadata is not None
    assert metadata.architecture == "llama"
    assert (metadata.name, metadata.quantization) == ("tiny", "F32")
    assert (metadata.n_ctx_train, metadata.n_embd) == (2048, 64)
    assert (metadata.pooling, metadata.kind, metadata.has_chat_template) == ("none", "generate", True)
    assert metadata.n_params > 2 * 64 * 64


@pytest.mark.parametrize(
    ("kind", "pooling", "made_for"),
    [
        ("mean", "mean", "embed"),
        ("cls", "cls", "embed"),
        ("rank", "rank", "rerank"),
        ("causal-last", "last", "embed"),
    ],
)
def test_the_pooling_says_what_a_model_is_made_for(
    tmp_path: Path, kind: str, pooling: str, made_for: str
) -> None:
    metadata = read_metadata(write_embedder(kind, tmp_path / "model.gguf"))
    assert metadata is not None
    assert (metadata.pooling, metadata.kind) == (pooling, made_for)
    assert (metadata.n_ctx_train, metadata.n_embd, metadata.has_chat_template) == (
        N_CTX,
        WIDTH,
        kind.startswith("causal"),
    )


@pytest.mark.parametrize("kind", ["window", "recurrent", "hybrid"])
def test_models_without_a_pooling_generate(tmp_path: Path, kind: str) -> None:
    metadata = read_metadata(write_kind(kind, tmp_path / "model.gguf"))
    assert metadata is not None
    assert metadata.kind == "generate"


def test_an_encoder_without_a_pooling_embeds_by_the_mean(tmp_path: Path) -> None:
    metadata = read_metadata(write_header(tmp_path / "model.gguf", "bert", bert__embedding_length=384))
    assert metadata is not None
    assert (metadata.kind, metadata.pooling, metadata.n_embd) == ("embed", "mean", 384)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "F32"),
        (1, "F16"),
        (3, "Q4_1"),
        (15, "Q4_K_M"),
        (14, "Q4_K_S"),
        (13, "Q3_K_L"),
        (30, "IQ4_XS"),
        (18, "Q6_K"),
    ],
)
def test_quantizations_have_their_customary_names(tmp_path: Path, number: int, name: str) -> None:
    metadata = read_metadata(write_header(tmp_path / "model.gguf", "llama", general__file_type=number))
    assert metadata is not None
    assert metadata.quantization == name


def test_values_of_another_type_count_as_absent(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_string("llama.context_length", "many")
    writer.add_uint32("general.name", 7)
    writer.add_array("llama.pooling_type", [1, 2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    metadata = read_metadata(tmp_path / "model.gguf")
    assert metadata is not None
    assert (metadata.name, metadata.n_ctx_train, metadata.kind) == ("", 0, "generate")


def test_a_split_model_counts_all_parts(tmp_path: Path) -> None:
    whole = read_metadata(write_tiny_model(tmp_path / "whole.gguf"))
    split = read_metadata(write_tiny_model(tmp_path / "split.gguf", TinyModel(shards_of=8)))
    assert whole is not None
    assert split is not None
    assert split.n_params == whole.n_params


@pytest.mark.parametrize("write", [write_not_a_gguf, write_truncated_header, None])
def test_what_cannot_be_read(
    tiny_model: Path, tmp_path: Path, write: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.gguf"
    if write is write_truncated_header:
        write(tiny_model, path)
    elif write is not None:
        write(path)
    with pytest.raises((InvalidModelError, ModelNotFoundError), match=r"model\.gguf"):
        _engine.read_metadata(str(path))
    assert read_metadata(path) is None
    assert read_metadata(path) is None
    assert len(caplog.messages) == 1, "llama.cpp's own lines do not say which file, and once is enough"
    assert str(path) in caplog.text


def test_a_file_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_embedder("mean", tmp_path / "model.gguf")
    assert cached_metadata(path) is None
    first = read_metadata(path)
    monkeypatch.setattr(_engine, "read_metadata", lambda _: pytest.fail("it was read again"))
    assert read_metadata(path) is first
    assert cached_metadata(path) is first
    monkeypatch.undo()
    os.utime(path, ns=(1, 1))
    assert cached_metadata(path) is None
    assert read_metadata(path) == first


def test_a_header_is_read_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_embedder("mean", tmp_path / "embedder.gguf")
    gate, reads = threading.Event(), []

    def slow(asked: Path) -> metadata.ModelMetadata | None:
        reads.append(asked)
        gate.wait(30)
        return read_metadata(asked)

    async def scenario() -> None:
        monkeypatch.setattr(metadata, "read_metadata", slow)
        headers = metadata.Headers()
        leaver, *others = (asyncio.create_task(headers.read(path)) for _ in range(3))
        await asyncio.sleep(0)
        leaver.cancel()
        gate.set()
        kinds = [one.kind for one in await asyncio.gather(*others) if one is not None]
        assert kinds == ["embed", "embed"]
        assert reads == [path]
        headers.close()
        assert await headers.read(path) is not None, "what is known needs no reading"
        with pytest.raises(EngineClosedError):
            await headers.read(tmp_path / "other.gguf")

    asyncio.run(scenario())
