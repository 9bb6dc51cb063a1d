"""`Engine.generate` beside llama-cpp-python's `Llama` in a loop: `python -m benchmarks.in_process`.

The same prompts, completed greedily with the same threads, batch sizes and context per prompt, by the same
llama.cpp. Each run is a process of its own; the programs take turns and alternate who goes first.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.build_peers import LLAMA_CPP_PYTHON, build_llama_cpp_python
from benchmarks.figures import DecodeFigures, Figures
from benchmarks.in_process_loops import Job, Outcome
from benchmarks.models import ROOT, model_path
from benchmarks.prompts import random_words
from benchmarks.report import Report, progress
from benchmarks.servers import N_BATCH, N_UBATCH, usable_cores
from benchmarks.targets import SUBJECT, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S = 900.0

NOTES = """\
Each program runs in a process of its own for each workload and round: it loads the model, completes a few
other prompts, and then the workload's, all greedily; figures are medians over the rounds, ratios llamad by
its peer. Tokens are those of the completions, by the time from the first prompt until the last completion,
so that computing the prompts counts against both. llama-cpp-python computes one prompt at a time and keeps
the last one's cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts that are completed greedily.

    Attributes:
        name: row title.
        model: "smollm2" or "smollm2-q4_0".
        prompts: how many.
        shared_words: length of an instruction that all begin with, in words, each of which is a token.
        own_words: length of what follows, different in each.
        max_tokens: tokens of each completion, unless it ends earlier.
        n_ctx: tokens that one prompt and its completion have room for.
        slots: of llamad.
        targets: what llamad should reach.
    """

    name: str
    model: str
    prompts: int
    shared_words: int = 0
    own_words: int = 8
    max_tokens: int = 64
    n_ctx: int = 512
    slots: int = 32
    targets: tuple[Target, ...] = ()

    def job(self, seed: int, n_threads: int) -> Job:
        """What both programs are given; the same seed gives the same prompts."""
        return Job(
            model=str(model_path(self.model)),
            warm_up=self._texts(-1, self.slots, shared_words=0),
            prompts=self._texts(seed, self.prompts, self.shared_words),
            max_tokens=self.max_tokens,
            n_ctx=self.n_ctx,
            n_batch=N_BATCH,
            n_ubatch=N_UBATCH,
            n_threads=n_threads,
            n_parallel=min(self.slots, self.prompts),
        )

    def _texts(self, seed: int, count: int, shared_words: int) -> list[str]:
        rng = random.Random(f"in process/{seed}")
        instruction = f"{random_words(rng, shared_words)}. " if shared_words else ""
        return [f"{instruction}A story of {random_words(rng, self.own_words)}:" for _ in range(count)]


def _batches() -> tuple[Batch, ...]:
    faster = {"smollm2": 1.6, "smollm2-q4_0": 3.3}
    pairs = []
    for model, ratio in faster.items():
        targets = (Target("tokens_per_s", ratio, better="higher"),)
        pairs += [
            Batch(f"{model}, 32 prompts", model, prompts=32, targets=targets),
            Batch(
                f"{model}, 200 prompts, shared instruction", model, prompts=200, shared_words=500,
                n_ctx=768, targets=targets,
            ),
        ]  # fmt: skip
    return tuple(pairs)


BATCHES = _batches()


def run(program: str, python: Path, job: Job) -> Outcome:
    """Run one program once.

    Raises:
        CalledProcessError: it failed; the reason stands on standard error.
    """
    command = [str(python), "-m", "benchmarks.in_process_loops", program]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, input=json.dumps(asdict(job)),
        timeout=_TIMEOUT_S, cwd=ROOT,
    )  # fmt: skip
    return Outcome(**json.loads(done.stdout))


def compare(batch: Batch, pythons: dict[str, Path], rounds: int, n_threads: int) -> dict[str, list[Figures]]:
    """Run a batch `rounds` times on each program, in turn, alternating who goes first."""
    figures: dict[str, list[Figures]] = {program: [] for program in pythons}
    for index in range(rounds):
        job = batch.job(index, n_threads)
        outcomes = {}
        for program in list(pythons)[:: 1 if index % 2 == 0 else -1]:
            outcomes[program] = outcome = run(program, pythons[program], job)
            one = DecodeFigures(outcome.completion_tokens / outcome.wall_s, outcome.wall_s)
            figures[program].append(one)
            prefix = f"{batch.name} · round {index + 1} · {program}"
            _say(f"{prefix}: {progress(one)}, tokens {outcome.completion_tokens:,}")
        if len(outcomes) > 1:
            _say(f"{batch.name} · round {index + 1} · {alike(*outcomes.values())}")
    return figures


def alike(one: Outcome, other: Outcome) -> str:
    """How many of the texts are the same.

    Not all: a row of a batch and one that is computed alone differ in their last digits, and a greedy text
    may go another way from there.

    Raises:
        RuntimeError: the programs did not read the same prompts, or one made far fewer tokens.
    """
    if one.prompt_tokens != other.prompt_tokens:
        raise RuntimeError(f"one read {one.prompt_tokens} prompt tokens, the other {other.prompt_tokens}")
    fewer, more = sorted((one.completion_tokens, other.completion_tokens))
    if fewer < 0.95 * more:
        raise RuntimeError(f"one made {fewer} tokens, the other {more}: their rates do not compare")
    same = sum(a == b for a, b in zip(one.texts, other.texts, strict=True))
    return f"texts alike: {same} of {len(one.texts)}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quick(batch: Batch) -> Batch:
    return replace(
        batch, prompts=4, slots=4, shared_words=min(batch.shared_words, 40), max_tokens=8, targets=()
    )


def _chosen(only: Sequence[str] | None) -> list[Batch]:
    return [batch for batch in BATCHES if not only or any(text in batch.name for text in only)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_process", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="runs of each program (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of few tokens, as a smoke test")
    parser.add_argument("--only", action="append", metavar="TEXT", help="only batches whose name has TEXT")
    parser.add_argument("--program", choices=(LLAMA_CPP_PYTHON, SUBJECT), help="one only (default: both)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="default: %(default)s")
    parser.add_argument("--slots", type=int, help="of llamad (default: 32)")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="append the section to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not _chosen(arguments.only):
        names = "\n  ".join(batch.name for batch in BATCHES)
        parser.error(f"nothing to run; the batches are:\n  {names}")
    return arguments


def _programs(only: str | None) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter of each program, the peer's first, and its version in words."""
    import llamad._engine as native  # noqa: PLC0415 - not needed to say what the options are

    pythons, versions = {}, {}
    if only != SUBJECT:
        pythons[LLAMA_CPP_PYTHON] = build_llama_cpp_python()
        pin = json.loads((ROOT / "cmake" / "llama_cpp_pin.json").read_text())
        versions[LLAMA_CPP_PYTHON] = f"{pin['version']}, built from source with llamad's options"
    if only != LLAMA_CPP_PYTHON:
        pythons[SUBJECT] = Path(sys.executable)
        version = importlib.metadata.version("llamad")
        versions[SUBJECT] = f"{version}, llama.cpp {native.llama_cpp_commit}"
    return pythons, versions


def main() -> int:
    """Run the comparison and print its tables."""
    arguments = _arguments()
    pythons, versions = _programs(arguments.program)
    result = Report(versions, quick=arguments.quick, notes=NOTES)
    for chosen in _chosen(arguments.only):
        batch = replace(chosen, slots=arguments.slots or chosen.slots)
        batch = _quick(batch) if arguments.quick else batch
        rounds = 1 if arguments.quick else arguments.rounds
        result.add(batch, compare(batch, pythons, rounds, arguments.threads))
    print(result.markdown())
    if arguments.markdown:
        with arguments.markdown.open("a") as results_file:
            results_file.write("\n" + result.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
