"""Reuse of computed prefixes by models of every kind: same tokens as without, and no more than is safe.

Models with a full-size cache can go back to any token. One with a window that has moved on, or with a
recurrent state, can only go on from where it stands: a prompt that ends earlier or goes another way is
computed anew. In between are sliding windows with a full-size cache: their streams can be cut, but what
llama.cpp saves of one is the window at its end, so that a saved state can only be continued.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llamad import Engine, RequestOptions

from tests.python.support import tiny_tokenizer
from tests.python.support.server_process import wait_until
from tests.python.support.tiny_gguf import write_tiny_model
from tests.python.support.tiny_kinds import WINDOW, write_kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llamad import Delta, Generation, Result

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
N_TOKENS = 24
"""Length of an answer."""

_SMALLEST_MARGIN = 1e-4
"""Between the two likeliest tokens. Batches of other sizes move no logit at all where this was written; other
processors sum up in another order."""


@dataclass(frozen=True)
class Kind:
    """A model, how it is loaded, and whether its streams and their saved states can be cut."""

    name: str
    swa_full: bool = True
    can_trim: bool = False
    can_trim_states: bool = False


KINDS = {
    "full": Kind("full", can_trim=True, can_trim_states=True),
    "window": Kind("window", can_trim=True),
    "window-moving": Kind("window", swa_full=False),
    "recurrent": Kind("recurrent"),
    "hybrid": Kind("hybrid"),
}


@dataclass
class Rig:
    """Engines of one kind, and what they should answer."""

    kind: Kind
    path: Path
    answers: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def open(self, **options: Any) -> Engine:
        """Load the model with one slot and all of its prefix cache, unless `options` say otherwise."""
        defaults: dict[str, Any] = {"n_parallel": 1, "n_ctx": 1024, "n_threads": 1, "prefix_cache_mib": 64}
        # A window whose cache holds less than the prompts; nothing that rounds otherwise in larger batches.
        defaults |= {"n_ubatch": 32, "cache_type_k": "f32", "cache_type_v": "f32", "flash_attn": "off"}
        return Engine(self.path, swa_full=self.kind.swa_full, **(defaults | options))

    def expected(self, prompt: Sequence[int]) -> list[int]:
        """What an engine answers that has computed nothing before."""
        key = tuple(prompt)
        if key not in self.answers:
            with self.open(prefix_cache_mib=0) as engine:
                result = ask(engine, prompt, logprobs=2)
            assert result.logprobs is not None
            margins = [token.top[0][1] - token.top[1][1] for token in result.logprobs]
            assert min(margins) > _SMALLEST_MARGIN, "a close call: take another prompt"
            self.answers[key] = list(result.token_ids)
        return self.answers[key]

    def check(self, prompt: Sequence[int], result: Result, *, n_cached: int | None = None) -> None:
        """The result is right, and reused `n_cached` tokens of its prompt."""
        assert list(result.token_ids) == self.expected(prompt)
        assert n_cached is None or result.usage.cached_tokens == n_cached


@pytest.fixture(scope="module", params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    kind = KINDS[request.param]
    path = tmp_path_factory.mktemp("kind") / f"{kind.name}.gguf"
    return Rig(kind, write_tiny_model(path) if kind.name == "full" else write_kind(kind.name, path))


def text(seed: int, n_tokens: int) -> list[int]:
    """Random tokens, the same for the same seed."""
    rng = np.random.default_rng(seed)
    first = len(tiny_tokenizer.SPECIAL_TOKENS)
    return [int(token) for token in rng.integers(first, len(tiny_tokenizer.vocabulary()), n_tokens)]


def start(engine: Engine, prompt: Sequence[int], **sampling: Any) -> Generation[Delta, Result]:
    return engine.submit(prompt, **({"max_tokens": N_TOKENS, "temperature": 0} | sampling))


def ask(engine: Engine, prompt: Sequence[int], **sampling: Any) -> Result:
    return start(engine, prompt, **sampling).result(WAIT_S)


LONG = text(1, 5 * WINDOW)
SHARED = 3 * WINDOW + 10
"""How many tokens of `LONG` another prompt begins with: no multiple of what is computed at once."""
NOT_WORTH_WAITING_FOR = 32
"""Tokens that another request is about to have computed."""

OTHER = LONG[:SHARED] + text(2, 50)
UNRELATED = text(3, 4 * WINDOW)


def test_the_same_prompt_again(rig: Rig) -> None:
    with rig.open() as engine:
        rig.check(LONG, ask(engine, LONG), n_cached=0)
        for _ in range(2):
            rig.check(LONG, ask(engine, LONG), n_cached=len(LONG) - 1 if rig.kind.can_trim else 0)


def test_a_conversation_goes_on(rig: Rig) -> None:
    with rig.open() as engine:
        prompt = LONG
        n_cached = 0
        for turn in range(3):
            result = ask(engine, prompt)
            rig.check(prompt, result, n_cached=n_cached)
            n_cached = len(prompt) + N_TOKENS - 1  # the last token has been sampled, but not computed
            prompt = [*prompt, *result.token_ids, *text(10 + turn, 40)]


def test_a_prompt_that_shares_only_a_part(rig: Rig) -> None:
    with rig.open() as engine:
        rig.check(LONG, ask(engine, LONG), n_cached=0)
        rig.check(OTHER, ask(engine, OTHER), n_cached=SHARED if rig.kind.can_trim else 0)


@pytest.mark.parametrize("kv_unified", [False, True])
def test_requests_at_once_with_a_shared_prefix(rig: Rig, kv_unified: bool) -> None:
    prompts = [LONG[:SHARED] + text(20 + i, 30 + i) for i in range(4)]
    with rig.open(n_parallel=4, kv_unified=kv_unified) as engine:
        generations = [start(engine, prompt) for prompt in prompts]
        results = [generation.result(WAIT_S) for generation in generations]
        stats = engine.stats()
    cached = [result.usage.cached_tokens for result in results]
    for prompt, result, n_cached in zip(prompts, results, cached, strict=True):
        rig.check(prompt, result, n_cached=n_cached)
    assert max(cached) <= SHARED  # whoever comes while another's prompt is computed can go on from there
    if rig.kind.can_trim_states:
        assert sorted(cached)[1] > SHARED - NOT_WORTH_WAITING_FOR
    assert stats["cached_tokens"] == sum(cached)
    assert stats["prefilled_tokens"] == sum(map(len, prompts)) - sum(cached)


@pytest.mark.parametrize("kv_unified", [False, True])
def test_a_prefix_of_a_slot_that_goes_on_generating(rig: Rig, kv_unified: bool) -> None:
    with rig.open(n_parallel=2, kv_unified=kv_unified) as engine:
        first = start(engine, LONG, max_tokens=600)
        deltas = iter(first)
        next(deltas)
        rig.check(OTHER, ask(engine, OTHER), n_cached=SHARED if rig.kind.can_trim_states else None)
        assert len(list(deltas)) > 0  # all others
        assert list(first.result(WAIT_S).token_ids)[:N_TOKENS] == rig.expected(LONG)


def test_conversations_that_take_turns_in_one_slot(rig: Rig) -> None:
    prompts = [LONG, UNRELATED]
    n_cached = [0, 0]
    with rig.open() as engine:
        for turn in range(3):
            for i, prompt in enumerate(prompts):
                result = ask(engine, prompt)
                rig.check(prompt, result, n_cached=n_cached[i])
                n_cached[i] = len(prompt) + N_TOKENS - 1
                prompts[i] = [*prompt, *result.token_ids, *text(30 + turn, 20)]
        stats = engine.stats()
    assert stats["restored_tokens"] == stats["cached_tokens"] > 0
    assert stats["prefix_cache_bytes"] > 0


def test_a_stored_prefix_of_which_only_a_part_is_shared(rig: Rig) -> None:
    with rig.open() as engine:
        ask(engine, LONG)
        ask(engine, UNRELATED)  # takes the slot
        rig.check(OTHER, ask(engine, OTHER), n_cached=SHARED if rig.kind.can_trim_states else None)


def test_a_restored_stream_of_which_only_a_part_is_shared(rig: Rig) -> None:
    with rig.open() as engine:
        goes_on = [*LONG, *ask(engine, LONG).token_ids, *text(5, 20)]
        ask(engine, UNRELATED)  # takes the slot
        rig.check(goes_on, ask(engine, goes_on), n_cached=len(LONG) + N_TOKENS - 1)
        rig.check(OTHER, ask(engine, OTHER), n_cached=SHARED if rig.kind.can_trim_states else None)


def test_salts_keep_conversations_apart(rig: Rig) -> None:
    with rig.open() as engine:
        first = ask(engine, LONG, options=RequestOptions(cache_salt="a"))
        goes_on = [*LONG, *first.token_ids, *text(5, 20)]
        rig.check(goes_on, ask(engine, goes_on, options=RequestOptions(cache_salt="b")), n_cached=0)
        n_cached = len(LONG) + N_TOKENS - 1
        rig.check(goes_on, ask(engine, goes_on, options=RequestOptions(cache_salt="a")), n_cached=n_cached)


def test_a_conversation_goes_on_after_a_restart(rig: Rig, tmp_path: Path) -> None:
    with rig.open(prefix_cache_dir=str(tmp_path)) as engine:
        result = ask(engine, LONG)
    prompt = [*LONG, *result.token_ids, *text(4, 30)]
    with rig.open(prefix_cache_dir=str(tmp_path)) as engine:
        wait_until(lambda: engine.stats()["prefix_cache_entries"] > 0, "the stored state is found")
        rig.check(prompt, ask(engine, prompt), n_cached=len(LONG) + N_TOKENS - 1)
        assert engine.stats()["restored_tokens"] == len(LONG) + N_TOKENS - 1
