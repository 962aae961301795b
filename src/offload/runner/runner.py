"""The life of a runner: hello, check out once, then attempt after attempt until there is no more work."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any, NoReturn

from offload.model.outcome import Outcome
from offload.model.reasons import Reason, ReasonCode
from offload.runner.attempt import Attempt
from offload.runner.config import Config
from offload.runner.desk import Desk
from offload.runner.patience import PREFIX, Dismissed, Patience
from offload.runner.stage import Stage
from offload.runner.tree import become_subreaper
from offload.runner.work import Workplace
from offload.wire.codec import decode, encode
from offload.wire.http import Connection
from offload.wire.runner_protocol import PROTOCOL_VERSION, Hello, Welcome
from offload.wire.version import VERSION

_NOT_STARTED = Outcome(
    exit_status=None,
    reason=Reason(code=ReasonCode.EVICTED, sentence="The cluster ended the runner before the script began."),
)


class Runner:
    """One runner with one slot.

    Args:
        config: what the backend told it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._place = Workplace(config.directory)
        self._patience = Patience(config.launcher, config.token)

    def run(self) -> int:
        """Work until told to stop; the exit status."""
        if not self._place.occupy():
            return 0
        os.chdir(self._config.directory)  # keep no other directory busy
        become_subreaper()
        signal.signal(signal.SIGTERM, _leave)
        problem = ""
        try:
            problem = self._work()
        except Dismissed as dismissed:
            sys.stderr.write(f"{dismissed}\n")
        except SystemExit:
            pass
        if problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        self._place.leave()
        return 0

    def _work(self) -> str:
        with self._patience.connect() as connection:
            welcome = self._hello(connection)
            stage = Stage(welcome, self._place, self._patience, connection)
            stage.prepare()
            desk = Desk(self._config.runner, self._patience, poll=welcome.poll)
            signal.signal(signal.SIGTERM, lambda *_: desk.evict())
            desk.start()
            while next_one := desk.next_lease():
                lease, control = next_one
                attempt = Attempt(
                    self._config, welcome, place=self._place, stage=stage, lease=lease, control=control
                )
                outcome = attempt.run(self._patience, desk)
                if outcome is None:
                    desk.drop(lease.token)
                else:
                    desk.complete(lease.token, outcome)
            for lease in desk.unstarted():
                desk.complete(lease.token, _NOT_STARTED)
            desk.join()
        return desk.problem

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


def _leave(*_: Any) -> NoReturn:
    """SIGTERM before the first lease: nothing is held, so nothing is lost."""
    raise SystemExit
