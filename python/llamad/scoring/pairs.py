"""Prompts and continuations as tokens, with the boundary between them where lm-evaluation-harness has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ParameterError
from ..jobs.inputs import check_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import _engine


def joined(
    native: _engine.Engine, prompt: str | Sequence[int], continuation: str | Sequence[int]
) -> tuple[list[int], int]:
    """Return the tokens of prompt and continuation together, and where the continuation begins.

    1. White space at the end of the prompt belongs to the continuation: tokens begin with their blank.
    2. The continuation's tokens are those of the whole text after those of the prompt.
    3. Where the prompt's are not the beginning of the whole text's, because a token would lie across the
       boundary, the continuation is tokenized by itself.
    4. A prompt without a token is replaced by the token that texts begin with, or else end with.

    Raises:
        ParameterError: one of them is neither text nor token ids; the continuation has no token, or nothing
            can stand before it; or a token id is not in the vocabulary.
    """
    prompt, continuation = check_prompt("prompt", prompt), check_prompt("continuation", continuation)
    if isinstance(prompt, str) and isinstance(continuation, str):
        context = prompt.rstrip()  # 1
        continuation = prompt[len(context) :] + continuation
        tokens = native.tokenize(context)
        whole = native.tokenize(context + continuation)
        if whole[: len(tokens)] == tokens:
            rest = whole[len(tokens) :]  # 2
        else:
            rest = native.tokenize(continuation, add_special=False)  # 3
    else:
        tokens = native.tokenize(prompt) if isinstance(prompt, str) else known(native, prompt, "prompt")
        rest = (
            native.tokenize(continuation, add_special=False)
            if isinstance(continuation, str)
            else known(native, continuation, "continuation")
        )
    if not rest:
        raise ParameterError("continuation must have at least one token", param="continuation")
    if not tokens:
        prefix = prefix_token(native)
        if rest[0] == prefix and len(rest) > 1:
            return rest, 1
        tokens = [prefix]  # 4
    return tokens + rest, len(tokens)


def prefix_token(native: _engine.Engine) -> int:
    """Return the token that stands before a text that nothing stands before.

    Raises:
        ParameterError: the model has neither a token for the beginning nor one for the end.
    """
    named = native.info.bos_token or native.info.eos_token
    if not named:
        message = "prompt must have at least one token: the model has none that begins or ends a text"
        raise ParameterError(message, param="prompt")
    return native.tokenize(named, add_special=False)[0]


def known(native: _engine.Engine, token_ids: Sequence[int], name: str) -> list[int]:
    """Return token ids that somebody has given, of which each is in the vocabulary.

    Raises:
        ParameterError: one is not; it blames `name`.
    """
    n_vocab = native.info.n_vocab
    for token in token_ids:
        if not 0 <= token < n_vocab:
            message = f"{name} must consist of token ids from 0 to {n_vocab - 1}, got {token}"
            raise ParameterError(message, param=name)
    return list(token_ids)
