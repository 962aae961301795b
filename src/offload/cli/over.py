"""The words of ``--over``: as many files as a shell makes of ``data/*.csv``, and words that lack a value.

The list of files ends at ``--``, at the next option, or at a script: a word with the suffix of a language,
other than that of the first file. What follows ``--`` is then a script if it has such a suffix, else a
command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

from offload.client.keys import LET_LOOK, NO_FILE
from offload.client.languages import LANGUAGES
from offload.errors import UsageError

_OVER: Final = "--over"


def spread(args: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    """The same words with one ``--over`` for each file.

    Args:
        args: what stands after ``offload run``.
        options: every option, and whether it takes the next word as its value.

    Raises:
        UsageError: an option stands where another one's value should.
    """
    done: list[str] = []
    at, is_over = 0, False
    while at < len(args) and args[at].startswith("-") and args[at] != "--":
        word = args[at]
        at += 1
        if options.get(word):
            _check_value(word, args[at:], options)
        if word == _OVER:
            is_over = True
            files = _files(args[at:])
            done += [part for file in files for part in (_OVER, file)]
            at += len(files)
        else:
            is_over = is_over or word.startswith(f"{_OVER}=")
            taken = 1 if options.get(word) else 0
            done += [word, *args[at : at + taken]]
            at += taken
    rest = list(args[at:])
    if is_over and rest[:1] == ["--"] and _is_script(rest[1:2]):
        rest = rest[1:]
    return done + rest


def _check_value(option: str, following: Sequence[str], options: Mapping[str, bool]) -> None:
    follows = following[0] if following else ""
    if following and follows != "--" and follows.partition("=")[0] not in options:
        return
    then = f"what follows is {follows}" if following else "nothing follows"
    if option == _OVER:
        raise UsageError(f"--over names no file: {then}. {NO_FILE}", next_step=LET_LOOK)
    meant = f" To mean that as its value, write {option}={follows}." if following else ""
    raise UsageError(f"{option} has no value: {then}.{meant}", next_step="See: offload run --help")


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
