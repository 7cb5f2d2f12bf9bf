"""Through a proxy, over real sockets and real TLS."""

import traceback

import pytest
import trustme
from support.certificates import presenting, trusting
from support.clients import Connect, attempt
from support.faults import FaultServer, serve
from support.proxies import Proxy

from frame_async import (
    FrameClient,
    NotSentError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RetryPolicy,
)
from frame_async.errors import ConfigurationError

LOGIN = "payer:p4ss-w0rd"

pytestmark = pytest.mark.frame_network


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
async def test_through_a_proxy(
    connect: Connect, order: PaymentLinkSessionRequest, authority: trustme.CA, secured: bool
) -> None:
    """Calls go through an HTTP or HTTPS proxy that knows the password, and reuse the tunnel."""
    tls = presenting(authority.issue_cert("localhost"))
    async with (
        Proxy(credentials=LOGIN, tls=tls if secured else None) as proxy,
        FaultServer.playing(serve, tls=tls) as server,
    ):
        client = connect(server, tls=trusting(authority), proxy=proxy.url)
        first = await attempt(client, order)
        second = await attempt(client, order, "second")
        await client.aclose()
    assert isinstance(first, PaymentLinkSession), first
    assert isinstance(second, PaymentLinkSession), second
    assert second.call.attempts[0].reused is True
    assert len(proxy.heads) == 1
    assert b"sk_sandbox" not in proxy.heads[0]


@pytest.mark.parametrize(
    ("status", "words", "attempts"),
    [
        (407, "HTTP 407, its user and password; check those of the proxy", 1),
        (403, "the proxy refused the connection: HTTP 403", 1),
        (502, "no connection: the proxy answered HTTP 502", 3),
    ],
)
async def test_a_proxy_that_refuses(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    authority: trustme.CA,
    status: int,
    words: str,
    attempts: int,
) -> None:
    """What a proxy answers to CONNECT is said, nothing was sent, and only a 5xx is tried again."""
    async with (
        Proxy(status=status) as proxy,
        FaultServer.playing(serve, tls=presenting(authority.issue_cert("localhost"))) as server,
    ):
        client = connect(
            server, tls=trusting(authority), proxy=proxy.url, retry=RetryPolicy(max_retries=2)
        )
        ended = await attempt(client, order)
        await client.aclose()
    assert type(ended) is NotSentError
    assert words in str(ended)
    assert len(ended.call.attempts) == attempts
    assert not server.ledger


async def test_a_wrong_password_shows_nowhere(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A proxy's password is in no message, repr or traceback with variables."""
    async with Proxy(credentials="payer:another") as proxy:
        url = proxy.url.replace("another", "h1dden-word")
        client = connect("https://frame.example", proxy=url)
        ended = await attempt(client, order)
        await client.aclose()
    assert type(ended) is NotSentError
    assert "407" in str(ended)
    shown = traceback.TracebackException.from_exception(ended, capture_locals=True)
    assert "h1dden-word" not in "".join(shown.format()) + repr(client)


async def test_no_proxy_there(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """A proxy that can't be reached is told from the server that can't be."""
    client = connect(
        "https://frame.example", proxy="http://127.0.0.1:9", retry=RetryPolicy(max_retries=0)
    )
    ended = await attempt(client, order)
    assert type(ended) is NotSentError
    assert "the proxy can't be reached: connection refused" in str(ended)


async def test_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    order: PaymentLinkSessionRequest,
    authority: trustme.CA,
) -> None:
    """``"environment"`` means HTTPS_PROXY as it is when the client is made; NO_PROXY counts."""
    async with (
        Proxy() as proxy,
        FaultServer.playing(serve, tls=presenting(authority.issue_cert("localhost"))) as server,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = connect(server, tls=trusting(authority), proxy="environment")
        monkeypatch.setenv("NO_PROXY", "localhost")
        direct = connect(server, tls=trusting(authority), proxy="environment")
        assert isinstance(await attempt(client, order), PaymentLinkSession)
        assert len(proxy.heads) == 1
        assert isinstance(await attempt(direct, order), PaymentLinkSession)
        assert len(proxy.heads) == 1
        await client.aclose()
        await direct.aclose()


async def test_of_a_variable_of_our_own(
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    order: PaymentLinkSessionRequest,
    authority: trustme.CA,
) -> None:
    """FRAME_PROXY names the proxy where no argument does."""
    async with (
        Proxy() as proxy,
        FaultServer.playing(serve, tls=presenting(authority.issue_cert("localhost"))) as server,
    ):
        monkeypatch.setenv("FRAME_PROXY", proxy.url)
        client = connect(server, tls=trusting(authority))
        assert isinstance(await attempt(client, order), PaymentLinkSession)
        assert len(proxy.heads) == 1
        await client.aclose()


async def test_a_variable_that_is_ignored_is_said(
    monkeypatch: pytest.MonkeyPatch, connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Where there is no connection, a proxy variable that isn't used is named, not its value."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:h1dden-word@proxy.example:1")
    client = connect("https://frame.invalid", retry=RetryPolicy(max_retries=0))
    ended = await attempt(client, order)
    assert 'HTTPS_PROXY is set, and not used: pass proxy="environment" or set' in str(ended)
    assert "h1dden-word" not in str(ended)


@pytest.mark.parametrize(
    "url",
    [
        "h1dden:3128",
        "socks5://h1dden:1080",
        "http://?h1dden",
        "http://h1dden:port",
        "http://h1dden:99999",
        "http://h1dden/path",
        "http://h1dden.example?x=1",
        "http://h1d den.example:3128",
        "http://h1dden\n.example:3128",
        "Environment-h1dden",
        "",
        7,
    ],
)
def test_what_is_no_proxy(url: object) -> None:
    """Anything but the URL of an HTTP proxy is refused by name, and not shown."""
    with pytest.raises(ConfigurationError, match=r"^proxy must be the URL of an HTTP proxy") as no:
        FrameClient("sk_sandbox_x", proxy=url)  # type: ignore[arg-type]
    assert "h1dden" not in str(no.value)


def test_a_password_that_is_not_encoded() -> None:
    """A slash in a password ends the URL's host; the message says what to do about it."""
    with pytest.raises(ConfigurationError, match="both percent-encoded") as no:
        FrameClient("sk_sandbox_x", proxy="http://ada:h1d@den/word@proxy.example:3128")
    assert "den" not in str(no.value)
