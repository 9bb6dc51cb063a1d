"""`llamad batch` as its users run it, and files for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.python.support.server_process import ONE_THREAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TIMEOUT_S = 100.0
"""Bounds every run; none comes near it."""


def batch_command(models: Path, source: Path | str, target: Path | str, *flags: str) -> list[str]:
    """Return the command line that answers a file with the models of a directory."""
    command = [sys.executable, "-m", "llamad", "batch", str(source), "-o", str(target)]
    return [*command, "--model-directory", str(models), "--n-ctx", "512", *ONE_THREAD, *flags]


def run_batch(
    models: Path, source: Path | str, target: Path | str, *flags: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Answer a file, or what is `given` as standard input."""
    command = batch_command(models, source, target, *flags)
    return subprocess.run(command, input=given, capture_output=True, timeout=TIMEOUT_S, check=False)


def write_requests(path: Path, requests: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Write a file of requests: custom_id, url, body."""
    path.write_text(
        "".join(
            json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}) + "\n"
            for custom_id, url, body in requests
        ),
        encoding="utf-8",
    )


def answers(path: Path) -> list[dict[str, Any]]:
    """Read a file of answers, each of whose lines must be whole."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def counted(path: Path) -> Counter[str | None]:
    """Count the answers by their custom_ids."""
    return Counter(answer["custom_id"] for answer in answers(path))
