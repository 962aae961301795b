"""The error codes, from ``offload.errors``."""

from offload.errors import ERRORS, OffloadError

from .text import prose, table

_HEAD = """# Error codes

Every error has a code that doesn't change, a sentence, and a next step where there is one. The command line
shows the sentence and the step; with `--json` it prints an object with `code`, `sentence`, `next_step` and
`details`, on stderr. The HTTP API answers with the same object, and Python raises the class.

*exit* is the exit status of the command line, *HTTP* that of the API.
"""


def page() -> str:
    """The page of error codes."""
    parts = [_HEAD]
    for code, cls in sorted({**ERRORS, OffloadError.code: OffloadError}.items()):
        facts = [("exit", cls.exit_status), ("HTTP", cls.http_status), ("Python class", f"`{cls.__name__}`")]
        parts.append(f"## `{code}`\n\n{prose(cls.__doc__)}\n\n{table(*_across(facts))}\n")
    return "\n".join(parts)


def _across(facts: list[tuple[str, object]]) -> tuple[list[str], list[list[object]]]:
    return [name for name, _ in facts], [[value for _, value in facts]]
