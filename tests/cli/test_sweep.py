"""Many tasks that differ by parameters, from the command line to the files at home."""

from __future__ import annotations

import csv
import json

import pyarrow.parquet
import pytest

from fakes.person import wait_until

SAY = (
    "import os, sys\n"
    "known = {name[14:]: value for name, value in os.environ.items() if name.startswith('OFFLOAD_PARAM_')}\n"
    "print(os.environ['OFFLOAD_TASK'], sys.argv[1:], sorted(known.items()))\n"
)


@pytest.fixture
def here(guest):
    guest.write("say.py", SAY)
    guest.write(
        "list.sh", 'echo "$OFFLOAD_TASK $1 $(cat "$1") $(ls data | tr "\\n" " ")"; echo more >> "$1"\n'
    )
    for name in ("a", "b", "c"):
        guest.write(f"data/{name}.csv", f"{name}{name}\n")
    return guest


def lines(done) -> list[str]:
    assert done.returncode == 0, done.stderr.decode()
    return sorted(done.stdout.decode().splitlines())


def test_a_grid_runs_every_combination_and_status_shows_which_task_had_which(here):
    assert lines(here.offload("run", "--grid", "lr=0.1,1e-2", "--grid", "seed=1:2", "say.py", "x")) == [
        "1 ['x', '--lr', '0.1', '--seed', '1'] [('LR', '0.1'), ('SEED', '1')]",
        "2 ['x', '--lr', '0.1', '--seed', '2'] [('LR', '0.1'), ('SEED', '2')]",
        "3 ['x', '--lr', '1e-2', '--seed', '1'] [('LR', '1e-2'), ('SEED', '1')]",
        "4 ['x', '--lr', '1e-2', '--seed', '2'] [('LR', '1e-2'), ('SEED', '2')]",
    ]
    job = json.loads(here.text("jobs", "--json"))["jobs"][0]
    status = json.loads(here.text("status", job["id"], "--json"))
    assert [task["parameters"] for task in status["tasks"]][2] == {"lr": "1e-2", "seed": "1"}
    assert "task  lr    seed  attempt" in here.text("status", job["id"])
    again = here.text("rerun", job["id"]).strip()
    here.text("wait", again)
    assert min(here.text("logs", again).splitlines()).startswith("1 ['x', '--lr', '0.1'")


def test_arguments_that_mention_a_parameter_are_filled_and_nothing_is_added(here):
    done = here.offload("run", "--grid", "lr=1,2", "say.py", "--rate={lr}", "{{lr}}")
    assert lines(done)[0] == "1 ['--rate=1', '{lr}'] [('LR', '1')]"


def test_a_table_of_more_than_a_part_gives_each_task_its_row(here):
    rows = [f'{number},"v, {number}\n{"x" * 400}"' for number in range(1, 1501)]
    here.write("runs.csv", "n,text\n" + "\n".join(rows) + "\n")
    # Tasks far apart in the table, in parts of their own, and not all 1,500 of them.
    code = "import os; print(os.environ['OFFLOAD_TASK'], os.environ['OFFLOAD_PARAM_TEXT'].split('\\n')[0])"
    job = here.text("run", "-d", "--params", "runs.csv", "--", "python3", "-c", code, "{n}").strip()
    task = json.loads(here.text("status", job, "--json"))["tasks"][1234]
    assert task["parameters"] == {"n": "1235", "text": f"v, 1235\n{'x' * 400}"}
    here.text("cancel", job)


def test_a_small_table_of_json_lines_runs(here):
    here.write("runs.jsonl", '{"lr": 0.5, "name": "a b"}\n{"lr": 1, "name": "é"}\n')
    assert lines(here.offload("run", "--params", "runs.jsonl", "say.py")) == [
        "1 ['--lr', '0.5', '--name', 'a b'] [('LR', '0.5'), ('NAME', 'a b')]",
        "2 ['--lr', '1', '--name', 'é'] [('LR', '1'), ('NAME', 'é')]",
    ]


