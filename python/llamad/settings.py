"""Everything that can be configured, defined once.

Each field of `Settings` is a flag (`--n-parallel`), an environment variable (`LLAMAD_N_PARALLEL`) and
a TOML key (`n_parallel`) at the same time; its metadata holds the help text, the unit and the check.
A flag wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import option_kinds as kinds
from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .options import EngineOptions

ENV_PREFIX = "LLAMAD_"

CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the TOML file, as `--config` does."""

BUILD_VARIABLES = frozenset(
    f"{ENV_PREFIX}{name}" for name in ("CUDA", "NATIVE", "SANITIZE", "LLAMA_CPP_DIR", "CACHE_DIR")
)
"""Read when llamad is built. They may stay set while it runs, so they are no unknown settings."""

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Option:
    """What the help and the checks need to know of one setting, besides its default."""

    name: str
    kind: kinds.Kind
    help: str
    group: str
    unit: str
    default: object

    @property
    def flag(self) -> str:
        """How the command line calls it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """How the environment calls it."""
        return ENV_PREFIX + self.name.upper()

    @property
    def repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return isinstance(self.default, tuple)


def _about(group: str, kind: kinds.Kind, text: str, unit: str = "") -> dict[str, Any]:
    return {"group": group, "kind": kind, "help": text, "unit": unit}


_MODELS, _NETWORK, _ENGINE, _LIMITS, _LOGGING = "models", "network", "engine", "limits", "logging"


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of one server; `load_settings` makes one from what the user wrote."""

    model_directory: Path = field(
        default=Path("models"),
        metadata=_about(_MODELS, kinds.directory(), "serve every GGUF file in this directory and below it"),
    )
    preload_model: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            _MODELS, kinds.names(), "load this model at startup, not on its first request; repeatable"
        ),
    )
    load_timeout: float = field(
        default=600.0,
        metadata=_about(
            _MODELS, kinds.seconds(zero=False), "how long a request waits for its model to load", "s"
        ),
    )
    host: str = field(default="127.0.0.1", metadata=_about(_NETWORK, kinds.host(), "address of the API"))
    port: int = field(
        default=8080,
        metadata=_about(_NETWORK, kinds.integer(0, 65535), "port of the API; 0 takes any free one"),
    )
    monitor_host: str = field(
        default="127.0.0.1", metadata=_about(_NETWORK, kinds.host(), "address for monitoring")
    )
    monitor_port: int = field(
        default=9090,
        metadata=_about(
            _NETWORK, kinds.integer(-1, 65535), "port for monitoring; 0 takes any free one, -1 turns it off"
        ),
    )
    n_parallel: int = field(
        default=4,
        metadata=_about(
            _ENGINE, kinds.integer(1, 256), "slots of a model, that is requests that run at once"
        ),
    )
    n_ctx: int = field(
        default=2048,
        metadata=_about(
            _ENGINE, kinds.integer(8, or_zero=True), "context of one slot; 0 takes the model's own", "tokens"
        ),
    )
    threads: int = field(
        default=0, metadata=_about(_ENGINE, kinds.integer(0, 512), "compute threads; 0 takes all cores")
    )
    n_gpu_layers: int = field(
        default=-1, metadata=_about(_ENGINE, kinds.integer(-1), "layers to put on the GPU; -1 puts all")
    )
    n_batch: int = field(
        default=2048,
        metadata=_about(_ENGINE, kinds.integer(1, 1 << 20), "most in one call of llama.cpp", "tokens"),
    )
    n_ubatch: int = field(
        default=512, metadata=_about(_ENGINE, kinds.integer(1, 1 << 20), "most computed at once", "tokens")
    )
    itl_target_ms: int = field(
        default=500,
        metadata=_about(
            _ENGINE, kinds.integer(1), "time between two tokens of a request while prompts are computed", "ms"
        ),
    )
    flash_attn: str = field(
        default="auto",
        metadata=_about(_ENGINE, kinds.choice("auto", "on", "off"), "flash attention: auto, on, off"),
    )
    cache_type_k: str = field(
        default="f16",
        metadata=_about(
            _ENGINE, kinds.choice(*CACHE_TYPES), "type of the K cache: " + ", ".join(CACHE_TYPES)
        ),
    )
    cache_type_v: str = field(
        default="f16",
        metadata=_about(_ENGINE, kinds.choice(*CACHE_TYPES), "type of the V cache; the same choice"),
    )
    max_queue: int = field(
        default=256,
        metadata=_about(
            _LIMITS, kinds.integer(0), "requests that may wait for a slot; more are answered 429"
        ),
    )
    max_body_mib: int = field(
        default=16, metadata=_about(_LIMITS, kinds.integer(1, 4096), "largest request body", "MiB")
    )
    lameduck: float = field(
        default=30.0,
        metadata=_about(
            _LIMITS, kinds.seconds(zero=True), "time for running requests to finish after SIGTERM", "s"
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_about(
            _LOGGING, kinds.choice(*LOG_LEVELS), "least severity to log: " + ", ".join(LOG_LEVELS)
        ),
    )


OPTIONS: Mapping[str, Option] = {
    f.name: Option(name=f.name, default=f.default, **f.metadata) for f in fields(Settings)
}
"""Every setting by name, in the order of the help."""


def engine_options(settings: Settings) -> EngineOptions:
    """Return the part of the settings that a model's engine takes."""
    return {
        "n_parallel": settings.n_parallel,
        "n_ctx": settings.n_ctx,
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "itl_target_ms": settings.itl_target_ms,
        "n_threads": settings.threads,
        "n_gpu_layers": settings.n_gpu_layers,
        "flash_attn": settings.flash_attn,
        "cache_type_k": settings.cache_type_k,
        "cache_type_v": settings.cache_type_v,
        "max_queue": settings.max_queue,
    }


def load_settings(
    flags: Mapping[str, str | Sequence[str]], environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Resolve the settings from their three sources.

    Args:
        flags: setting name -> the text given on the command line; a list where the flag repeats.
        environ: the environment; variables that do not start with `LLAMAD_` are ignored.
        config: path of a TOML file; None takes `LLAMAD_CONFIG` where it is set and not empty.

    Raises:
        SettingsError: a name is unknown, a value is not what is expected, or the file cannot be read.
    """
    path = config if config is not None else environ.get(CONFIG_VARIABLE) or None
    values = {} if path is None else _from_file(path)
    values |= _from_environment(environ)
    for name, given in flags.items():
        option = OPTIONS[name]
        values[name] = _resolve(option, given if isinstance(given, str) else list(given), option.flag)
    return Settings(**values)


def suggest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return "; did you mean X?" with the nearest known name, or "" where none is near.

    A prefix that all have in common is left out of the comparison: it would make all look alike.
    """
    names = [candidate.removeprefix(prefix) for candidate in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), names, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _from_file(path: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {path!r}: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    for key in document:
        if key not in OPTIONS:
            raise SettingsError(f"{path}: unknown key {key!r}{suggest(key, OPTIONS)}")
    return {
        key: _resolve(OPTIONS[key], value, f"{path}: {key}", text=False) for key, value in document.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    options = {option.variable: option for option in OPTIONS.values()}
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in BUILD_VARIABLES or variable == CONFIG_VARIABLE:
            continue
        option = options.get(variable)
        if option is None:
            hint = suggest(variable, [*options, CONFIG_VARIABLE, *BUILD_VARIABLES], prefix=ENV_PREFIX)
            raise SettingsError(f"unknown environment variable {variable}{hint}")
        values[option.name] = _resolve(option, text, variable)
    return values


def _resolve(option: Option, value: object, where: str, *, text: bool = True) -> object:
    try:
        return option.kind.check(option.kind.from_text(value) if text and isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{where} = {value!r}: expected {option.kind.expected}") from None
