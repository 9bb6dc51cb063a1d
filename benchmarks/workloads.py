"""What is measured: models, prompts, streams and sampling, equal for both servers."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

GREEDY: dict[str, float] = {"temperature": 0.0}
SAMPLED: dict[str, float] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.0}

WORDS = (
    "river", "mountain", "harbor", "window", "garden", "engine", "letter", "copper", "winter", "forest",
    "signal", "bridge", "candle", "market", "silver", "thunder", "paper", "station", "orchard", "compass",
    "ladder", "blanket", "kettle", "valley", "meadow", "lantern", "library", "morning", "student", "doctor",
    "captain", "painter", "farmer", "teacher", "builder", "island", "village", "history", "travel", "quiet",
    "bright", "narrow", "ancient", "simple", "broken", "golden", "hidden", "careful", "sudden", "open",
    "late", "early",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the comparison.

    Attributes:
        name: row title.
        model: "smollm2", "tiny" or "nano".
        streams: requests at once; both servers get as many slots.
        requests: how many in all.
        prompt_words: length of each user message, drawn from a seeded vocabulary.
        max_tokens: tokens that each request generates, exactly (`ignore_eos`).
        sampling: sampling fields of the request.
        n_ctx: context of one slot, in tokens.
        threads: compute threads; 0 takes one per core.
    """

    name: str
    model: str
    streams: int
    requests: int
    prompt_words: int
    max_tokens: int
    sampling: tuple[tuple[str, float], ...] = tuple(GREEDY.items())
    n_ctx: int = 2048
    threads: int = 0

    def bodies(self, model_id: str, seed: int) -> list[bytes]:
        """JSON bodies of this workload's requests; the same seed gives the same bytes."""
        rng = random.Random(f"{self.name}/{seed}")
        return [self._body(model_id, rng, index, self.max_tokens) for index in range(self.requests)]

    def warm_up_bodies(self, model_id: str) -> list[bytes]:
        """A short request per stream, to fault in memory and build the compute graphs."""
        rng = random.Random(f"{self.name}/warm-up")
        return [self._body(model_id, rng, index, 8) for index in range(self.streams)]

    def _body(self, model_id: str, rng: random.Random, index: int, max_tokens: int) -> bytes:
        words = " ".join(rng.choice(WORDS) for _ in range(self.prompt_words))
        body = {
            "model": model_id,
            "messages": [{"role": "user", "content": f"{words}. Write a story with these words."}],
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "seed": index + 1,
            **dict(self.sampling),
        }
        return json.dumps(body).encode()


def _small(model: str, streams: int, max_tokens: int, sampling: dict[str, float]) -> Workload:
    how = "greedy" if sampling is GREEDY else "sampled"
    return Workload(
        name=f"{model}, {streams} x {max_tokens}, {how}",
        model=model,
        streams=streams,
        requests=max(streams, 2),
        prompt_words=40,
        max_tokens=max_tokens,
        sampling=tuple(sampling.items()),
        threads=1,
    )


WORKLOADS: tuple[Workload, ...] = (
    Workload("smollm2, 1 stream", "smollm2", streams=1, requests=4, prompt_words=180, max_tokens=64),
    Workload("smollm2, 8 streams", "smollm2", streams=8, requests=16, prompt_words=180, max_tokens=64),
    _small("tiny", 1, 512, GREEDY),
    _small("tiny", 8, 512, GREEDY),
    _small("tiny", 32, 512, GREEDY),
    _small("tiny", 32, 512, SAMPLED),
    _small("nano", 1, 1024, GREEDY),
    _small("nano", 8, 1024, GREEDY),
    _small("nano", 32, 1024, GREEDY),
    _small("nano", 32, 1024, SAMPLED),
)


def quick(workload: Workload) -> Workload:
    """The same workload with few tokens, to see that everything works."""
    return replace(workload, name=f"{workload.name}, quick", requests=workload.streams, max_tokens=16)
