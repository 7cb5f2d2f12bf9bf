"""How an exchange behaves on the wire: an answer sent whole, in part, late, or never.

This is where a fault does its work. What it did is known before it does it, so that
the ledger has it even while a client still waits.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from attrs import field, frozen

from frame_async.emulator.api.answers import ApiAnswer, error_answer
from frame_async.emulator.api.http import phrase_of, serialized, to_response
from frame_async.emulator.state.ledger import FaultRecord

from .retry_after import FORMS
from .rules import Fault

_GATEWAY = (
    "<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {phrase}</h1></center>\r\n<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)
_HTML = "text/html"
_POLL = 0.05

SILENCE = ApiAnswer(0, b"", {})
"""Stands for no answer at all."""


@frozen(kw_only=True)
class WireBehaviour:
    """What happens on the wire after one request; what always happens, when nothing is said."""

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


USUAL = WireBehaviour()
"""The whole answer, at once, on a connection that stays."""


def replacement(fault: Fault, now: float) -> ApiAnswer:
    """Return what a fault answers instead of creating a session."""
    if fault.do == "throttle":
        return _throttled(fault, now)
    if fault.do == "refuse":
        status = fault.status or 503
        usual = error_answer(status, "api_error", "Refused by a fault of the emulator's.")
        return _with_body(fault, usual)
    return SILENCE


def gateway_page(fault: Fault) -> ApiAnswer:
    """Return what a proxy answers when it lost the server's answer."""
    status = fault.status or 502
    html = _GATEWAY.format(status=status, phrase=phrase_of(status))
    return _with_body(fault, ApiAnswer(status, html.encode(), {"Content-Type": _HTML}))


def behaviour_of(
    fault: Fault, answer: ApiAnswer, request_id: str
) -> tuple[WireBehaviour, FaultRecord]:
    """Decide how a fault ends an exchange whose answer is decided, and say so."""
    behaviour, evidence = _behaviour(fault, answer, request_id)
    return behaviour, FaultRecord(id=fault.id, do=fault.do, evidence=evidence)


def _behaviour(fault: Fault, answer: ApiAnswer, request_id: str) -> tuple[WireBehaviour, str]:
    seconds, reset = fault.seconds or 0.0, fault.reset
    late = f", {seconds:g} s late" if seconds else ""
    how = "reset" if reset else "closed"
    if fault.do in ("hang", "create_and_hang"):
        behaviour = WireBehaviour(hangs=True, hang_for=fault.seconds, reset=reset)
        until = "until the client leaves" if fault.seconds is None else f"for {seconds:g} s"
        return behaviour, f"sent nothing, left the connection open {until}"
    if fault.action.silent:
        return WireBehaviour(seconds=seconds, sent=b"", reset=reset), f"sent nothing, {how}{late}"
    if fault.do == "create_and_truncate":
        whole = serialized(answer, request_id)
        part = whole[: fault.at]
        behaviour = WireBehaviour(seconds=seconds, sent=part, reset=reset)
        return behaviour, f"sent {len(part)} of {len(whole)} bytes, {how}{late}"
    if fault.do == "close_idle":
        behaviour = WireBehaviour(closes_after=seconds, reset=reset)
        return behaviour, f"answered, {how} the idle connection {seconds:g} s later"
    return WireBehaviour(seconds=seconds), f"answered {answer.status}{late}"


async def finish(
    request: web.BaseRequest,
    answer: ApiAnswer,
    request_id: str,
    behaviour: WireBehaviour,
    is_idle: Callable[[asyncio.Transport], bool],
) -> web.Response:
    """Do to a connection what its behaviour says; return what aiohttp then shall send."""
    if behaviour.hangs:
        await _until_gone(request, behaviour.hang_for)
        return _Broken(b"", reset=behaviour.reset)
    if behaviour.sent is not None:
        return _Broken(behaviour.sent, reset=behaviour.reset)
    response = to_response(answer, request_id)
    transport = request.transport
    if behaviour.closes_after is not None and transport is not None:
        loop = asyncio.get_running_loop()
        loop.call_later(behaviour.closes_after, _close_idle, transport, behaviour.reset, is_idle)
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


def _throttled(fault: Fault, now: float) -> ApiAnswer:
    form = fault.retry_after if fault.retry_after is not None else "seconds"
    wait = 1.0 if fault.wait is None else fault.wait
    values = FORMS[form](now, wait) if form in FORMS else (form,)
    answer = error_answer(429, "rate_limit_error", "Throttled by a fault of the emulator's.")
    return answer.repeating("Retry-After", values)


def _with_body(fault: Fault, usual: ApiAnswer) -> ApiAnswer:
    headers = dict(usual.headers)
    if fault.content_type is not None:
        headers["Content-Type"] = fault.content_type
    if fault.body is None and fault.content_type is None:
        return usual
    body = usual.body if fault.body is None else fault.body.encode()
    return ApiAnswer(usual.status, body, headers)
