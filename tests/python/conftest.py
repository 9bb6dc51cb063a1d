"""Fixtures that more than one folder of tests uses: models, written or pulled once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.python.support.tiny_embedders import MINILM_FILE
from tests.python.support.tiny_gguf import ENDLESS_N_CTX, SMOLLM2_FILE, TinyModel, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure() -> None:
    """Let compute threads sleep while they wait, where tests run beside each other.

    OpenMP's spin by default, and two engines of as many threads as there are cores then take these from each
    other: on two busy cores what takes 25 s took over 110. libgomp reads this when the first engine loads it.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of half a megabyte, alone in its directory; its id is "tiny"."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a context of `ENDLESS_N_CTX` tokens; its id is "endless"."""
    path = tmp_path_factory.mktemp("endless") / "endless.gguf"
    return write_tiny_model(path, TinyModel(n_ctx_train=ENDLESS_N_CTX))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The default model in `models/`, pulled where it is not there yet."""
    return _pulled("smollm2", ROOT / "models" / SMOLLM2_FILE)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The embedding model of the catalog, alone in a folder where nobody looks for models to serve."""
    return _pulled("minilm", ROOT / "models" / ".tests" / MINILM_FILE)


def _pulled(name: str, path: Path) -> Path:
    if path.exists():
        return path
    lock_path = ROOT / ".cache" / f"{name}.lock"
    lock_path.parent.mkdir(exist_ok=True)
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # under pytest-xdist several processes ask for it at once
        if not path.exists():
            command = [sys.executable, "-m", "llamad", "pull", name, "--model-directory", str(path.parent)]
            subprocess.run(command, check=True, timeout=600)
    return path
