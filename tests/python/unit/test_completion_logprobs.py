"""Log-probabilities as parallel lists, and where in the text each token stands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from llamad.openai.completion_logprobs import TextOffsets, logprobs_object, token_text, with_prompt
from llamad.results import TokenLogprobs


def offsets_of(pieces: list[bytes], text: str, start: int = 0) -> list[int]:
    offsets = TextOffsets(start)
    offsets.feed(pieces, text)
    return offsets.take(final=True)


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        ([], "", []),
        ([b"The", b" cap", b"ital"], "The capital", [0, 3, 7]),
        ([b"Gr", "ü".encode(), b"n"], "Grün", [0, 2, 3]),
        # A character of three tokens: all stand where it does.
        ([b"a", b"\xe2", b"\x82", b"\xac", b"b"], "a€b", [0, 1, 1, 1, 2]),
        # Bytes that are no character.
        ([b"a", b"\xff", b"b"], "a\ufffdb", [0, 1, 2]),
        ([b"a", b"\xe2", b"b"], "a\ufffdb", [0, 1, 1]),
        # Tokens that the text does not show: one that begins it, and one that ends it.
        ([b"<s>", b"Hi", b" you", b"</s>"], "Hi you", [0, 0, 2, 6]),
        # Control tokens that the prompt has spelled out.
        ([b"<s>", b"<s>", b"Hi"], "<s>Hi", [0, 3, 3]),
        # SentencePiece's blank before the first word.
        ([b" Hi", b" you"], "Hi you", [0, 2]),
        ([b"<s>", b" Hi", b" you"], "Hi you", [0, 0, 2]),
        # What a stop string has cut off.
        ([b"one", b" two", b" three"], "one tw", [0, 3, 3]),
        ([b"one", b" two", b" three"], "one", [0, 3, 3]),
        ([b"\xf0\x9f\x98\x80", b"!"], "\U0001f600!", [0, 1]),
    ],
)
def test_offsets(pieces: list[bytes], text: str, expected: list[int]) -> None:
    assert offsets_of(pieces, text) == expected


def test_offsets_count_from_where_the_text_begins() -> None:
    assert offsets_of([b" a", b"b", b"</s>"], " ab", start=10) == [10, 12, 13]


def test_a_token_waits_for_its_text_and_is_told_once() -> None:
    offsets = TextOffsets(5)
    offsets.feed([b"one", b" t"], "one")
    assert offsets.take(final=False) == [5]
    offsets.feed([b"wo"], "")
    assert offsets.take(final=False) == []
    offsets.feed([], " t")
    assert offsets.take(final=False) == [8]
    offsets.feed([b"</s>"], "wo")
    assert offsets.take(final=False) == [10]
    assert offsets.take(final=True) == [12]
    assert offsets.take(final=True) == []


def test_a_hidden_token_holds_up_nobody() -> None:
    offsets = TextOffsets()
    offsets.feed([b"<hidden>", b"a"], "")
    assert offsets.take(final=False) == []
    offsets.feed([], "a")
    assert offsets.take(final=False) == [0, 0]


@pytest.mark.parametrize("cut", range(8))
def test_any_cut_of_the_text_gives_the_same_offsets(cut: int) -> None:
    pieces, text = [b"a", "\u20ac".encode()[:1], "\u20ac".encode()[1:], b" bc", b"</s>"], "a\u20ac bc"
    offsets = TextOffsets()
    offsets.feed(pieces[: cut // 2], text[:cut])
    told = offsets.take(final=False)
    offsets.feed(pieces[cut // 2 :], text[cut:])
    assert told + offsets.take(final=True) == offsets_of(pieces, text)


def test_many_tokens_take_no_quadratic_time() -> None:
    n = 100_000
    assert offsets_of([b"ab"] * n, "ab" * n) == list(range(0, 2 * n, 2))


@pytest.mark.parametrize(
    ("piece", "text"),
    [(b" the", " the"), (b"", ""), (b"\xe2\x82", "bytes:\\xe2\\x82"), (b"a\xff", "bytes:\\x61\\xff")],
)
def test_a_token_as_text(piece: bytes, text: str) -> None:
    assert token_text(piece) == text


def pieces_of(ids: Sequence[int]) -> list[bytes]:
    return [f"<{token_id % 10}>".encode() for token_id in ids]


def test_the_lists_are_parallel_and_the_taken_token_is_among_the_likeliest() -> None:
    tokens = [
        TokenLogprobs(1, -0.5, ((1, -0.5), (2, -1.5))),
        TokenLogprobs(3, -4.0, ((2, -0.1),)),
        TokenLogprobs(4, -1.0, ()),
    ]
    assert logprobs_object(tokens, [0, 3, 6], pieces_of) == {
        "tokens": ["<1>", "<3>", "<4>"],
        "token_logprobs": [-0.5, -4.0, -1.0],
        "top_logprobs": [{"<1>": -0.5, "<2>": -1.5}, {"<2>": -0.1, "<3>": -4.0}, {"<4>": -1.0}],
        "text_offset": [0, 3, 6],
    }


def test_of_tokens_with_one_text_the_likelier_counts() -> None:
    (top,) = logprobs_object([TokenLogprobs(12, -3.0, ((2, -0.5), (12, -3.0)))], [0], pieces_of)[
        "top_logprobs"
    ]
    assert top == {"<2>": -0.5}


def test_an_impossible_token_has_a_number_all_the_same() -> None:
    said = logprobs_object([TokenLogprobs(1, -math.inf, ((2, -math.inf),))], [0], pieces_of)
    assert said["token_logprobs"] == [-9999.0]
    assert said["top_logprobs"] == [{"<2>": -9999.0, "<1>": -9999.0}]


def test_nothing_precedes_the_first_token_of_a_prompt() -> None:
    prompt = logprobs_object([TokenLogprobs(2, -1.0, ())], [3], pieces_of)
    generated = logprobs_object([TokenLogprobs(3, -2.0, ())], [6], pieces_of)
    assert with_prompt(b"<1>", prompt, generated) == {
        "tokens": ["<1>", "<2>", "<3>"],
        "token_logprobs": [None, -1.0, -2.0],
        "top_logprobs": [None, {"<2>": -1.0}, {"<3>": -2.0}],
        "text_offset": [0, 3, 6],
    }
