"""`/tokenize`, `/detokenize` and `/apply-template`: what a request may say.

They are llama-server's. vLLM's `/tokenize` has another shape, which is told by its `prompt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..containers import ListOf
from ..errors import ParameterError
from ..fields import Boolean, Field, Integer, String, parse_fields
from .body import note_unknown, parse_object
from .conversation import CONVERSATION_FIELDS, Conversation, parse_conversation

MODEL_FIELD = Field("model", String(), "model")
"""Optional, where the server has only one."""

TOKENIZE_FIELDS = (
    MODEL_FIELD,
    Field("content", String(), "content"),
    Field("add_special", Boolean(), "add_special"),
    Field("parse_special", Boolean(), "parse_special"),
    Field("with_pieces", Boolean(), "with_pieces"),
    # vLLM's names.
    Field("prompt", String(), "prompt"),
    Field("add_special_tokens", Boolean(), "add_special_tokens"),
    Field("return_token_strs", Boolean(), "return_token_strs"),
)

DETOKENIZE_FIELDS = (MODEL_FIELD, Field("tokens", ListOf(Integer()), "tokens", required=True))

TEMPLATE_FIELDS = (MODEL_FIELD, *CONVERSATION_FIELDS)


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A text to be tokenized.

    Attributes:
        model: id of the model; None: the only one there is.
        text: what to tokenize.
        add_special: add the tokens that the model begins (and ends) its input with.
        parse_special: take the text of control tokens for those tokens.
        with_pieces: tell each token's text, too.
        counted: answer in vLLM's shape.
    """

    model: str | None
    text: str
    add_special: bool
    parse_special: bool
    with_pieces: bool
    counted: bool


def parse_tokenize(body: bytes) -> TokenizeRequest:
    """Parse and check the body of `/tokenize`.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type, or contradicts another.
    """
    values = _parse(TOKENIZE_FIELDS, body)
    counted = "prompt" in values
    if counted and "content" in values:
        raise ParameterError("'content' and 'prompt' exclude each other", param="prompt")
    if not counted and "content" not in values:
        raise ParameterError("'content' is required", param="content")
    return TokenizeRequest(
        model=values.get("model"),
        text=values["prompt" if counted else "content"],
        add_special=values.get("add_special_tokens", True) if counted else values.get("add_special", False),
        parse_special=values.get("parse_special", True),
        with_pieces=values.get("return_token_strs" if counted else "with_pieces", False),
        counted=counted,
    )


def parse_detokenize(body: bytes) -> tuple[str | None, list[int]]:
    """Parse and check the body of `/detokenize`; returns the model's id, if it is given, and the tokens.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing or has the wrong type.
    """
    values = _parse(DETOKENIZE_FIELDS, body)
    return values.get("model"), values["tokens"]


def parse_apply_template(body: bytes, *, trust_template: bool = False) -> tuple[str | None, Conversation]:
    """Parse and check the body of `/apply-template`; returns the model's id, if given, and the conversation.

    Args:
        body: as it came.
        trust_template: whether it may bring its own `chat_template`.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type, or contradicts another.
    """
    parsed = parse_object(body)
    model = parse_fields((MODEL_FIELD,), parsed).get("model")
    note_unknown(parsed, {field.name for field in TEMPLATE_FIELDS})
    return model, parse_conversation(parsed, trust_template=trust_template)


def _parse(table: tuple[Field, ...], body: bytes) -> dict[str, Any]:
    parsed = parse_object(body)
    note_unknown(parsed, {field.name for field in table})
    return parse_fields(table, parsed)
