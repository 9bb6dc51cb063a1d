"""The messages of a chat: what each role may say, and what of it reaches the template."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError
from llamad.openai.chat_request import parse_chat
from llamad.openai.messages import MAX_MESSAGES

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "2"}


def conversation(*messages: Any, **given: Any) -> Any:
    body = {"model": "m", "messages": list(messages)} | given
    return orjson.loads(parse_chat(orjson.dumps(body)).conversation)


def calling(**changed: Any) -> dict[str, Any]:
    return CALLING | {"tool_calls": [CALL | changed]}


def function(**changed: Any) -> dict[str, Any]:
    return calling(function={"name": "add", "arguments": "{}"} | changed)


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
@pytest.mark.parametrize("content", ["x", "", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]])
def test_text_of_every_role(role: str, content: Any) -> None:
    message = {"role": role, "content": content, "name": "x"}
    assert conversation(message, USER)["messages"] == [message, USER]


def test_a_round_of_tools() -> None:
    messages = conversation(USER, CALLING, RESULT)["messages"]
    assert messages[0] == USER
    assert messages[1] == {"role": "assistant", "tool_calls": [CALL]}
    assert messages[2] == RESULT | {"name": "add"}


def test_a_result_keeps_its_own_name() -> None:
    named = RESULT | {"name": "other"}
    assert conversation(USER, CALLING, named)["messages"][2] == named


def test_a_result_of_an_unknown_call_has_no_name() -> None:
    assert conversation(USER, RESULT | {"tool_call_id": "c9"})["messages"][1] == RESULT | {
        "tool_call_id": "c9"
    }


def test_what_the_client_sends_back_of_an_answer_is_fine() -> None:
    """The official client dumps messages with every key, most of them null."""
    empty = dict.fromkeys(["refusal", "audio", "function_call", "annotations", "reasoning_content", "name"])
    answer = {"role": "assistant", "content": "Hello", "tool_calls": None} | empty
    assert conversation(USER, answer, USER)["messages"][1] == {"role": "assistant", "content": "Hello"}


def test_no_arguments_may_be_an_empty_string() -> None:
    """That is what some clients keep of a streamed call without arguments."""
    call = conversation(USER, function(arguments=""), RESULT)["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "add", "arguments": "{}"}


def test_reasoning_goes_back_to_the_template() -> None:
    answer = {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}
    assert conversation(USER, answer, USER)["messages"][1] == answer


@pytest.mark.parametrize(
    "said",
    [
        {"content": None, "refusal": "no"},
        {"refusal": "no", "tool_calls": []},
        {"content": "no", "refusal": None},
    ],
)
def test_a_refusal_is_a_content(said: dict[str, Any]) -> None:
    messages = conversation(USER, {"role": "assistant"} | said, USER)["messages"]
    assert messages[1] == {"role": "assistant", "content": "no"}


def test_a_refusing_part_is_a_text() -> None:
    answer = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert conversation(USER, answer, USER)["messages"][1]["content"] == [{"type": "text", "text": "no"}]


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Hi", ""),
        ({"content": "x"}, ".role"),
        ({"role": 1, "content": "x"}, ".role"),
        ({"role": "function", "name": "f", "content": "x"}, ".role"),
        ({"role": "User", "content": "x"}, ".role"),
        ({"role": "user"}, ".content"),
        ({"role": "user", "content": None}, ".content"),
        ({"role": "user", "content": 1}, ".content"),
        ({"role": "user", "content": []}, ".content"),
        ({"role": "user", "content": ["x"]}, ".content[0]"),
        ({"role": "user", "content": [{"text": "x"}]}, ".content[0].type"),
        ({"role": "user", "content": [{"type": ["text"], "text": "x"}]}, ".content[0].type"),
        ({"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}, ".content[1].type"),
        ({"role": "user", "content": [{"type": "text"}]}, ".content[0].text"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, ".content[0].type"),
        ({"role": "user", "content": "x", "name": 1}, ".name"),
        ({"role": "system"}, ".content"),
        ({"role": "developer", "content": {}}, ".content"),
        ({"role": "assistant"}, ".content"),
        ({"role": "assistant", "content": None, "tool_calls": []}, ".content"),
        ({"role": "assistant", "content": 1}, ".content"),
        ({"role": "assistant", "content": "x", "refusal": 1}, ".refusal"),
        ({"role": "assistant", "content": "x", "reasoning_content": 1}, ".reasoning_content"),
        ({"role": "assistant", "content": "x", "audio": {"id": "a"}}, ".audio"),
        ({"role": "assistant", "content": None, "function_call": {"name": "f"}}, ".function_call"),
        (CALLING | {"tool_calls": {}}, ".tool_calls"),
        (CALLING | {"tool_calls": ["x"]}, ".tool_calls[0]"),
        (calling(id=None), ".tool_calls[0].id"),
        (calling(id=""), ".tool_calls[0].id"),
        (calling(type="custom"), ".tool_calls[0].type"),
        (calling(type=None), ".tool_calls[0].type"),
        (calling(function=None), ".tool_calls[0].function"),
        (calling(function="add"), ".tool_calls[0].function"),
        (function(name=None), ".tool_calls[0].function.name"),
        (function(name=""), ".tool_calls[0].function.name"),
        (function(arguments=None), ".tool_calls[0].function.arguments"),
        (function(arguments={"a": 1}), ".tool_calls[0].function.arguments"),
        (function(arguments=" "), ".tool_calls[0].function.arguments"),
        (function(arguments="{"), ".tool_calls[0].function.arguments"),
        (function(arguments="[1]"), ".tool_calls[0].function.arguments"),
        ({"role": "tool", "content": "x"}, ".tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": 1}, ".tool_call_id"),
        ({"role": "tool", "tool_call_id": "c1"}, ".content"),
        ({"role": "tool", "tool_call_id": "c1", "content": {"a": 1}}, ".content"),
    ],
)
def test_wrong_message_is_named(message: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        conversation(USER, message, USER)
    assert caught.value.param == f"messages[1]{param}"
    assert f"'messages[1]{param}'" in str(caught.value)


ANSWER = {"role": "assistant", "content": "Once"}


@pytest.mark.parametrize(
    ("last", "given", "continues"),
    [
        (USER, {}, False),
        (USER, {"add_generation_prompt": True}, False),
        (USER, {"continue_final_message": False}, False),
        (ANSWER, {}, True),
        (ANSWER, {"add_generation_prompt": False}, True),
        (ANSWER, {"add_generation_prompt": True}, False),
        (ANSWER, {"continue_final_message": True}, True),
        (ANSWER, {"continue_final_message": True, "add_generation_prompt": False}, True),
        (ANSWER, {"continue_final_message": False}, False),
        (CALLING, {}, False),
        (RESULT, {}, False),
    ],
)
def test_which_last_message_is_continued(last: Any, given: dict[str, Any], continues: bool) -> None:
    assert conversation(USER, last, **given)["continue_final_message"] is continues


def test_an_empty_message_is_continued_as_an_empty_part() -> None:
    begun = {"role": "assistant", "content": ""}
    assert conversation(USER, begun)["messages"][-1]["content"] == [{"type": "text", "text": ""}]
    assert conversation(USER, begun, continue_final_message=False)["messages"][-1] == begun
    thought = begun | {"reasoning_content": "Hm"}
    assert conversation(USER, thought)["messages"][-1] == thought


@pytest.mark.parametrize(
    ("last", "given", "param"),
    [
        (USER, {"continue_final_message": True}, "continue_final_message"),
        (CALLING, {"continue_final_message": True}, "continue_final_message"),
        (RESULT, {"continue_final_message": True}, "continue_final_message"),
        (ANSWER, {"continue_final_message": True, "add_generation_prompt": True}, "add_generation_prompt"),
        (USER, {"add_generation_prompt": False}, "add_generation_prompt"),
        (ANSWER, {"continue_final_message": False, "add_generation_prompt": False}, "add_generation_prompt"),
    ],
)
def test_what_cannot_be_continued_is_refused(last: Any, given: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        conversation(USER, last, **given)
    assert caught.value.param == param


def test_messages_are_bounded() -> None:
    assert len(conversation(*[USER] * MAX_MESSAGES)["messages"]) == MAX_MESSAGES
    with pytest.raises(ParameterError, match="1 to 16384 messages") as caught:
        conversation(*[USER] * (MAX_MESSAGES + 1))
    assert caught.value.param == "messages"


def test_a_template_of_the_request_must_be_trusted() -> None:
    body = orjson.dumps({"model": "m", "messages": [USER], "chat_template": "{{ messages }}"})
    with pytest.raises(ParameterError, match="--trust-request-chat-template") as caught:
        parse_chat(body)
    assert caught.value.param == "chat_template"
    trusted = orjson.loads(parse_chat(body, trust_template=True).conversation)
    assert trusted["chat_template"] == "{{ messages }}"
