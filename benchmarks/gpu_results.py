"""What was measured on a GPU, written down as it comes, and the time that is left to measure more."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from http.client import HTTPException
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.client import LoadError

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = (
    *(LoadError, TimeoutError, RuntimeError, OSError, ValueError, LookupError, ArithmeticError),
    *(subprocess.SubprocessError, HTTPException),
)
"""What ends one measurement and not the run."""
_SHOWN = ("tokens_per_s", "decode_per_s", "itl_p50_ms", "ttft_p50_ms")


class OutOfTime(Exception):  # noqa: N818 - not an error: the rest is for the next call
    """The time given to the whole run is used up."""


class Deadline:
    """When the whole run should be over."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def bound(self, seconds: float, at_least: float = 5.0) -> float:
        """`seconds`, or what is left if that is less.

        Raises:
            OutOfTime: less than `at_least` is left.
        """
        left = self._end - monotonic()
        if left < at_least:
            raise OutOfTime
        return min(seconds, left)


@dataclass
class Results:
    """What was measured, and a file that always has all of it.

    Attributes:
        path: of the file.
        facts: about machine, versions and settings.
        figures: workload -> program -> figures of each round, by name.
        failures: what did not work, in words.
    """

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, workload: str, program: str, figures: dict[str, float]) -> None:
        """Note one run; an earlier one that failed is forgotten."""
        self.failures = [text for text in self.failures if not text.startswith(f"{workload} · {program}: ")]
        self.figures.setdefault(workload, {}).setdefault(program, []).append(figures)
        rates = ", ".join(f"{name} {figures[name]:,.1f}" for name in _SHOWN if name in figures)
        self._note(f"{workload} · {program}: {rates}")

    def fail(self, what: str, error: BaseException) -> None:
        """Note that something did not work."""
        text = f"{what}: {type(error).__name__}: {error}"
        self.failures.append(text)
        self._note(f"FAILED {text}")

    def take(self, path: Path) -> None:
        """Take in the figures and failures of an earlier run's file."""
        earlier = json.loads(path.read_text())
        for workload, by_program in earlier["figures"].items():
            for program, runs in by_program.items():
                self.figures.setdefault(workload, {}).setdefault(program, []).extend(runs)
        self.failures += earlier["failures"]
        self.facts = earlier["facts"] | self.facts

    def save(self) -> None:
        """Write the file; it is replaced in one step."""
        partial = self.path.with_suffix(".partial")
        content = {"facts": self.facts, "figures": self.figures, "failures": self.failures}
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self.path)

    def _note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        self.save()
