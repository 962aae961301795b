"""A person behind a firewall: from their machine one address and port can be reached, and nobody reaches it.

A network namespace of its own, joined with this machine by a pair of interfaces, with rules at both ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_numbers = itertools.count()


@dataclass(frozen=True)
class Seclusion:
    """A network namespace from which one place can be reached.

    Attributes:
        name: of the namespace.
        address: its own address, at which nobody answers.
        prefix: words before a command that shall run in it.
    """

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def reaches(self, host: str, port: int) -> bool:
        """Whether a connection to there comes about."""
        script = f"exec 3<>/dev/tcp/{host}/{port}"
        return _answers([*self.prefix, "timeout", "2", "bash", "-c", script])


def reached(host: str, port: int) -> bool:
    """Whether this machine can connect to there."""
    return _answers(["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"])


@contextlib.contextmanager
def secluded(host: str, port: int) -> Iterator[Seclusion]:
    """A namespace from which ``host`` and ``port`` alone can be reached."""
    number = next(_numbers)
    name, link = f"secluded-{os.getpid()}-{number}", f"sec{os.getpid() % 10000}-{number}"
    here, there = (f"10.247.{os.getpid() % 250}.{4 * number + end}" for end in (1, 2))
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "address", "add", f"{here}/30", "dev", link)
        _run("ip", "link", "set", link, "up")
        inside = ("ip", "-n", name)
        _run(*inside, "address", "add", f"{there}/30", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _run(*inside, "link", "set", interface, "up")
        _run(*inside, "route", "add", "default", "via", here)
        _rule(_outside(link, host, port))
        _rule(_INSIDE, "ip", "netns", "exec", name)
        yield Seclusion(name, there)
    finally:
        table = f"table inet {link.replace('-', '_')}"
        _rule(f"add {table}\ndelete {table}\n")
        _run("ip", "netns", "delete", name)


_INSIDE = """
table inet firewall {
  chain input {
    type filter hook input priority 0; policy drop;
    iifname lo accept
    ct state established,related accept
  }
}
"""


def _outside(link: str, host: str, port: int) -> str:
    return f"""
table inet {link.replace("-", "_")} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname {link} ip daddr {host} tcp dport {port} accept
    iifname {link} drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname {link} drop
    oifname {link} drop
  }}
}}
"""


def _rule(text: str, *prefix: str) -> None:
    subprocess.run([*prefix, "nft", "-f", "-"], input=text, text=True, check=True, timeout=20)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=20)


def _answers(words: list[str]) -> bool:
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
