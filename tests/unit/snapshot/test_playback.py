"""Results come home, and nothing that is there is lost."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings

from fakes.trees import Link, describe, make, trees
from fakes.unprivileged import run_on_a_full_disk, run_unprivileged
from offload.errors import BlobCorruptError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import Manifest, digest_of
from offload.snapshot.diff import changed_since
from offload.snapshot.home import beside_names
from offload.snapshot.playback import PlaybackReport, play_back
from offload.snapshot.reading import read_chunks
from offload.snapshot.walk import walk
from offload.store.blobs import BlobFiles

HOME = {"fit.R": b"x <- 1\n", "table.csv": b"old\n", "out": {"a": b"1"}, "latest": Link(b"table.csv")}


class Case:
    """A working directory, its snapshot, and an attempt's copy of it to make results in."""

    def __init__(self, root: Path, tree) -> None:
        self.home, self.work, self.root = root / "home", root / "work", root
        make(self.home, tree)
        make(self.work, tree)
        self.blobs = BlobFiles(root / "blobs")
        self.snapshot = changed_since(self.work, Manifest(), {}).manifest

    def results(self) -> Manifest:
        results = changed_since(self.work, self.snapshot, {})
        for entry, node in zip(results.manifest.entries, results.nodes, strict=True):
            if entry.digest:
                self.blobs.put_bytes(entry.digest, b"".join(read_chunks(os.fsencode(self.work), node)))
        return results.manifest

    def play(self, target: Path | None = None, snapshot: Manifest | None = None) -> PlaybackReport:
        return play_back(
            self.results(),
            self.snapshot if snapshot is None else snapshot,
            self.blobs,
            target or self.home,
            label="k7m2q9x",
            lock_dir=self.root / "locks",
        )


@pytest.fixture
def case(tmp_path) -> Case:
    return Case(tmp_path, HOME)


def test_new_and_changed_files_are_as_the_task_left_them(case):
    make(case.work, {"plots": {"p.png": b"png"}, "empty": {}, "link": Link(b"plots")})
    (case.work / "table.csv").write_bytes(b"new\n")
    (case.work / "fit.R").chmod(0o755)
    (case.work / "out" / "a").chmod(0o600)
    report = case.play()
    assert not report.same
    assert not report.beside
    assert sorted(report.new) == [b"empty", b"link", b"plots", b"plots/p.png"]
    assert sorted(report.changed) == [b"fit.R", b"out/a", b"table.csv"]
    assert describe(case.home) == describe(case.work)


def test_playing_back_again_finds_everything_the_same(case):
    make(case.work, {"plots": {"p.png": b"png"}, "link": Link(b"plots")})
    (case.work / "table.csv").write_bytes(b"new\n")
    (case.home / "table.csv").write_bytes(b"mine\n")
    case.play()
    before = describe(case.home)
    report = case.play()
    assert report == PlaybackReport(same=[b"link", b"plots", b"plots/p.png", b"table.csv"])
    assert describe(case.home) == before


def test_a_file_edited_at_home_stays_and_the_result_lands_beside(case):
    (case.work / "table.csv").write_bytes(b"new\n")
    (case.home / "table.csv").write_bytes(b"mine\n")
    report = case.play()
    assert report == PlaybackReport(beside=[(b"table.csv", b"table.from-k7m2q9x.csv")])
    assert (case.home / "table.csv").read_bytes() == b"mine\n"
    assert (case.home / "table.from-k7m2q9x.csv").read_bytes() == b"new\n"


def test_a_name_beside_that_is_taken_is_never_overwritten(case):
    (case.work / "table.csv").write_bytes(b"new\n")
    taken = {
        "table.csv": b"mine\n",
        "table.from-k7m2q9x.csv": b"keep\n",
        "table.from-k7m2q9x-2.csv": b"too\n",
    }
    for name, content in taken.items():
        (case.home / name).write_bytes(content)
    report = case.play()
    assert report.beside == [(b"table.csv", b"table.from-k7m2q9x-3.csv")]
    assert {name: (case.home / name).read_bytes() for name in taken} == taken


