"""The `messages` of a chat: checked here role by role, rendered by the model's own template later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..containers import ListOf
from ..errors import ParameterError
from ..fields import Field, Nested, OneOf, Only, Schema, String, mismatch, object_schema, parse_fields


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says: text, or a list of text parts.

    Attributes:
        kinds: the types of parts; the text of a part stands under the name of its type.
    """

    kinds: tuple[str, ...] = ("text",)

    def parse(self, path: str, value: Any) -> str | list[dict[str, str]]:
        if isinstance(value, str):
            return value
        if not isinstance(value, list) or not value:
            raise mismatch(path, "a string or a non-empty list of text parts", value)
        return [self._part(f"{path}[{index}]", part) for index, part in enumerate(value)]

    def schema(self) -> Schema:
        parts = []
        for kind in self.kinds:
            named = Field("type", OneOf((kind,)), required=True)
            parts.append(object_schema((named, Field(kind, String(), required=True))))
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": parts}, "minItems": 1}]}

    def _part(self, path: str, part: Any) -> dict[str, str]:
        if not isinstance(part, dict):
            raise mismatch(path, "an object with a type", part)
        kind = part.get("type")
        if kind not in self.kinds:
            allowed = " or ".join(f'"{one}"' for one in self.kinds)
            raise mismatch(f"{path}.type", f"{allowed}, for this server takes text alone", kind)
        return {"type": "text", "text": String().parse(f"{path}.{kind}", part.get(kind))}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a tool call: a JSON object, written as a string; an empty one is no arguments."""

    def parse(self, path: str, value: Any) -> str:
        if value == "":
            return "{}"
        try:
            if isinstance(value, str) and isinstance(orjson.loads(value), dict):
                return value
        except orjson.JSONDecodeError:
            pass
        raise mismatch(path, "a string that holds a JSON object", value)

    def schema(self) -> Schema:
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "object"}}


_FUNCTION_CALL = Nested(
    (
        Field("name", String(most=64), "name", required=True),
        Field("arguments", Arguments(), "arguments", required=True),
    )
)
_TOOL_CALL = Nested(
    (
        Field("id", String(most=256), "id", required=True),
        Field("type", OneOf(("function",)), "type", required=True),
        Field("function", _FUNCTION_CALL, "function", required=True),
    )
)
_SAID = (Field("content", Content(), "content", required=True), Field("name", String(), "name"))

ROLES: dict[str, tuple[Field, ...]] = {
    "system": _SAID,
    "developer": _SAID,
    "user": _SAID,
    "assistant": (
        Field("content", Content(("text", "refusal")), "content"),
        Field("name", String(), "name"),
        Field("refusal", String(), "refusal"),
        Field("reasoning_content", String(), "reasoning_content"),
        Field("tool_calls", ListOf(_TOOL_CALL), "tool_calls"),
        Field("function_call", Only((), "the predecessor of 'tool_calls' is")),
        Field("audio", Only((), "audio is")),
    ),
    "tool": (
        *_SAID,
        Field("tool_call_id", String(most=256), "tool_call_id", required=True),
    ),
}
"""What each role may say; the targets are the keys that templates read."""


MAX_MESSAGES = 1 << 14
"""Most messages of one request: a template takes 0.2 ms for each, on a thread that others wait for."""


@dataclass(frozen=True, slots=True)
class Messages:
    """A list of messages, returned with the keys that templates know and no others."""

    def parse(self, path: str, value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
            raise mismatch(path, f"a list of 1 to {MAX_MESSAGES} messages", value)
        messages = [_message(f"{path}[{index}]", message) for index, message in enumerate(value)]
        _name_results(messages)
        return messages

    def schema(self) -> Schema:
        known = []
        for role, table in ROLES.items():
            named = Field("role", OneOf((role,)), required=True)
            known.append(object_schema((named, *table)))
        return {"type": "array", "items": {"anyOf": known}, "minItems": 1, "maxItems": MAX_MESSAGES}


def _message(path: str, message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise mismatch(path, "an object with a role and a content", message)
    role = OneOf(tuple(ROLES)).parse(f"{path}.role", message.get("role"))
    values = {"role": role} | parse_fields(ROLES[role], message, f"{path}.")
    if role == "assistant":
        _require_something(path, values)
    return values


def _require_something(path: str, message: dict[str, Any]) -> None:
    """Make sure that an assistant's message has a content or tool calls, a refusal being a content."""
    refusal = message.pop("refusal", None)
    if message.get("tool_calls"):
        return
    message.pop("tool_calls", None)
    if message.setdefault("content", refusal) is None:
        blamed = f"{path}.content"
        raise ParameterError(f"'{blamed}' is required in a message without tool calls", param=blamed)


def _name_results(messages: list[dict[str, Any]]) -> None:
    """Give each tool's result the name of its tool: some templates want it, OpenAI's form leaves it out."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
        if message.get("tool_call_id") in names:
            message.setdefault("name", names[message["tool_call_id"]])
