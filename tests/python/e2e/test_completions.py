"""Completions of real models over a real socket, through the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving
from tests.python.support.tiny_gguf import SMOLLM2_FILE, TinyModel, write_tiny_model
from tests.python.support.tiny_tokenizer import BOS_ID, MIDDLE_ID, PREFIX_ID, SUFFIX_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import OpenAI
    from openai.types import Completion

pytestmark = pytest.mark.timeout(300)

SMOLLM2 = SMOLLM2_FILE.removesuffix(".gguf")
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def client(smollm2_server: ServerProcess) -> Iterator[OpenAI]:
    with smollm2_server.client() as client:
        yield client


@pytest.fixture(scope="module")
def infill_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the model "infill", which has tokens for filling in the middle."""
    directory = tmp_path_factory.mktemp("infill")
    write_tiny_model(directory / "infill.gguf", TinyModel(infills=True))
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(directory, "--n-ctx", "256", *ONE_THREAD, log_path=log_path) as server:
        yield server


def complete(client: OpenAI, prompt: Any, model: str = SMOLLM2, **fields: Any) -> Completion:
    extra = {
        name: fields.pop(name)
        for name in ("return_token_ids", "ignore_eos", "guided_choice")
        if name in fields
    }
    completion: Completion = client.completions.create(
        model=model, prompt=prompt, temperature=0, extra_body=extra, **fields
    )
    return completion


def texts(completion: Completion) -> list[str]:
    assert [choice.index for choice in completion.choices] == list(range(len(completion.choices)))
    return [choice.text for choice in completion.choices]


def scores(choice: Any) -> Any:
    """The lists of a choice's log-probabilities; of the prompt's first token there are none."""
    assert choice.logprobs is not None
    return choice.logprobs


def token_ids(completion: Completion, index: int = 0) -> tuple[list[int], list[int]]:
    extra = completion.choices[index].model_extra or {}
    return extra["prompt_token_ids"], extra["token_ids"]


def test_it_continues_the_text(client: OpenAI) -> None:
    completion = complete(client, PROMPT, max_tokens=3)
    assert completion.object == "text_completion"
    assert completion.model == SMOLLM2
    assert texts(completion)[0].startswith(" Paris")
    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].logprobs is None
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


def test_the_length_is_sixteen_where_nobody_says_otherwise(client: OpenAI) -> None:
    usage = complete(client, PROMPT, ignore_eos=True).usage
    assert usage is not None
    assert usage.completion_tokens == 16


def test_a_text_scores_what_its_generation_did(client: OpenAI) -> None:
    """Generate greedily, then let the whole text be scored: the sums agree, and all was the likeliest."""
    said = complete(client, PROMPT, max_tokens=12, logprobs=2, return_token_ids=True)
    generated = scores(said.choices[0])
    prompt_ids, ids = token_ids(said)
    scored = scores(complete(client, [prompt_ids + ids], max_tokens=1, echo=True, logprobs=2).choices[0])
    first, last = len(prompt_ids), len(prompt_ids) + len(ids)
    again = scored.token_logprobs[first:last]
    assert sum(again) == pytest.approx(sum(generated.token_logprobs), abs=0.05)
    assert scored.tokens[first:last] == generated.tokens
    # As lm-evaluation-harness asks whether a text is what the model would say.
    likeliest = [max(top.values()) for top in scored.top_logprobs[first:last]]
    assert likeliest == again
    assert len(scored.tokens) == last + 1  # the one generated token, too


def test_echo_has_parallel_lists_whose_offsets_cut_the_text(client: OpenAI) -> None:
    prompt = "Grüße: 5 € für 日本 \U0001f600!"
    choice = complete(client, prompt, max_tokens=4, echo=True, logprobs=5).choices[0]
    assert choice.text.startswith(prompt)
    told = scores(choice)
    lists = (told.tokens, told.text_offset, told.token_logprobs, told.top_logprobs)
    assert len({len(one) for one in lists}) == 1
    assert (told.token_logprobs[0], told.top_logprobs[0]) == (None, None)
    assert all(5 <= len(top) <= 6 for top in told.top_logprobs[1:])
    ends = [*told.text_offset[1:], len(choice.text)]
    for token, start, end in zip(told.tokens, told.text_offset, ends, strict=True):
        if not token.startswith("bytes:"):
            assert choice.text[start:end] == token


