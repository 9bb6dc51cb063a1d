"""The half of `Engine` and `AsyncEngine` that says how likely given text is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, overload

from .. import request_options
from ..errors import ParameterError
from ..jobs.inputs import check_prompt, is_one_prompt, require_many
from .pairs import joined, known
from .plan import Plan, perplexity_of
from .windows import checked, fitted, longest_window, require_two, sliding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .. import _engine
    from ..request_options import RequestOptions
    from ..results import Result, Results
    from ..sampling import SamplingParams
    from .values import Perplexity, Score

    Text = str | Sequence[int]
    Pair = tuple[Text, Text]

T = TypeVar("T")

_PAIRS = "an iterable of pairs of a prompt and its continuation"


class Generates(Protocol):
    """What `Scoring` needs of an engine."""

    _native: _engine.Engine

    def generate(
        self,
        prompt: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        /,
        *,
        options: RequestOptions,
        progress: bool | None,
    ) -> Results[Result]: ...


class AsyncGenerates(Protocol):
    """What `AsyncScoring` needs of an engine."""

    _native: _engine.Engine

    async def generate(
        self,
        prompt: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        /,
        *,
        options: RequestOptions,
    ) -> Results[Result]: ...

    async def _off_loop(self, function: Callable[[], T]) -> T: ...


class Scoring:
    """Scores, log-likelihoods and perplexity, computed with everything else in common batches."""

    @overload
    def score(  # type: ignore[overload-overlap]  # an empty list of either is no text: it has no tokens
        self: Generates,
        prompt: Text,
        continuation: Text,
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> Score: ...
    @overload
    def score(
        self: Generates,
        prompt: Text,
        continuation: Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> list[Score]: ...
    def score(
        self: Generates,
        prompt: Text,
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> Score | list[Score]:
        """Say how likely continuations of a prompt are; nothing is generated.

        The prompt is computed once, however many continuations it has. What is scored are the tokens of the
        whole text after those of the prompt, as in lm-evaluation-harness: white space at the end of the
        prompt counts as part of the continuation. An empty prompt stands for the token that texts begin with
        (or else end with). What does not fit into the context loses the beginning of the prompt, and a
        continuation that does not fit alone is computed in windows of a context, each half of which is
        context of the other half.

        Args:
            prompt: text, or token ids taken as they are.
            continuation: one, or any number of them.
            options: priority, time-out and with whom to share.
            progress: whether to show a bar; None: where somebody sees it and there is more than one.

        Example:
            >>> paris, rome = engine.score("The capital of France is", [" Paris", " Rome"])
            >>> paris.logprob > rome.logprob
            True

        Raises:
            ParameterError: a continuation has no token, or a token id is not in the vocabulary.
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError: as `generate` does.
        """
        continuations, one = texts_of(continuation)
        pairs = [(prompt, item) for item in continuations]
        plan = plan_pairs(self._native, pairs, None if one else "continuation")
        scores = plan.scores(self.generate(plan.prompts, plan.params, options=options, progress=progress))
        return scores[0] if one else scores

    def loglikelihood(
        self: Generates,
        pairs: Iterable[Pair],
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-likelihood, and whether it is the greedy one.

        What lm-evaluation-harness calls by this name. Pairs that begin alike share what they compute,
        whatever order they come in.

        Args:
            pairs: of a prompt and its continuation; see `score`.
            options: priority, time-out and with whom to share.
            progress: as for `score`.

        Raises:
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError: as `score` does.
        """
        require_many("pairs", _PAIRS, pairs)
        plan = plan_pairs(self._native, pairs, "pairs")
        results = self.generate(plan.prompts, plan.params, options=options, progress=progress)
        return [(score.logprob, score.is_greedy) for score in plan.scores(results)]

    def perplexity(
        self: Generates,
        text: Text,
        *,
        window: int | None = None,
        stride: int | None = None,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> Perplexity:
        """Return how badly the model predicts a text of any length.

        `exp(-1/n · Σ ln p(tᵢ | tokens before it in its window))` over all tokens but the first, with windows
        that slide as in Hugging Face's "Perplexity of fixed-length models". Where the tokenizer begins each
        text with a token of its own, as most do, that is the first, and all of the text counts.

        Args:
            text: text, or token ids taken as they are; at least 2 tokens.
            window: most tokens that the model sees at once, 2 to `info.n_ctx - 1`; None: the most.
            stride: tokens that each next window adds, 1 to `window - 1`; each is predicted from at least
                `window - stride` others. A smaller one takes longer and is more exact. None: half a window.
            options: priority, time-out and with whom to share.
            progress: as for `score`.

        Raises:
            ParameterError: the text has less than two tokens, or one that is not in the vocabulary; window
                or stride is out of range.
            EngineClosedError, RequestTimeoutError, GenerationError: as `generate` does.
        """
        plan = plan_text(self._native, text, window, stride)
        results = self.generate(plan.prompts, plan.params, options=options, progress=progress)
        return perplexity_of(plan.by_text(results)[0])


class AsyncScoring:
    """The same on an event loop; cancelling the awaiting task cancels all of a call."""

    @overload
    async def score(  # type: ignore[overload-overlap]
        self: AsyncGenerates,
        prompt: Text,
        continuation: Text,
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> Score: ...
    @overload
    async def score(
        self: AsyncGenerates,
        prompt: Text,
        continuation: Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> list[Score]: ...
    async def score(
        self: AsyncGenerates,
        prompt: Text,
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> Score | list[Score]:
        """Say how likely continuations of a prompt are; see `Engine.score`."""
        continuations, one = texts_of(continuation)
        pairs = [(prompt, item) for item in continuations]
        plan = await self._off_loop(partial(plan_pairs, self._native, pairs, None if one else "continuation"))
        scores = plan.scores(await self.generate(plan.prompts, plan.params, options=options))
        return scores[0] if one else scores

    async def loglikelihood(
        self: AsyncGenerates,
        pairs: Iterable[Pair],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-likelihood, and whether it is the greedy one; see `Engine`."""
        require_many("pairs", _PAIRS, pairs)
        plan = await self._off_loop(partial(plan_pairs, self._native, list(pairs), "pairs"))
        results = await self.generate(plan.prompts, plan.params, options=options)
        return [(score.logprob, score.is_greedy) for score in plan.scores(results)]

    async def perplexity(
        self: AsyncGenerates,
        text: Text,
        *,
        window: int | None = None,
        stride: int | None = None,
        options: RequestOptions = request_options.DEFAULT,
    ) -> Perplexity:
        """Return how badly the model predicts a text of any length; see `Engine.perplexity`."""
        plan = await self._off_loop(partial(plan_text, self._native, text, window, stride))
        results = await self.generate(plan.prompts, plan.params, options=options)
        return perplexity_of(plan.by_text(results)[0])


def plan_pairs(native: _engine.Engine, pairs: Iterable[Pair], name: str | None) -> Plan:
    """Plan to score each pair's continuation.

    Args:
        native: tokenizes.
        pairs: of a prompt and its continuation.
        name: what messages call the list that the pairs are of; None where there is one.
    """
    longest = longest_window(native.info.n_ctx)
    windows = []
    for index, pair in enumerate(pairs):
        try:
            tokens, start = joined(native, *_pair(pair))
        except ParameterError as error:
            if name is None:
                raise
            raise ParameterError(f"{name}[{index}]: {error}", param=f"{name}[{index}]") from None
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


def texts_of(value: Text | Iterable[Text]) -> tuple[list[Text], bool]:
    """Return one text or several as a list, and whether it is one."""
    if is_one_prompt(value, "continuation"):
        return [cast("Text", value)], True
    return list(cast("Iterable[Text]", value)), False
