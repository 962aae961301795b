from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

from offload.backends.contract import BackendContext
from offload.backends.local import LocalBackend
from offload.backends.registry import available, load
from offload.errors import BackendUnavailableError, SettingsError

GOOD = """
class Cloud:
    def __init__(self, context):
        self.context = context

def create(context):
    return Cloud(context)
"""


def install(target, name, source, entry):
    """Write a wheel, which is a zip file, and have a real installer install it."""
    info = f"{name}-1.2.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[offload.backends]\n{entry}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = target.parent / f"{name}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    command = [
        os.environ.get("UV", "uv"),
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--python",
        sys.executable,
    ]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)


@pytest.fixture
def context(tmp_path):
    return BackendContext(cluster="cloud", directory=tmp_path / "state")


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Two separately installed packages: one that works and one that lacks a dependency."""
    target = tmp_path / "site"
    install(target, "offload_cloud", GOOD, "cloud = offload_cloud:create")
    install(target, "offload_broken", "import no_such_library\n", "broken = offload_broken:create")
    monkeypatch.syspath_prepend(str(target))
    return target


def test_the_local_backend_comes_the_same_way_as_any_other(context, tmp_path):
    assert isinstance(load("local", context), LocalBackend)
    assert callable(available()["local"])


@pytest.mark.usefixtures("foreign")
def test_a_backend_in_a_separate_installed_package_is_found(context):
    backend = load("cloud", context)
    assert type(backend).__name__ == "Cloud"
    assert backend.context is context


@pytest.mark.usefixtures("foreign")
def test_a_backend_that_fails_to_import_is_listed_with_its_reason(context):
    told = available()
    assert callable(told["cloud"])
    assert told["broken"] == (
        "The backend 'broken' (package offload_broken 1.2) can't be loaded: "
        "ModuleNotFoundError: No module named 'no_such_library'."
    )
    with pytest.raises(BackendUnavailableError, match="No module named 'no_such_library'") as caught:
        load("broken", context)
    assert caught.value.next_step


def test_an_unknown_backend_names_the_right_ones(context):
    with pytest.raises(
        SettingsError, match=r"'locl', which is not installed\. Installed are: .*local"
    ) as caught:
        load("locl", context)
    assert caught.value.exit_status == 2
