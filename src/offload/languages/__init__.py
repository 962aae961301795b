"""What Offload brings into the image of a script's language: one shell text, and nothing to install."""

from __future__ import annotations

from importlib.resources import files


def agent_text() -> str:
    """The agent that starts scripts in a container beside the runner, for ``sh -c TEXT agent DIRECTORY``."""
    return files(__name__).joinpath("agent.sh").read_text(encoding="utf-8")
