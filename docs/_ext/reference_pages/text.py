"""What the pages share: prose of docstrings as Markdown, and tables."""

import inspect
import re
from collections.abc import Iterable, Sequence


def prose(docstring: str | None) -> str:
    """A docstring's prose as Markdown: its first part, up to the sections of google style."""
    text = inspect.cleandoc(docstring or "")
    text = re.split(r"\n\n(?:Attributes|Args|Raises|Returns):\n", text)[0]
    text = re.sub(r":\w+:`~?[\w.]*?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def attributes(docstring: str | None) -> dict[str, str]:
    """The entries of a docstring's ``Attributes`` section."""
    parts = inspect.cleandoc(docstring or "").split("\nAttributes:\n")
    if len(parts) == 1:
        return {}
    section = re.split(r"\n\n\w", parts[1])[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: prose(re.sub(r"\s*\n\s*", " ", text)) for name, text in entries}


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("\n", " ").replace("|", "\\|")
