"""Patterns that keep the places of tasks apart, and those that only look so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.model.apart import first_shared, is_plain, mixing_mistakes
from offload.model.array import Array
from offload.model.grid import parse_axis
from offload.model.parameters import Axis, Parameters, Table
from offload.model.placement import place_of


def grid(*axes: str) -> Parameters:
    return Parameters(grid=tuple(map(parse_axis, axes)))


def every(parameters: Parameters) -> Array:
    return Array(((1, parameters.count, 1),))


ROWS = Parameters(table=Table(digest="d", columns=("name", "n"), rows=9))


@pytest.mark.parametrize(
    ("pattern", "axes", "sentence"),
    [
        (
            "out/{task}{s}",
            ["s=11:1:-1"],
            "'out/{task}{s}' would put the files of tasks 1 and 11 into out/111; write 'out/{task}/{s}'.",
        ),
        (
            "u/{a}{b}",
            ["a=1,11", "b=1,11"],
            "'u/{a}{b}' would put the files of tasks 2 and 3 into u/111; write 'u/{a}/{b}'.",
        ),
        (
            "{job}/{a}-{b}",
            ["a=x,x-y", "b=y-z,z"],
            "'{job}/{a}-{b}' would put the files of tasks 1 and 4 into {job}/x-y-z; write '{job}/{a}/{b}'.",
        ),
    ],
)
def test_tasks_that_would_share_a_place_are_named_with_what_to_write(pattern, axes, sentence):
    parameters = grid(*axes)
    assert mixing_mistakes(pattern, parameters, every(parameters)) == [sentence]
    better = sentence.rpartition("write '")[2].removesuffix("'.")
    assert mixing_mistakes(better, parameters, every(parameters)) == []


def test_a_value_that_is_there_twice_makes_two_tasks_share_a_place():
    parameters = Parameters(grid=(Axis(name="a", values=("1", "2", "1")),))
    assert "tasks 1 and 3" in mixing_mistakes("{a}", parameters, every(parameters))[0]
    overlapping = Parameters(grid=(Axis(name="a", ranges=((1, 3, 1), (2, 4, 1))),))
    assert "tasks 2 and 4" in mixing_mistakes("{a}", overlapping, every(overlapping))[0]


def test_only_the_tasks_that_are_run_count():
    parameters = grid("s=11:1:-1")
    assert mixing_mistakes("out/{task}{s}", parameters, Array(((1, 10, 1),))) == []


@pytest.mark.parametrize(
    "pattern", ["{a}/{b}", "{a}-{b}", "x{b}y{a}z", "{task}-{a}{b}", "{a}{b}/{b}", "{a}_{job}_{b}"]
)
def test_a_pattern_that_shows_each_value_is_decided_without_computing_a_place(pattern):
    assert is_plain(pattern, grid("a=1:1000", "b=1:1000"))


@pytest.mark.parametrize(
    "pattern",
    ["{task}/{name}", "{name}-{task}", "{task}-{name}-{n}", "{task}", "{job}{task}", "{name}/{name}-{task}"],
)
def test_a_pattern_for_a_table_shows_the_task_whatever_is_in_the_rows(pattern):
    assert mixing_mistakes(pattern, ROWS, every(ROWS)) == []


@pytest.mark.parametrize("pattern", ["out/{task}{n}", "{name}-{task}-{n}", "{n}{task}", "{{x}}{name}9{task}"])
def test_a_pattern_for_a_table_that_may_hide_the_task_is_refused(pattern):
    (sentence,) = mixing_mistakes(pattern, ROWS, every(ROWS))
    assert "doesn't show where one value ends" in sentence
    better = sentence.rpartition("write '")[2].removesuffix("'.")
    assert "x" in pattern or mixing_mistakes(better, ROWS, every(ROWS)) == []


VALUES = st.lists(st.text("1-.%/a", max_size=3), min_size=1, max_size=4, unique=True)
PIECES = st.lists(st.sampled_from(["{a}", "{b}", "{task}", "{job}", "-", "1", "/", "%", "{{a}}"]), max_size=6)


@given(VALUES, VALUES, PIECES)
def test_what_is_said_of_a_grid_is_what_its_places_show(one, other, texts):
    pattern = "{a}".join(("x", "".join(texts), "{b}"))
    parameters = Parameters(grid=(Axis(name="a", values=tuple(one)), Axis(name="b", values=tuple(other))))
    places = {
        task: place_of(pattern, job="\0", task=task, values=parameters.values_of(task - 1))
        for task in every(parameters)
    }
    shared = [pair for pair in itertools.combinations(places, 2) if places[pair[0]] == places[pair[1]]]
    found = first_shared(pattern, parameters, every(parameters))
    assert (found is not None) == bool(shared)
    assert found is None or found[:2] in shared
    assert not (shared and is_plain(pattern, parameters))
