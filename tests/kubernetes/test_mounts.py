"""Data that stays where it is: volumes and directories of the node, seen by running jobs and never copied."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import access

from fakes.analyst import Analyst, analyst_at_work

pytestmark = pytest.mark.own_cluster


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Path:
    """A directory of the node that anybody may write to."""
    path = tmp_path_factory.mktemp("disk")
    path.chmod(0o777)
    (path / "cohort.csv").write_text("id,age\n1,40\n2,50\n")
    return path


@pytest.fixture(scope="module")
def analyst(cluster, disk, tmp_path_factory) -> Iterator[Analyst]:
    """With a claim on the directory in a restricted namespace, and the directory in a privileged one."""
    suffix = secrets.token_hex(3)
    volume, open_namespace = f"disk-{suffix}", f"mounts-open-{suffix}"
    access.make_namespace(open_namespace)
    access.kubectl(
        *("label", "--overwrite", "namespace", open_namespace),
        "pod-security.kubernetes.io/enforce=privileged",
    )
    with analyst_at_work(tmp_path_factory.mktemp("mounts"), f"mounts-{suffix}") as analyst:
        for one in (volume_of(volume, disk), claim_of(volume)):
            analyst.kubectl("apply", "-f", "-", given=json.dumps(one))
        analyst.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/shared", "--timeout=30s")
        analyst.add(
            "rig",
            mounts={
                "shared": {"claim": "shared", "read_only": True},
                "own": {"claim": "shared", "sub_path": "people/{user}", "path": "/scratch/{user}"},
                "secret": {"claim": "shared", "users": ["somebody-else"]},
            },
        )
        analyst.add("open", open_namespace, mounts={"node": {"host_path": str(disk)}})
        yield analyst
    access.kubectl("delete", "persistentvolume", volume, "--wait=false")
    access.delete_namespace(open_namespace)


def volume_of(name: str, disk: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(disk)},
        },
    }


def claim_of(volume: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": volume,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def test_a_script_reads_a_mount_that_it_cannot_change_and_nothing_of_it_comes_home(analyst):
    analyst.write(
        "read.sh", "cat /mnt/shared/cohort.csv; touch /mnt/shared/mine || echo read-only; pwd > here\n"
    )
    done = analyst.run("--mount", "shared", "read.sh")
    assert done.stdout == "id,age\n1,40\n2,50\nread-only\n"
    assert sorted(path.name for path in analyst.work.iterdir()) == ["here", "read.sh"]


def test_each_user_has_a_directory_of_their_own_and_what_a_job_leaves_there_the_next_one_finds(analyst, disk):
    user = json.loads(analyst.offload("jobs", "--json").stdout)["jobs"][0]["user"]
    analyst.run("--mount", "own", "--", "sh", "-c", f"echo kept > /scratch/{user}/state")
    assert (disk / "people" / user / "state").read_text() == "kept\n"
    done = analyst.run("--mount", "own:/data/mine", "--mount", "shared", "--", "cat", "/data/mine/state")
    assert done.stdout == "kept\n"


def test_a_mount_that_is_for_others_or_is_not_there_is_refused_at_once(analyst):
    done = analyst.run("--mount", "secret", "--mount", "nosuch", "--", "true", status=2)
    assert "The mount secret isn't for" in done.stderr
    assert "There is no mount 'nosuch'." in done.stderr
    assert "The mounts are: own, shared." in done.stderr


def test_a_directory_of_the_node_is_seen_where_the_namespace_allows_it(analyst):
    done = analyst.run("--mount", "node:/data", "--", "tail", "-n", "1", "/data/cohort.csv", on="open")
    assert done.stdout == "2,50\n"
