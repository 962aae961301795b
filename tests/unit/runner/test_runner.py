from __future__ import annotations

import os
import signal
import stat

import pytest

from fakes.runners import eventually
from offload.errors import DiskFullError, ManifestInvalidError
from offload.model.reasons import ReasonCode
from offload.wire.frames import Stream
from offload.wire.runner_protocol import OrderKind


def test_a_command_runs_and_its_bytes_arrive_unchanged(launcher, script, run):
    script(r"printf '\000\377no newline'; printf 'to stderr\n' >&2")
    outcome = run()
    assert outcome.exit_status == 0
    assert outcome.reason is None
    assert launcher.output() == b"\0\377no newline"
    assert launcher.output(Stream.STDERR) == b"to stderr\n"


def test_an_exit_status_is_a_reason(script, run):
    script("exit 3")
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (3, ReasonCode.EXIT)


def test_what_a_failed_script_said_last_is_kept_with_the_reason(script, run):
    script("for n in $(seq 9999); do echo line $n; done >&2; echo 'Error: no data' >&2; echo out; exit 1")
    assert run().reason.words == "Error: no data"


def test_a_command_that_is_not_there_is_named(launcher, run):
    launcher.set(command=("Rscript-9", "fit.R"))
    outcome = run()
    assert (outcome.exit_status, outcome.reason.code) == (127, ReasonCode.COMMAND_NOT_FOUND)
    assert "The cluster has no `Rscript-9`" in outcome.reason.sentence


def test_a_directory_that_is_not_there_is_no_missing_command(launcher, run):
    launcher.set(directory="absent")
    outcome = run()
    assert outcome.exit_status is None
    assert outcome.reason.code is ReasonCode.STAGING
    assert "absent" in outcome.reason.sentence


def test_a_runner_takes_task_after_task_and_leaves_no_work_behind(launcher, script, start):
    script("echo $OFFLOAD_TASK; mkdir -p closed/inner; chmod 000 closed")
    tokens = [launcher.add_task(index) for index in (3, 5, 9)]
    runner = start()
    for token in tokens:
        assert launcher.completion(token).outcome.exit_status == 0
    assert [launcher.output(task=index) for index in (3, 5, 9)] == [b"3\n", b"5\n", b"9\n"]
    launcher.order(OrderKind.STOP)
    assert runner.wait() == 0
    assert sorted(os.listdir(runner.directory)) == ["ended", "lock", "runner.json"]


def test_leases_behind_a_task_that_proves_long_are_given_back_and_the_short_ones_reported(
    launcher, script, start
):
    script("[ $OFFLOAD_TASK != 3 ] || exec sleep 600")
    launcher.batch = 10
    for index in range(1, 6):
        launcher.add_task(index)
    start()
    launcher.wait_for(lambda: len(launcher.returned) == 2)
    assert sorted(lease.task for lease in launcher.returned) == [4, 5]
    assert sorted(launcher.completions) == ["lease-1-1", "lease-2-1"]
    assert [one.outcome.exit_status for one in launcher.completions.values()] == [0, 0]
    assert all(one.took > 0.0 for one in launcher.completions.values())


def test_a_runner_that_is_told_to_end_gives_back_what_it_has_not_begun(launcher, script, start):
    script("echo begun; exec sleep 600", grace=0.1)
    launcher.batch = 4
    for index in range(1, 5):
        launcher.add_task(index)
    runner = start()
    launcher.wait_for(lambda: launcher.output() == b"begun\n")
    runner.terminate()
    assert launcher.completion().outcome.reason.code is ReasonCode.EVICTED
    assert runner.wait() == 0
    assert sorted(lease.task for lease in launcher.returned) == [2, 3, 4]


def test_many_short_tasks_are_told_in_few_calls(launcher, script, start):
    script("true")
    launcher.batch = 20
    tokens = [launcher.add_task(index) for index in range(1, 101)]
    start()
    launcher.wait_for(lambda: len(launcher.completions) == 100)
    assert set(launcher.completions) == set(tokens)
    assert sum(path.endswith("/lease") for path in launcher.requests) < 50


def test_what_short_tasks_print_comes_with_their_outcomes(launcher, script, start):
    script("echo out $OFFLOAD_TASK; echo err >&2")
    launcher.batch = 20
    tokens = [launcher.add_task(index) for index in range(1, 61)]
    start()
    for index, token in enumerate(tokens, 1):
        launcher.completion(token)
        assert launcher.output(task=index) == b"out %d\n" % index
        assert launcher.output(Stream.STDERR, task=index) == b"err\n"
    assert launcher.requests.count("POST /logs") < 20


def test_output_of_a_long_task_behind_short_ones_comes_while_it_runs(launcher, script, start):
    script("echo begun; [ $OFFLOAD_TASK != 3 ] || exec sleep 600")
    launcher.batch = 10
    for index in (1, 2, 3):
        launcher.add_task(index)
    start()
    launcher.wait_for(lambda: launcher.output(task=3) == b"begun\n")
    assert "lease-3-1" not in launcher.completions


