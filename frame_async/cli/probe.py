"""The four requests of ``doctor --probe``, and what they tell that Frame's reference doesn't."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from secrets import token_hex
from typing import Any, Final

from attrs import define, field, fields, frozen

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
_FIELDS: Final = tuple(
    a.name for a in fields(PaymentLinkSession) if a.name not in ("call", "extra", "unread")
)
_FINDINGS: Final = [
    "unknown_fields",
    "unread_fields",
    "expanded_fields",
    "missing_fields",
    "states",
]
_NO_MORE: Final[Mapping[str, str]] = {}


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
    clock: str
    """How this machine's clock is, against the server's."""
    _idempotency_key: str = field(init=False, factory=lambda: f"doctor-{token_hex(12)}")

    async def run(self, now: datetime) -> ProbeReport:
        """Make the requests one after the other.

        Raises:
            UnreachableError: one has no answer.
        """
        valid = {"line_items": [{"product": self.product}], "expires_in": _LIFETIME}
        once = {"Idempotency-Key": self._idempotency_key}
        first = await self._post(valid, self.key, once)
        again = await self._post(valid, self.key, once)
        # Without it: a key that is honoured would be what these two are refused for.
        invalid = await self._post({**valid, "expires_in": 1}, self.key)
        stranger = await self._post(valid, Secret(f"sk_unknown_{token_hex(16)}"))
        findings: dict[str, Any] = {
            "library": __version__,
            "address": self.base_url,
            "time": f"{now:%Y-%m-%d %H:%M} UTC",
            "clock": self.clock,
            "session": self._session(first),
            "idempotency": _idempotency(first, again),
            "invalid_request": self._error(invalid),
            "wrong_key": self._error(stranger),
            "request_id_header": _request_id(first),
            "rate_limit_headers": self._named(n for n in first.headers if "ratelimit" in n),
        }
        findings["assumptions"] = list(_assumptions(findings))
        return ProbeReport(findings, tuple(_lines(findings)))

    async def _post(
        self, body: Mapping[str, Any], key: Secret[str], more: Mapping[str, str] = _NO_MORE
    ) -> Reached:
        headers = {
            "Authorization": f"Bearer {key.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            **more,
        }
        return await request(
            "POST",
            f"{self.base_url}/payment_link_sessions",
            timeout=self.timeout,
            proxy=self.proxy,
            headers=Secret(headers),
            body=dump_json(body),
        )

    def _clean(self, text: str) -> str:
        """What a server says is safe to show, should it repeat what was sent."""
        return clean(text, [self.key.reveal()])

    def _named(self, names: Iterable[str]) -> list[str]:
        return sorted(self._clean(name) for name in names)

    def _session(self, answer: Reached) -> dict[str, Any]:
        """What the answer to a valid request is."""
        found: dict[str, Any] = {"status": answer.status, "created": False}
        if not 200 <= answer.status < 300:
            return {**found, **self._error(answer)}
        try:
            session = load_session(answer.body, Call())
        except UnreadableError as error:
            return {**found, "unreadable": [problem.path for problem in error.problems]}
        states = (session.status, session.payment_status)
        return {
            **found,
            "created": True,
            "unknown_fields": self._named(set(session.extra) - set(_FIELDS)),
            "unread_fields": list(session.unread),
            "expanded_fields": sorted(set(session.extra) & set(_FIELDS) - set(session.unread)),
            "missing_fields": [n for n in _FIELDS if n != "url" and not _has(answer, n)],
            "states": [None if state is None else self._clean(state) for state in states],
            "address": _address(session),
            "lives_seconds": _lives(session),
            "livemode": session.livemode,
        }

    def _error(self, answer: Reached) -> dict[str, Any]:
        """What an error looks like: its shape, and whether the library finds its message."""
        read = load_error(answer.status, answer.body, None, self._clean)
        body = _decoded(answer)
        return {
            "status": answer.status,
            "envelope": "no JSON" if body is None else self._shape(body),
            "message": read.message is not None,
            "field_errors": sorted(read.field_errors),
        }

    def _shape(self, value: Any, depth: int = 0) -> Any:
        """The names in a value and the kinds of what they stand for: never what it says."""
        if is_mapping(value):
            if depth == _DEEPEST:
                return "object"
            names = list(value)[:40]
            return {self._clean(str(n))[:40]: self._shape(value[n], depth + 1) for n in names}
        if is_listing(value):
            return [self._shape(value[0], depth + 1)] if value else []
        if isinstance(value, str):
            return "text"
        if isinstance(value, bool):
            return "true or false"
        return "number" if isinstance(value, int | float) else "nothing"


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


def _decoded(answer: Reached) -> Any:
    try:
        return load_json(answer.body, "answer")
    except UnreadableError:
        return None


def _request_id(answer: Reached) -> str | None:
    return next((name for name in _REQUEST_IDS if name in answer.headers), None)


def _assumptions(findings: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the library takes for true, and whether it is; None where nothing proves either."""
    session, error = findings["session"], findings["invalid_request"]
    made, wrong_key = session["created"], findings["wrong_key"]["status"]
    judged = {
        "a valid request is answered 2xx with a session's id": (
            made if 200 <= session["status"] < 300 else None
        ),
        "the address of the payment page is in the field url": (
            session["address"] == "in the field url" if made else None
        ),
        "every field of the answer is of the type that the reference shows": (
            not session["unread_fields"] + session["expanded_fields"] if made else None
        ),
        "a session lives as long as expires_in says": (
            session["lives_seconds"] == _LIFETIME if made else None
        ),
        "a sandbox key makes sandbox sessions": session["livemode"] is False if made else None,
        "Idempotency-Key is ignored for this call": {"ignored": True, "honoured": False}.get(
            findings["idempotency"]
        ),
        # Without a session it may be the key that is refused.
        "an invalid request is refused with 4xx, and says why": (
            _judged(error["status"], error["status"] >= 400 and error["message"]) if made else None
        ),
        "a wrong key is refused with 401": _judged(wrong_key, wrong_key == 401),
        "an answer has a request id": findings["request_id_header"] is not None,
    }
    words = {True: "holds", False: "does not hold", None: "unknown"}
    for what, holds in judged.items():
        yield {"assumption": what, "result": words[holds]}


def _judged(status: int, holds: bool) -> bool | None:
    """None where the server was busy or broken, which says nothing of the request."""
    return None if status in (408, 429) or status >= 500 else holds


def _lines(findings: Mapping[str, Any]) -> Iterator[str]:
    yield f"frame-async {findings['library']}, probe of {findings['address']}, {findings['time']}"
    session = findings["session"]
    yield f"  valid request: {session['status']}"
    for name in _FINDINGS:
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
    yield f"  clock: {findings['clock']}"
    yield f"  request id: {findings['request_id_header'] or 'in no header that is known'}"
    if findings["rate_limit_headers"]:
        yield f"  rate limit headers: {', '.join(findings['rate_limit_headers'])}"
    for each in findings["assumptions"]:
        yield f"  {each['result']}: {each['assumption']}"
