"""How many tokens of a text are thoughts.

The engine's parser says which text is reasoning, not which tokens: the passages are looked up in the text
that was generated, and the tokens that begin or lie in one are counted. So what opens and closes a passage,
and blanks that the parser trims, do not count.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from .completion_logprobs import TextOffsets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._engine import _ChatEvent
    from .logprobs import Pieces


class Thoughts:
    """The passages of one choice's text that are reasoning."""

    __slots__ = ("_goes_on", "_passages")

    def __init__(self) -> None:
        self._passages: list[list[str]] = []
        self._goes_on = False

    def note(self, event: _ChatEvent) -> None:
        """Take what the parser has found next."""
        match event:
            case ("reasoning", str(text)) if self._goes_on:
                self._passages[-1].append(text)
            case ("reasoning", str(text)):
                self._passages.append([text])
                self._goes_on = True
            case _:
                self._goes_on = False

    def count_tokens(self, text: str, token_ids: Sequence[int], pieces: Pieces) -> int:
        """Return how many tokens of the text they take.

        Args:
            text: all that was generated.
            token_ids: its tokens.
            pieces: turns token ids into bytes.
        """
        if not self._passages:
            return 0
        offsets = TextOffsets()
        offsets.feed(pieces(token_ids), text)
        starts = offsets.take(final=True)
        n_tokens = begin = end = 0
        for part in self._parts_of(text):
            begin = text.find(part, end)
            if begin < 0:  # not as it was generated, which no parser is known to do
                continue
            end = begin + len(part)
            first, last = bisect_left(starts, begin), bisect_left(starts, end)
            begins_inside = first > 0 and (first == len(starts) or starts[first] > begin)
            n_tokens += last - first + begins_inside
        return n_tokens

    def _parts_of(self, text: str) -> Iterator[str]:
        for passage in self._passages:
            joined = "".join(passage)
            # Two passages that only markup stands between are told as one.
            yield from [joined] if joined in text else passage