def test_a_task_over_files_sees_its_own_alone_and_only_what_it_changed_comes_home(here):
    here.write(".offloadignore", "data/\n")
    assert lines(
        here.offload("run", "--over", "data/a.csv", "data/b.csv", "data/c.csv", "--", "list.sh")
    ) == [
        "1 data/a.csv aa a.csv ",
        "2 data/b.csv bb b.csv ",
        "3 data/c.csv cc c.csv ",
    ]
    made = sorted(path for path in here.here.glob("results/*/*/**/*") if path.is_file())
    assert [path.parts[-3:] for path in made] == [
        ("1", "data", "a.csv"), ("2", "data", "b.csv"), ("3", "data", "c.csv"),
    ]  # fmt: skip
    assert made[0].read_text() == "aa\nmore\n"


def test_a_file_over_which_a_task_runs_may_be_a_link_to_elsewhere(here, tmp_path):
    (tmp_path / "far.csv").write_text("far\n")
    (here.here / "data/far.csv").symlink_to(tmp_path / "far.csv")
    done = here.offload("run", "--over", "data/far.csv", "--", "cat")
    assert lines(done) == ["far"]


def test_show_says_what_the_parameters_are_and_how_they_are_passed(here):
    shown = " ".join(
        here.text("run", "--show", "--grid", "lr=0.1,0.01", "--grid", "seed=1:100", "say.py").split()
    )
    assert "parameter lr 0.1,0.01 (2 values)" in shown
    assert "parameter seed 1:100 (100 values)" in shown
    assert "--lr VALUE --seed VALUE, after the command" in shown
    assert "1-200 (200 tasks)" in shown
    over = " ".join(
        here.text("run", "--show", "--over", "data/a.csv", "data/b.csv", "--", "wc", "-l").split()
    )
    assert "parameter file data/a.csv and 1 other" in over
    assert "the file, after the command" in over


def test_show_says_who_says_the_tasks_when_the_command_line_replaces_the_script(here):
    here.write("c.sh", "# offload: array=1-3\n")
    shown = here.text("run", "--show", "--grid", "a=1,2", "c.sh").splitlines()
    rows = {line.split("  ")[0]: " ".join(line.split()) for line in shown}
    assert rows["array"] == "array 1-2 (2 tasks) parameters"
    assert rows["parameter a"] == "parameter a 1,2 (2 values) command line"
    here.write("c.sh", "# offload: grid=a=1,2\n")
    shown = here.text("run", "--show", "--array", "5-9", "c.sh")
    assert "array 5-9 (5 tasks) command line" in " ".join(shown.split())
    assert "parameter" not in shown


def test_a_list_of_files_without_an_end_is_told(here):
    done = here.offload("run", "--over", "data/a.csv", "data/b.csv")
    assert done.returncode == 2
    assert b"Put -- before the script" in done.stderr


def test_results_come_home_where_the_pattern_says_one_folder_a_task(here):
    here.write("make.sh", "echo $1-$2 > made.txt\n")
    words = (
        "--grid",
        "lr=0.1,a/b",
        "--grid",
        "n=1:2",
        "--results",
        "out/{lr}/n{n}",
        "make.sh",
        "{lr}",
        "{n}",
    )
    assert here.offload("run", *words).returncode == 0
    made = {str(path.relative_to(here.here)): path.read_text() for path in here.here.glob("out/**/made.txt")}
    assert made == {
        "out/0.1/n1/made.txt": "0.1-1\n", "out/0.1/n2/made.txt": "0.1-2\n",
        "out/a%2Fb/n1/made.txt": "a/b-1\n", "out/a%2Fb/n2/made.txt": "a/b-2\n",
    }  # fmt: skip
    shown = here.text("explain", "out/0.1/n1/made.txt")
    assert "not sent" in shown


def test_the_results_of_the_job_before_are_kept_and_said_to_have_been_there(here):
    here.write("make.sh", "echo $OFFLOAD_JOB > made.txt; echo same > same.txt\n")
    words = ("run", "--grid", "s=1:2", "--results", "o/{s}", "make.sh")
    assert here.offload(*words).returncode == 0
    again = here.offload(*words)
    assert again.returncode == 0
    for task in (1, 2):
        (name,) = (path.name for path in here.here.glob(f"o/{task}/made.from-*.txt"))
        said = f"kept your o/{task}/made.txt, which was there already; the job's is o/{task}/{name}\n"
        assert said in again.stderr.decode()
    assert "meanwhile" not in again.stderr.decode()


