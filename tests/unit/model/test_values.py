"""Notations that people write."""

from __future__ import annotations

import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload import errors
from offload.model.array import MAX_TASKS, Array, parse_array
from offload.model.ids import job_of_pool, new_job_id, pool_id, pool_of_runner, runner_id, size_of_pool
from offload.model.resources import (
    format_cpus,
    format_duration,
    format_memory,
    format_size,
    parse_cpus,
    parse_duration,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("4Gi", 4 << 30),
        ("4gib", 4 << 30),
        ("4G", 4 * 10**9),
        ("1.5GB", 15 * 10**8),
        ("500 MB", 5 * 10**8),
        ("64k", 64_000),
        ("1Ti", 1 << 40),
    ],
)
def test_memory_is_read(text, size):
    assert parse_memory(text) == size


def test_sizes_of_files_are_short():
    sizes = (0, 1, 8, 999, 34_000, 1_500_000, 2e9, 3e12, 4e15)
    assert [format_size(count) for count in sizes] == [
        "0 bytes", "1 byte", "8 bytes", "999 bytes", "34 kB", "1.5 MB", "2 GB", "3 TB", "4e+03 TB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "meant"),
    [("4", "4Gi"), ("0.5", "0.5Gi"), ("1.5", "1.5Gi"), ("500", "500Mi"), (" 64000 ", "64000Mi")],
)
def test_a_forgotten_unit_is_told_with_the_one_that_was_meant(text, meant):
    with pytest.raises(errors.UsageError, match="has no unit") as caught:
        parse_memory(text)
    assert caught.value.next_step == f"Did you mean {meant}?"


@pytest.mark.parametrize("text", ["", "4X", "-1Gi", "Gi", "0", "4 4Gi", "1e9", "nan", "i", "4i"])
def test_what_is_no_memory_is_refused_with_examples(text):
    with pytest.raises(errors.UsageError) as caught:
        parse_memory(text)
    assert "4Gi" in caught.value.next_step


@pytest.mark.parametrize(("text", "cpus"), [("2", 2), ("0.5", 0.5), ("500m", 0.5), (" 8 ", 8)])
def test_cpus_are_read(text, cpus):
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "inf", "nan", "m", "1e9"])
def test_what_is_no_number_of_cpus_is_refused(text):
    with pytest.raises(errors.UsageError):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("0.5s", 0.5),
        ("30m", 1800),
        ("2h", 7200),
        ("1d12h", 129600),
        ("1h30m", 5400),
        ("2:00:00", 7200),
        ("1-00:00:10", 86410),
    ],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "h", "2x", "1:99:00", "3h2h", "400d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(errors.UsageError):
        parse_duration(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (3 << 29, "1.5 GiB")])
def test_memory_is_written(size, text):
    assert format_memory(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (4.14, "4.1s"), (200, "3m 20s"), (93600, "1d 2h"), (60, "1m")]
)
def test_durations_are_written(seconds, text):
    assert format_duration(seconds) == text


def test_cpus_are_written():
    assert [format_cpus(c) for c in (1, 2, 0.5)] == ["1 CPU", "2 CPUs", "0.5 CPUs"]


@pytest.mark.parametrize(
    ("text", "indices"),
    [("1-5", [1, 2, 3, 4, 5]), ("0-9:4", [0, 4, 8]), ("7", [7]), ("3,1,5-6", [3, 1, 5, 6])],
)
def test_arrays_are_read(text, indices):
    array = parse_array(text)
    assert list(array) == indices
    assert len(array) == len(indices)
    assert parse_array(str(array)) == array


