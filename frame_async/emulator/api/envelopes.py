"""The envelopes that errors come in: Frame's clients read different ones.

``standard`` is what Frame's mobile SDKs call the standard Frame envelope, the newest;
``cli`` is what Frame's CLI reads; ``node``, ``php`` and ``ruby`` are what those SDKs read;
``text`` is no JSON at all. Only ``standard`` and ``cli`` have a place for each field of a
422, the others say them in the message; that the standard one has it beside its message
is assumed.
"""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from attrs import evolve

from .answers import ApiAnswer, Problems, Refusal, cli_envelope, encode

_MOST_SAID = 20


def _standard(status: int, refusal: Refusal) -> dict[str, Any]:
    errors = refusal.errors if isinstance(refusal.errors, dict) else {}
    details = {"message": refusal.message, **errors}
    return {"error": HTTPStatus(status).phrase, "error_details": details}


def _node(_: int, refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.kind, "message": _whole(refusal)}


def _php(status: int, refusal: Refusal) -> dict[str, Any]:
    # Frame's PHP client makes an exception of it, whose code can only be a number.
    return {"error": {"message": _whole(refusal), "code": str(status)}}


def _ruby(_: int, refusal: Refusal) -> dict[str, Any]:
    return {"error": _whole(refusal)}


_JSON: Final[Mapping[str, Callable[[int, Refusal], Mapping[str, object]]]] = {
    "standard": _standard,
    "cli": lambda _, refusal: cli_envelope(refusal),
    "node": _node,
    "php": _php,
    "ruby": _ruby,
}
ENVELOPES: Final = (*_JSON, "text")
"""Their names."""


def enveloped(answer: ApiAnswer, envelope: str) -> ApiAnswer:
    """Return an answer in an envelope; one that refuses nothing stays as it is."""
    refusal = answer.refusal
    if refusal is None:
        return answer
    if envelope == "text":
        headers = {**answer.headers, "Content-Type": "text/plain; charset=utf-8"}
        return evolve(answer, body=_whole(refusal).encode(), headers=headers, refusal=None)
    body = encode(_JSON[envelope](answer.status, refusal)).encode("ascii")
    return evolve(answer, body=body, refusal=None)


def _whole(refusal: Refusal) -> str:
    """The message with what is wrong in each field, the first of them."""
    errors = [] if refusal.errors is None else list(islice(_said(refusal.errors, ""), _MOST_SAID))
    return " ".join([refusal.message, *(f"{each}." for each in errors)])


def _said(problems: Problems, path: str) -> Iterator[str]:
    if isinstance(problems, list):
        for problem in problems:
            yield f"{path} {problem}".strip()
    else:
        for name, inner in problems.items():
            yield from _said(inner, f"{path}.{name}".strip("."))
