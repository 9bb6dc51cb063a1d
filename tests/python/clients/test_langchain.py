"""LangChain's OpenAI integration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from .documented import run_python, snippets
from .questions import MODEL, GetWeather, Review

if TYPE_CHECKING:
    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def chat(server: ServerProcess) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=f"{server.url}/v1",
        api_key=SecretStr("none"),
        model=MODEL,
        temperature=0,
        max_completion_tokens=128,
        max_retries=0,
    )


def test_the_documented_snippet_answers(server: ServerProcess) -> None:
    assert "Tokyo" in run_python(snippets("LangChain", "python", server.url)[0])["answer"].content


def test_streamed_equals_whole(chat: ChatOpenAI) -> None:
    whole = chat.invoke("What is the capital of Japan?")
    assert "Tokyo" in whole.text
    chunks = list(chat.stream("What is the capital of Japan?"))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0


def test_batches(chat: ChatOpenAI) -> None:
    questions: list[Any] = ["What is the capital of Japan?", "What is the capital of Germany?"]
    tokyo, berlin = chat.batch(questions)
    assert "Tokyo" in tokyo.text
    assert "Berlin" in berlin.text


def test_bound_tools(chat: ChatOpenAI) -> None:
    with_tools = chat.bind_tools([GetWeather], tool_choice="GetWeather")
    message = with_tools.invoke("What is the weather in Tokyo, in celsius?")
    (call,) = message.tool_calls
    assert call["name"] == "GetWeather"
    GetWeather.model_validate(call["args"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: ChatOpenAI, method: Any) -> None:
    answer = chat.with_structured_output(Review, method=method).invoke("Rate this: the soup was cold.")
    assert isinstance(answer, Review)
