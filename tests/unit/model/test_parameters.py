"""Parameters: grids, how they are written, and how a task gets to know its values."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import UsageError
from offload.model.grid import parse_axis
from offload.model.parameters import Axis, Parameters, Table, fill, mentioned, name_mistakes, uses_any
from offload.model.placement import DEFAULT_PLACE, own_folder, pattern_mistakes, place_of


def values(text: str) -> list[str]:
    axis = parse_axis(text)
    return [axis.value(number) for number in range(len(axis))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=0.1,0.01", ["0.1", "0.01"]),
        ("seed=1:4", ["1", "2", "3", "4"]),
        ("n=10:30:10", ["10", "20", "30"]),
        ("n=10:31:10", ["10", "20", "30"]),
        ("n=3:1:-1", ["3", "2", "1"]),
        ("n=-2:0", ["-2", "-1", "0"]),
        ("n=1:3,10", ["1", "2", "3", "10"]),
        ("n=1:2,a", ["1", "2", "a"]),
        ("n=007,1:2", ["007", "1", "2"]),
        ("where=s3://bucket/a,b=c", ["s3://bucket/a", "b=c"]),
    ],
)
def test_an_axis_has_the_values_that_were_written(text, expected):
    assert values(text) == expected


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 40), st.integers(1, 7)), min_size=1, max_size=4)
)
def test_every_range_gives_the_numbers_that_counting_gives(parts):
    text = "n=" + ",".join(f"{first}:{first + more}:{step}" for first, more, step in parts)
    counted = [str(number) for first, more, step in parts for number in range(first, first + more + 1, step)]
    if len(set(counted)) == len(counted):
        assert values(text) == counted
    else:
        with pytest.raises(UsageError, match="a value appears twice"):
            parse_axis(text)


def test_every_mistake_of_a_grid_has_its_caret():
    with pytest.raises(UsageError) as caught:
        parse_axis("2x=1:0,,0.1:0.5,1:5:0")
    assert caught.value.sentence == (
        "The grid is not valid: '2x' can't be the name of a parameter: "
        "letters, digits and _ can, a digit not first.\n"
        "  2x=1:0,,0.1:0.5,1:5:0\n"
        "  ^^\n"
        "this range is empty; to count down, write 1:0:-1.\n"
        "  2x=1:0,,0.1:0.5,1:5:0\n"
        "     ^^^\n"
        "here is no value.\n"
        "  2x=1:0,,0.1:0.5,1:5:0\n"
        "         ^\n"
        "a range is of whole numbers, first:last or first:last:step; --params takes any text.\n"
        "  2x=1:0,,0.1:0.5,1:5:0\n"
        "          ^^^^^^^\n"
        "a step of 0 never ends.\n"
        "  2x=1:0,,0.1:0.5,1:5:0\n"
        "                  ^^^^^"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lr", "no `=`"),
        ("lr=", "here is no value"),
        ("=1", "can't be the name"),
        ("task=1", "'task' is reserved"),
        ("Job=1", "'Job' is reserved"),
        ("a b=1", "can't be the name"),
        ("lr=1,1", "a value appears twice"),
        ("lr=1:5,3", "a value appears twice"),
        ("n=1:99999999999", "are more than"),
        ("n=x,1:99999999999", "are more than"),
        ("n=:5", "a range is of whole numbers"),
        ("n=1:", "a range is of whole numbers"),
        ("n=1:2:3:4", "a range is of whole numbers"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(text, why):
    with pytest.raises(UsageError, match=why):
        parse_axis(text)


def test_a_text_with_colons_that_is_no_range_is_a_value():
    assert parse_axis("sep=:,a:b,::").values == (":", "a:b", "::")


def test_a_grid_is_the_product_of_its_axes_and_the_first_varies_slowest():
    grid = Parameters(grid=(parse_axis("lr=a,b"), parse_axis("seed=1:3"), parse_axis("n=5")))
    found = [tuple(grid.values_of(position).values()) for position in range(grid.count)]
    assert found == list(itertools.product(["a", "b"], ["1", "2", "3"], ["5"]))
    assert grid.names == ("lr", "seed", "n")


def test_a_grid_of_a_million_tasks_needs_no_memory_for_them():
    grid = Parameters(grid=(parse_axis("a=1:1000"), parse_axis("b=1:1000")))
    tracemalloc.start()
    assert grid.values_of(grid.count - 1) == {"a": "1000", "b": "1000"}
    assert grid.values_of(1000) == {"a": "2", "b": "1"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


def test_braces_are_filled_and_the_shells_are_left_alone():
    given_values = {"lr": "0.1"}
    assert fill("--rate={lr} ${lr} {{lr}} {other} {}", given_values) == "--rate=0.1 ${lr} {lr} {other} {}"
    assert mentioned("{lr} ${x} {{y}} {z} {} {1}") == ["lr", "z"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("{lr}", True), ("echo $OFFLOAD_PARAM_LR", True), ("{{lr}}", False), ("lr", False), ("{seed}", False)],
)
def test_an_argument_mentions_a_parameter_by_its_braces_or_its_variable(word, expected):
    assert uses_any(["python3", "fit.py", word], ["lr"]) is expected


def test_values_that_nobody_mentions_are_appended():
    axes = (Axis(name="lr", values=("0.1",)), Axis(name="seed", values=("7",)))
    values = {"lr": "0.1", "seed": "7"}
    asked = ("python3", "fit.py")
    assert Parameters(grid=axes, appended=True).command_of(asked, values) == (
        *asked, "--lr", "0.1", "--seed", "7",
    )  # fmt: skip
    assert Parameters(grid=axes).command_of((*asked, "{seed}"), values) == (*asked, "7")
    table = Table(digest="d", columns=("file",), rows=1, files="f")
    assert Parameters(table=table, appended=True).command_of(asked, {"file": "a.csv"}) == (*asked, "a.csv")


def test_names_are_checked_together():
    wrong = name_mistakes(["lr", "LR", "n", "n", "état", "state"])
    assert "'lr' and 'LR' would both be OFFLOAD_PARAM_LR." in wrong
    assert "The parameter 'n' is given more than once." in wrong
    assert any("'état' can't be the name" in sentence for sentence in wrong)
    assert any("'state' is reserved" in sentence for sentence in wrong)


def test_a_place_keeps_the_values_apart_and_below_the_directory():
    def place(value: str) -> str:
        return place_of("out/{name}/{task}", job="j", task=3, values={"name": value})

    assert place_of(DEFAULT_PLACE, job="k7m2q9x", task=3, values={}) == "results/k7m2q9x/3"
    assert place("0.1") == "out/0.1/3"
    odd = ["a/b", "a%2Fb", "..", ".", "%2E.", "", "%", ".hidden", "a\nb", "é"]
    places = [place(value) for value in odd]
    assert len(set(places)) == len(odd)
    assert all(path.count("/") == 2 and ".." not in path.split("/") for path in places)


def test_a_pattern_that_would_mix_tasks_or_leave_the_directory_is_refused():
    def wrong(pattern: str, **more) -> str:
        return " ".join(
            pattern_mistakes(pattern, ["lr", "seed"], **{"is_array": True, "unique": True, **more})
        )

    assert wrong("out/{lr}/{seed}") == ""
    assert "would mix" in wrong("out/{lr}")
    assert "would mix" in wrong("out/{lr}/{seed}", unique=False)
    assert "below the working directory" in wrong("../{task}")
    assert "below the working directory" in wrong("/tmp/{task}")
    assert "{rl} is not known; there is {job}, {task}, {lr}, {seed}." in wrong("{rl}/{task}")
    assert "has one task" in wrong("{task}", is_array=False)


def test_the_folder_of_a_job_is_known_where_there_is_one():
    assert own_folder(DEFAULT_PLACE, "k7m2q9x") == "results/k7m2q9x"
    assert own_folder("out/run-{job}/{task}", "k7m2q9x") == "out/run-k7m2q9x"
    assert own_folder("out/{task}", "k7m2q9x") is None
    assert own_folder("out/{task}-{job}", "k7m2q9x") is None
