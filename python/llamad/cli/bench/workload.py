"""What a benchmark does with an engine: prompts of random tokens, computed and continued together."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ...errors import LlamadError
from ...sampling import SamplingParams
from .figures import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...blocking.generation import Generation
    from ...engine import Engine
    from ...results import Delta, Result

_LONGEST_WAIT_S = 1e6
_PATIENCE_S = 30.0
"""How long what was cancelled may take to end: a step of a very slow model."""


class OutOfTimeError(LlamadError):
    """What was being measured was not done in time."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What each stream does.

    Attributes:
        prompt_tokens: length of its prompt; no two prompts have a beginning in common.
        new_tokens: how many tokens it generates, at least 2.
    """

    prompt_tokens: int
    new_tokens: int


@dataclass(slots=True)
class _Stream:
    """When something was delivered, in seconds from submission, and what the engine says of it."""

    times: list[float]
    result: Result | None = None

    @property
    def decode_tok_s(self) -> float:
        """Its own speed, by the engine's clock: several tokens may be delivered at once."""
        assert self.result is not None  # noqa: S101 - asked only of finished ones
        return (self.result.usage.completion_tokens - 1) / self.result.timings.decode_s


def sample(
    engine: Engine, streams: int, work: Workload, *, seed: int, deadline: float = float("inf")
) -> Sample:
    """Measure once: first so many prompts that arrive together, then their continuations together.

    The second part finds the prompts in the slots, so that all streams decode from its first moment on.

    Args:
        engine: has at least so many slots.
        streams: requests at once.
        work: what each does.
        seed: of the prompts; each sample has its own, or it would find the last one's in the cache.
        deadline: a time of `time.perf_counter()` at which this gives up.

    Raises:
        OutOfTimeError: it did.
        GenerationError: decoding failed.
    """
    tokens = random.Random(seed)
    n_vocab = engine.info.n_vocab
    prompts = [
        # A first token of its own for each stream: whatever follows, no two share a prefix.
        [(seed * streams + stream) % n_vocab, *tokens.choices(range(n_vocab), k=work.prompt_tokens - 1)]
        for stream in range(streams)
    ]
    prefill = _run(engine, prompts, 1, deadline)
    decode = _run(engine, prompts, work.new_tokens, deadline)
    ttft_s = [stream.times[0] for stream in prefill]
    gaps = [pairwise(stream.times) for stream in decode]
    return Sample(
        streams=streams,
        prefill_tok_s=streams * work.prompt_tokens / max(ttft_s),
        decode_tok_s=sum(stream.decode_tok_s for stream in decode),
        ttft_s=ttft_s,
        itl_s=[later - earlier for pairs in gaps for earlier, later in pairs],
    )


def _run(engine: Engine, prompts: list[list[int]], max_tokens: int, deadline: float) -> list[_Stream]:
    params = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
    started = time.perf_counter()

    def noting(stream: _Stream) -> Callable[[Delta], None]:
        return lambda _: stream.times.append(time.perf_counter() - started)

    streams = [_Stream([]) for _ in prompts]
    generations: list[Generation[Delta, Result]] = []
    try:
        for prompt, stream in zip(prompts, streams, strict=True):
            generations.append(engine.submit(prompt, params, on_token=noting(stream)))
        for generation, stream in zip(generations, streams, strict=True):
            if not generation.wait(max(0.0, min(deadline - time.perf_counter(), _LONGEST_WAIT_S))):
                raise OutOfTimeError(f"{len(prompts)} at once were not done in time; give more --seconds")
            stream.result = generation.result()
    finally:
        for generation in generations:
            generation.cancel()
        for generation in generations:
            generation.wait(_PATIENCE_S)
    return streams
