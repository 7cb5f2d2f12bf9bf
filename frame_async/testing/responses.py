"""Answers of Frame without a server: aioresponses, in the words of payment link sessions."""

import asyncio
import re
import time
from collections.abc import Mapping
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from attrs import define, field, fields

from frame_async.client import FrameClient
from frame_async.models.requests import REQUEST_FIELDS, PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.serialization import load_request
from frame_async.stores import MemoryStore

try:
    from aioresponses import CallbackResult, aioresponses

    from frame_async.testing.mocks import Nowhere, patch_aioresponses
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_responses needs aioresponses: pip install 'frame-async[mocks]'"
    ) from error

_URL: Final = re.compile(r"https?://[^?]*/payment_link_sessions\Z")
_ECHOED: Final = {a.name for a in fields(PaymentLinkSession)}.intersection(REQUEST_FIELDS)
_DAY: Final = 86_400


@define(kw_only=True)
class _Answer:
    """What to do with the next requests, or with the next of one order."""

    times: int
    reference: str | None
    status: int = 0
    content: dict[str, Any] = field(factory=dict[str, Any])
    headers: dict[str, str] = field(factory=dict[str, str])
    hangs: bool = False

    def fits(self, request: PaymentLinkSessionRequest) -> bool:
        return self.reference is None or self.reference == request.client_reference_id