def test_a_new_result_does_not_replace_a_file_that_appeared_at_home(case):
    make(case.work, {"model.tar.gz": b"theirs"})
    make(case.home, {"model.tar.gz": b"mine"})
    assert case.play().beside == [(b"model.tar.gz", b"model.from-k7m2q9x.tar.gz")]


def test_the_same_edit_on_both_sides_is_the_same(case):
    for side in (case.work, case.home):
        (side / "table.csv").write_bytes(b"agreed\n")
    assert case.play() == PlaybackReport(same=[b"table.csv"])


def test_a_result_that_was_deleted_at_home_comes_back(case):
    (case.work / "out" / "a").write_bytes(b"2")
    (case.home / "out" / "a").unlink()
    (case.home / "out").rmdir()
    assert case.play() == PlaybackReport(new=[b"out/a"])
    assert (case.home / "out" / "a").read_bytes() == b"2"


def test_a_mode_that_the_task_changed_does_not_bring_an_old_content_beside(case):
    (case.work / "fit.R").chmod(0o755)
    (case.home / "fit.R").write_bytes(b"edited at home")
    assert case.play() == PlaybackReport(same=[b"fit.R"])
    assert (case.home / "fit.R").read_bytes() == b"edited at home"


def test_a_file_where_a_directory_should_be_moves_the_whole_directory_beside(case):
    make(case.work, {"plots": {"p.png": b"png", "deep": {"q": b"q"}}})
    make(case.home, {"plots": b"a file of mine"})
    report = case.play()
    assert report.beside[0] == (b"plots", b"plots.from-k7m2q9x")
    assert (case.home / "plots").read_bytes() == b"a file of mine"
    assert (case.home / "plots.from-k7m2q9x/deep/q").read_bytes() == b"q"
    before = describe(case.home)
    case.play()
    assert describe(case.home) == before


def test_a_directory_where_a_file_should_be_stays(case):
    make(case.work, {"model": b"theirs"})
    make(case.home, {"model": {"mine": b"1"}})
    assert case.play().beside == [(b"model", b"model.from-k7m2q9x")]
    assert (case.home / "model" / "mine").read_bytes() == b"1"


def test_nothing_is_written_through_a_link(case):
    make(case.root, {"outside": {"table": b"precious"}})
    make(case.work, {"plots": {"table": b"theirs"}, "single": b"theirs"})
    (case.home / "plots").symlink_to(case.root / "outside")
    (case.home / "single").symlink_to(case.root / "outside" / "table")
    report = case.play()
    assert describe(case.root / "outside") == {b"table": ("-rw-r--r--", b"precious")}
    assert (case.home / "plots.from-k7m2q9x/table").read_bytes() == b"theirs"
    assert (b"single", b"single.from-k7m2q9x") in report.beside


def test_a_link_that_home_wrote_absolutely_still_counts_as_what_was_sent(tmp_path):
    case = Case(tmp_path, HOME)
    (case.home / "latest").unlink()
    (case.home / "latest").symlink_to(case.home / "table.csv")
    (case.work / "latest").unlink()
    (case.work / "latest").symlink_to("out/a")
    assert case.play() == PlaybackReport(changed=[b"latest"])
    assert os.readlink(case.home / "latest") == "out/a"


def test_a_directory_without_write_permission_is_filled_and_keeps_its_mode(case):
    make(case.work, {"ro": {"x": b"1"}})
    (case.work / "ro").chmod(0o555)
    case.play()
    assert describe(case.home)[b"ro"][0] == "dr-xr-xr-x"
    assert (case.home / "ro" / "x").read_bytes() == b"1"


