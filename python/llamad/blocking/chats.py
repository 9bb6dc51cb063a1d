"""`Chats`: the part of `Engine` that answers conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from .. import request_options
from ..jobs import chat_job, chat_jobs, is_one_conversation
from ..jobs.chat import MAX_TOOL_ROUNDS
from ..sampling import SamplingParams
from .batch import size_of
from .generation import Deltas
from .loaded import LoadedEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..jobs import ToolChoice
    from ..jobs.inputs import Conversation
    from ..jobs.output import JsonSchema
    from ..jobs.toolbox import Tools
    from ..request_options import RequestOptions
    from ..results import ChatDelta, ChatResult, Results
    from .batch import Batch
    from .generation import Generation

    Conversations: TypeAlias = Iterable[Conversation]
    Params: TypeAlias = SamplingParams | Sequence[SamplingParams] | None


class Chats(LoadedEngine):
    """Answers conversations through the model's chat template: one, thousands, or piece by piece."""

    @overload
    def chat(
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
    def chat(
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
    def chat(
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
    def chat(
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
    def chat(
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
        """Answer one conversation, or any number of them at once; blocks until all are done.

        Ctrl-C, or a notebook's stop button, cancels everything and leaves the engine usable.

        Args:
            messages: a list of messages in OpenAI's form, or a text, which is one message of the user; or any
                iterable of such: they share the engine's slots, and are read as the engine has room for them,
                on another thread.
            params: how to sample; of several conversations also a list, with one for each.
            json_schema: a JSON Schema, or a pydantic model or what is like it, that the answer must fit;
                `ChatResult.parsed` is what it says.
            tools: Python functions, and tools in OpenAI's form, that the model may call.
            tool_choice: "auto", "required", "none", one of the functions, or an object in OpenAI's form.
            run_tools: run the functions that the model calls, on this thread, and ask it again with what they
                return, until it answers without a call.
            max_tool_rounds: how often at most; 1 to 1000. After that the calls are left to the caller.
            template_kwargs: variables for the chat template, such as `{"enable_thinking": False}`.
            options: priority, time-out and with whom to share.
            progress: show a bar on stderr or in the notebook; None: where somebody can see it, and there
                is more than one conversation.
            return_exceptions: put an error in the place of its result; else the first one cancels the
                others and is raised.
            sampling: fields of `SamplingParams`, over those of `params`.

        Returns:
            One `ChatResult`, or `Results` in the order of the conversations.

        Raises:
            TemplateError: the messages do not fit the model's template.
            GenerationInterrupted, RequestError, RequestTimeoutError, EngineClosedError: as `generate` does.
            GenerationError, OutputError, RuntimeError: as `generate` does, too.
            BaseException: whatever a tool's function, or iterating the conversations, raised.
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
            batch = self._batch([chat_job(asked, params, **chosen)], 1)
            return batch.results(return_exceptions=return_exceptions)[0]
        batch = self._batch(chat_jobs(asked, params, **chosen), size_of(asked))
        return batch.results(return_exceptions=return_exceptions, progress=progress)

    def submit_chat_batch(
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
    ) -> Batch[ChatResult]:
        """Answer conversations in the background; returns at once.

        Takes what `chat` takes for many: any iterable of lists of messages, or texts, is read as the engine
        has room, on another thread. With `run_tools`, functions run on the thread that reads the batch.

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
        return self._batch(jobs, size_of(conversations)).start()

    def stream_chat(
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
    ) -> Iterator[ChatDelta]:
        """Answer a conversation and iterate over what comes; leaving the loop early cancels it.

        It begins at once. An iterator that is dropped, be it before its first delta, cancels its request.

        Takes and raises what `submit_chat` does, and while iterating what `Generation.result` raises.
        """
        generation = self.submit_chat(
            messages,
            params,
            json_schema=json_schema,
            tools=tools,
            tool_choice=tool_choice,
            template_kwargs=template_kwargs,
            options=options,
            **sampling,
        )
        return Deltas(generation)

    def submit_chat(
        self,
        messages: Conversation,
        params: SamplingParams | None = None,
        *,
        on_token: Callable[[ChatDelta], object] | None = None,
        json_schema: JsonSchema | None = None,
        tools: Tools | None = None,
        tool_choice: ToolChoice = "auto",
        template_kwargs: Mapping[str, Any] | None = None,
        options: RequestOptions = request_options.DEFAULT,
        **sampling: Any,
    ) -> Generation[ChatDelta, ChatResult]:
        """Answer a conversation in the background.

        Args:
            messages: a list of messages in OpenAI's form, or a text, which is one message of the user.
            params: how to sample.
            on_token: called with each `ChatDelta`; see `submit`.
            json_schema: what the answer must fit; see `chat`, as the others. Calls of tools are left to
                the caller, in `ChatResult.tool_calls`.
            tools: what the model may call.
            tool_choice: whether it may, must or must not call.
            template_kwargs: variables for the chat template.
            options: priority, time-out and with whom to share.
            sampling: fields of `SamplingParams`, over those of `params`.

        Raises:
            TemplateError: the messages do not fit the model's template.
            RequestError, QueueFullError, EngineClosedError: as `submit` does.
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
        return self._submit(job, on_token)
