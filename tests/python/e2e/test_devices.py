"""Which GPUs a model is put on, and how much of it: real devices of llama.cpp, whose memory tests set."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.python.support.rpc_devices import Machine, build_directory, device, write_package
from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Machines = Callable[..., Machine]

MIB = 1 << 20
ROOMY = 256 * MIB
N_LAYERS = 8
"""Of `model`, and the output layer."""

GENERATE = """
with llamad.Engine(given.pop("path"), n_ctx=64, n_parallel=2, prefix_cache_mib=0, **given) as engine:
    tell({"text": engine.generate("abc", max_tokens=12, temperature=0).text,
          "devices": engine.info.devices,
          "layers": {one["device"]: one["layers"] for one in engine.info.memory},
          "bytes": size_by_device(engine.info.memory),
          "free": {one["name"]: one["free"] for one in _engine.devices()}})
"""

FAIL = """
free = [one["free"] for one in _engine.devices()[1:]]
try:
    llamad.Engine(given.pop("path"), n_ctx=64, n_parallel=2, prefix_cache_mib=0, **given)
except llamad.LlamadError as error:
    same = free == [one["free"] for one in _engine.devices()[1:]]
    tell([type(error).__name__, getattr(error, "param", None), str(error), same])
"""

ESTIMATE = """
config = _engine.EngineConfig(model_path=given.pop("path"), n_ctx=64, n_parallel=2, **given)
tell(size_by_device(_engine.estimate_memory(config)))
"""


@pytest.fixture(scope="module")
def directory() -> Path:
    found = build_directory()
    if found is None:
        pytest.skip("the devices have not been built: make rpc-devices")
    return found


@pytest.fixture(scope="module")
def package(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(directory, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = TinyModel(n_layers=N_LAYERS, width=128)
    return write_tiny_model(tmp_path_factory.mktemp("models") / "eight.gguf", shape)


@pytest.fixture
def machines(directory: Path, package: Path) -> Iterator[Machines]:
    with ExitStack() as stack:

        def make(*capacities: int, reported: int | None = None) -> Machine:
            run = [stack.enter_context(device(directory, capacity, reported)) for capacity in capacities]
            return Machine(package, run)

        yield make


def generated(machine: Machine, path: Path, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = machine.answer(GENERATE, path=str(path), **options)
    return answer


def failure(machine: Machine, path: Path, **options: Any) -> tuple[str, str | None, str, bool]:
    name, param, message, same = machine.answer(FAIL, path=str(path), **options)
    return name, param, message, same


def needs(machine: Machine, path: Path, n_gpu_layers: int) -> dict[str, int]:
    bytes_by_device: dict[str, int] = machine.answer(ESTIMATE, path=str(path), n_gpu_layers=n_gpu_layers)
    return bytes_by_device


def test_layers_compute_on_a_device_what_they_compute_on_the_processor(
    machines: Machines, model: Path
) -> None:
    machine = machines(ROOMY)
    without, with_all = generated(machine, model, n_gpu_layers=0), generated(machine, model)
    assert without["layers"] == {"CPU": N_LAYERS + 1}
    assert without["free"]["RPC0"] == ROOMY
    assert with_all["layers"] == {"CPU": 0, "RPC0": N_LAYERS + 1}
    assert (without["devices"], with_all["devices"]) == (["CPU"], ["RPC0"])
    assert with_all["text"] == without["text"]
    # Not one byte more than is told: the device counts what is allocated.
    assert with_all["free"]["RPC0"] == ROOMY - with_all["bytes"]["RPC0"]
    assert needs(machine, model, -1)["RPC0"] == with_all["bytes"]["RPC0"]


def test_some_layers_are_the_last_ones(machines: Machines, model: Path) -> None:
    some = generated(machines(ROOMY), model, n_gpu_layers=3)
    assert some["layers"] == {"CPU": N_LAYERS - 2, "RPC0": 3}
    assert some["devices"] == ["CPU", "RPC0"]


def test_two_devices_share_a_model_by_what_they_have_free_or_as_they_are_told(
    machines: Machines, model: Path
) -> None:
    machine = machines(ROOMY, 2 * ROOMY)
    by_memory = generated(machine, model)
    assert by_memory["layers"] == {"CPU": 0, "RPC0": 3, "RPC1": 6}
    told = generated(machine, model, tensor_split=[2, 1])
    assert told["layers"] == {"CPU": 0, "RPC0": 6, "RPC1": 3}
    alone = generated(machine, model, tensor_split=[0, 1])
    assert alone["layers"] == {"CPU": 0, "RPC0": 0, "RPC1": 9}
    assert by_memory["text"] == told["text"] == alone["text"]


def test_one_of_two_devices_is_used_alone(machines: Machines, model: Path) -> None:
    machine = machines(ROOMY, ROOMY)
    for main_gpu in (0, 1):
        alone = generated(machine, model, split_mode="none", main_gpu=main_gpu)
        assert alone["layers"] == {"CPU": 0, f"RPC{main_gpu}": N_LAYERS + 1}
        assert alone["free"][f"RPC{1 - main_gpu}"] == ROOMY


def test_two_devices_have_a_part_of_each_layer(machines: Machines, model: Path) -> None:
    machine = machines(ROOMY, ROOMY)
    split = generated(machine, model, split_mode="tensor")
    assert split["layers"] == {"CPU": 0, "RPC0": N_LAYERS + 1, "RPC1": N_LAYERS + 1}
    taken = [ROOMY - split["free"][name] for name in ("RPC0", "RPC1")]
    # llama.cpp counts the tensors' parts without some that it makes when it allocates.
    assert taken == pytest.approx([split["bytes"][name] for name in ("RPC0", "RPC1")], rel=0.01)
    assert split["text"] == generated(machine, model, n_gpu_layers=0)["text"]
    assert split["bytes"]["RPC0"] < needs(machines(ROOMY), model, -1)["RPC0"] * 3 // 4


@pytest.mark.parametrize(
    ("options", "param", "told"),
    [
        ({"main_gpu": 2}, "main_gpu", "got 2; the GPUs here are RPC0, RPC1"),
        ({"tensor_split": [1]}, "tensor_split", "a share for each GPU, got 1; the GPUs here are RPC0, RPC1"),
        ({"tensor_split": [1, 1], "split_mode": "none"}, "tensor_split", "empty where split_mode is"),
        ({"split_mode": "row"}, "split_mode", '"row" is not possible on RPC0'),
    ],
)
def test_devices_that_are_not_there_are_refused(
    machines: Machines, model: Path, options: dict[str, Any], param: str, told: str
) -> None:
    name, blamed, message, _ = failure(machines(ROOMY, ROOMY), model, **options)
    assert (name, blamed) == ("ParameterError", param)
    assert told in message


def test_auto_puts_as_many_layers_on_a_device_as_fit(machines: Machines, model: Path) -> None:
    roomy = machines(ROOMY)
    of_four, of_five = (needs(roomy, model, n)["RPC0"] for n in (4, 5))
    capacity = (of_four + of_five) // 2 * 10 // 9  # a tenth stays free
    machine = machines(capacity)
    automatic = generated(machine, model)
    assert automatic["layers"] == {"CPU": N_LAYERS - 3, "RPC0": 4}
    assert automatic["bytes"]["RPC0"] == of_four
    assert automatic["text"] == generated(machine, model, n_gpu_layers=0)["text"]


def test_auto_does_without_a_device_that_has_no_room(machines: Machines, model: Path) -> None:
    assert generated(machines(MIB // 16), model)["layers"] == {"CPU": N_LAYERS + 1}


def test_auto_does_without_two_devices_of_which_others_have_all(machines: Machines, model: Path) -> None:
    program = """