def test_results_can_go_to_any_other_directory(case):
    make(case.work, {"d": {"x": b"1"}})
    (case.work / "table.csv").write_bytes(b"new\n")
    target = case.root / "some" / "where"
    report = case.play(target, Manifest())
    assert sorted(report.new) == [b"d", b"d/x", b"table.csv"]
    assert sorted(case.play(target, Manifest()).same) == sorted(report.new)


def test_the_same_content_in_many_places_is_fetched_once(case):
    make(case.work, {f"copy{number}": b"same" * 100 for number in range(5)})
    fetched = []

    class Counting(BlobFiles):
        def fetch(self, digests):
            fetched.extend(digests)
            return super().fetch(digests)

    case.blobs = Counting(case.root / "blobs")
    assert len(case.play().new) == 5
    assert len(fetched) == 1


def test_a_corrupt_result_leaves_what_was_there(case):
    (case.work / "table.csv").write_bytes(b"new\n")
    results = case.results()

    class Corrupt:
        def fetch(self, digests):
            return (Blob(digest, Codec.RAW, (b"bad!",)) for digest in digests)

        def get_manifest(self, digest):
            raise NotImplementedError

    before = describe(case.home)
    with pytest.raises(BlobCorruptError):
        play_back(results, case.snapshot, Corrupt(), case.home, label="k7m2q9x", lock_dir=case.root / "locks")
    assert describe(case.home) == before


def test_an_edit_while_results_are_on_their_way_is_kept(case):
    (case.work / "table.csv").write_bytes(b"new\n")
    make(case.work, {"fresh": b"theirs"})

    class Slow(BlobFiles):
        def fetch(self, digests):
            (case.home / "table.csv").write_bytes(b"mine\n")
            (case.home / "fresh").write_bytes(b"mine")
            return super().fetch(digests)

    case.blobs = Slow(case.root / "blobs")
    report = case.play()
    assert sorted(report.beside) == [
        (b"fresh", b"fresh.from-k7m2q9x"),
        (b"table.csv", b"table.from-k7m2q9x.csv"),
    ]
    assert (case.home / "table.csv").read_bytes() == b"mine\n"
    assert (case.home / "table.from-k7m2q9x.csv").read_bytes() == b"new\n"
    assert (case.home / "fresh").read_bytes() == b"mine"


def test_two_at_once_bring_everything_once(case):
    make(case.work, {f"f{number}": b"%d" % number for number in range(200)})
    (case.work / "table.csv").write_bytes(b"new\n")
    results, reports = case.results(), []

    def collect() -> None:
        reports.append(
            play_back(
                results, case.snapshot, case.blobs, case.home, label="k7m2q9x", lock_dir=case.root / "locks"
            )
        )

    threads = [threading.Thread(target=collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert describe(case.home) == describe(case.work)
    assert sorted(len(report.same) for report in reports) == [0, 201, 201, 201]
    assert not any(report.beside for report in reports)


KILLED = """
import os, sys
from pathlib import Path
from offload.model.manifest import decode_manifest, Manifest
from offload.snapshot.playback import play_back
from offload.store.blobs import BlobFiles
root, calls = Path(sys.argv[1]), int(sys.argv[2])
def count(event, args):
    global calls
    if event in ("os.link", "os.rename", "os.remove", "os.chmod", "os.mkdir", "open"):
        calls -= 1
        if calls == 0:
            os._exit(9)
sys.addaudithook(count)
results, snapshot = (decode_manifest((root / name).read_bytes()) for name in ("results", "snapshot"))
blobs = BlobFiles(root / "blobs")
play_back(results, snapshot, blobs, root / "home", label="k7m2q9x", lock_dir=root / "locks")
"""


def test_killed_at_any_step_a_play_back_leaves_whole_files_and_the_next_one_finishes(tmp_path):
    killed = 0
    for step in range(12, 200, 3):
        case = Case(tmp_path / str(step), HOME)
        make(case.work, {"plots": {"p.png": b"png" * 100, "q.png": b"png" * 100}, "t": b"1"})
        (case.work / "table.csv").write_bytes(b"new\n")
        (case.root / "results").write_bytes(case.results().encode())
        (case.root / "snapshot").write_bytes(case.snapshot.encode())
        before, wanted = describe(case.home), describe(case.work)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, case.root, str(step)], capture_output=True, check=False
        )
        for path, (_, content) in describe(case.home).items():
            if b".offload-k7m2q9x-" not in path:
                assert content in {side[path][1] for side in (before, wanted) if path in side}
        case.play()
        assert describe(case.home) == describe(case.work)
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
        killed += 1
    assert killed > 5


