"""What `--benchmark-json` says of machine and commit: what a baseline in the tree may tell everybody."""

from __future__ import annotations

import platform
from typing import Any

from benchmarks.report import machine


def pytest_benchmark_generate_machine_info() -> dict[str, str]:
    """The hardware, without the name of the machine."""
    return {"machine": machine(), "python": platform.python_version()}


def pytest_benchmark_generate_commit_info() -> dict[str, str]:
    """Nothing: the commit that holds the file says it."""
    return {}


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Leave the single rounds away: their quartiles are enough to compare with."""
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)
