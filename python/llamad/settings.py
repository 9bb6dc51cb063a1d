"""Everything that can be configured, defined once.

Each field of `Settings` is a flag (`--n-parallel`), an environment variable (`LLAMAD_N_PARALLEL`) and
a TOML key (`n_parallel`) at the same time; its metadata holds the help text, the unit and the check.
Where llama-server has a flag for the same thing, its names work on the command line too.
`settings_sources` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from . import option_kinds as kinds
from .option_kinds import Option, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .embedder import EmbedderOptions
    from .options import EngineOptions

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOG_LEVELS = ("debug", "info", "warning", "error")

_EMBEDDER_N_CTX = 8192
"""Tokens of one input that an embedding model takes where nobody asks for more: a non-causal model computes
them all at once, in buffers that grow with their square."""


_MODELS, _NETWORK, _ENGINE, _CONTEXT = "models", "network", "engine", "context"
_LIMITS, _LOGGING = "limits", "logging"


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of one server; `load_settings` makes one from what the user wrote."""

    model_directory: Path = setting(  # noqa: RUF009 - it makes a field
        _MODELS,
        kinds.directory(),
        "serve every GGUF file in this directory and below it",
        default=Path("models"),
    )
    preload_model: tuple[str, ...] = setting(
        _MODELS, kinds.names(), "load this model at startup, not on its first request; repeatable", default=()
    )
    load_timeout: float = setting(
        _MODELS,
        kinds.seconds(zero=False),
        "how long a request waits for its model to load",
        default=600.0,
        unit="s",
    )
    host: str = setting(_NETWORK, kinds.host(), "address of the API", default="127.0.0.1")
    port: int = setting(
        _NETWORK, kinds.integer(0, 65535), "port of the API; 0 takes any free one", default=8080
    )
    monitor_host: str = setting(_NETWORK, kinds.host(), "address for monitoring", default="127.0.0.1")
    monitor_port: int = setting(
        _NETWORK,
        kinds.integer(-1, 65535),
        "port for monitoring; 0 takes any free one, -1 turns it off",
        default=9090,
    )
    n_parallel: int = setting(
        _ENGINE,
        kinds.integer(1, 256),
        "slots of a model, that is requests that run at once",
        default=4,
        aliases=("-np", "--parallel"),
    )
    threads: int = setting(
        _ENGINE, kinds.integer(0, 512), "compute threads; 0 takes all cores", default=0, aliases=("-t",)
    )
    threads_batch: int = setting(
        _ENGINE,
        kinds.integer(0, 512),
        "compute threads for prompts; 0 takes --threads",
        default=0,
        aliases=("-tb",),
    )
    n_gpu_layers: int = setting(
        _ENGINE,
        kinds.integer(-1),
        "layers to put on the GPU; -1 puts all",
        default=-1,
        aliases=("-ngl", "--gpu-layers"),
    )
    n_batch: int = setting(
        _ENGINE,
        kinds.integer(1, 1 << 20),
        "most in one call of llama.cpp",
        default=2048,
        unit="tokens",
        aliases=("-b", "--batch-size"),
    )
    n_ubatch: int = setting(
        _ENGINE,
        kinds.integer(1, 1 << 20),
        "most computed at once",
        default=512,
        unit="tokens",
        aliases=("-ub", "--ubatch-size"),
    )
    itl_target_ms: int = setting(
        _ENGINE,
        kinds.integer(1),
        "time between two tokens of a request while prompts are computed",
        default=400,
        unit="ms",
    )
    flash_attn: str = setting(
        _ENGINE,
        kinds.choice("auto", "on", "off"),
        "flash attention: auto, on, off",
        default="auto",
        aliases=("-fa",),
    )
    n_ctx: int = setting(
        _CONTEXT,
        kinds.integer(8, or_zero=True),
        "context of each slot (llama-server divides it), or with --kv-unified of all together; "
        "0 takes the model's own",
        default=2048,
        unit="tokens",
        aliases=("-c", "--ctx-size"),
    )
    kv_unified: bool = setting(
        _CONTEXT,
        kinds.switch(),
        "one pool of --n-ctx tokens for all slots; any one request may fill it",
        default=False,
        aliases=("-kvu",),
    )
    swa_full: bool = setting(
        _CONTEXT,
        kinds.switch(),
        "keep the whole context of sliding-window models, so that prefixes can be reused",
        default=True,
    )
    cache_type_k: str = setting(
        _CONTEXT,
        kinds.choice(*CACHE_TYPES),
        "type of the K cache: " + ", ".join(CACHE_TYPES),
        default="f16",
        aliases=("-ctk",),
    )
    cache_type_v: str = setting(
        _CONTEXT,
        kinds.choice(*CACHE_TYPES),
        "type of the V cache; the same choice",
        default="f16",
        aliases=("-ctv",),
    )
    prefix_cache_mib: int = setting(
        _CONTEXT,
        kinds.integer(-1),
        "memory for the context of slots that were given away; -1 takes a quarter of what is free, at "
        "most 8 GiB; 0 turns it off",
        default=-1,
        unit="MiB",
        aliases=("-cram", "--cache-ram"),
    )
    prefix_cache_dir: Path | None = setting(  # noqa: RUF009 - it makes a field
        _CONTEXT,
        kinds.optional_directory(),
        "keep that on disk as well, for the next start; it holds what users wrote",
        default=None,
    )
    rope_scaling: str = setting(
        _CONTEXT,
        kinds.choice("none", "linear", "yarn", or_empty=True),
        "RoPE scaling: none, linear, yarn; unset takes the model's own",
        default="",
    )
    rope_scale: float = setting(
        _CONTEXT,
        kinds.number(0),
        "stretches the context by this factor; 0 takes the model's own",
        default=0.0,
    )
    rope_freq_base: float = setting(
        _CONTEXT, kinds.number(0), "RoPE base frequency; 0 takes the model's own", default=0.0
    )
    rope_freq_scale: float = setting(
        _CONTEXT,
        kinds.number(0),
        "RoPE frequency scale, 1 / --rope-scale; 0 takes the model's own",
        default=0.0,
    )
    yarn_orig_ctx: int = setting(
        _CONTEXT,
        kinds.integer(0),
        "YaRN: context of the training; 0 takes the model's own",
        default=0,
        unit="tokens",
    )
    yarn_ext_factor: float = setting(
        _CONTEXT, kinds.number(-1), "YaRN: extrapolation mix; -1 takes the model's own", default=-1.0
    )
    yarn_attn_factor: float = setting(
        _CONTEXT, kinds.number(-1), "YaRN: attention magnitude; -1 takes the model's own", default=-1.0
    )
    yarn_beta_fast: float = setting(
        _CONTEXT, kinds.number(-1), "YaRN: low correction dimension; -1 takes the model's own", default=-1.0
    )
    yarn_beta_slow: float = setting(
        _CONTEXT, kinds.number(-1), "YaRN: high correction dimension; -1 takes the model's own", default=-1.0
    )
    max_queue: int = setting(
        _LIMITS, kinds.integer(0), "requests that may wait for a slot; more are answered 429", default=256
    )
    queue_timeout: float = setting(
        _LIMITS,
        kinds.seconds(zero=True),
        "how long a request may wait for a slot; 0 is no limit",
        default=0.0,
        unit="s",
    )
    request_timeout: float = setting(
        _LIMITS,
        kinds.seconds(zero=True),
        "how long a request may take in all; 0 is no limit",
        default=0.0,
        unit="s",
    )
    max_body_mib: int = setting(
        _LIMITS, kinds.integer(1, 4096), "largest request body", default=16, unit="MiB"
    )
    read_timeout: float = setting(
        _LIMITS,
        kinds.seconds(zero=False),
        "how long a client may send nothing of a request's body that has begun before it is answered 408",
        default=60.0,
        unit="s",
    )
    max_unread_kib: int = setting(
        _LIMITS,
        kinds.integer(1, 1 << 20),
        "generated text that may wait for a client to read; a slower client is disconnected",
        default=256,
        unit="KiB",
    )
    write_timeout: float = setting(
        _LIMITS,
        kinds.seconds(zero=False),
        "how long a client may read nothing of what is sent before it is disconnected",
        default=60.0,
        unit="s",
    )
    lameduck: float = setting(
        _LIMITS,
        kinds.seconds(zero=True),
        "time for running requests to finish after SIGTERM",
        default=30.0,
        unit="s",
    )
    log_level: str = setting(
        _LOGGING, kinds.choice(*LOG_LEVELS), "least severity to log: " + ", ".join(LOG_LEVELS), default="info"
    )


