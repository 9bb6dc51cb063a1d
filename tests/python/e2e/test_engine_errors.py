"""What cannot be done is its own exception with a message that helps, and never a crash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import llamad
import pytest
from llamad import Engine

from tests.python.support import damaged_gguf, tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=1, n_ctx=256, n_threads=1) as engine:
        yield engine


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(llamad.ModelNotFoundError, match=r"absent\.gguf") as caught:
        Engine(tmp_path / "absent.gguf")
    assert isinstance(caught.value, FileNotFoundError)


def test_an_unknown_option_is_told_with_those_that_are_known(tiny_model: Path) -> None:
    options: Any = {"n_contx": 64}
    with pytest.raises(
        llamad.ParameterError, match=r"unknown parameter n_contx; known are .*\bn_ctx,"
    ) as caught:
        Engine(tiny_model, **options)
    assert caught.value.param == "n_contx"


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(llamad.ModelError):
        Engine(tmp_path)


@pytest.mark.parametrize("write", [damaged_gguf.write_not_a_gguf, damaged_gguf.write_empty])
def test_not_a_gguf(tmp_path: Path, write: Any) -> None:
    with pytest.raises(llamad.InvalidModelError, match=r"model\.gguf"):
        Engine(write(tmp_path / "model.gguf"))


def test_truncated_header(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(llamad.InvalidModelError, match=r"model\.gguf.*header"):
        Engine(damaged_gguf.write_truncated_header(tiny_model, tmp_path / "model.gguf"))


def test_truncated_tensors(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(llamad.TruncatedModelError, match=r"model\.gguf"):
        Engine(damaged_gguf.write_truncated_tensors(tiny_model, tmp_path / "model.gguf"))


def test_every_truncation_is_noticed(tiny_model: Path, tmp_path: Path) -> None:
    content = tiny_model.read_bytes()
    path = tmp_path / "model.gguf"
    for tenths in range(10):
        path.write_bytes(content[: len(content) * tenths // 10])
        with pytest.raises(llamad.InvalidModelError):
            Engine(path)


def test_unknown_version(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(llamad.InvalidModelError):
        Engine(damaged_gguf.write_unknown_version(tiny_model, tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_parallel", 0),
        ("n_parallel", 1_000_000),
        ("n_ctx", -1),
        ("max_queue", -1),
        ("flash_attn", "maybe"),
        ("cache_type_k", "q3_x"),
        ("n_slots", 4),
    ],
)
def test_bad_engine_option(tiny_model: Path, option: str, value: object) -> None:
    options: Any = {option: value}
    with pytest.raises(llamad.ParameterError, match=option) as caught:
        Engine(tiny_model, **options)
    assert caught.value.param == option


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", math.nan),
        ("temperature", "hot"),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_k", -2),
        ("min_p", 2),
        ("typical_p", 0),
        ("repeat_penalty", 0),
        ("frequency_penalty", 3),
        ("presence_penalty", -3),
        ("mirostat", 3),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("stop", ["x"] * 65),
        ("stop", [""]),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {0: math.inf}),
        ("stop", 5),
        ("stop", None),
        ("stop", [5]),
        ("logit_bias", 5),
        ("logit_bias", None),
        ("logit_bias", [1, 2]),
        ("logit_bias", "ab"),
        ("dry_sequence_breakers", None),
        ("dry_sequence_breakers", 5),
        ("temprature", 0.5),
    ],
)
def test_bad_parameter(engine: Engine, name: str, value: object) -> None:
    sampling: Any = {name: value}
    with pytest.raises(llamad.ParameterError, match=name) as caught:
        engine.generate("hello", **sampling)
    assert caught.value.param == name
    assert isinstance(caught.value, ValueError)


def test_a_container_of_the_wrong_type_is_shown() -> None:
    with pytest.raises(llamad.ParameterError, match=r"^stop must be .*, got None$"):
        llamad.SamplingParams(stop=cast("Any", None))
    with pytest.raises(llamad.ParameterError, match=r"^logit_bias must be .*, got \[1, 2\]$"):
        llamad.SamplingParams(logit_bias=cast("Any", [1, 2]))


def test_one_string_stands_for_a_list_of_one() -> None:
    params = llamad.SamplingParams(stop="ab", dry_sequence_breakers="ab")
    assert params.stop == params.dry_sequence_breakers == ("ab",)


def test_logit_bias_beyond_the_vocabulary(engine: Engine) -> None:
    n_vocab = len(tiny_tokenizer.vocabulary())
    with pytest.raises(llamad.ParameterError, match=str(n_vocab)) as caught:
        engine.generate("hello", logit_bias={n_vocab: 1.0})
    assert caught.value.param == "logit_bias"


def test_token_ids_beyond_the_vocabulary(engine: Engine) -> None:
    n_vocab = len(tiny_tokenizer.vocabulary())
    for bad in (n_vocab, -1):
        with pytest.raises(llamad.ParameterError):
            engine.submit([tiny_tokenizer.BOS_ID, bad])
        with pytest.raises(llamad.ParameterError):
            engine.detokenize([bad])


def test_prompt_longer_than_the_context(engine: Engine) -> None:
    prompt = "hello world " * 600
    n_tokens = len(engine.tokenize(prompt))
    with pytest.raises(llamad.ContextLengthError) as caught:
        engine.generate(prompt)
    assert "256" in str(caught.value)
    assert str(n_tokens) in str(caught.value)


def test_one_bad_prompt_of_many_cancels_the_rest(engine: Engine) -> None:
    with pytest.raises(llamad.ContextLengthError):
        engine.generate(["hello", "hello world " * 600, "world"], max_tokens=64)
    assert engine.generate("hello", max_tokens=4, temperature=0).usage.completion_tokens == 4


def test_bad_grammar(engine: Engine) -> None:
    with pytest.raises(llamad.GrammarError) as caught:
        engine.generate("hello", grammar="root ::= (")
    assert isinstance(caught.value, llamad.RequestError)


def test_bad_messages(engine: Engine) -> None:
    messages: Any
    for messages in ([[]], [{"content": "no role"}], [["not an object"]], [5], 5):
        with pytest.raises(llamad.RequestError):
            engine.chat(messages)


def test_an_empty_prompt_is_answered_or_refused(tiny_model: Path) -> None:
    with Engine(tiny_model, n_parallel=1, n_ctx=256, n_threads=1) as engine:
        # Text gets a token from the tokenizer (its beginning-of-sequence); an empty list gets none.
        assert engine.generate("", max_tokens=4, temperature=0).usage.prompt_tokens == 1
        with pytest.raises(llamad.RequestError):
            engine.submit([])


def test_what_is_called_with_tokens_must_be_callable(engine: Engine) -> None:
    on_token: Any = 5
    with pytest.raises(llamad.ParameterError, match="on_token must be a function, got 5") as caught:
        engine.submit("hello", on_token=on_token)
    assert caught.value.param == "on_token"
