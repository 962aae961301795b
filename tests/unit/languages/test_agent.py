"""What a command is and becomes in the agent's hands, under every shell that images have."""

from __future__ import annotations

import os
import sys
import time

import pytest

from fakes.runners import eventually
from offload.model.reasons import ReasonCode
from offload.wire.frames import Stream
from offload.wire.runner_protocol import OrderKind


def test_bytes_arrive_unchanged_and_results_come_home(launcher, script, run, any_pod):
    launcher.snapshot({"data.csv": b"1,2\n", "sub": None})
    script(r"cat data.csv; printf '\000\377no newline'; echo error >&2; echo 3 >> data.csv; echo x>sub/y")
    outcome = run(any_pod)
    assert (outcome.exit_status, outcome.reason) == (0, None)
    assert launcher.output() == b"1,2\n\0\377no newline"
    assert launcher.output(Stream.STDERR) == b"error\n"
    assert launcher.results(outcome.results) == {"data.csv": b"1,2\n3\n", "sub/y": b"x\n"}


STATUSES = {
    "exit 3": 3,
    "exit 127": 127,
    "exit 126": 126,
    "exit 255": 255,
    "kill -SEGV $$": 139,
    "kill -KILL $$": 137,
    "kill -TERM $$": 143,
}


def test_an_exit_status_is_the_scripts_own(launcher, script, any_pod):
    cases = "".join(f"{index}) {text};;\n" for index, text in enumerate(STATUSES, 1))
    script(f"case $OFFLOAD_TASK in\n{cases}esac")
    tokens = [launcher.add_task(index) for index in range(1, len(STATUSES) + 1)]
    any_pod.start()
    outcomes = [launcher.completion(token).outcome for token in tokens]
    assert [one.exit_status for one in outcomes] == list(STATUSES.values())
    assert {one.reason.code for one in outcomes} == {ReasonCode.EXIT}


def test_a_command_that_is_not_there_is_named(launcher, run, any_pod):
    launcher.set(command=("Rscript-9", "fit.R"))
    outcome = run(any_pod)
    assert (outcome.exit_status, outcome.reason.code) == (127, ReasonCode.COMMAND_NOT_FOUND)
    assert "The cluster has no `Rscript-9`" in outcome.reason.sentence


@pytest.mark.parametrize("command", ["./absent.sh", "", "-n", "a=b"])
def test_a_command_with_an_odd_name_that_is_not_there_is_missing_too(launcher, run, pod, command):
    launcher.set(command=(command, "fit.R"))
    outcome = run(pod)
    assert (outcome.exit_status, outcome.reason.code) == (127, ReasonCode.COMMAND_NOT_FOUND)


@pytest.mark.parametrize("command", ["./plain.sh", "./sub"])
def test_a_command_that_cannot_be_executed_says_why(launcher, run, pod, command):
    launcher.snapshot({"plain.sh": b"echo no", "sub": None})
    launcher.set(command=(command,))
    outcome = run(pod)
    assert (outcome.exit_status, outcome.reason.code) == (126, ReasonCode.COMMAND_NOT_FOUND)
    assert "it is not marked as executable" in outcome.reason.sentence


def test_a_directory_that_is_not_there_is_no_missing_command(launcher, run, any_pod):
    launcher.set(directory="absent")
    outcome = run(any_pod)
    assert (outcome.exit_status, outcome.reason.code) == (None, ReasonCode.STAGING)
    assert "absent" in outcome.reason.sentence


ODD = [
    *(
        "",
        " ",
        "two words",
        "it's",
        '"',
        "$HOME `id` \\",
        "new\nline\n",
        "*",
        "-n",
        "--",
        "tab\t",
        "\x01\x7f",
    ),
    *("gr\u00fcn", "\u0201\u0202\u0208\u0081\u0088", "!", "~", "a=b", "#", ";&|<>(){}"),
]
"""Some shells mark bytes with 0x81 to 0x88 for themselves."""


