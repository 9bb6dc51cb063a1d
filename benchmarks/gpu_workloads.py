"""What is measured on a GPU: Llama-shaped models, up to 128 streams, and what llamad should reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.build_peers import BATCHED_BENCH, LLAMA_SERVER
from benchmarks.gpu_models import SHAPES, TYPES
from benchmarks.targets import OwnFigure, Target
from benchmarks.workloads import GREEDY, SAMPLED, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAMS = (1, 8, 32, 64, 128)
PROMPT_WORDS = 16
PROMPT_TOKENS = 56
"""About what a prompt of so many words has with SmolLM2's template: what llama-batched-bench is given."""
MODELS = tuple(f"{shape}-{dtype}" for shape in SHAPES for dtype in TYPES)
DEFAULT_MODELS = ("1b-bf16", "8b-bf16", "8b-q4_k", "1b-q8_0")
"""In the order in which they are measured, for when time runs out."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row of the table.

    Attributes:
        figure: of llamad's.
        peer: program whose same figure divides it; "" where the target names a reference of its own.
        target: the bound on the quotient, if there is one.
    """

    figure: str
    peer: str
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """A workload and the rows that it gives."""

    workload: Workload
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        streams: of the decode workloads.
        max_tokens: of each of their answers.
        n_ctx: of each slot there.
        mixed_streams: of the other workloads.
        system_words: of the prompt that all share.
        long_words: of the long prompts.
    """

    streams: tuple[int, ...] = STREAMS
    max_tokens: int = 256
    n_ctx: int = 512
    mixed_streams: int = 32
    system_words: int = 800
    long_words: int = 1500


FULL = Scale()
QUICK = Scale(streams=(1, 4), max_tokens=16, n_ctx=256, mixed_streams=4, system_words=100, long_words=200)


def decode_measurements(model: str, scale: Scale) -> list[Measurement]:
    """Short prompts and long answers: all streams at once, a request each, on one server."""
    return [
        Measurement(
            Workload(
                name=f"{model}, {streams} x {scale.max_tokens}, {how}",
                model=model,
                streams=streams,
                conversations=streams,
                prompt_words=PROMPT_WORDS,
                max_tokens=scale.max_tokens,
                slots=max(scale.streams),
                sampling=tuple(sampling.items()),
                n_ctx=scale.n_ctx,
            ),
            _decode_comparisons(streams),
        )
        for streams in scale.streams
        for how, sampling in (("greedy", GREEDY), ("sampled", SAMPLED))
    ]


def _decode_comparisons(streams: int) -> tuple[Comparison, ...]:
    many, one = streams >= 64, streams == 1
    by_server = Target("tokens_per_s", 1.5 if many else 1.0, better="higher") if many or one else None
    by_batch = Target("decode_per_s", 0.85, better="higher") if many else None
    return (
        Comparison("tokens_per_s", LLAMA_SERVER, by_server),
        Comparison("decode_per_s", LLAMA_SERVER),
        Comparison("decode_per_s", BATCHED_BENCH, by_batch),
    )


def mixed_measurements(model: str, scale: Scale) -> list[Measurement]:
    """A long prompt that all share, and long prompts among short ones; with the ratios asked of a CPU.

    They are `benchmarks.workloads`' with more streams.
    """
    streams = scale.mixed_streams
    base = Workload(
        name="", model=model, streams=streams, conversations=3 * streams, prompt_words=40,
        max_tokens=scale.max_tokens // 2, min_tokens=scale.max_tokens // 4,
    )  # fmt: skip
    shared = replace(
        base, name=f"{model}, shared prefix", prompt_words=20, max_tokens=min(48, scale.max_tokens),
        min_tokens=0, system_words=scale.system_words,
    )  # fmt: skip
    plain = replace(base, name=f"{model}, no long prompts")
    long = replace(base, name=f"{model}, long prompts", long_words=scale.long_words)
    own_itl = OwnFigure(plain.name, "itl_p50_ms")
    return [
        Measurement(
            shared,
            (
                Comparison("wall_s", LLAMA_SERVER, Target("wall_s", 0.5)),
                Comparison("ttft_p95_ms", LLAMA_SERVER, Target("ttft_p95_ms", 0.3)),
            ),
        ),
        Measurement(plain, (Comparison("tokens_per_s", LLAMA_SERVER),)),
        Measurement(
            long,
            (
                Comparison("neighbour_gap_ms", LLAMA_SERVER, Target("neighbour_gap_ms", 0.1)),
                Comparison("itl_p99_ms", "", Target("itl_p99_ms", 3.0, reference=own_itl)),
                Comparison("tokens_per_s", LLAMA_SERVER, Target("tokens_per_s", 0.95, better="higher")),
            ),
        ),
    ]


def measurements(models: Sequence[str], scale: Scale) -> list[Measurement]:
    """All of them, in the order of the table."""
    return [
        one
        for model in models
        for one in (*decode_measurements(model, scale), *mixed_measurements(model, scale))
    ]
