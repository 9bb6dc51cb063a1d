"""llamad: serve and embed GGUF language models with continuous batching.

In a script or notebook:

    >>> from llamad import Engine
    >>> with Engine("models/SmolLM2-135M-Instruct.Q4_1.gguf") as engine:
    ...     print(engine.chat([{"role": "user", "content": "Hello!"}], max_tokens=32).text)

As an OpenAI-compatible server: `llamad --model-directory models`.
"""

from importlib.metadata import version

from .async_engine import AsyncEngine
from .embedder import AsyncEmbedder, EmbedderOptions, Embeddings, Ranking
from .engine import Engine
from .errors import (
    ContextLengthError,
    EngineClosedError,
    GenerationError,
    GrammarError,
    InvalidModelError,
    LlamadError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    ParameterError,
    QueueFullError,
    QueueTimeoutError,
    RequestError,
    RequestTimeoutError,
    TemplateError,
    TruncatedModelError,
)
from .generation import Generation
from .options import EngineOptions
from .request_options import RequestOptions
from .results import Delta, FinishReason, Result, Timings, TokenLogprobs, Usage
from .sampling import SamplingParams
from .stream import TokenStream

__version__ = version("llamad")

__all__ = [
    "AsyncEmbedder",
    "AsyncEngine",
    "ContextLengthError",
    "Delta",
    "EmbedderOptions",
    "Embeddings",
    "Engine",
    "EngineClosedError",
    "EngineOptions",
    "FinishReason",
    "Generation",
    "GenerationError",
    "GrammarError",
    "InvalidModelError",
    "LlamadError",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "ParameterError",
    "QueueFullError",
    "QueueTimeoutError",
    "Ranking",
    "RequestError",
    "RequestOptions",
    "RequestTimeoutError",
    "Result",
    "SamplingParams",
    "TemplateError",
    "Timings",
    "TokenLogprobs",
    "TokenStream",
    "TruncatedModelError",
    "Usage",
]
