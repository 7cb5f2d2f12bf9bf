"""Single requests as they are, for `doctor`: what the server and its certificate say."""

import asyncio
import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

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
        reason = _words(error)
    else:
        return time.monotonic() - began
    raise UnreachableError(reason)


def _words(error: OSError) -> str:
    """Why there is no connection, in the system's words; asyncio's repeat the address."""
    if error.errno:
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error)).partition(" (")[0].lower()


@frozen
class Certificate:
    """What a handshake showed."""

    tls: str
    """Version of TLS."""
    details: Mapping[str, Any]
    """The certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    trusted: bool


async def handshake(
    host: str, port: int, timeout: float, proxy: Secret[str] | None
) -> Certificate | None:
    """The server's certificate, trusted or not; None where a request will say why not."""
    try:
        async with asyncio.timeout(timeout):
            try:
                tls, found, _ = await _shown(host, port, proxy, default_tls_context())
            except ssl.SSLCertVerificationError:
                tls, found = await _untrusted(host, port, proxy)
                return Certificate(tls, found, trusted=False)
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # OSError: TLS, time-outs
        return None
    return Certificate(tls, found, trusted=True)


async def _untrusted(
    host: str, port: int, proxy: Secret[str] | None
) -> tuple[str, Mapping[str, Any]]:
    """What a certificate says that nobody here trusts: `ssl` reads none but trusted ones.

    So it is fetched, and then trusted by itself, for a connection that carries nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, _, encoded = await _shown(host, port, proxy, context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=encoded)
    tls, found, _ = await _shown(host, port, proxy, context)
    return tls, found


async def _shown(
    host: str, port: int, proxy: Secret[str] | None, context: ssl.SSLContext
) -> tuple[str, Mapping[str, Any], bytes]:
    """The version of TLS, and the certificate, read and encoded."""
    writer = await _tls(host, port, proxy, context)
    try:
        wire: Any = writer.get_extra_info("ssl_object")
        return str(wire.version()), wire.getpeercert() or {}, wire.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()


async def _tls(
    host: str, port: int, proxy: Secret[str] | None, context: ssl.SSLContext
) -> asyncio.StreamWriter:
    if proxy is None:
        return (await asyncio.open_connection(host, port, ssl=context))[1]
    parts = urlsplit(proxy.reveal())
    there = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    outer = default_tls_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(*there, ssl=outer)
    try:
        writer.write(_connect_to(host, port, parts))
        _require_200(await reader.readuntil(b"\r\n\r\n"))
        await writer.start_tls(context, server_hostname=host)
    except BaseException:
        writer.transport.abort()
        raise
    return writer


def _connect_to(host: str, port: int, proxy: SplitResult) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode("latin-1")
        lines.append(f"Proxy-Authorization: Basic {b64encode(user).decode()}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _require_200(head: bytes) -> None:
    if head.split(None, 2)[1:2] != [b"200"]:
        raise ConnectionRefusedError


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
