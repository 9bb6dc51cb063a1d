"""`Toolbox`: what the model may call, and the Python functions that can answer it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from ..errors import ParameterError
from ..structured.tools import Choice, ToolUse, tool_use
from ..structured.tools import ToolChoice as CheckedChoice
from ..structured.tools import Tools as CheckedTools
from .function import Function

if TYPE_CHECKING:
    from ..results import ToolCall

Tool: TypeAlias = Callable[..., Any] | Mapping[str, Any]
"""A Python function with annotations, or a tool in OpenAI's form."""

Tools: TypeAlias = Iterable[Tool]

ToolChoice: TypeAlias = Literal["auto", "required", "none"] | Callable[..., Any] | Mapping[str, Any]
"""Whether tools may, must or must not be called; or the one that must, or an object in OpenAI's form."""

_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of a conversation.

    Attributes:
        tools: all of them, in OpenAI's form.
        choice: which of them may or must be called.
        functions: those that are Python functions, by name.
        runs: whether these are run.
    """

    tools: list[dict[str, Any]]
    choice: Choice
    functions: dict[str, Function]
    runs: bool

    @classmethod
    def of(cls, tools: Tools | None, choice: ToolChoice, *, run: bool) -> Toolbox:
        """Check what is said of tools.

        Args:
            tools: Python functions, and tools in OpenAI's form.
            choice: which of them may or must be called.
            run: whether the functions are to be run.

        Raises:
            ParameterError: a tool or the choice cannot be honoured, or there is no function to run.
        """
        given, functions = _told(tools)
        checked = CheckedTools().parse("tools", given)
        if run and not functions:
            raise ParameterError("'run_tools' needs Python functions in 'tools'", param="run_tools")
        toolbox = cls(checked, _choice(choice, functions), functions, run)
        _ = toolbox._use  # raises what does not go together
        return toolbox

    @property
    def _use(self) -> ToolUse:
        return tool_use(self.tools, self.choice, None)

    @property
    def offered(self) -> bool:
        """Whether the answer may make calls."""
        return self._use.offered

    @property
    def fields(self) -> dict[str, Any]:
        """What the engine's `prepare_chat` is to know."""
        use = self._use
        if not use.tools:
            return {}
        return {"tools": use.tools, "tool_choice": use.mode, "parallel_tool_calls": use.parallel}

    def after_call(self) -> Toolbox:
        """Return what holds when calls have been answered: nobody is forced to call for ever."""
        names = None if self.choice.once else self.choice.names
        return replace(self, choice=Choice("auto", names))

    def can_run(self, calls: tuple[ToolCall, ...]) -> bool:
        """Whether each of these calls can be answered here: none is left to the caller."""
        elsewhere = {tool["function"]["name"] for tool in self.tools} - self.functions.keys()
        return self.runs and bool(calls) and not any(call.name in elsewhere for call in calls)

    def run(self, call: ToolCall) -> dict[str, Any]:
        """Run the function that is called, on this thread; return the message that answers the call.

        Raises:
            ParameterError: it is a coroutine function.
            BaseException: whatever it raises, with a note that names the call.
        """
        function, arguments, problem = self._read(call)
        if function is None:
            return _answer(call, problem)
        try:
            value = function.call(**arguments)
        except BaseException as error:
            _note(error, call)
            raise
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            message = f"'tools': {function.name}() is a coroutine function, which AsyncEngine can run"
            raise ParameterError(message, param="tools")
        return _answer(call, _text(value))

    async def run_async(self, call: ToolCall) -> dict[str, Any]:
        """Like `run`, but what is awaitable is awaited, and the function runs in a thread otherwise.

        Raises:
            BaseException: whatever it raises, with a note that names the call.
        """
        function, arguments, problem = self._read(call)
        if function is None:
            return _answer(call, problem)
        try:
            if inspect.iscoroutinefunction(function.call):
                value = await function.call(**arguments)
            else:
                value = await asyncio.to_thread(function.call, **arguments)
                value = await value if inspect.isawaitable(value) else value
        except BaseException as error:
            _note(error, call)
            raise
        return _answer(call, _text(value))

    def _read(self, call: ToolCall) -> tuple[Function | None, dict[str, Any], str]:
        """Find the function and its arguments; or say, to the model, what is wrong."""
        function = self.functions.get(call.name)
        if function is None:
            return None, {}, f"Error: there is no function {call.name!r}"
        try:
            return function, function.read(call.parsed_arguments), ""
        except ValueError as error:
            return None, {}, f"Error: the arguments of {call.name} are wrong: {error}"


def _told(tools: Tools | None) -> tuple[list[Any], dict[str, Function]]:
    """Return the tools in OpenAI's form, and the Python functions among them."""
    if tools is None:
        return [], {}
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise ParameterError(f"'tools' must be a list of tools, got {type(tools).__name__}", param="tools")
    told: list[Any] = []
    functions = {}
    for index, tool in enumerate(tools):
        if not callable(tool):
            told.append(tool)
            continue
        function = Function.of(tool, f"tools[{index}]")
        functions[function.name] = function
        told.append(function.tool)
    return told, functions


def _choice(choice: ToolChoice, functions: Mapping[str, Function]) -> Choice:
    if not callable(choice):
        return CheckedChoice().parse("tool_choice", choice)
    for function in functions.values():
        if function.call == choice:
            return Choice("required", (function.name,), once=True)
    raise ParameterError(f"'tool_choice': {choice!r} is not in 'tools'", param="tool_choice")


def _answer(call: ToolCall, content: str) -> dict[str, Any]:
    # Some templates want the name, which OpenAI's form leaves out.
    return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content}


def _text(value: Any) -> str:
    """What the model is told of a function's value: text as it is, all else as JSON."""
    if isinstance(value, str):
        # Half a surrogate pair, as of a file's name, has no encoding in which the model could be told of it.
        return value.encode(errors="replace").decode()
    try:
        return orjson.dumps(value, default=_plain, option=_JSON).decode()
    except TypeError:  # nested too deeply, or in itself
        return _text(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _note(error: BaseException, call: ToolCall) -> None:
    error.add_note(f"while the model's call {call.name}({call.arguments}) was carried out")
