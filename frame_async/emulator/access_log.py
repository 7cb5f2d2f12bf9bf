"""A line on standard error for each request, as text or as JSON.

A line is short, and is left out where writing it would wait for a reader: whoever starts
the emulator with a pipe and doesn't read it shall have answers all the same.
"""

import json
import select
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from .state.ledger import LedgerEntry

_LONGEST = 200  # of one text: a line fits into what a pipe takes at once
_MOST = 10


def text_line(entry: LedgerEntry) -> str:
    """One request in words; what came in can't break the line or colour a terminal."""
    at = time.strftime("%H:%M:%S", time.localtime(entry.received))
    parts = [
        at,
        entry.method,
        entry.path,
        "no answer" if entry.status is None else str(entry.status),
        entry.client_reference_id or "",
        entry.session_id or "",
        f"({entry.fault.do}: {entry.fault.evidence})" if entry.fault else "",
        f"(ignored: {', '.join(entry.unknown_fields[:_MOST])})" if entry.unknown_fields else "",
    ]
    return _printable(" ".join(part[:_LONGEST] for part in parts if part))


def json_line(entry: LedgerEntry) -> str:
    """One request as the ledger has it, without its body; long texts are cut."""
    shown = entry.dump()
    del shown["body"]
    return json.dumps(_short(shown))


LOGS: Final[Mapping[str, Callable[[LedgerEntry], object] | None]] = {
    "text": lambda entry: _write(text_line(entry)),
    "json": lambda entry: _write(json_line(entry)),
    "off": None,
}
"""What to do with each entry of the ledger, by the name of the format."""


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in cast("list[Any]", value)[:_MOST]]
    return value[:_LONGEST] if isinstance(value, str) else value


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _write(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more
        if _would_wait():
            return
        sys.stderr.write(f"{line.encode('ascii', 'backslashreplace').decode()}\n")
        sys.stderr.flush()


def _would_wait() -> bool:
    """Whether the reader of standard error is behind; on Windows nobody can say."""
    return sys.platform != "win32" and not select.select((), (sys.stderr,), (), 0)[1]