def test_a_place_for_results_that_two_tasks_would_share_is_refused_before_anything_is_sent(here):
    done = here.offload("run", "--grid", "s=11:1:-1", "--results", "out/{task}{s}", "--", "true")
    assert (done.returncode, done.stdout) == (2, b"")
    assert "the files of tasks 1 and 11 into out/111; write 'out/{task}/{s}'." in done.stderr.decode()


def test_what_some_tasks_made_is_collected_while_others_run(here, tmp_path):
    go = tmp_path / "go"
    here.write(
        "make.sh", f"[ $OFFLOAD_TASK = 1 ] || until [ -e {go} ]; do sleep 0.05; done; echo x > made.txt\n"
    )
    job = here.text("run", "-d", "--array", "1-2", "make.sh").strip()
    wait_until(lambda: json.loads(here.text("jobs", "--json"))["jobs"][0]["counts"]["succeeded"] == 1)
    here.text("collect", job)
    made = here.here / "results" / job
    assert (made / "1/made.txt").exists()
    assert not (made / "2").exists()
    go.touch()
    here.text("wait", job)
    here.text("collect", job)
    assert (made / "2/made.txt").exists()


FAILS = """
import sys
number = int(sys.argv[2])
if number % 2 == 0:
    raise ValueError(f"number {number} is even")
if number == 3:
    sys.exit("no threes in /data/3")
"""


def test_failed_tasks_are_grouped_by_cause_and_run_again_by_cause(here):
    here.write("fails.py", FAILS)
    done = here.offload("run", "--memory", "256Mi", "--grid", "n=1:6", "fails.py")
    assert done.returncode == 1
    job = json.loads(here.text("jobs", "--json"))["jobs"][0]["id"]
    even, three = json.loads(here.text("failures", job, "--json"))
    assert (even["tasks"], even["words"], even["count"]) == ("2-6:2", "ValueError: number 2 is even", 3)
    assert (three["tasks"], three["words"]) == ("3", "no threes in /data/3")
    shown = here.text("failures", job)
    assert "4 of 6 tasks failed, in 2 ways" in shown
    assert "1. 3 tasks: ValueError: number 2 is even" in shown
    assert "2. 1 task: no threes in /data/3" in shown
    assert '      raise ValueError(f"number {number} is even")' in shown.replace("        ", "      ")
    again = here.text("rerun", job, "--cause", "2", "--memory", "2x").strip()
    assert here.offload("wait", again).returncode == 1
    status = json.loads(here.text("status", again, "--json"))
    assert [(task["index"], task["parameters"]) for task in status["tasks"]] == [(3, {"n": "3"})]
    assert status["job"]["spec"]["resources"]["memory"] == 512 << 20


