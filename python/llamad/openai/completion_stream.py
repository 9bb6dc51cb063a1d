"""The answer to a completion request as the events of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ..results import Usage
from . import sse
from .completion_logprobs import TextOffsets, logprobs_object
from .completion_response import head
from .usage import usage_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..choices import Choices, Step
    from ..results import TokenLogprobs
    from .completion_response import Answering, EchoedPrompt
    from .logprobs import Pieces


class CompletionWriter:
    """The events of one streamed completion, of any number of prompts and choices."""

    def __init__(self, answer: Answering, choices: Choices) -> None:
        """Answer a request.

        Args:
            answer: what is answered.
            choices: what is read; those of the first prompt come first.
        """
        self._request = answer.request
        self._prompts = answer.prompts
        self._choices = choices
        self._head = sse.DATA + orjson.dumps(head(self._request.model))[:-1] + b',"choices":['
        self._scores: list[_Scores] = []
        if self._request.sampling.logprobs is not None:
            self._scores = [
                _Scores(len(self._prompt_of(index).text), answer.pieces) for index in range(len(choices))
            ]
        self._wants_tokens = bool(
            self._scores or self._request.return_token_ids or self._request.continuous_usage
        )
        self._n_prompt = sum(len(prompt.token_ids) for prompt in self._prompts)
        self._n_generated = 0

    def first(self) -> bytes:
        """Return the chunks that repeat the prompts, where that was asked for."""
        request = self._request
        if not (request.echo or request.return_token_ids):
            return b""
        chunks = b""
        for index in range(len(self._choices)):
            prompt = self._prompt_of(index)
            choice = _choice(index, prompt.text)
            if request.return_token_ids:
                choice |= {"prompt_token_ids": prompt.token_ids, "token_ids": []}
            chunks += self._chunk(choice)
        return chunks

    def chunks(self, steps: Sequence[Step]) -> bytes:
        """Return the chunks that carry what is new."""
        chunks = b""
        for index, text, result in steps:
            choice = _choice(index, text, None if result is None else result.finish_reason)
            if self._wants_tokens:
                self._add_tokens(choice, text, final=result is not None)
            chunks += self._chunk(choice)
        return chunks

    def last(self, usage: Usage) -> bytes:
        """Return the end of the stream: token counts if asked for, and the sentinel."""
        if not self._request.include_usage:
            return sse.DONE
        counts = orjson.dumps(usage_object(usage))
        return self._head + b'],"usage":' + counts + b"}" + sse.END + sse.DONE

    def _prompt_of(self, index: int) -> EchoedPrompt:
        return self._prompts[index // self._request.n]

    def _add_tokens(self, choice: dict[str, Any], text: str, *, final: bool) -> None:
        index = choice["index"]
        token_ids, logprobs = self._choices.take_tokens(index)
        self._n_generated += len(token_ids)
        if self._scores:
            choice["logprobs"] = self._scores[index].take(logprobs or (), text, final=final)
        if self._request.return_token_ids:
            choice["token_ids"] = token_ids

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        end = b"]}"
        if self._request.continuous_usage:
            end = b'],"usage":%b}' % orjson.dumps(usage_object(Usage(self._n_prompt, self._n_generated, 0)))
        elif self._request.include_usage:
            end = b'],"usage":null}'
        return self._head + orjson.dumps(choice) + end + sse.END


def _choice(index: int, text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


class _Scores:
    """The log-probabilities of a streamed choice: each goes out with the text of its token."""

    def __init__(self, start: int, pieces: Pieces) -> None:
        self._offsets = TextOffsets(start)
        self._pieces = pieces
        self._waiting: list[TokenLogprobs] = []

    def take(self, new: Sequence[TokenLogprobs], text: str, *, final: bool) -> dict[str, Any]:
        """Take new tokens and new text; return the `logprobs` of the tokens whose text has gone out."""
        self._waiting += new
        self._offsets.feed(self._pieces([token.token_id for token in new]), text)
        offsets = self._offsets.take(final=final)
        ready, self._waiting = self._waiting[: len(offsets)], self._waiting[len(offsets) :]
        return logprobs_object(ready, offsets, self._pieces)
