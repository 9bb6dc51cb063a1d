"""Jobs without an engine: one or many, and whose parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llamad import ParameterError, SamplingParams
from llamad.jobs import (
    ChatJob,
    chat_job,
    chat_jobs,
    completion_job,
    is_one_conversation,
    is_one_prompt,
)
from llamad.request_options import DEFAULT

from tests.python.support.jobs import (
    NOBODY,
    TABLE,
    USER,
    chat,
    completion,
    completions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize("prompt", ["", "text", [1, 2], (1,), np.array([1, 2]), [np.int64(3)]], ids=repr)
def test_a_text_or_token_ids_are_one_prompt(prompt: Any) -> None:
    assert is_one_prompt(prompt)
    assert isinstance(completion(prompt).prompt, str | list)


@pytest.mark.parametrize(
    "prompts", [[], ["a"], [[1], [2]], ("a", "b"), iter(["a"]), {"a"}, TABLE["prompt"], np.array([[1, 2]])]
)
def test_other_iterables_are_many_prompts(prompts: Any) -> None:
    assert not is_one_prompt(prompts)
    assert all(job.prompt for job in completions(prompts))


@pytest.mark.parametrize("messages", ["", "hi", [USER], (USER, USER)], ids=repr)
def test_a_text_or_messages_are_one_conversation(messages: Any) -> None:
    assert is_one_conversation(messages)
    assert all(message["role"] == "user" for message in chat(messages).messages)


@pytest.mark.parametrize("conversations", [[], ["hi"], [[USER], "hi"], iter([[USER]]), ([USER],)])
def test_other_iterables_are_many_conversations(conversations: Any) -> None:
    assert not is_one_conversation(conversations)
    (job,) = chat_jobs([[USER]], options=DEFAULT, overrides={})
    assert isinstance(job, ChatJob)
    assert job.messages == (USER,)


@pytest.mark.parametrize("ask", [is_one_prompt, is_one_conversation])
@pytest.mark.parametrize("value", [None, 3, b"bytes", {"role": "user"}, TABLE], ids=repr)
def test_what_is_neither_is_refused(ask: Callable[[Any], bool], value: Any) -> None:
    with pytest.raises(ParameterError, match=r"must be a text, a list of .* or an iterable of those, got"):
        ask(value)


@pytest.mark.parametrize("wrong", [None, 1.5, [1, "a"], [True], b"x", [[1]], [-1], [2**40]], ids=repr)
def test_one_of_many_that_is_no_prompt_is_named(wrong: Any) -> None:
    jobs = completions(["fine", wrong])
    assert next(jobs).name == "prompt 0"
    refused = next(jobs)
    assert refused.name == "prompt 1"
    with pytest.raises(ParameterError, match=r"prompts\[1\] must be a text or a list of token ids") as caught:
        refused.prepare(NOBODY)
    assert caught.value.param == "prompts[1]"


def test_half_a_character_is_no_prompt() -> None:
    with pytest.raises(ParameterError, match=r"prompts\[0\] must be a text .* half a surrogate pair at 3"):
        next(completions(["abc\ud800"])).prepare(NOBODY)


@pytest.mark.parametrize("many", ["a text", None, 3, b"bytes", {"a": 1}, TABLE], ids=repr)
def test_what_holds_no_items_is_refused(many: Any) -> None:
    with pytest.raises(ParameterError, match="prompts must be an iterable of texts or lists of token ids"):
        completions(many)
    with pytest.raises(ParameterError, match="conversations must be an iterable of texts or lists of mess"):
        chat_jobs(many, options=DEFAULT, overrides={})


def test_what_says_nothing_of_sampling_or_scheduling_is_refused() -> None:
    wrong: Any
    for wrong in ({"temperature": 0}, [SamplingParams()], 3):
        with pytest.raises(ParameterError, match=r"^params must be SamplingParams, or None, got") as caught:
            completion_job("hello", wrong, options=DEFAULT, overrides={"max_tokens": 1})
        assert caught.value.param == "params"
    for wrong in (None, {"priority": 1}):
        with pytest.raises(ParameterError, match=r"^options must be RequestOptions, got"):
            completion_job("hello", options=wrong, overrides={})
        with pytest.raises(ParameterError, match=r"^options must be RequestOptions, got"):
            chat_jobs(["hello"], options=wrong, overrides={})
    for wrong in ("abc", 3, ["a"]):
        with pytest.raises(ParameterError, match=r"^template_kwargs must be a mapping .*, got"):
            chat_job("hello", options=DEFAULT, template_kwargs=wrong, overrides={})


@pytest.mark.parametrize("wrong", [None, 1.5, USER, ["hi"], b"x"], ids=repr)
def test_one_of_many_that_is_no_conversation_is_named(wrong: Any) -> None:
    jobs = chat_jobs([[USER], wrong], options=DEFAULT, overrides={})
    assert next(jobs).name == "conversation 0"
    refused = next(jobs)
    assert refused.name == "conversation 1"
    with pytest.raises(ParameterError, match=r"conversations\[1\] must be a text or a list of messages"):
        refused.prepare(NOBODY)


def test_prompts_are_read_as_jobs_are_asked_for() -> None:
    n_read = 0

    def prompts() -> Iterator[str]:
        nonlocal n_read
        for index in range(1000):
            n_read += 1
            yield str(index)

    jobs = completions(prompts())
    assert n_read == 0
    assert [next(jobs).prompt, next(jobs).prompt] == ["0", "1"]
    assert n_read == 2


# Parameters.


def test_overrides_go_over_parameters() -> None:
    assert completion("a", SamplingParams(seed=1, top_k=5), seed=2).params == SamplingParams(seed=2, top_k=5)
    assert completion("a").params == SamplingParams()


def test_each_may_have_parameters_of_its_own() -> None:
    jobs = list(completions(["a", "b"], [SamplingParams(seed=1), SamplingParams(seed=2)], max_tokens=3))
    assert [(job.params.seed, job.params.max_tokens) for job in jobs] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("n_params", [1, 3])
@pytest.mark.parametrize("sized", [True, False])
def test_as_many_parameters_as_prompts(n_params: int, sized: bool) -> None:
    prompts: Any = ["a", "b"] if sized else iter(["a", "b"])
    with pytest.raises(ParameterError, match=rf"params has {n_params} entries for .* prompts") as caught:
        list(completions(prompts, [SamplingParams()] * n_params))
    assert caught.value.param == "params"


@pytest.mark.parametrize("params", [3, "greedy", [{"seed": 1}, {"seed": 2}]], ids=repr)
def test_what_is_no_parameters_is_refused(params: Any) -> None:
    with pytest.raises(ParameterError, match="params must be a SamplingParams or a list of them"):
        completions(["a", "b"], params)


def test_mistakes_for_all_are_told_before_anything_is_read() -> None:
    with pytest.raises(ParameterError, match="temprature"):
        completions(iter([]), temprature=1)
    with pytest.raises(ParameterError, match="json_schema"):
        completions(iter([]), json_schema={"type": "strin"})
