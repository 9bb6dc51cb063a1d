"""Servers that several tests share; tests that end or flood a server start their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRUSTING = "--trust-request-chat-template"


@pytest.fixture(scope="module")
def tiny_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model "tiny" with 4 slots of 512 tokens."""
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-ctx", "512", TRUSTING, *ONE_THREAD)
    with serving(tiny_model.parent, *flags, log_path=log_path) as server:
        yield server


@pytest.fixture(scope="module")
def smollm2_server(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of SmolLM2 with 8 slots of 1,024 tokens."""
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-parallel", "8", "--n-ctx", "1024", TRUSTING, *ONE_THREAD)
    with serving(smollm2.parent, *flags, log_path=log_path) as server:
        yield server
