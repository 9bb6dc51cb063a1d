"""Token counts, as OpenAI writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..results import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results import Result


def usage_of(results: Sequence[Result], n: int) -> Usage:
    """Return the token counts of all choices together.

    The prompt that choices share counts once, as OpenAI counts it. One of them computes it and the
    others copy it, so what a request found in the cache is what the one that found least has found.

    Args:
        results: of all choices.
        n: how many of them, in a row, have the same prompt.
    """
    usages = [result.usage for result in results]
    prompts = [usages[start : start + n] for start in range(0, len(usages), n)]
    return Usage(
        prompt_tokens=sum(same[0].prompt_tokens for same in prompts),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(min(usage.cached_tokens for usage in same) for same in prompts),
    )


def usage_object(usage: Usage, *, n_reasoning: int | None = None) -> dict[str, Any]:
    """Return the token counts as OpenAI's `usage` object.

    Args:
        usage: of all choices.
        n_reasoning: how many of the generated tokens were thoughts; None where that makes no sense.
    """
    counts: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
    if n_reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": n_reasoning}
    return counts
