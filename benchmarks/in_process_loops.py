"""The two programs that `benchmarks.in_process` compares: what a user of either library would write.

Each runs in a process of its own, with the interpreter that has its library, takes a `Job` as JSON from
standard input and prints an `Outcome` as JSON: `python -m benchmarks.in_process_loops llamad < job.json`.
So this file imports nothing that both interpreters do not have.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Job:
    """What to generate, greedily, and with which settings.

    Attributes:
        model: path of the GGUF file.
        warm_up: prompts that are completed before the clock starts; they share nothing with the others.
        prompts: the prompts that are timed.
        max_tokens: most tokens of a completion.
        n_ctx: tokens that one prompt and its completion have room for.
        n_batch: most tokens of one call of llama.cpp,
        n_ubatch: and of one pass through the model.
        n_threads: compute threads, for prompts and for generation.
        n_parallel: slots of llamad; llama-cpp-python has one.
    """

    model: str
    warm_up: list[str]
    prompts: list[str]
    max_tokens: int
    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_threads: int
    n_parallel: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        wall_s: from the first prompt until the last completion is there.
        texts: the completions, in the order of the prompts.
        completion_tokens: of all of them.
        prompt_tokens: of all prompts, cached ones included.
    """

    wall_s: float
    texts: list[str]
    completion_tokens: int
    prompt_tokens: int


def llamad(job: Job) -> Outcome:
    """All prompts in one call of `Engine.generate`."""
    from llamad import Engine, SamplingParams  # noqa: PLC0415 - the peer's interpreter has no llamad

    greedy = SamplingParams(temperature=0, max_tokens=job.max_tokens)
    with Engine(
        job.model,
        n_parallel=job.n_parallel,
        n_ctx=job.n_ctx,
        n_batch=job.n_batch,
        n_ubatch=job.n_ubatch,
        n_threads=job.n_threads,
        flash_attn="on",
    ) as engine:
        engine.generate(job.warm_up, greedy)
        started = perf_counter()
        results = engine.generate(job.prompts, greedy)
        wall_s = perf_counter() - started
    return Outcome(
        wall_s=wall_s,
        texts=[result.text for result in results],
        completion_tokens=sum(result.usage.completion_tokens for result in results),
        prompt_tokens=sum(result.usage.prompt_tokens for result in results),
    )


def llama_cpp_python(job: Job) -> Outcome:
    """One prompt after the other: `Llama` computes one sequence, and keeps the last one's cache."""
    from llama_cpp import Llama  # type: ignore[import-not-found]  # noqa: PLC0415 - as above

    llama = Llama(
        job.model,
        n_ctx=job.n_ctx,
        n_batch=job.n_batch,
        n_ubatch=job.n_ubatch,
        n_threads=job.n_threads,
        n_threads_batch=job.n_threads,
        flash_attn=True,
        verbose=False,
    )
    for prompt in job.warm_up[:4]:  # it has one slot to warm
        llama.create_completion(prompt, max_tokens=job.max_tokens, temperature=0)
    started = perf_counter()
    answers = [
        llama.create_completion(prompt, max_tokens=job.max_tokens, temperature=0) for prompt in job.prompts
    ]
    wall_s = perf_counter() - started
    llama.close()
    return Outcome(
        wall_s=wall_s,
        texts=[answer["choices"][0]["text"] for answer in answers],
        completion_tokens=sum(answer["usage"]["completion_tokens"] for answer in answers),
        prompt_tokens=sum(answer["usage"]["prompt_tokens"] for answer in answers),
    )


LOOPS = {"llamad": llamad, "llama-cpp-python": llama_cpp_python}


def main() -> None:
    """Run the loop that the command line names."""
    job = Job(**json.load(sys.stdin))
    print(json.dumps(asdict(LOOPS[sys.argv[1]](job))))


if __name__ == "__main__":
    main()
