"""The native engine: scheduler, slots and llama.cpp behind a handle that never blocks the loop."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

_TokenLogprobs: TypeAlias = tuple[int, float, list[tuple[int, float]]]
"""A token, its log-probability, and the likeliest tokens with theirs."""

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
        n_gpu_layers: int = ...,
        main_gpu: int = ...,
        use_mmap: bool = ...,
        flash_attn: str = ...,
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
    def devices(self) -> list[str]: ...

class Prepared:
    """A request that is templated, tokenized and validated; submit it once."""

    @property
    def prompt_token_ids(self) -> list[int]: ...
    @property
    def n_prompt_tokens(self) -> int: ...
    @property
    def n(self) -> int: ...

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
        messages_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool = ...,
        n: int = ...,
        priority: int = ...,
        client: str = ...,
        cache_salt: str = ...,
        timeout_s: float = ...,
    ) -> Prepared: ...
    def apply_template(self, messages_json: str | bytes) -> str: ...
    def tokenize(self, text: str, add_special: bool = ..., parse_special: bool = ...) -> list[int]: ...
    def detokenize(self, token_ids: Sequence[int], special: bool = ...) -> str: ...
    def submit(self, prepared: Prepared) -> list[int]: ...
    def cancel(self, request_id: int) -> None: ...
    def fileno(self) -> int: ...
    def drain(
        self,
    ) -> list[tuple[int, str, list[int], list[_TokenLogprobs] | None, Finish | None]]: ...
    def wait(self, timeout_s: float) -> bool: ...
    def wake(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

def set_log_level(level: int) -> None: ...
def take_log_lines() -> list[tuple[int, str]]: ...
def check_model_file(path: str) -> None: ...
