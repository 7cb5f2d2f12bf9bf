"""Single requests as they are, for `doctor`: what the server and its certificate say."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from attrs import frozen

from frame_async.engine.endings import ending_of
from frame_async.engine.sessions import USER_AGENT
from frame_async.engine.tls import default_tls_context
from frame_async.secret import Secret

_LARGEST: Final = 1_048_576


class UnreachableError(Exception):
    """There is no answer; the message says why, without a secret."""


@frozen(kw_only=True)
class Reached:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of doubled ones, the last."""
    body: bytes
    at: float
    """When the head was there, in seconds since the epoch."""
    seconds: float


async def resolve(host: str, port: int, timeout: float) -> list[str]:
    """The addresses of a host.

    Raises:
        UnreachableError: it has none.
    """
    try:
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        reason = f"no answer within {timeout:g} s"
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
    else:
        return list(dict.fromkeys(str(each[4][0]) for each in found))
    raise UnreachableError(str(reason).lower())


async def connect(host: str, port: int, timeout: float) -> float:
    """Seconds that a TCP connection takes.

    Raises:
        UnreachableError: there is none.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except TimeoutError:
        reason = f"no answer within {timeout:g} s"
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
    else:
        return time.monotonic() - began
    raise UnreachableError(reason)


async def handshake(host: str, port: int, timeout: float) -> tuple[str, Mapping[str, Any]] | None:
    """The version of TLS and the server's certificate; None where a request will say why not."""
    context = default_tls_context()
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            wire: Any = writer.get_extra_info("ssl_object")
            found = str(wire.version()), dict(wire.getpeercert() or {})
            writer.transport.abort()
    except OSError:  # ssl.SSLError and TimeoutError are
        return None
    return found


async def request(
    method: str,
    url: str,
    *,
    timeout: float,
    proxy: Secret[str] | None,
    headers: Secret[dict[str, str]] | None = None,
    body: bytes | None = None,
) -> Reached:
    """Make one request, as a client would; redirects aren't followed.

    Raises:
        UnreachableError: there is no answer.
    """
    began = time.monotonic()
    given = {"User-Agent": USER_AGENT} | ({} if headers is None else headers.reveal())
    tls: ssl.SSLContext | bool = default_tls_context() if url.startswith("https:") else True
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.request(
                method,
                url,
                headers=given,
                data=body,
                ssl=tls,
                proxy=None if proxy is None else proxy.reveal(),
                allow_redirects=False,
            ) as answer,
        ):
            at = time.time()
            received = bytearray()
            while len(received) < _LARGEST and not answer.content.at_eof():
                received += await answer.content.read(_LARGEST - len(received))
            return Reached(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.headers.items()},
                body=bytes(received),
                at=at,
                seconds=time.monotonic() - began,
            )
    except Exception as error:  # noqa: BLE001  # aiohttp's hold the key; only the words leave
        cause = getattr(error, "certificate_error", None)
        said = getattr(cause, "verify_message", "") or ""
        ending, detail = ending_of(error)
        given = {}  # what follows raises, and a traceback shows local variables
        reason = ": ".join(filter(None, (str(ending), detail, said)))
    raise UnreachableError(reason)
