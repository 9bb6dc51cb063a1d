"""Directories of models that hold what a test wants and no more."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def place(model: Path, directory: Path) -> None:
    """Put a model into a directory: a hard link, since symbolic ones may not lead outside, or a copy."""
    try:
        os.link(model, directory / model.name)
    except OSError:
        shutil.copy(model, directory)
