"""The half of `Engine` and `AsyncEngine` that says how likely given text is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

from .. import request_options
from ..jobs.inputs import require_many
from .asked import Asked, place_of_pair, plan_pairs, plan_text
from .plan import perplexity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .. import _engine
    from ..request_options import RequestOptions
    from ..results import Result, Results
    from ..sampling import SamplingParams
    from .asked import Pair, Text
    from .values import Perplexity, Score

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
        prompt: Text | Iterable[Text],
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> list[Score]: ...
    def score(
        self: Generates,
        prompt: Text | Iterable[Text],
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
        progress: bool | None = None,
    ) -> Score | list[Score]:
        """Say how likely continuations of a prompt are; nothing is generated.

        What prompts have in common is computed once, however many continuations there are. What is scored
        are the tokens of the whole text after those of the prompt, as in lm-evaluation-harness: white space
        at the end of the prompt counts as part of the continuation. An empty prompt stands for the token that
        texts begin with (or else end with). What does not fit into the context loses the beginning of the
        prompt, and a continuation that does not fit alone is computed in windows of a context, each half of
        which is context of the other half.

        Args:
            prompt: text, or token ids taken as they are; or any number of such.
            continuation: the same. Of several prompts and several continuations there must be as many of the
                one as of the other, and each prompt has its own; else all share the one.
            options: priority, time-out and with whom to share.
            progress: whether to show a bar; None: where somebody sees it and there is more than one.

        Example:
            >>> paris, rome = engine.score("The capital of France is", [" Paris", " Rome"])
            >>> paris.logprob > rome.logprob
            True

        Returns:
            A score for each pair; just the score, of one prompt and one continuation.

        Raises:
            ParameterError: a continuation has no token, a token id is not in the vocabulary, or there are not
                as many continuations as prompts.
            RequestError, EngineClosedError, RequestTimeoutError, GenerationError: as `generate` does.
        """
        asked = Asked.of(prompt, continuation)
        plan = plan_pairs(self._native, asked.pairs, asked.place)
        scores = plan.scores(self.generate(plan.prompts, plan.params, options=options, progress=progress))
        return asked.told(scores)

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
        plan = plan_pairs(self._native, pairs, place_of_pair)
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
        prompt: Text | Iterable[Text],
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> list[Score]: ...
    async def score(
        self: AsyncGenerates,
        prompt: Text | Iterable[Text],
        continuation: Text | Iterable[Text],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> Score | list[Score]:
        """Say how likely continuations of a prompt are; see `Engine.score`."""
        asked = Asked.of(prompt, continuation)
        plan = await self._off_loop(partial(plan_pairs, self._native, asked.pairs, asked.place))
        scores = plan.scores(await self.generate(plan.prompts, plan.params, options=options))
        return asked.told(scores)

    async def loglikelihood(
        self: AsyncGenerates,
        pairs: Iterable[Pair],
        *,
        options: RequestOptions = request_options.DEFAULT,
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-likelihood, and whether it is the greedy one; see `Engine`."""
        require_many("pairs", _PAIRS, pairs)
        plan = await self._off_loop(partial(plan_pairs, self._native, list(pairs), place_of_pair))
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
