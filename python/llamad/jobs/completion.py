"""`CompletionJob`: a prompt that is continued."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError
from ..request_options import check_options
from .inputs import check_prompt, require_many
from .job import DeltaMaker, Job, Origin, RefusedJob, plain_delta
from .output import Output
from .parameters import one_for_each, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .. import _engine
    from ..request_options import RequestOptions
    from ..results import Result
    from ..sampling import SamplingParams
    from .inputs import Prompt
    from .output import JsonSchema


class TextJob(Job["Result"]):
    """A job whose text may be held to a schema.

    Attributes:
        output: what the text is parsed to; None: nothing.
    """

    __slots__ = ()
    output: Output | None

    def delta_maker(self, prepared: _engine.Prepared) -> DeltaMaker:
        del prepared
        return plain_delta

    def finish(self, result: Result, prepared: _engine.Prepared) -> Result:
        del prepared
        return (
            result if self.output is None else replace(result, parsed=self.output.parse(result.text, result))
        )


@dataclass(frozen=True, slots=True)
class CompletionJob(TextJob):
    """A prompt on its way to a `Result`.

    Attributes:
        prompt: text, or token ids taken as they are.
        params: how to sample; with the grammar of `output`.
        options: priority, time-out and with whom to share.
        output: what the text is parsed to; None: nothing.
        origin: which of many it is.
    """

    prompt: Prompt
    params: SamplingParams
    options: RequestOptions
    output: Output | None
    origin: Origin

    @property
    def name(self) -> str | None:
        return self.origin.name

    def prepare(self, native: _engine.Engine, *, stream: bool = False) -> _engine.Prepared:
        return self.origin.run(
            partial(native.prepare, self.prompt, self.params.native, stream=stream, **self.options.native)
        )

    def choices(self, native: _engine.Engine, n: int) -> list[ChoiceJob]:
        """Return the jobs of `n` completions, 1 to 128, of the prompt, which is prepared here for all.

        With a seed, each next one has the next seed. Only the first tells of the prompt.

        Raises:
            RequestError, EngineClosedError: as `prepare` does.
        """
        prepared = native.prepare(self.prompt, self.params.native, stream=False, n=n, **self.options.native)
        return [ChoiceJob(one, self.output) for one in prepared.take_apart()]


@dataclass(frozen=True, slots=True)
class ChoiceJob(TextJob):
    """One of several completions of a prompt. It can be submitted once.

    Attributes:
        prepared: the completion.
        output: what the text is parsed to; None: nothing.
    """

    prepared: _engine.Prepared
    output: Output | None

    @property
    def name(self) -> str | None:
        return None

    def prepare(self, native: _engine.Engine, *, stream: bool = False) -> _engine.Prepared:
        del native, stream
        return self.prepared


def completion_job(
    prompt: Prompt,
    params: SamplingParams | None = None,
    *,
    options: RequestOptions,
    json_schema: JsonSchema | None = None,
    overrides: dict[str, Any],
) -> CompletionJob:
    """Return the job of a single prompt.

    Args:
        prompt: text, or token ids taken as they are.
        params: how to sample.
        options: priority, time-out and with whom to share.
        json_schema: what the text is to be JSON of, and parsed to.
        overrides: fields of `SamplingParams`, over those of `params`.

    Raises:
        ParameterError: a parameter cannot be honoured.
    """
    check_options(options)
    output = Output.of(json_schema)
    chosen = parameters(params, overrides, output)
    return CompletionJob(check_prompt("prompt", prompt), chosen, options, output, Origin("prompt"))


def completion_jobs(
    prompts: Iterable[Prompt],
    params: SamplingParams | Sequence[SamplingParams] | None = None,
    *,
    options: RequestOptions,
    json_schema: JsonSchema | None = None,
    overrides: dict[str, Any],
) -> Iterator[Job[Result]]:
    """Return the jobs of many prompts, which are read as the jobs are asked for.

    The parameters are those of `completion_job`, but that `params` may be a list with one for each.

    Raises:
        ParameterError: a parameter cannot be honoured. Of what a prompt is wrong about, its job tells;
            asking for it raises what iterating the prompts does.
    """
    require_many("prompts", "an iterable of texts or lists of token ids", prompts)
    check_options(options)
    output = Output.of(json_schema)
    chosen = one_for_each("prompts", prompts, params, overrides, output)

    def job(index: int, prompt: Prompt, each: SamplingParams) -> Job[Result]:
        origin = Origin("prompt", index)
        try:
            checked = check_prompt(f"prompts[{index}]", prompt)
        except ParameterError as error:
            return RefusedJob(error, origin)
        return CompletionJob(checked, each, options, output, origin)

    return (job(index, prompt, each) for index, (prompt, each) in enumerate(chosen))
