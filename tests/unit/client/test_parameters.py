"""Tables, files and grids as a person gives them: what they become, and every mistake at once."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import pyarrow.parquet
import pytest

from offload.cli.over import spread
from offload.client.plan import make_plan
from offload.client.tables import look_at, rows_of
from offload.errors import UsageError
from offload.model.manifest import digest_of
from offload.wire.tables import TableReader, manifest_of, parts_of


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.py").write_text("print(1)\n")
    (tmp_path / "data").mkdir()
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / "data" / name).write_text(name)
    return tmp_path


def read(here: Path, name: str, data: str | bytes) -> tuple[tuple[str, ...], list[list[str]]]:
    (here / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    found = look_at(name, here)
    rows = list(rows_of(found))
    assert len(rows) == found.rows
    return found.columns, rows


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("runs.csv", 'lr,note\r\n0.1,"a, ""b""\nc"\r\n\r\n1e-3,\r\n'),
        ("runs.csv", b'\xef\xbb\xbflr,note\n0.1,"a, ""b""\nc"\n1e-3,\n'),
        ("runs.tsv", 'lr\tnote\n0.1\t"a, ""b""\nc"\n1e-3\t\n'),
        ("runs.jsonl", '{"lr": 0.1, "note": "a, \\"b\\"\\nc"}\n\n{"note": null, "lr": 1e-3}\n'),
    ],
)
def test_every_kind_of_table_gives_the_same_rows(here, name, data):
    assert read(here, name, data) == (("lr", "note"), [["0.1", 'a, "b"\nc'], ["1e-3", ""]])


def test_json_values_stay_as_they_are_written(here):
    line = '{"a": 1.10, "b": true, "c": null, "d": "x", "e": 12345678901234567890}\n'
    assert read(here, "runs.jsonl", line)[1] == [["1.10", "true", "", "x", "12345678901234567890"]]


def sentence_of(here: Path, name: str, data: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read(here, name, data)
    return caught.value.sentence


def test_all_mistakes_of_a_table_are_told_with_their_lines(here):
    text = 'lr,lr,task,2x\n1,2,3,4\n1,2\n"a\nb",2,3,4,5\n"x\0",2,3,4\n'
    assert sentence_of(here, "runs.csv", text).splitlines() == [
        "runs.csv is not a table of parameters:",
        "  line 1 names the parameters: 'task' is reserved: tables and results call something else so.",
        (
            "  line 1 names the parameters: '2x' can't be the name of a parameter: "
            "letters, digits and _ can, a digit not first."
        ),
        "  line 1 names the parameters: The parameter 'lr' is given more than once.",
        "  line 3 has 2 values for 4 parameters.",
        "  line 4 has 5 values for 4 parameters.",
        "  line 6 has a NUL character, which no variable can hold.",
    ]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("runs.csv", "", "line 1 is empty"),
        ("runs.csv", "lr,n\n", "it has no row of values, so there is no task."),
        ("runs.csv", "lr;n\n1;2\n", "values are separated by commas"),
        ("runs.csv", "lr,n\n1,é\n".encode("latin-1"), "line 2 isn't UTF-8"),
        ("runs.csv", 'lr\n1\n"2\n', "line 3 is no CSV"),
        ("runs.csv", f"lr\n{'x' * 100_001}\n", "larger than 100,000 bytes"),
        ("runs.jsonl", '{"a": 1}\n{"b": 1}\n', "line 2 lacks 'a'"),
        ("runs.jsonl", '{"a": 1}\n{"a": 1, "b": 2}\n', "line 2 has, unlike the first row, 'b'"),
        ("runs.jsonl", '{"a": 1}\n[1]\n', "line 2 is no JSON object"),
        (
            "runs.jsonl",
            '{"a": 1}\n{"a": \n',
            "  line 2 is no JSON: Expecting value, at character 6.",
        ),
        ("runs.jsonl", "[" * 100_000, "line 1 is nested too deeply."),
        ("runs.jsonl", '{"a": {"b": 1}}\n', "has a list or an object in 'a'"),
        ("runs.jsonl", '{"a": [{"b": 1}]}\n', "has a list or an object in 'a'"),
        ("runs.jsonl", '{"a": 1, "a": 2}\n', "given more than once"),
        ("runs.jsonl", '{"a": "\\ud800"}\n', "isn't valid Unicode"),
        ("runs.xlsx", "", "is no kind of table"),
    ],
)
def test_a_table_that_is_not_in_order_is_refused(here, name, data, why):
    assert why in sentence_of(here, name, data)


def test_a_table_that_is_not_there_is_told(here):
    with pytest.raises(UsageError, match=r"runs.csv can't be read: No such file"):
        look_at("runs.csv", here)


def test_only_the_first_mistakes_are_told_one_by_one(here):
    sentence = sentence_of(here, "runs.csv", "a,b\n" + "1\n" * 30)
    assert sentence.count("has 1 value for") == 20
    assert "and 10 more mistakes" in sentence


def test_a_parquet_file_without_its_package_says_what_to_install(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (here / "runs.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="isn't installed") as caught:
        look_at("runs.parquet", here)
    assert "pip install pyarrow" in caught.value.next_step


def test_the_rows_of_a_parquet_file_are_read_as_text(here):
    columns = {"n": [1, 2, 3], "x": [0.5, None, 1e-3], "on": [True, False, None], "word": ["a", "b c", "ü"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), here / "runs.parquet")
    found = look_at("runs.parquet", here)
    assert (found.rows, found.columns) == (3, ("n", "x", "on", "word"))
    assert list(rows_of(found)) == [
        ["1", "0.5", "true", "a"],
        ["2", "", "false", "b c"],
        ["3", "0.001", "", "ü"],
    ]


def test_a_parquet_file_that_is_none_is_told(here):
    (here / "runs.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError) as caught:
        look_at("runs.parquet", here)
    (line,) = caught.value.sentence.splitlines()[1:]
    assert line.startswith("  it can't be read: ")
    assert line.endswith(".")
    assert not line.endswith("..")


def test_mistakes_in_a_parquet_file_are_of_rows_and_columns(here):
    columns = {"task": ["a", "b"], "x": ["c", "d\0"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), here / "runs.parquet")
    with pytest.raises(UsageError) as caught:
        look_at("runs.parquet", here)
    first, second = caught.value.sentence.splitlines()[1:]
    assert first.startswith("  it names the parameters: 'task' is reserved")
    assert second == "  row 2 has a NUL character, which no variable can hold."


@pytest.mark.parametrize(
    ("name", "data", "step"),
    [
        ("runs.tsv", b"", "its first line names the parameters, and each other line is a task."),
        ("runs.ndjson", b"", "each line is a task, an object with a value for each parameter."),
        ("runs.parquet", b"PAR1", "its columns are the parameters, and each row is a task."),
    ],
)
def test_how_a_table_is_corrected_depends_on_its_kind(here, name, data, step):
    (here / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        look_at(name, here)
    assert caught.value.next_step == f"Correct the file; {step}"


def test_a_large_table_is_never_in_memory(here):
    with (here / "runs.csv").open("w") as file:
        file.write("a,b\n")
        for number in range(100_000):
            file.write(f"{number},{'x' * 90}\n")
    stored: dict[str, int] = {}
    tracemalloc.start()
    found = look_at("runs.csv", here)
    for entry, data in parts_of(rows_of(found)):
        stored[entry.digest] = len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.rows, len(stored)) == (100_000, 40)
    assert peak < 3_000_000


def test_any_row_of_a_table_is_found_by_a_look_at_one_part():
    rows = [[str(number), "x" * 50] for number in range(10_000)]
    parts = list(parts_of(rows))
    blobs = {entry.digest: data for entry, data in parts}
    asked: list[str] = []

    def fetch(digests):
        from offload.model.blobs import Blob, Codec  # noqa: PLC0415

        asked.extend(digests)
        return iter([Blob(digest, Codec.RAW, (blobs[digest],)) for digest in digests])

    manifest = manifest_of(entry for entry, _ in parts)
    reader = TableReader(manifest, fetch)
    assert [reader.row(position) for position in (9_999, 0, 1, 5_000)] == [
        rows[9_999],
        rows[0],
        rows[1],
        rows[5_000],
    ]
    assert len(asked) == 3
    assert digest_of(manifest) == digest_of(manifest_of(entry for entry, _ in reversed(parts)))


def plan(*words: str, **options: object):
    given = [
        (name, text)
        for name, value in options.items()
        for text in (value if isinstance(value, list) else [value])
    ]
    return make_plan(list(words), options=given)


def test_the_files_of_over_are_patterns_or_paths_each_once(here):
    made = plan("fit.py", over=["data/*.csv", "data/b.csv", "data/c.txt"])
    assert made.variation.files == (
        ("data/a.csv", "data/a.csv"), ("data/b.csv", "data/b.csv"), ("data/c.txt", "data/c.txt"),
    )  # fmt: skip
    assert made.variation.parameters.appended


def test_a_file_is_named_from_where_the_task_starts(here, monkeypatch):
    monkeypatch.chdir(here / "data")
    made = make_plan(["../fit.py"], options=[("over", "a.csv")], root=here)
    assert made.variation.files == (("a.csv", "data/a.csv"),)


def test_every_mistake_in_the_files_is_told(here):
    with pytest.raises(UsageError) as caught:
        plan("fit.py", over=["data", "nothing.csv", "data/*.gz", "fit.py", "/etc/passwd"])
    for part in (
        "data is a directory",
        "there is no file nothing.csv",
        "no file matches data/*.gz",
        "fit.py is the script itself",
        "lies outside",
    ):
        assert part in caught.value.sentence


def test_what_says_the_tasks_can_not_be_said_twice(here):
    with pytest.raises(UsageError) as caught:
        plan("fit.py", array="1-3", over="data/a.csv")
    assert caught.value.sentence == (
        "--array and --over can't go together: each of them says what the tasks are."
    )
    (here / "fit.py").write_text("# offload: grid=lr=1,2 array=1-3\n")
    with pytest.raises(UsageError) as caught:
        plan("fit.py")
    assert caught.value.sentence == (
        "array in line 1 of fit.py and grid in line 1 of fit.py can't go together: "
        "each of them says what the tasks are."
    )


def test_a_parameter_of_the_command_line_wins_over_that_of_the_script(here):
    (here / "fit.py").write_text("# offload: grid=lr=1,2 grid=seed=1:3\n")
    made = plan("fit.py", grid="lr=5")
    assert made.variation.parameters.values_of(2) == {"lr": "5", "seed": "3"}
    with pytest.raises(UsageError, match="'lr' is given more than once"):
        plan("fit.py", grid=["lr=5", "lr=6"])


def test_an_argument_that_mentions_no_known_parameter_is_refused_with_the_names(here):
    with pytest.raises(UsageError) as caught:
        plan("fit.py", "--rate", "{rl}", "{{text}}", "${HOME}", grid=["lr=1,2", "seed=1:2"])
    assert caught.value.sentence == (
        "An argument mentions {rl}, but no parameter is called so; there is lr, seed."
    )
    assert caught.value.next_step == "Did you mean {lr}? To mean the text itself, write {{rl}}."


def test_nothing_is_appended_where_an_argument_mentions_a_parameter_or_the_script_takes_none(here):
    (here / "book.ipynb").write_text(json.dumps({"cells": []}))
    assert plan("fit.py", grid="lr=1,2").variation.parameters.appended
    assert not plan("fit.py", "{lr}", grid="lr=1,2").variation.parameters.appended
    assert not plan("book.ipynb", grid="lr=1,2").variation.parameters.appended


def test_a_grid_of_more_tasks_than_there_can_be_is_refused(here):
    with pytest.raises(UsageError) as caught:
        plan("fit.py", grid=[f"{name}=1:100000" for name in "ab"])
    assert caught.value.sentence == "The grid makes 10,000,000,000 tasks; a job has at most 1,000,000."
    with pytest.raises(
        UsageError, match=r"9,999,999,999,999,999,990 values are more than the 1,000,000 tasks"
    ):
        plan("fit.py", grid="a=" + ",".join(10 * [f"1:{10**18 - 1}"]))


def test_a_table_of_more_rows_than_there_can_be_tasks_is_refused(here):
    with pytest.raises(UsageError, match=r"runs.csv has 1,000,001 rows; a job has at most 1,000,000 tasks"):
        read(here, "runs.csv", "a\n" + "1\n" * 1_000_001)


@pytest.mark.parametrize("key", ["max-running", "fail-fast", "keep-going"])
def test_what_is_said_of_many_tasks_for_a_job_of_one_is_refused_unless_the_script_says_it(here, key):
    text = "yes" if key == "keep-going" else "2"
    with pytest.raises(UsageError, match=rf"--{key}: it says .*, and this job has one task"):
        plan("fit.py", **{key: text})
    assert plan("fit.py", **{key: text, "array": "1"})
    assert plan("fit.py", **{key: text, "grid": "a=1"})
    (here / "fit.py").write_text(f"# offload: {key}={text}\n")
    assert plan("fit.py")


def test_a_place_for_results_is_checked_with_the_names_of_the_parameters(here):
    assert plan("fit.py", grid="lr=1,2", results="out/{lr}").settings.results == "out/{lr}"
    with pytest.raises(
        UsageError, match=r"--results: \{l\} is not known; there is \{job\}, \{task\}, \{lr\}"
    ):
        plan("fit.py", grid="lr=1,2", results="out/{l}/{task}")
    with pytest.raises(UsageError, match="this job has one task"):
        plan("fit.py", results="out/{task}")
    with pytest.raises(UsageError, match=r"--results: .* files of tasks 1 and 11 into out/111; write"):
        plan("fit.py", grid="s=11:1:-1", results="out/{task}{s}")
    (here / "runs.csv").write_text("s\n1\n11\n")
    with pytest.raises(
        UsageError, match=r"may mix the files of different tasks.* write 'out/\{task\}/\{s\}'"
    ):
        plan("fit.py", params="runs.csv", results="out/{task}{s}")


OPTIONS = {"--over": True, "--cpus": True, "-d": False}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--over a.csv b.csv -- clean.R x", "--over a.csv --over b.csv clean.R x"),
        ("--over a.csv b.csv clean.R --over x", "--over a.csv --over b.csv clean.R --over x"),
        ("--over a.csv b.csv -- wc -l", "--over a.csv --over b.csv -- wc -l"),
        ("--over a.R b.R -- check.py", "--over a.R --over b.R check.py"),
        ("--over a.R b.R check.py", "--over a.R --over b.R check.py"),
        ("--over a.csv b.csv --cpus 2 clean.R", "--over a.csv --over b.csv --cpus 2 clean.R"),
        ("--cpus 2 --over=d/*.csv -d clean.R", "--cpus 2 --over=d/*.csv -d clean.R"),
        ("--cpus 2 -- prog --over a b", "--cpus 2 -- prog --over a b"),
        ("-- clean.R", "-- clean.R"),
        ("--over -1.csv -- clean.R", "--over -1.csv clean.R"),
        ("--cpus -1 -- prog", "--cpus -1 -- prog"),
    ],
)
def test_the_shells_list_of_files_ends_at_the_script(line, expected):
    assert spread(line.split(), OPTIONS) == expected.split()


@pytest.mark.parametrize(
    ("line", "sentence", "step"),
    [
        ("--over", "--over names no file: nothing follows. Has a pattern", "--over 'data/*.csv' -- clean.R"),
        (
            "--over -- clean.R",
            "--over names no file: what follows is --. Has a pattern",
            "offload run --over",
        ),
        (
            "--over --cpus 2 clean.R",
            "--over names no file: what follows is --cpus. Has",
            "offload run --over",
        ),
        ("-d --cpus", "--cpus has no value: nothing follows.", "See: offload run --help"),
        ("--cpus -- prog", "--cpus has no value: what follows is --. To mean that", "See: offload run"),
        ("--cpus -d prog", "To mean that as its value, write --cpus=-d.", "See: offload run --help"),
        ("--cpus --over=a prog", "--cpus has no value: what follows is --over=a.", "See: offload run --help"),
    ],
)
def test_an_option_in_the_place_of_a_value_is_told(line, sentence, step):
    with pytest.raises(UsageError) as caught:
        spread(line.split(), OPTIONS)
    assert sentence in caught.value.sentence
    assert step in caught.value.next_step
