"""What is measured: models, prompts, streams and sampling, equal for both sides, and what to reach."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.prompts import random_words, user_message
from benchmarks.targets import OwnFigure, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GREEDY: dict[str, float] = {"temperature": 0.0}
SAMPLED: dict[str, float] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.0}

LONG_EVERY, LONG_OFFSET = 8, 4
"""Which conversations have a long prompt: in the middle of each eight, so that they have neighbours."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one user says: a request per turn, each with everything said before.

    Attributes:
        fields: of every request's body, but its messages.
        system: system prompt; "" sends none, and a chat template may then add its model's own.
        turns: the user's messages.
        is_long: its prompt is one of the long ones.
    """

    fields: Mapping[str, Any]
    system: str
    turns: tuple[str, ...]
    is_long: bool = False

    def body(self, answers: Sequence[str]) -> bytes:
        """JSON body of the turn that follows `answers`, the model's own to the turns so far."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn, answer in zip(self.turns, answers, strict=False):
            messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": self.turns[len(answers)]})
        return json.dumps({**self.fields, "messages": messages}).encode()


@dataclass(frozen=True, slots=True)
class Workload:
    """A load on a server.

    Attributes:
        name: row title.
        model: "smollm2", "tiny" or "nano".
        streams: conversations at once.
        conversations: how many in all; one of a single turn is a plain request.
        prompt_words: length of each user message, drawn from a seeded vocabulary.
        max_tokens: tokens that each answer has, exactly (`ignore_eos`).
        min_tokens: if given, each conversation draws its answers' length from here to `max_tokens`.
        slots: of the server; 0 as many as streams.
        turns: requests of each conversation, one after the other.
        system_words: length of a system prompt that all share; 0 none.
        long_words: if given, the length of every eighth conversation's messages.
        sampling: sampling fields of the request.
        n_ctx: context of one slot, in tokens.
        threads: compute threads; 0 takes one per core.
        targets: what llamad should reach.
    """

    name: str
    model: str
    streams: int
    conversations: int
    prompt_words: int
    max_tokens: int
    min_tokens: int = 0
    slots: int = 0
    turns: int = 1
    system_words: int = 0
    long_words: int = 0
    sampling: tuple[tuple[str, float], ...] = tuple(GREEDY.items())
    n_ctx: int = 2048
    threads: int = 0
    targets: tuple[Target, ...] = ()

    @property
    def n_slots(self) -> int:
        """How many slots each server gets."""
        return self.slots or self.streams

    def load(self, model_id: str, seed: int) -> list[Conversation]:
        """The conversations; the same seed gives the same."""
        system = random_words(random.Random(f"{seed}/system"), self.system_words)
        return [
            self._conversation(model_id, system, index, random.Random(f"{seed}/{index}"))
            for index in range(self.conversations)
        ]

    def warm_up(self, model_id: str) -> list[Conversation]:
        """A short request per slot, to fault in memory and build the compute graphs.

        None shares more with the load than what a chat template puts before every conversation.
        """
        one_each = replace(self, conversations=self.n_slots, turns=1, max_tokens=8, min_tokens=0)
        return replace(one_each, system_words=0, long_words=0).load(model_id, seed=-1)

    def _conversation(self, model_id: str, system: str, index: int, rng: random.Random) -> Conversation:
        # The length is drawn before the words, and so does not depend on how many there are.
        n_tokens = rng.randint(self.min_tokens or self.max_tokens, self.max_tokens)
        is_long = self.long_words > 0 and index % LONG_EVERY == LONG_OFFSET
        n_words = self.long_words if is_long else self.prompt_words
        fields = {
            "model": model_id,
            "max_tokens": n_tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "seed": index + 1,
            **dict(self.sampling),
        }
        turns = tuple(user_message(rng, n_words) for _ in range(self.turns))
        return Conversation(fields, system, turns, is_long)


