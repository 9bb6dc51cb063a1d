"""`ChatJob`: a conversation that is answered, round by round where the model calls tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import ParameterError
from ..request_options import check_integer, check_options
from ..results import ChatResult, Result
from .inputs import check_messages, require_many
from .job import DeltaMaker, Job, Origin, RefusedJob
from .output import Output
from .parameters import one_for_each, parameters
from .reader import ChatReader
from .toolbox import Toolbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .. import _engine
    from ..request_options import RequestOptions
    from ..results import ToolCall
    from ..sampling import SamplingParams
    from .inputs import Conversation
    from .output import JsonSchema
    from .toolbox import ToolChoice, Tools

MAX_TOOL_ROUNDS = 8
"""How many times the functions that the model calls are run for one answer, by default."""

_MOST_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class ChatJob(Job[ChatResult]):
    """A conversation on its way to a `ChatResult`.

    Attributes:
        messages: the conversation so far, with what earlier rounds have added.
        params: how to sample; with the grammar of the output.
        setting: what holds in every round.
        toolbox: what the model may call.
        origin: which of many it is.
        rounds_left: how many times calls may still be carried out.
        earlier: the last round's result, with `messages` of all rounds; None in the first.
    """

    messages: tuple[dict[str, Any], ...]
    params: SamplingParams
    setting: ChatSetting
    toolbox: Toolbox
    origin: Origin
    rounds_left: int
    earlier: ChatResult | None = None

    @property
    def name(self) -> str | None:
        return self.origin.name

    def prepare(self, native: _engine.Engine, *, stream: bool = False) -> _engine.Prepared:
        chosen = self.setting.options.native
        return self.origin.run(
            lambda: native.prepare_chat(self._json(), self.params.native, stream=stream, **chosen)
        )

    def delta_maker(self, prepared: _engine.Prepared) -> DeltaMaker:
        return ChatReader(prepared.parser()).delta

    def finish(self, result: Result, prepared: _engine.Prepared) -> ChatResult:
        reader = ChatReader(prepared.parser())
        reader.feed(result.text, end=True)
        values = {field.name: getattr(result, field.name) for field in fields(Result)}
        answer = ChatResult(
            **values | {"text": reader.content},
            reasoning=reader.reasoning or None,
            tool_calls=reader.tool_calls,
            messages=(reader.message,),
        )
        if self.earlier is not None:
            answer = replace(
                answer,
                usage=self.earlier.usage + answer.usage,
                timings=self.earlier.timings + answer.timings,
                messages=self.earlier.messages + answer.messages,
            )
        if self.setting.output is None:
            return answer
        return replace(answer, parsed=self.setting.output.parse(answer.text, answer))

    def follow_up(self, done: ChatResult) -> ChatJob | None:
        if not self._goes_on(done):
            return None
        return self._next(done, [self.toolbox.run(call) for call in done.tool_calls])

    async def follow_up_async(self, done: ChatResult) -> ChatJob | None:
        if not self._goes_on(done):
            return None
        return self._next(done, [await self.toolbox.run_async(call) for call in done.tool_calls])

    def _json(self) -> bytes:
        body = {"messages": self.messages, **self.setting.fields, **self.toolbox.fields}
        try:
            return orjson.dumps(body)
        except TypeError as error:
            raise ParameterError(f"the conversation is not JSON: {error}", param="messages") from None

    def _goes_on(self, done: ChatResult) -> bool:
        """Whether the calls are carried out: all of them, or none."""
        whole = done.finish_reason == "stop"  # else the last call may have been cut off
        return whole and self.rounds_left > 0 and self.toolbox.can_run(done.tool_calls)

    def _next(self, done: ChatResult, answers: list[dict[str, Any]]) -> ChatJob:
        calls = [_readable(call).to_dict() for call in done.tool_calls]
        added = ({**done.message, "tool_calls": calls}, *answers)
        return replace(
            self,
            messages=(*self.messages, *added),
            toolbox=self.toolbox.after_call(),
            rounds_left=self.rounds_left - 1,
            earlier=replace(done, messages=(*done.messages[:-1], *added)),
        )


@dataclass(frozen=True, slots=True)
class ChatSetting:
    """What holds in every round of a conversation.

    Attributes:
        options: priority, time-out and with whom to share.
        output: what the content is parsed to; None: nothing.
        fields: more fields for the engine's `prepare_chat`.
    """

    options: RequestOptions
    output: Output | None
    fields: dict[str, Any]


def _readable(call: ToolCall) -> ToolCall:
    """Return a call that every template can write; of arguments that are none, the answer tells the model."""
    try:
        _ = call.parsed_arguments
    except ValueError:
        return replace(call, arguments="{}")
    return call


def chat_job(
    messages: Conversation,
    params: SamplingParams | None = None,
    *,
    options: RequestOptions,
    json_schema: JsonSchema | None = None,
    tools: Tools | None = None,
    tool_choice: ToolChoice = "auto",
    run_tools: bool = False,
    max_tool_rounds: int = MAX_TOOL_ROUNDS,
    template_kwargs: Mapping[str, Any] | None = None,
    overrides: dict[str, Any],
) -> ChatJob:
    """Return the job of a single conversation.

    Args:
        messages: in OpenAI's form, or a text: one message of the user.
        params: how to sample.
        options: priority, time-out and with whom to share.
        json_schema: what the answer's content is to be JSON of, and parsed to.
        tools: Python functions, and tools in OpenAI's form, that the model may call.
        tool_choice: "auto", "required", "none", one of the functions, or an object in OpenAI's form.
        run_tools: whether the functions are run and the model asked again, until it answers.
        max_tool_rounds: how often at most; 1 to 1000. After that the calls are left to the caller.
        template_kwargs: variables for the chat template.
        overrides: fields of `SamplingParams`, over those of `params`.

    Raises:
        ParameterError: a parameter cannot be honoured.
    """
    toolbox = Toolbox.of(tools, tool_choice, run=run_tools)
    setting = _setting(options, json_schema, toolbox, template_kwargs)
    check_integer("max_tool_rounds", max_tool_rounds, 1, _MOST_ROUNDS)
    chosen = parameters(params, overrides, setting.output)
    found = check_messages("messages", messages)
    return ChatJob(found, chosen, setting, toolbox, Origin("conversation"), max_tool_rounds)


def chat_jobs(
    conversations: Iterable[Conversation],
    params: SamplingParams | Sequence[SamplingParams] | None = None,
    *,
    options: RequestOptions,
    json_schema: JsonSchema | None = None,
    tools: Tools | None = None,
    tool_choice: ToolChoice = "auto",
    run_tools: bool = False,
    max_tool_rounds: int = MAX_TOOL_ROUNDS,
    template_kwargs: Mapping[str, Any] | None = None,
    overrides: dict[str, Any],
) -> Iterator[Job[ChatResult]]:
    """Return the jobs of many conversations, which are read as the jobs are asked for.

    The parameters are those of `chat_job`, but that `params` may be a list with one for each.

    Raises:
        ParameterError: a parameter cannot be honoured. Of what a conversation is wrong about, its job
            tells; asking for it raises what iterating the conversations does.
    """
    require_many("conversations", "an iterable of texts or lists of messages", conversations)
    toolbox = Toolbox.of(tools, tool_choice, run=run_tools)
    setting = _setting(options, json_schema, toolbox, template_kwargs)
    check_integer("max_tool_rounds", max_tool_rounds, 1, _MOST_ROUNDS)
    chosen = one_for_each("conversations", conversations, params, overrides, setting.output)

    def job(index: int, messages: Conversation, each: SamplingParams) -> Job[ChatResult]:
        origin = Origin("conversation", index)
        try:
            found = check_messages(f"conversations[{index}]", messages)
        except ParameterError as error:
            return RefusedJob(error, origin)
        return ChatJob(found, each, setting, toolbox, origin, max_tool_rounds)

    return (job(index, messages, each) for index, (messages, each) in enumerate(chosen))


def _setting(
    options: RequestOptions,
    json_schema: JsonSchema | None,
    toolbox: Toolbox,
    template_kwargs: Mapping[str, Any] | None,
) -> ChatSetting:
    check_options(options)
    output = Output.of(json_schema)
    if output is not None and toolbox.offered:
        message = "'json_schema' and 'tools' exclude each other, unless 'tool_choice' is \"none\""
        raise ParameterError(message, param="json_schema")
    return ChatSetting(options, output, _template_fields(template_kwargs))


def _template_fields(template_kwargs: Any) -> dict[str, Any]:
    if template_kwargs is None:
        return {}
    if not isinstance(template_kwargs, Mapping):
        message = f"template_kwargs must be a mapping from names to values, got {template_kwargs!r}"
        raise ParameterError(message, param="template_kwargs")
    return {"chat_template_kwargs": dict(template_kwargs)}
