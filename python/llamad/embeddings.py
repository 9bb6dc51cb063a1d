"""What embedders take and give: `EmbedderOptions`, `Embeddings`, `Ranking`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from .errors import ParameterError
from .jobs.inputs import check_prompt, check_text, require_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class EmbedderOptions(TypedDict, total=False):
    """How to load a model. Defaults are those of `EmbedderConfig` in `cpp/engine/embed/embedder_config.h`.

    Attributes:
        n_ctx: most tokens of one input, where the model was trained for more; 0 takes all that it was
            trained for. Default 8192.
        n_ubatch: most tokens of several inputs that are computed at once. Default 512.
        n_threads: compute threads; 0 takes the machine's cores. Default 0.
        n_gpu_layers, split_mode, tensor_split, main_gpu: as in `EngineOptions`.
        use_mmap: map the file instead of reading it. Default True.
        flash_attn: "auto", "on" or "off". Default "auto".
        max_queue: requests that may run and wait before `QueueFullError`. Default 256.
        request_timeout_s: seconds that a request may take before `RequestTimeoutError`; 0 is no limit.
            Default 0.
    """

    n_ctx: int
    n_ubatch: int
    n_threads: int
    n_gpu_layers: int | str
    split_mode: str
    tensor_split: Sequence[float]
    main_gpu: int
    use_mmap: bool
    flash_attn: str
    max_queue: int
    request_timeout_s: float


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of some inputs.

    Attributes:
        vectors: one for each input, in order, of `n_out` float32 each and of length 1. A memoryview:
            `numpy.asarray(vector)` copies nothing, and `vector.tolist()` makes a list.
        n_tokens: of each input.
    """

    vectors: tuple[memoryview[float], ...]
    n_tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well some documents answer a query.

    Attributes:
        scores: one for each document, in order; higher is better. What the model computes, which need
            be no probability.
        n_tokens: of the query and each document, together.
    """

    scores: tuple[float, ...]
    n_tokens: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Indices of the documents, best first; of equals the one that came first."""
        return tuple(sorted(range(len(self.scores)), key=lambda index: -self.scores[index]))


def checked_inputs(inputs: Iterable[str | Sequence[int]]) -> list[str | list[int]]:
    """Return what is to be embedded as the engine takes it.

    Raises:
        ParameterError: it is no list of inputs, or one of them is neither text nor token ids.
    """
    require_many("inputs", "an iterable of texts or lists of token ids", inputs)
    try:
        return [check_prompt(f"input[{index}]", one) for index, one in enumerate(inputs)]
    except ParameterError as error:
        # As the engine has it, and with it the API: which one is in the message.
        raise ParameterError(str(error), param="input") from None


def checked_documents(query: str, documents: Iterable[str]) -> list[str]:
    """Return documents as the engine takes them.

    Raises:
        ParameterError: they are no list of texts, or the query is no text.
    """
    check_text("query", query)
    require_many("documents", "an iterable of texts", documents)
    return [check_text(f"documents[{index}]", one) for index, one in enumerate(documents)]


def in_a_row(values: memoryview[float]) -> memoryview[float]:
    """Return float32 of any shape one after the other, where they are."""
    return values.cast("B").cast("f")
