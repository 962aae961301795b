"""What the package promises to Python."""

import subprocess
import sys

import pytest

import offload


def test_the_public_names_are_all_there():
    assert {name: callable(getattr(offload, name)) for name in offload.__all__} == {
        "Job": True, "OffloadError": True, "run": True,
    }  # fmt: skip


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = offload.runn


def test_importing_the_package_loads_nothing_else():
    code = "import sys, offload; print([name for name in sys.modules if name.startswith('offload.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_empty_list_of_files_is_a_mistake_and_not_a_job_without_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit.py").write_text("")
    with pytest.raises(offload.OffloadError, match="--over: It names no file"):
        offload.run("fit.py", over=[])
