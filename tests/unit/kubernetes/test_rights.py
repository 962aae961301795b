"""What administrators are given is what the code needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from offload.backends.kubernetes.rights import ACCOUNT, account_yaml, rights, role_yaml

DEPLOY = Path(__file__).parents[3] / "deploy/kubernetes"


@pytest.mark.parametrize(("name", "made"), [("role.yaml", role_yaml), ("account.yaml", account_yaml)])
def test_the_yaml_for_administrators_is_made_from_the_rights(name, made):
    assert (DEPLOY / name).read_text().partition("\n")[2] == made("offload")


def test_the_role_gives_every_right_and_no_other():
    rules = yaml.safe_load(role_yaml("analytics"))["rules"]
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
        ([right.group], [right.path], list(right.verbs)) for right in rights(gateway=True)
    ]
    assert not any("*" in part for rule in rules for part in (*rule["resources"], *rule["verbs"]))


def test_each_right_says_what_it_is_for():
    assert all(right.why.endswith(".") for right in rights(gateway=True))
    assert all(right.why in role_yaml("x") for right in rights(gateway=True))


def test_everything_lies_in_the_namespace_that_is_asked_for():
    for text in (role_yaml("analytics"), account_yaml("analytics")):
        for thing in yaml.safe_load_all(text):
            assert thing["metadata"] == {"name": ACCOUNT, "namespace": "analytics"}


def test_the_kustomization_names_every_file():
    named = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(path.name for path in DEPLOY.glob("*.yaml"))
