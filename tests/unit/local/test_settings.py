from __future__ import annotations

import pytest

from offload.backends.local.settings import LocalSettings, read_settings
from offload.errors import SettingsError
from offload.model.resources import Resources

MACHINE = Resources(cpus=8, memory=16 << 30, gpus=1)


def test_nothing_written_means_the_whole_machine():
    settings = read_settings({})
    assert settings == LocalSettings()
    assert settings.capacity(MACHINE) == MACHINE


def test_what_is_written_replaces_what_the_machine_has():
    settings = read_settings({"cpus": 2, "memory": "8Gi", "gpus": 0, "patience": "5m"})
    assert settings.capacity(MACHINE) == Resources(cpus=2, memory=8 << 30, gpus=0)
    assert settings.patience == 300
    assert read_settings({"patience": 0}).patience == 0


def test_all_mistakes_are_told_at_once_with_the_valid_names():
    with pytest.raises(SettingsError) as caught:
        read_settings({"cpu": 2, "memory": "lots", "gpus": True, "patience": []})
    for words in (
        "no setting 'cpu'",
        "'lots' is not an amount",
        "True is not a number of GPUs",
        "patience: []",
    ):
        assert words in caught.value.sentence
    for name in ("cpus", "memory", "gpus", "patience"):
        assert name in caught.value.next_step
