"""The model directory: what is listed, loading on the first request, files that cannot be loaded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.python.support.damaged_gguf import (
    write_not_a_gguf,
    write_truncated_header,
    write_truncated_tensors,
)
from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
DAMAGED = ("not-a-model", "cut-in-the-header", "cut-in-the-tensors")


@pytest.fixture(scope="module")
def mixed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A directory with sound, nested, split and damaged models."""
    directory = tmp_path_factory.mktemp("models")
    (directory / "family").mkdir()
    sound = write_tiny_model(directory / "sound.gguf")
    write_tiny_model(directory / "family" / "nested.gguf", TinyModel(seed=2))
    write_tiny_model(directory / "family" / "split.gguf", TinyModel(seed=3, shards_of=8))
    write_not_a_gguf(directory / "not-a-model.gguf")
    write_truncated_header(sound, directory / "cut-in-the-header.gguf")
    write_truncated_tensors(sound, directory / "cut-in-the-tensors.gguf")
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(directory, "--n-ctx", "512", *ONE_THREAD, log_path=log_path) as server:
        yield server


def complete(server: ServerProcess, model: str) -> int:
    with server.client() as client:
        completion = client.chat.completions.create(model=model, messages=HELLO, max_tokens=4, temperature=0)
    assert completion.usage is not None
    return completion.usage.completion_tokens


def test_models_of_subfolders_and_split_models_are_listed(mixed_server: ServerProcess) -> None:
    with mixed_server.client() as client:
        listed = {model.id for model in client.models.list()}
        assert client.models.retrieve("split").id == "split"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("absent")
    assert {"sound", "nested", "split"} <= listed
    assert not any("00001" in name for name in listed)


@pytest.mark.parametrize("model", ["sound", "nested", "split"])
def test_each_sound_model_answers(mixed_server: ServerProcess, model: str) -> None:
    assert complete(mixed_server, model) == 4


@pytest.mark.parametrize("model", DAMAGED)
def test_a_damaged_file_is_a_clear_error_and_harms_no_other_model(
    mixed_server: ServerProcess, model: str
) -> None:
    for _ in range(2):
        with mixed_server.client() as client, pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=model, messages=HELLO, max_tokens=4)
        assert caught.value.code == "model_load_failed"
    mixed_server.wait_for_log(f"{model}.gguf")
    assert complete(mixed_server, "sound") == 4


def test_many_first_requests_load_a_model_once(tiny_model: Path, tmp_path: Path) -> None:
    async def ask_at_once(server: ServerProcess) -> list[Any]:
        async with server.async_client() as client:
            requests = (
                client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4, temperature=0)
                for _ in range(16)
            )
            return await asyncio.gather(*requests)

    with serving(tiny_model.parent, *ONE_THREAD, log_path=tmp_path / "server.log") as server:
        answers = asyncio.run(ask_at_once(server))
        assert len({answer.choices[0].message.content for answer in answers}) == 1
        assert server.log.count("loading tiny") == 1


def test_no_model_is_loaded_before_it_is_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    with serving(tiny_model.parent, *ONE_THREAD, log_path=tmp_path / "server.log") as server:
        with server.client() as client:
            assert [model.id for model in client.models.list()] == ["tiny"]
        assert "loading tiny" not in server.log
        assert complete(server, "tiny") == 4
        server.wait_for_log("loading tiny")
