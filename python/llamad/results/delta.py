"""`Delta`, `ChatDelta`: the pieces of a streamed generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokens import TokenLogprobs


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
class ChatDelta(Delta):
    """One piece of a streamed answer: `text` is its content alone.

    Tool calls are no text: `ChatResult.tool_calls` has them at the end.

    Attributes:
        reasoning: new text of the model's reasoning.
    """

    reasoning: str = ""
