"""all-MiniLM-L6-v2 as `llamad pull minilm` makes it: does it compute what it computes elsewhere?

The similarities are those that sentence-transformers' documentation prints for this model, the token ids
those of the tokenizer that comes with the model, recorded with the `tokenizers` package.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from llamad.async_embedder import AsyncEmbedder
from llamad.models.metadata import read_metadata
from llamad.pull import catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

DOCUMENTED = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
SIMILARITIES = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]

TOKENS = {
    "The weather is lovely today.": [101, 1996, 4633, 2003, 8403, 2651, 1012, 102],
    "Héllo, wörld! naïve café": [101, 7592, 1010, 2088, 999, 15743, 7668, 102],
    "tokenization of antidisestablishmentarianism": [
        101, 19204, 3989, 1997, 3424, 10521, 4355, 7875, 13602, 3672, 12199, 2964, 102,
    ],
    "中文字符 mixed with English": [101, 1746, 1861, 100, 100, 3816, 2007, 2394, 102],
    "emoji 😀 and symbols © ™ €": [101, 7861, 29147, 2072, 100, 1998, 9255, 1075, 1580, 1574, 102],
    "don't stop—really… “quoted”": [
        101, 2123, 1005, 1056, 2644, 1517, 2428, 1529, 1523, 9339, 1524, 102,
    ],
}  # fmt: skip


def on_loop(scenario: Callable[[AsyncEmbedder], Awaitable[Any]], path: Path) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(90), await AsyncEmbedder.load(path, n_threads=1) as embedder:
            return await scenario(embedder)

    return asyncio.run(bounded())


def test_the_file_is_the_catalogs(minilm: Path) -> None:
    entry = catalog()["minilm"]
    content = minilm.read_bytes()
    assert (minilm.name, len(content)) == (entry.file_name, entry.size)
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    metadata = read_metadata(minilm)
    assert metadata is not None
    assert (metadata.kind, metadata.pooling, metadata.quantization) == ("embed", "mean", "F16")
    assert (metadata.n_ctx_train, metadata.n_embd, metadata.architecture) == (512, 384, "bert")


def test_similarities_are_the_documented_ones(minilm: Path) -> None:
    async def scenario(embedder: AsyncEmbedder) -> Any:
        return np.stack([np.asarray(vector) for vector in (await embedder.embed(DOCUMENTED)).vectors])

    vectors = on_loop(scenario, minilm)
    np.testing.assert_allclose(vectors @ vectors.T, SIMILARITIES, atol=1e-3)  # it is F16, and was F32


def test_texts_become_the_tokens_of_the_models_own_tokenizer(minilm: Path) -> None:
    async def scenario(embedder: AsyncEmbedder) -> dict[str, list[int]]:
        return {text: await embedder.tokenize(text) for text in TOKENS}

    assert on_loop(scenario, minilm) == TOKENS
