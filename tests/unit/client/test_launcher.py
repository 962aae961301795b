"""A launcher that can't even be started says what is in the way: rights, space, or something else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fakes.unprivileged import run_on_a_full_disk, run_unprivileged
from offload.client.launcher import ensure_running
from offload.errors import LauncherUnreachableError
from offload.wire.places import find_places

START = """
import sys
from offload.client.launcher import ensure_running
from offload.errors import OffloadError
from offload.wire.places import find_places
try:
    ensure_running(find_places({"OFFLOAD_HOME": sys.argv[1]}), patience=5)
except OffloadError as error:
    print(error.code, "|", error.sentence, "|", error.next_step)
"""


@pytest.mark.parametrize("forbidden", [".", "home/launcher.log"])
def test_a_place_that_may_not_be_written_is_named_with_what_to_do(forbidden):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        if forbidden != ".":
            for path in (root / "home", root / "home" / "run"):
                path.mkdir()
                path.chmod(0o777)
            (root / forbidden).write_text("")
            (root / forbidden).chmod(0o600)
        done = run_unprivileged(PRIVATE_RUN + START, root / "home")
    code, sentence, step = done.stdout.split(" | ")
    path = root / ("home" if forbidden == "." else forbidden)
    assert (code, sentence) == ("not_permitted", f"You may not write to {path}."), done.stderr
    assert "OFFLOAD_HOME" in step


PRIVATE_RUN = """
import os, sys
run = os.path.join(sys.argv[1], "run")
if os.path.isdir(run):
    os.rmdir(run)
"""


def test_a_full_disk_is_told_as_such():
    fill = """
import sys
with open("/mnt/fill", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
sys.argv[1] = "/mnt/home"
"""
    done = run_on_a_full_disk(fill + START, "")
    code, sentence, step = done.stdout.split(" | ")
    assert (code, sentence) == ("disk_full", "There is no space left to start the launcher."), done.stderr
    assert "/mnt/home" in step


def test_anything_else_is_no_full_disk(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LauncherUnreachableError, match="Not a directory") as caught:
        ensure_running(find_places({"OFFLOAD_HOME": str(tmp_path / "file" / "home")}))
    assert str(tmp_path / "file" / "home") in caught.value.sentence