def test_what_did_not_fail_cannot_be_run_again_as_failed(here):
    job = here.text("run", "-d", "--array", "1-2", "--", "true").strip()
    here.text("wait", job)
    assert "no task has failed" in here.text("failures", job)
    for words, said in (
        (("--failed",), f"No task of {job} has failed."),
        (("--cause", "1"), f"No task of {job} has failed."),
        (("--memory", "2x"), "had no memory limit, so there is nothing to multiply"),
        (("--memory", "much"), "'much' is not an amount of memory"),
    ):
        done = here.offload("rerun", job, *words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert said in done.stderr.decode()


def test_causes_of_a_job_that_goes_on_have_no_lasting_numbers(here):
    job = here.text("run", "-d", "--", "sleep", "60").strip()
    done = here.offload("rerun", job, "--cause", "1")
    assert (done.returncode, done.stdout) == (125, b"")
    assert f"offload rerun {job} --failed" in done.stderr.decode()
    here.text("cancel", job)


FIND = """
import json, os, sys
number = int(os.environ["OFFLOAD_PARAM_N"])
if number == 2:
    sys.exit(4)
with open(os.environ["OFFLOAD_RESULT"], "w") as file:
    json.dump({"square": number**2, "note": "a, b"}, file)
"""


def test_a_table_has_what_tasks_found_beside_what_made_them_differ(here):
    here.write("find.py", FIND)
    assert here.offload("run", "--grid", "n=1:3", "find.py").returncode == 4
    job = json.loads(here.text("jobs", "--json"))["jobs"][0]["id"]
    rows = list(csv.DictReader(here.text("table", job, "--csv").splitlines()))
    assert [(row["task"], row["n"], row["state"], row["square"], row["note"]) for row in rows] == [
        ("1", "1", "succeeded", "1", "a, b"),
        ("2", "2", "failed", "", ""),
        ("3", "3", "succeeded", "9", "a, b"),
    ]
    assert [rows[1][name] for name in ("reason", "exit_status", "attempts")] == ["exit", "4", "1"]
    assert all(float(row["peak_memory"]) > 0 for row in rows)
    (large,) = json.loads(here.text("table", job, "--json", "--where", "square>1", "--where", "n!=1"))
    assert (large["n"], large["square"]) == ("3", 9)
    assert json.loads(here.text("table", job, "--json", "--where", "square>9")) == []
    shown = here.text("table", job).splitlines()
    assert shown[0].split()[:3] == ["task", "n", "state"]
    assert len(shown) == 4
    assert "found.parquet: 2 rows" in here.text(
        "table", job, "--parquet", "found.parquet", "--where", "state==succeeded"
    )
    found = pyarrow.parquet.read_table(here.here / "found.parquet").select(["n", "square", "note"])
    assert found.to_pylist() == [
        {"n": "1", "square": 1, "note": "a, b"},
        {"n": "3", "square": 9, "note": "a, b"},
    ]
    both = here.offload("table", job, "--csv", "--json")
    assert (both.returncode, both.stdout) == (2, b"")
    wrong = here.offload("table", job, "--csv", "--where", "sqare>1")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert "Did you mean square?" in wrong.stderr.decode()
    taken = ("wall<1h", "peak_memory>1Mi", "state=='succeeded'", "square<10")
    met = here.text("table", job, "--csv", *(word for one in taken for word in ("--where", one)))
    assert [line.split(",")[0] for line in met.splitlines()[1:]] == ["1", "3"]
    unlike = here.offload("table", job, "--where", "square>2s")
    assert (unlike.returncode, unlike.stdout) == (2, b"")
    assert "square holds numbers, and '2s' is none." in unlike.stderr.decode()


def test_a_job_that_fails_fast_ends_what_runs_and_begins_no_more(here):
    here.write("slow.sh", "test $OFFLOAD_TASK != 1 || exit 7\nsleep 600\n")
    done = here.offload("run", "--fail-fast", "1", "--array", "1-500", "--cpus", "0.5", "slow.sh")
    assert done.returncode == 7
    job = json.loads(here.text("jobs", "--json"))["jobs"][0]
    assert (job["state"], job["counts"]["failed"], job["counts"]["cancelled"]) == ("failed", 1, 499)
    assert "gave up, because enough tasks had failed (--fail-fast)" in here.text("why", job["id"])
    status = json.loads(here.text("status", job["id"], "--json"))
    assert status["tasks"][-1]["reason"]["sentence"].startswith("The job gave up (--fail-fast)")


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ((2,), "File exists. What the other 2 made is home."),
        ((2, 3), "File exists. So it is with 2 of 3 tasks. What the other 1 made is home."),
        ((1, 2, 3), "File exists. So it is with 3 of 3 tasks."),
    ],
)
def test_a_place_that_is_no_directory_keeps_nobody_elses_results_away(here, taken, words):
    for index in taken:
        here.write(f"out/{index}", "mine\n")
    done = here.offload("run", "--array", "1-3", "--results", "out/{task}", "--", "touch", "made")
    assert words in done.stderr.decode()
    for index in range(1, 4):
        place = here.here / f"out/{index}"
        assert place.read_text() == "mine\n" if index in taken else (place / "made").exists()
