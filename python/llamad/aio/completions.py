"""`AsyncCompletions`: the part of `AsyncEngine` that continues prompts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from .. import request_options
from ..blocking.batch import size_of
from ..choices import Ranking
from ..jobs import completion_job, completion_jobs, is_one_prompt
from ..results import Results
from ..sampling import SamplingParams, sampling_params
from .home import at_home
from .requests import AsyncRequests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..jobs.inputs import Prompt
    from ..jobs.output import JsonSchema
    from ..request_options import RequestOptions
    from ..results import Result
    from .batch import AsyncBatch
    from .stream import TokenStream

    Prompts: TypeAlias = Iterable[Prompt]
    Params: TypeAlias = SamplingParams | Sequence[SamplingParams] | None


class AsyncCompletions(AsyncRequests):
    """Continues prompts: one, thousands, in the background, or piece by piece."""

    @overload
    async def generate(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: Literal[False] = False,
        **sampling: Any,
    ) -> Result: ...
    @overload
    async def generate(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool,
        **sampling: Any,
    ) -> Result | BaseException: ...
    @overload
    async def generate(
        self,
        prompt: Prompts,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: Literal[False] = False,
        **sampling: Any,
    ) -> Results[Result]: ...
    @overload
    async def generate(
        self,
        prompt: Prompts,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool,
        **sampling: Any,
    ) -> Results[Result | BaseException]: ...
    @at_home
    async def generate(
        self,
        prompt: Prompt | Prompts,
        params: Any = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool = False,
        **sampling: Any,
    ) -> Result | BaseException | Results[Result] | Results[Result | BaseException]:
        """Continue one prompt, or any number of them at once; cancelling the awaiting task cancels them.

        Takes what `Engine.generate` takes and returns what it returns. Where the queue is full, it waits for
        room.

        Raises:
            RequestError: a prompt or a parameter cannot be honoured; the message says which prompt.
            EngineClosedError: the engine is closed, or was while it worked on this.
            RequestTimeoutError: one took too long.
            GenerationError: decoding failed.
            OutputError: a class refuses the text that was to be parsed to it.
            Exception: whatever iterating the prompts raised.
        """
        chosen: dict[str, Any] = {"options": options, "json_schema": json_schema, "overrides": sampling}
        asked: Any = prompt
        if is_one_prompt(asked):
            return await self._one(completion_job(asked, params, **chosen), return_exceptions)
        batch = self._batch(completion_jobs(asked, params, **chosen), size_of(asked))
        return await batch.results(return_exceptions=return_exceptions, progress=progress)

    @at_home
    async def submit_batch(
        self,
        prompts: Prompts,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> AsyncBatch[Result]:
        """Continue prompts in the background; returns at once. Takes what `Engine.submit_batch` takes.

        Raises:
            RequestError: a parameter cannot be honoured. What a prompt is wrong about, reading the batch
                raises.
        """
        jobs = completion_jobs(prompts, params, options=options, json_schema=json_schema, overrides=sampling)
        return self._batch(jobs, size_of(prompts))

    @at_home
    async def choices(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        n: int,
        best_of: int | None = None,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Results[Result]:
        """Generate several completions of one prompt, which is computed once.

        Takes what `Engine.choices` takes, and raises what `generate` does; where one completion fails, the
        others are cancelled.
        """
        ranking = Ranking(n, best_of)
        resolved = ranking.params(sampling_params(params, sampling))
        job = completion_job(prompt, resolved, options=options, json_schema=json_schema, overrides={})
        jobs = await self._off_loop(partial(job.choices, self._native, ranking.n_generated))
        results = await self._batch(jobs, len(jobs)).results()
        return Results(ranking.chosen(results), elapsed_s=results.elapsed_s)

    @at_home
    async def stream(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> TokenStream:
        """Start a generation and return its deltas as an async iterator.

        Leaving the loop early does not cancel the request, since an async iterator is not told: use
        the stream as an async context manager, or call its `cancel()`. Cancelling the task that waits
        for the next delta cancels the request.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        job = completion_job(prompt, params, options=options, json_schema=json_schema, overrides=sampling)
        prepared = await self._prepare_job(job, stream=True)
        stream = self.submit(prepared)
        stream.complete = partial(job.finish, prepared=prepared)
        return stream
