"""Options of a model's engine, as `Engine(path, **options)` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class EngineOptions(TypedDict, total=False):
    """How to load a model. Defaults are those of `EngineConfig` in `cpp/engine/core/params.h`.

    Attributes:
        n_parallel: slots, that is requests that run at once. Default 4.
        n_ctx: context of one slot in tokens, with `kv_unified` of all together; 0 takes the model's
            training context. Default 2048.
        kv_unified: one pool of `n_ctx` tokens for all slots: less memory, and any one request may fill
            it. When it runs out, the youngest request waits and is computed again later. Default
            False.
        n_batch: most tokens in one call of llama.cpp; at least `n_parallel`. Default 2048.
        n_ubatch: most tokens computed at once. Default 512.
        itl_target_ms: time between two tokens of a streamed answer, in milliseconds, that computing
            other requests' prompts should not exceed; their prompts are cut into chunks of a
            learned size. Four times as long while all answers that are written are returned as a
            whole, as `generate` does. Default 90.
        n_threads: compute threads for generation; 0 takes the machine's cores. Default 0.
        n_threads_batch: compute threads for prompts; 0 takes `n_threads`. Default 0.
        n_gpu_layers: layers to put on GPUs, the output layer among them: "auto" as many as fit beside the KV
            cache, -1 all, 0 none, and then no GPU is used. Default "auto".
        split_mode: how several GPUs share a model: "none" uses one, "layer" gives each some of the layers,
            "tensor" gives each a part of every layer, "row" of its weights alone where the GPU's backend can.
            Default "layer".
        tensor_split: share of each GPU; an empty list takes what they have free. Default [].
        main_gpu: the GPU to use where `split_mode` is "none", counted from 0. Default 0.
        use_mmap: map the file instead of reading it. Default True.
        flash_attn: "auto", "on" or "off". Default "auto".
        backend_sampling: "on" finds the likeliest tokens on the device that computes the logits, so that
            only these are copied from it, and all logits for the requests that need them; the tokens
            are the same. "auto" does so where that device is a GPU. Default "auto".
        decode_padding: "on" lets idle slots add rows that stand for nothing to batches of next tokens, so
            that these keep their shape, and llama.cpp its graph, while requests come and go; a batch is
            at most doubled. "auto" does so where all layers are on GPUs, which hardly notice a few rows;
            never where the model's memory cannot drop a tail, nor with `kv_unified`. Default "auto".
        cache_type_k: type of the K cache: "f32", "f16", "bf16", "q8_0", "q4_0", ... Default "f16".
        cache_type_v: type of the V cache. Default "f16".
        swa_full: keep the whole context of a sliding-window model, so that prefixes of it can be
            reused. Default True.
        prefix_cache_mib: memory in MiB for the KV state of slots that were given to another request;
            -1 takes a quarter of what is free at load, at most 8 GiB; 0 turns it off. Default -1.
        prefix_cache_dir: directory that keeps these states for the next start; they hold what users
            wrote. "" for none. Default "".
        rope_scaling: "none", "linear" or "yarn"; "" takes the model's own. Default "".
        rope_scale: factor by which RoPE stretches the context; 0 takes the model's own. Default 0.
        rope_freq_base: RoPE's base frequency; 0 takes the model's own. Default 0.
        rope_freq_scale: 1 / `rope_scale`; 0 takes the model's own. Default 0.
        yarn_orig_ctx: YaRN: context of the training in tokens; 0 takes the model's own. Default 0.
        yarn_ext_factor: YaRN: extrapolation mix; -1 takes the model's own. Default -1.
        yarn_attn_factor: YaRN: attention magnitude; -1 takes the model's own. Default -1.
        yarn_beta_fast: YaRN: low correction dimension; -1 takes the model's own. Default -1.
        yarn_beta_slow: YaRN: high correction dimension; -1 takes the model's own. Default -1.
        lora_adapters: pairs of an adapter's GGUF file and its scale, 0 for no effect; they add up, and
            hold for every request. Default none.
        chat_template: Jinja template to use instead of the model's own; "" for the model's own.
        max_queue: requests that may wait for a slot before `QueueFullError`. Default 256.
        queue_timeout_s: seconds that a request may wait for a slot before `QueueTimeoutError`; 0 is no
            limit. Default 0.
        request_timeout_s: seconds that a request may take in all before `RequestTimeoutError`; 0 is no
            limit. Default 0.
    """

    n_parallel: int
    n_ctx: int
    n_batch: int
    n_ubatch: int
    itl_target_ms: int
    n_threads: int
    n_threads_batch: int
    n_gpu_layers: int | str
    split_mode: str
    tensor_split: Sequence[float]
    main_gpu: int
    use_mmap: bool
    flash_attn: str
    backend_sampling: str
    decode_padding: str
    cache_type_k: str
    cache_type_v: str
    kv_unified: bool
    swa_full: bool
    prefix_cache_mib: int
    prefix_cache_dir: str
    rope_scaling: str
    rope_scale: float
    rope_freq_base: float
    rope_freq_scale: float
    yarn_orig_ctx: int
    yarn_ext_factor: float
    yarn_attn_factor: float
    yarn_beta_fast: float
    yarn_beta_slow: float
    lora_adapters: Sequence[tuple[str, float]]
    chat_template: str
    max_queue: int
    queue_timeout_s: float
    request_timeout_s: float
