"""What is known of a generation's tokens: how many, how long they took, how likely they were."""

from __future__ import annotations

from dataclasses import dataclass

NativeLogprobs = list[tuple[int, float, list[tuple[int, float]]]]
"""How the native engine delivers `TokenLogprobs`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one generation, or of several: they can be added.

    Attributes:
        prompt_tokens: tokens of the prompt, after template and special tokens.
        completion_tokens: tokens generated, the end-of-generation token included.
        cached_tokens: how many of the prompt's tokens were already in the KV cache.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds, measured on the engine thread; they can be added.

    Attributes:
        queue_s: from submission until a slot was assigned.
        prefill_s: from the slot until the first token was sampled.
        decode_s: from the first token until the end.
    """

    queue_s: float
    prefill_s: float
    decode_s: float

    @property
    def ttft_s(self) -> float:
        """Time to first token, that is queue and prefill."""
        return self.queue_s + self.prefill_s

    @property
    def total_s(self) -> float:
        """From submission until the end."""
        return self.queue_s + self.prefill_s + self.decode_s

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            self.queue_s + other.queue_s,
            self.prefill_s + other.prefill_s,
            self.decode_s + other.decode_s,
        )


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """How likely the model held a token to be: natural logarithms of probabilities.

    Attributes:
        token_id: the token that was taken.
        logprob: its own.
        top: token id and logprob of the likeliest tokens at its place, likeliest first; as many as
            `SamplingParams.logprobs` asked for.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def token_logprobs(native: NativeLogprobs) -> list[TokenLogprobs]:
    """Give names to what the native engine delivers."""
    return [TokenLogprobs(token_id, logprob, tuple(top)) for token_id, logprob, top in native]
