"""What comes out: stop strings, whole characters, grammars, seeds, biases."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine

from tests.python.support import tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

GREEDY: dict[str, Any] = {"temperature": 0}
MULTI_BYTE = "é漢字🙂"


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as engine:
        yield engine


@pytest.mark.parametrize("start", [0, 1, 5, 11, 23, 40])
@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_a_stop_string_never_leaks(engine: Engine, start: int, length: int) -> None:
    free = engine.generate("hello world", max_tokens=96, **GREEDY).text
    stop = free[start : start + length]
    expected = free[: free.index(stop)]
    deltas = list(engine.stream("hello world", max_tokens=96, stop=stop, **GREEDY))
    assert "".join(delta.text for delta in deltas) == expected
    result = engine.generate("hello world", max_tokens=96, stop=[stop, "never\n"], **GREEDY)
    assert (result.text, result.finish_reason, result.stop_string) == (expected, "stop", stop)


def test_text_held_back_for_a_stop_string_comes_out_when_it_does_not_appear(engine: Engine) -> None:
    free = engine.generate("hello world", max_tokens=40, **GREEDY).text
    stop = free[-3:] + "\n"  # its beginning is the very end of the text
    result = engine.generate("hello world", max_tokens=40, stop=stop, **GREEDY)
    assert (result.text, result.finish_reason) == (free, "length")


def test_the_earliest_of_several_stop_strings_wins(engine: Engine) -> None:
    free = engine.generate("hello world", max_tokens=96, **GREEDY).text
    stops = [free[30:33], free[12:15]]
    result = engine.generate("hello world", max_tokens=96, stop=stops, **GREEDY)
    assert result.text == free[: min(free.index(stop) for stop in stops)]


@pytest.mark.parametrize("max_tokens", range(1, 14))
def test_characters_are_never_split(engine: Engine, max_tokens: int) -> None:
    # 2 + 3 + 3 + 4 bytes and one token per byte: most limits cut inside a character.
    sampling: Any = {"grammar": f'root ::= "{MULTI_BYTE}"+', "max_tokens": max_tokens, **GREEDY}
    deltas = list(engine.stream("hello", **sampling))
    text = "".join(delta.text for delta in deltas)
    whole = engine.generate("hello", **sampling)
    assert text == whole.text
    for delta in deltas:
        assert all(character in f"{MULTI_BYTE}\N{REPLACEMENT CHARACTER}" for character in delta.text)
    assert whole.usage.completion_tokens == max_tokens
    characters = (MULTI_BYTE * 2)[: len(text.rstrip("\N{REPLACEMENT CHARACTER}"))]
    assert text.rstrip("\N{REPLACEMENT CHARACTER}") == characters
    n_bytes = len(characters.encode())
    following = (MULTI_BYTE * 2)[len(characters)].encode()
    assert n_bytes <= max_tokens < n_bytes + len(following)


def test_bytes_that_are_no_character_become_replacement_characters(engine: Engine) -> None:
    stray = tiny_tokenizer.vocabulary().index("ÿ")  # the byte 0xFF, which UTF-8 never contains
    result = engine.generate("hello", max_tokens=4, logit_bias={stray: 1000.0}, **GREEDY)
    assert result.token_ids == [stray] * 4
    assert set(result.text) == {"\N{REPLACEMENT CHARACTER}"}


def test_a_grammar_restricts_the_output(engine: Engine) -> None:
    grammar = r'root ::= "{\"name\": \"" [a-z]{3,8} "\", \"age\": " [1-9] [0-9]? "}"'
    for seed in range(3):
        result = engine.generate("hello", grammar=grammar, max_tokens=64, temperature=1.0, seed=seed)
        person = json.loads(result.text)
        assert person["name"].isalpha()
        assert 1 <= person["age"] <= 99
        assert result.finish_reason == "stop"


def test_requests_with_and_without_grammar_run_together(engine: Engine) -> None:
    free = engine.generate("hello", max_tokens=24, **GREEDY).text
    bound = engine.submit("hello", grammar="root ::= [0-9]+", max_tokens=24, **GREEDY)
    unbound = engine.submit("hello", max_tokens=24, **GREEDY)
    assert bound.result(60).text.isdigit()
    assert unbound.result(60).text == free


def test_a_seed_makes_sampling_reproducible(engine: Engine) -> None:
    def sampled(seed: int | None) -> str:
        return engine.generate("hello", max_tokens=64, temperature=1.0, seed=seed).text

    assert sampled(7) == sampled(7)
    assert len({sampled(seed) for seed in (1, 2, 3)}) == 3
    assert len({sampled(None) for _ in range(3)}) == 3


def test_end_of_generation_token(engine: Engine) -> None:
    end = {tiny_tokenizer.END_OF_TURN_ID: 1000.0}
    ended = engine.generate("hello", max_tokens=8, logit_bias=end, **GREEDY)
    assert (ended.text, ended.finish_reason) == ("", "stop")
    assert ended.usage.completion_tokens == 1
    ignored = engine.generate("hello", max_tokens=8, logit_bias=end, ignore_eos=True, **GREEDY)
    assert ignored.finish_reason == "length"
    assert ignored.usage.completion_tokens == 8
    assert tiny_tokenizer.END_OF_TURN_ID not in ignored.token_ids


def test_a_forbidden_token_does_not_appear(engine: Engine) -> None:
    free = engine.generate("hello", max_tokens=32, **GREEDY)
    forbidden = free.token_ids[0]
    changed = engine.generate("hello", max_tokens=32, logit_bias={forbidden: -math.inf}, **GREEDY)
    assert forbidden not in changed.token_ids


@pytest.mark.parametrize(
    "sampling",
    [
        {"top_k": 1},
        {"top_k": 0, "top_p": 0.5},
        {"min_p": 0.5},
        {"typical_p": 0.5},
        {"repeat_penalty": 1.3, "repeat_last_n": -1},
        {"frequency_penalty": 1.0, "presence_penalty": 1.0},
        {"dry_multiplier": 0.8},
        {"xtc_probability": 1.0, "xtc_threshold": 0.05},
        {"mirostat": 1},
        {"mirostat": 2},
    ],
    ids="-".join,
)
def test_every_sampler_runs_and_is_reproducible(engine: Engine, sampling: dict[str, Any]) -> None:
    first, again = (
        engine.generate("hello world", max_tokens=32, seed=11, ignore_eos=True, **sampling) for _ in range(2)
    )
    assert first.usage.completion_tokens == 32
    assert first.token_ids == again.token_ids


def test_top_k_of_one_is_greedy(engine: Engine) -> None:
    greedy = engine.generate("hello world", max_tokens=32, **GREEDY)
    assert engine.generate("hello world", max_tokens=32, top_k=1, seed=5).token_ids == greedy.token_ids


def test_a_strong_presence_penalty_avoids_repetition(engine: Engine) -> None:
    free = engine.generate("hello world", max_tokens=48, **GREEDY)
    penalized = engine.generate("hello world", max_tokens=48, repeat_penalty=1e6, repeat_last_n=-1, **GREEDY)
    assert len(set(penalized.token_ids)) > len(set(free.token_ids))
