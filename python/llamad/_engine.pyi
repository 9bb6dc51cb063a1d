"""The native engine: scheduler, slots and llama.cpp behind a handle that never blocks the loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

_TokenLogprobs: TypeAlias = tuple[int, float, list[tuple[int, float]]]
"""A token, its log-probability, and the likeliest tokens with theirs."""

_ChatEvent: TypeAlias = (
    tuple[Literal["reasoning", "content"], str] | tuple[Literal["tool_call"], int, str, str]
)
"""The next text of a kind; or a call's index, its name (in its first event) and next piece of arguments."""

llama_cpp_commit: str
llama_cpp_version: str
cuda: bool

class EngineConfig:
    """How to load a model and how many requests to run at once; see `EngineConfig` in params.h."""

    def __init__(
        self,
        *,
        model_path: str,
        n_parallel: int = ...,
        n_ctx: int = ...,
        kv_unified: bool = ...,
        swa_full: bool = ...,
        n_batch: int = ...,
        n_ubatch: int = ...,
        itl_target_ms: int = ...,
        n_threads: int = ...,
        n_threads_batch: int = ...,
        n_gpu_layers: int | str = ...,
        split_mode: str = ...,
        tensor_split: Sequence[float] = ...,
        main_gpu: int = ...,
        use_mmap: bool = ...,
        flash_attn: str = ...,
        backend_sampling: str = ...,
        decode_padding: str = ...,
        cache_type_k: str = ...,
        cache_type_v: str = ...,
        rope_scaling: str = ...,
        rope_scale: float = ...,
        rope_freq_base: float = ...,
        rope_freq_scale: float = ...,
        yarn_orig_ctx: int = ...,
        yarn_ext_factor: float = ...,
        yarn_attn_factor: float = ...,
        yarn_beta_fast: float = ...,
        yarn_beta_slow: float = ...,
        lora_adapters: Sequence[tuple[str, float]] = ...,
        chat_template: str = ...,
        max_queue: int = ...,
        queue_timeout_s: float = ...,
        request_timeout_s: float = ...,
        prefix_cache_mib: int = ...,
        prefix_cache_dir: str = ...,
    ) -> None: ...

class SamplingParams:
    """The native twin of `llamad.SamplingParams`; validates on construction."""

    def __init__(
        self,
        *,
        max_tokens: int | None = ...,
        min_tokens: int = ...,
        temperature: float = ...,
        top_k: int = ...,
        top_p: float = ...,
        min_p: float = ...,
        typical_p: float = ...,
        repeat_penalty: float = ...,
        repeat_last_n: int = ...,
        frequency_penalty: float = ...,
        presence_penalty: float = ...,
        dry_multiplier: float = ...,
        dry_base: float = ...,
        dry_allowed_length: int = ...,
        dry_penalty_last_n: int = ...,
        dry_sequence_breakers: Sequence[str] = ...,
        xtc_probability: float = ...,
        xtc_threshold: float = ...,
        mirostat: int = ...,
        mirostat_tau: float = ...,
        mirostat_eta: float = ...,
        logit_bias: Sequence[tuple[int, float]] = ...,
        seed: int | None = ...,
        grammar: str = ...,
        stop: Sequence[str] = ...,
        ignore_eos: bool = ...,
        logprobs: int | None = ...,
        prompt_logprobs: int | None = ...,
        prompt_logprobs_start: int = ...,
    ) -> None: ...

