"""`Plan`: the windows of one call in the order in which they are computed, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..sampling import SamplingParams
from .values import Perplexity, Score
from .windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..results import Result, TokenLogprobs


class Plan:
    """What is to be computed for some texts, each of one or more windows.

    Windows are computed in the order of their tokens: those that begin alike come one after the other, and
    what they share is computed once, whatever order they were asked in.

    Attributes:
        prompts: the tokens of each window.
        params: how to compute each of them: no token is generated.
    """

    def __init__(self, texts: Iterable[Iterable[Window]], *, n_top: int) -> None:
        """Plan to compute each text's windows, with so many of the likeliest tokens at each place."""
        windows = [(index, window) for index, text in enumerate(texts) for window in text]
        self._n_texts = 1 + windows[-1][0] if windows else 0
        self._order = sorted(range(len(windows)), key=lambda place: windows[place][1].tokens)
        self._owners = [index for index, _ in windows]
        starts = {window.start for _, window in windows}
        params = {start: _params(start, n_top) for start in starts}
        self.prompts = [windows[place][1].tokens for place in self._order]
        self.params = [params[windows[place][1].start] for place in self._order]

    def by_text(self, results: Sequence[Result]) -> list[list[TokenLogprobs]]:
        """Return the log-probabilities of each text's tokens, in order, of the results of `prompts`."""
        found: dict[int, tuple[TokenLogprobs, ...]] = {}
        for place, result in zip(self._order, results, strict=True):
            found[place] = result.prompt_logprobs or ()
        texts: list[list[TokenLogprobs]] = [[] for _ in range(self._n_texts)]
        for place, owner in enumerate(self._owners):
            texts[owner] += found[place]
        return texts

    def scores(self, results: Sequence[Result]) -> list[Score]:
        """Return each text's score, of the results of `prompts`."""
        return [_score(tokens) for tokens in self.by_text(results)]


def perplexity_of(tokens: Iterable[TokenLogprobs]) -> Perplexity:
    """Return the perplexity of a text whose tokens were predicted so."""
    logprobs = [token.logprob for token in tokens]
    nll = -math.fsum(logprobs)
    mean = nll / len(logprobs)
    return Perplexity(math.exp(mean) if mean < _LARGEST_EXPONENT else math.inf, nll, len(logprobs))


_LARGEST_EXPONENT = 709.0
"""Beyond it `math.exp` overflows."""


def _score(tokens: Sequence[TokenLogprobs]) -> Score:
    logprobs = tuple(token.logprob for token in tokens)
    return Score(
        logprob=math.fsum(logprobs),
        is_greedy=all(token.token_id == token.top[0][0] for token in tokens),
        token_ids=tuple(token.token_id for token in tokens),
        logprobs=logprobs,
    )


def _params(start: int, n_top: int) -> SamplingParams:
    return SamplingParams(max_tokens=0, temperature=0, prompt_logprobs=n_top, prompt_logprobs_start=start)
