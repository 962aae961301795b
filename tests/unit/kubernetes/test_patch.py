"""The strategic merge patch keeps its promises, whatever is patched; tests/kubernetes asks kubectl."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.backends.kubernetes.patch import MERGE_KEYS, merge

NAMES = st.sampled_from(["a", "b", "c", "task"])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | NAMES


def elements(key: str, children):
    """Lists that are merged: each element has its key, once."""
    more = st.dictionaries(st.sampled_from(["image", "value", "command"]), children, max_size=2)
    element = st.tuples(NAMES, more).map(lambda pair: {**pair[1], MERGE_KEYS[key]: pair[0]})
    return st.lists(element, max_size=3, unique_by=lambda one: one[MERGE_KEYS[key]])


def tables(children):
    plain = st.dictionaries(NAMES, children, max_size=3)
    merged = {key: elements(key, children) for key in ("containers", "env", "volumeMounts")}
    return st.builds(lambda one, other: {**one, **other}, plain, st.fixed_dictionaries({}, optional=merged))


FLAT = SCALARS | st.lists(SCALARS, max_size=2)
TABLES = tables(FLAT | tables(FLAT))
few = settings(max_examples=50, deadline=None)


@few
@given(TABLES)
def test_an_empty_patch_changes_nothing(table):
    assert merge(table, {}) == table


@few
@given(TABLES, TABLES)
def test_a_patch_applied_twice_is_a_patch_applied_once(table, patch):
    once = merge(table, patch)
    assert merge(once, patch) == once


@few
@given(TABLES, TABLES)
def test_neither_the_table_nor_the_patch_is_changed(table, patch):
    before = copy.deepcopy((table, patch))
    merged = merge(table, patch)
    merged["more"] = [1]
    assert (table, patch) == before


@few
@given(TABLES, TABLES)
def test_what_a_patch_does_not_name_stays(table, patch):
    merged = merge(table, patch)
    for key in table.keys() - patch.keys():
        assert merged[key] == table[key]


@few
@given(TABLES, TABLES)
def test_a_patch_says_the_last_word_on_what_it_names(table, patch):
    merged = merge(table, patch)
    for key, value in patch.items():
        if not isinstance(value, dict | list):
            assert merged.get(key) == value


def test_lists_with_a_key_are_merged_by_it_and_others_are_replaced():
    table = {
        "tolerations": [{"key": "a"}],
        "containers": [{"name": "task", "image": "x", "command": ["a", "b"]}, {"name": "other"}],
    }
    patch = {
        "tolerations": [{"key": "b"}],
        "containers": [{"name": "new"}, {"name": "task", "command": ["c"]}],
    }
    assert merge(table, patch) == {
        "tolerations": [{"key": "b"}],
        "containers": [{"name": "task", "image": "x", "command": ["c"]}, {"name": "other"}, {"name": "new"}],
    }


def test_directives_delete_replace_and_retain():
    table = {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}], "spec": {"x": 1, "y": 2}, "gone": 1}
    assert merge(table, {"volumes": [{"name": "a", "$patch": "delete"}]})["volumes"] == [{"name": "b"}]
    assert merge(table, {"volumes": [{"name": "c"}, {"$patch": "replace"}]})["volumes"] == [{"name": "c"}]
    assert merge(table, {"spec": {"$patch": "replace", "z": 3}})["spec"] == {"z": 3}
    assert merge(table, {"spec": {"$patch": "delete"}})["spec"] == {}
    assert merge(table, {"gone": None}) == {key: table[key] for key in ("volumes", "spec")}
    retained = {"volumes": [{"name": "a", "$retainKeys": ["name", "nfs"], "nfs": {"path": "/"}}]}
    assert merge(table, retained)["volumes"][0] == {"name": "a", "nfs": {"path": "/"}}


@pytest.mark.parametrize(
    "patch",
    [
        {"$patch": "destroy"},
        {"$deleteFromPrimitiveList/x": []},
        {"containers": [{"image": "x"}]},
        {"containers": ["task"]},
    ],
)
def test_what_is_not_understood_is_refused(patch):
    with pytest.raises(ValueError, match=r"isn't|needs"):
        merge({}, patch)
