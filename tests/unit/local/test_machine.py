from __future__ import annotations

import os

from offload.backends.local.machine import look_at_machine

RAM = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_limits_it_is_what_this_process_may_use(tmp_path):
    machine = look_at_machine(tmp_path, "0::/\n")
    assert machine.cpus == len(os.sched_getaffinity(0))
    assert machine.memory == RAM
    assert machine.gpus == 0


def test_limits_of_cgroup_v2_count_at_every_level(tmp_path):
    write(tmp_path / "a" / "cpu.max", "50000 100000\n")
    write(tmp_path / "a" / "b" / "cpu.max", "max 100000\n")
    write(tmp_path / "a" / "b" / "memory.max", f"{1 << 20}\n")
    write(tmp_path / "memory.max", "max\n")
    machine = look_at_machine(tmp_path, "0::/a/b\n")
    assert machine.cpus == 0.5
    assert machine.memory == 1 << 20


def test_limits_of_cgroup_v1_count_too(tmp_path):
    write(tmp_path / "cpu" / "x" / "cpu.cfs_quota_us", "100000\n")
    write(tmp_path / "cpu" / "x" / "cpu.cfs_period_us", "100000\n")
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cpu" / "cpu.cfs_period_us", "100000\n")
    write(tmp_path / "memory" / "memory.limit_in_bytes", f"{2 << 20}\n")
    write(tmp_path / "memory" / "y" / "memory.limit_in_bytes", "9223372036854771712\n")
    machine = look_at_machine(tmp_path, "4:cpu,cpuacct:/x\n5:memory:/y\n0::/\n")
    assert machine.cpus == 1
    assert machine.memory == 2 << 20
