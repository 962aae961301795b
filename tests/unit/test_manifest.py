"""A manifest names what a directory holds, in one form only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import ManifestInvalidError
from offload.model.manifest import HEADER, Entry, Kind, Manifest, decode_manifest, digest_of, parents

DIGEST = digest_of(b"")
NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda name: name not in (b".", b"..") and not {0, 47} & {*name}
)


def entry(path: bytes) -> st.SearchStrategy[Entry]:
    modes, sizes = st.integers(0, 0o777), st.integers(0, 1 << 50)
    return st.one_of(
        st.tuples(modes, sizes).map(lambda drawn: Entry(path, Kind.FILE, *drawn, DIGEST)),
        modes.map(lambda mode: Entry(path, Kind.DIRECTORY, mode)),
        st.tuples(modes, NAMES).map(lambda drawn: Entry(path, Kind.LINK, drawn[0], target=drawn[1])),
    )


@given(st.sets(NAMES).flatmap(lambda names: st.tuples(*map(entry, sorted(names)))))
def test_a_manifest_of_any_names_is_read_back(entries):
    manifest = Manifest.of(reversed(entries))
    assert decode_manifest(manifest.encode()) == manifest


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_as_an_invalid_manifest(data):
    try:
        manifest = decode_manifest(HEADER + data)
    except ManifestInvalidError:
        return
    assert manifest.encode() == HEADER + data


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"f 644 0 {DIGEST[7:]} ../x", "outside its root"),
        (f"f 644 0 {DIGEST[7:]} /x", "outside its root"),
        (f"f 644 0 {DIGEST[7:]} a//x", "outside its root"),
        (f"f 644 0 {DIGEST[7:]} a/./x", "outside its root"),
        (f"f 644 0 {DIGEST[7:]} x%00", "outside its root"),
        ("f 644 0 - x", "needs a digest"),
        (f"d 755 0 {DIGEST[7:]} x", "needs a digest"),
        (f"f 644 0 {DIGEST[7:].upper()} x", "needs a digest"),
        ("f 644 0 ../../../../../../../../../../../../../../../../../../../../etc/pw x", "needs a digest"),
        ("l 777 0 - x ", "needs a target"),
        ("l 777 0 - x a%00b", "needs a target"),
        (f"f 4755 0 {DIGEST[7:]} x", "impossible mode"),
        ("d 755 7 - x", "impossible mode"),
        (f"f 644 -1 {DIGEST[7:]} x", "impossible mode"),
        (f"f 0644 0 {DIGEST[7:]} x", "canonical"),
        (f"f 644 0 {DIGEST[7:]} %78", "canonical"),
        ("s 644 0 - x", "malformed"),
        ("l 777 0 - x", "malformed"),
    ],
)
def test_a_line_that_would_never_be_written_is_refused(line, why):
    with pytest.raises(ManifestInvalidError, match=why):
        decode_manifest(HEADER + line.encode() + b"\n")


@pytest.mark.parametrize("above", [f"f 644 0 {DIGEST[7:]} a", "l 777 0 - a /etc"])
def test_nothing_lies_below_a_file_or_a_link(above):
    lines = [above, "d 755 0 - a-b", f"f 644 0 {DIGEST[7:]} a/b/c"]
    with pytest.raises(ManifestInvalidError, match="below a file or a link"):
        decode_manifest(HEADER + "\n".join([*lines, ""]).encode())


def test_paths_are_sorted_and_unique():
    lines = ["d 755 0 - b", "d 755 0 - a"]
    for bad in (lines, ["d 755 0 - a"] * 2):
        with pytest.raises(ManifestInvalidError, match="sorted"):
            decode_manifest(HEADER + "\n".join([*bad, ""]).encode())


def test_the_directories_above_a_path_come_outermost_first():
    assert parents(b"a/b/c") == [b"a", b"a/b"]
    assert parents(b"a") == []
