"""This machine delegates no cgroup v2, so a directory with its files stands in for the kernel's."""

from __future__ import annotations

import hashlib
import os

import pytest

from offload.backends.local.cgroup import find_delegation
from offload.runner.memory import CgroupMemory

OWN = "0::/user.slice/user-1000.slice/app.slice/launcher.scope\n"


def make_cgroup(place):
    """What the kernel does when a directory is made below a cgroup."""
    place.mkdir(parents=True)
    for name in ("cgroup.subtree_control", "cgroup.procs", "cgroup.kill"):
        (place / name).write_text("")
    for name, text in {
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.oom.group": "0",
        "memory.current": "1000",
        "memory.peak": "5000",
        "memory.events": "low 0\noom 1\noom_kill 1",
    }.items():
        (place / name).write_text(f"{text}\n")
    return place


def test_without_cgroup_v2_nothing_is_delegated(tmp_path):
    assert find_delegation(tmp_path, root=tmp_path, own="4:memory:/\n") is None
    assert find_delegation(tmp_path, root=tmp_path / "absent", own=OWN) is None


def test_the_highest_cgroup_whose_controllers_this_user_may_set_is_used(tmp_path):
    root, state = tmp_path / "cgroup", tmp_path / "state"
    user = make_cgroup(root / "user.slice" / "user-1000.slice")
    make_cgroup(user / "app.slice" / "launcher.scope")
    ours = make_cgroup(user / f"offload-{hashlib.sha256(os.fsencode(state)).hexdigest()[:12]}")
    delegation = find_delegation(state, root=root, own=OWN)
    assert delegation is not None
    assert delegation.directory == ours
    assert (user / "cgroup.subtree_control").read_text() == "+memory"
    assert (ours / "cgroup.subtree_control").read_text() == "+memory"

    make_cgroup(ours / "job-0-0")
    assert delegation.make("job-0-0") == ours / "job-0-0"
    assert (ours / "job-0-0" / "cgroup.subtree_control").read_text() == "+memory"
    delegation.remove("job-0-0")
    assert (ours / "job-0-0" / "cgroup.kill").read_text() == "1"


def test_the_memory_limit_goes_to_the_kernel_and_the_peak_comes_from_it(tmp_path):
    parent = tmp_path / "runner"
    parent.mkdir()
    make_cgroup(parent / "task")
    memory = CgroupMemory(1 << 30, parent=parent)
    assert (parent / "task" / "memory.max").read_text().startswith(str(1 << 30))
    assert (parent / "task" / "memory.swap.max").read_text().startswith("0")
    assert (parent / "task" / "memory.oom.group").read_text().startswith("1")
    memory.join()
    assert (parent / "task" / "cgroup.procs").read_text() == "0"
    assert memory.look() is False
    assert memory.peak == 5000
    assert memory.kernel_killed()
    memory.close()
    assert (parent / "task" / "cgroup.kill").read_text() == "1"


def test_a_directory_that_is_no_cgroup_is_an_error_and_not_a_silent_no(tmp_path):
    with pytest.raises(OSError, match=r"memory\.max"):
        CgroupMemory(1 << 30, parent=tmp_path)
