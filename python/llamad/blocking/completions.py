"""`Completions`: the part of `Engine` that continues prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from .. import request_options
from ..choices import Ranking
from ..jobs import completion_job, completion_jobs, is_one_prompt
from ..results import Results
from ..sampling import SamplingParams, sampling_params
from .batch import size_of
from .generation import Deltas
from .loaded import LoadedEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..jobs.inputs import Prompt
    from ..jobs.output import JsonSchema
    from ..request_options import RequestOptions
    from ..results import Delta, Result
    from .batch import Batch
    from .generation import Generation

    Prompts: TypeAlias = Iterable[Prompt]
    Params: TypeAlias = SamplingParams | Sequence[SamplingParams] | None


class Completions(LoadedEngine):
    """Continues prompts: one, thousands, in the background, or piece by piece."""

    @overload
    def generate(
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
    def generate(
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
    def generate(
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
    def generate(
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
    def generate(
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
        """Continue one prompt, or any number of them at once; blocks until all are done.

        Ctrl-C, or a notebook's stop button, cancels everything and leaves the engine usable.

        Args:
            prompt: a text or a list of token ids; or any iterable of such: they share the engine's slots,
                and are read as the engine has room for them, on another thread.
            params: how to sample; of several prompts also a list, with one for each.
            json_schema: a JSON Schema, or a pydantic model or what is like it, that the text must fit;
                `Result.parsed` is what it says.
            options: priority, time-out and with whom to share.
            progress: show a bar on stderr or in the notebook; None: where somebody can see it, and there
                is more than one prompt.
            return_exceptions: put an error in the place of its result; else the first one cancels the
                others and is raised.
            sampling: fields of `SamplingParams`, over those of `params`.

        Returns:
            One `Result`, or `Results` in the order of the prompts.

        Raises:
            GenerationInterrupted: Ctrl-C; its `partial` has what there was by then. A KeyboardInterrupt.
            RequestError: a prompt or a parameter cannot be honoured; the message says which prompt.
            RequestTimeoutError: one took too long.
            GenerationError: decoding failed.
            OutputError: a class refuses the text that was to be parsed to it.
            EngineClosedError: the engine is closed, or was loaded before this process was forked.
            RuntimeError: called from an `on_token` callback, whose thread would wait for itself.
            BaseException: whatever iterating the prompts raised.
        """
        chosen: dict[str, Any] = {"options": options, "json_schema": json_schema, "overrides": sampling}
        asked: Any = prompt
        if is_one_prompt(asked):
            batch = self._batch([completion_job(asked, params, **chosen)], 1)
            return batch.results(return_exceptions=return_exceptions)[0]
        batch = self._batch(completion_jobs(asked, params, **chosen), size_of(asked))
        return batch.results(return_exceptions=return_exceptions, progress=progress)

    def submit_batch(
        self,
        prompts: Prompts,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Batch[Result]:
        """Continue prompts in the background; returns at once.

        Takes what `generate` takes for many: any iterable of texts, or lists of token ids, is read as the
        engine has room, on another thread.

        Raises:
            RequestError: a parameter cannot be honoured. What a prompt is wrong about, reading the batch
                raises.
        """
        jobs = completion_jobs(prompts, params, options=options, json_schema=json_schema, overrides=sampling)
        return self._batch(jobs, size_of(prompts)).start()

    def choices(
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
        """Generate several completions of one prompt, which is computed once; blocks until all are done.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            n: how many results, 1 to 128; with a seed, each next completion has the next seed.
            best_of: generate so many (`n` to 128) and return the `n` with the highest mean logprob per
                token, best first; None generates `n` and returns them in order.
            json_schema: what each text must fit; see `generate`.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError, RuntimeError: as
                `generate` does; where one completion fails, the others are cancelled.
        """
        ranking = Ranking(n, best_of)
        resolved = ranking.params(sampling_params(params, sampling))
        job = completion_job(prompt, resolved, options=options, json_schema=json_schema, overrides={})
        jobs = job.choices(self._native, ranking.n_generated)
        results = self._batch(jobs, len(jobs)).results()
        return Results(ranking.chosen(results), elapsed_s=results.elapsed_s)

    def stream(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Iterator[Delta]:
        """Continue a prompt and iterate over what comes; leaving the loop early cancels it.

        It begins at once. An iterator that is dropped, be it before its first delta, cancels its request.

        Takes and raises what `submit` does, and while iterating what `Generation.result` raises.
        """
        return Deltas(self.submit(prompt, params, json_schema=json_schema, options=options, **sampling))

    def submit(
        self,
        prompt: Prompt,
        params: SamplingParams | None = None,
        *,
        on_token: Callable[[Delta], object] | None = None,
        json_schema: JsonSchema | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Generation[Delta, Result]:
        """Continue a prompt in the background.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            on_token: called with each `Delta` on the draining thread; it slows down other deliveries
                while it runs, never the engine. If it raises, the request is cancelled and
                `result()` raises the same. It may submit and cancel requests, but wait for none.
            json_schema: what the text must fit; see `generate`.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            QueueFullError: the bounded queue has no room.
            EngineClosedError: the engine is closed.
        """
        job = completion_job(prompt, params, options=options, json_schema=json_schema, overrides=sampling)
        return self._submit(job, on_token)
