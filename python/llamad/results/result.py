"""`Result`: a finished generation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from .. import errors
from .show import cut, facts, panel, plain
from .tokens import Timings, Usage, token_logprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._engine import Finish
    from .tokens import TokenLogprobs

FinishReason = Literal["stop", "length", "cancelled"]
"""Why a generation ended: an end-of-generation token or stop string, the token limit, or `cancel()`
(of `RequestTimeoutError.partial`: the time-out)."""


@dataclass(frozen=True, slots=True, repr=False)
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
        parsed: what `json_schema` made of the text; None where there was no schema, or the text ended
            before its JSON did.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    stop_string: str | None
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprobs, ...] | None = None
    prompt_logprobs: tuple[TokenLogprobs, ...] | None = None
    parsed: Any = None

    @property
    def cumulative_logprob(self) -> float | None:
        """Logarithm of the probability of the whole generation; None without `logprobs`."""
        return None if self.logprobs is None else math.fsum(token.logprob for token in self.logprobs)

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second after the first one; None for fewer than two tokens.

        Other requests share the engine: `Results.tokens_per_s` is how fast all of them were together.
        """
        n_timed = self.usage.completion_tokens - 1
        return n_timed / self.timings.decode_s if n_timed > 0 and self.timings.decode_s > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as what JSON has: dictionaries, lists, text, numbers, None.

        Pydantic models in `parsed` are dumped; what else a schema's own parser made stays as it is.
        """
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "stop_string": self.stop_string,
            "usage": asdict(self.usage),
            "timings": asdict(self.timings),
            "logprobs": _dicts(self.logprobs),
            "prompt_logprobs": _dicts(self.prompt_logprobs),
            "parsed": plain(self.parsed),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({cut(self.text, 60)!r}, {', '.join(facts(self))})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return panel([("text", self.text)], facts(self))


def _dicts(logprobs: tuple[TokenLogprobs, ...] | None) -> list[dict[str, Any]] | None:
    if logprobs is None:
        return None
    return [
        {"token_id": token.token_id, "logprob": token.logprob, "top": [list(pair) for pair in token.top]}
        for token in logprobs
    ]


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
