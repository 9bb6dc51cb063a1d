"""Log-probabilities in the shape of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..results import Result, TokenLogprobs

Pieces = Callable[[Sequence[int]], list[bytes]]
"""The bytes of tokens: `AsyncEngine.token_pieces`."""

LOWEST = -9999.0
"""What stands for the logarithm of nothing, which JSON cannot say; OpenAI's number."""


def logprobs_object(tokens: Iterable[TokenLogprobs], pieces: Pieces) -> dict[str, Any]:
    """Return OpenAI's `logprobs` object for tokens in order.

    A token is written as text; one that is not whole UTF-8 characters has replacement characters there,
    and its true bytes in `bytes`.
    """
    content = []
    for token in tokens:
        ids = [token.token_id, *(token_id for token_id, _ in token.top)]
        values = [token.logprob, *(logprob for _, logprob in token.top)]
        taken, *top = [_entry(*pair) for pair in zip(pieces(ids), values, strict=True)]
        content.append(taken | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _entry(piece: bytes, logprob: float) -> dict[str, Any]:
    text = piece.decode(errors="replace")
    return {"token": text, "logprob": max(logprob, LOWEST), "bytes": list(piece)}


def without_end(tokens: Sequence[TokenLogprobs], result: Result) -> Sequence[TokenLogprobs]:
    """Leave away the token that ended the generation: it is no part of the answer."""
    ended = result.finish_reason == "stop" and result.stop_string is None
    return tokens[:-1] if ended else tokens