@pytest.mark.parametrize("best_of", [2, 4])
def test_every_choice_has_the_scores_of_its_prompt(client: OpenAI, best_of: int) -> None:
    asked: dict[str, Any] = {"model": SMOLLM2, "prompt": PROMPT, "max_tokens": 2, "echo": True, "logprobs": 0}
    told = [scores(one) for one in client.completions.create(n=2, best_of=best_of, seed=1, **asked).choices]
    assert all("".join(one.tokens).startswith(PROMPT) for one in told)
    assert [one.text_offset[0] for one in told] == [0, 0]
    assert told[0].token_logprobs[:-2] == told[1].token_logprobs[:-2]


def test_the_prompt_alone_can_be_scored(client: OpenAI) -> None:
    completion = complete(client, PROMPT, max_tokens=0, echo=True, logprobs=0)
    choice = completion.choices[0]
    assert choice.text == PROMPT
    assert choice.finish_reason == "length"
    assert "".join(scores(choice).tokens) == PROMPT
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 0
    assert texts(complete(client, PROMPT, max_tokens=0, echo=True)) == [PROMPT]


def test_a_batch_says_what_each_prompt_says_alone(tiny_server: ServerProcess) -> None:
    prompts = [PROMPT, "Two plus two is", "The sun rises in the", "Roses are red, violets are"]
    eight: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "ignore_eos": True}
    with tiny_server.client() as client:
        alone = [texts(complete(client, prompt, **eight))[0] for prompt in prompts]
        together = complete(client, prompts, **eight)
        doubled = complete(client, prompts, n=2, **eight)
    assert len(set(alone)) == len(prompts)
    assert texts(together) == alone
    assert together.usage is not None
    assert together.usage.completion_tokens == 32
    assert texts(doubled) == [text for text in alone for _ in range(2)]


def test_text_and_its_tokens_are_the_same_prompt(client: OpenAI) -> None:
    by_text = complete(client, [PROMPT, "One two three"], max_tokens=4, return_token_ids=True)
    ids = [token_ids(by_text, index)[0] for index in range(2)]
    by_tokens = complete(client, ids, max_tokens=4, echo=True)
    assert texts(by_tokens) == [
        prompt + text for prompt, text in zip([PROMPT, "One two three"], texts(by_text), strict=True)
    ]
    assert texts(complete(client, ids[0], max_tokens=4)) == texts(by_text)[:1]


