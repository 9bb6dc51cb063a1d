"""Print where the package nvidia-cublas keeps its headers, libcublas and libcublasLt, joined by `;`."""

import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("nvidia-cublas", "nvidia-cublas-cu{major}")
"""Since CUDA 13, and before."""


def find(major: str) -> list[Path] | None:
    """Return the include directory and the two libraries of CUDA `major`, or None."""
    names = ("cublas_v2.h", f"libcublas.so.{major}", f"libcublasLt.so.{major}")
    for package in PACKAGES:
        try:
            files = metadata.files(package.format(major=major)) or []
        except metadata.PackageNotFoundError:
            continue
        found = {file.name: Path(str(file.locate())).resolve() for file in files if file.name in names}
        if len(found) == len(names) and all(path.is_file() for path in found.values()):
            header, *libraries = (found[name] for name in names)
            return [header.parent, *libraries]
    return None


def main() -> int:
    """Print the three paths; fail without a word where they are not to be had."""
    found = find(sys.argv[1])
    if found is None:
        return 1
    print(";".join(map(str, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
