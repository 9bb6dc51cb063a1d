"""Which file a model's name means, and fetching it where it is not there yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelNotFoundError
from .models.specs import SUFFIX, scan, split_parts
from .pull import HUB_PREFIX, CatalogEntry, catalog, hub_file, pull
from .settings.sources import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY_VARIABLE = "LLAMAD_MODEL_DIRECTORY"

_MOST_NAMES = 20
"""What a message lists of the models in a directory."""


def model_directory(directory: str | os.PathLike[str] | None = None) -> Path:
    """Return where models are kept that are asked for by name.

    Args:
        directory: it, where given; else `LLAMAD_MODEL_DIRECTORY`, else `llamad/models` in the user's
            cache (`XDG_CACHE_HOME`, or `~/.cache`).
    """
    if directory is not None:
        return Path(directory).expanduser()
    if named := os.environ.get(DIRECTORY_VARIABLE):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "llamad" / "models"


def resolve(
    name: str | os.PathLike[str],
    directory: str | os.PathLike[str] | None = None,
    *,
    entries: Mapping[str, CatalogEntry] | None = None,
) -> Path:
    """Return the file that a model's name means; fetch it where the directory does not have it.

    A `str` means, in this order: `hf:org/repo/file.gguf`, a name of the catalog, an existing file, or the id
    of a model in the directory, as `llamad serve` would list it. Any other path means itself. What is in the
    directory is taken as it is: nothing is hashed, and no server is asked. Files of the hub lie in
    `org/repo` there, so that those of different repositories cannot be taken for each other.

    Args:
        name: what to load.
        directory: see `model_directory`.
        entries: the catalog; None for llamad's own.

    Raises:
        ModelNotFoundError: nothing has this name; the message lists what there is.
        PullError: the model could not be fetched.
    """
    if not isinstance(name, str):
        return _existing(Path(name))
    folder = model_directory(directory)
    known = catalog() if entries is None else entries
    if name.startswith(HUB_PREFIX):
        repo, file = hub_file(name)
        return _fetched(name, folder / repo, folder / repo / file, known)
    if name in known:
        return _fetched(name, folder, folder / known[name].file_name, known)
    if (path := Path(name).expanduser()).is_file():
        return path
    if (spec := scan(folder).models.get(name)) is not None:
        return spec.path
    raise ModelNotFoundError(_unknown(name, known, folder))


def _fetched(name: str, folder: Path, target: Path, entries: Mapping[str, CatalogEntry]) -> Path:
    """Return the file to load of a model that is, or is to be put, into a folder."""
    split = split_parts(target.name.removesuffix(SUFFIX))
    parts = [target] if split is None else [target.with_name(part + SUFFIX) for part in split[1]]
    if not all(part.is_file() for part in parts):
        pull(name, folder, entries=entries)
    return parts[0]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelNotFoundError(f"{str(path)!r} is not a file")
    return path


def _unknown(name: str, known: Mapping[str, CatalogEntry], folder: Path) -> str:
    here = list(scan(folder).models)
    more = f" and {len(here) - _MOST_NAMES} more" if len(here) > _MOST_NAMES else ""
    held = f"holds {', '.join(here[:_MOST_NAMES])}{more}" if here else "holds no model"
    return (
        f"no model {name!r}{suggest(name, [*known, *here])}; it is no file, the catalog has "
        f"{', '.join(sorted(known))}, and the model directory {str(folder)!r} {held}; "
        f"{HUB_PREFIX}org/repo/file{SUFFIX} names a file on the Hugging Face Hub"
    )
