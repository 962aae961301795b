"""Defaults that a script carries in its comments."""

import json

import pytest

from offload.client.directives import LINES, Directive, directives_of, read_directives


@pytest.mark.parametrize("mark", ["#", "##", "#|", "//", "--", "%", "%%", "  #"])
def test_every_comment_marker_is_understood(mark):
    found = list(directives_of(["x <- 1", f"{mark} offload: cpus=4 memory=8Gi"]))
    assert found == [Directive(2, "cpus", "4"), Directive(2, "memory", "8Gi")]


@pytest.mark.parametrize("word", ["Offload", "OFFLOAD"])
def test_capitals_make_no_difference(word):
    assert list(directives_of([f"# {word}: cpus=4"])) == [Directive(1, "cpus", "4")]


def test_a_byte_order_mark_hides_nothing(tmp_path):
    script = tmp_path / "a.R"
    script.write_bytes(b"\xef\xbb\xbf# offload: cpus=2\r\n# offload: memory=1Gi\r\n")
    assert read_directives(script) == [Directive(1, "cpus", "2"), Directive(2, "memory", "1Gi")]


def test_values_may_be_quoted_and_hold_an_equals_sign():
    found = list(directives_of(["""# offload: name="my job" env='X=a b'"""]))
    assert found == [Directive(1, "name", "my job"), Directive(1, "env", "X=a b")]


def test_an_unclosed_quote_is_read_as_it_stands():
    assert list(directives_of(['# offload: name="my'])) == [Directive(1, "name", '"my')]


def test_a_word_without_equals_has_no_key():
    assert list(directives_of(["# offload: cpus 4"])) == [Directive(1, "", "cpus"), Directive(1, "", "4")]


def test_what_only_looks_like_a_directive_is_none():
    assert (
        list(directives_of(['print("# offload: cpus=4")', "# offloading: cpus=4", "offload: cpus=4"])) == []
    )


def test_only_the_top_of_a_script_is_read(tmp_path):
    script = tmp_path / "a.R"
    script.write_text("\n" * (LINES - 1) + "# offload: cpus=2\n# offload: cpus=3\n")
    assert read_directives(script) == [Directive(LINES, "cpus", "2")]


def test_a_binary_file_has_no_directives(tmp_path):
    script = tmp_path / "tool"
    script.write_bytes(bytes(range(256)) * 100)
    assert read_directives(script) == []


def test_the_code_cells_of_a_notebook_are_read(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# offload: cpus=9"]},
        {"cell_type": "code", "source": ["import os\n", "# offload: cpus=2"]},
        {"cell_type": "code", "source": ["# offload: memory=1Gi"]},
    ]
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert read_directives(notebook) == [Directive(2, "cpus", "2"), Directive(3, "memory", "1Gi")]


def test_a_broken_notebook_has_no_directives(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": 3}')
    assert read_directives(tmp_path / "a.ipynb") == []
