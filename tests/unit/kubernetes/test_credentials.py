from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fakes.deadline import until
from fakes.plugin import V1, FakeAws, aws
from offload.backends.kubernetes.access import Access, Plugin, User
from offload.backends.kubernetes.api_errors import CredentialsError
from offload.backends.kubernetes.credentials import Credential, Credentials

ACCESS = Access(name="work", server="https://kube.test", ca=b"ca", tls_server_name="kubernetes")


@pytest.fixture
def program(tmp_path) -> FakeAws:
    return FakeAws(tmp_path / "bin")


def credentials(program: FakeAws, plugin: Plugin | None = None, seconds: float = 30.0) -> Credentials:
    access = replace(ACCESS, user=User(plugin=plugin or aws()))
    return Credentials(access, env=program.env, plugin_seconds=seconds)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_token_without_an_end_is_asked_for_once(program) -> None:
    asked = credentials(program)
    assert {(await asked.current()).token for _ in range(3)} == {"token-1"}
    assert [run["arguments"] for run in program.runs] == [["eks", "get-token"]]


async def test_many_who_ask_at_once_share_one_run(program) -> None:
    asked = credentials(program)
    shown = await asyncio.gather(*(asked.current() for _ in range(20)))
    assert {each.token for each in shown} == {"token-1"}
    assert len(program.runs) == 1


async def test_a_token_is_renewed_shortly_before_it_ends(program) -> None:
    program.plan(status={"token": "NUMBER"}, life=3)
    asked = credentials(program)
    assert (await asked.current()).token == "token-1"
    assert (await asked.current()).token == "token-1"
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (await asked.current()).token == "token-1":
        assert loop.time() - began < 3, "it was shown after its end"
        await asyncio.sleep(0.05)
    assert loop.time() - began > 2


async def test_a_token_that_was_refused_is_asked_for_again_but_once_for_all_who_were_refused(program) -> None:
    asked = credentials(program)
    shown = await asked.current()
    assert all(await asyncio.gather(*(asked.refused(shown) for _ in range(5))))
    assert (await asked.current()).token == "token-2"
    assert len(program.runs) == 2


async def test_the_same_token_again_is_no_reason_to_try_again(program) -> None:
    program.plan(status={"token": "always"})
    asked = credentials(program)
    assert not await asked.refused(await asked.current())


async def test_a_plug_in_can_hand_out_a_certificate(program) -> None:
    program.plan(status={"clientCertificateData": "PEM", "clientKeyData": "KEY"})
    shown = await credentials(program).current()
    assert shown == Credential(None, b"PEM", b"KEY")
    assert "KEY" not in repr(shown)


async def test_a_plug_in_that_wants_to_know_the_cluster_is_told(program) -> None:
    plugin = aws(told_cluster=True, cluster_config={"audience": "x"}, environment=(("AWS_PROFILE", "lab"),))
    await credentials(program, plugin).current()
    env = program.runs[0]["env"]
    assert env["AWS_PROFILE"] == "lab"
    assert json.loads(env["KUBERNETES_EXEC_INFO"]) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://kube.test",
                "tls-server-name": "kubernetes",
                "certificate-authority-data": "Y2E=",
                "config": {"audience": "x"},
            },
        },
    }


async def test_other_plug_ins_learn_nothing_about_the_cluster(program) -> None:
    await credentials(program).current()
    info = json.loads(program.runs[0]["env"]["KUBERNETES_EXEC_INFO"])
    assert info["spec"] == {"interactive": False}


async def test_a_missing_program_shows_the_hint_of_its_vendor(tmp_path) -> None:
    plugin = aws(command="gke-gcloud-auth-plugin", install_hint="Install it with gcloud.")
    asked = Credentials(replace(ACCESS, user=User(plugin=plugin)), env={"PATH": str(tmp_path)})
    with pytest.raises(CredentialsError, match="gke-gcloud-auth-plugin isn't installed") as caught:
        await asked.current()
    assert caught.value.next_step == "Install it with gcloud."


async def test_a_program_that_fails_is_quoted(program) -> None:
    program.plan(says="Token has expired.\nRun aws sso login.", exit=255)
    with pytest.raises(CredentialsError) as caught:
        await credentials(program).current()
    assert "exit status 255: Token has expired.\nRun aws sso login." in caught.value.sentence
    assert "`aws eks get-token`" in caught.value.next_step


async def test_a_program_that_failed_is_asked_again(program) -> None:
    asked = credentials(program)
    program.plan(exit=1)
    with pytest.raises(CredentialsError):
        await asked.current()
    program.plan(status={"token": "NUMBER"})
    assert (await asked.current()).token == "token-2"


async def test_a_program_that_cannot_be_started_says_why(program) -> None:
    (program.folder / "aws").write_text("#!/nowhere/sh\n")
    with pytest.raises(CredentialsError, match="can't be started: No such file"):
        await credentials(program).current()


async def test_a_program_that_hangs_is_ended_with_all_that_it_started(program) -> None:
    program.plan(hangs=True)
    with pytest.raises(CredentialsError, match=r"gave no answer in 1 s"):
        await credentials(program, seconds=1.0).current()
    child = program.folder / "child"
    assert child.exists()
    await until(lambda: gone(program.runs[0]["pid"]) and gone(int(child.read_text())))


async def test_a_program_is_ended_when_nobody_waits_for_it_any_more(program) -> None:
    program.plan(hangs=True)
    asking = asyncio.create_task(credentials(program).current())
    await until(lambda: (program.folder / "child").exists() and (program.folder / "child").read_text())
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: gone(program.runs[0]["pid"]))


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"answer": "hello"}, "wrote something else than credentials"),
        ({"answer": '{"apiVersion": "v2", "kind": "ExecCredential"}'}, "and wrote ExecCredential v2"),
        ({"status": {}}, "neither a token nor a certificate"),
        ({"status": {"clientCertificateData": "x"}}, "a certificate without its key"),
    ],
)
async def test_an_answer_that_is_no_credential_is_told(program, plan, says: str) -> None:
    program.plan(**plan)
    with pytest.raises(CredentialsError, match=says):
        await credentials(program).current()


async def test_a_token_file_is_followed_through_its_rotation(tmp_path) -> None:
    """The kubelet swaps a symbolic link to a directory."""
    for name, token in (("one", "first\n"), ("two", "second\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
    (tmp_path / "data").symlink_to("one")
    asked = Credentials(replace(ACCESS, user=User(token_file=tmp_path / "data/token")))
    first = await asked.current()
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "data")
    assert (first.token, (await asked.current()).token) == ("first", "second")
    assert await asked.refused(first)


async def test_a_missing_token_file_is_named() -> None:
    asked = Credentials(replace(ACCESS, user=User(token_file=Path("/nowhere/token"))))
    with pytest.raises(CredentialsError, match="/nowhere/token can't be read: No such file"):
        await asked.current()


async def test_nobody_shows_nothing() -> None:
    assert await Credentials(ACCESS).current() == Credential()
