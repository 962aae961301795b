"""From a script to the command that executes it, by its suffix.

The table is all there is: no interpreter is looked for at home, because the script runs elsewhere. What
the table doesn't know is run with ``offload run -- COMMAND``, or by its own ``#!`` line when it is
executable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from offload.errors import UnknownLanguageError

_RENDER: Final = "rmarkdown::render(commandArgs(TRUE)[1])"
LANGUAGES: Final[dict[str, tuple[str, ...]]] = {
    ".R": ("Rscript",),
    ".r": ("Rscript",),
    ".py": ("python3",),
    ".sh": ("bash",),
    ".jl": ("julia",),
    ".ipynb": ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace"),
    ".Rmd": ("Rscript", "-e", _RENDER),
    ".rmd": ("Rscript", "-e", _RENDER),
    ".qmd": ("quarto", "render"),
    ".m": ("octave", "--no-gui"),
    ".pl": ("perl",),
    ".js": ("node",),
    ".rb": ("ruby",),
}
"""What stands before the script's path, by suffix."""
TAKES_NO_ARGUMENTS: Final = (".ipynb", ".qmd")
"""Suffixes whose interpreter would take what stands after the script for its own."""


def command_for(path: Path, as_given: str) -> tuple[str, ...]:
    """The argv that executes the script at ``path``, called ``as_given`` from where it starts.

    Raises:
        UnknownLanguageError: the suffix is unknown, and the script isn't executable with a ``#!`` line.
    """
    if interpreter := LANGUAGES.get(path.suffix):
        return (*interpreter, f"./{as_given}" if as_given.startswith("-") else as_given)
    if os.access(path, os.X_OK) and _starts_with_shebang(path):
        return (as_given if "/" in as_given else f"./{as_given}",)
    what = f"the suffix {path.suffix!r}" if path.suffix else "a script without a suffix"
    raise UnknownLanguageError(
        f"Offload doesn't know what executes {as_given}: {what} is not one of {' '.join(sorted(LANGUAGES))}.",
        next_step=f"Say it yourself: offload run -- INTERPRETER {as_given}",
        details={"known": sorted(LANGUAGES)},
    )


def _starts_with_shebang(path: Path) -> bool:
    with path.open("rb") as script:
        return script.read(2) == b"#!"
