from __future__ import annotations

from importlib.metadata import version

from offload.wire.version import VERSION


def test_the_version_that_runners_tell_is_that_of_the_package():
    assert version("offload") == VERSION
