"""How an exchange ends on the wire: an answer sent whole, in part, late, or never.

This is where a fault does its work. What it did is known before it does it, so that
the ledger has it even while a client still waits.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11
from attrs import field, frozen

from .answers import Answer, error_answer
from .faults import Fault
from .ledger import FaultRecord
from .retry_afters import FORMS, imf_fixdate

_GATEWAY = (
    "<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {phrase}</h1></center>\r\n<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)
_HTML = "text/html"
_POLL = 0.05
_WITH_BODIES = frozenset({200, 201, 400, 401, 404, 405, 409, 422, 429})

SILENCE = Answer(0, b"", {})
"""Stands for no answer at all."""


@frozen(kw_only=True)
class Ending:
    """How one exchange ends; as any other does, when nothing is said."""

    seconds: float = 0.0
    """Seconds that everything is held back."""
    sent: bytes | None = field(default=None, repr=False)
    """The bytes that go out before the connection breaks; ``None`` for a whole answer."""
    hangs: bool = False
    """Whether the connection stays open and silent: `hang_for` seconds, or without end."""
    hang_for: float | None = None
    """How long it hangs."""
    closes_after: float | None = None
    """How many seconds after a whole answer the connection is closed unannounced."""
    reset: bool = False
    """Whether the connection is reset instead of closed."""


USUAL = Ending()
"""The whole answer, at once, on a connection that stays."""


def replacement(fault: Fault, now: float) -> Answer:
    """Return what a fault answers instead of creating a session."""
    if fault.do == "throttle":
        return _throttled(fault, now)
    if fault.do == "refuse":
        status = fault.status or 503
        usual = error_answer(status, "api_error", "Refused by a fault of the emulator's.")
        return _with_body(fault, usual)
    return SILENCE


def gateway_page(fault: Fault) -> Answer:
    """Return what a proxy answers when it lost the server's answer."""
    status = fault.status or 502
    html = _GATEWAY.format(status=status, phrase=phrase_of(status))
    return _with_body(fault, Answer(status, html.encode(), {"Content-Type": _HTML}))


def ending_of(fault: Fault, answer: Answer, request_id: str) -> tuple[Ending, FaultRecord]:
    """Decide how a fault ends an exchange whose answer is decided, and say so."""
    ending, evidence = _ending(fault, answer, request_id)
    return ending, FaultRecord(id=fault.id, do=fault.do, evidence=evidence)


def _ending(fault: Fault, answer: Answer, request_id: str) -> tuple[Ending, str]:
    seconds, reset = fault.seconds or 0.0, fault.reset
    late = f", {seconds:g} s late" if seconds else ""
    how = "reset" if reset else "closed"
    if fault.do in ("hang", "create_and_hang"):
        ending = Ending(hangs=True, hang_for=fault.seconds, reset=reset)
        until = "until the client leaves" if fault.seconds is None else f"for {seconds:g} s"
        return ending, f"sent nothing, left the connection open {until}"
    if fault.action.silent:
        return Ending(seconds=seconds, sent=b"", reset=reset), f"sent nothing, {how}{late}"
    if fault.do == "create_and_truncate":
        whole = serialized(answer, request_id)
        part = whole[: fault.at]
        ending = Ending(seconds=seconds, sent=part, reset=reset)
        return ending, f"sent {len(part)} of {len(whole)} bytes, {how}{late}"
    if fault.do == "close_idle":
        ending = Ending(closes_after=seconds, reset=reset)
        return ending, f"answered, {how} the idle connection {seconds:g} s later"
    return Ending(seconds=seconds), f"answered {answer.status}{late}"


def serialized(answer: Answer, request_id: str) -> bytes:
    """Write an answer as it goes over the wire."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in answer.fields()])
    head = (
        f"HTTP/1.1 {answer.status} {phrase_of(answer.status)}\r\n{lines}"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(answer.body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body


def to_response(answer: Answer, request_id: str) -> web.Response:
    """Make aiohttp's response of an answer."""
    response = web.Response(status=answer.status, body=answer.body)
    for name, value in answer.fields():
        response.headers.add(name, value)
    response.headers["X-Request-Id"] = request_id
    return response


