"""`llamad quantize`."""

from __future__ import annotations

import time
from pathlib import Path

from tqdm import tqdm

from ..errors import LlamadError, ParameterError, SettingsError
from .parser import Parser

_TYPES = {
    "f32": "32 bits a weight",
    "f16": "16 bits",
    "bf16": "16 bits with the range of 32",
    "q8_0": "8.5 bits; hardly to be told from 16",
    "q6_k": "6.6 bits",
    "q5_k_m": "about 5.7 bits",
    "q4_k_m": "about 4.9 bits; the usual choice where memory is short",
    "q4_0": "4.5 bits; a little worse than q4_k_m",
}
"""What the help says of the types that most people want; there are more."""

_EPILOG = """On an x86 CPU llama.cpp computes q4_0 and q8_0 much faster than types such as q4_1, because it
rearranges their weights at load. The fewer the bits, the less memory is read for each token, and the
worse the answers."""


def run(arguments: list[str]) -> int:
    """Write a model with its weights in another type."""
    parser = _parser()
    parsed = parser.parse(arguments)
    from .. import quantization  # noqa: PLC0415 - it imports the engine

    source, target, started = Path(parsed.source), Path(parsed.target), time.monotonic()
    with tqdm(desc=f"{target.name} ({parsed.type})", unit=" tensors", leave=False, disable=None) as bar:

        def on_progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        try:
            quantization.quantize(
                source,
                target,
                type=parsed.type,
                allow_requantize=parsed.allow_requantize,
                keep_output_tensor=parsed.keep_output_tensor,
                pure=parsed.pure,
                n_threads=parsed.threads,
                overwrite=parsed.force,
                on_progress=on_progress,
            )
        except ParameterError as error:
            raise _in_words_of_flags(error) from None
    print(f"{target}: {_mib(target)} ({parsed.type}), {time.monotonic() - started:.1f} s")
    return 0


def _parser() -> Parser:
    width = max(map(len, _TYPES)) + 2
    types = "\n".join(f"  {name:<{width}}{about}" for name, about in _TYPES.items())
    parser = Parser(
        prog="llamad quantize",
        usage="llamad quantize IN OUT [flags]",
        description="Write a model with its weights in another type. OUT appears once it is whole.",
        epilog=f"types, among others:\n{types}\n\n{_EPILOG}",
    )
    parser.add_argument("source", metavar="IN", help="a GGUF file; of a split model the first part")
    parser.add_argument("target", metavar="OUT", help="the file to write")
    parser.add_argument("-t", "--type", metavar="TYPE", default="q8_0", help="see below (default: q8_0)")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--allow-requantize",
        action="store_true",
        help="also take weights that are quantized already; what that has lost stays lost",
    )
    parser.add_argument(
        "--keep-output-tensor",
        action="store_true",
        help="leave the output matrix as it is: larger, a bit better",
    )
    parser.add_argument(
        "--pure", action="store_true", help="every matrix in the same type, without llama.cpp's mixtures"
    )
    parser.add_argument(
        "--threads", metavar="N", type=int, default=0, help="compute threads; 0 takes all cores (default: 0)"
    )
    return parser


def _in_words_of_flags(error: ParameterError) -> LlamadError:
    """Return the error as somebody at a command line has to read it."""
    match error.param:
        case "allow_requantize":
            return SettingsError(str(error).replace("allow_requantize", "--allow-requantize"))
        case "n_threads":
            return SettingsError(str(error).replace("n_threads", "--threads"))
        case "target" if "exists" in str(error):
            return SettingsError(f"{error}; --force does that")
        case _:
            return SettingsError(str(error))


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"
