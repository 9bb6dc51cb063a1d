"""What a generation returns: small frozen objects, no behaviour beyond arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from . import errors

if TYPE_CHECKING:
    from ._engine import Finish

FinishReason = Literal["stop", "length", "cancelled"]
"""Why a generation ended: an end-of-generation token or stop string, the token limit, or `cancel()`."""


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
class Delta:
    """One piece of a streamed generation.

    Attributes:
        text: new text; always whole UTF-8 characters, never part of a stop string. May be empty
            while characters or a possible stop string are held back.
        token_ids: the tokens sampled since the last delta.
    """

    text: str
    token_ids: list[int]


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
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    stop_string: str | None
    usage: Usage
    timings: Timings


_ERRORS: dict[str, type[errors.LlamadError]] = {
    "engine_closed": errors.EngineClosedError,
    "generation_failed": errors.GenerationError,
}


def result_from_finish(text: str, token_ids: list[int], finish: Finish) -> Result:
    """Build the `Result` of a request from what was delivered and its terminal event.

    Raises:
        EngineClosedError: the engine was closed under the request.
        GenerationError: decoding failed.
    """
    if finish.finish_reason == "error":
        raise_finish_error(finish)
    return Result(
        text=text,
        token_ids=token_ids,
        finish_reason=finish.finish_reason,
        stop_string=finish.stop_string,
        usage=Usage(finish.prompt_tokens, finish.completion_tokens, finish.cached_tokens),
        timings=Timings(finish.queue_s, finish.prefill_s, finish.decode_s),
    )


def raise_finish_error(finish: Finish) -> NoReturn:
    """Raise the exception that a terminal event of kind "error" stands for."""
    raise _ERRORS.get(finish.error_kind, errors.GenerationError)(finish.error_message)
