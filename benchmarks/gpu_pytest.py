"""A pytest plugin for machines without a network: it leaves out the tests of what is not there."""

from __future__ import annotations

import sys

import pytest

from tests.python.conftest import ROOT
from tests.python.support.tiny_embedders import MINILM_FILE
from tests.python.support.tiny_gguf import SMOLLM2_FILE

_PULLED = {"smollm2": ROOT / "models" / SMOLLM2_FILE, "minilm": ROOT / "models" / ".tests" / MINILM_FILE}
"""Fixtures that pull a model, and where it lies once pulled."""
_LEFT_AT_HOME = ("nbclient", "nbformat", "pandas")
"""Packages that tests import and `benchmarks.gpu_bundle` leaves out for their size."""


class LeftAtHome:
    """Asked for a package that nobody has found; skips the test, or the file of tests, that needs it."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Find nothing."""
        if fullname in _LEFT_AT_HOME:
            pytest.skip(f"{fullname} is not here", allow_module_level=True)


def pytest_configure() -> None:
    """Be the last that is asked for a package."""
    sys.meta_path.append(LeftAtHome())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of models that are not here."""
    missing = {name for name, path in _PULLED.items() if not path.exists()}
    left_out = [item for item in items if missing.intersection(getattr(item, "fixturenames", ()))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
