"""A byte-level BPE tokenizer of a few hundred tokens, and a ChatML template."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gguf import TokenType

if TYPE_CHECKING:
    from gguf import GGUFWriter

BOS, END_OF_TURN, START_OF_TURN = "<|bos|>", "<|im_end|>", "<|im_start|>"
SPECIAL_TOKENS = (BOS, END_OF_TURN, START_OF_TURN)
BOS_ID, END_OF_TURN_ID, START_OF_TURN_ID = range(3)
PREFIX_ID, SUFFIX_ID, MIDDLE_ID = (len(SPECIAL_TOKENS) + byte for byte in (1, 2, 3))
"""Tokens for filling in the middle: those of bytes that no text has."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_WORDS = (
    " the", " and", " of", " to", " in", " is", " that", " one", " two", " three", " count", " story",
    " hello", " world", "user", "system", "assistant", "Hello", "The", "ing", "tion",
)  # fmt: skip


@cache
def _byte_alphabet() -> tuple[str, ...]:
    """The printable stand-in of each byte, as GPT-2's byte-level BPE defines it."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in visible)
    stand_ins = {byte: chr(256 + index) for index, byte in enumerate(hidden)}
    return tuple(chr(byte) if byte in visible else stand_ins[byte] for byte in range(256))


@cache
def merges() -> tuple[tuple[str, str], ...]:
    """The BPE merges: each word is built from left to right."""
    alphabet = _byte_alphabet()
    pairs: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        letters = [alphabet[byte] for byte in word.encode()]
        for end in range(1, len(letters)):
            pairs["".join(letters[:end]), letters[end]] = None
    return tuple(pairs)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every token in id order: specials, bytes, merges."""
    return SPECIAL_TOKENS + _byte_alphabet() + tuple(left + right for left, right in merges())


def is_printable(token: str) -> bool:
    """Whether the token is made of visible ASCII characters and blanks only."""
    blank = _byte_alphabet()[ord(" ")]
    return token not in SPECIAL_TOKENS and all(c == blank or "!" <= c <= "~" for c in token)


def add_to(writer: GGUFWriter) -> None:
    """Add the tokenizer's metadata and the chat template to a GGUF."""
    tokens = vocabulary()
    types = [TokenType.CONTROL] * len(SPECIAL_TOKENS)
    types += [TokenType.NORMAL] * (len(tokens) - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(tokens))
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in merges()])
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(END_OF_TURN_ID)
    writer.add_add_bos_token(value=True)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_infill_to(writer: GGUFWriter) -> None:
    """Add the tokens for filling in the middle."""
    for name, token in (("pre", PREFIX_ID), ("suf", SUFFIX_ID), ("mid", MIDDLE_ID)):
        writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", token)