def test_arguments_arrive_as_they_were_given(launcher, run, any_pod):
    show = "import sys, os; os.write(1, b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    words = [*ODD, "x" * 100_000]
    launcher.set(command=(sys.executable, "-c", show, *words))
    assert run(any_pod).reason is None
    assert launcher.output() == b"\0".join(map(os.fsencode, words))


def test_variables_arrive_as_they_were_given(launcher, run, any_pod):
    show = "import sys, os; os.write(1, b'\\0'.join(os.environb[os.fsencode(n)] for n in sys.argv[1:]))"
    variables = {f"ODD_{number}": word for number, word in enumerate(ODD)}
    variables |= {
        "with.dot": "1",
        "UID": "x",
        "OPTIND": "y",
        "offload_cwd": "/",
        "IFS": "o",
        "BIG": "b" * 100_000,
    }
    variables |= {"HOME": "/my home", "_": "kept by nobody"}
    names = [name for name in variables if name != "_"]
    launcher.set(command=(sys.executable, "-c", show, *names), env=variables)
    assert run(any_pod).reason is None
    assert launcher.output() == b"\0".join(os.fsencode(variables[name]) for name in names)


def test_an_argument_that_is_too_long_is_refused_in_words(launcher, run, pod):
    launcher.set(command=("echo", "x" * 140_000))
    outcome = run(pod)
    assert (outcome.exit_status, outcome.reason.code) == (126, ReasonCode.COMMAND_NOT_FOUND)
    assert "its arguments and variables are too long" in outcome.reason.sentence


def test_what_the_image_sets_stays_and_only_what_is_missing_is_added(launcher, script, run, any_pod):
    script("env", cpus=2.5, env={"FROM_ME": "1", "MKL_NUM_THREADS": "7"})
    run(any_pod, FROM_IMAGE="yes", OMP_NUM_THREADS="9", dir="image's", OFFLOAD_HOME="")
    seen = dict(line.split("=", 1) for line in launcher.output().decode().splitlines() if "=" in line)
    assert (seen["FROM_IMAGE"], seen["FROM_ME"], seen["dir"]) == ("yes", "1", "image's")
    assert (seen["OMP_NUM_THREADS"], seen["MKL_NUM_THREADS"], seen["MC_CORES"]) == ("9", "7", "3")
    assert seen["OFFLOAD_TASK"] == "1"
    assert seen["PWD"] == str(any_pod.files)
    assert not [name for name in seen if name.startswith("offload_")]


def test_a_task_sees_nothing_of_the_runners_secrets(launcher, script, run, pod):
    script("env; tr '\\0' '\\n' < /proc/self/environ; tr '\\0' '\\n' < /proc/1/environ")
    run(pod)
    assert b"pool-token" not in launcher.output()
    assert b"OFFLOAD_TOKEN" not in launcher.output()


def test_a_command_has_nothing_open_but_its_three_streams(launcher, script, run, any_pod):
    script("ls /proc/self/fd | wc -l; cat; cat /proc/self/status | grep Sig")
    run(any_pod)
    fds, *signals = launcher.output().decode().splitlines()
    assert int(fds) == 4  # the three, and the directory that ls reads
    ignored = int(next(line for line in signals if line.startswith("SigIgn")).split()[1], 16)
    assert ignored & 0x7FFFFFFF == 0  # those above are the C library's own affair


def test_each_task_reads_standard_input_from_its_start(launcher, script, any_pod):
    script("cat; cat ${OFFLOAD_CHECKPOINT}/../seen 2>/dev/null; echo x > ${OFFLOAD_CHECKPOINT}/../seen",
           stdin=launcher.blob(b"three words here\n"))  # fmt: skip
    for index in (1, 2):
        launcher.add_task(index)
    any_pod.start()
    for index, more in ((1, b""), (2, b"x\n")):
        launcher.completion(f"lease-{index}-1")
        assert launcher.output(task=index) == b"three words here\n" + more


