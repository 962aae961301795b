"""config.toml is changed in one place, and nothing that a person wrote is lost."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import SettingsError
from offload.launcher.settings_text import line_of, with_cluster, without_cluster

EKS = {"backend": "kubernetes", "namespace": "analytics", "profiles": {"gpu": {"gpus": 1}}}
FILE = '''\
# My launcher.
retention = "7d"   # a week

# The large machine under the desk.
[clusters.desk]
backend = "local"
# half of it
cpus = 4

# Where the GPUs are.
[clusters.eks]
backend = "kubernetes"
namespace = "old"
pod = """
[clusters.not-a-header]
"""

[clusters.eks.profiles."g p u"]
gpus = 2
node_selector = {
}

# After all.
[clusters.last]
backend = "local"
'''.replace("{\n}", "{}")
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab .\"'\\\n#é\x7f"), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_a_cluster_is_added_at_the_end_of_a_file_that_is_otherwise_the_same():
    text = with_cluster(FILE, "new", EKS)
    assert text.startswith(FILE)
    assert text[len(FILE) :] == (
        '\n[clusters.new]\nbackend = "kubernetes"\nnamespace = "analytics"\n\n'
        "[clusters.new.profiles.gpu]\ngpus = 1\n"
    )


def test_the_first_cluster_of_an_empty_file_is_all_that_it_says():
    assert with_cluster("", "desk", {"backend": "local"}) == '[clusters.desk]\nbackend = "local"\n'


def test_a_cluster_is_replaced_where_it_stands_and_its_neighbours_keep_their_comments():
    text = with_cluster(FILE, "eks", {"backend": "kubernetes"})
    before, _, after = text.partition('[clusters.eks]\nbackend = "kubernetes"\n')
    assert before == FILE.partition("[clusters.eks]")[0]
    assert after == '\n# After all.\n[clusters.last]\nbackend = "local"\n'


def test_a_cluster_is_removed_with_its_tables_and_nothing_else():
    text = without_cluster(FILE, "eks")
    assert "# Where the GPUs are." in text
    assert "# After all." in text
    assert "# half of it" in text
    assert tomllib.loads(text)["clusters"].keys() == {"desk", "last"}
    assert without_cluster(text, "eks") == text


@pytest.mark.parametrize(
    "text",
    [
        '[clusters]\neks = { backend = "local" }\nlocal = false\n',
        'clusters.eks.backend = "local"\nclusters.local = false\n',
        '[clusters]\neks.backend = "local"\neks.cpus = 4\nlocal = false\n',
        '[clusters]\nlocal = false\n[clusters.eks]\nbackend = "local"\n[[clusters.eks.list]]\na = 1\n',
    ],
)
def test_every_way_to_write_a_table_is_understood(text):
    assert tomllib.loads(without_cluster(text, "eks")) == {"clusters": {"local": False}}
    replaced = tomllib.loads(with_cluster(text, "eks", EKS))
    assert replaced == {"clusters": {"local": False, "eks": EKS}}


def test_a_file_that_cannot_be_changed_without_touching_more_is_left_alone():
    text = 'clusters = { eks = { backend = "local" }, desk = { backend = "local" } }\n'
    with pytest.raises(SettingsError) as caught:
        with_cluster(text, "eks", EKS)
    assert "[clusters.eks]" in caught.value.next_step


@pytest.mark.parametrize("value", [None, float("nan"), [[None]]])
def test_what_toml_cannot_say_is_refused(value):
    with pytest.raises(SettingsError):
        with_cluster("", "eks", {"backend": "kubernetes", "key": value})


def test_tables_without_end_are_refused():
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(SettingsError, match="16 deep"):
        with_cluster("", "eks", deep)


@given(st.dictionaries(st.text('ab-_ ."é', min_size=1), VALUES, max_size=4))
def test_whatever_is_written_is_read_again(table):
    for text in ("", FILE):
        assert tomllib.loads(with_cluster(text, "new", table))["clusters"]["new"] == table
        replaced = with_cluster(text, "eks", table)
        assert tomllib.loads(replaced)["clusters"]["eks"] == table
        assert without_cluster(with_cluster(text, "new", table), "new").rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("retention",), 2),
        (("clusters", "desk"), 5),
        (("clusters", "desk", "cpus"), 8),
        (("clusters", "eks", "namespace"), 13),
        (("clusters", "eks", "pod"), 14),
        (("clusters", "eks", "profiles"), 18),
        (("clusters", "eks", "profiles", "g p u", "gpus"), 19),
        (("clusters", "eks", "missing"), 11),
        (("nothing",), None),
    ],
)
def test_the_line_of_a_key_is_found_also_behind_texts_of_several_lines(key, line):
    assert line_of(FILE, key) == line


def test_the_keys_of_an_inline_table_stand_on_its_line():
    text = '[clusters]\neks = { backend = "k", profiles = { gpu = { cpus = 2 } } }\n'
    assert line_of(text, ("clusters", "eks", "profiles", "gpu", "cpus")) == 2
