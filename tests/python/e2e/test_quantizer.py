"""llama.cpp's quantizer behind a checked interface, in this process."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from llamad import Engine, InvalidModelError, ModelNotFoundError, ParameterError, _engine
from llamad.errors import QuantizationError, TruncatedModelError

from tests.python.support import damaged_gguf
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model
from tests.python.support.tiny_lora import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

# Wide enough for blocks of 256.
WIDE = TinyModel(width=256)


@pytest.fixture(scope="module")
def f16_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wide") / "wide.gguf"
    return write_tiny_model(path, TinyModel(width=256, dtype="f16"))


def _quantize(source: Path, target: Path, **options: Any) -> Path:
    _engine.quantize(str(source), str(target), **options)
    return target


def _types(path: Path) -> dict[str, GGMLQuantizationType]:
    return {str(tensor.name): tensor.tensor_type for tensor in GGUFReader(path).tensors}


def _logprobs(path: Path) -> list[float]:
    with Engine(path, n_parallel=1, n_ctx=256, n_threads=1) as engine:
        [scored] = engine.choices("many words", n=1, max_tokens=0, prompt_logprobs=0)
    assert scored.prompt_logprobs is not None
    return [token.logprob for token in scored.prompt_logprobs]


def test_every_type_makes_a_model_that_loads(f16_model: Path, tmp_path: Path) -> None:
    exact, sizes = _logprobs(f16_model), {}
    for name in _engine.quantization_types():
        path = _quantize(f16_model, tmp_path / f"{name}.gguf", type=name, n_threads=2)
        sizes[name] = path.stat().st_size
        predicted = _engine.quantized_size(str(f16_model), type=name)
        assert abs(predicted - sizes[name]) < 40_000, name
        close_to = {"f32": 0.05, "f16": 0.001, "bf16": 0.3, "q8_0": 0.3}.get(name)
        if close_to is not None:
            assert np.allclose(_logprobs(path), exact, atol=close_to), name
        else:
            assert len(_logprobs(path)) == len(exact)
        path.unlink()
    assert sizes["f32"] > sizes["f16"] > sizes["q8_0"] > sizes["q6_k"] > sizes["q4_0"] > sizes["q2_k"]


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_what_floats_come_from_makes_no_difference(dtype: str, tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "source.gguf", WIDE)
    if dtype != "f32":
        source = _quantize(source, tmp_path / f"{dtype}.gguf", type=dtype)
    types = _types(_quantize(source, tmp_path / "q8_0.gguf", type="Q8_0"))
    matrices = {name: kind for name, kind in types.items() if "norm" not in name}
    assert set(matrices.values()) == {GGMLQuantizationType.Q8_0}


def test_progress_counts_the_tensors(f16_model: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    _quantize(
        f16_model, tmp_path / "out.gguf", type="q4_k_m", on_progress=lambda *counts: seen.append(counts)
    )
    n_tensors = len(GGUFReader(f16_model).tensors)
    assert seen == [(n, n_tensors) for n in range(n_tensors + 1)]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_what_the_callback_raises_gives_up(
    raised: type[BaseException], f16_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.gguf"

    def on_progress(n_done: int, n_tensors: int) -> None:
        assert target.exists()
        if n_done == 3:
            raise raised("enough")

    with pytest.raises(raised, match="enough"):
        _quantize(f16_model, target, type="q8_0", on_progress=on_progress)
    assert not target.exists()
    assert not [text for _, text in _engine.take_log_lines() if "quantize" in text]


def test_pure_and_the_output_tensor(f16_model: Path, tmp_path: Path) -> None:
    mixed = _types(_quantize(f16_model, tmp_path / "mixed.gguf", type="q4_k_m"))
    pure = _types(_quantize(f16_model, tmp_path / "pure.gguf", type="q4_k_m", pure=True))
    kept = _types(_quantize(f16_model, tmp_path / "kept.gguf", type="q4_0", keep_output_tensor=True))
    matrices = [name for name in pure if "norm" not in name]
    assert {pure[name] for name in matrices} == {GGMLQuantizationType.Q4_K}
    assert GGMLQuantizationType.Q6_K in mixed.values()
    assert "output.weight" in kept
    assert kept["output.weight"] == GGMLQuantizationType.F16
    assert kept["token_embd.weight"] == GGMLQuantizationType.Q4_0


def test_a_split_model_becomes_one_file(tmp_path: Path) -> None:
    first = write_tiny_model(tmp_path / "split.gguf", TinyModel(shards_of=8))
    assert "-00001-of-" in first.name
    whole = write_tiny_model(tmp_path / "whole.gguf")
    _quantize(first, tmp_path / "joined.gguf", type="f32")
    assert _logprobs(tmp_path / "joined.gguf") == _logprobs(whole)
    second = first.with_name(first.name.replace("00001", "00002"))
    with pytest.raises(QuantizationError, match="split"):
        _quantize(second, tmp_path / "part.gguf", type="f32")
    with pytest.raises(ParameterError, match="another file than the source"):
        _quantize(first, second, type="f32")
    assert not (tmp_path / "part.gguf").exists()


def test_what_is_quantized_already_has_to_be_asked_for(f16_model: Path, tmp_path: Path) -> None:
    once = _quantize(f16_model, tmp_path / "once.gguf", type="q8_0")
    with pytest.raises(ParameterError, match=r"quantized already \(\S+ is q8_0\)") as caught:
        _quantize(once, tmp_path / "twice.gguf", type="q4_0")
    assert caught.value.param == "allow_requantize"
    assert not (tmp_path / "twice.gguf").exists()
    twice = _types(_quantize(once, tmp_path / "twice.gguf", type="q4_0", allow_requantize=True))
    assert GGMLQuantizationType.Q4_0 in twice.values()


@pytest.mark.parametrize(
    ("options", "param", "message"),
    [
        ({"type": "q9_9"}, "type", "one of f32, bf16, f16, q8_0"),
        ({}, "type", "one of"),
        ({"type": "IQ2_XXS"}, "type", "importance matrix"),
        ({"type": "q2_k_s"}, "type", "importance matrix"),
        ({"type": 8}, "type", "a string"),
        ({"type": "q8_0", "n_threads": -1}, "n_threads", "0 to 512"),
        ({"type": "q8_0", "pure": 1}, "pure", "True or False"),
        ({"type": "q8_0", "colour": "red"}, "colour", "unknown"),
    ],
)
def test_wrong_parameters(
    options: dict[str, Any], param: str, message: str, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        _quantize(tiny_model, tmp_path / "out.gguf", **options)
    assert caught.value.param == param
    assert list(tmp_path.iterdir()) == []


def test_the_target_may_not_be_the_source(tiny_model: Path, tmp_path: Path) -> None:
    before = tiny_model.read_bytes()
    link = tmp_path / "link.gguf"
    link.symlink_to(tiny_model)
    for target in (tiny_model, link, tiny_model.parent / "." / tiny_model.name):
        with pytest.raises(ParameterError, match="another file than the source"):
            _quantize(tiny_model, target, type="q8_0")
    with pytest.raises(ParameterError, match="target must not be empty"):
        _engine.quantize(str(tiny_model), "", type="q8_0")
    assert tiny_model.read_bytes() == before


def test_damaged_files(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    with pytest.raises(ModelNotFoundError):
        _quantize(tmp_path / "nowhere.gguf", target, type="q8_0")
    with pytest.raises(InvalidModelError):
        _quantize(damaged_gguf.write_not_a_gguf(tmp_path / "text.gguf"), target, type="q8_0")
    cut = damaged_gguf.write_truncated_tensors(tiny_model, tmp_path / "cut.gguf")
    with pytest.raises(TruncatedModelError):
        _quantize(cut, target, type="q8_0")
    with pytest.raises(QuantizationError, match="adapter"):
        _quantize(write_adapter(tmp_path / "lora.gguf", tiny_model), target, type="q8_0")
    assert not target.exists()


def _write_strange(
    path: Path, *, n_columns: int = 32, architecture: str = "llama", alignment: int = 32
) -> Path:
    writer = GGUFWriter(path, architecture)
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_tensor("token_embd.weight", np.zeros((4, n_columns), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_files_that_llama_cpp_cannot_quantize(tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    with pytest.raises(QuantizationError, match="unknown model architecture"):
        _quantize(_write_strange(tmp_path / "strange.gguf", architecture="nobodys"), target, type="q8_0")
    with pytest.raises(QuantizationError, match="aligned to 64 bytes"):
        _quantize(_write_strange(tmp_path / "aligned.gguf", alignment=64), target, type="q8_0")
    with pytest.raises(InvalidModelError, match="no elements"):
        _quantize(_write_strange(tmp_path / "empty.gguf", n_columns=0), target, type="q8_0")
    assert not target.exists()


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    source = write_tiny_model(tmp_path / "nan.gguf", WIDE)
    reader = GGUFReader(source, "r+")
    tensor = next(one for one in reader.tensors if one.name == "token_embd.weight")
    tensor.data[0, 0] = np.nan
    reader.data.flush()
    with pytest.raises(QuantizationError):
        _quantize(source, tmp_path / "out.gguf", type="q8_0")
    assert not (tmp_path / "out.gguf").exists()


def test_a_target_that_cannot_be_written(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match=r"cannot write .*: No such file or directory"):
        _quantize(tiny_model, tmp_path / "nowhere" / "out.gguf", type="q8_0")
    with pytest.raises(QuantizationError, match=r"cannot write .*: Is a directory"):
        _quantize(tiny_model, tmp_path, type="q8_0")
    with pytest.raises(QuantizationError, match="cannot write /dev/full: No space left on device"):
        _engine.quantize(str(tiny_model), "/dev/full", type="q8_0")


def test_a_disk_that_fills_up_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk; where it falls must not matter."""
    target = tmp_path / "out.gguf"
    size = _quantize(tiny_model, target, type="f16").stat().st_size
    script = (
        "import resource, signal, sys\n"
        "from llamad import _engine\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "_engine.quantize(sys.argv[1], sys.argv[2], type='f16')\n"
    )
    for limit in (1, 5000, size // 2, size - 1):
        command = [sys.executable, "-c", script, str(tiny_model), str(target), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "QuantizationError: cannot write" in done.stderr, (limit, done)
        assert "File too large" in done.stderr, (limit, done)
        assert not target.exists(), limit
