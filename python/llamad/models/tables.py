"""What the tables `[models."name"]` of a TOML file say.

    [models."qwen"]
    file = "Qwen3-8B-Q4_K_M.gguf"       # without it, the table is of the model of its own name
    aliases = ["gpt-4o-mini"]
    n_ctx = 16384                       # every setting of engine and context, and some more
    pinned = true
    preload = true
    chat_template_file = "qwen.jinja"   # or chat_template = "…"
    lora_adapters = ["tone.gguf", { path = "style.gguf", scale = 0.5 }]

    [models."qwen".sampling]            # where a request leaves it out
    temperature = 0.6

Paths are relative to the TOML file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError, SettingsError
from ..sampling import FIELD_NAMES, SamplingParams
from ..settings import OPTIONS, Settings, kinds
from ..settings.context import ContextSettings
from ..settings.engine import EngineSettings
from ..settings.sources import MODEL_TABLES, resolve, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "models.toml"
"""Is read where the model directory has it."""

_SETTINGS = frozenset(f.name for group in (EngineSettings, ContextSettings) for f in fields(group)) | {
    "keep_alive",
    "max_queue",
    "queue_timeout",
    "request_timeout",
}
RELOADABLE = _SETTINGS | {"load_timeout", "models_config"}
"""What `ModelManager.reload` can change in a running server."""

_SAMPLING = FIELD_NAMES - {"grammar", "logprobs", "prompt_logprobs", "prompt_logprobs_start"}
"""What an answer is made of is the request's alone to say; the rest has defaults."""

_OWN = {
    "file": kinds.text("FILE", "the path of a GGUF file"),
    "aliases": kinds.names(),
    "pinned": kinds.switch(),
    "preload": kinds.switch(),
    "chat_template": kinds.text("TEMPLATE", "a Jinja template"),
    "chat_template_file": kinds.text("FILE", "the path of a Jinja template"),
}
_KEYS = (*_OWN, "lora_adapters", "sampling", *sorted(_SETTINGS))


@dataclass(frozen=True, slots=True)
class ModelTable:
    """What is configured for one model.

    Attributes:
        name: the id that requests ask for it by.
        where: the file and table, as messages name them.
        file: the GGUF file; None: that of the model with this id.
        aliases: further names.
        pinned: whether it stays in memory once it is loaded.
        preload: whether it is loaded at startup.
        settings: values of `Settings` that hold for it.
        sampling: values of `SamplingParams` that hold where a request leaves them out.
        chat_template: instead of the file's own; "" for that.
        lora_adapters: files and scales.
    """

    name: str
    where: str
    file: Path | None = None
    aliases: tuple[str, ...] = ()
    pinned: bool = False
    preload: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str = ""
    lora_adapters: tuple[tuple[Path, float], ...] = ()

    def over(self, settings: Settings) -> Settings:
        """Return settings with what this table says in place of theirs."""
        return replace(settings, **self.settings)


def read_tables(settings: Settings) -> dict[str, ModelTable]:
    """Read the tables of all files that the settings name, and of the model directory's own.

    Raises:
        SettingsError: a file cannot be read; a key or a value is wrong; two tables claim one name.
    """
    own = settings.model_directory / FILE_NAME
    tables: dict[str, ModelTable] = {}
    owners: dict[str, ModelTable] = {}
    paths = [*settings.models_config, *([own] if own.is_file() else [])]
    for path in dict.fromkeys(path.resolve() for path in paths):
        for table in _tables(path):
            for name in (table.name, *table.aliases):
                if name in owners:
                    message = f"{table.where}: {name!r} is the name of {owners[name].where} already"
                    raise SettingsError(message)
                owners[name] = table
            tables[table.name] = table
    return tables


def _tables(path: Path) -> list[ModelTable]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    for key in document:
        if key != MODEL_TABLES and key not in OPTIONS:
            raise SettingsError(f"{path}: unknown key {key!r}{suggest(key, [MODEL_TABLES])}")
    tables = document.get(MODEL_TABLES, {})
    if not isinstance(tables, dict):
        raise SettingsError(f'{path}: {MODEL_TABLES}: expected tables [{MODEL_TABLES}."NAME"]')
    return [_table(path, name, given) for name, given in tables.items()]


def _table(path: Path, name: str, given: object) -> ModelTable:
    where = f'{path}: [{MODEL_TABLES}."{name}"]'
    if not isinstance(given, dict):
        raise SettingsError(f"{where}: expected a table")
    for key in given:
        if key not in _KEYS:
            raise SettingsError(f"{where}: unknown key {key!r}{suggest(key, _KEYS)}")
    own = {key: _checked(kind, given[key], f"{where} {key}") for key, kind in _OWN.items() if key in given}
    file = own.pop("file", None)
    template = own.pop("chat_template", "")
    template_file = own.pop("chat_template_file", None)
    if template and template_file:
        raise SettingsError(f"{where}: 'chat_template' and 'chat_template_file' exclude each other")
    return ModelTable(
        name=name,
        where=where,
        file=None if file is None else path.parent / file,
        settings={
            key: resolve(OPTIONS[key], given[key], f"{where} {key}", text=False)
            for key in given
            if key in _SETTINGS
        },
        sampling=_sampling(given.get("sampling", {}), f"{where[:-1]}.sampling]"),
        chat_template=template if template_file is None else _template(path.parent / template_file, where),
        lora_adapters=_adapters(given.get("lora_adapters", []), path.parent, f"{where} lora_adapters"),
        **own,
    )


def _checked(kind: kinds.Kind, value: object, where: str) -> Any:
    try:
        return kind.check(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{where} = {value!r}: expected {kind.expected}") from None


def _sampling(given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise SettingsError(f"{where}: expected a table")
    for key in given:
        if key not in _SAMPLING:
            raise SettingsError(f"{where}: unknown key {key!r}{suggest(key, sorted(_SAMPLING))}")
    try:
        SamplingParams(**given)
    except ParameterError as error:
        raise SettingsError(f"{where}: {error}") from None
    return given


def _template(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{where} chat_template_file: cannot read {str(path)!r}: {reason}") from None


def _adapters(given: object, folder: Path, where: str) -> tuple[tuple[Path, float], ...]:
    def adapter(one: object) -> tuple[Path, float]:
        match one:
            case str() as path if path:
                return folder / path, 1.0
            case {"path": str() as path, **rest} if path and rest.keys() <= {"scale"}:
                scale = rest.get("scale", 1.0)
                if isinstance(scale, int | float) and not isinstance(scale, bool):
                    return folder / path, float(scale)
        raise SettingsError(f"{where} = {one!r}: expected a path or {{ path = …, scale = … }}")

    if not isinstance(given, list):
        raise SettingsError(f"{where} = {given!r}: expected a list of paths")
    return tuple(adapter(one) for one in given)