class FrameResponses:
    """Answers to the creation of payment link sessions, without a server or a socket.

    From the pytest fixture ``frame_responses``, or as ``with FrameResponses() as responses:``.
    Say what is answered, in the order in which requests will come; an answer with a
    ``reference`` is for requests with that ``client_reference_id`` alone, and goes before those
    without. A request that nothing was said for gets a 404, and fails the test when the
    ``with`` block ends. Other requests over aiohttp aren't touched.

    Args:
        options: those of `FrameClient`, for `connect`.

    Raises:
        ImportError: aioresponses isn't installed.
    """

    def __init__(self, **options: Any) -> None:
        self.api_key = f"sk_sandbox_{token_hex(12)}"
        """A key of its own: what a process remembers of one test never answers another."""
        self._options = options
        self._answers: list[_Answer] = []
        self._requests: list[PaymentLinkSessionRequest] = []
        self._keys: list[str] = []
        self._surprises: list[str] = []
        self._mock: Any = aioresponses(passthrough_unmatched=True)

    def connect(self, **options: Any) -> FrameClient:
        """A client with `api_key`, a memory of its own, and no rate limit.

        Use it as ``async with frame_responses.connect() as frame:``. Options are those of
        `FrameClient`.
        """
        given: dict[str, Any] = {"rate_limit": None, "store": MemoryStore(), **self._options}
        return FrameClient(self.api_key, **(given | options))

    def creates(
        self,
        id: str | None = None,  # noqa: A002  # as the session has it
        url: str | None = None,
        *,
        reference: str | None = None,
        times: int = 1,
        **fields: Any,
    ) -> None:
        """A session is created: a 201 with what was asked for, and with these fields.

        Args:
            id: of the session; by default a new one for each.
            url: of its checkout page; by default one with the id in it.
            reference: for requests with that ``client_reference_id`` alone.
            times: how many requests are answered so.
            fields: others of the session, such as ``livemode=True``, as JSON has them.
        """
        given = {"id": id, "url": url} if url else {"id": id}
        content = {name: value for name, value in given.items() if value is not None} | fields
        self._say(times, reference, status=201, content=content)

    def refuses(
        self,
        status: int = 422,
        *,
        message: str = "refused by frame_responses",
        errors: Mapping[str, Any] | None = None,
        reference: str | None = None,
        times: int = 1,
    ) -> None:
        """The request is refused, in Frame's newest envelope.

        Args:
            status: 400 or more.
            message: what the server says.
            errors: what is wrong with which field, such as ``{"line_items": ["must be filled"]}``.
            reference: for requests with that ``client_reference_id`` alone.
            times: how many requests are answered so.

        Raises:
            ValueError: ``status`` is none of a refusal.
        """
        if not 400 <= status <= 599:
            raise ValueError("status must be from 400 to 599; for a session, use creates()")
        said = {"type": "validation_error", "message": message}
        more = {} if errors is None else {"errors": errors}
        self._say(times, reference, status=status, content={"error": said | more})

    def throttles(
        self,
        *,
        retry_after: float | None = None,
        reference: str | None = None,
        times: int = 1,
    ) -> None:
        """The request came too fast: a 429, with ``Retry-After`` if that is given, in seconds."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        content = {"error": {"type": "rate_limit_error", "message": "too many requests"}}
        self._say(times, reference, status=429, content=content, headers=headers)

    def loses_the_answer(self, *, reference: str | None = None, times: int = 1) -> None:
        """The request is sent, and the connection ends without an answer."""
        self._say(times, reference)

    def hangs(self, *, reference: str | None = None, times: int = 1) -> None:
        """The request is sent, and no answer comes until the attempt's or call's time is over."""
        self._say(times, reference, hangs=True)

    def _say(self, times: int, reference: str | None, **what: Any) -> None:
        if times < 1:
            raise ValueError("times must be 1 or more")
        self._answers.append(_Answer(times=times, reference=reference, **what))

    @property
    def requests(self) -> tuple[PaymentLinkSessionRequest, ...]:
        """What was asked for, first to last: one for each attempt."""
        return tuple(self._requests)

    @property
    def idempotency_keys(self) -> tuple[str, ...]:
        """The key of each of them."""
        return tuple(self._keys)

    async def _answer(self, *_: object, data: Any, headers: Any, **__: object) -> CallbackResult:
        """What aioresponses is to answer to one request."""
        await data.write(Nowhere())  # which notes that it was sent
        request = load_request(data.decode().encode())
        self._requests.append(request)
        self._keys.append(headers["Idempotency-Key"])
        answer = self._next(request)
        if answer is None:
            return self._surprised(request)
        if answer.hangs:
            await asyncio.Event().wait()
        if not answer.status:
            raise aiohttp.ServerDisconnectedError
        content = answer.content
        if answer.status == 201:
            content = _session_of(request, content)
        return CallbackResult(status=answer.status, payload=content, headers=answer.headers)

    def _next(self, request: PaymentLinkSessionRequest) -> _Answer | None:
        fitting = [answer for answer in self._answers if answer.times and answer.fits(request)]
        fitting.sort(key=lambda answer: answer.reference is None)
        if not fitting:
            return None
        fitting[0].times -= 1
        return fitting[0]

    def _surprised(self, request: PaymentLinkSessionRequest) -> CallbackResult:
        said = f"nothing was said for request {len(self._requests)}: {request!r}"
        self._surprises.append(said)
        fix = "say frame_responses.creates(), refuses(), ... before"
        return CallbackResult(status=404, payload={"error": {"message": f"{said}; {fix}"}})

    def __enter__(self) -> Self:
        patch_aioresponses()
        self._mock.start()
        self._mock.post(_URL, repeat=True, callback=self._answer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        self._mock.stop()
        if self._surprises and error is None:
            raise AssertionError("\n".join(["frame_responses had no answer:", *self._surprises]))


def _session_of(request: PaymentLinkSessionRequest, given: Mapping[str, Any]) -> dict[str, Any]:
    """A session as Frame would answer it, with the fields that were given."""
    found = given.get("id", f"pls_{token_hex(12)}")
    now = int(time.time())
    expires_in = _DAY if request.expires_in is None else request.expires_in
    return {
        "id": found,
        "object": "payment_link.session",
        "status": "open",
        "payment_status": "unpaid",
        "livemode": False,
        "created": now,
        "updated": now,
        "expires": now + expires_in,
        "url": f"https://pay.framepayments.com/{found}",
        **{name: getattr(request, name) for name in _ECHOED},
        "phone_number_collection": bool(request.phone_number_collection),
        "shipping_address_collection": bool(request.shipping_address_collection),
        **given,
    }