@pytest.mark.parametrize(
    ("text", "caret"),
    [
        ("1-20,x", "       ^"),
        ("5-1", "  ^^^"),
        ("1-9:0", "  ^^^^^"),
        ("1,,2", "    ^"),
        ("1,1", "  ^^^"),
        (f"1-{MAX_TASKS + 1}", "  ^^^^^^^^^"),
        (f"1-{'9' * 18}," * 10 + "1", f"  {'^' * 211}"),
        ("9" * 5000, f"  {'^' * 5000}"),
        ("", "  ^"),
    ],
)
def test_a_bad_array_is_refused_with_a_caret_under_the_mistake(text, caret):
    with pytest.raises(errors.UsageError) as caught:
        parse_array(text)
    assert caught.value.sentence.splitlines()[-1] == caret


def test_every_mistake_in_an_array_is_told():
    with pytest.raises(errors.UsageError) as caught:
        parse_array("1-3,x,9-5")
    assert caught.value.sentence.splitlines() == [
        "The array range is not valid: this is no index and no range.",
        "  1-3,x,9-5",
        "      ^",
        "this range is empty.",
        "  1-3,x,9-5",
        "        ^^^",
    ]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(1, 3)), min_size=1, max_size=4))
def test_an_array_reads_back_as_it_is_written(parts):
    array = Array(tuple((first, first + extra, step) for first, extra, step in parts))
    if len(set(array)) == len(array):
        assert list(parse_array(str(array))) == list(array)


RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 7)), min_size=1, max_size=5
).map(lambda parts: Array(tuple((first, first + extra, step) for first, extra, step in parts)))


@given(RANGES, st.integers(-1, 120), st.integers(0, 120))
def test_what_is_asked_of_an_array_is_what_its_list_would_say(array, index, position):
    listed = list(array)
    assert (index in array) == (index in listed)
    assert array.between(position, position + 5) == listed[position : position + 5]
    assert list(array.since(position)) == listed[position:]
    assert list(array.above(index)) == sorted(one for one in listed if one > index)
    assert array.has_duplicates() == (len(set(listed)) != len(listed))


@given(st.sets(st.integers(0, 60)))
def test_an_array_of_some_indices_has_just_these(indices):
    array = Array.of(indices)
    assert list(array) == sorted(indices)
    assert not indices or parse_array(str(array)) == array


def test_an_array_of_indices_is_short():
    assert str(Array.of([9, 1, 2, 3, 4])) == "1-4,9"
    assert str(Array.of(range(5, 100, 5))) == "5-95:5"
    assert str(Array.of([1, 4])) == "1,4"


def test_a_large_array_is_looked_at_without_counting_its_tasks():
    array = parse_array(f"1-{MAX_TASKS - 1}:2,2-{MAX_TASKS}:2")
    began = time.perf_counter()
    for _ in range(100):
        assert len(array) == MAX_TASKS
        assert array.between(MAX_TASKS - 1, MAX_TASKS + 9) == [MAX_TASKS]
        assert list(islice(array.above(500_000), 3)) == [500_001, 500_002, 500_003]
        assert not array.has_duplicates()
        assert MAX_TASKS + 1 not in array.since(17)
    assert time.perf_counter() - began < 0.5


def test_names_below_a_job_are_derived_and_lead_back():
    job = new_job_id()
    pool = pool_id(job, 2)
    assert job_of_pool(pool) == job
    assert pool_of_runner(runner_id(pool, 11)) == pool
    assert size_of_pool(pool) == 2


def test_an_error_survives_the_way_through_json():
    error = errors.TooLargeForClusterError("Too large.", next_step="Ask for less.", details={"cpus": 2})
    back = errors.error_from_json(error.to_json())
    assert type(back) is errors.TooLargeForClusterError
    assert (back.sentence, back.next_step, back.details) == ("Too large.", "Ask for less.", {"cpus": 2})


def test_an_unknown_code_is_still_an_error_with_its_sentence():
    back = errors.error_from_json({"code": "from_the_future", "sentence": "Hm."})
    assert type(back) is errors.OffloadError
    assert back.sentence == "Hm."


def test_two_errors_never_share_a_code():
    with pytest.raises(TypeError, match="share the code"):
        type("Copy", (errors.OffloadError,), {"code": "usage"})
