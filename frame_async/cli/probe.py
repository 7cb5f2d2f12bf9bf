"""The four requests of ``doctor --probe``, and what they tell that Frame's reference doesn't."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from secrets import token_hex
from typing import Any, Final

from attrs import define, field, frozen

from frame_async._version import __version__
from frame_async.calls import Call
from frame_async.cli.reaching import Reached, request
from frame_async.errors import UnreadableError
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.credentials import is_safe_page
from frame_async.protocol.redaction import clean
from frame_async.secret import Secret
from frame_async.serialization import dump_json, load_error, load_json, load_session
from frame_async.shapes import is_listing, is_mapping

_REQUEST_IDS: Final = ("x-request-id", "request-id", "x-amzn-trace-id", "cf-ray")
_LIFETIME: Final = 900
_DEEPEST: Final = 3


@frozen
class ProbeReport:
    """What was learned."""

    findings: Mapping[str, Any]
    lines: tuple[str, ...]
    """The same, to paste; no secret is in them."""


@define(kw_only=True)
class Probe:
    """Four requests to a sandbox."""

    base_url: str
    key: Secret[str]
    proxy: Secret[str] | None
    timeout: float
    product: str
    _idempotency_key: str = field(init=False, factory=lambda: f"doctor-{token_hex(12)}")

    async def run(self, now: datetime) -> ProbeReport:
        """Make the requests one after the other.

        Raises:
            UnreachableError: one has no answer.
        """
        valid = {"line_items": [{"product": self.product}], "expires_in": _LIFETIME}
        first = await self._post(valid, self.key)
        again = await self._post(valid, self.key)
        invalid = await self._post({**valid, "expires_in": 1}, self.key)
        stranger = await self._post(valid, Secret(f"sk_sandbox_{token_hex(16)}"))
        findings: dict[str, Any] = {
            "library": __version__,
            "address": self.base_url,
            "time": f"{now:%Y-%m-%d %H:%M} UTC",
            "session": _session(first),
            "idempotency": _idempotency(first, again),
            "invalid_request": _error(invalid),
            "wrong_key": _error(stranger),
            "request_id_header": _request_id(first),
            "rate_limit_headers": sorted(name for name in first.headers if "ratelimit" in name),
        }
        findings["assumptions"] = list(_assumptions(findings))
        return ProbeReport(findings, tuple(_lines(findings)))

    async def _post(self, body: Mapping[str, Any], key: Secret[str]) -> Reached:
        headers = {
            "Authorization": f"Bearer {key.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": self._idempotency_key,
        }
        return await request(
            "POST",
            f"{self.base_url}/payment_link_sessions",
            timeout=self.timeout,
            proxy=self.proxy,
            headers=Secret(headers),
            body=dump_json(body),
        )


def _session(answer: Reached) -> dict[str, Any]:
    """What the answer to a valid request is."""
    found: dict[str, Any] = {"status": answer.status, "created": False}
    if not 200 <= answer.status < 300:
        return {**found, **_error(answer)}
    try:
        session = load_session(answer.body, Call())
    except UnreadableError as error:
        return {**found, "unreadable": [problem.path for problem in error.problems]}
    return {
        **found,
        "created": True,
        "unknown_fields": sorted(set(session.extra) - set(session.unread)),
        "unread_fields": list(session.unread),
        "missing_fields": [
            name
            for name in PaymentLinkSession.__annotations__
            if name not in ("call", "extra", "unread", "url") and not _has(answer, name)
        ],
        "states": [session.status, session.payment_status],
        "address": _address(session),
        "lives_seconds": _lives(session),
        "livemode": session.livemode,
    }


def _has(answer: Reached, name: str) -> bool:
    body = _decoded(answer)
    return is_mapping(body) and name in body


def _address(session: PaymentLinkSession) -> str:
    if session.url is None:
        return "none"
    return "in the field url" if is_safe_page(session.url) else "in the field url, not https"


def _lives(session: PaymentLinkSession) -> float | None:
    if session.expires is None or session.created is None:
        return None
    return (session.expires - session.created).total_seconds()


def _idempotency(first: Reached, again: Reached) -> str:
    """Whether the same Idempotency-Key gave the same session."""
    ids = [_id(answer) for answer in (first, again)]
    if None in ids:
        return "unknown"
    return "honoured" if ids[0] == ids[1] else "ignored"


def _id(answer: Reached) -> str | None:
    body = _decoded(answer)
    found = body.get("id") if is_mapping(body) and 200 <= answer.status < 300 else None
    return found if isinstance(found, str) else None


def _error(answer: Reached) -> dict[str, Any]:
    """What an error looks like: its shape, and whether the library finds its message."""
    read = load_error(answer.status, answer.body, None, clean)
    return {
        "status": answer.status,
        "envelope": _shape(_decoded(answer)),
        "message": read.message is not None,
        "field_errors": sorted(read.field_errors),
    }


def _decoded(answer: Reached) -> Any:
    try:
        return load_json(answer.body, "answer")
    except UnreadableError:
        return None


def _shape(value: Any, depth: int = 0) -> Any:
    """The names in a value and the kinds of what they stand for: never what it says."""
    if is_mapping(value):
        if depth == _DEEPEST:
            return "object"
        return {clean(str(name))[:40]: _shape(value[name], depth + 1) for name in list(value)[:40]}
    if is_listing(value):
        return [_shape(value[0], depth + 1)] if value else []
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "true or false"
    return "number" if isinstance(value, int | float) else "nothing"


def _request_id(answer: Reached) -> str | None:
    return next((name for name in _REQUEST_IDS if name in answer.headers), None)


def _assumptions(findings: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the library takes for true, and whether it is."""
    session, error = findings["session"], findings["invalid_request"]
    made = session["created"]
    judged = {
        "a valid request is answered 2xx with a session's id": made,
        "the address of the payment page is in the field url": (
            session["address"] == "in the field url" if made else None
        ),
        "every field of the answer is of the type that the reference shows": (
            not session["unread_fields"] if made else None
        ),
        "a session lives as long as expires_in says": (
            session["lives_seconds"] == _LIFETIME if made else None
        ),
        "a sandbox key makes sandbox sessions": session["livemode"] is False if made else None,
        "Idempotency-Key is ignored for this call": {"ignored": True, "honoured": False}.get(
            findings["idempotency"]
        ),
        "an invalid request is refused with 4xx, and says why": (
            400 <= error["status"] < 500 and error["message"]
        ),
        "a wrong key is refused with 401": findings["wrong_key"]["status"] == 401,
        "an answer has a request id": findings["request_id_header"] is not None,
    }
    words = {True: "holds", False: "does not hold", None: "unknown"}
    for what, holds in judged.items():
        yield {"assumption": what, "result": words[holds]}


def _lines(findings: Mapping[str, Any]) -> Iterator[str]:
    yield f"frame-async {findings['library']}, probe of {findings['address']}, {findings['time']}"
    session = findings["session"]
    yield f"  valid request: {session['status']}"
    for name in ("unknown_fields", "unread_fields", "missing_fields", "states"):
        if session.get(name):
            yield f"    {name.replace('_', ' ')}: {', '.join(map(str, session[name]))}"
    if session["created"]:
        yield f"    address of the page: {session['address']}"
    yield f"  the same Idempotency-Key twice: {findings['idempotency']}"
    for name in ("invalid_request", "wrong_key"):
        said = findings[name]
        taken = 200 <= said["status"] < 300
        shape = "was taken" if taken else dump_json(said["envelope"]).decode()
        yield f"  {name.replace('_', ' ')}: {said['status']} {shape}"
    yield f"  request id: {findings['request_id_header'] or 'in no header that is known'}"
    if findings["rate_limit_headers"]:
        yield f"  rate limit headers: {', '.join(findings['rate_limit_headers'])}"
    for each in findings["assumptions"]:
        yield f"  {each['result']}: {each['assumption']}"
