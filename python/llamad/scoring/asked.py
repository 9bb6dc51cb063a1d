"""What a caller asks to have scored, as a plan; errors name the item that is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from ..errors import ParameterError
from ..jobs.inputs import check_prompt, is_one_prompt
from .pairs import joined, known
from .plan import Plan
from .windows import checked, fitted, longest_window, require_two, sliding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .. import _engine
    from .values import Score

Text: TypeAlias = str | Sequence[int]
"""Text, or token ids taken as they are."""

Pair: TypeAlias = tuple[Text, Text]
"""A prompt and its continuation."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What `score` is asked: one pair or many.

    Attributes:
        pairs: of a prompt and its continuation.
        many: which of the parameters hold several: "prompt", "continuation", both or none.
    """

    pairs: list[Pair]
    many: frozenset[str]

    @classmethod
    def of(cls, prompt: Text | Iterable[Text], continuation: Text | Iterable[Text]) -> Self:
        """Pair prompts with continuations; where there is one of either, all share it.

        An empty list is an empty prompt, but no continuations.

        Raises:
            ParameterError: one is neither a text nor an iterable of texts, or there are several of both and
                not as many of the one as of the other.
        """
        is_empty_prompt = isinstance(prompt, Sequence) and not prompt
        prompts = None if is_empty_prompt else _several("prompt", prompt)
        continuations = _several("continuation", continuation)
        many = {"prompt": prompts, "continuation": continuations}
        return cls(
            _paired(prompts, continuations, cast("Text", prompt), cast("Text", continuation)),
            frozenset(name for name, items in many.items() if items is not None),
        )

    def place(self, index: int, param: str | None) -> str | None:
        """Return what to call the item of a pair, where a parameter is to blame that holds several."""
        return f"{param}[{index}]" if param in self.many else None

    def told(self, scores: list[Score]) -> Score | list[Score]:
        """Return the pairs' scores as they were asked for."""
        return scores if self.many else scores[0]


def _several(name: str, texts: Text | Iterable[Text]) -> list[Text] | None:
    """Return what there are several of; None of one text."""
    return None if is_one_prompt(texts, name) else list(cast("Iterable[Text]", texts))


def _paired(
    prompts: list[Text] | None, continuations: list[Text] | None, prompt: Text, continuation: Text
) -> list[Pair]:
    if prompts is None:
        return [(prompt, item) for item in ([continuation] if continuations is None else continuations)]
    if continuations is None:
        return [(item, continuation) for item in prompts]
    if len(prompts) != len(continuations):
        message = (
            f"continuation must be one, or one for each of the {len(prompts)} prompts, "
            f"got {len(continuations)}"
        )
        raise ParameterError(message, param="continuation")
    return list(zip(prompts, continuations, strict=True))


def place_of_pair(index: int, _: str | None) -> str:
    """Return what messages call one of a list of pairs."""
    return f"pairs[{index}]"


def plan_pairs(
    native: _engine.Engine, pairs: Iterable[Pair], place: Callable[[int, str | None], str | None]
) -> Plan:
    """Plan to score each pair's continuation.

    Args:
        native: tokenizes.
        pairs: of a prompt and its continuation.
        place: what messages call the item at an index, given which of "prompt" and "continuation" is to
            blame; None: just that.
    """
    longest = longest_window(native.info.n_ctx)
    windows = []
    for index, pair in enumerate(pairs):
        try:
            tokens, start = joined(native, *_pair(pair))
        except ParameterError as error:
            name = place(index, error.param)
            if name is None:
                raise
            raise ParameterError(f"{name}: {error}", param=name) from None
        windows.append(fitted(tokens, start, longest))
    return Plan(windows, n_top=1)


def _pair(value: object) -> Pair:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ParameterError(f"must be a pair of a prompt and its continuation, got {value!r}", param="pairs")
    return cast("Pair", tuple(value))


def plan_text(native: _engine.Engine, text: Text, window: int | None, stride: int | None) -> Plan:
    """Plan to predict each token of a text but the first."""
    window, stride = checked(window, stride, longest_window(native.info.n_ctx))
    text = check_prompt("text", text)
    tokens = native.tokenize(text) if isinstance(text, str) else known(native, text, "text")
    require_two(tokens, "text")
    return Plan([sliding(tokens, 1, window, stride)], n_top=0)
