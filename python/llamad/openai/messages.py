"""The `messages` of a chat: checked lightly here, rendered by the model's own template later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import ParameterError
from .fields import mismatch


@dataclass(frozen=True, slots=True)
class Messages:
    """A non-empty list of messages; parsed into JSON, since the template reads JSON."""

    def parse(self, path: str, value: Any) -> bytes:
        if not isinstance(value, list) or not value:
            raise mismatch(path, "a non-empty list of messages", value)
        for index, message in enumerate(value):
            _check_message(f"{path}[{index}]", message)
        try:
            return orjson.dumps(value)
        except orjson.JSONEncodeError:  # the writer allows fewer levels than the reader
            raise ParameterError(f"'{path}' is nested too deeply", param=path) from None


def _check_message(path: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise mismatch(path, "an object with a role and a content", message)
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise mismatch(f"{path}.role", "a non-empty string", role)
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            _check_part(f"{path}.content[{index}]", part)
    elif content is not None and not isinstance(content, str):
        raise mismatch(f"{path}.content", "a string, null or a list of text parts", content)


def _check_part(path: str, part: Any) -> None:
    if not isinstance(part, dict):
        raise mismatch(path, "an object with a type", part)
    if part.get("type") != "text":
        raise mismatch(f"{path}.type", '"text", the only kind of content this server takes', part.get("type"))
    if not isinstance(part.get("text"), str):
        raise mismatch(f"{path}.text", "a string", part.get("text"))
