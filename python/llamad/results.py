"""What a generation returns: small frozen objects, no behaviour beyond arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from . import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._engine import Finish

FinishReason = Literal["stop", "length", "cancelled"]
"""Why a generation ended: an end-of-generation token or stop string, the token limit, or `cancel()`
(of `RequestTimeoutError.partial`: the time-out)."""

NativeLogprobs = list[tuple[int, float, list[tuple[int, float]]]]
"""How the native engine delivers `TokenLogprobs`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one generation.

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


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds, measured on the engine thread.

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
        """Time to first token: queue and prefill."""
        return self.queue_s + self.prefill_s

    @property
    def total_s(self) -> float:
        """From submission until the end."""
        return self.queue_s + self.prefill_s + self.decode_s


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


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of a streamed generation.

    Attributes:
        text: new text; always whole UTF-8 characters, never part of a stop string. May be empty
            while characters or a possible stop string are held back.
        token_ids: the tokens sampled since the last delta.
        logprobs: one for each of them; None where `SamplingParams.logprobs` asked for none.
    """

    text: str
    token_ids: list[int]
    logprobs: tuple[TokenLogprobs, ...] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished generation.

    Attributes:
        text: the generated text, without the stop string that ended it.
        token_ids: every sampled token, the end-of-generation token included.
        finish_reason: "stop", "length" or "cancelled".
        stop_string: the stop string that ended the generation, if one did.
        usage: token counts.
        timings: where the time went.
        logprobs: one for each token; None where neither `SamplingParams.logprobs` asked for them nor
            `best_of` ranked by them.
        prompt_logprobs: one for each token of the prompt but the first, before which nothing stands;
            None where `SamplingParams.prompt_logprobs` asked for none.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    stop_string: str | None
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprobs, ...] | None = None
    prompt_logprobs: tuple[TokenLogprobs, ...] | None = None

    @property
    def cumulative_logprob(self) -> float | None:
        """Logarithm of the probability of the whole generation; None without `logprobs`."""
        return None if self.logprobs is None else math.fsum(token.logprob for token in self.logprobs)


def token_logprobs(native: NativeLogprobs) -> list[TokenLogprobs]:
    """Give names to what the native engine delivers."""
    return [TokenLogprobs(token_id, logprob, tuple(top)) for token_id, logprob, top in native]


def result_from_finish(
    text: str, token_ids: list[int], logprobs: Sequence[TokenLogprobs] | None, finish: Finish
) -> Result:
    """Build the `Result` of a request from what was delivered and its terminal event.

    Raises:
        EngineClosedError: the engine was closed under the request.
        RequestTimeoutError: it took too long; `partial` holds what was delivered.
        GenerationError: decoding failed.
    """
    reason = finish.finish_reason
    result = Result(
        text=text,
        token_ids=token_ids,
        finish_reason="cancelled" if reason == "error" else reason,
        stop_string=finish.stop_string,
        usage=Usage(finish.prompt_tokens, finish.completion_tokens, finish.cached_tokens),
        timings=Timings(finish.queue_s, finish.prefill_s, finish.decode_s),
        logprobs=None if logprobs is None else tuple(logprobs),
        prompt_logprobs=_prompt_logprobs(finish),
    )
    if reason == "error":
        raise error_of(finish.error_kind, finish.error_message, result)
    return result


def _prompt_logprobs(finish: Finish) -> tuple[TokenLogprobs, ...] | None:
    return None if finish.prompt_logprobs is None else tuple(token_logprobs(finish.prompt_logprobs))


def error_of(kind: str, message: str, partial: Result | None = None) -> errors.LlamadError:
    """Return the exception for a request that the engine has ended with an error.

    Args:
        kind: `error_kind` of the terminal event.
        message: its `error_message`.
        partial: what had been delivered, if that is of use.
    """
    match kind:
        case "engine_closed":
            return errors.EngineClosedError(message)
        case "queue_timeout":
            return errors.QueueTimeoutError(message)
        case "timeout":
            return errors.RequestTimeoutError(message, partial=partial)
        case _:
            return errors.GenerationError(message)
