"""Log-probabilities in the shape of OpenAI's completions: parallel lists of tokens and numbers."""

from __future__ import annotations

import codecs
from itertools import chain
from typing import TYPE_CHECKING, Any

from .logprobs import LOWEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..results import TokenLogprobs
    from .logprobs import Pieces


class TextOffsets:
    """Where in a text its tokens begin, in characters; either may arrive before the other.

    A token that has no part in the text, such as one that ends the generation, begins where the next
    character stands. Of a character that is spread over several tokens, all begin where it does.
    """

    def __init__(self, start: int = 0) -> None:
        """Begin `start` characters into the text that the offsets speak of."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._start = start
        self._text = ""
        self._taken = 0
        self._waiting: list[str] = []

    def feed(self, pieces: Iterable[bytes], text: str) -> None:
        """Take more tokens, and more text."""
        self._waiting += [self._decoder.decode(piece) for piece in pieces]
        self._start += self._taken
        self._text = self._text[self._taken :] + text
        self._taken = 0

    def take(self, *, final: bool) -> list[int]:
        """Return the offsets of the tokens whose text has arrived; `final`: of all, for no more comes."""
        offsets = []
        for shown in self._waiting:
            length = self._length(shown, final=final)
            if length is None:
                break
            offsets.append(self._start + self._taken)
            self._taken += length
        del self._waiting[: len(offsets)]
        return offsets

    def _length(self, shown: str, *, final: bool) -> int | None:
        """Return how many characters of the text are this token's; None: that is still open."""
        if self._text.startswith(shown, self._taken):
            return len(shown)
        # SentencePiece writes a blank before the first word.
        if self._start == self._taken == 0 and shown[0] == " " and self._text.startswith(shown[1:]):
            return len(shown) - 1
        rest = self._text[self._taken : self._taken + len(shown)]
        return None if not final and shown.startswith(rest) else 0


def token_text(piece: bytes) -> str:
    r"""Return a token as text; where it is not whole characters, its bytes as OpenAI writes them.

    Example:
        >>> token_text(b"\xe2\x82")
        'bytes:\\xe2\\x82'
    """
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def logprobs_object(
    tokens: Sequence[TokenLogprobs], offsets: Sequence[int], pieces: Pieces
) -> dict[str, Any]:
    """Return OpenAI's `logprobs` object.

    Args:
        tokens: in order.
        offsets: where each begins in the text of the choice.
        pieces: turns token ids into bytes.
    """
    ids = [(token.token_id, *(one for one, _ in token.top)) for token in tokens]
    texts = map(token_text, pieces(list(chain.from_iterable(ids))))
    named: list[str] = []
    top: list[dict[str, float]] = []
    for token in tokens:
        named.append(next(texts))
        likeliest: dict[str, float] = {}
        for _, logprob in token.top:
            likeliest.setdefault(next(texts), max(logprob, LOWEST))
        likeliest.setdefault(named[-1], max(token.logprob, LOWEST))
        top.append(likeliest)
    return {
        "tokens": named,
        "token_logprobs": [max(token.logprob, LOWEST) for token in tokens],
        "top_logprobs": top,
        "text_offset": list(offsets),
    }


def with_prompt(first: bytes, prompt: dict[str, Any], generated: dict[str, Any]) -> dict[str, Any]:
    """Join the `logprobs` of prompt and text; the first token has none, since nothing precedes it."""
    head: dict[str, Any] = {
        "tokens": token_text(first),
        "token_logprobs": None,
        "top_logprobs": None,
        "text_offset": 0,
    }
    return {key: [head[key], *prompt[key], *generated[key]] for key in head}
