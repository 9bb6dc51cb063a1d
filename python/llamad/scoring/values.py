"""`Score` and `Perplexity`: small frozen objects, no behaviour beyond arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a model holds a continuation to be after its prompt.

    Attributes:
        logprob: natural logarithm of the continuation's probability: the sum over its tokens.
        is_greedy: whether each of its tokens is the likeliest one at its place, so that greedy decoding
            would generate just this.
        token_ids: of the continuation.
        logprobs: of each of them.
    """

    logprob: float
    is_greedy: bool
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def mean_logprob(self) -> float:
        """Per token, by which continuations of different lengths can be compared."""
        return self.logprob / len(self.logprobs)

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative logprob of the continuation."""
        return math.exp(-self.mean_logprob)


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How badly a model predicts a text: as badly as if it guessed among so many tokens each time.

    Attributes:
        value: `exp(nll / n_tokens)`; 1 is certainty.
        nll: negative log-likelihood of all tokens that were predicted, in nats.
        n_tokens: how many were: all but the first, before which nothing stands.
    """

    value: float
    nll: float
    n_tokens: int
