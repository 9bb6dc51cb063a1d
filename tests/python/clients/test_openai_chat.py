"""Chat completions through the official Python client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .documented import run_python, snippets
from .questions import CAPITAL, MODEL, user

if TYPE_CHECKING:
    from openai import OpenAI

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)


def test_documented_snippets_run(server: ServerProcess) -> None:
    first, second = snippets("openai, Python", "python", server.url)
    assert "Tokyo" in run_python(first)["completion"].choices[0].message.content
    variables = run_python(second)
    assert isinstance(variables["review"], variables["Review"])


def test_whole(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=CAPITAL, temperature=0, max_tokens=24)
    message = completion.choices[0].message
    assert "Tokyo" in (message.content or "")
    assert (message.role, message.tool_calls, message.refusal) == ("assistant", None, None)
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_streamed(client: OpenAI) -> None:
    fields: Any = {"model": MODEL, "messages": CAPITAL, "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**fields)
    stream = client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in choices) == whole.choices[0].message.content
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_helper_assembles_the_completion(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=CAPITAL, temperature=0, max_tokens=24
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        completion = stream.get_final_completion()
    assert len(deltas) > 1
    assert completion.choices[0].message.content == "".join(deltas)


def test_several_choices(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=user("Tell me a story."), n=3, seed=7, temperature=1.5, max_tokens=12
    )
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in completion.choices}) == 3
    assert {choice.finish_reason for choice in completion.choices} == {"length"}


def test_log_probabilities(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=CAPITAL, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert completion.usage is not None
    assert len(logprobs.content) == completion.usage.completion_tokens
    text = b"".join(bytes(token.bytes or []) for token in logprobs.content)
    assert text.decode() == completion.choices[0].message.content
    for token in logprobs.content:
        likeliest = token.top_logprobs
        assert len(likeliest) == 3
        assert likeliest == sorted(likeliest, key=lambda one: -one.logprob)
        # Greedy: the token drawn is the likeliest.
        assert (likeliest[0].token, likeliest[0].logprob) == (token.token, token.logprob)
        assert token.logprob <= 0


def test_streamed_log_probabilities_are_those_of_the_whole_answer(client: OpenAI) -> None:
    fields: Any = {"model": MODEL, "messages": CAPITAL, "temperature": 0, "max_tokens": 8, "logprobs": True}
    # The first request leaves its prompt in the cache, so that both of the others start alike.
    client.chat.completions.create(**fields)
    whole = client.chat.completions.create(**fields).choices[0].logprobs
    assert whole is not None
    assert whole.content is not None
    streamed = [
        token
        for chunk in client.chat.completions.create(**fields, stream=True)
        for choice in chunk.choices
        if choice.logprobs is not None
        for token in choice.logprobs.content or []
    ]
    assert [token.token for token in streamed] == [token.token for token in whole.content]
    for one, other in zip(streamed, whole.content, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=0.05)


def test_the_last_message_of_the_assistant_is_continued(client: OpenAI) -> None:
    prefill = [*CAPITAL, {"role": "assistant", "content": "It is the city of"}]
    completion = client.chat.completions.create(model=MODEL, messages=prefill, temperature=0, max_tokens=6)
    content = completion.choices[0].message.content or ""
    assert content.strip().startswith("Tokyo")


def test_content_parts_and_roles(client: OpenAI) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": "You answer in one sentence."},
        {"role": "user", "content": [{"type": "text", "text": "What is the capital "}]},
        {"role": "assistant", "content": "Of which country?"},
        {"role": "user", "content": [{"type": "text", "text": "What is the capital of Japan?"}]},
    ]
    completion = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=24)
    assert "Tokyo" in (completion.choices[0].message.content or "")


def test_extensions_travel_in_extra_body(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL,
        messages=CAPITAL,
        temperature=0,
        max_tokens=24,
        extra_body={"guided_choice": ["Osaka", "Kyoto"], "top_k": 40, "min_p": 0.05},
    )
    assert completion.choices[0].message.content in {"Osaka", "Kyoto"}


def test_request_ids_and_timings(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=CAPITAL, max_tokens=2, extra_headers={"x-request-id": "from-the-client"}
    )
    assert raw.headers["x-request-id"] == "from-the-client"
    assert float(raw.headers["openai-processing-ms"]) > 0
    assert raw.parse()._request_id == "from-the-client"
