"""Results are what an attempt made or changed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from fakes.trees import Link, make, trees
from offload.errors import FileChangedError
from offload.model.manifest import Kind, Manifest, decode_manifest
from offload.snapshot.checkout import check_out
from offload.snapshot.diff import changed_since, send_results
from offload.snapshot.working_copy import WorkingCopy

HOME = {
    "fit.R": b"x <- 1\n",
    "data": {"a.csv": b"1,2\n", "b.csv": b"3,4\n"},
    "out": {},
    "latest": Link(b"data/a.csv"),
}


@pytest.fixture
def attempt(take, launcher, tmp_path):
    """A copy of the snapshot of HOME, and a function that finds what changed there."""
    make(tmp_path / "home", HOME)
    snapshot = take(tmp_path / "home").manifest
    check_out(snapshot, launcher.connect(), tmp_path / "pristine")
    copied = WorkingCopy(tmp_path / "pristine", tmp_path / "work").fill()
    return tmp_path / "work", lambda: changed_since(tmp_path / "work", snapshot, copied)


def summary(results) -> dict[str, tuple]:
    return {
        os.fsdecode(entry.path): (entry.kind.value, entry.size, entry.target or f"{entry.mode:o}")
        for entry in results.manifest.entries
    }


def test_an_attempt_that_did_nothing_has_no_results(attempt):
    _, find = attempt
    assert find().manifest == Manifest()


def test_what_is_new_changed_or_has_another_mode_is_a_result_and_what_is_gone_is_not(attempt):
    work, find = attempt
    make(work / "plots", {"p.png": b"png"})
    make(work, {"empty": {}})
    (work / "data/a.csv").write_bytes(b"9,9\n")
    (work / "data/b.csv").unlink()
    (work / "fit.R").chmod(0o755)
    (work / "latest").unlink()
    (work / "latest").symlink_to("plots/p.png")
    assert summary(find()) == {
        "data/a.csv": ("f", 4, "644"),
        "empty": ("d", 0, "755"),
        "fit.R": ("f", 7, "755"),
        "latest": ("l", 0, b"plots/p.png"),
        "plots": ("d", 0, "755"),
        "plots/p.png": ("f", 3, "644"),
    }


def test_a_file_that_was_written_again_with_the_same_content_is_no_result(attempt):
    work, find = attempt
    (work / "data/a.csv").write_bytes(b"1,2\n")
    (work / "fit.R").touch()
    assert find().manifest == Manifest()


def test_a_change_that_hides_its_time_is_found(attempt):
    work, find = attempt
    status = (work / "data/a.csv").stat()
    subprocess.run(["sh", "-c", "printf '5,6\\n' > data/a.csv"], cwd=work, check=True)
    os.utime(work / "data/a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(summary(find())) == ["data/a.csv"]


def test_a_file_in_place_of_a_directory_and_the_reverse_are_results(attempt):
    work, find = attempt
    (work / "out").rmdir()
    (work / "out").write_bytes(b"now a file")
    (work / "fit.R").unlink()
    make(work, {"fit.R": {"x": b"1"}})
    assert summary(find()) == {
        "fit.R": ("d", 0, "755"),
        "fit.R/x": ("f", 1, "644"),
        "out": ("f", 10, "644"),
    }


def test_installed_libraries_and_caches_stay_behind_and_offloadignore_has_no_say(attempt):
    work, find = attempt
    make(
        work,
        {
            ".offloadignore": b"*.rds\n",
            "model.rds": b"1",
            "__pycache__": {"m.pyc": b""},
            "venv": {"pyvenv.cfg": b"", "lib": {}},
            "renv": {"library": {"x": b""}},
        },
    )
    assert list(summary(find())) == [".offloadignore", "model.rds", "renv"]


def test_what_the_built_in_list_names_comes_home_if_it_was_sent(take, launcher, tmp_path):
    make(tmp_path / "home", {".offloadignore": b"!node_modules/\n", "node_modules": {"x": b"1"}})
    snapshot = take(tmp_path / "home").manifest
    check_out(snapshot, launcher.connect(), tmp_path / "work")
    (tmp_path / "work/node_modules/x").write_bytes(b"2")
    assert list(summary(changed_since(tmp_path / "work", snapshot, {}))) == ["node_modules/x"]


def test_links_that_lead_out_are_kept_as_the_script_made_them(attempt):
    work, find = attempt
    make(work, {"scratch": Link(b"/scratch/me"), "here": Link(os.fsencode(work / "data"))})
    assert summary(find()) == {"here": ("l", 0, b"data"), "scratch": ("l", 0, b"/scratch/me")}


def test_a_pipe_stays_behind_with_a_notice(attempt):
    work, find = attempt
    os.mkfifo(work / "pipe")
    results = find()
    assert results.manifest == Manifest()
    assert results.notices == ("pipe is a pipe and was left out.",)


def test_results_travel_to_the_launcher(attempt, launcher):
    work, find = attempt
    make(work, {"p.png": os.urandom(2_000_000), "t.csv": b"1,2\n" * 9})
    results = find()
    sink = launcher.connect()
    assert send_results(work, results, sink) > 2_000_000
    assert send_results(work, results, sink) < 1000
    assert decode_manifest(sink.get_manifest(results.digest)) == results.manifest


def test_a_file_that_is_still_written_is_named(attempt, launcher):
    work, find = attempt
    make(work, {"log": b"1"})
    results = find()
    (work / "log").write_bytes(b"12")
    with pytest.raises(FileChangedError, match="log kept changing"):
        send_results(work, results, launcher.connect())


@settings(max_examples=40, deadline=None)
@given(trees(b"a", b"b"))
def test_any_tree_made_in_an_empty_directory_is_the_result(tree):
    with tempfile.TemporaryDirectory() as directory:
        make(directory, tree)
        results = changed_since(Path(directory), Manifest(), {})
        again = changed_since(Path(directory), results.manifest, {})
        files = sum(entry.kind is Kind.FILE for entry in results.manifest.entries)
        assert files == sum(len(names) for _, _, names in os.walk(directory))
        assert again.manifest == Manifest()
