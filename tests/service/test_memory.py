"""What memory there is, and is taken."""

import os
from pathlib import Path

from service.watching.memory import memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cgroup(folder: Path, limit: str, current: int, inactive: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")
    return folder


def test_a_limited_control_group_counts_all_but_what_can_be_dropped_at_once(
    tmp_path: Path,
) -> None:
    found = memory(cgroup(tmp_path, "1000000", 700_000, 300_000))

    assert (found.used, found.limit) == (400_000, 1_000_000)


def test_a_limit_beyond_the_machine_is_none(tmp_path: Path) -> None:
    assert memory(cgroup(tmp_path, str(10**18), 5, 0)).limit == MACHINE


def test_without_a_limit_it_is_this_process_and_the_machine(tmp_path: Path) -> None:
    for folder in (cgroup(tmp_path, "max", 10**15, 0), tmp_path / "absent"):
        found = memory(folder)

        assert found.limit == MACHINE
        assert 10**6 < found.used < 10**11
