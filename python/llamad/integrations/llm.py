"""A plugin of the `llm` tool: the models of llamad's model directory, in the tool's own process.

    llm -m llamad/smollm2 "Three names for a pelican"
    llm embed -m llamad/minilm -c "How warm is it?"

Names are those of `Engine.from_pretrained`: of the catalog, fetched on first use, and of what lies in
the model directory (`LLAMAD_MODEL_DIRECTORY`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import llm
from llm.models import EmbeddingModel
from llm.parts import TextPart
from pydantic import Field

from llamad import Embedder, Engine
from llamad.models.metadata import read_metadata
from llamad.models.specs import scan
from llamad.pretrained import model_directory
from llamad.pull import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PREFIX = "llamad/"


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register what generates text."""
    for name in _names("generate"):
        register(LlamadModel(name))


@llm.hookimpl
def register_embedding_models(register: Callable[..., None]) -> None:
    """Register what embeds."""
    for name in _names("embed"):
        register(LlamadEmbeddingModel(name))


class LlamadModel(llm.Model):
    """A model that generates text; loaded on its first prompt, and kept."""

    can_stream = True
    supports_schema = True

    class Options(llm.Options):
        """What `-o NAME VALUE` may say; names and defaults are those of `SamplingParams`."""

        max_tokens: int | None = Field(default=None, description="Most tokens to generate")
        temperature: float | None = Field(default=None, description="0 is greedy, higher more random")
        top_k: int | None = Field(default=None, description="Keep the k likeliest tokens")
        top_p: float | None = Field(default=None, description="Keep the likeliest that add up to p")
        min_p: float | None = Field(default=None, description="Drop what is less likely than p times the top")
        seed: int | None = Field(default=None, description="Of the random generator")

    def __init__(self, name: str) -> None:
        self.model_id = _PREFIX + name
        self._name = name

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str]:
        """Answer a prompt and what came before it."""
        del conversation  # the prompt has its messages
        messages = [
            {
                "role": message.role,
                "content": "".join(part.text for part in message.parts if isinstance(part, TextPart)),
            }
            for message in prompt.messages
        ]
        options = {name: value for name, value in prompt.options if value is not None}
        answer = _engine(self._name).submit_chat(messages, json_schema=prompt.schema, **options)
        try:
            if stream:
                for delta in answer:
                    yield delta.text
            result = answer.result()
        finally:
            answer.cancel()
        if not stream:
            yield result.text
        response.set_usage(input=result.usage.prompt_tokens, output=result.usage.completion_tokens)


class LlamadEmbeddingModel(EmbeddingModel):
    """A model that embeds; loaded on first use, and kept."""

    batch_size = 1000

    def __init__(self, name: str) -> None:
        self.model_id = _PREFIX + name
        self._name = name

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """Yield the vector of each text."""
        del key  # there is no account to pay
        texts = [item.decode() if isinstance(item, bytes) else item for item in items]
        yield from _embedder(self._name).embed(texts, progress=False).tolist()


def _names(kind: str) -> Iterator[str]:
    """Yield the catalog's names, and the ids of the other models in the directory, of one kind."""
    entries = catalog()
    for name, entry in entries.items():
        if kind == ("embed" if entry.convert == "bert" else "generate"):
            yield name
    files = {entry.file_name for entry in entries.values()}
    for name, spec in scan(model_directory()).models.items():
        metadata: Any = None if spec.path.name in files else read_metadata(spec.path)
        if metadata is not None and metadata.kind == kind:
            yield name


@cache
def _engine(name: str) -> Engine:
    return Engine.from_pretrained(name, n_parallel=1)


@cache
def _embedder(name: str) -> Embedder:
    return Embedder.from_pretrained(name)
