"""What the emulator says back: an answer, and why it refuses if it does.

An error is made in the envelope that Frame's CLI reads, ``{"error": {"type", "message",
"errors"}}``, where ``errors`` is dry-validation's nested hash of lists. The admin API
keeps to that; the API's own answers are put into the one that was asked for, see
`envelopes`. Of the ``type`` values only ``validation_error`` is known to be Frame's;
the rest are the emulator's own.
"""

from collections.abc import Iterable, Mapping
from json import JSONEncoder
from typing import TypeAlias

from attrs import evolve, field, frozen

Problems: TypeAlias = list[str] | dict[str, "Problems"]
"""What is wrong with a value: messages, or for a container one `Problems` a part."""

encode = JSONEncoder(separators=(",", ":")).encode
"""Write a value as compact ASCII JSON; built once, for ``json.dumps`` with options is not."""

_JSON = "application/json; charset=utf-8"


@frozen
class Refusal:
    """Why a request is refused."""

    kind: str
    """What sort of error it is, such as ``validation_error``."""
    message: str
    """What is wrong; it must repeat nothing that was sent."""
    errors: Problems | None = None
    """What is wrong in each field, for a 422."""


@frozen
class ApiAnswer:
    """One HTTP answer, before it is put on the wire; it may be sent repeatedly."""

    status: int
    """HTTP status code."""
    body: bytes = field(repr=False)
    """The body, encoded."""
    headers: Mapping[str, str]
    """Header fields, ``Content-Type`` included."""
    repeated: tuple[tuple[str, str], ...] = ()
    """More header fields, whose names may occur several times."""
    refusal: Refusal | None = field(default=None, repr=False)
    """What an error says, until it is put into an envelope."""

    def fields(self) -> tuple[tuple[str, str], ...]:
        """Return all header fields, in the order in which they are sent."""
        return (*self.headers.items(), *self.repeated)

    def repeating(self, name: str, values: Iterable[str]) -> "ApiAnswer":
        """Return the same answer with one more header field for each value."""
        return evolve(self, repeated=(*self.repeated, *((name, value) for value in values)))

    def plus(self, headers: Mapping[str, str]) -> "ApiAnswer":
        """Return the same answer with more headers."""
        return evolve(self, headers={**self.headers, **headers})


class RefusedError(Exception):
    """The request is refused, and `answer` says why."""

    def __init__(self, answer: ApiAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(status: int, content: Mapping[str, object]) -> ApiAnswer:
    """Answer with a JSON object."""
    return ApiAnswer(status, encode(content).encode("ascii"), {"Content-Type": _JSON})


def error_answer(status: int, kind: str, message: str, errors: Problems | None = None) -> ApiAnswer:
    """Answer with an error; `message` must repeat nothing that was sent."""
    refusal = Refusal(kind, message, errors)
    return evolve(json_answer(status, cli_envelope(refusal)), refusal=refusal)


def cli_envelope(refusal: Refusal) -> dict[str, object]:
    """Say an error as Frame's CLI reads it."""
    error: dict[str, object] = {"type": refusal.kind, "message": refusal.message}
    if refusal.errors is not None:
        error["errors"] = refusal.errors
    return {"error": error}


def bad_request(status: int, message: str) -> RefusedError:
    """Make the refusal of a request that is no proper request at all."""
    return RefusedError(error_answer(status, "invalid_request_error", message))
