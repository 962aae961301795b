"""What is left out, and which rule says so; git itself is the judge of the patterns."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.trees import Link, describe, make, trees
from offload.errors import UsageError
from offload.model.file_names import shown
from offload.model.manifest import Kind
from offload.snapshot.explain import explain
from offload.snapshot.own import own_paths
from offload.snapshot.walk import walk


def sent(root) -> set[bytes]:
    return {node.path for node in walk(os.path.realpath(os.fsencode(root))).nodes}


BUILT_IN = {
    ".git/config": "built-in rule `.git/`",
    "sub/.git": "built-in rule `.git`",
    ".venv/x": "built-in rule `.venv/`",
    "env/lib/x.py": "built-in rule: a directory with `pyvenv.cfg` is a virtual environment",
    "conda/bin/python": "built-in rule: a directory with `conda-meta/history` is a virtual environment",
    "renv/library/R-4.3/dplyr": "built-in rule `renv/library/`",
    "packrat/lib/x": "built-in rule `packrat/lib/`",
    "web/node_modules/left-pad/index.js": "built-in rule `node_modules/`",
    "a/b/__pycache__/m.pyc": "built-in rule `__pycache__/`",
    ".Rproj.user/1": "built-in rule `.Rproj.user/`",
    "nb/.ipynb_checkpoints/n.ipynb": "built-in rule `.ipynb_checkpoints/`",
    ".DS_Store": "built-in rule `.DS_Store`",
    "out/.offload-k7m2q9x-0123456789ab": "built-in rule: a result that didn't come home whole",
}


def test_the_built_in_list_leaves_out_what_can_be_made_again(tmp_path):
    for path in [*BUILT_IN, "env/pyvenv.cfg", "conda/conda-meta/history", "renv/activate.R", "library/x.R"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    files = {path for path in sent(tmp_path) if (tmp_path / os.fsdecode(path)).is_file()}
    assert files == {b"renv/activate.R", b"library/x.R"}
    assert {path: explain(tmp_path, path).rule for path in BUILT_IN} == BUILT_IN


def test_offloads_own_directories_are_left_out_whatever_is_written(tmp_path):
    make(
        tmp_path,
        {
            ".offloadignore": b"!*\n!.off/\n",
            ".off": {"store.sqlite": b"x", "cache": {"a": b""}},
            "sub": {".off": b""},
            "through": Link(b".off"),
        },
    )
    own = (tmp_path / "through", tmp_path / "through" / "run", Path("/nowhere"))
    root = os.path.realpath(os.fsencode(tmp_path))
    found = {node.path for node in walk(root, own_paths(root, own)).nodes}
    assert found == {b".offloadignore", b"sub", b"sub/.off", b"through"}
    assert str(explain(tmp_path, ".off/cache/a", own=own)) == (
        "not sent: built-in rule: Offload keeps its own data there, which decides about .off"
    )


def test_a_directory_that_is_offloads_own_is_refused(take, tmp_path):
    with pytest.raises(UsageError, match="Offload keeps its own data there"):
        take(tmp_path, own=(tmp_path / "x" / "..",))


def test_gitignore_is_not_consulted(tmp_path):
    make(tmp_path, {".gitignore": b"*.csv\n", "data.csv": b"x"})
    assert sent(tmp_path) == {b".gitignore", b"data.csv"}


def test_explain_names_the_file_the_line_and_the_directory_that_decide(tmp_path):
    make(
        tmp_path,
        {
            ".offloadignore": b"# big things\n\nraw/\n*.tmp\n!keep.tmp\n",
            "raw": {"x": {"y.csv": b""}},
            "keep.tmp": b"",
            "sub": {".offloadignore": b"/local\n!*.tmp\n", "local": b"", "y.tmp": b""},
        },
    )
    decisions = {
        "raw/x/y.csv": "not sent: `.offloadignore` line 3: `raw/`, which decides about raw",
        "y.tmp": "not there; it would not be sent: `.offloadignore` line 4: `*.tmp`",
        "keep.tmp": "sent: `.offloadignore` line 5: `!keep.tmp`",
        "sub/local": "not sent: `sub/.offloadignore` line 1: `/local`",
        "sub/y.tmp": "sent: `sub/.offloadignore` line 2: `!*.tmp`",
        "not/there.csv": "not there; it would be sent: no rule leaves it out",
        ".": "sent: it is the working directory",
    }
    assert {path: str(explain(tmp_path, path)) for path in decisions} == decisions
    assert str(explain(tmp_path, tmp_path / "sub" / "y.tmp")) == decisions["sub/y.tmp"]
    assert str(explain(tmp_path, tmp_path)) == decisions["."]


def test_a_line_can_bring_back_what_the_built_in_list_leaves_out(tmp_path):
    make(
        tmp_path,
        {".offloadignore": b"!renv/library/\n", "renv": {"library": {"x": b""}, "staging": {"y": b""}}},
    )
    assert sent(tmp_path) == {b".offloadignore", b"renv", b"renv/library", b"renv/library/x"}


def test_explain_says_what_can_not_be_sent_whatever_the_rules(tmp_path):
    make(tmp_path, {"d": {"x": b""}, "in": Link(b"d"), "out": Link(b"/etc"), "self": Link(b".")})
    os.mkfifo(tmp_path / "pipe")
    decisions = {
        "pipe": "not sent: it is a pipe",
        "in": "sent: no rule leaves it out",
        "in/x": "not sent: it is a symbolic link, which is sent as a link, which decides about in",
        "self": "sent: no rule leaves it out",
        "out": "not sent: it is a symbolic link out of the working directory, which is refused",
    }
    assert {path: str(explain(tmp_path, path)) for path in decisions} == decisions


def test_a_path_outside_of_the_directory_is_refused(tmp_path):
    for path in ("..", "/etc/passwd", "a/../../b"):
        with pytest.raises(UsageError, match="outside of the working directory"):
            explain(tmp_path, path)


def test_rules_that_are_a_directory_are_a_mistake_whoever_asks(tmp_path):
    make(tmp_path, {"sub": {".offloadignore": {}, "x": b""}})
    for ask in (sent, lambda root: explain(root, "sub/x")):
        with pytest.raises(UsageError, match=r"^sub/\.offloadignore is a directory"):
            ask(tmp_path)


def test_a_name_that_steers_a_terminal_is_shown_as_an_escape(tmp_path):
    make(tmp_path, {b".offloadignore": b"*.\x1bJ\n", b"a\r\n.\x1bJ": b""})
    decision = explain(tmp_path, os.fsdecode(b"a\r\n.\x1bJ"))
    assert str(decision) == r"not sent: `.offloadignore` line 1: `*.\x1bJ`"
    assert shown("über\x9b1m\udcff\u202e.csv") == r"über\x9b1m\xff\u202e.csv"


def test_the_last_matching_line_decides_about_a_directory_too(tmp_path):
    make(tmp_path, {".offloadignore": b"!*\na\n\xff*\n", "a": {"x": b""}, b"\xff\n": b""})
    assert sent(tmp_path) == {b".offloadignore"}


PARTS = st.sampled_from(
    (
        *("a", "b", "*", "?", "*.c", "a*", "*a", "**", "***", "b.c", "\\a", "\\*", "\\"),
        *(
            "[ab]",
            "[!a]",
            "[^b-]",
            "[]a]",
            "[a",
            "[[:alpha:]]",
            "[[:foo:]]",
            "[[:alpha]",
            "[[:]",
            "[[:punct:]]",
        ),
        *("[a-c]", "[\\]-a]", "[c-a]", "[a-]", "#", " ", "a ", "a\\ ", "!a", "\\#", "\\!"),
    )
)
LINES = st.builds(
    lambda negated, rooted, parts, directory: (
        "!" * negated + "/" * rooted + "/".join(parts) + "/" * directory
    ),
    st.booleans(),
    st.booleans(),
    st.lists(PARTS, max_size=3),
    st.booleans(),
)
IGNORE_FILES = st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode())
PLAIN = st.sampled_from([b"a", b"b", b"b.c", b"aa", b"a ", b"]", b"-", b"*", b"#", b"!a", b"x\ny.c"])
PLAIN_TREES = st.dictionaries(
    PLAIN,
    st.recursive(st.just(b"x"), lambda below: st.dictionaries(PLAIN, below, max_size=4), max_leaves=15),
    max_size=5,
)


@pytest.fixture(scope="module")
def git_directory(tmp_path_factory) -> str:
    directory = str(tmp_path_factory.mktemp("git"))
    subprocess.run(["git", "init", "-q", "--bare", "--template=", directory], check=True)
    return directory


@settings(max_examples=60, deadline=None)
@given(tree=PLAIN_TREES, above=IGNORE_FILES, below=IGNORE_FILES)
def test_git_leaves_out_the_same(git_directory, tree, above, below):
    with tempfile.TemporaryDirectory() as root:
        make(root, {**tree, b"a": {**tree, b".offloadignore": below}, b".offloadignore": above})
        listed = subprocess.run(
            [
                *("git", "-C", root, f"--git-dir={git_directory}", "--work-tree=.", "ls-files"),
                *("-z", "--others", "--exclude-per-directory=.offloadignore"),
            ],
            capture_output=True,
            check=True,
        )
        files = {
            node.path for node in walk(os.fsencode(os.path.realpath(root))).nodes if node.kind is Kind.FILE
        }
        assert files == set(listed.stdout.split(b"\0")) - {b""}


@settings(max_examples=60, deadline=None)
@given(trees(b"a", b"b", b".git", b"node_modules", b"renv", b"library"), IGNORE_FILES, IGNORE_FILES)
def test_explain_agrees_with_what_is_sent(tree, above, below):
    with tempfile.TemporaryDirectory() as root:
        make(root, {**tree, b"a": {**tree, b".offloadignore": below}, b".offloadignore": above})
        walked = sent(root)
        assert {path for path in describe(root) if explain(root, os.fsdecode(path)).sent} == walked
