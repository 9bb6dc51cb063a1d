"""What `chat` and `bench` have in common: which model, and how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from ..errors import SettingsError
from ..models.specs import scan
from ..settings import OPTIONS, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from ..engine import Engine
    from ..options import EngineOptions
    from .parser import Parser

MODEL_HELP = (
    "a model of the model directory, a path, a name of the catalog (`llamad pull --help` lists them), or "
    "hf:org/repo/file.gguf; without it, the only model of the model directory"
)

_OPTIONS = (
    "model_directory",
    "threads",
    "threads_batch",
    "n_gpu_layers",
    "split_mode",
    "tensor_split",
    "main_gpu",
    "n_batch",
    "n_ubatch",
    "flash_attn",
    "backend_sampling",
    "decode_padding",
    "n_ctx",
    "swa_full",
    "cache_type_k",
    "cache_type_v",
    "rope_scaling",
    "rope_scale",
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_orig_ctx",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
)


def add_model_arguments(parser: Parser, *, without: tuple[str, ...] = ()) -> None:
    """Take MODEL, and the settings of one engine but those that the command decides itself."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help=MODEL_HELP)
    parser.add_options(OPTIONS[name] for name in _OPTIONS if name not in without)


def model_path(name: str | None, settings: Settings) -> Path:
    """Return the file of a model, fetched where it has to be.

    Args:
        name: as the user gave it; None for the only model there is.
        settings: say where models are.

    Raises:
        SettingsError: nothing was named, and the model directory holds no model, or several.
        LlamadError: there is no such model, or it cannot be fetched.
    """
    directory = settings.model_directory
    if name is None:
        models = scan(directory).models
        if len(models) != 1:
            held = f"holds {', '.join(models)}" if models else "holds none"
            raise SettingsError(f"name a model: the model directory {str(directory)!r} {held}; see --help")
        return next(iter(models.values())).path
    from ..pretrained import resolve  # noqa: PLC0415 - it imports what fetches

    # Not everywhere is a place for `models`: by default it is used, but not made.
    is_default = directory == OPTIONS["model_directory"].default
    return resolve(name, None if is_default and not directory.is_dir() else directory)


def load_engine(path: Path, options: EngineOptions) -> Engine:
    """Load a model, with a bar on stderr where that is a terminal.

    Raises:
        ModelError: the file cannot be loaded.
    """
    from ..engine import Engine  # noqa: PLC0415 - `--help` can do without

    shown = "{desc} {percentage:3.0f}%|{bar:30}|"
    with tqdm(total=100, desc=f"loading {path.name}", bar_format=shown, leave=False, disable=None) as bar:

        def on_progress(fraction: float) -> bool:
            bar.update(100 * fraction - bar.n)
            return True

        return Engine(path, on_progress=on_progress, **options)