def test_streams_of_three_prompts_and_two_choices(client: OpenAI) -> None:
    prompts = [PROMPT, "Two plus two is", "The sun rises in the"]
    whole = complete(client, prompts, max_tokens=8, n=2, echo=True)
    told, reasons, switches, last = [""] * 6, [""] * 6, 0, -1
    usage = None
    stream: Any = complete(
        client, prompts, max_tokens=8, n=2, echo=True, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            told[choice.index] += choice.text
            reasons[choice.index] += choice.finish_reason or ""
            switches += choice.index != last
            last = choice.index
    assert told == texts(whole)
    assert reasons == ["length"] * 6
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens == 48
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert switches > 12  # so many there would be one after the other, the echoes first


def test_streamed_logprobs_are_those_of_the_whole(client: OpenAI) -> None:
    fields: dict[str, Any] = {"max_tokens": 12, "logprobs": 1}
    complete(client, PROMPT, **fields)  # both then find the prompt in the cache
    whole = scores(complete(client, PROMPT, **fields).choices[0])
    stream: Any = complete(client, PROMPT, stream=True, **fields)
    choices = [choice for chunk in stream for choice in chunk.choices]
    told: dict[str, list[Any]] = {
        name: [value for choice in choices for value in getattr(scores(choice), name)]
        for name in ("tokens", "token_logprobs", "text_offset")
    }
    assert told["tokens"] == whole.tokens
    assert told["text_offset"] == whole.text_offset
    assert told["token_logprobs"] == pytest.approx(whole.token_logprobs, abs=0.05)
    assert "".join(told["tokens"]) == "".join(choice.text for choice in choices)


def test_the_same_seed_holds_for_each_prompt(tiny_server: ServerProcess) -> None:
    with tiny_server.client() as client:

        def sampled(prompts: list[str], n: int) -> list[str]:
            return texts(
                client.completions.create(
                    model="tiny", prompt=prompts, n=n, max_tokens=24, seed=11, temperature=1
                )
            )

        one = sampled(["hello"], 3)
        assert len(set(one)) == 3
        assert sampled(["hello", "hello"], 3) == one * 2


def test_best_of_is_no_worse_than_the_first(client: OpenAI) -> None:
    fields: dict[str, Any] = {
        "model": SMOLLM2,
        "prompt": PROMPT,
        "max_tokens": 8,
        "temperature": 1.2,
        "seed": 3,
    }
    client.completions.create(**(fields | {"max_tokens": 1}))  # both then find the prompt in the cache
    every = client.completions.create(n=4, logprobs=0, **fields)
    best = client.completions.create(n=1, best_of=4, **fields)

    def mean(choice: Any) -> float:
        return float(sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs))

    assert best.choices[0].text == max(every.choices, key=mean).text
    assert len(best.choices) == 1
    assert best.usage is not None
    assert every.usage is not None
    assert best.usage.completion_tokens == every.usage.completion_tokens


def test_a_stop_string_ends_the_text(client: OpenAI) -> None:
    free = texts(complete(client, PROMPT, max_tokens=24))[0]
    stop = free[10:13]
    choice = complete(client, PROMPT, max_tokens=24, stop=stop).choices[0]
    assert choice.text == free[: free.index(stop)]
    assert choice.finish_reason == "stop"


def test_a_choice_is_all_that_is_said(client: OpenAI) -> None:
    completion = complete(
        client, "Is the sky blue? Answer:", max_tokens=8, guided_choice=[" maybe so", " 42"]
    )
    assert texts(completion)[0] in {" maybe so", " 42"}
    assert completion.choices[0].finish_reason == "stop"


def test_a_model_that_cannot_fill_in_the_middle_says_so(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, "def f():", suffix="return x")
    assert caught.value.param == "suffix"


def test_a_model_that_can_fills_in_the_middle(infill_server: ServerProcess) -> None:
    with infill_server.client() as client:
        filled = complete(
            client, "hello", model="infill", suffix=" world", max_tokens=4, return_token_ids=True
        )
        (model,) = client.models.list().data
    prompt_ids, ids = token_ids(filled)
    assert len(ids) == 4
    assert prompt_ids[:1] == [BOS_ID]
    assert [token for token in prompt_ids if token in {PREFIX_ID, SUFFIX_ID, MIDDLE_ID}] == [
        PREFIX_ID,
        SUFFIX_ID,
        MIDDLE_ID,
    ]
    assert prompt_ids[-1] == MIDDLE_ID
    assert "infill" in (model.model_extra or {})["capabilities"]


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ("", "prompt"),
        (["fine", ""], "prompt[1]"),
        ([10**6], "prompt"),
        ([[1], [10**6]], "prompt[1]"),
        (["fine", "long " * 2000], "prompt[1]"),
    ],
)
def test_a_prompt_that_cannot_be_honoured_is_named_and_none_runs(
    smollm2_server: ServerProcess, client: OpenAI, prompt: Any, param: str
) -> None:
    before = smollm2_server.metric("llamad_generation_tokens_total")
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt)
    assert caught.value.param == param
    assert smollm2_server.metric("llamad_generation_tokens_total") == before
