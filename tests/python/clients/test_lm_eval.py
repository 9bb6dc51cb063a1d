"""lm-evaluation-harness on two tasks of our own, over HTTP and in its own process; no downloads."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .questions import MODEL

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

TASKS = Path(__file__).resolve().parent / "tasks"
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def report(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that lm-eval has written results and samples to, of a server's answers."""
    arguments = f"model={MODEL},base_url={server.url}/v1/completions,num_concurrent=4,max_length=512"
    return evaluated("lm_eval", "local-completions", arguments, tmp_path_factory.mktemp("lm-eval"))


@pytest.fixture(scope="module")
def report_in_process(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a model in lm-eval's own process."""
    arguments = f"pretrained={smollm2},max_length=512,n_ctx=1024,n_threads=1"
    folder = tmp_path_factory.mktemp("lm-eval-in-process")
    return evaluated("llamad.integrations.lm_eval", "llamad", arguments, folder)


def evaluated(module: str, model: str, arguments: str, output: Path) -> Path:
    command = [sys.executable, "-m", module, "run", "--model", model]
    command += ["--model_args", arguments, "--include_path", str(TASKS), "--log_samples"]
    command += ["--tasks", "llamad_choices,llamad_last_words", "--output_path", str(output)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(output / "cache"), "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command,
        cwd=TASKS,  # the tasks name their data by relative paths
        env=os.environ | offline,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return output


def results(report: Path) -> dict[str, Any]:
    (path,) = report.rglob("results_*.json")
    found: dict[str, Any] = json.loads(path.read_text())["results"]
    return found


def samples(report: Path, task: str) -> list[dict[str, Any]]:
    (path,) = report.rglob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_easy_questions_are_answered(report: Path) -> None:
    assert results(report)["llamad_choices"]["acc,none"] >= 0.75


def test_the_greedy_words_are_recognised(report: Path) -> None:
    # Whether a continuation is the greedy one is told from the top log-probabilities.
    outcome = results(report)["llamad_last_words"]
    assert outcome["acc,none"] >= 0.5
    assert outcome["perplexity,none"] < 10


def test_log_likelihoods_are_those_of_the_echoed_prompt(report: Path, client: OpenAI) -> None:
    for sample in samples(report, "llamad_last_words"):
        context, continuation = sample["doc"]["context"], f" {sample['doc']['last_word']}"
        echoed = client.completions.create(
            model=MODEL, prompt=context + continuation, echo=True, logprobs=1, max_tokens=0
        )
        logprobs = echoed.choices[0].logprobs
        assert logprobs is not None
        values = zip(logprobs.text_offset or [], logprobs.token_logprobs or [], strict=True)
        expected = math.fsum(value or 0.0 for offset, value in values if offset >= len(context))
        ((found, _),) = sample["resps"][0]
        assert float(found) == pytest.approx(expected, abs=0.1)


def test_a_sample_that_the_model_would_end_keeps_its_last_token(report: Path) -> None:
    # lm-eval drops the last entry as that of the generated token, here an end-of-generation token: were it
    # not listed, the probability of the last word would be dropped in its place.
    ended = next(
        sample for sample in samples(report, "llamad_last_words") if "im_start" in sample["doc"]["context"]
    )
    ((value, greedy),) = ended["resps"][0]
    assert greedy in {True, "True"}
    assert -2 < float(value) < 0


@pytest.mark.parametrize("task", ["llamad_choices", "llamad_last_words"])
def test_a_model_in_the_harness_s_own_process_gives_the_same_numbers(
    report: Path, report_in_process: Path, task: str
) -> None:
    assert results(report_in_process)[task]["acc,none"] == results(report)[task]["acc,none"]
    for here, there in zip(samples(report_in_process, task), samples(report, task), strict=True):
        assert here["doc"] == there["doc"]
        for ((value, greedy),), ((expected, was_greedy),) in zip(here["resps"], there["resps"], strict=True):
            assert float(value) == pytest.approx(float(expected), abs=0.1)  # batches round differently
            assert str(greedy) == str(was_greedy)
