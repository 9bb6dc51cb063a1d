"""What the list of models says of each."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from llamad.models.entries import ModelEntry
from llamad.models.memory import DeviceLayers
from llamad.models.metadata import ModelKind, ModelMetadata
from llamad.openai.models import (
    ModelDetails,
    details_of_embedder,
    details_of_info,
    details_of_metadata,
    model_list,
    one_model,
)

from tests.python.support.fake_loader import memory

MEMORY = [memory("CPU", 100, layers=1), memory("CUDA0", 200, layers=2), memory("CUDA1", 50)]
ON_TWO: list[DeviceLayers] = [
    {"name": "CUDA0", "layers": 2, "bytes": 200},
    {"name": "CPU", "layers": 1, "bytes": 100},
]
ENTRY = ModelEntry("m", Path("m.gguf"), 100, 1700000000, "unloaded")


def metadata(kind: ModelKind, *, has_chat_template: bool) -> ModelMetadata:
    return ModelMetadata(
        architecture="llama",
        name="",
        n_params=1000,
        quantization="Q4_1",
        n_ctx_train=4096,
        n_embd=64,
        pooling="none",
        kind=kind,
        has_chat_template=has_chat_template,
    )


@pytest.mark.parametrize(
    ("kind", "has_chat_template", "capabilities"),
    [
        ("generate", False, ("completion",)),
        ("generate", True, ("completion", "chat")),
        ("embed", True, ("embed",)),
        ("rerank", False, ("rerank",)),
    ],
)
def test_what_a_file_says(kind: ModelKind, has_chat_template: bool, capabilities: tuple[str, ...]) -> None:
    said = metadata(kind, has_chat_template=has_chat_template)
    assert details_of_metadata(said) == ModelDetails("llama", 1000, "Q4_1", None, 4096, capabilities)


@pytest.mark.parametrize("ability", ["has_chat_template", "has_tools_template", "thinks", "can_infill"])
def test_what_a_loaded_model_says(ability: str) -> None:
    names = {
        "has_chat_template": "chat",
        "has_tools_template": "tools",
        "thinks": "reasoning",
        "can_infill": "infill",
    }
    able = dict.fromkeys(names, False) | {ability: True}
    described = {"architecture": "llama", "n_params": 1000, "quantization": "Q4_1"}
    info = SimpleNamespace(n_ctx=512, n_ctx_train=4096, memory=MEMORY, **able, **described)
    said = details_of_info(cast("Any", info))
    assert said == ModelDetails("llama", 1000, "Q4_1", 512, 4096, ("completion", names[ability]), ON_TWO)


@pytest.mark.parametrize("kind", ["embed", "rerank"])
def test_what_a_loaded_embedder_says(kind: str) -> None:
    described = {"architecture": "bert", "n_params": 1000, "quantization": "F16"}
    info = SimpleNamespace(kind=kind, n_ctx=256, n_ctx_train=512, memory=MEMORY, **described)
    said = details_of_embedder(cast("Any", info))
    assert said == ModelDetails("bert", 1000, "F16", 256, 512, (kind,), ON_TWO)


def test_on_the_wire() -> None:
    one = orjson.loads(one_model(ENTRY, ModelDetails()))
    assert one == {
        "id": "m",
        "object": "model",
        "created": 1700000000,
        "owned_by": "llamad",
        "state": "unloaded",
        "progress": None,
        "error": None,
        "aliases": [],
        "pinned": False,
        "size_bytes": 100,
        "memory_bytes": None,
        "architecture": None,
        "parameters": None,
        "quantization": None,
        "context_length": None,
        "training_context_length": None,
        "capabilities": [],
        "devices": None,
    }
    assert orjson.loads(model_list([(ENTRY, ModelDetails())])) == {"object": "list", "data": [one]}