def test_every_task_starts_in_a_clean_copy_and_only_changes_come_home(launcher, script, start):
    launcher.snapshot(
        {"data.csv": b"1,2\n", "same.txt": b"same", "sub": None, "run.sh": b"x"}, modes={"run.sh": 0o755}
    )
    script("cat data.csv; ls; echo $OFFLOAD_TASK >> data.csv; mkdir new; echo made >new/file; touch same.txt")
    outcomes = []
    for index in (1, 2):
        launcher.add_task(index)
    start()
    outcomes = [launcher.completion(f"lease-{index}-1").outcome for index in (1, 2)]
    listing = b"1,2\ndata.csv\nrun.sh\nsame.txt\nsub\n"
    assert [launcher.output(task=index) for index in (1, 2)] == [listing, listing]
    assert [launcher.results(one.results) for one in outcomes] == [
        {"data.csv": b"1,2\n%d\n" % index, "new": None, "new/file": b"made\n"} for index in (1, 2)
    ]


@pytest.mark.parametrize(
    "instead", ["ln -s {elsewhere} attempt", "echo > attempt", "mkdir -m 0 attempt", "true"]
)
def test_a_task_that_replaces_what_it_stands_in_harms_nobody(launcher, script, start, tmp_path, instead):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "files").mkdir(parents=True, mode=0o700)
    (elsewhere / "precious").write_text("1")
    elsewhere.chmod(0o700)
    launcher.snapshot({"data.csv": b"1\n"})
    replaced = f"cd ../..; mv attempt attempt.old; {instead.format(elsewhere=elsewhere)}"
    script(f"ls; echo made > new; if [ $OFFLOAD_TASK = 1 ]; then {replaced}; fi")
    for index in (1, 2, 3):
        launcher.add_task(index)
    start()
    for index in (1, 2, 3):
        launcher.completion(f"lease-{index}-1")
        assert launcher.output(task=index) == b"data.csv\n"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["files", "precious"]
    assert elsewhere.stat().st_mode & 0o777 == 0o700


def test_without_new_files_there_are_no_results(script, run):
    script("true")
    assert run().results is None


def test_the_command_starts_in_its_directory_below_the_root(launcher, script, run):
    launcher.snapshot({"analysis": None, "analysis/fit.R": b""})
    script("ls; basename $PWD; basename $(pwd)", directory="analysis")
    run()
    assert launcher.output() == b"fit.R\nanalysis\nanalysis\n"


def test_standard_input_is_empty_unless_a_blob_was_named(launcher, script, start):
    script("wc -c")
    launcher.add_task(1)
    start()
    launcher.completion()
    assert launcher.output().strip() == b"0"


def test_each_task_reads_the_named_standard_input_from_its_start(launcher, script, start):
    script("cat", stdin=launcher.blob(b"three words here"))
    for index in (1, 2):
        launcher.add_task(index)
    start()
    for index in (1, 2):
        launcher.completion(f"lease-{index}-1")
        assert launcher.output(task=index) == b"three words here"


def test_a_result_object_is_kept(script, run):
    script("""echo '{"rmse": 0.31, "n": [1, 2]}' > $OFFLOAD_RESULT""")
    assert run().result == {"rmse": 0.31, "n": [1, 2]}


def test_half_a_character_in_a_result_costs_that_character_only(script, run):
    script("""echo '{"label": "cut: \\ud83d", "emoji": "\\ud83d\\ude00", "n": 1e2}' > $OFFLOAD_RESULT""")
    assert run().result == {"label": "cut: \ufffd", "emoji": "\U0001f600", "n": 100.0}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1]", "must be a JSON object"),
        ('{"a": NaN}', "JSON has no NaN"),
        ('{"a": -1e400}', "-1e400 is too large"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "more than 32 inside one another"),
        ("{", "is no JSON"),
        ('{"a": "%s"}' % ("x" * 70_000), "larger than 64000 bytes"),
    ],
)
def test_a_bad_result_object_is_explained_and_fails_nothing(launcher, script, run, text, complaint):
    launcher.snapshot({"result": text.encode()})
    script("cp result $OFFLOAD_RESULT")
    outcome = run()
    assert (outcome.exit_status, outcome.reason, outcome.result) == (0, None, None)
    assert complaint in launcher.output(Stream.NOTICE).decode()


def test_a_task_sees_nothing_of_the_runners_secrets(launcher, script, run):
    script("env; tr '\\0' '\\n' < /proc/self/environ", env={"MY_SETTING": "42"})
    run()
    seen = dict(line.split("=", 1) for line in launcher.output().decode().splitlines() if "=" in line)
    assert {name for name in seen if name.startswith("OFFLOAD_")} == {
        "OFFLOAD_JOB", "OFFLOAD_TASK", "OFFLOAD_TASKS", "OFFLOAD_ATTEMPT", "OFFLOAD_CPUS", "OFFLOAD_GPUS",
        "OFFLOAD_RESULT", "OFFLOAD_CHECKPOINT", "OFFLOAD_ATTEMPT_OF",
    }  # fmt: skip
    assert seen["MY_SETTING"] == "42"
    assert b"pool-token" not in launcher.output()


