"""From the words that a person typed to what will be run."""

import os
from pathlib import Path

import pytest

from offload.client.learning import with_memory
from offload.client.plan import choose_cluster, home_uri, make_plan, make_spec
from offload.errors import ScriptNotFoundError, UnknownClusterError, UsageError
from offload.model.array import Array
from offload.wire.api import ClusterView

LOCAL = ClusterView(name="local", backend="local", available=True, session_env=("R_LIBS", "LANG"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "my project"
    (root / "src").mkdir(parents=True)
    (root / "fit.R").write_text("# offload: cpus=2\ncat(1)\n")
    (root / "src" / "prepare.py").write_text("print(1)\n")
    monkeypatch.chdir(root)
    return root


def test_a_script_runs_in_the_directory_where_the_person_stands(project):
    plan = make_plan(["fit.R", "--rounds", "5"])
    assert plan.command == ("Rscript", "fit.R", "--rounds", "5")
    assert (plan.root, plan.directory, plan.script, plan.name) == (project, ".", "fit.R", "fit.R")
    assert plan.settings.cpus == 2


def test_what_a_script_says_twice_is_a_mistake_that_names_both_lines(project):
    lines = ("cpus=2 cpus=3", "env=A=1 env=B=1 mount=m over=a over=b", "env=A=2 mount=m:/x bogus=1 bogus=1")
    (project / "fit.R").write_text("".join(f"# offload: {line}\n" for line in lines))
    with pytest.raises(UsageError) as caught:
        make_plan(["fit.R"])
    assert caught.value.sentence.splitlines() == [
        "Line 1 of fit.R: cpus is given in line 1 already.",
        "Line 3 of fit.R: env A is given in line 2 already.",
        "Line 3 of fit.R: mount m is given in line 2 already.",
        "Line 3 of fit.R: 'bogus' can't be asked for.",
        "Line 3 of fit.R: 'bogus' can't be asked for.",
    ]


def test_the_command_line_says_once_more_what_a_script_says(project):
    assert make_plan(["fit.R"], options=[("cpus", "3"), ("cpus", "4")]).settings.cpus == 4


def test_with_a_root_above_the_command_starts_in_the_same_place_below_it(project, monkeypatch):
    monkeypatch.chdir(project / "src")
    plan = make_plan(["prepare.py"], root=project)
    assert (plan.directory, plan.script, plan.command) == ("src", "src/prepare.py", ("python3", "prepare.py"))
    assert make_plan(["../fit.R"], root=Path("..")).script == "fit.R"


def test_an_absolute_path_below_the_root_becomes_relative(project):
    assert make_plan([str(project / "src/prepare.py")]).command == ("python3", "src/prepare.py")


def test_a_command_is_taken_as_it_is(project):
    plan = make_plan(["make", "-j4"], is_command=True, options=[("name", "build")])
    assert (plan.command, plan.name, plan.script) == (("make", "-j4"), "build", None)


def test_an_unknown_script_suggests_near_ones_and_the_command_form(project):
    with pytest.raises(ScriptNotFoundError) as caught:
        make_plan(["fti.R"])
    assert caught.value.next_step.startswith("Did you mean fit.R?")
    assert "offload run -- fti.R" in caught.value.next_step


def test_a_script_outside_the_root_is_refused(project, monkeypatch):
    monkeypatch.chdir(project / "src")
    with pytest.raises(ScriptNotFoundError, match="would not be sent"):
        make_plan(["../fit.R"])


def test_a_directory_is_no_script(project):
    with pytest.raises(ScriptNotFoundError, match="is a directory"):
        make_plan(["src"])


def test_a_root_that_does_not_hold_this_directory_is_refused(project, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="not below the root"):
        make_plan(["fit.R"], root=tmp_path / "other")


def test_an_argument_that_is_no_text_is_refused(project):
    with pytest.raises(UsageError, match="must be UTF-8 text"):
        make_plan(["fit.R", os.fsdecode(b"caf\xe9")])


def test_mistakes_in_the_words_and_in_the_options_are_told_at_once(project):
    wrong = [("cpus", "x"), ("retries", "y"), ("array", "5-1")]
    with pytest.raises(UsageError) as caught:
        make_plan(["nope.sh"], options=wrong)
    for part in ("There is no nope.sh here.", "--cpus: 'x'", "--retries: 'y'", "--array: The array range"):
        assert part in caught.value.sentence
    assert "offload run -- nope.sh" in caught.value.next_step
    with pytest.raises(UsageError) as caught:
        make_plan(["nope.sh"], options=[("params", "none.csv")])
    assert caught.value.sentence == (
        "There is no nope.sh here.\nnone.csv can't be read: No such file or directory."
    )


def test_a_root_elsewhere_hides_no_mistake_in_an_option_and_makes_none(project, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError) as caught:
        make_plan(["fit.R"], root=tmp_path / "other", options=[("cpus", "x"), ("over", "src/prepare.py")])
    first, second = caught.value.sentence.splitlines()
    assert "not below the root" in first
    assert second == "--cpus: 'x' is not a number of CPUs."


def test_a_directory_that_is_no_text_can_only_be_the_root(project, monkeypatch):
    odd = project / os.fsdecode(b"d\xff")
    odd.mkdir()
    (odd / "a.sh").write_text("")
    monkeypatch.chdir(odd)
    assert make_plan(["a.sh"]).directory == "."
    with pytest.raises(UsageError, match=r"'d\\udcff' isn't UTF-8 text"):
        make_plan(["a.sh"], root=project)


def test_the_spec_holds_what_was_asked_and_the_session_variables_that_are_set(project):
    plan = make_plan(["fit.R"], options=[("array", "1-3"), ("env", "LANG=C"), ("time", "1h")])
    spec = make_spec(plan, LOCAL, snapshot="sha256:0", environ={"R_LIBS": "/r", "LANG": "de", "SECRET": "x"})
    assert spec.env == {"R_LIBS": "/r", "LANG": "C"}
    assert (spec.cluster, spec.is_array, len(spec.array), spec.time_limit) == ("local", True, 3, 3600.0)
    assert spec.resources.cpus == 2
    assert spec.home == home_uri(project)
    assert spec.home.endswith("/my%20project")


def test_the_spec_says_what_nobody_asked_for(project):
    spec = make_spec(make_plan(["fit.R"]), LOCAL, snapshot="sha256:0", environ={})
    assert spec.left_open == ("memory", "gpus")
    plan = make_plan(
        ["fit.R"], options=[("memory", "1Gi"), ("gpus", "0"), ("mount", "data"), ("image", "r:4")]
    )
    spec = make_spec(plan, LOCAL, snapshot="sha256:0", environ={})
    assert (spec.left_open, spec.mounts, spec.image) == ((), ("data",), "r:4")


def test_memory_of_a_script_of_which_nothing_is_known_is_left_to_the_cluster(project):
    plan, sentence = with_memory(make_plan(["fit.R"], options=[("memory", "auto")]), None)
    assert "memory" in make_spec(plan, LOCAL, snapshot="sha256:0", environ={}).left_open
    assert plan.settings.origins["memory"] == "auto: nothing is known of this script yet"
    assert sentence.startswith("nothing is known of this script yet, so")


def test_a_plain_job_has_one_task_with_index_one(project):
    spec = make_spec(make_plan(["fit.R"]), LOCAL, snapshot="sha256:0", environ={})
    assert (spec.is_array, spec.array, spec.stdin) == (False, Array(), None)


def test_a_session_variable_that_is_no_text_stays_at_home(project):
    odd = os.fsdecode(b"/libs/\xe9")
    spec = make_spec(make_plan(["fit.R"]), LOCAL, snapshot="sha256:0", environ={"R_LIBS": odd})
    assert spec.env == {}


def test_without_a_name_the_only_cluster_or_local_is_taken():
    far = ClusterView(name="far", backend="kubernetes", available=True)
    assert choose_cluster([far], None) is far
    assert choose_cluster([far, LOCAL], None) is LOCAL


def test_an_unknown_cluster_lists_the_right_ones():
    with pytest.raises(UnknownClusterError) as caught:
        choose_cluster([LOCAL], "locla")
    assert caught.value.next_step == "Choose one with --on: local."
