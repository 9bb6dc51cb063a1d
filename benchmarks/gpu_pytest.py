"""A pytest plugin for machines without a network: it leaves out the tests of models that would be pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.python.conftest import ROOT
from tests.python.support.tiny_embedders import MINILM_FILE
from tests.python.support.tiny_gguf import SMOLLM2_FILE

if TYPE_CHECKING:
    import pytest

_PULLED = {"smollm2": ROOT / "models" / SMOLLM2_FILE, "minilm": ROOT / "models" / ".tests" / MINILM_FILE}
"""Fixtures that pull a model, and where it lies once pulled."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of models that are not here."""
    missing = {name for name, path in _PULLED.items() if not path.exists()}
    left_out = [item for item in items if missing.intersection(getattr(item, "fixturenames", ()))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
