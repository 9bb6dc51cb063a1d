"""What of the settings an engine takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..embeddings import EmbedderOptions
    from ..options import EngineOptions
    from . import Settings

_EMBEDDER_N_CTX = 8192
"""Tokens of one input that an embedding model takes where nobody asks for more: a non-causal model computes
them all at once, in buffers that grow with their square."""


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
        "split_mode": settings.split_mode,
        "tensor_split": settings.tensor_split,
        "main_gpu": settings.main_gpu,
        "flash_attn": settings.flash_attn,
        "backend_sampling": settings.backend_sampling,
        "decode_padding": settings.decode_padding,
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
        "split_mode": settings.split_mode,
        "tensor_split": settings.tensor_split,
        "main_gpu": settings.main_gpu,
        "flash_attn": settings.flash_attn,
        "max_queue": settings.n_parallel + settings.max_queue,
        "request_timeout_s": settings.request_timeout,
    }


def check_engine_options(options: EngineOptions) -> None:
    """Check options of which each is fine by itself.

    Raises:
        ParameterError: they contradict each other, or name GPUs that are not here.
    """
    from .. import _engine  # noqa: PLC0415 - `--help` can do without

    _engine.EngineConfig(model_path="any", **options)
    # Which GPUs there are to put layers on can be checked without a model as long as none is put there.
    without: EngineOptions = {**options, "n_gpu_layers": 0}
    _engine.place(_engine.EngineConfig(model_path="any", **without), {})