def usual_response(request: web.BaseRequest, answer: Answer, request_id: str) -> web.StreamResponse:
    """Make the response of an answer that goes out whole."""
    plain = request.version == HttpVersion11 and request.keep_alive and request.method == "POST"
    if plain and answer.status in _WITH_BODIES:
        return _Ready(serialized(answer, request_id))
    return to_response(answer, request_id)


class _Ready(web.StreamResponse):
    """A response that is bytes already, on a connection that stays.

    aiohttp's own costs 60 microseconds more, a fifth of all that a session costs.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._request: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays: it does."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send everything."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        transport.write(self._content)
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until a slow client has taken enough of it."""
        del data
        if self._request is not None:
            await self._request.writer.drain()


async def finish(
    request: web.BaseRequest,
    answer: Answer,
    request_id: str,
    ending: Ending,
    is_idle: Callable[[asyncio.Transport], bool],
) -> web.Response:
    """Do to a connection what an ending says; return what aiohttp then shall send."""
    if ending.hangs:
        await _until_gone(request, ending.hang_for)
        return _Broken(b"", reset=ending.reset)
    if ending.sent is not None:
        return _Broken(ending.sent, reset=ending.reset)
    response = to_response(answer, request_id)
    transport = request.transport
    if ending.closes_after is not None and transport is not None:
        loop = asyncio.get_running_loop()
        loop.call_later(ending.closes_after, _close_idle, transport, ending.reset, is_idle)
    return response


class _Broken(web.Response):
    """Sends some bytes, and ends the connection instead of a response."""

    def __init__(self, sent: bytes, *, reset: bool) -> None:
        super().__init__()
        self._sent = sent
        self._reset = reset

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send what there is to send, and break."""
        transport = request.transport
        if transport is not None:
            if self._sent:
                transport.write(self._sent)
            _close(transport, self._reset)
        raise ConnectionResetError("a fault of the emulator's ended this connection")


def _close_idle(
    transport: asyncio.Transport, reset: bool, is_idle: Callable[[asyncio.Transport], bool]
) -> None:
    if is_idle(transport):  # closing on a request would be another fault
        _close(transport, reset)


def _close(transport: asyncio.Transport | None, reset: bool) -> None:
    if transport is None:
        return
    if reset:
        sock: Any = transport.get_extra_info("socket")
        with suppress(OSError):  # the client was quicker
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()


async def _until_gone(request: web.BaseRequest, seconds: float | None) -> None:
    """Wait until the client leaves, or so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while _connected(request):  # noqa: ASYNC110 - aiohttp tells nobody when a client leaves
                await asyncio.sleep(_POLL)


def _connected(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is not None and not transport.is_closing()


def _throttled(fault: Fault, now: float) -> Answer:
    form = fault.retry_after if fault.retry_after is not None else "seconds"
    wait = 1.0 if fault.wait is None else fault.wait
    values = FORMS[form](now, wait) if form in FORMS else (form,)
    answer = error_answer(429, "rate_limit_error", "Throttled by a fault of the emulator's.")
    return answer.repeating("Retry-After", values)


def _with_body(fault: Fault, usual: Answer) -> Answer:
    body = usual.body if fault.body is None else fault.body.encode()
    headers = dict(usual.headers)
    if fault.content_type is not None:
        headers["Content-Type"] = fault.content_type
    return Answer(usual.status, body, headers)


@lru_cache(maxsize=2)
def _date(now: int) -> str:
    return imf_fixdate(now)


@lru_cache
def phrase_of(status: int) -> str:
    """Return the words that go with a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one that nobody assigned
        return "Unknown"