UNWRITABLE = """
import sys
from pathlib import Path
from offload.errors import PlaybackError
from offload.model.manifest import Manifest, decode_manifest
from offload.snapshot.playback import play_back
from offload.store.blobs import BlobFiles
root = Path(sys.argv[1])
try:
    play_back(
        decode_manifest((root / "results").read_bytes()), Manifest(), BlobFiles(root / "blobs"),
        Path(sys.argv[2]), label="k7m2q9x", lock_dir=root / "locks",
    )
except PlaybackError as error:
    print(error.sentence, error.next_step, sep="|")
"""


def test_a_directory_that_can_not_be_written_is_told_with_the_way_out():
    with tempfile.TemporaryDirectory() as directory:
        case = Case(Path(directory), {})
        make(case.work, {"x": b"1"})
        (case.root / "results").write_bytes(case.results().encode())
        subprocess.run(["chmod", "-R", "a+rwX", directory], check=True)
        case.home.chmod(0o555)
        done = run_unprivileged(UNWRITABLE, case.root, case.home)
        case.home.chmod(0o755)
        assert done.stdout == (
            f"1 of 1 results can't be written in {case.home}: x (Permission denied).|"
            "Nothing is lost: let them be written, then run offload collect k7m2q9x\n"
            "Or bring all of them elsewhere: offload collect k7m2q9x --to DIR\n"
        ), done.stderr


def test_what_can_not_be_written_keeps_no_other_result_from_coming_home():
    with tempfile.TemporaryDirectory() as directory:
        case = Case(Path(directory), {"sub": {}})
        results = {"again": b"s", "res": b"r", "ro": {"e": b"e"}, "sub": {"s": b"s", "deep": {"d": b"d"}}}
        make(case.work, results)
        (case.work / "ro").chmod(0o555)
        (case.root / "results").write_bytes(case.results().encode())
        subprocess.run(["chmod", "-R", "a+rwX", directory], check=True)
        (case.home / "sub").chmod(0o555)
        done = run_unprivileged(UNWRITABLE, case.root, case.home)
        assert done.stdout.splitlines()[0] == (
            f"3 of 7 results can't be written in {case.home}: sub/deep (Permission denied), "
            "sub/deep/d (Permission denied), sub/s (Permission denied).|"
            "Nothing is lost: let them be written, then run offload collect k7m2q9x"
        ), done.stderr
        there = describe(case.home)
        assert {path: there[path][1] for path in (b"again", b"res", b"ro/e")} == {
            b"again": b"s", b"res": b"r", b"ro/e": b"e",
        }  # fmt: skip
        assert stat.S_IMODE((case.home / "ro").stat().st_mode) == 0o555
        assert set(there) == {b"again", b"res", b"ro", b"ro/e", b"sub"}


@pytest.mark.parametrize("refused", ["a", "z"])
def test_a_content_reaches_its_other_places_when_one_is_refused(refused):
    with tempfile.TemporaryDirectory() as directory:
        case = Case(Path(directory), {refused: {}})
        make(case.work, {refused: {"x": b"same"}, "m": b"same", "n": b"same"})
        (case.root / "results").write_bytes(case.results().encode())
        subprocess.run(["chmod", "-R", "a+rwX", directory], check=True)
        (case.home / refused).chmod(0o555)
        done = run_unprivileged(UNWRITABLE, case.root, case.home)
        assert f"1 of 3 results can't be written in {case.home}: {refused}/x" in done.stdout, done.stderr
        assert set(describe(case.home)) == {b"m", b"n", refused.encode()}


