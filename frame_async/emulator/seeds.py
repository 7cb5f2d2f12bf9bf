"""Sessions that are there from the start: a file of requests."""

from collections.abc import Iterable, Mapping
from json import dumps, loads
from pathlib import Path
from typing import Any

from .api.checks import is_list, is_object
from .api.validation import given_of, problems_of, unknown_fields_of
from .state.emulator_state import EmulatorState


def make_sessions(state: EmulatorState, bodies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Make sessions of request bodies, all or none; return their ids.

    Raises:
        ValueError: A body isn't valid; the message says which.
    """
    given = [dict(body) for body in bodies]
    for number, body in enumerate(given, start=1):
        if problems := problems_of(body):
            raise ValueError(f"body {number} is not valid: {dumps(problems)}")
    return tuple(state.sessions.create(given_of(body), state.clock()).id for body in given)


def read_seeds(path: Path) -> list[Mapping[str, Any]]:
    """Read request bodies from a file: JSON Lines, or one JSON list.

    Raises:
        ValueError: One is wrong; the message names the file, the request and what it is.
        OSError: The file can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        bodies = _bodies(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: is neither JSON Lines nor a JSON list") from None
    for number, body in enumerate(bodies, start=1):
        if wrong := _wrong(body):
            raise ValueError(f"{path}: request {number}: {wrong}")
    return bodies


def _bodies(text: str) -> list[Any]:
    if not text.lstrip().startswith("["):
        return [loads(line) for line in text.splitlines() if line.strip()]
    found = loads(text)
    return list(found) if is_list(found) else []


def _wrong(body: object) -> str:
    if not is_object(body):
        return "must be an object"
    if unknown := unknown_fields_of(body):
        return f"{', '.join(unknown)}: Frame would ignore that"
    problems = problems_of(body)
    return dumps(problems) if problems else ""
