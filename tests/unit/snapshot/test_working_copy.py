"""A copy that one attempt after another starts in: each finds what the first one found."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.trees import Link, describe, make, settle, trees
from fakes.unprivileged import run_unprivileged
from offload.errors import DiskFullError, PlaybackError
from offload.snapshot.fingerprint import fingerprint_of
from offload.snapshot.sifting import attributes
from offload.snapshot.working_copy import WorkingCopy

TREE = {
    "fit.R": b"x <- 1\n",
    "data": {"a.csv": b"1,2\n", "deep": {"b.csv": b"3,4\n"}},
    "out": {},
    "latest": Link(b"data/a.csv"),
    "sealed": {"s": b"s"},
}


@pytest.fixture
def pristine(tmp_path):
    make(tmp_path / "pristine", TREE)
    (tmp_path / "pristine/sealed").chmod(0o555)
    for path in ("fit.R", "data", "data/deep"):
        os.utime(tmp_path / "pristine" / path, (1000, 1000))
    return tmp_path / "pristine"


@pytest.fixture
def copy(pristine, tmp_path):
    one = WorkingCopy(pristine, tmp_path / "work")
    one.fill()
    return one


@pytest.fixture
def work(tmp_path, copy):
    return tmp_path / "work"


def whole(root) -> dict[bytes, tuple]:
    """All that a script could see of a directory: modes, times, links, owners, attributes, content."""
    found = {}
    for path, seen in {**describe(root), b".": ()}.items():
        full = os.path.join(os.fsencode(root), path)
        status = os.lstat(full)
        is_link, is_directory = stat.S_ISLNK(status.st_mode), stat.S_ISDIR(status.st_mode)
        found[path] = (
            *seen,
            status.st_mtime_ns if path != b"." and not is_link else None,
            1 if is_directory else status.st_nlink,
            (status.st_uid, status.st_gid),
            os.listxattr(full, follow_symlinks=False),
        )
    return found


def inodes(root) -> dict[bytes, int]:
    return {path: os.lstat(os.path.join(os.fsencode(root), path)).st_ino for path in describe(root)}


# --- what scripts do ----------------------------------------------------------------------------------------


def rewrite(path: bytes, _: bytes) -> None:
    """The same size and the same modification time, but another content."""
    status = os.stat(path)
    with open(path, "r+b") as file:
        content = bytearray(file.read()) or bytearray(b"\0")
        content[-1] ^= 1
        file.seek(0)
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(path: bytes, _: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def make_link(path: bytes, _: bytes) -> None:
    remove(path, b"")
    os.symlink(path.split(b"/work/")[0] + b"/outside", path)


def make_directory(path: bytes, _: bytes) -> None:
    remove(path, b"")
    make(path, {"x": b"x", "y": {"z": b"z"}})


def add(path: bytes, _: bytes) -> None:
    make(os.path.dirname(path), {"added": {"f": b"f"}, "gone": Link(b"nowhere")})


def exchange(path: bytes, other: bytes) -> None:
    if os.path.dirname(path) == os.path.dirname(other) and path != other:
        os.rename(path, path + b"~")
        os.rename(other, path)
        os.rename(path + b"~", other)


ACTIONS = (
    rewrite,
    remove,
    make_link,
    make_directory,
    add,
    exchange,
    lambda path, _: os.chmod(path, 0o000),  # a link: what it leads to, outside
    lambda path, _: os.chmod(path, 0o777),
    lambda path, _: os.utime(path, (7, 7), follow_symlinks=False),
    lambda path, _: os.setxattr(path, "user.note", b"1"),
    lambda path, _: os.link(path, path + b".also", follow_symlinks=False),
    lambda path, _: os.lchown(path, 1, 1) if os.getuid() == 0 else None,
    lambda path, to: os.rename(path, os.path.join(to, b"moved")),
)


@settings(max_examples=150, deadline=None)
@given(
    trees(), st.lists(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 99), st.integers(0, 99))))
)
def test_whatever_attempts_do_the_next_one_finds_what_the_first_one_did(tree, attempts):
    with tempfile.TemporaryDirectory() as directory:
        pristine, work = Path(directory, "pristine"), Path(directory, "work")
        make(pristine, tree)
        make(Path(directory, "outside"), {"mine": b"1"})
        copy = WorkingCopy(pristine, work)
        copy.fill()
        first = whole(work)
        assert describe(work) == describe(pristine)
        for attempt in attempts:
            for act, at, to in attempt:
                paths = [os.path.join(os.fsencode(work), path) for path in sorted(describe(work))]
                if paths:
                    with contextlib.suppress(OSError, shutil.Error):
                        act(paths[at % len(paths)], paths[to % len(paths)])
            outside = describe(Path(directory, "outside"))
            copy.tidy()
            assert describe(Path(directory, "outside")) == outside
            assert describe(work).items() <= describe(pristine).items()
            copy.fill()
            assert whole(work) == first


# --- what stays, and what doesn't -------------------------------------------------------------------------


@pytest.mark.parametrize("long_ago", [True, False])
def test_what_an_attempt_leaves_alone_is_not_copied_again(copy, work, long_ago):
    if long_ago:
        settle(work)
        copy.fill()
    before = inodes(work)
    make(work, {"plot.png": b"png"})
    make(work / "data/deep", {"c.csv": b"5,6\n"})
    (work / "fit.R").write_bytes(b"x <- 2\n")
    (work / "sealed/s").write_bytes(b"t")
    copy.tidy()
    gone = {b"fit.R", b"sealed/s"}
    assert inodes(work) == {path: inode for path, inode in before.items() if path not in gone}
    copy.fill()
    assert (work / "fit.R").read_bytes() == b"x <- 1\n"


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm"])
def test_what_was_written_through_memory_is_changed_on_every_file_system(where):
    with tempfile.TemporaryDirectory(dir=where) as directory:
        pristine, work = Path(directory, "pristine"), Path(directory, "work")
        make(pristine, {"x": b"12", "y": b"34"})
        copy = WorkingCopy(pristine, work)
        copy.fill()
        settle(work)
        known = copy.fill()
        with (work / "x").open("r+b") as file, mmap.mmap(file.fileno(), 2) as memory:
            assert memory[0] == ord("1")
            memory[0] = ord("9")
        assert known.get(b"x") != fingerprint_of(os.lstat(work / "x"))
        before = inodes(work)
        copy.tidy()
        assert inodes(work) == {b"y": before[b"y"]}
        copy.fill()
        assert (work / "x").read_bytes() == b"12"


def test_a_file_that_was_proved_untouched_is_not_read_for_results(copy, work):
    settle(work)
    copy.tidy()
    assert copy.fill().keys() == {b"fit.R", b"data/a.csv", b"data/deep/b.csv", b"sealed/s"}


def test_a_root_with_another_mode_or_attributes_becomes_what_it_was(copy, work):
    before = whole(work)
    work.chmod(0o000)
    os.setxattr(work, "user.note", b"1")
    copy.tidy()
    copy.fill()
    assert whole(work) == before


@pytest.mark.parametrize("instead", ["nothing", "directory", "link", "file"])
def test_a_root_that_was_replaced_is_made_anew_and_nothing_beyond_it_is_touched(
    copy, work, instead, tmp_path
):
    before = whole(work)
    make(tmp_path / "elsewhere", {"mine": b"1", "fit.R": b"mine"})
    work.rename(tmp_path / "taken")
    if instead == "directory":
        make(work, {"x": b"x"})
        work.chmod(0o711)
    elif instead == "link":
        work.symlink_to("elsewhere")
    elif instead == "file":
        work.write_bytes(b"")
    copy.tidy()
    copy.fill()
    assert whole(work) == before
    assert describe(tmp_path / "elsewhere").keys() == {b"mine", b"fit.R"}


def test_a_full_disk_leaves_nothing_and_the_next_call_copies_all_of_it(copy, work, monkeypatch):
    before = whole(work)
    shutil.rmtree(work / "data")
    (work / "fit.R").unlink()
    copy.tidy()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("offload.snapshot.working_copy.copy_file", full)
        with pytest.raises(DiskFullError):
            copy.fill()
    assert not work.exists()
    copy.fill()
    assert whole(work) == before


def test_what_could_not_be_removed_is_tried_again_and_until_then_no_attempt_starts(copy, work, monkeypatch):
    before = whole(work)
    make(work, {".nfs0001": b"", "more": {"x": b""}})

    def busy(path):
        raise OSError(errno.EBUSY, "Device or resource busy", path)

    with monkeypatch.context() as patch:
        patch.setattr("offload.snapshot.sifting.remove", busy)
        patch.setattr("offload.snapshot.working_copy.empty_directory", busy)
        with pytest.raises(OSError, match="busy"):
            copy.tidy()
        with pytest.raises(PlaybackError, match="isn't empty"):
            copy.fill()
    copy.fill()
    assert whole(work) == before


def test_who_still_writes_after_an_attempt_leaves_nothing_for_the_next_one(copy, work):
    before = whole(work)
    copy.tidy()
    make(work / "data", {"late.txt": b"late"})
    rewrite(os.fsencode(work / "fit.R"), b"")
    copy.fill()
    assert whole(work) == before


def test_nothing_is_kept_of_a_copy_that_is_discarded(copy, work):
    before = inodes(work)
    settle(work)
    copy.discard()
    copy.tidy()
    assert not work.exists()
    copy.fill()
    assert inodes(work).keys() == before.keys()


def test_attributes_of_a_given_root_are_set_again(pristine, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    os.setxattr(work, "user.note", b"1")
    os.setxattr(work, "user.kept", b"1")
    copy = WorkingCopy(pristine, work)
    copy.fill()
    os.setxattr(work, "user.note", b"2")
    os.removexattr(work, "user.kept")
    os.setxattr(work, "user.other", b"3")
    make(work, {"x": b""})
    copy.tidy()
    assert attributes(os.fsencode(work)) == {"user.note": b"1", "user.kept": b"1"}


def test_a_directory_deeper_than_python_can_follow_is_removed(copy, work):
    before = whole(work)
    place = os.getcwd()
    os.chdir(work)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(place)
    copy.tidy()
    copy.fill()
    assert whole(work) == before


def test_a_directory_that_holds_something_is_refused_and_stays_as_it_is(pristine, tmp_path):
    make(tmp_path / "mine", {"x": b"1"})
    copy = WorkingCopy(pristine, tmp_path / "mine")
    with pytest.raises(PlaybackError, match="isn't empty"):
        copy.fill()
    copy.tidy()
    assert describe(tmp_path / "mine").keys() == {b"x"}


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from fakes.trees import describe, make
from offload.snapshot.working_copy import WorkingCopy

pristine, work = Path(sys.argv[1], "pristine"), Path(sys.argv[1], "work")
make(pristine, {"sealed": {"a": b"1", "deep": {"b": b"2"}}, "open": {"c": b"3"}})
for path in ("sealed/deep", "sealed"):
    (pristine / path).chmod(0o555)
copy = WorkingCopy(pristine, work)
copy.fill()
first = describe(work)
(work / "sealed/a").write_bytes(b"9")
(work / "sealed/deep").chmod(0o755)
(work / "sealed/deep/new").write_bytes(b"")
(work / "open/locked").mkdir(mode=0)
(work / "open").chmod(0)
work.chmod(0)
copy.tidy()
assert describe(work).items() <= first.items(), describe(work)
copy.fill()
assert describe(work) == first, describe(work)
os.setxattr(work, "user.x", b"1")
work.chmod(0o555)
copy.tidy()
copy.fill()
assert describe(work) == first, describe(work)
work.rename(work.with_name("old"))
make(work, {"x": b""})
work.chmod(0)
copy.tidy()
copy.fill()
assert describe(work) == first, describe(work)
"""


def test_modes_that_bind_the_runner_itself_are_no_obstacle():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        done = run_unprivileged(UNPRIVILEGED, directory)
        assert done.returncode == 0, done.stderr
