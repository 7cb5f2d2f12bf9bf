"""The edge to aiohttp: connections that answer in Frame's envelope whatever comes in.

What aiohttp itself says about a request that it can't parse repeats the offending
header line, to the client and to the log. That line may hold an API key.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .answers import Answer, error_answer
from .endings import to_response
from .ids import new_id

_LOGGER = logging.getLogger("frame_async.emulator")

_SETTINGS: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # a content coding is refused instead
    "lingering_time": 2.0,  # seconds to read off a body that nobody waited for
}

_UNREADABLE = error_answer(400, "invalid_request_error", "This is not readable as HTTP.")
_FAILED = error_answer(500, "api_error", "The emulator failed; its log says how.")


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request, or what the app failed on."""
        del request, message  # they repeat what came in
        response = to_response(_answer_to(status, exc), new_id())
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log that a connection broke off, and not why: aiohttp's reasons repeat what came in."""
        del args, kw
        _LOGGER.debug("a connection broke off")


class Acceptor(web.Server):
    """Makes a `Connection` for each client; pass it to ``loop.create_server``."""

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **_SETTINGS)

    async def end(self, grace: float) -> None:
        """Close all connections: idle ones at once, busy ones after 2 * `grace` seconds."""
        await _turns()
        transports = [connection.transport for connection in self.connections]
        self.pre_shutdown()
        await self.shutdown(grace)
        for transport in transports:
            if transport is not None:
                transport.abort()  # one whose client does not read would stay otherwise
        await _turns()


def _answer_to(status: int, exc: BaseException | None) -> Answer:
    if status == 400:
        return _UNREADABLE
    if not isinstance(exc, ConnectionError):  # a client that left is no failure
        _LOGGER.error("the emulator failed on a request", exc_info=exc)
    return _FAILED


async def _turns() -> None:
    """Let the loop finish what it has begun: asyncio sets up and tears down in two turns."""
    for _ in range(3):
        await asyncio.sleep(0)
