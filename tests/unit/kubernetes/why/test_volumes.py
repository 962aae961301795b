"""Volumes and networks: what file servers and plug-ins say.

The words are those of the sources and the documentation of the programs that write them.
"""

from __future__ import annotations

import pytest

from fakes.pods import event, waiting
from offload.model.reasons import ReasonCode


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("mount.nfs: access denied by server while mounting", "refuses this node"),
        ("mount.nfs: Connection timed out", "doesn't answer"),
        (
            "mount.nfs: mounting nas:/x failed, reason given by server: No such file or directory",
            "no such directory",
        ),
    ],
)
def test_a_file_server_that_can_not_be_mounted_is_given_up_after_a_while(words, why):
    told = event("FailedMount", f'MountVolume.SetUp failed for volume "data" : mount failed: {words}')
    early = waiting("ContainerCreating", "", told, seconds=30)
    late = waiting("ContainerCreating", "", told, seconds=61)
    assert [early.final, late.final] == [False, True]
    assert why in late.reason.sentence


def test_a_volume_that_another_node_still_has_is_waited_for():
    told = event(
        "FailedAttachVolume", "Multi-Attach error for volume pvc-1 Volume is already used by pod(s) x"
    )
    assert not waiting("ContainerCreating", "", told, seconds=10**6).final


def test_a_mount_that_worked_in_the_end_is_forgotten():
    told = (event("FailedMount", "slow"), event("Pulling", 'Pulling image "tool:1"', seconds=5))
    assert "fetches the image tool:1" in waiting("ContainerCreating", "", *told, seconds=6).reason.sentence


def test_a_network_that_is_not_ready_is_waited_for():
    told = event("FailedCreatePodSandBox", "plugin type=calico failed: no IP addresses available")
    seen = waiting("ContainerCreating", "", told, seconds=10**6)
    assert (seen.reason.code, seen.final) == (ReasonCode.STAGING, False)
