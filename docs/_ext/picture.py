"""Draws the README's picture from what a terminal really shows.

    make demo && .venv/bin/python docs/_ext/picture.py

Executes the commands below in a copy of the penguins, on a launcher of its own, in a terminal with colours,
and writes ``docs/images/tour.svg``. The status line is not in it, because it is gone at the end.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
WIDTH = 96
COMMANDS = ("offload run body_mass.R --folds 5", "offload jobs")


def show(command: str, directory: Path, environ: dict[str, str]) -> str:
    """What a terminal shows of a command, escape sequences included."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    data = b""
    try:
        while chunk := os.read(master, 1 << 16):
            data += chunk
    except OSError:  # Linux says so when the last writer has gone
        pass
    os.close(master)
    if process.wait():
        raise SystemExit(f"{command} failed:\n{data.decode()}")
    return re.sub(r"[^\n]*\x1b\[2K", "", data.decode().replace("\r\n", "\n"))


def draw(shown: list[tuple[str, str]]) -> str:
    """An SVG of a terminal in which the commands were typed."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="standard")
    for command, output in shown:
        console.print(Text(f"$ {command}", style="bold"), soft_wrap=True)
        console.print(Text.from_ansi(output.rstrip("\n")), soft_wrap=True)
        console.print()
    svg = console.export_svg(title="offload", unique_id="tour")
    # Fonts from the network are nothing for a picture in a repository, and some viewers eat leading spaces.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("<text ", '<text xml:space="preserve" ')


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "penguins"
        shutil.copytree(ROOT / "examples/penguins", directory)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {
            "PATH": path,
            "HOME": temporary,
            "OFFLOAD_HOME": f"{temporary}/offload",
            "TERM": "xterm",
            "COLUMNS": str(WIDTH),
            "LANG": "C.UTF-8",
        }
        try:
            shown = [(command, show(command, directory, environ)) for command in COMMANDS]
        finally:
            subprocess.run(["offload", "launcher", "stop", "--force"], env=environ, check=False)
    target = ROOT / "docs/images/tour.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(draw(shown))


if __name__ == "__main__":
    main()