def test_standard_input_is_empty_by_default(launcher, script, run, any_pod):
    script("wc -c")
    run(any_pod)
    assert launcher.output().strip() == b"0"


def test_a_directory_with_an_odd_name_is_where_the_command_starts(launcher, script, run, any_pod):
    name = "-it's a\n*dir"
    launcher.snapshot({name: None, f"{name}/here.txt": b""})
    script("ls", directory=name)
    assert run(any_pod).reason is None
    assert launcher.output() == b"here.txt\n"


def test_a_result_object_is_kept(script, run, any_pod):
    script("""echo '{"rmse": 0.31}' > $OFFLOAD_RESULT""")
    assert run(any_pod).result == {"rmse": 0.31}


def test_tasks_in_a_row_start_clean_and_leave_no_process_and_no_descriptor(launcher, script, any_pod):
    launcher.snapshot({"data.csv": b"1\n"})
    script("cat data.csv; ls -A; echo 2 >> data.csv; mkdir -p closed/inner; chmod 000 closed; ln -s / link")
    any_pod.start()
    opened = []
    for index in range(1, 7):
        launcher.add_task(index)
        assert launcher.completion(f"lease-{index}-1").outcome.reason is None
        assert launcher.output(task=index) == b"1\ndata.csv\n"
        eventually(lambda: os.listdir(any_pod.files) == [])
        opened.append(open_in(any_pod.runner.process.pid) + open_in(any_pod.container.agent))
    # The runner may still be tidying up.
    eventually(
        lambda: open_in(any_pod.runner.process.pid) + open_in(any_pod.container.agent) <= min(opened[:3])
    )
    assert any_pod.container.below() == []
    assert sorted(os.listdir(any_pod.shared / "control")) == ["answers", "orders", "signals"]
    launcher.order(OrderKind.STOP)
    assert any_pod.container.wait() == 0
    any_pod.runner.terminate()
    assert any_pod.runner.wait() == 0


def open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_children_that_detached_themselves_end_with_the_script(launcher, any_pod):
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os._exit(0)
os.wait()
print("detached", flush=True)
"""
    launcher.set(command=(sys.executable, "-c", code))
    launcher.add_task()
    any_pod.start()
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason) == (0, None)
    assert any_pod.container.below() == []


def test_a_helper_may_finish_its_output_just_after_the_script(launcher, script, run, any_pod):
    script("(sleep 0.3; echo late) & echo early")
    assert run(any_pod).reason is None
    assert launcher.output() == b"early\nlate\n"


def test_zombies_of_orphans_do_not_pile_up(launcher, script, any_pod):
    script("for i in $(seq 50); do (sh -c 'true &'); done; echo made; exec sleep 1000", grace=0.2)
    token = launcher.add_task()
    any_pod.start()
    launcher.wait_for(launcher.output)
    eventually(lambda: not [one for one in any_pod.container.below() if one.endswith("Z")])
    launcher.order(OrderKind.CANCEL, token)
    launcher.completion()
    assert any_pod.container.below() == []


def test_an_idle_agent_costs_no_cpu(launcher, script, run, any_pod):
    script("true")
    run(any_pod)
    before = cpu_of(any_pod.container.agent)
    time.sleep(1)
    assert cpu_of(any_pod.container.agent) == before


def cpu_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))


def test_a_large_output_arrives_whole_and_fast(launcher, run, any_pod):
    launcher.set(command=("sh", "-c", "seq 1 3000000; seq 1 1000 >&2"))
    outcome = run(any_pod)
    assert outcome.exit_status == 0
    assert launcher.output() == b"".join(b"%d\n" % number for number in range(1, 3_000_001))
    assert launcher.output(Stream.STDERR) == b"".join(b"%d\n" % number for number in range(1, 1001))