FULL = """
import os, sys
from pathlib import Path
from offload.errors import DiskFullError
from offload.model.manifest import Manifest, decode_manifest
from offload.snapshot.playback import play_back
from offload.store.blobs import BlobFiles
root, home = Path(sys.argv[1]), Path("/mnt/home")
def play():
    results = decode_manifest((root / "results").read_bytes())
    blobs = BlobFiles(root / "blobs")
    return play_back(results, Manifest(), blobs, home, label="k7m2q9x", lock_dir=root / "locks")
home.mkdir()
(home / "ballast").write_bytes(bytes(900_000))
try:
    play()
except DiskFullError as error:
    print(error.sentence, error.next_step, sorted(error.details["missing"]), sep="|")
print(sorted(os.listdir(home)))
(home / "ballast").unlink()
report = play()
print(sorted(report.new + report.same), (home / "big").stat().st_size)
"""


def test_a_full_disk_says_what_is_missing_and_the_next_play_back_brings_it(case):
    make(case.work, {"a": b"small", "big": os.urandom(500_000)})
    (case.root / "results").write_bytes(case.results().encode())
    done = run_on_a_full_disk(FULL, case.root)
    assert done.stdout.splitlines() == [
        (
            "There is no space left in /mnt/home; 1 results (500 kB) are missing: big.|"
            "Nothing is lost: free space, then run offload collect k7m2q9x|['big']"
        ),
        "['a', 'ballast']",
        "[b'a', b'big'] 500000",
    ], done.stderr


def test_names_beside_fit_into_a_directory_entry():
    for name in (b"x" * 255, b"." + b"x" * 254, b"x" * 250 + b".csv", b"x.tar.gz", b".profile", b"d/e.f/g"):
        first, second = (next(names) for names in [beside_names(name, "k7m2q9x")] * 2)
        assert first != second
        assert len(os.path.basename(first)) <= 255
        assert os.path.dirname(first) == os.path.dirname(name)
    assert next(beside_names(b".profile", "j")) == b".profile.from-j"
    assert next(beside_names(b"d/e.f/g", "j")) == b"d/e.f/g.from-j"


@settings(max_examples=60, deadline=None)
@given(trees(b"a", b"b"), trees(b"a", b"b"), trees(b"a", b"b"))
def test_whatever_home_and_task_did_nothing_of_home_is_lost_and_every_result_is_somewhere(sent, made, mine):
    with tempfile.TemporaryDirectory() as directory:
        case = Case(Path(directory), sent)
        for side, tree in ((case.work, made), (case.home, mine)):
            subprocess.run(["rm", "-rf", *side.iterdir()], check=True)
            make(side, tree)
        snapshot = {entry.path: entry for entry in case.snapshot.entries}
        results, report, before = case.results(), case.play(), describe(case.home)
        again = case.play()
        assert describe(case.home) == before
        assert not again.new
        assert not again.changed
        contents = {content for mode, content in before.values() if mode.startswith("-")}
        for entry in results.entries:
            if entry.digest:
                assert entry.digest in {digest_of(content) for content in contents}
        for node in walk(os.fsencode(case.home)).nodes:
            assert node.path in before
        for path, (mode, content) in make_and_describe(mine).items():
            untouched = before.get(path, ("", b""))[1] == content and before[path][0][0] == mode[0]
            as_sent = path in snapshot and snapshot[path].digest == digest_of(content)
            assert untouched or (as_sent and path in report.changed)


def make_and_describe(tree):
    with tempfile.TemporaryDirectory() as directory:
        make(directory, tree)
        return describe(directory)
