"""The tests that the GPU benchmark runs: what is run, what is left out, and that failures end nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from benchmarks import gpu_pytest, gpu_tests
from benchmarks.gpu_results import Deadline, OutOfTime, Results
from benchmarks.gpu_tests import OwnTests

OTHER_TEST = "tests/python/unit/test_quantities.py"


@pytest.fixture
def tests(tmp_path: Path) -> OwnTests:
    (tmp_path / "logs").mkdir()
    return OwnTests(tmp_path, Results(tmp_path / "results.json"), Deadline(300), n_processes=0)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cmake and a ctest that say what they were asked; a cmake that should build the core fails."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("cmake", "ctest"):
        script = (
            f'echo {name} "$@"\necho "from $LLAMAD_CACHE_DIR"\n[ "$1 $2" != "--build {tmp_path}/core" ]\n'
        )
        (directory / name).write_text(f"#!/bin/sh\n{script}")
        (directory / name).chmod(0o755)
    monkeypatch.delenv("LLAMAD_CACHE_DIR", raising=False)
    # Tools are looked for beside the interpreter first.
    monkeypatch.setattr(sys, "executable", str(directory / "python"))
    return directory


def test_a_core_that_does_not_build_is_noted_and_the_rest_runs(tests: OwnTests, tools: Path) -> None:
    tests.cpp()
    assert [text.split(":")[0] for text in tests.results.failures] == ["core-build"]
    ran = {path.stem: path.read_text().splitlines() for path in (tests.build / "logs").glob("*.log")}
    assert set(ran) == {"core-configure", "core-build", "llama-build", "llama-tests"}
    # Where gpu.sh has unpacked llama.cpp's source: CMake may configure again, and would download it.
    command = f"cmake --build {tests.build}/module --target llamad_llama_tests"
    assert ran["llama-build"] == [command, f"from {tests.build}/cache"]
    assert ran["llama-tests"][0].startswith(f"ctest --test-dir {tests.build}/module/tests/cpp/llama")


def test_what_takes_too_long_is_ended_with_all_that_it_began(
    tests: OwnTests, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_tests, "_STEP_TIMEOUT_S", 1.0)
    (tools / "cmake").write_text("#!/bin/sh\nsleep 300 &\necho $!\nwait\n")
    tests.cpp()
    assert ["TimeoutExpired" in text for text in tests.results.failures] == [True, True]
    logs = [tests.build / "logs" / f"{name}.log" for name in ("core-configure", "llama-build")]
    begun = [int(text) for log in logs if (text := log.read_text())]
    deadline = monotonic() + 30
    while any(runs(pid) for pid in begun):
        assert monotonic() < deadline
        sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process computes; not one that has ended and waits to be noticed, which has no arguments."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_pytest_runs_and_leaves_a_report(tests: OwnTests) -> None:
    tests.python([OTHER_TEST])
    report = tests.build / "logs" / "pytest-tests-python-unit-test_quantities.py.xml"
    assert 'failures="0"' in report.read_text()
    assert tests.results.failures == []


def test_files_that_cannot_be_imported_end_no_other(tests: OwnTests, tmp_path: Path) -> None:
    """Where a package does not travel, that is no error."""
    missing = "a_package_left_at_home"
    plugin = f"from benchmarks import gpu_pytest\ngpu_pytest._LEFT_AT_HOME = ({missing!r},)\n"
    (tmp_path / "conftest.py").write_text(plugin)
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "test_file.py").write_text(f"import {missing}\ndef test_nothing() -> None: ...\n")
    (tmp_path / "test_one.py").write_text(
        f"def test_with() -> None:\n    import {missing}\ndef test_without() -> None: ...\n"
    )
    tests.python([str(tmp_path)])
    (report,) = (tests.build / "logs").glob("*.xml")
    assert 'errors="1" failures="0" skipped="2" tests="4"' in report.read_text()
    assert len(tests.results.failures) == 1


def test_no_test_is_begun_without_time(tmp_path: Path) -> None:
    tests = OwnTests(tmp_path, Results(tmp_path / "results.json"), Deadline(1))
    with pytest.raises(OutOfTime):
        tests.python([OTHER_TEST])


class Item:
    def __init__(self, *fixtures: str) -> None:
        self.fixturenames = fixtures


class Hook:
    def __init__(self) -> None:
        self.deselected: list[Item] = []

    @property
    def hook(self) -> Hook:
        return self

    def pytest_deselected(self, items: list[Item]) -> None:
        self.deselected += items


def test_tests_of_models_that_would_be_pulled_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here.gguf"
    here.touch()
    monkeypatch.setattr(gpu_pytest, "_PULLED", {"smollm2": tmp_path / "missing.gguf", "minilm": here})
    items = [Item("smollm2"), Item("tiny_model"), Item("minilm", "tiny_model"), Item("minilm", "smollm2")]
    kept, config = list(items), Hook()
    gpu_pytest.pytest_collection_modifyitems(config, kept)  # type: ignore[arg-type]
    assert kept == items[1:3]
    assert config.deselected == [items[0], items[3]]