config = _engine.EngineConfig(model_path=given["path"], n_ctx=64, n_parallel=2)
placement = _engine.place(config, {"RPC0": 0, "RPC1": 0})
_engine.EngineConfig(model_path=given["path"], **placement)
tell(placement["n_gpu_layers"])
"""
    assert machines(ROOMY, ROOMY).answer(program, path=str(model)) == 0


def test_auto_fills_each_of_two_devices_no_further_than_it_has_room(machines: Machines, model: Path) -> None:
    half = needs(machines(ROOMY), model, 5)["RPC0"] * 10 // 9
    machine = machines(half, half // 2)
    automatic = generated(machine, model)
    assert 5 <= automatic["layers"]["RPC0"] + automatic["layers"]["RPC1"] <= N_LAYERS
    assert automatic["layers"]["RPC0"] > automatic["layers"]["RPC1"]
    for name, capacity in (("RPC0", half), ("RPC1", half // 2)):
        assert automatic["bytes"][name] <= capacity * 9 // 10


def test_what_does_not_fit_is_refused_with_the_numbers_before_it_is_loaded(
    machines: Machines, model: Path
) -> None:
    needed = needs(machines(ROOMY), model, 5)["RPC0"] * 10 // 9
    name, _, message, same = failure(machines(needed), model, n_gpu_layers=-1)
    assert name == "ModelLoadError"
    assert same
    assert "not enough GPU memory" in message
    assert re.search(r"RPC0 would need \d+\.\d MiB \(weights \d+\.\d MiB, context", message)
    assert re.search(r"and has \d+\.\d MiB free of \d+\.\d MiB", message)
    assert 'n_gpu_layers "auto" would put 5 of 9 layers on GPUs' in message


@pytest.mark.parametrize("short", [0.5, 0.99], ids=["weights", "context"])
def test_an_allocation_that_fails_all_the_same_says_where(
    machines: Machines, model: Path, short: float
) -> None:
    needed = needs(machines(ROOMY), model, -1)["RPC0"]
    machine = machines(int(needed * short), reported=ROOMY)
    name, _, message, _ = failure(machine, model, n_gpu_layers=-1)
    assert name == "ModelLoadError"
    assert "allocate" in message
    assert "RPC0 (" in message
    assert re.search(r"\d\.\d MiB free of 256\.0 MiB\)", message)


def test_an_embedder_has_the_same_options(machines: Machines, tmp_path: Path) -> None:
    path = write_embedder("mean", tmp_path / "embedder.gguf")
    program = """
