"""Requests that could take the process down: each gets an error of its own, and the engine goes on."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import Engine, SamplingParams, _engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

_HUGE = 2**31 - 1


@pytest.fixture(scope="module")
def engine(smollm2: Path) -> Iterator[Engine]:
    with Engine(smollm2, n_parallel=2, n_ctx=256, n_threads=1) as engine:
        yield engine


@pytest.fixture(autouse=True)
def goes_on(engine: Engine) -> Iterator[None]:
    before = engine.generate("The capital of France is", max_tokens=4, temperature=0).text
    yield
    assert engine.generate("The capital of France is", max_tokens=4, temperature=0).text == before


# llama.cpp ends the process when a grammar is handed an end-of-generation token too early, and its chain
# takes one where every token is ruled out.
@pytest.mark.parametrize("grammar", [r'root ::= "\x00"', r'root ::= "x" "\x00"'])
@pytest.mark.parametrize("top_k", [0, 1, 40])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_grammar_with_a_dead_end(engine: Engine, grammar: str, top_k: int, temperature: float) -> None:
    with pytest.raises(llamad.GenerationError, match="dead end"):
        engine.generate("Say:", grammar=grammar, top_k=top_k, temperature=temperature, max_tokens=8)


def test_grammar_that_ends_and_neighbour_unharmed(engine: Engine) -> None:
    neighbour = engine.submit("Once upon a time", max_tokens=24, temperature=0)
    with pytest.raises(llamad.GenerationError):
        engine.generate("Say:", grammar=r'root ::= "\x00"', max_tokens=8)
    assert neighbour.result(60).finish_reason == "length"
    assert engine.generate("Say:", grammar='root ::= "yes"', max_tokens=8).text == "yes"


@pytest.mark.parametrize(
    "grammar",
    [
        pytest.param("root ::= " + "(" * 100_000, id="nested"),
        pytest.param('root ::= "a" # ' + "x" * 300_000, id="large"),
        pytest.param("root ::= root", id="left recursion"),
        pytest.param("start ::= [a-z]", id="no root"),
    ],
)
def test_grammar_that_is_refused(engine: Engine, grammar: str) -> None:
    with pytest.raises(llamad.GrammarError) as caught:
        engine.generate("Say:", grammar=grammar, max_tokens=8)
    assert caught.value.param == "grammar"


@pytest.mark.parametrize(
    "sampling",
    [
        {"frequency_penalty": 1.0, "repeat_last_n": _HUGE},
        {"dry_multiplier": 1.0, "dry_penalty_last_n": _HUGE},
        {"temperature": 1e-40},
        {"temperature": 0.0, "typical_p": 0.2},
        {"logit_bias": {token: float("-inf") for token in range(1000)}, "temperature": 0},
    ],
)
def test_extreme_sampling_is_sampled(engine: Engine, sampling: dict[str, Any]) -> None:
    assert engine.generate("Once", max_tokens=4, ignore_eos=True, **sampling).usage.completion_tokens == 4


def test_text_that_cannot_fit_is_refused_before_it_is_tokenized(engine: Engine) -> None:
    with pytest.raises(llamad.ContextLengthError, match="20000000 bytes"):
        engine.generate("x" * 20_000_000)


def test_as_many_stop_strings_as_allowed(engine: Engine) -> None:
    stops = [f"never-{index}" for index in range(64)]
    message = {"role": "user", "content": "Hi"}
    assert engine.chat([message], stop=stops, max_tokens=4).usage.completion_tokens > 0


def test_too_large_a_cache_is_refused(smollm2: Path) -> None:
    with pytest.raises(llamad.ParameterError, match="n_ctx times n_parallel"):
        Engine(smollm2, n_ctx=16_777_216, n_parallel=256)


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ messages | no_such_filter }}", "{{ raise_exception('no') }}"]
)
def test_chat_template_that_cannot_be_used(tiny_model: Path, template: str) -> None:
    with pytest.raises(llamad.ModelLoadError, match=f"chat_template given for {tiny_model}"):
        Engine(tiny_model, n_ctx=64, n_parallel=1, chat_template=template)


def test_chat_template_that_begins_with_the_system_s_message(tiny_model: Path) -> None:
    template = (
        "{% if messages[0].role != 'system' %}{{ raise_exception('no system message') }}{% endif %}"
        "{% for message in messages %}{{ message.content }};{% endfor %}"
    )
    messages = [{"role": "system", "content": "be"}, {"role": "user", "content": "two"}]
    with Engine(tiny_model, n_ctx=64, n_parallel=1, chat_template=template) as engine:
        assert engine.chat(messages, max_tokens=1).usage.prompt_tokens == len(engine.tokenize("be;two;"))


def test_request_prepared_by_another_engine(smollm2: Path) -> None:
    def load() -> _engine.Engine:
        return _engine.Engine(_engine.EngineConfig(model_path=str(smollm2), n_ctx=64, n_parallel=1))

    other = load()
    prepared = other.prepare("Say:", SamplingParams(grammar='root ::= "yes"').native)
    other.close()
    del other
    gc.collect()
    engine = load()
    with pytest.raises(llamad.ParameterError, match="another engine"):
        engine.submit(prepared)
    engine.close()
