"""A line on standard error for each request, as text or as JSON."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from .state.ledger import LedgerEntry


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
        f"(ignored: {', '.join(entry.unknown_fields)})" if entry.unknown_fields else "",
    ]
    return _printable(" ".join(part for part in parts if part))


def json_line(entry: LedgerEntry) -> str:
    """One request as the ledger has it, without its body."""
    shown = entry.dump()
    del shown["body"]
    return json.dumps(shown)


LOGS: Final[Mapping[str, Callable[[LedgerEntry], object] | None]] = {
    "text": lambda entry: _write(text_line(entry)),
    "json": lambda entry: _write(json_line(entry)),
    "off": None,
}
"""What to do with each entry of the ledger, by the name of the format."""


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _write(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more
        sys.stderr.write(f"{line.encode('ascii', 'backslashreplace').decode()}\n")
        sys.stderr.flush()
