"""What a script said last before it failed: the one line that tells, and what many such lines have in common.

Languages end in their own ways: Python with the exception after its traceback, R with ``Error in f(): …``
and then ``Execution halted``, Julia with ``ERROR: …``. What makes no difference between two failures of the
same kind (numbers, paths, addresses, ids) is taken out to see that they are of the same kind.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 300
"""Characters of what is told."""
_RAISED: Final = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Failure)(?::.*)?")
_ERROR: Final = re.compile(r"(?:error|fatal)\b", re.IGNORECASE)
_NOISE: Final = re.compile(r"(?:Execution halted|Calls: .*|Backtrace:|Stacktrace:|Aborted|Killed)")
_VARYING: Final = (
    (re.compile(r"0x[0-9a-fA-F]+"), "…"),
    (re.compile(r"(?<![\w.])~?(?:/[\w.+@%=-]+)+/?"), "…"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "…"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"), "…"),
    (re.compile(r"(?<![A-Za-z_])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?"), "#"),
)


def last_words(text: str) -> str:
    """The line of a script's last output that tells best why it failed; empty when it said nothing.

    An exception wins over a line that begins with "error", and that over the last line of all. R continues
    a long message on the next line.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and line.isprintable()]
    for at in range(len(lines) - 1, -1, -1):
        if _RAISED.fullmatch(lines[at]):
            return _cut(lines[at])
    for at in range(len(lines) - 1, -1, -1):
        if _ERROR.match(lines[at]):
            goes_on = lines[at].endswith(":") and at + 1 < len(lines)
            return _cut(f"{lines[at]} {lines[at + 1].strip()}" if goes_on else lines[at])
    telling = [line for line in lines if not _NOISE.fullmatch(line)]
    return _cut(telling[-1].strip()) if telling else ""


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def in_common(words: str) -> str:
    """The words without what varies between failures of the same kind."""
    for pattern, instead in _VARYING:
        words = pattern.sub(instead, words)
    return words
