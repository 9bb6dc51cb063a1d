"""What is in the model directory.

Every GGUF file in the directory and below it is a model. Its id is the file name without `.gguf`; a
split model (`name-00001-of-00003.gguf`, …) is one model with the id `name`.

Ids are unique. Where several files claim one, it goes to the file nearest the top of the directory,
an unsplit file before a split one, then by path; each of the others is known by its path below the
directory, without `.gguf` (`folder/name`). A split model whose path an unsplit one has taken is known
by the path of its first part (`folder/name-00001-of-00003`).

Not models: hidden files and folders, `mmproj*.gguf` (projectors, of no use alone), files whose name
does not end in `.gguf` (so no `.gguf.part` of a download under way). Links to folders are not
followed, links to files only where they lead to a file inside the directory.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIX = ".gguf"

_SPLIT = re.compile(r"(?P<name>.+)-(?P<part>\d{5})-of-(?P<total>\d{5})")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that can be loaded.

    Attributes:
        id: the name by which requests ask for it.
        paths: its files, in the order of the parts; one unless the model is split.
        size_bytes: of all files together.
        created: Unix time of the newest file's last change, in seconds.
        stamps: of each file, what changes with it: its inode, time of change in nanoseconds, and size.
    """

    id: str
    paths: tuple[Path, ...]
    size_bytes: int
    created: int
    stamps: tuple[tuple[int, int, int], ...]

    @property
    def path(self) -> Path:
        """The file to load: of a split model, the first part, which names the others."""
        return self.paths[0]


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at the directory found.

    Attributes:
        models: by id, sorted by id.
        problems: what was left out although it looks like a model, or why nothing was found; a sentence each.
    """

    models: dict[str, ModelSpec]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A model whose id is not settled: its files, by their path below the directory."""

    stem: str
    files: tuple[Path, ...]
    is_split: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids it may have, in order of preference; nobody else can claim the last one."""
        first = self.files[0]
        return (self.stem, str(first.with_name(self.stem)), str(first).removesuffix(SUFFIX))

    @property
    def rank(self) -> tuple[int, bool, str]:
        """Who chooses an id first."""
        return (len(self.files[0].parts), self.is_split, str(self.files[0]))


def split_parts(stem: str) -> tuple[str, list[str]] | None:
    """Return the name and the stems of all parts of the split model that `stem` is a part of.

    None if `stem` does not name a part.

    Example:
        >>> split_parts("phi-00002-of-00002")
        ('phi', ['phi-00001-of-00002', 'phi-00002-of-00002'])
    """
    match = _SPLIT.fullmatch(stem)
    if match is None or not 1 <= int(match["part"]) <= int(match["total"]):
        return None
    name, total = match["name"], int(match["total"])
    return name, [f"{name}-{part:05d}-of-{total:05d}" for part in range(1, total + 1)]


def scan(directory: Path) -> Scan:
    """Look for models; reads names and sizes, opens no file. A missing directory has none."""
    problems: list[str] = []
    files = dict(_files(directory, problems))
    models: dict[str, ModelSpec] = {}
    for candidate in sorted(_candidates(files, problems), key=lambda candidate: candidate.rank):
        model_id = next(name for name in candidate.ids if name not in models)
        statuses = [files[file] for file in candidate.files]
        models[model_id] = ModelSpec(
            id=model_id,
            paths=tuple(directory / file for file in candidate.files),
            size_bytes=sum(status.st_size for status in statuses),
            created=int(max(status.st_mtime for status in statuses)),
            stamps=tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in statuses),
        )
    return Scan(dict(sorted(models.items())), tuple(problems))


def _candidates(files: Iterable[Path], problems: list[str]) -> list[_Candidate]:
    """Join the parts of split models; incomplete ones become problems."""
    candidates = []
    splits: defaultdict[_Candidate, set[Path]] = defaultdict(set)
    for file in files:
        stem = file.name.removesuffix(SUFFIX)
        split = split_parts(stem)
        if split is None:
            candidates.append(_Candidate(stem, (file,), is_split=False))
        else:
            name, parts = split
            siblings = tuple(file.with_name(part + SUFFIX) for part in parts)
            splits[_Candidate(name, siblings, is_split=True)].add(file)
    for whole, present in splits.items():
        missing = [str(file) for file in whole.files if file not in present]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            name = whole.ids[1]
            problems.append(f"{name}: split model left out, missing {', '.join(missing[:3])}{more}")
        else:
            candidates.append(whole)
    return candidates


def _files(directory: Path, problems: list[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every file that may be a model or a part of one, by its path below the directory."""
    root = Path(os.path.realpath(directory))

    def report(path: Path, problem: str) -> None:
        # A name that is not UTF-8 could not be written to a log as it is.
        shown = str(path.relative_to(root)).encode(errors="backslashreplace").decode()
        problems.append(f"{shown}: {problem}")

    def unreadable(error: OSError) -> None:
        why = error.strerror or str(error)
        if Path(error.filename) == root:
            problems.append(f"cannot be read: {why}")
        else:
            report(Path(error.filename), why)

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(folder, name) for name in subfolders):
            # `Path`'s own raises in a folder that may be listed but not entered.
            if os.path.islink(path):  # noqa: PTH114
                report(path, "a link to a folder, not followed")
        for name in sorted(names):
            if not name.endswith(SUFFIX) or name.startswith(".") or name.lower().startswith("mmproj"):
                continue
            path = Path(folder, name)
            status = _status(path, root)
            if isinstance(status, str):
                report(path, status)
            else:
                yield path.relative_to(root), status


def _status(path: Path, root: Path) -> os.stat_result | str:
    """Return a file's status, or why it cannot be served."""
    try:
        str(path.relative_to(root)).encode()
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            return "a link that leads out of the model directory, not followed; a hard link is"
        status = path.stat()
    except UnicodeEncodeError:
        return "left out, its name is not UTF-8"
    except OSError as error:
        return error.strerror or str(error)
    return status if stat.S_ISREG(status.st_mode) else "not a file"