OPTIONS: Mapping[str, Option] = {
    f.name: Option(name=f.name, default=f.default, **f.metadata) for f in fields(Settings)
}
"""Every setting by name, in the order of the help."""


def engine_options(settings: Settings) -> EngineOptions:
    """Return the part of the settings that a model's engine takes."""
    directory = settings.prefix_cache_dir
    return {
        "n_parallel": settings.n_parallel,
        "n_ctx": settings.n_ctx,
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "itl_target_ms": settings.itl_target_ms,
        "n_threads": settings.threads,
        "n_threads_batch": settings.threads_batch,
        "n_gpu_layers": settings.n_gpu_layers,
        "flash_attn": settings.flash_attn,
        "cache_type_k": settings.cache_type_k,
        "cache_type_v": settings.cache_type_v,
        "kv_unified": settings.kv_unified,
        "swa_full": settings.swa_full,
        "prefix_cache_mib": settings.prefix_cache_mib,
        "prefix_cache_dir": "" if directory is None else str(directory),
        "rope_scaling": settings.rope_scaling,
        "rope_scale": settings.rope_scale,
        "rope_freq_base": settings.rope_freq_base,
        "rope_freq_scale": settings.rope_freq_scale,
        "yarn_orig_ctx": settings.yarn_orig_ctx,
        "yarn_ext_factor": settings.yarn_ext_factor,
        "yarn_attn_factor": settings.yarn_attn_factor,
        "yarn_beta_fast": settings.yarn_beta_fast,
        "yarn_beta_slow": settings.yarn_beta_slow,
        "max_queue": settings.max_queue,
        "queue_timeout_s": settings.queue_timeout,
        "request_timeout_s": settings.request_timeout,
    }


def embedder_options(settings: Settings) -> EmbedderOptions:
    """Return the part of the settings that a model which embeds or reranks takes.

    Its context costs little, so `n_ctx` only ever raises the limit that is automatic.
    """
    return {
        "n_ctx": 0 if settings.n_ctx == 0 else max(settings.n_ctx, _EMBEDDER_N_CTX),
        "n_ubatch": settings.n_ubatch,
        "n_threads": settings.threads_batch or settings.threads,
        "n_gpu_layers": settings.n_gpu_layers,
        "flash_attn": settings.flash_attn,
        "max_queue": settings.n_parallel + settings.max_queue,
        "request_timeout_s": settings.request_timeout,
    }
