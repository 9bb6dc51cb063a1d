"""Options of a model's engine, as `Engine(path, **options)` takes them."""

from __future__ import annotations

from typing import TypedDict


class EngineOptions(TypedDict, total=False):
    """How to load a model. Defaults are those of `EngineConfig` in `cpp/engine/core/params.h`.

    Attributes:
        n_parallel: slots, that is requests that run at once; each has a KV cache of `n_ctx`
            tokens. Default 4.
        n_ctx: context of one slot in tokens; 0 takes the model's training context. Default 2048.
        n_batch: most tokens in one call of llama.cpp; at least `n_parallel`. Default 2048.
        n_ubatch: most tokens computed at once. Default 512.
        itl_target_ms: time between two tokens of a running request, in milliseconds, that computing
            other requests' prompts should not exceed; their prompts are cut into chunks of a
            learned size. Default 500.
        n_threads: compute threads for generation; 0 takes the machine's cores. Default 0.
        n_threads_batch: compute threads for prompts; 0 takes `n_threads`. Default 0.
        n_gpu_layers: layers to put on the GPU; -1 all. Default -1.
        main_gpu: the GPU to use where one is used. Default 0.
        use_mmap: map the file instead of reading it. Default True.
        flash_attn: "auto", "on" or "off". Default "auto".
        cache_type_k: type of the K cache: "f32", "f16", "bf16", "q8_0", "q4_0", ... Default "f16".
        cache_type_v: type of the V cache. Default "f16".
        chat_template: Jinja template to use instead of the model's own; "" for the model's own.
        max_queue: requests that may wait for a slot before `QueueFullError`. Default 256.
    """

    n_parallel: int
    n_ctx: int
    n_batch: int
    n_ubatch: int
    itl_target_ms: int
    n_threads: int
    n_threads_batch: int
    n_gpu_layers: int
    main_gpu: int
    use_mmap: bool
    flash_attn: str
    cache_type_k: str
    cache_type_v: str
    chat_template: str
    max_queue: int
