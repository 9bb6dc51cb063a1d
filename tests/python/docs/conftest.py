"""A directory with the models that the documentation asks for by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.python.clients.placed import place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def named_models(smollm2: Path, minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where "smollm2" and "minilm" are, for `LLAMAD_MODEL_DIRECTORY`."""
    directory = tmp_path_factory.mktemp("named")
    for model in (smollm2, minilm):
        place(model, directory)
    return directory
