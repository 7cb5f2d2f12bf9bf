"""An `aiohttp.ClientSession` of one's own: what holds, what is overruled, what is refused."""

import asyncio
import socket
import ssl
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clients import Connect, attempt
from support.faults import FaultServer, answer, cut_answer, hang, serve

from frame_async import (
    FrameClient,
    NotSentError,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RetryPolicy,
)
from frame_async.errors import ClientClosedError, ConfigurationError

Handler = aiohttp.ClientHandlerType


def head_of(server: FaultServer, number: int = 0) -> str:
    """The head of a request that the server got."""
    return server.ledger[number].received.partition(b"\r\n\r\n")[0].decode()


async def test_it_sends_and_stays_open(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """Several clients send through one session, which closing them leaves open."""
    async with FaultServer.playing(serve) as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            client = connect(server, http=session)
            assert isinstance(await attempt(client, order), PaymentLinkSession)
            await client.aclose()
            assert not session.closed
    assert len({seen.connection for seen in server.ledger}) == 1


async def test_closed_by_its_owner(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """A call after the session was closed says so; nothing is sent."""
    async with FaultServer.playing(serve) as server:
        async with aiohttp.ClientSession() as session:
            client = connect(server, http=session)
        with pytest.raises(ClientClosedError, match="given as http is closed"):
            await client.payment_link_sessions.create(order)
        with pytest.raises(ConfigurationError, match="http is closed"):
            connect(server, http=session)
    assert not server.ledger


async def test_a_body_that_a_middleware_replaces(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """What it sends in its place may arrive: an answer that is lost leaves doubt."""

    async def sign(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        await request.update_body(b'{"line_items":[{"product":"prod_2"}]}')
        return await handler(request)

    once = RetryPolicy(max_retries=0)
    async with (
        FaultServer.playing(cut_answer(0), serve) as server,
        aiohttp.ClientSession(middlewares=[sign]) as session,
    ):
        client = connect(server, http=session, retry=once)
        try:
            raise ValueError  # a call in the handling of an error is no other
        except ValueError:
            lost = await attempt(client, order)
        assert isinstance(await attempt(client, order, "second"), PaymentLinkSession)
    assert type(lost) is OutcomeUnknownError
    assert lost.call.possible_duplicates == 1
    assert all(b"prod_2" in seen.received for seen in server.ledger)


async def test_a_middleware_before_which_there_is_no_connection(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A body that nobody replaced proves as before that nothing was sent."""

    async def watch(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=[watch]) as session:
        client = connect("http://127.0.0.1:9", http=session, retry=RetryPolicy(max_retries=0))
        assert type(await attempt(client, order)) is NotSentError


@pytest.mark.parametrize("where", ["middleware", "trace"])
async def test_code_that_fails_after_sending(
    connect: Connect, order: PaymentLinkSessionRequest, where: str
) -> None:
    """A defect of the user's own after an answer makes one session, and not one for each retry."""

    async def fail(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        await handler(request)
        raise ZeroDivisionError

    async def end(*_: object) -> None:
        raise ZeroDivisionError

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(end)
    options: dict[str, Any] = {"middlewares": [fail]}
    if where == "trace":
        options = {"trace_configs": [trace]}
    async with FaultServer.playing(serve) as server, aiohttp.ClientSession(**options) as session:
        ended = await attempt(connect(server, http=session), order)
    assert type(ended) is OutcomeUnknownError
    assert "an unforeseen failure: ZeroDivisionError" in str(ended)
    assert len(server.created) == 1


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
async def test_a_password_in_netrc(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    """A session that would take another password from .netrc is refused, and only then."""
    (tmp_path / "netrc").write_text(f"machine {host} login ada password h1dden-word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with (
        FaultServer.playing(serve) as server,
        aiohttp.ClientSession(trust_env=True) as session,
    ):
        if host == "localhost":
            with pytest.raises(ConfigurationError, match=r"\.netrc has a password") as refused:
                connect(server, http=session)
            assert "h1dden" not in str(refused.value)
        else:
            assert isinstance(
                await attempt(connect(server, http=session), order), PaymentLinkSession
            )


async def test_closed_by_its_owner_during_a_call(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A call that is under way when its session is closed isn't repeated."""
    async with FaultServer.playing(hang) as server, aiohttp.ClientSession() as session:
        call = asyncio.create_task(attempt(connect(server, http=session), order))
        await asyncio.sleep(0.1)
        await session.close()
        ended = await call
    assert type(ended) is OutcomeUnknownError
    assert "the client was closed" in str(ended)
    assert len(ended.call.attempts) == 1


@pytest.mark.frame_network
async def test_its_unix_socket_holds(
    connect: Connect, order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """A connector of another kind is where requests go."""
    seen: list[bytes] = []

    async def on_unix(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"id":"s_1"}')
        await writer.drain()
        writer.close()

    path = str(tmp_path / "s")
    server = await asyncio.start_unix_server(on_unix, path)
    async with server, aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
        client = connect("https://api.framepayments.com", http=session, tls=None)
        ended = await attempt(client, order)
    assert seen
    assert b"Host: api.framepayments.com" in seen[0]
    assert not isinstance(ended, PaymentLinkSession) or ended.id == "s_1"


async def test_its_local_address_and_resolver_hold(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A local address and a resolver of one's own are used."""
    asked: list[str] = []

    class Resolver(aiohttp.abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[aiohttp.abc.ResolveResult]:
            asked.append(host)
            return [
                aiohttp.abc.ResolveResult(
                    hostname=host,
                    host="127.0.0.1",
                    port=port,
                    family=family,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            ]

        async def close(self) -> None:
            pass

    async with FaultServer.playing(serve) as server:
        connector = aiohttp.TCPConnector(resolver=Resolver(), local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            client = connect(server.url.replace("127.0.0.1", "localhost"), http=session)
            assert isinstance(await attempt(client, order), PaymentLinkSession)
    assert asked == ["localhost"]


async def test_its_traces_and_middlewares_hold(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A trace sees the request, and a middleware adds its header."""
    traced: list[str] = []

    async def ended(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        traced.append(params.method)

    async def adding(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        request.headers["X-Team"] = "checkout"
        return await handler(request)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(ended)
    async with (
        FaultServer.playing(serve) as server,
        aiohttp.ClientSession(trace_configs=[trace], middlewares=[adding]) as session,
    ):
        client = connect(server, http=session)
        assert isinstance(await attempt(client, order), PaymentLinkSession)
    assert traced == ["POST"]
    assert "X-Team: checkout" in head_of(server)


async def test_a_middleware_that_sends_twice_is_admitted(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Two requests for one attempt are a possible duplicate, however the second one ended."""

    async def twice(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        first = await handler(request)
        await first.read()
        return await handler(request)

    async with (
        FaultServer.playing(serve) as server,
        aiohttp.ClientSession(middlewares=[twice]) as session,
    ):
        ended = await attempt(connect(server, http=session), order)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.call.possible_duplicates == 1


async def test_what_is_overruled(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """Its base URL, errors, limits, decompression and headers of ours don't change the call."""
    options: dict[str, Any] = {
        "base_url": "https://elsewhere.example/",
        "raise_for_status": True,
        "timeout": aiohttp.ClientTimeout(total=0.000_001),
        "max_field_size": 100,
        "headers": {
            "authorization": "Bearer other",
            "Content-Type": "text/plain",
            "Accept-Encoding": "gzip",
            "User-Agent": "shop/1",
            "X-Team": "checkout",
        },
    }
    long = b"HTTP/1.1 201 Created\r\nX-Long: %s\r\nContent-Length: 12\r\n\r\n" % (b"x" * 9000)
    async with (
        FaultServer.playing(serve, answer(long + b'{"id":"s_1"}')) as server,
        aiohttp.ClientSession(**options) as session,
    ):
        client = connect(server, http=session)
        first = await attempt(client, order)
        second = await attempt(client, order, "second")
    assert isinstance(first, PaymentLinkSession), first
    assert isinstance(second, PaymentLinkSession), second
    head = head_of(server)
    assert "Bearer sk_sandbox_test" in head
    assert "Bearer other" not in head
    assert "Content-Type: application/json" in head
    assert "Accept-Encoding: identity" in head
    assert "X-Team: checkout" in head
    assert "User-Agent: frame-async/" in head


async def test_what_is_refused(connect: Connect) -> None:
    """What a request can't overrule is refused by name when the client is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        signing = aiohttp.ClientSession(auth=aiohttp.BasicAuth("u", "p"))
    async with signing:
        with pytest.raises(ConfigurationError, match="http has auth="):
            connect("http://127.0.0.1:1", http=signing)
    async with aiohttp.ClientSession(headers={"host": "x", "Expect": "100-continue"}) as session:
        with pytest.raises(ConfigurationError, match="default header Host, Expect"):
            connect("http://127.0.0.1:1", http=session)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookies={"who": "me"}, cookie_jar=jar) as session:
        with pytest.raises(ConfigurationError, match=r"cookies for this address \(who\)"):
            connect("http://127.0.0.1:1", http=session)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="tls can't be given with http"):
            connect("http://127.0.0.1:1", http=session, tls=ssl.create_default_context())
    with pytest.raises(ConfigurationError, match="ClientSession, not str"):
        FrameClient("sk_sandbox_x", http="session")  # type: ignore[arg-type]


async def test_an_answer_that_is_lost_is_unknown(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """What was sent is known on another's session, too."""
    async with FaultServer.playing(cut_answer(0)) as server, aiohttp.ClientSession() as session:
        ended = await attempt(
            connect(server, http=session, retry=RetryPolicy(max_retries=0)), order
        )
    assert type(ended) is OutcomeUnknownError


async def test_headers_of_ones_own(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """Headers given to the client go with each request; a User-Agent goes before ours."""
    async with FaultServer.playing(serve) as server:
        client = connect(server, headers={"X-Gateway": "t0ken-1", "User-Agent": "shop/2.1"})
        assert isinstance(await attempt(client, order), PaymentLinkSession)
    assert "X-Gateway: t0ken-1" in head_of(server)
    assert "User-Agent: shop/2.1 frame-async/" in head_of(server)
    assert "t0ken-1" not in repr(vars(client))


@pytest.mark.parametrize("value", ["Bearer eyJhbGciOi", "desk_sandbox_1", "sk_42", "Basic eA=="])
def test_keys_of_others_are_theirs(value: str) -> None:
    """What a gateway wants to have is sent, as long as it is no key of Frame's."""
    client = FrameClient("0wn_h1dden_key", headers={"X-Gateway": value})
    assert value not in repr(client)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"authorization": "Bearer h1dden"}, "authorization is set by the library"),
        ({"Idempotency-Key": "h1dden"}, "Idempotency-Key is set by the library"),
        ({"Content-Length": "1"}, "Content-Length is set by the library"),
        ({"X-A": "h1dden\r\nX-B: 1"}, "the value of X-A must be visible ASCII"),
        ({"X-A": ""}, "the value of X-A must be visible ASCII"),
        ({"X-A": 7}, "the value of X-A must be visible ASCII"),
        ({"X A": "h1dden"}, "names must be letters, digits and hyphens"),
        ({"X-A": "1", "x-a": "2"}, "is given twice"),
        (["X-A"], "must be a mapping of names to values, not list"),
        ({"X-A": "sk_sandbox_h1dden"}, "X-A has an API key or a secret in it"),
        ({"X-A": "rk_production_h1dden"}, "X-A has an API key or a secret in it"),
        ({"X-A": "Bearer pk_sandbox_h1dden"}, "X-A has an API key or a secret in it"),
        ({"X-A": "a=1; b=whsec_h1dden"}, "X-A has an API key or a secret in it"),
        ({"X-A": "before0wn_h1dden_key"}, "X-A has an API key or a secret in it"),
        ({"0wn_h1dden_key": "1"}, "the name of one is an API key or a secret"),
        ({"X-sk_sandbox_h1dden": "1"}, "the name of one is an API key or a secret"),
    ],
)
def test_headers_that_are_refused(headers: object, words: str) -> None:
    """A header that is ours, none, or shows a key is refused, and its value isn't shown."""
    with pytest.raises(ConfigurationError, match=words) as no:
        FrameClient("0wn_h1dden_key", headers=headers)  # type: ignore[arg-type]
    assert "h1dden" not in str(no.value)