with llamad.Embedder(given.pop("path"), **given) as embedder:
    info = embedder.info
    tell([{one["device"]: one["layers"] for one in info.memory}, embedder.embed("abc").tolist()])
"""
    machine = machines(ROOMY, ROOMY)
    placements: dict[str, dict[str, Any]] = {
        "processor": {"n_gpu_layers": 0},
        "one": {"split_mode": "none", "main_gpu": 1},
        "two": {"tensor_split": [1, 1]},
    }
    answers = {
        name: machine.answer(program, path=str(path), **options) for name, options in placements.items()
    }
    layers = {name: answer[0] for name, answer in answers.items()}
    n_layers = layers["processor"]["CPU"]
    assert layers["one"] == {"CPU": 0, "RPC1": n_layers}
    assert layers["two"]["RPC0"] + layers["two"]["RPC1"] == n_layers
    for name in ("one", "two"):
        assert answers[name][1] == pytest.approx(answers["processor"][1], abs=1e-4)


def test_the_version_names_the_devices(machines: Machines) -> None:
    lines = machines(ROOMY, 2 * ROOMY).run(["-m", "llamad", "--version"]).splitlines()
    assert next(line for line in lines if "RPC0: " in line).endswith("0.2 of 0.2 GiB free")
    assert next(line for line in lines if "RPC1: " in line).endswith("0.5 of 0.5 GiB free")


MANAGE = """
import asyncio
from pathlib import Path
from llamad.models.loader import EngineLoader
from llamad.models.manager import ModelManager
from llamad.settings import Settings

async def main():
    settings = Settings(model_directory=Path(given["directory"]), n_ctx=64, n_parallel=2, prefix_cache_mib=0)
    manager = ModelManager(settings, EngineLoader())
    answer = []
    try:
        for name in given["names"]:
            with await manager.lease(name, "generate") as lease:
                layers = {one["device"]: one["layers"] for one in lease.engine.info.memory}
                loaded = [entry.id for entry in manager.entries() if entry.state == "loaded"]
                answer.append([name, layers, loaded])
    finally:
        await manager.close()
    return answer

tell(asyncio.run(main()))
"""


def test_models_take_turns_on_a_device_and_leave_alone_what_is_pinned(
    machines: Machines, model: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").hardlink_to(model)
    needed = needs(machines(ROOMY), model, -1)["RPC0"]
    machine = machines(needed * 3 // 2 * 10 // 9)
    turns = machine.answer(MANAGE, directory=str(tmp_path), names=["a", "b", "a"])
    everything = {"CPU": 0, "RPC0": N_LAYERS + 1}
    assert turns == [["a", everything, ["a"]], ["b", everything, ["b"]], ["a", everything, ["a"]]]
    (tmp_path / "models.toml").write_text('[models."a"]\npinned = true\n')
    _, (name, layers, loaded) = machine.answer(MANAGE, directory=str(tmp_path), names=["a", "b"])
    assert (name, loaded) == ("b", ["a", "b"])
    assert 1 <= layers["RPC0"] <= N_LAYERS
