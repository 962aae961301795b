"""The life of a runner: hello, check out once, then attempt after attempt until there is no more work."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

from offload.runner.agent import Agent, AgentGone
from offload.runner.attempt import Attempt
from offload.runner.config import Config
from offload.runner.crew import crew
from offload.runner.desk import Desk
from offload.runner.execute import Executor
from offload.runner.patience import PREFIX, Dismissed, Disowned, Patience
from offload.runner.stage import Stage
from offload.runner.termination import Termination
from offload.runner.work import Workplace
from offload.wire.codec import decode, encode
from offload.wire.http import Connection
from offload.wire.runner_protocol import PROTOCOL_VERSION, Hello, Welcome
from offload.wire.version import VERSION

EVICTED: Final = 128 + signal.SIGTERM
"""Exit status of the agent when the cluster wanted its end: the pod has not succeeded."""


class Runner:
    """One runner with one slot.

    Args:
        config: what the backend told it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._place = Workplace(config.directory, agent=config.agent, files=config.files)
        self._patience = Patience(
            config.launcher, config.token, directory=config.directory, certificate=config.certificate
        )
        self._termination = Termination()

    def run(self) -> int:
        """Work until told to stop; the exit status."""
        self._termination.then(_leave)
        if not self._place.occupy():
            return 0
        os.chdir(self._config.directory)  # keep no other directory busy
        if self._config.agent:
            return self._live_beside(Agent(self._config.agent))
        return self._live(Executor(self._config.runner))

    def _live_beside(self, agent: Agent) -> int:
        """Live in a pod, whose end is this: the agent stops, and only then is the runner told to.

        A runner that ends by itself is started again. Then the agent and the task under way have ended with
        the first one, and there is nothing left to do.
        """
        agent.open()
        if self._place.was_occupied:
            sys.stderr.write("An earlier runner of this pod died, and its task with it.\n")
            status = 1
        else:
            status = self._live(agent)
        agent.stop(status or (EVICTED if agent.is_ending else 0))
        self._termination.wait()
        return status

    def _live(self, executor: Agent | Executor) -> int:
        problem = ""
        try:
            problem = self._work(executor)
        except Disowned as disowned:
            problem = str(disowned)
        except Dismissed as dismissed:
            sys.stderr.write(f"{dismissed}\n")
        except AgentGone:
            problem = "The container of the task ended; its own state says why."
        except SystemExit:
            pass
        if problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        self._place.leave()
        return 0

    def _work(self, executor: Agent | Executor) -> str:
        with self._patience.connect() as connection:
            welcome = self._hello(connection)
            stage = Stage(welcome, self._place, self._patience, connection)
            stage.prepare()
            agent = executor if isinstance(executor, Agent) else None
            if agent and not agent.wait(self._termination.pause):
                return ""
            pause = self._termination.pause
            desk = Desk(self._config.runner, self._patience, poll=welcome.poll, pause=pause)
            self._termination.then(desk.evict)
            if agent:
                agent.when_ending(desk.evict)
            desk.start()
            try:
                with crew(
                    self._patience, checkpoint_every=welcome.checkpoint_every, dismissed=desk.dismiss
                ) as those:
                    attempt = partial(
                        Attempt,
                        self._config,
                        welcome,
                        place=self._place,
                        stage=stage,
                        executor=executor,
                        crew=those,
                    )
                    self._serve(desk, stage, attempt)
            except BaseException:
                desk.fall_silent()
                raise
            finally:
                desk.join()
        return desk.problem

    def _serve(self, desk: Desk, stage: Stage, attempt: Callable[..., Attempt]) -> None:
        """Attempt after attempt; nobody waits while what one left is removed."""
        while next_one := desk.next_lease():
            lease, control = next_one
            under_way = attempt(lease=lease, control=control)
            outcome = under_way.run(self._patience, desk)
            if outcome is None:
                desk.drop(lease.token)
            else:
                desk.complete(lease.token, outcome, under_way.last_frames)
            self._place.tidy()
            stage.tidy()
        desk.decline()

    def _hello(self, connection: Connection) -> Welcome:
        hello = Hello(
            runner=self._config.runner,
            protocol=PROTOCOL_VERSION,
            version=VERSION,
            hostname=socket.gethostname(),
            cpus=float(len(os.sched_getaffinity(0))),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        )

        def say() -> Welcome:
            answer = connection.request("POST", f"{PREFIX}/hello", encode(hello))
            return decode(answer.read(), Welcome)

        return self._patience.call(say)


def _leave() -> NoReturn:
    """SIGTERM before the first lease: nothing is held, so nothing is lost."""
    raise SystemExit
