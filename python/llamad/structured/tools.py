"""`tools` and `tool_choice`: what the model may call, and whether it must."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ..containers import AnyObject, ListOf
from ..errors import ParameterError
from ..fields import Boolean, Field, Nested, OneOf, Schema, String, mismatch
from .tool_schema import check_tool_schema

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_TOOLS = 1024
"""Most tools of one request: reading one and writing its grammar takes 2 ms."""

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class FunctionName:
    """The name of a function."""

    def parse(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise mismatch(path, "1 to 64 letters, digits, dashes and underscores", value)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_NAME.pattern}$"}


def _function(*more: Field) -> Nested:
    """The type of an object that has a function in it."""
    named = Field("name", FunctionName(), "name", required=True)
    return Nested(
        (
            Field("type", OneOf(("function",)), "type", required=True),
            Field("function", Nested((named, *more)), "function", required=True),
        )
    )


_TOOLS = ListOf(
    _function(
        Field("description", String(), "description"),
        Field("parameters", AnyObject(), "parameters"),
        Field("strict", Boolean(), "strict"),
    )
)


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions that the model may call, with the schemas of their arguments."""

    def parse(self, path: str, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, list) and len(value) > MAX_TOOLS:
            raise mismatch(path, f"a list of at most {MAX_TOOLS} tools", value)
        tools = _TOOLS.parse(path, value)
        seen = set()
        for index, tool in enumerate(tools):
            function, where = tool["function"], f"{path}[{index}].function"
            if function["name"] in seen:
                message = f"'{where}.name': there is another function {function['name']!r}"
                raise ParameterError(message, param=f"{where}.name")
            seen.add(function["name"])
            # Without parameters a function takes no arguments, as OpenAI has it.
            parameters = function.setdefault("parameters", {"type": "object", "properties": {}})
            if function.pop("strict", False):
                check_tool_schema(parameters, f"{where}.parameters")
        return tools

    def schema(self) -> Schema:
        return _TOOLS.schema() | {"maxItems": MAX_TOOLS}


@dataclass(frozen=True, slots=True)
class Choice:
    """What `tool_choice` says.

    Attributes:
        mode: whether tools may or must be called.
        names: the only functions that may be called; None allows all.
        once: whether exactly one call is wanted.
    """

    mode: Mode
    names: tuple[str, ...] | None = None
    once: bool = False


_NAMED = _function()
_ALLOWED = Nested(
    (
        Field("mode", OneOf(("auto", "required")), "mode", required=True),
        Field("tools", ListOf(_NAMED, at_least=1), "tools", required=True),
    )
)
_ALLOWED_TOOLS = Nested(
    (
        Field("type", OneOf(("allowed_tools",)), required=True),
        Field("allowed_tools", _ALLOWED, "allowed", required=True),
    )
)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`"none"`, `"auto"`, `"required"`, one named function, or OpenAI's `allowed_tools`."""

    def parse(self, path: str, value: Any) -> Choice:
        match value:
            case "none" | "auto" | "required":
                return Choice(value)
            case {"type": "function"}:
                return Choice("required", (_NAMED.parse(path, value)["function"]["name"],), once=True)
            case {"type": "allowed_tools"}:
                allowed = _ALLOWED_TOOLS.parse(path, value)["allowed"]
                return Choice(allowed["mode"], tuple(tool["function"]["name"] for tool in allowed["tools"]))
        raise mismatch(path, '"none", "auto", "required" or an object that names functions', value)

    def schema(self) -> Schema:
        modes = {"type": "string", "enum": ["none", "auto", "required"]}
        return {"anyOf": [modes, _NAMED.schema(), _ALLOWED_TOOLS.schema()]}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools that a conversation offers.

    Attributes:
        tools: in OpenAI's form; empty where there are none.
        mode: "none" shows the tools to the model and lets it call none of them.
        parallel: whether one answer may make several calls; None where the template decides.
    """

    tools: list[dict[str, Any]]
    mode: Mode
    parallel: bool | None

    @property
    def offered(self) -> bool:
        """Whether the answer may make calls."""
        return bool(self.tools) and self.mode != "none"


def tool_use(tools: list[dict[str, Any]], choice: Choice | None, parallel: bool | None) -> ToolUse:
    """Bring together what a request says of tools.

    Raises:
        ParameterError: the choice wants a function that is not there.
    """
    choice = choice or Choice("auto")
    if choice.names is not None:
        unknown = set(choice.names) - {tool["function"]["name"] for tool in tools}
        if unknown:
            message = f"'tool_choice': there is no function {min(unknown)!r} in 'tools'"
            raise ParameterError(message, param="tool_choice")
        tools = [tool for tool in tools if tool["function"]["name"] in choice.names]
    if choice.mode == "required" and not tools:
        raise ParameterError("'tool_choice': \"required\" needs 'tools' to choose from", param="tool_choice")
    if parallel is None and choice.once:
        parallel = False
    return ToolUse(tools, choice.mode, parallel)
