"""The answer to a completion request that is not streamed."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .completion_logprobs import TextOffsets, logprobs_object, with_prompt
from .usage import usage_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._engine import Prepared
    from ..results import Result, Usage
    from .completion_request import CompletionRequest
    from .logprobs import Pieces

_KIND = "text_completion"


@dataclass(frozen=True, slots=True)
class EchoedPrompt:
    """A prompt as the answer repeats it.

    Attributes:
        text: what the text of its choices begins with; "" unless the request has `echo`.
        token_ids: its tokens.
    """

    text: str
    token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Answering:
    """What the writers of an answer need to know.

    Attributes:
        request: what is answered.
        prompts: of the request, in order.
        pieces: turns token ids into bytes.
    """

    request: CompletionRequest
    prompts: Sequence[EchoedPrompt]
    pieces: Pieces


def answering(request: CompletionRequest, prepared: Sequence[Prepared], pieces: Pieces) -> Answering:
    """Begin an answer; a prompt of text is repeated as it came, of token ids what they say."""
    prompts = []
    for prompt, tokenized in zip(request.prompts, prepared, strict=True):
        said = ""
        if request.echo:
            said = prompt if isinstance(prompt, str) else b"".join(pieces(prompt)).decode(errors="replace")
        prompts.append(EchoedPrompt(said, tokenized.prompt_token_ids))
    return Answering(request, prompts, pieces)


def head(model: str) -> dict[str, Any]:
    """Return what an answer, or each chunk of one, begins with."""
    identity = f"cmpl-{secrets.token_hex(12)}"
    return {"id": identity, "object": _KIND, "created": int(time.time()), "model": model}


def whole(answer: Answering, chosen: Sequence[Sequence[Result]], usage: Usage) -> bytes:
    """Return the body of an answer.

    Args:
        answer: what is answered.
        chosen: the choices of each prompt.
        usage: of all that was generated.
    """
    pairs = [
        (prompt, result) for prompt, results in zip(answer.prompts, chosen, strict=True) for result in results
    ]
    body = head(answer.request.model)
    body["choices"] = [_choice(answer, index, *pair) for index, pair in enumerate(pairs)]
    body["usage"] = usage_object(usage)
    return orjson.dumps(body)


def _choice(answer: Answering, index: int, prompt: EchoedPrompt, result: Result) -> dict[str, Any]:
    request = answer.request
    choice = {
        "index": index,
        "text": prompt.text + result.text,
        "logprobs": None if request.sampling.logprobs is None else _logprobs(answer.pieces, prompt, result),
        "finish_reason": result.finish_reason,
    }
    if request.return_token_ids:
        choice |= {"prompt_token_ids": prompt.token_ids, "token_ids": result.token_ids}
    return choice


def _logprobs(pieces: Pieces, prompt: EchoedPrompt, result: Result) -> dict[str, Any]:
    offsets = TextOffsets(len(prompt.text))
    offsets.feed(pieces(result.token_ids), result.text)
    generated = logprobs_object(result.logprobs or (), offsets.take(final=True), pieces)
    if result.prompt_logprobs is None:
        return generated
    said = pieces(prompt.token_ids)
    offsets = TextOffsets()
    offsets.feed(said, prompt.text)
    scored = logprobs_object(result.prompt_logprobs, offsets.take(final=True)[1:], pieces)
    return with_prompt(said[0], scored, generated)
