"""`AsyncChats`: the part of `AsyncEngine` that answers conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from .. import request_options
from ..blocking.batch import size_of
from ..jobs import chat_job, chat_jobs, is_one_conversation
from ..jobs.chat import MAX_TOOL_ROUNDS
from ..sampling import SamplingParams
from .chat_stream import ChatStream
from .home import at_home
from .requests import AsyncRequests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..jobs import ToolChoice
    from ..jobs.inputs import Conversation
    from ..jobs.output import JsonSchema
    from ..jobs.toolbox import Tools
    from ..request_options import RequestOptions
    from ..results import ChatResult, Results
    from .batch import AsyncBatch

    Conversations: TypeAlias = Iterable[Conversation]
    Params: TypeAlias = SamplingParams | Sequence[SamplingParams] | None


class AsyncChats(AsyncRequests):
    """Answers conversations through the model's chat template: one, thousands, or piece by piece."""

    @overload
    async def chat(
        self,
        messages: Conversation,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: Literal[False] = False,
        **sampling: Any,
    ) -> ChatResult: ...
    @overload
    async def chat(
        self,
        messages: Conversation,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool,
        **sampling: Any,
    ) -> ChatResult | BaseException: ...
    @overload
    async def chat(
        self,
        messages: Conversations,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: Literal[False] = False,
        **sampling: Any,
    ) -> Results[ChatResult]: ...
    @overload
    async def chat(
        self,
        messages: Conversations,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool,
        **sampling: Any,
    ) -> Results[ChatResult | BaseException]: ...
    @at_home
    async def chat(
        self,
        messages: Conversation | Conversations,
        params: Any = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
        return_exceptions: bool = False,
        **sampling: Any,
    ) -> ChatResult | BaseException | Results[ChatResult] | Results[ChatResult | BaseException]:
        """Answer one conversation, or any number of them at once; cancelling the awaiting task cancels them.

        Takes what `Engine.chat` takes and returns what it returns. Where the queue is full, it waits for
        room. With `run_tools`, coroutine functions are awaited, and others run in a thread.

        Raises:
            TemplateError: the messages do not fit the model's template.
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError, OutputError: as `generate`
                does.
            Exception: whatever a tool's function, or iterating the conversations, raised.
        """
        chosen: dict[str, Any] = {
            "json_schema": json_schema,
            "tools": tools,
            "tool_choice": tool_choice,
            "run_tools": run_tools,
            "max_tool_rounds": max_tool_rounds,
            "template_kwargs": template_kwargs,
            "options": options,
            "overrides": sampling,
        }
        asked: Any = messages
        if is_one_conversation(asked):
            return await self._one(chat_job(asked, params, **chosen), return_exceptions)
        batch = self._batch(chat_jobs(asked, params, **chosen), size_of(asked))
        return await batch.results(return_exceptions=return_exceptions, progress=progress)

    @at_home
    async def submit_chat_batch(
        self,
        conversations: Conversations,
        params: Params = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        run_tools: bool = False,
        max_tool_rounds: int = MAX_TOOL_ROUNDS,
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> AsyncBatch[ChatResult]:
        """Answer conversations in the background; returns at once.

        Takes what `Engine.submit_chat_batch` takes.

        Raises:
            RequestError: a parameter cannot be honoured. What a conversation is wrong about, reading the
                batch raises.
        """
        jobs = chat_jobs(
            conversations,
            params,
            options=options,
            json_schema=json_schema,
            tools=tools,
            tool_choice=tool_choice,
            run_tools=run_tools,
            max_tool_rounds=max_tool_rounds,
            template_kwargs=template_kwargs,
            overrides=sampling,
        )
        return self._batch(jobs, size_of(conversations))

    @at_home
    async def stream_chat(
        self,
        messages: Conversation,
        params: SamplingParams | None = None,
        *,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> ChatStream:
        """Answer a conversation and return its deltas as an async iterator.

        Takes what `Engine.submit_chat` takes. As with `stream`, leaving the loop early does not cancel the
        request: use the stream as an async context manager, or call its `cancel()`.

        Raises:
            TemplateError: the messages do not fit the model's template.
            RequestError, QueueFullError, EngineClosedError: as `stream` does.
        """
        job = chat_job(
            messages,
            params,
            options=options,
            json_schema=json_schema,
            tools=tools,
            tool_choice=tool_choice,
            template_kwargs=template_kwargs,
            overrides=sampling,
        )
        prepared = await self._prepare_job(job, stream=True)
        return ChatStream(self.submit(prepared), job, prepared)
