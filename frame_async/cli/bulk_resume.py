"""The command that goes on with a run, as it is shown: without secrets, without taking up again."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

_ONCE: Final = ("--again",)
_PASSWORD: Final = re.compile(r"(:/*|//).*@", re.DOTALL)
"""Also of what only means to be a URL: ``redis:pw@host``, ``//user:pw@host``."""
_QUERY: Final = re.compile(r"((?://|\.\.\.@)[^?#]*)[?#].*", re.DOTALL)
_SECRET_FIELD: Final = re.compile(r"(payment_method_data[^=]*=).*", re.DOTALL)


def resuming(arguments: Sequence[str]) -> str:
    """The command line that goes on; ``...`` stands for what must not be shown."""
    return shlex.join(["frame-async", *(_shown(word) for word in _kept(arguments))])


def _kept(arguments: Sequence[str]) -> Iterator[str]:
    """What is to be said once more: rows that were taken up again are open by now."""
    words = iter(arguments)
    for word in words:
        if word in _ONCE:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in _ONCE)):
            yield word


def _shown(word: str) -> str:
    word = _QUERY.sub(r"\1?...", _PASSWORD.sub(r"\1...@", word))
    return _SECRET_FIELD.sub(r"\1...", word)
