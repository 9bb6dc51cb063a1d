"""llamad: serve and embed GGUF language models with continuous batching.

In a script or notebook:

    >>> from llamad import Engine
    >>> with Engine("models/SmolLM2-135M-Instruct.Q4_1.gguf") as engine:
    ...     print(engine.chat([{"role": "user", "content": "Hello!"}], max_tokens=32).text)

As an OpenAI-compatible server: `llamad --model-directory models`.
"""

from importlib.metadata import version

from .aio.batch import AsyncBatch
from .aio.chat_stream import ChatStream
from .aio.stream import TokenStream
from .async_embedder import AsyncEmbedder
from .async_engine import AsyncEngine
from .blocking.batch import Batch
from .blocking.generation import Generation
from .embedder import Embedder
from .embeddings import EmbedderOptions, Embeddings, Ranking
from .engine import Engine
from .errors import (
    ContextLengthError,
    EngineClosedError,
    GenerationError,
    GenerationInterrupted,
    GrammarError,
    InvalidModelError,
    LlamadError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    OutputError,
    ParameterError,
    PullError,
    QuantizationError,
    QueueFullError,
    QueueTimeoutError,
    RequestError,
    RequestTimeoutError,
    TemplateError,
    TruncatedModelError,
)
from .options import EngineOptions
from .quantization import quantization_types, quantize
from .request_options import RequestOptions
from .results import (
    ChatDelta,
    ChatResult,
    Delta,
    FinishReason,
    Result,
    Results,
    Timings,
    TokenLogprobs,
    ToolCall,
    Usage,
)
from .sampling import SamplingParams
from .scoring import Perplexity, Score

__version__ = version("llamad")

__all__ = [
    "AsyncBatch",
    "AsyncEmbedder",
    "AsyncEngine",
    "Batch",
    "ChatDelta",
    "ChatResult",
    "ChatStream",
    "ContextLengthError",
    "Delta",
    "Embedder",
    "EmbedderOptions",
    "Embeddings",
    "Engine",
    "EngineClosedError",
    "EngineOptions",
    "FinishReason",
    "Generation",
    "GenerationError",
    "GenerationInterrupted",
    "GrammarError",
    "InvalidModelError",
    "LlamadError",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "OutputError",
    "ParameterError",
    "Perplexity",
    "PullError",
    "QuantizationError",
    "QueueFullError",
    "QueueTimeoutError",
    "Ranking",
    "RequestError",
    "RequestOptions",
    "RequestTimeoutError",
    "Result",
    "Results",
    "SamplingParams",
    "Score",
    "TemplateError",
    "Timings",
    "TokenLogprobs",
    "TokenStream",
    "ToolCall",
    "TruncatedModelError",
    "Usage",
    "quantization_types",
    "quantize",
]
