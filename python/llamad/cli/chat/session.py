"""`Session`: a model, a conversation with it, and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ContextLengthError, LlamadError
from .conversation import ConversationError
from .interrupt import Stopping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine import Engine
    from ...results import ChatResult
    from ...sampling import SamplingParams
    from .conversation import Conversation, Message
    from .screen import Screen

_WAYS_OUT = "/undo takes the last exchange back, /clear all of them"
_NOTHING = "no answer came; the conversation is what it was before"


class Session:
    """Asks, shows what comes, and keeps it.

    Attributes:
        engine: the loaded model.
        params: how it samples; may be replaced.
        conversation: what was said.
        answers: the results of all that was answered.
    """

    def __init__(
        self, engine: Engine, params: SamplingParams, conversation: Conversation, screen: Screen
    ) -> None:
        self.engine = engine
        self.params = params
        self.conversation = conversation
        self.answers: list[ChatResult] = []
        self._screen = screen

    def say(self, text: str) -> None:
        """Say something and show the answer. What cannot be answered is not kept.

        Raises:
            LlamadError: it cannot be answered.
        """
        before = self.conversation.messages
        self.conversation.say("user", text)
        self._answer(before)

    def retry(self) -> None:
        """Answer the last message of the user again.

        Raises:
            ConversationError: there is none.
            LlamadError: it cannot be answered.
        """
        before = self.conversation.messages
        self.conversation.unanswer()
        self._answer(before)

    def _answer(self, before: Sequence[Message]) -> None:
        """Answer what was said last; where nothing comes of it, everything is as it was before."""
        try:
            with Stopping() as stopping:
                result = self._stream(stopping)
        except LlamadError as error:
            self.conversation.restore(before)
            if isinstance(error, ContextLengthError):
                raise ConversationError(f"the context is full: {error}; {_WAYS_OUT}") from None
            raise
        finally:
            self._screen.end_answer()
        self.answers.append(result)
        if result.text:
            self.conversation.say("assistant", result.text)
        else:
            self.conversation.restore(before)
        self._remark(result)

    def _stream(self, stopping: Stopping) -> ChatResult:
        generation = self.engine.submit_chat(self.conversation.messages, self.params)
        stopping.watch(generation)
        for delta in generation:
            self._screen.reasoning(delta.reasoning)
            self._screen.content(delta.text)
        return generation.result()

    def _remark(self, result: ChatResult) -> None:
        if result.finish_reason == "cancelled":
            self._screen.note(f"[stopped; {'what came is kept' if result.text else _NOTHING}]")
        elif result.finish_reason == "length":
            full = result.usage.total_tokens >= self.engine.info.n_ctx
            why = f"the context is full; {_WAYS_OUT}" if full else "max_tokens reached"
            self._screen.note(f"[cut: {why}]")
        elif not result.text:
            self._screen.note(f"[{_NOTHING}]")

    def report(self) -> str:
        """Return what the last answer and the whole chat took, for people."""
        if not self.answers:
            return "nothing has been answered yet"
        last, n_ctx = self.answers[-1], self.engine.info.n_ctx
        usage, timings = last.usage, last.timings
        rate = f"{usage.completion_tokens / timings.decode_s:.1f} tok/s" if timings.decode_s else "- tok/s"
        generated = sum(answer.usage.completion_tokens for answer in self.answers)
        seconds = sum(answer.timings.decode_s for answer in self.answers)
        mean = f"{generated / seconds:.1f} tok/s" if seconds else "- tok/s"
        return (
            f"last answer: {usage.prompt_tokens} tokens read ({usage.cached_tokens} of them cached), "
            f"{usage.completion_tokens} written at {rate}, the first after {1000 * timings.ttft_s:.0f} ms\n"
            f"context: {usage.total_tokens} of {n_ctx} tokens\n"
            f"all answers: {len(self.answers)}, {generated} tokens written at {mean}"
        )
