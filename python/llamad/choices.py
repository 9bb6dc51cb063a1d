"""`Choices`: several completions of one prompt, read together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from .errors import LlamadError
from .request_options import MAX_CHOICES, check_integer
from .sampling import sampling_params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .aio.stream import Signal, TokenStream
    from .results import Result, TokenLogprobs
    from .sampling import SamplingParams

Step = tuple[int, str, "Result | None"]
"""What has come of one choice: its index, its new text, and the whole of it once it is over. Of the tokens
behind the text, which most do not want, `Choices.take_tokens` tells."""


class Choices:
    """The choices of one request as an async iterator: at each wake-up what has come of all of them.

    They live and die together: where one fails, or the task that waits here is cancelled, all are
    cancelled.

    Args:
        streams: at least one; all have the same `signal`.

    Attributes:
        results: of the choices that are over, by index.
    """

    def __init__(self, streams: Sequence[TokenStream]) -> None:
        self._streams = list(streams)
        self._signal: Signal = streams[0].signal
        self._running = list(enumerate(streams))
        self._failure: LlamadError | None = None
        self.results: dict[int, Result] = {}

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def unread_bytes(self) -> int:
        """How much text, in UTF-8, has arrived and not been read."""
        return sum(stream.unread_bytes for stream in self._streams)

    @property
    def n_generated(self) -> int:
        """How many tokens of all choices have arrived."""
        return sum(stream.n_generated for stream in self._streams)

    def take_tokens(self, index: int) -> tuple[list[int], tuple[TokenLogprobs, ...] | None]:
        """Return the new token ids of one choice, and their log-probabilities where those were asked for.

        Called for a step before anything is awaited, it returns the tokens of just that step.
        """
        return self._streams[index].take_tokens()

    def cancel(self) -> None:
        """Ask the engine to stop all that are not over; idempotent."""
        for _, stream in self._running:
            stream.cancel()

    async def wait(self) -> list[Result]:
        """Wait for all and return their results in order.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: one of them ended with an error;
                the others are cancelled.
        """
        async for _ in self:
            pass
        return [self.results[index] for index in range(len(self))]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Step]:
        """Return what is new, in the order of the choices; waits until something is.

        Raises:
            EngineClosedError, RequestTimeoutError, GenerationError: one of them ended with an error,
                and all that came before it has been returned.
        """
        while True:
            if self._failure is not None:
                # What the others have to say since, such as that they were cancelled, is no answer.
                raise self._failure
            if steps := self._take():
                return steps
            if not self._running:
                raise StopAsyncIteration
            try:
                await self._signal.wait()
            except asyncio.CancelledError:
                self.cancel()
                raise

    def _take(self) -> list[Step]:
        steps: list[Step] = []
        some_ended = False
        for index, stream in self._running:
            text = stream.take_text()
            if stream.finished:
                some_ended = True
                self._note_end(index, stream)
                steps.append((index, text, self.results.get(index)))
            elif text:
                steps.append((index, text, None))
        if some_ended:
            self._running = [(index, stream) for index, stream in self._running if not stream.finished]
            if self._failure is not None:
                self.cancel()
        return steps

    def _note_end(self, index: int, stream: TokenStream) -> None:
        try:
            self.results[index] = stream.result
        except LlamadError as error:
            self._failure = self._failure or error


class Ranking:
    """Which of the generated completions are returned.

    Attributes:
        n_generated: how many to generate.
    """

    def __init__(self, n: int, best_of: int | None) -> None:
        """Ask for `n` completions: the best of `best_of` ones, or all there are where that is None.

        Raises:
            ParameterError: `n` is not 1 to 128, or `best_of` not `n` to 128.
        """
        check_integer("n", n, 1, MAX_CHOICES)
        if best_of is not None:
            check_integer("best_of", best_of, n, MAX_CHOICES)
        self.n_generated = n if best_of is None else best_of
        self._n = n
        self._by_logprob = best_of is not None

    def params(self, params: SamplingParams) -> SamplingParams:
        """Return the parameters with what the ranking needs besides."""
        if not self._by_logprob or params.logprobs is not None:
            return params
        return sampling_params(params, {"logprobs": 0})

    def chosen(self, results: Sequence[Result]) -> list[Result]:
        """Return the `n` with the highest mean logprob per token, best first; unranked, all in order.

        Each tells of the prompt what the first has been told, which alone was asked.
        """
        told = [replace(result, prompt_logprobs=results[0].prompt_logprobs) for result in results]
        return sorted(told, key=_mean_logprob, reverse=True)[: self._n] if self._by_logprob else told


def _mean_logprob(result: Result) -> float:
    total = result.cumulative_logprob
    return float("-inf") if total is None or not result.token_ids else total / len(result.token_ids)
