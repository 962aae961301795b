"""The line that tells why a script failed, and what such lines have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest

from offload.model.last_words import LONGEST, in_common, last_words


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_of_a_traceback_the_exception_is_told():
    text = said(sys.executable, "-c", "import sys\nprint('late', file=sys.stderr)\nint('x')")
    assert last_words(text) == "ValueError: invalid literal for int() with base 10: 'x'"


def test_an_exception_of_a_package_is_told_though_something_is_said_after_it():
    text = "Traceback (most recent call last):\n  File ...\nnumpy.linalg.LinAlgError: Singular matrix\nbye\n"
    assert last_words(text) == "numpy.linalg.LinAlgError: Singular matrix"


def test_of_r_the_error_is_told_with_its_next_line():
    assert last_words(said("Rscript", "-e", "solve(matrix(0, 2, 2))")).startswith(
        "Error in solve.default(matrix(0, 2, 2)) : Lapack routine dgesv: system is exactly singular"
    )
    assert last_words(said("Rscript", "-e", "stop('no data')")) == "Error: no data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("\n  \n", ""),
        ("sh: 1: nosuch: not found\n", "sh: 1: nosuch: not found"),
        ("ERROR: LoadError: UndefVarError: x not defined\nStacktrace:\n [1] top-level", None),
        ("Execution halted\n", ""),
        ("\x00\x01binary\x02\nplain\n", "plain"),
    ],
)
def test_otherwise_a_line_of_error_or_the_last_line_is_told(text, words):
    assert last_words(text) == (text.splitlines()[0] if words is None else words)


def test_endless_words_are_cut():
    assert len(last_words("x" * 10_000)) == LONGEST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError: 12", "KeyError: 7"),
        ("No such file: '/home/ada/a.csv'", "No such file: '/data/x/b-2.csv'"),
        ("object at 0x7f3a", "object at 0xffff12"),
        (
            "request 3f2b1c9d-0000-4000-8000-aabbccddeeff failed",
            "request 11111111-2222-4333-8444-555555555555 failed",
        ),
        ("loss is 1.5e-3", "loss is -2"),
        ("commit 0a1b2c3d4e", "commit ffee00112233"),
    ],
)
def test_what_varies_makes_no_difference(one, other):
    assert in_common(one) == in_common(other)


def test_what_matters_makes_a_difference():
    assert in_common("KeyError: 'a'") != in_common("KeyError: 'b'")
    assert in_common("dgesv failed") == "dgesv failed"
    assert in_common("column x1 is missing") == "column x1 is missing"
