"""The list of models, and what is known of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..models.memory import layers_by_device

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._engine import EmbedderInfo, ModelInfo
    from ..models.entries import ModelEntry
    from ..models.memory import DeviceLayers
    from ..models.metadata import ModelMetadata


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a model's file says of it, or the loaded model of itself; None: not known.

    Attributes:
        architecture: as llama.cpp names it, such as "llama".
        parameters: how many weights.
        quantization: of most weights, such as "Q4_1".
        context_length: most tokens of one request, prompt and answer together; known once it is loaded.
        training_context_length: tokens of context it was trained for.
        capabilities: what it can be asked for: "completion", "chat", "tools", "reasoning", "infill",
            "embed", "rerank". Before it is loaded, some that it has may be missing.
        devices: where the layers of a loaded model are: each device's name, how many layers, and bytes of
            weights, KV cache and buffers.
    """

    architecture: str | None = None
    parameters: int | None = None
    quantization: str | None = None
    context_length: int | None = None
    training_context_length: int | None = None
    capabilities: tuple[str, ...] = ()
    devices: list[DeviceLayers] | None = None


def details_of_info(info: ModelInfo) -> ModelDetails:
    """Return what a loaded model that generates text says of itself."""
    able = {
        "completion": True,
        "chat": info.has_chat_template,
        "tools": info.has_tools_template,
        "reasoning": info.thinks,
        "infill": info.can_infill,
    }
    return ModelDetails(
        architecture=info.architecture,
        parameters=info.n_params,
        quantization=info.quantization,
        context_length=info.n_ctx,
        training_context_length=info.n_ctx_train,
        capabilities=tuple(name for name, can in able.items() if can),
        devices=layers_by_device(info.memory),
    )


def details_of_metadata(metadata: ModelMetadata) -> ModelDetails:
    """Return what a file's header says of its model."""
    able: dict[str, tuple[str, ...]] = {"embed": ("embed",), "rerank": ("rerank",)}
    generating = ("completion", "chat") if metadata.has_chat_template else ("completion",)
    return ModelDetails(
        architecture=metadata.architecture,
        parameters=metadata.n_params,
        quantization=metadata.quantization,
        training_context_length=metadata.n_ctx_train,
        capabilities=able.get(metadata.kind, generating),
    )


def details_of_embedder(info: EmbedderInfo) -> ModelDetails:
    """Return what a loaded model that embeds or reranks says of itself."""
    return ModelDetails(
        architecture=info.architecture,
        parameters=info.n_params,
        quantization=info.quantization,
        context_length=info.n_ctx,
        training_context_length=info.n_ctx_train,
        capabilities=(info.kind,),
        devices=layers_by_device(info.memory),
    )


def model_object(entry: ModelEntry, details: ModelDetails) -> dict[str, Any]:
    """Return one model as OpenAI describes it; all but the first four are extensions."""
    return {
        "id": entry.id,
        "object": "model",
        "created": entry.created,
        "owned_by": "llamad",
        "state": entry.state,
        "progress": entry.progress,
        "error": entry.error,
        "aliases": entry.aliases,
        "pinned": entry.pinned,
        "size_bytes": entry.size_bytes,
        "memory_bytes": entry.memory_bytes,
        **asdict(details),
    }


def one_model(entry: ModelEntry, details: ModelDetails) -> bytes:
    """Return the body of `GET /v1/models/{id}`."""
    return orjson.dumps(model_object(entry, details))


def model_list(models: Iterable[tuple[ModelEntry, ModelDetails]]) -> bytes:
    """Return the body of `GET /v1/models`."""
    return orjson.dumps({"object": "list", "data": [model_object(*model) for model in models]})
