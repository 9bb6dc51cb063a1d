"""Put the pinned llama.cpp source into a user cache, once, and print its directory.

The source is the folder `vendor/llama.cpp` of a PyPI source distribution, so that pip's own settings
(mirrors, proxies, certificates) are all the network configuration there is. The pin is
`llama_cpp_pin.json`. The cache is `$LLAMAD_CACHE_DIR`, else `$XDG_CACHE_HOME/llamad`, else
`~/.cache/llamad`.

A directory appears under its final name by one rename, after the hash was checked and everything was
unpacked: if it is there, it is whole.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

VENDORED = PurePosixPath("vendor/llama.cpp")
DOWNLOAD_TIMEOUT_S = 900.0
# Longer than a download may take, so that a waiting build outlasts the one that downloads.
LOCK_TIMEOUT_S = DOWNLOAD_TIMEOUT_S + 300.0

ADVICE = """\
Nothing was left half-made: run the same command again to retry. Without a network, unpack llama.cpp's
source yourself and build with LLAMAD_LLAMA_CPP_DIR=/path/to/llama.cpp."""


class FetchError(Exception):
    """The source could not be had; the message says why."""


@dataclass(frozen=True)
class Pin:
    """Which source distribution, and which commit of llama.cpp it carries."""

    package: str
    version: str
    sha256: str
    commit: str

    @property
    def directory_name(self) -> str:
        """The name under the cache; it changes whenever the contents may."""
        return f"llama.cpp-{self.commit}-{self.sha256[:12]}"


Downloader = Callable[[Pin, Path], Path]
"""Puts the source distribution into a directory and returns the file; raises FetchError."""


def read_pin(path: Path) -> Pin:
    """Read a pin file."""
    return Pin(**json.loads(path.read_text(encoding="utf-8")))


def cache_root() -> Path:
    """Return the cache directory named in this module's docstring; it need not exist."""
    if explicit := os.environ.get("LLAMAD_CACHE_DIR"):
        return Path(explicit).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().absolute() / "llamad"
    return Path.home() / ".cache" / "llamad"


def download_with_pip(pin: Pin, directory: Path) -> Path:
    """Download with the pip of this interpreter, which checks the hash too."""
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{pin.package}=={pin.version} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    # pip prepares the metadata of what it downloads. Without isolation that takes the scikit-build-core that
    # is building llamad; with it, pip would first download another CMake.
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-binary", pin.package, "--no-build-isolation"),
        *("--requirement", str(requirements), "--dest", str(directory)),
    ]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"pip took longer than {DOWNLOAD_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise FetchError(f"pip could not download it:\n{done.stdout}{done.stderr}".rstrip())
    archives = list(directory.glob("*.tar.gz"))
    if len(archives) != 1:
        raise FetchError(f"pip left {len(archives)} archives instead of one")
    return archives[0]


def check_hash(archive: Path, sha256: str) -> None:
    """Raise FetchError unless the file's SHA-256 is the given one."""
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FetchError(f"{archive.name} has SHA-256 {found}, the pin says {sha256}")


def unpack(archive: Path, directory: Path) -> Path:
    """Unpack the vendored llama.cpp alone, and return the directory that holds it."""

    def vendored(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in tar:
            if PurePosixPath(*PurePosixPath(member.name).parts[1:]).is_relative_to(VENDORED):
                yield member

    try:
        with tarfile.open(archive) as tar:
            # Python before 3.11.4 has no filters; the checked hash already vouches for the contents.
            if hasattr(tarfile, "data_filter"):
                tar.extractall(directory, vendored(tar), filter="data")
            else:
                tar.extractall(directory, vendored(tar))  # noqa: S202
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FetchError(f"{archive.name} cannot be unpacked: {error}") from error
    found = [path for path in directory.glob(f"*/{VENDORED}") if (path / "CMakeLists.txt").is_file()]
    if len(found) != 1:
        raise FetchError(f"{archive.name} holds no {VENDORED}")
    return found[0]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file; the kernel lets go of it however this process ends."""

    def acquire(file: IO[str]) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise FetchError(f"another build has held {path} for {LOCK_TIMEOUT_S:.0f} s") from error
                time.sleep(0.1)

    with path.open("w", encoding="utf-8") as file:
        acquire(file)
        yield


def fetch(pin: Pin, cache: Path, download: Downloader) -> Path:
    """Return the pinned source's directory, downloading and unpacking it if the cache lacks it.

    Safe to call from several processes at once: one works, the others wait and use its result.

    Args:
        pin: What to fetch.
        cache: Where to keep it; created if absent.
        download: How to get the archive, `download_with_pip` outside tests.

    Raises:
        FetchError: No archive, one with another hash, or one without llama.cpp in it. The cache is
            as it was.
    """
    target = cache / pin.directory_name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{pin.directory_name}.lock"):
        if target.is_dir():
            return target
        scratch_prefix = f".{pin.directory_name}-"
        for leftover in cache.glob(f"{scratch_prefix}*"):  # of a build that was killed; we hold its lock
            shutil.rmtree(leftover, ignore_errors=True)
        # Inside the cache, because a rename is atomic only within one file system.
        with tempfile.TemporaryDirectory(prefix=scratch_prefix, dir=cache) as scratch:
            archive = download(pin, Path(scratch))
            check_hash(archive, pin.sha256)
            unpack(archive, Path(scratch) / "unpacked").rename(target)
    return target


def main() -> int:
    """Print the directory; on failure, say on standard error what happened and what to do."""
    parser = argparse.ArgumentParser(description="Fetch the pinned llama.cpp source and print its directory.")
    parser.add_argument("--pin", type=Path, default=Path(__file__).with_name("llama_cpp_pin.json"))
    parser.add_argument("--archive", type=Path, help="use this source distribution instead of downloading")
    options = parser.parse_args()
    pin = read_pin(options.pin)

    def download(pin: Pin, directory: Path) -> Path:
        if options.archive is not None:
            return Path(options.archive)
        print(f"-- llamad: downloading {pin.package} {pin.version} for llama.cpp's source", file=sys.stderr)
        return download_with_pip(pin, directory)

    try:
        directory = fetch(pin, cache_root(), download)
    except (FetchError, OSError) as error:
        print(f"llama.cpp {pin.commit}: {error}\n{ADVICE}", file=sys.stderr)
        return 1
    print(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
