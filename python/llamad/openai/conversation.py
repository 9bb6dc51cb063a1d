"""What a chat template reads: the messages, the tools, and how to render them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..containers import AnyObject
from ..errors import ParameterError
from ..fields import Boolean, Field, OneOf, Schema, String, parse_fields
from ..structured.tools import ToolChoice, Tools, tool_use
from .messages import Messages


@dataclass(frozen=True, slots=True)
class TemplateArguments:
    """Variables for the chat template; of them `enable_thinking` is true or false."""

    def parse(self, path: str, value: Any) -> dict[str, Any]:
        arguments = AnyObject().parse(path, value)
        Boolean().parse(f"{path}.enable_thinking", arguments.get("enable_thinking", True))
        return arguments

    def schema(self) -> Schema:
        return {"type": "object", "properties": {"enable_thinking": Boolean().schema()}}


_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")

CONVERSATION_FIELDS = (
    Field("messages", Messages(), "messages", required=True),
    Field("tools", Tools(), "tools"),
    Field("tool_choice", ToolChoice(), "tool_choice"),
    Field("parallel_tool_calls", Boolean(), "parallel_tool_calls"),
    Field("reasoning_effort", OneOf(_EFFORTS), "reasoning_effort"),
    # Extensions, named as llama.cpp and vLLM name them.
    Field("reasoning_format", OneOf(("auto", "none", "deepseek")), "reasoning_format"),
    Field("chat_template", String(most=1 << 20), "chat_template"),
    Field("chat_template_kwargs", TemplateArguments(), "chat_template_kwargs"),
    Field("add_generation_prompt", Boolean(), "add_generation_prompt"),
    Field("continue_final_message", Boolean(), "continue_final_message"),
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that has been checked.

    Attributes:
        json: what the engine's `prepare_chat` and `apply_template` take.
        offers_tools: whether the answer may contain tool calls.
    """

    json: bytes
    offers_tools: bool


def parse_conversation(body: dict[str, Any], *, trust_template: bool) -> Conversation:
    """Check the fields that are in `CONVERSATION_FIELDS`.

    Args:
        body: the request.
        trust_template: whether it may bring its own `chat_template`: a program, which may loop for long.

    Raises:
        ParameterError: a field is missing, has the wrong type, lies outside its range, contradicts
            another, or is not trusted.
    """
    values = parse_fields(CONVERSATION_FIELDS, body)
    if "chat_template" in values and not trust_template:
        message = "'chat_template' is only allowed where the server runs with --trust-request-chat-template"
        raise ParameterError(message, param="chat_template")
    tools, choice = values.pop("tools", []), values.pop("tool_choice", None)
    use = tool_use(tools, choice, values.pop("parallel_tool_calls", None))
    if use.tools:
        values |= {"tools": use.tools, "tool_choice": use.mode, "parallel_tool_calls": use.parallel}
    if values.get("reasoning_format") == "deepseek":  # llama.cpp's name for what "auto" does anyway
        values["reasoning_format"] = "auto"
    last = values["messages"][-1]
    values["continue_final_message"] = continues = _continues(
        last, values.get("continue_final_message"), values.pop("add_generation_prompt", None)
    )
    if continues and last["content"] == "" and not last.get("reasoning_content"):
        # Of an empty text llama.cpp leaves out the turn itself, of an empty part it does not.
        last["content"] = [{"type": "text", "text": ""}]
    return Conversation(orjson.dumps(values), use.offered)


def _continues(last: dict[str, Any], wanted: bool | None, prompted: bool | None) -> bool:
    """Return whether the last message is continued; by default an assistant's is, as in llama-server."""
    possible = last["role"] == "assistant" and "tool_calls" not in last
    if wanted and not possible:
        message = "'continue_final_message' needs a last message of the assistant, without tool calls"
        raise ParameterError(message, param="continue_final_message")
    if wanted and prompted:
        message = "'add_generation_prompt' and 'continue_final_message' exclude each other"
        raise ParameterError(message, param="add_generation_prompt")
    continues = (possible and not prompted) if wanted is None else wanted
    if prompted is False and not continues:
        message = "'add_generation_prompt' can only be false where the last message is continued"
        raise ParameterError(message, param="add_generation_prompt")
    return continues