def test_a_checkpoint_outlives_the_runner(launcher, script, start):
    script("cat $OFFLOAD_CHECKPOINT/n; echo $OFFLOAD_ATTEMPT > $OFFLOAD_CHECKPOINT/n")
    for attempt in (1, 2):
        launcher.add_task(1, attempt)
        runner = start(attempt)
        launcher.completion(f"lease-1-{attempt}")
        runner.kill()
    assert launcher.output(attempt=2) == b"1\n"


def test_use_is_measured_over_the_whole_tree(launcher, run):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    inner = "x = bytearray(200 << 20)\nwhile __import__('time').process_time() < 0.4: pass"
    launcher.set(command=("python3", "-c", code.format(inner=inner)))
    launcher.snapshot({"data": b"x" * 5000})
    use = run().use
    assert 0.4 <= use.cpu < 5
    assert use.wall >= 0.4
    assert 200 << 20 < use.peak_memory < 400 << 20
    assert use.bytes_in > 0


def test_bytes_out_are_results_and_logs(script, run):
    script("head -c 50000 /dev/urandom > random; head -c 20000 /dev/zero")
    assert 70_000 < run().use.bytes_out < 75_000


def test_a_large_output_arrives_whole_and_in_order(launcher, run):
    launcher.set(command=("sh", "-c", "seq 1 1500000; seq 1 1000 >&2"))
    assert run().exit_status == 0
    assert launcher.output() == b"".join(b"%d\n" % number for number in range(1, 1_500_001))
    assert launcher.output(Stream.STDERR) == b"".join(b"%d\n" % number for number in range(1, 1001))


def test_a_damaged_blob_fails_the_task_with_a_reason_and_never_runs_it(launcher, script, run):
    launcher.snapshot({"data.csv": b"right"})
    digest = launcher.blob(b"right")
    launcher.blobs[digest] = b"wrong"
    script("cat data.csv")
    outcome = run()
    assert outcome.reason.code is ReasonCode.STAGING
    assert launcher.output() == b""


def test_a_full_disk_at_the_launcher_is_waited_for(launcher, script, run):
    refusals = iter(range(3))
    launcher.refuse = lambda path: (
        DiskFullError("No space.") if path == "/blobs" and next(refusals, None) is not None else None
    )
    script("echo made > file")
    assert launcher.results(run().results) == {"file": b"made\n"}
    assert launcher.requests.count("PUT /blobs") >= 4


def test_results_that_the_launcher_refuses_turn_success_into_failure(launcher, script, run):
    launcher.refuse = lambda path: ManifestInvalidError("No.") if path == "/blobs" else None
    script("echo made > file")
    outcome = run()
    assert outcome.exit_status == 0
    assert outcome.reason.code is ReasonCode.RESULTS_LOST
    assert "could not be kept: No." in outcome.reason.sentence


def test_a_second_runner_of_the_same_id_ends_at_once(launcher, script, start):
    script("sleep 30")
    launcher.add_task()
    first = start()
    launcher.wait_for(lambda: launcher.leased)
    assert start().wait() == 0
    assert first.process.poll() is None
    assert len(launcher.hellos) == 1


def test_a_runner_with_a_wrong_token_ends(launcher, start, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(stat.S_IRUSR)
    runner = start(OFFLOAD_TOKEN_FILE=str(wrong))
    assert runner.wait() == 1
    assert "not the token" in runner.said()


def test_a_released_pool_ends_the_runner_and_its_task(launcher, script, start):
    script("echo up; sleep 1000")
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    launcher.release()
    assert runner.wait() == 0
    assert runner.tasks() == []
    assert launcher.completions == {}


def test_sigterm_gives_the_task_its_grace_and_brings_home_what_it_made(launcher, script, start):
    script("trap 'echo saved > file; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    runner.terminate()
    outcome = launcher.completion().outcome
    assert (outcome.exit_status, outcome.reason.code) == (7, ReasonCode.EVICTED)
    assert launcher.results(outcome.results) == {"file": b"saved\n"}
    assert runner.wait() == 0
    assert (runner.directory / "ended").exists()


def test_sigterm_ends_a_runner_without_work(launcher, start):
    runner = start()
    launcher.wait_for(lambda: "POST /lease" in launcher.requests)
    runner.terminate()
    assert runner.wait() == 0
    assert (runner.directory / "ended").exists()


def test_sigterm_ends_a_runner_that_has_not_reached_the_launcher(launcher, start):
    launcher.stop()
    runner = start()
    eventually((runner.directory / "runner.json").exists)
    runner.terminate()
    assert runner.wait() == 0
    launcher.start()


def test_kill_9_of_the_runner_takes_the_task_along(launcher, script, start):
    script("sleep 1000 & echo up; exec sleep 1000")
    launcher.add_task()
    runner = start()
    launcher.wait_for(launcher.output)
    assert len(runner.tasks()) == 2
    os.kill(runner.process.pid, signal.SIGKILL)
    eventually(lambda: runner.tasks() == [])
    assert not (runner.directory / "ended").exists()
