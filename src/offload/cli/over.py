"""The words of ``--over``: as many files as a shell makes of ``data/*.csv``.

The list ends at ``--``, at the next option, or at a script: a word with the suffix of a language, other than
that of the first file. What follows ``--`` is then a script if it has such a suffix, else a command.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import PurePath
from typing import Final

from offload.client.languages import LANGUAGES

_OVER: Final = "--over"


def spread(args: Sequence[str], with_value: Container[str]) -> list[str]:
    """The same words with one ``--over`` for each file.

    Args:
        args: what stands after ``offload run``.
        with_value: options that take the next word as their value.
    """
    done: list[str] = []
    at, is_over = 0, False
    while at < len(args) and args[at].startswith("-") and args[at] != "--":
        word = args[at]
        at += 1
        if word == _OVER:
            is_over = True
            files = _files(args[at:])
            done += [part for file in files for part in (_OVER, file)] or [word]
            at += len(files)
        else:
            is_over = is_over or word.startswith(f"{_OVER}=")
            taken = 1 if word in with_value else 0
            done += [word, *args[at : at + taken]]
            at += taken
    rest = list(args[at:])
    if is_over and rest[:1] == ["--"] and _is_script(rest[1:2]):
        rest = rest[1:]
    return done + rest


def _files(words: Sequence[str]) -> list[str]:
    files = list(words[:1])
    for word in words[1:]:
        other = PurePath(word).suffix != PurePath(files[0]).suffix
        if word.startswith("-") or (other and _is_script([word])):
            break
        files.append(word)
    return files


def _is_script(words: Sequence[str]) -> bool:
    return bool(words) and PurePath(words[0]).suffix in LANGUAGES
