"""What a TLS peer or a resolver did is said as what it is."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

import aiohttp
import pytest
import trustme
from support.clients import Connect, attempt

from frame_async import (
    NotSentError,
    OutcomeUnknownError,
    PaymentLinkSessionRequest,
    RetryPolicy,
)
from frame_async.engine.endings import ending_of
from frame_async.protocol.outcomes import Ending

ONCE = RetryPolicy(max_retries=0)
ALERT_PROTOCOL_VERSION = b"\x15\x03\x01\x00\x02\x02\x46"
ALERT_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
NO_MAC = b"\x17\x03\x03\x00\x20" + b"garbage!" * 4
CLOSED = "closed it in the TLS handshake; this client takes TLS 1.2 or newer"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failed: the server sent what is not TLS"),
        (ALERT_PROTOCOL_VERSION, "have no version of TLS in common; this client takes 1.2 or"),
        (ALERT_HANDSHAKE_FAILURE, "TLS failed: "),
        (b"", CLOSED),
    ],
    ids=["plain HTTP", "too old", "no cipher", "closed"],
)
async def test_in_the_handshake(
    connect: Connect, order: PaymentLinkSessionRequest, said: bytes, words: str
) -> None:
    """A server that ends the handshake got nothing, and what it did is said in words of TLS."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)  # all of the first message
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await attempt(connect(f"https://localhost:{port}", retry=ONCE), order)
    assert type(ended) is NotSentError
    assert "nothing was sent: no connection: " in str(ended)
    assert words in str(ended)


def then_garbage(sock: socket.socket, context: ssl.SSLContext, said: bytes) -> None:
    """Read a request over TLS, and answer with bytes that aren't."""
    plain, _ = sock.accept()
    with context.wrap_socket(plain, server_side=True) as tls:
        tls.recv(65536)
        with socket.socket(fileno=os.dup(tls.fileno())) as below:
            below.settimeout(30)
            below.sendall(said)
            while below.recv(65536):  # until the client has had enough
                pass


def then_a_demand(sock: socket.socket, context: ssl.SSLContext, _: bytes) -> None:
    """Demand a certificate that the client doesn't have."""
    plain, _address = sock.accept()
    with socket.socket(fileno=os.dup(plain.fileno())) as below:
        below.settimeout(30)
        with plain, pytest.raises(ssl.SSLError):
            context.verify_mode = ssl.CERT_REQUIRED
            context.wrap_socket(plain, server_side=True)
        while below.recv(65536):  # closed with a request unread, it would reset the connection
            pass


@pytest.mark.parametrize(
    ("serve", "said", "words"),
    [
        (then_garbage, NO_MAC, "TLS failed: decryption failed or bad record mac"),
        (then_garbage, b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failed: the server sent what is"),
        (then_a_demand, b"", "TLS failed: the server wants a client certificate; give one with"),
    ],
    ids=["garbage", "plain HTTP", "client certificate"],
)
async def test_after_the_request(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    serve: Callable[[socket.socket, ssl.SSLContext, bytes], None],
    said: bytes,
    words: str,
) -> None:
    """What isn't TLS after a request was sent is no word of the operating system."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    with socket.create_server(("localhost", 0)) as sock:
        serving = asyncio.to_thread(serve, sock, theirs, said)
        served = asyncio.ensure_future(serving)
        url = f"https://localhost:{sock.getsockname()[1]}"
        ended = await attempt(connect(url, retry=ONCE, tls=ours), order)
        await served
    if serve is then_a_demand and type(ended) is NotSentError:
        return  # the demand came before a byte was written, which is as true
    assert type(ended) is OutcomeUnknownError
    also = "the server sent what is not TLS, or what can't be decrypted"  # OpenSSL 3.5
    assert words in str(ended) or (serve is then_garbage and also in str(ended))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "the host name can't be resolved: unknown"),
        (socket.EAI_AGAIN, "the host name can't be resolved: try again"),
    ],
)
def test_what_the_resolver_says(number: int, words: str) -> None:
    """The resolver's own words tell a name that doesn't exist from a resolver that failed."""
    said = socket.gaierror(number, words.rpartition(": ")[2].capitalize())
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorDNSError(key, said)
    assert ending_of(error) == (Ending.NO_CONNECTION, words)


def test_another_resolver_says_nothing_that_is_shown() -> None:
    """A resolver of one's own may say anything: only that it failed is told."""
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorDNSError(key, OSError(None, "secret"))
    assert ending_of(error) == (Ending.NO_CONNECTION, "the host name can't be resolved")