@dataclass(frozen=True, slots=True)
class DecodeWorkload:
    """A batch of one-token prompts without a server, so that all of the work is decoding.

    Attributes:
        name: row title.
        model: "smollm2", "tiny" or "nano".
        prompts: how many, and as many slots.
        max_tokens: tokens that each generates, exactly.
        n_ctx: context of one slot, in tokens.
        threads: compute threads; 0 takes one per core.
        targets: what llamad should reach.
    """

    name: str
    model: str
    prompts: int
    max_tokens: int = 256
    n_ctx: int = 512
    threads: int = 0
    targets: tuple[Target, ...] = ()


AnyWorkload = Workload | DecodeWorkload


def _small(
    model: str, streams: int, max_tokens: int, sampling: dict[str, float], targets: tuple[Target, ...] = ()
) -> Workload:
    how = "greedy" if sampling is GREEDY else "sampled"
    return Workload(
        name=f"{model}, {streams} x {max_tokens}, {how}",
        model=model,
        streams=streams,
        conversations=max(streams, 2),
        prompt_words=40,
        max_tokens=max_tokens,
        sampling=tuple(sampling.items()),
        threads=1,
        targets=targets,
    )


_NO_LONG_PROMPTS = Workload(
    "no long prompts", "smollm2", streams=8, conversations=24, prompt_words=40, max_tokens=128, min_tokens=64
)
_LONG_PROMPTS = replace(
    _NO_LONG_PROMPTS,
    name="long prompts",
    long_words=1500,
    targets=(
        Target("neighbour_gap_ms", 0.1),
        Target("itl_p99_ms", 3.0, reference=OwnFigure(_NO_LONG_PROMPTS.name, "itl_p50_ms")),
        Target("tokens_per_s", 0.95, better="higher"),
    ),
)

_NANO_TARGETS = (Target("tokens_per_s", 2.2, better="higher"), Target("cpu_us_per_token", 0.45))
_TINY_TARGETS = (Target("tokens_per_s", 1.6, better="higher"),)
_DECODE_TARGETS = (Target("tokens_per_s", 0.95, better="higher"),)

WORKLOADS: tuple[AnyWorkload, ...] = (
    Workload(
        "smollm2, 1 stream", "smollm2", streams=1, conversations=4, prompt_words=180, max_tokens=64,
        targets=(Target("itl_p50_ms", 1.0), Target("ttft_p50_ms", 1.0)),
    ),
    Workload("smollm2, 8 streams", "smollm2", streams=8, conversations=16, prompt_words=180, max_tokens=64),
    Workload(
        "shared prefix", "smollm2", streams=8, conversations=24, prompt_words=20, max_tokens=48,
        system_words=800,
        targets=(Target("wall_s", 0.5), Target("ttft_p95_ms", 0.3)),
    ),
    _NO_LONG_PROMPTS,
    _LONG_PROMPTS,
    Workload(
        "conversations", "smollm2", streams=32, slots=8, conversations=32, turns=4, prompt_words=40,
        max_tokens=48, n_ctx=1024,
        targets=(Target("wall_s", 0.7), Target("prefilled_per_new", 1.1, reference="nothing")),
    ),
    DecodeWorkload("generate, 8 prompts", "smollm2", prompts=8, targets=_DECODE_TARGETS),
    DecodeWorkload("generate, 32 prompts", "smollm2", prompts=32, targets=_DECODE_TARGETS),
    _small("tiny", 1, 512, GREEDY),
    _small("tiny", 8, 512, GREEDY),
    _small("tiny", 32, 512, GREEDY, _TINY_TARGETS),
    _small("tiny", 32, 512, SAMPLED, _TINY_TARGETS),
    _small("nano", 1, 1024, GREEDY),
    _small("nano", 8, 1024, GREEDY),
    _small("nano", 32, 1024, GREEDY, _NANO_TARGETS),
    _small("nano", 32, 1024, SAMPLED, _NANO_TARGETS),
)  # fmt: skip


def quick(workload: AnyWorkload) -> AnyWorkload:
    """The same workload with few tokens, to see that everything works."""
    if isinstance(workload, DecodeWorkload):
        return replace(workload, max_tokens=16)
    return replace(
        workload,
        conversations=workload.streams,
        turns=min(workload.turns, 2),
        max_tokens=16,
        min_tokens=min(workload.min_tokens, 8),
        system_words=min(workload.system_words, 100),
        long_words=min(workload.long_words, 300),
    )
