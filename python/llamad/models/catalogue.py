"""`Catalogue`: the models that could be served, each with its settings."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from llamad.errors import ParameterError, SettingsError
from llamad.pull import catalog
from llamad.settings.options import check_engine_options, embedder_options, engine_options
from llamad.settings.sources import suggest

from .specs import SUFFIX, ModelSpec, scan
from .tables import ModelTable, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llamad.embeddings import EmbedderOptions
    from llamad.options import EngineOptions
    from llamad.settings import Settings

_logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 1.0
"""A look at a directory of a hundred files takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A model and how it is to be loaded.

    Attributes:
        spec: its files.
        table: what is configured for it alone.
        settings: what holds for it.
        adapter_stamps: change when a file of a LoRA adapter does.
    """

    spec: ModelSpec
    table: ModelTable
    settings: Settings
    adapter_stamps: tuple[tuple[int, int], ...] = ()

    @property
    def id(self) -> str:
        """The name by which requests ask for it."""
        return self.table.name

    def engine_options(self) -> EngineOptions:
        """Return how to load it as a model that generates text."""
        options = engine_options(self.settings)
        if self.table.chat_template:
            options["chat_template"] = self.table.chat_template
        if self.table.lora_adapters:
            options["lora_adapters"] = [(str(path), scale) for path, scale in self.table.lora_adapters]
        return options

    def embedder_options(self) -> EmbedderOptions:
        """Return how to load it as a model that embeds or reranks."""
        return embedder_options(self.settings)

    def loads_like(self, other: Definition) -> bool:
        """Whether an engine loaded for the other serves this as well."""
        return self is other or (
            (self.spec.paths, self.spec.stamps, self.adapter_stamps)
            == (other.spec.paths, other.spec.stamps, other.adapter_stamps)
            and self.engine_options() == other.engine_options()
            and self.embedder_options() == other.embedder_options()
        )


class Catalogue:
    """The models of a directory with what is configured for each.

    Lives on one event loop. What comes and goes in the directory is noticed within a second of a request;
    the tables of single models are read at startup and by `reload`.

    Args:
        settings: what holds where a model has no settings of its own.
        clock: monotonic time in seconds, for the age of the last look at the directory.

    Raises:
        SettingsError: a table is wrong.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._tables = _checked_tables(settings)
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._definitions: dict[str, Definition] = {}
        self._aliases: dict[str, str] = {}
        self._problems: frozenset[str] = frozenset()

    def definitions(self) -> Mapping[str, Definition]:
        """Return the models as of the last look, by id."""
        if self._looked_at is None:
            self._take(_look(self._settings, self._tables))
        return self._definitions

    def find(self, name: str) -> Definition | None:
        """Return the model of an id or an alias, as of the last look."""
        definitions = self.definitions()
        return definitions.get(name) or definitions.get(self._aliases.get(name, ""))

    def aliases(self, model_id: str) -> tuple[str, ...]:
        """Return the further names of a model, as of the last look."""
        return tuple(alias for alias, meant in self._aliases.items() if meant == model_id)

    async def refresh(self) -> bool:
        """Look at the directory again if the last look is a second old; return whether it was."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < _LOOK_AGAIN_S:
            return False
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        # Shielded: who gives up waiting must not end it for the others.
        await asyncio.shield(self._looking)
        return True

    async def reload(self, settings: Settings) -> None:
        """Take new settings, and read the tables again.

        Raises:
            SettingsError: a table is wrong; the old ones hold on.
        """
        self._tables = await asyncio.to_thread(_checked_tables, settings)
        self._settings = settings
        if self._looking is not None:  # it looks with the old tables
            await asyncio.wait({self._looking})
        self._looked_at = None
        await self.refresh()

    async def _look(self) -> None:
        try:
            self._take(await asyncio.to_thread(_look, self._settings, self._tables))
        finally:
            self._looking = None

    def _take(self, look: _Look) -> None:
        self._looked_at = self._clock()
        for problem in look.problems:
            if problem not in self._problems:
                _logger.warning("%s: %s", self._settings.model_directory, problem)
        self._problems = frozenset(look.problems)
        self._definitions = look.definitions
        self._aliases = look.aliases


@dataclass(frozen=True, slots=True)
class _Look:
    definitions: dict[str, Definition]
    aliases: dict[str, str]
    problems: tuple[str, ...]


def _checked_tables(settings: Settings) -> dict[str, ModelTable]:
    """Read the tables; raise a `SettingsError` also where values are fine only one by one."""
    tables = read_tables(settings)
    for table in tables.values():
        try:
            check_engine_options(engine_options(table.over(settings)))
        except ParameterError as error:
            raise SettingsError(f"{table.where}: {error}") from None
    return tables


def _look(settings: Settings, tables: Mapping[str, ModelTable]) -> _Look:
    found = scan(settings.model_directory)
    problems = list(found.problems)
    by_path = {os.path.realpath(spec.path): spec for spec in found.models.values()}
    adapters = {os.path.realpath(path) for table in tables.values() for path, _ in table.lora_adapters}
    definitions = {
        spec.id: Definition(spec, ModelTable(spec.id, ""), settings)
        for spec in found.models.values()
        if os.path.realpath(spec.path) not in adapters
    }
    for table in tables.values():
        if table.file is None:
            spec = found.models.get(table.name)
            missing = f"there is no model {table.name!r}{suggest(table.name, found.models)}"
        else:
            spec = by_path.get(os.path.realpath(table.file))
            missing = f"there is no model file {str(table.file)!r} in the model directory"
        if spec is None:
            problems.append(f"{table.where}: {missing}")
            continue
        if spec.id != table.name and table.name in found.models:
            problems.append(f"{table.where}: hides the file of the same name")
        stamps = tuple(_stamp(path) for path, _ in table.lora_adapters)
        definitions[table.name] = Definition(spec, table, table.over(settings), stamps)
    aliases = {}
    for definition in definitions.values():
        for alias in definition.table.aliases:
            if alias in definitions:
                problems.append(f"{definition.table.where}: the alias {alias!r} is the name of a model")
            else:
                aliases[alias] = definition.id
    for name, file_name in _catalog_files():  # `llamad pull smollm2`, and then "model": "smollm2"
        model_id = file_name.removesuffix(SUFFIX)
        if model_id in definitions and name not in definitions:
            aliases.setdefault(name, model_id)
    return _Look(dict(sorted(definitions.items())), aliases, tuple(problems))


@cache
def _catalog_files() -> tuple[tuple[str, str], ...]:
    return tuple((name, entry.file_name) for name, entry in catalog().items())


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