class ModelInfo:
    """What the loaded model says of itself."""

    @property
    def architecture(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def n_params(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_ctx_train(self) -> int: ...
    @property
    def n_parallel(self) -> int: ...
    @property
    def has_chat_template(self) -> bool: ...
    @property
    def has_tools_template(self) -> bool: ...
    @property
    def thinks(self) -> bool: ...
    @property
    def can_infill(self) -> bool: ...
    @property
    def quantization(self) -> str: ...
    @property
    def vocab_type(self) -> str: ...
    @property
    def bos_token(self) -> str: ...
    @property
    def eos_token(self) -> str: ...
    @property
    def devices(self) -> list[str]: ...
    @property
    def memory(self) -> list[dict[str, Any]]: ...

class Prepared:
    """A request that is templated, tokenized and validated; submit it once."""

    @property
    def prompt_token_ids(self) -> list[int]: ...
    @property
    def n_prompt_tokens(self) -> int: ...
    @property
    def n(self) -> int: ...
    def take_apart(self) -> list[Prepared]: ...
    def parser(self) -> ChatParser | None: ...

class ChatParser:
    """Reads the output of one choice of a chat as it comes in; see `ChatParser` in chat_parser.h."""

    @property
    def bytes_read(self) -> int: ...
    def feed(self, text: str) -> list[_ChatEvent]: ...
    def finish(self) -> list[_ChatEvent]: ...

class Finish:
    """The terminal event of a request."""

    @property
    def finish_reason(self) -> Literal["stop", "length", "cancelled", "error"]: ...
    @property
    def stop_string(self) -> str | None: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def queue_s(self) -> float: ...
    @property
    def prefill_s(self) -> float: ...
    @property
    def decode_s(self) -> float: ...
    @property
    def prompt_logprobs(self) -> list[_TokenLogprobs] | None: ...
    @property
    def error_kind(self) -> str: ...
    @property
    def error_message(self) -> str: ...

class Engine:
    """A loaded model and its engine thread. Every method may be called from any thread."""

    def __init__(self, config: EngineConfig, on_progress: Callable[[float], bool] | None = ...) -> None: ...
    @property
    def info(self) -> ModelInfo: ...
    @property
    def closed(self) -> bool: ...
    def prepare(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        stream: bool = ...,
        n: int = ...,
        priority: int = ...,
        client: str = ...,
        cache_salt: str = ...,
        timeout_s: float = ...,
    ) -> Prepared: ...
    def prepare_chat(
        self,
        conversation_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool = ...,
        n: int = ...,
        priority: int = ...,
        client: str = ...,
        cache_salt: str = ...,
        timeout_s: float = ...,
    ) -> Prepared: ...
    def prepare_infill(
        self,
        prefix: str,
        suffix: str,
        params: SamplingParams,
        *,
        stream: bool = ...,
        n: int = ...,
        priority: int = ...,
        client: str = ...,
        cache_salt: str = ...,
        timeout_s: float = ...,
    ) -> Prepared: ...
    def apply_template(self, conversation_json: str | bytes) -> str: ...
    def tokenize(self, text: str, add_special: bool = ..., parse_special: bool = ...) -> list[int]: ...
    def detokenize(self, token_ids: Sequence[int], special: bool = ...) -> str: ...
    def token_pieces(self, token_ids: Sequence[int]) -> list[bytes]: ...
    def submit(self, *prepared: Prepared) -> list[int]: ...
    def cancel(self, request_id: int) -> None: ...
    def fileno(self) -> int: ...
    def drain(
        self,
    ) -> list[tuple[int, str, list[int], list[_TokenLogprobs] | None, Finish | None]]: ...
    def wait(self, timeout_s: float) -> bool: ...
    def wake(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def slots(self) -> list[dict[str, Any]]: ...
    def close(self) -> None: ...

class EmbedderConfig:
    """How to load a model that computes embeddings or scores; see `EmbedderConfig` in embedder_config.h."""

    def __init__(
        self,
        *,
        model_path: str,
        n_ctx: int = ...,
        n_ubatch: int = ...,
        n_threads: int = ...,
        n_gpu_layers: int | str = ...,
        split_mode: str = ...,
        tensor_split: Sequence[float] = ...,
        main_gpu: int = ...,
        use_mmap: bool = ...,
        flash_attn: str = ...,
        max_queue: int = ...,
        request_timeout_s: float = ...,
    ) -> None: ...

class EmbedderInfo:
    """What the loaded model says of itself."""

    @property
    def architecture(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def n_params(self) -> int: ...
    @property
    def quantization(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_ctx_train(self) -> int: ...
    @property
    def devices(self) -> list[str]: ...
    @property
    def memory(self) -> list[dict[str, Any]]: ...
    @property
    def kind(self) -> Literal["embed", "rerank"]: ...
    @property
    def pooling(self) -> Literal["mean", "cls", "last", "rank"]: ...
    @property
    def n_out(self) -> int: ...

class PreparedEmbedding:
    """Inputs that are tokenized and validated; submit them once."""

    @property
    def n_tokens(self) -> list[int]: ...
    @property
    def n_done(self) -> int: ...

class EmbedEnd:
    """The terminal event of an embedder's request."""

    @property
    def request_id(self) -> int: ...
    @property
    def finish_reason(self) -> Literal["stop", "length", "cancelled", "error"]: ...
    @property
    def values(self) -> memoryview[float]: ...
    @property
    def error_kind(self) -> str: ...
    @property
    def error_message(self) -> str: ...
    @property
    def queue_s(self) -> float: ...
    @property
    def compute_s(self) -> float: ...

class Embedder:
    """A loaded model and its embedding thread. Every method may be called from any thread."""

    def __init__(self, config: EmbedderConfig, on_progress: Callable[[float], bool] | None = ...) -> None: ...
    @property
    def info(self) -> EmbedderInfo: ...
    @property
    def closed(self) -> bool: ...
    def prepare(self, inputs: Sequence[str | Sequence[int]]) -> PreparedEmbedding: ...
    def prepare_rerank(self, query: str, documents: Sequence[str]) -> PreparedEmbedding: ...
    def tokenize(self, text: str, add_special: bool = ..., parse_special: bool = ...) -> list[int]: ...
    def detokenize(self, token_ids: Sequence[int], special: bool = ...) -> str: ...
    def submit(self, prepared: PreparedEmbedding) -> int: ...
    def cancel(self, request_id: int) -> None: ...
    def fileno(self) -> int: ...
    def drain(self) -> list[EmbedEnd]: ...
    def wait(self, timeout_s: float) -> bool: ...
    def wake(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

def quantization_types() -> list[str]: ...
def quantize(
    source: str,
    target: str,
    *,
    type: str,
    n_threads: int = ...,
    allow_requantize: bool = ...,
    keep_output_tensor: bool = ...,
    pure: bool = ...,
    on_progress: Callable[[int, int], object] | None = ...,
) -> None: ...
def quantized_size(
    source: str,
    *,
    type: str,
    n_threads: int = ...,
    allow_requantize: bool = ...,
    keep_output_tensor: bool = ...,
    pure: bool = ...,
) -> int: ...
def set_log_level(level: int) -> None: ...
def take_log_lines() -> list[tuple[int, str]]: ...
def check_model_file(path: str) -> None: ...

class CpuProfiler:
    """Samples the CPU time of every thread of the process."""

    @staticmethod
    def start(hz: int) -> CpuProfiler | None: ...
    @staticmethod
    def reclaim_signal() -> None: ...
    def mark(self) -> tuple[int, int]: ...
    def stop(self) -> None: ...
    def profile(self) -> dict[str, Any]: ...

def profiling_unsupported() -> str | None: ...
def native_stacks() -> dict[int, list[str]] | None: ...
def thread_name(thread_id: int) -> str: ...
def devices() -> list[dict[str, Any]]: ...
def backends() -> list[str]: ...
@overload
def estimate_memory(config: EngineConfig) -> list[dict[str, Any]]: ...
@overload
def estimate_memory(config: EmbedderConfig) -> list[dict[str, Any]]: ...
@overload
def place(config: EngineConfig, room: Mapping[str, int]) -> dict[str, Any]: ...
@overload
def place(config: EmbedderConfig, room: Mapping[str, int]) -> dict[str, Any]: ...
def read_metadata(path: str) -> dict[str, Any]: ...
