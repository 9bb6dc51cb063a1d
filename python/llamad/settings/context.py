"""What a model keeps of the texts it has read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import kinds
from .kinds import setting

_GROUP = "context"
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


@dataclass(frozen=True)
class ContextSettings:
    """What a model keeps of the texts it has read."""

    n_ctx: int = setting(
        _GROUP,
        kinds.integer(8, or_zero=True),
        "context of each slot (llama-server divides it), or with --kv-unified of all together; "
        "0 takes the model's own",
        default=2048,
        unit="tokens",
        aliases=("-c", "--ctx-size"),
    )
    kv_unified: bool = setting(
        _GROUP,
        kinds.switch(),
        "one pool of --n-ctx tokens for all slots; any one request may fill it",
        default=False,
        aliases=("-kvu",),
    )
    swa_full: bool = setting(
        _GROUP,
        kinds.switch(),
        "keep the whole context of sliding-window models, so that prefixes can be reused",
        default=True,
    )
    cache_type_k: str = setting(
        _GROUP,
        kinds.choice(*CACHE_TYPES),
        "type of the K cache: " + ", ".join(CACHE_TYPES),
        default="f16",
        aliases=("-ctk",),
    )
    cache_type_v: str = setting(
        _GROUP,
        kinds.choice(*CACHE_TYPES),
        "type of the V cache; the same choice",
        default="f16",
        aliases=("-ctv",),
    )
    prefix_cache_mib: int = setting(
        _GROUP,
        kinds.integer(-1),
        "memory for the context of slots that were given away; -1 takes a quarter of what is free, at "
        "most 8 GiB; 0 turns it off",
        default=-1,
        unit="MiB",
        aliases=("-cram", "--cache-ram"),
    )
    prefix_cache_dir: Path | None = setting(  # noqa: RUF009 - it makes a field
        _GROUP,
        kinds.optional_directory(),
        "keep that on disk as well, for the next start; it holds what users wrote",
        default=None,
    )
    rope_scaling: str = setting(
        _GROUP,
        kinds.choice("none", "linear", "yarn", or_empty=True),
        "RoPE scaling: none, linear, yarn; unset takes the model's own",
        default="",
    )
    rope_scale: float = setting(
        _GROUP,
        kinds.number(0),
        "stretches the context by this factor; 0 takes the model's own",
        default=0.0,
    )
    rope_freq_base: float = setting(
        _GROUP, kinds.number(0), "RoPE base frequency; 0 takes the model's own", default=0.0
    )
    rope_freq_scale: float = setting(
        _GROUP,
        kinds.number(0),
        "RoPE frequency scale, 1 / --rope-scale; 0 takes the model's own",
        default=0.0,
    )
    yarn_orig_ctx: int = setting(
        _GROUP,
        kinds.integer(0),
        "YaRN: context of the training; 0 takes the model's own",
        default=0,
        unit="tokens",
    )
    yarn_ext_factor: float = setting(
        _GROUP, kinds.number(-1), "YaRN: extrapolation mix; -1 takes the model's own", default=-1.0
    )
    yarn_attn_factor: float = setting(
        _GROUP, kinds.number(-1), "YaRN: attention magnitude; -1 takes the model's own", default=-1.0
    )
    yarn_beta_fast: float = setting(
        _GROUP, kinds.number(-1), "YaRN: low correction dimension; -1 takes the model's own", default=-1.0
    )
    yarn_beta_slow: float = setting(
        _GROUP, kinds.number(-1), "YaRN: high correction dimension; -1 takes the model's own", default=-1.0
    )
