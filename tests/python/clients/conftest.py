"""Servers that all clients share: of a model that answers, and of a tiny one that never stops by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

from .placed import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import OpenAI


@pytest.fixture(scope="package")
def server(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of SmolLM2 with 8 slots of 2,048 tokens."""
    directory = tmp_path_factory.mktemp("models")
    place(smollm2, directory)
    flags = ("--n-parallel", "8", "--n-ctx", "2048", *ONE_THREAD)
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(directory, *flags, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="package")
def one_slot(endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model "endless" that runs one request, and lets one wait."""
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ["--n-parallel", "1", "--n-ctx", str(ENDLESS_N_CTX), *ONE_THREAD]
    flags += ["--max-queue", "1", "--preload-model", "endless"]
    with serving(endless_model.parent, *flags, log_path=log_path) as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    """The official client of `server`, without retries."""
    with server.client() as client:
        yield client
