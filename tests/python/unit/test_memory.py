"""How much memory there is, on machines and in cgroups made of files; and what a model takes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from llamad.models.memory import Budget, available_bytes, cache_mib

from tests.python.support.fake_loader import GIB, OVERHEAD, memory

MIB = 1 << 20


def machine(root: Path, available_kib: int, cgroup: str = "0::/\n") -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available_kib} kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    return root


def limit(folder: Path, most: str, used: int, cached: int, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        2: ("memory.max", "memory.current", "inactive_file"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    limit_name, used_name, cached_name = names[version]
    (folder / limit_name).write_text(f"{most}\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{cached_name} {cached}\n")


def test_without_cgroups_the_machine_says(tmp_path: Path) -> None:
    assert available_bytes(machine(tmp_path, 2048)) == 2 * MIB


def test_without_proc_there_is_an_answer(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) > 0


@pytest.mark.parametrize(("version", "line"), [(2, "0::/a/b\n"), (1, "5:cpu,memory:/a/b\n")])
def test_the_tightest_cgroup_counts_and_page_cache_does_not(tmp_path: Path, version: int, line: str) -> None:
    root = machine(tmp_path, 2048, line)
    top = root / "sys/fs/cgroup" / ("" if version == 2 else "memory")
    limit(top / "a", str(1 * MIB), 600_000, 100_000, version=version)
    limit(top / "a/b", str(4 * MIB), 0, 0, version=version)
    assert available_bytes(root) == MIB - 500_000


def test_a_cgroup_without_limit_changes_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, 2048, "0::/a\n")
    limit(root / "sys/fs/cgroup/a", "max", 100, 0)
    assert available_bytes(root) == 2 * MIB


def test_in_a_container_the_files_lie_at_the_mount(tmp_path: Path) -> None:
    root = machine(tmp_path, 2048, "0::/of/the/host\n")
    limit(root / "sys/fs/cgroup", str(MIB), 0, 0)
    assert available_bytes(root) == MIB


def test_a_cgroup_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, 2048)
    limit(root / "sys/fs/cgroup", str(MIB), 2 * MIB, 0)
    assert available_bytes(root) == 0


def test_an_automatic_budget_has_a_pool_for_the_machine_and_one_for_each_gpu() -> None:
    budget = Budget()
    assert 0 < budget.capacity["host"] < available_bytes() + GIB
    cost = budget.cost([memory("CPU", GIB), memory("CUDA0", 2 * GIB, 10 * GIB)], 3 * MIB)
    assert cost["CUDA0"] == 2 * GIB
    assert GIB + 3 * MIB <= cost["host"] < GIB + OVERHEAD
    assert budget.capacity["CUDA0"] == 9 * GIB
    budget.cost([memory("CUDA0", GIB, GIB)], 0)
    assert budget.capacity["CUDA0"] == 9 * GIB, "what is loaded by now is no loss to the budget"
    assert budget.bytes_of(cost) == sum(cost.values())


def test_a_budget_of_the_users_counts_all_memory_and_a_gpu_still_holds_no_more_than_it_has() -> None:
    budget = Budget(4 * GIB)
    cost = budget.cost([memory("CPU", GIB), memory("CUDA0", 2 * GIB, 10 * GIB)], 0)
    assert budget.capacity == {"total": 4 * GIB, "CUDA0": 9 * GIB}
    assert cost["CUDA0"] == 2 * GIB
    assert 3 * GIB <= cost["total"] < 3 * GIB + OVERHEAD
    assert budget.bytes_of(cost) == cost["total"]


def test_an_automatic_cache_takes_a_quarter_of_what_is_left() -> None:
    assert cache_mib(4 * GIB, []) == 1024
    assert cache_mib(400 * GIB, []) == 8192
    assert cache_mib(-1, []) == 0


def test_an_automatic_cache_leaves_room_for_the_largest_other_model_that_fits() -> None:
    assert cache_mib(4 * GIB, [GIB, 2 * GIB, 5 * GIB]) == 512
    assert cache_mib(4 * GIB, [5 * GIB]) == 1024
