"""`tools` and `tool_choice`: what is offered to the template, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError
from llamad.openai.chat_request import parse_chat
from llamad.structured.tools import MAX_TOOLS

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def tool(name: str = "add", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA} | function}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: Any, *names: str) -> dict[str, Any]:
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def parsed(**given: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | given
    return orjson.loads(parse_chat(orjson.dumps(body)).conversation)


def offered(**given: Any) -> tuple[list[str], str, bool | None]:
    body = parsed(**given)
    names = [one["function"]["name"] for one in body["tools"]]
    return names, body["tool_choice"], body["parallel_tool_calls"]


TWO = [tool("add"), tool("sub")]


@pytest.mark.parametrize(
    ("given", "names", "mode", "parallel"),
    [
        ({}, ["add", "sub"], "auto", None),
        ({"tool_choice": "auto"}, ["add", "sub"], "auto", None),
        ({"tool_choice": "none"}, ["add", "sub"], "none", None),
        ({"tool_choice": "required"}, ["add", "sub"], "required", None),
        ({"tool_choice": "required", "parallel_tool_calls": False}, ["add", "sub"], "required", False),
        ({"tool_choice": named("sub")}, ["sub"], "required", False),
        ({"tool_choice": named("sub"), "parallel_tool_calls": True}, ["sub"], "required", True),
        ({"tool_choice": allowed("auto", "add")}, ["add"], "auto", None),
        ({"tool_choice": allowed("required", "sub", "add")}, ["add", "sub"], "required", None),
    ],
)
def test_what_is_offered(given: dict[str, Any], names: list[str], mode: str, parallel: bool | None) -> None:
    assert offered(tools=TWO, **given) == (names, mode, parallel)


@pytest.mark.parametrize("choice", ["none", "auto"])
def test_without_tools_there_is_nothing_to_offer(choice: str) -> None:
    assert "tools" not in parsed(tool_choice=choice, parallel_tool_calls=True)
    assert "tools" not in parsed(tool_choice=choice, parallel_tool_calls=True, tools=[])


def test_a_tool_reaches_the_template_as_it_is() -> None:
    given = tool(description="Adds.")
    assert parsed(tools=[given])["tools"] == [given]


def test_a_strict_tool_reaches_the_template_without_that_word() -> None:
    assert parsed(tools=[tool(strict=True)])["tools"] == [tool()]


@pytest.mark.parametrize("strict", [True, False])
def test_a_keyword_that_is_not_enforced_is_refused_of_a_strict_tool_alone(strict: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 7}}}
    given = tool(parameters=schema, strict=strict)
    if not strict:
        assert parsed(tools=[given])["tools"] == [tool(parameters=schema)]
        return
    with pytest.raises(ParameterError) as caught:
        parsed(tools=[tool("other"), given])
    assert caught.value.param == "tools[1].function.parameters.properties.a.multipleOf"


def test_no_parameters_are_no_arguments() -> None:
    (one,) = parsed(tools=[named("now")])["tools"]
    assert one["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ({}, "tools"),
        ("add", "tools"),
        (["add"], "tools[0]"),
        ([tool(), {}], "tools[1].type"),
        ([tool(), {"type": "custom", "custom": {"name": "x"}}], "tools[1].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": "add"}], "tools[0].function"),
        ([{"type": "function", "name": "add"}], "tools[0].function"),
        ([{"type": "function", "function": {}}], "tools[0].function.name"),
        ([tool("")], "tools[0].function.name"),
        ([tool("a b")], "tools[0].function.name"),
        ([tool("é")], "tools[0].function.name"),
        ([tool("x" * 65)], "tools[0].function.name"),
        ([tool("add\n")], "tools[0].function.name"),
        ([tool(), tool()], "tools[1].function.name"),
        ([tool(description=1)], "tools[0].function.description"),
        ([tool(parameters=[])], "tools[0].function.parameters"),
        ([tool(parameters="{}")], "tools[0].function.parameters"),
        ([tool(strict="yes")], "tools[0].function.strict"),
    ],
)
def test_wrong_tool_is_named(tools: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parsed(tools=tools)
    assert caught.value.param == param
    assert f"'{param}'" in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("any", "tool_choice"),
        (True, "tool_choice"),
        ([], "tool_choice"),
        ({}, "tool_choice"),
        ({"type": "custom"}, "tool_choice"),
        ({"type": "function"}, "tool_choice.function"),
        ({"type": "function", "function": {}}, "tool_choice.function.name"),
        ({"type": "function", "function": {"name": 1}}, "tool_choice.function.name"),
        (named("mul"), "tool_choice"),
        ({"type": "allowed_tools"}, "tool_choice.allowed_tools"),
        (allowed("none", "add"), "tool_choice.allowed_tools.mode"),
        (allowed("auto"), "tool_choice.allowed_tools.tools"),
        (allowed("auto", "a b"), "tool_choice.allowed_tools.tools[0].function.name"),
        (allowed("auto", "add", "mul"), "tool_choice"),
    ],
)
def test_wrong_choice_is_named(choice: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parsed(tools=TWO, tool_choice=choice)
    assert caught.value.param == param
    assert f"'{param}'" in str(caught.value)


@pytest.mark.parametrize("choice", ["required", named("add"), allowed("auto", "add")])
@pytest.mark.parametrize("tools", [{}, {"tools": []}])
def test_a_choice_of_nothing_is_refused(choice: Any, tools: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        parsed(tool_choice=choice, **tools)
    assert caught.value.param == "tool_choice"


def test_tools_are_bounded() -> None:
    assert len(parsed(tools=[tool(f"f{index}") for index in range(MAX_TOOLS)])["tools"]) == MAX_TOOLS
    with pytest.raises(ParameterError, match="at most 1024 tools") as caught:
        parsed(tools=[tool(f"f{index}") for index in range(MAX_TOOLS + 1)])
    assert caught.value.param == "tools"
