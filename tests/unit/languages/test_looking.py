"""What the agent sees in control groups, whose files stand here as the kernel writes them."""

from __future__ import annotations

import pytest

from offload.model.reasons import ReasonCode

VERSION_1 = """
mkdir memory cpuacct
printf 'cache 9000000\\ntotal_cache 9000000\\ntotal_rss 50000000\\ntotal_shmem 1000000\\n' >memory/memory.stat
printf 'oom_kill_disable 0\\nunder_oom 0\\noom_kill 4\\n' >memory/memory.oom_control
echo 3500000000 >cpuacct/cpuacct.usage
"""
VERSION_2 = """
printf 'anon 50000000\\nfile 9000000\\nkernel 5\\nshmem 1000000\\ninactive_anon 1\\n' >memory.stat
printf 'low 0\\nhigh 0\\nmax 7\\noom 4\\noom_kill 4\\noom_group_kill 0\\n' >memory.events
printf 'usage_usec 3500000\\nuser_usec 1\\nsystem_usec 2\\n' >cpu.stat
"""
SHAPES = {
    "version 1": (
        VERSION_1,
        "sed -i 's/_kill 4/_kill 5/' memory/memory.oom_control",
        "echo 4750000000 >cpuacct/cpuacct.usage",
    ),
    "version 2": (
        VERSION_2,
        "sed -i 's/oom_kill 4/oom_kill 5/' memory.events",
        "echo 'usage_usec 4750000' >cpu.stat",
    ),
}


def in_place(files: str) -> str:
    return f"mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && {{ {files}\n}}"


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return SHAPES[request.param]


def test_memory_without_page_cache_and_cpu_are_told(launcher, script, any_pod, shape):
    files, _, uses_cpu = shape
    script(f"cd /sys/fs/cgroup; {uses_cpu}")
    launcher.add_task()
    any_pod.start(setup=in_place(files))
    outcome = launcher.completion().outcome
    assert (outcome.reason, outcome.use.peak_memory, outcome.use.cpu) == (None, 51_000_000, 1.25)


def test_a_script_that_failed_while_the_kernel_killed_for_memory_ran_out_of_it(
    launcher, script, any_pod, shape
):
    files, is_killed, _ = shape
    script(f"cd /sys/fs/cgroup; {is_killed}; kill -KILL $$", memory=64 << 20)
    launcher.add_task()
    any_pod.start(setup=in_place(files))
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (137, ReasonCode.OUT_OF_MEMORY)
    assert "more than its memory limit of 64 MiB; it had reached 64 MiB" in outcome.reason.sentence


def test_where_control_groups_are_hidden_nothing_is_told(launcher, script, any_pod):
    script("true")
    launcher.add_task()
    any_pod.start(setup=in_place("true"))
    outcome = launcher.completion().outcome
    assert (outcome.reason, outcome.use.peak_memory, outcome.use.cpu) == (None, 0, 0)
