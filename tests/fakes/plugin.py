"""A program that hands out credentials, as EKS' ``aws`` does: real, on a PATH of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from offload.backends.kubernetes.access import Plugin

V1 = "client.authentication.k8s.io/v1"

_PROGRAM = """#!{python}
import datetime, json, os, pathlib, sys, time
home = pathlib.Path({home!r})
with open(home / "runs", "a") as runs:
    runs.write(json.dumps({{"arguments": sys.argv[1:], "pid": os.getpid(), "env": dict(os.environ)}}) + "\\n")
plan = json.loads((home / "plan").read_text())
if plan.get("says"):
    print(plan["says"], file=sys.stderr)
if plan.get("hangs"):
    if os.fork() == 0:
        (home / "child").write_text(str(os.getpid()))
    time.sleep(1000)
status = plan.get("status", {{}})
if status.get("token") == "NUMBER":
    status["token"] = "token-" + str(len((home / "runs").read_text().splitlines()))
if "life" in plan:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=plan["life"])
    status["expirationTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
answer = {{"apiVersion": {version!r}, "kind": "ExecCredential", "status": status}}
print(plan.get("answer", json.dumps(answer)))
sys.exit(plan.get("exit", 0))
"""


class FakeAws:
    """``aws`` in ``folder``; what it does is changed by :meth:`plan`."""

    def __init__(self, folder: Path, name: str = "aws") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / name
        program.write_text(_PROGRAM.format(python=sys.executable, home=str(folder), version=V1))
        program.chmod(0o755)
        self.env = {"PATH": str(folder)}
        self.plan(status={"token": "NUMBER"})

    def plan(self, **plan: Any) -> None:
        """What the program does from now on."""
        (self.folder / "plan").write_text(json.dumps(plan))

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What each run was given."""
        path = self.folder / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def aws(**settings: Any) -> Plugin:
    """What a kubeconfig of EKS says."""
    return Plugin(**{"command": "aws", "arguments": ("eks", "get-token"), "api_version": V1, **settings})
