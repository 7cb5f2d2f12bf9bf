"""What is told after each fault agrees with what the server knows."""

import asyncio
import gzip
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import cast

import pytest
import trustme
from support.certificates import presenting, trusting
from support.clients import Connect, assert_true, attempt
from support.clock import FastClock
from support.faults import (
    FaultServer,
    Play,
    Wire,
    answer,
    cut_answer,
    cut_request,
    deaf,
    drip,
    endless_continues,
    framed,
    hang,
    refusal,
    serve,
    session_body,
)

from frame_async import (
    CallError,
    Lane,
    LineItem,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RateLimit,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.errors import (
    CertificateError,
    RateLimitedError,
    SessionUnreadableError,
    WindowFullError,
)
from frame_async.stores import MemoryStore, Window

ONCE = RetryPolicy(max_retries=0)
RAISE = RetryPolicy(on_unknown="raise")
ANSWER = len(framed(session_body("pls_1_key")))


async def test_a_lost_answer_is_tried_again_and_admitted(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """After a lost answer there is a session, and one possible duplicate is admitted."""
    async with FaultServer.playing(cut_answer(0), serve) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.call.possible_duplicates == 1
    assert [a.outcome for a in ended.call.attempts] == [Outcome.UNKNOWN, Outcome.CREATED]
    assert len(server.created) == 2
    assert_true(ended, server)


async def test_a_lost_answer_can_be_raised(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """With on_unknown="raise", a lost answer is an error at once: a session may exist."""
    async with FaultServer.playing(cut_answer(0), serve) as server:
        ended = await attempt(connect(server, retry=RAISE), order)
    assert isinstance(ended, OutcomeUnknownError)
    assert len(ended.call.attempts) == 1
    assert "a session may exist: the connection broke" in str(ended)
    assert_true(ended, server)


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("after", [0, 1, 20, 100, 300])
async def test_a_request_cut_on_the_way(
    connect: Connect, order: PaymentLinkSessionRequest, after: int, *, reset: bool
) -> None:
    """A request that was cut short may have arrived: unknown, since we can't see how far."""
    async with FaultServer.playing(cut_request(after, reset=reset)) as server:
        ended = await attempt(connect(server, retry=ONCE), order)
    if after == 0 and isinstance(ended, NotSentError):  # seen in time, as uvloop does
        assert "closed before a byte was written" in str(ended)
    else:
        assert isinstance(ended, OutcomeUnknownError)
    assert_true(ended, server)


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_an_answer_cut_at_every_byte(
    connect: Connect, order: PaymentLinkSessionRequest, framing: str, *, reset: bool
) -> None:
    """Wherever an answer is cut, the truth is told, and after a 2xx nothing is repeated.

    FRAME_SOAK_CALLS cuts it at every byte; else at every seventh, and wherever something ends.
    """
    whole = framed(session_body("pls_1_key"), framing)
    status_line, head = whole.index(b"\r\n") + 2, whole.index(b"\r\n\r\n") + 4
    id_end = whole.index(b'_key"') + 5
    object_end = whole.rindex(b"}") + 1
    step = 1 if "FRAME_SOAK_CALLS" in os.environ else 7
    ends = (status_line, head, id_end, object_end, len(whole))
    for after in sorted({0, *range(1, len(whole), step), *ends, *(end - 1 for end in ends)}):
        async with FaultServer.playing(cut_answer(after, framing, reset=reset)) as server:
            client = connect(server, retry=RAISE)
            ended = await attempt(client, order)
            await client.aclose()
        assert_true(ended, server)
        assert len(ended.call.attempts) == 1
        if after < status_line:
            assert type(ended) is OutcomeUnknownError, after
        elif after < object_end:
            assert isinstance(ended, SessionUnreadableError), after
            assert ended.session_id == ("pls_1_key" if after >= id_end else None), after
        else:  # the object is whole, whatever happened to its frame
            assert isinstance(ended, PaymentLinkSession), after


HANGS: dict[str, Play] = {
    "never answers": hang,
    "never reads": deaf,
    "drips": drip(0.2),
    "1xx for ever": endless_continues,
    "half an answer": cut_answer(ANSWER // 2),
}


@pytest.mark.parametrize("name", [n for n in HANGS if n != "half an answer"])
async def test_nothing_outlasts_the_deadline(
    connect: Connect, order: PaymentLinkSessionRequest, name: str
) -> None:
    """A server that stalls in any way is left at the deadline, and the truth is told."""
    async with FaultServer.playing(HANGS[name]) as server:
        client = connect(server, attempt_timeout=500)
        shorter = asyncio.create_task(asyncio.sleep(0.4))
        async with asyncio.timeout(30):
            ended = await attempt(client, order, timeout=0.5)
        assert shorter.done()
    assert isinstance(ended, OutcomeUnknownError)
    assert "timed out" in str(ended)
    assert_true(ended, server)


async def test_a_large_body_that_nobody_reads(connect: Connect) -> None:
    """A body that fills every buffer of a server that never reads ends at the deadline."""
    items = [LineItem(product="p" * 1000) for _ in range(8000)]
    async with FaultServer.playing(deaf) as server:
        ended = await attempt(
            connect(server), PaymentLinkSessionRequest(line_items=items), timeout=0.7
        )
    assert isinstance(ended, OutcomeUnknownError)


async def test_an_attempt_has_a_limit_of_its_own(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """An attempt that takes too long is given up, and the next one gets its chance."""
    async with FaultServer.playing(hang, serve) as server:
        ended = await attempt(connect(server, attempt_timeout=0.3), order)
    assert isinstance(ended, PaymentLinkSession)
    assert [a.reason for a in ended.call.attempts] == ["timed out", ""]
    assert_true(ended, server)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 Bad Request", RequestRefusedError),
        ("401 Unauthorized", RequestRefusedError),
        ("403 Forbidden", RequestRefusedError),
        ("404 Not Found", RequestRefusedError),
        ("409 Conflict", RequestRefusedError),
        ("422 Unprocessable Content", RequestRefusedError),
        ("301 Moved Permanently", RequestRefusedError),
        ("304 Not Modified", RequestRefusedError),
        ("307 Temporary Redirect", RequestRefusedError),
    ],
)
async def test_a_refusal_is_final(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    status: str,
    error: type[CallError],
) -> None:
    """A 3xx or 4xx is never repeated, no redirect is followed: nothing was created."""
    said = refusal(status, "Location: /v1/elsewhere")
    if status.startswith("304"):
        said = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    async with FaultServer.playing(answer(said)) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, error)
    assert len(server.ledger) == 1
    assert ended.status == int(status[:3])
    assert_true(ended, server)


@pytest.mark.parametrize(
    "said",
    [
        refusal("408 Request Timeout"),
        refusal("500 Internal Server Error"),
        refusal("502 Bad Gateway", body=b"<html><title>502 Bad Gateway</title></html>"),
        refusal("503 Service Unavailable", "Retry-After: 3"),
        refusal("499 Client Closed Request"),
        refusal("999 Odd"),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=lambda said: said[:20].decode("latin-1").strip(),
)
async def test_answers_that_prove_nothing(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock, said: bytes
) -> None:
    """After an answer that proves nothing, the call is tried again and admits it."""

    async def break_off(wire: Wire) -> None:
        await wire.read_request()
        await wire.send(said)
        wire.close()

    async with FaultServer.playing(break_off, serve) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.call.possible_duplicates == 1
    assert len(clock.slept) == 1
    assert 1.0 <= clock.slept[0] <= 3.0
    assert_true(ended, server)


BODY = session_body("pls_9")

NOT_HTTP: dict[str, bytes] = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": b"\x16\x03\x01\x00\x02\x02\x28",
    "zeros": b"\x00\x01\x02",
    "lower case": framed(BODY).replace(b"HTTP", b"http", 1),
    "another version": framed(BODY).replace(b"HTTP/1.1", b"HTTP/4.2", 1),
    "a status of four digits": framed(BODY).replace(b"201", b"2010", 1),
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_not_http_is_never_asked_again(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock, name: str
) -> None:
    """An answer without a status is doubt, and the next one would look the same."""

    async def break_off(wire: Wire) -> None:
        await wire.read_request()
        await wire.send(NOT_HTTP[name])
        wire.close()

    async with FaultServer.playing(break_off, serve) as server:
        ended = await attempt(connect(server), order)
    if name == "another version" and isinstance(ended, PaymentLinkSession):
        pytest.skip("aiohttp's parser in Python takes any version")
    assert isinstance(ended, OutcomeUnknownError)
    assert ended.call.possible_duplicates == 1
    assert len(server.ledger) == 1
    assert clock.slept == []
    assert_true(ended, server)


REFUSED: dict[str, tuple[bytes, bytes]] = {
    "a negative length": (b"Content-Length: ", b"Content-Length: -"),
    "two lengths": (b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
    "two framings": (b"\r\n", b"\r\nTransfer-Encoding: chunked\r\n"),
    "a NUL in a header": (b"\r\n", b"\r\nX-Odd: a\x00b\r\n"),
    "no colon": (b"\r\n", b"\r\nOdd\r\n"),
    "a header of 200,000 bytes": (b"\r\n", b"\r\nX-Long: " + b"a" * 200_000 + b"\r\n"),
    "3,000 headers": (b"\r\n", b"\r\n" + 3000 * b"X: v\r\n"),
    "hints before": (b"HTTP", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP"),
    "a NUL and hints before": (
        b"HTTP/1.1 ",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 201 Made\r\nX: \0\r\nX-Was: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_status_counts_in_an_answer_that_is_refused(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock, name: str
) -> None:
    """Whatever follows a 2xx, the session exists, and what came of its answer is used."""

    async def play(wire: Wire) -> None:
        await wire.read_request()
        await wire.send(framed(wire.create()).replace(*REFUSED[name], 1))
        wire.close()

    async with FaultServer.playing(play, serve) as server:
        ended = await attempt(connect(server), order)
    (created,) = server.created
    assert ended.call.outcome is Outcome.CREATED
    assert ended.call.possible_duplicates == 0
    assert [a.status for a in ended.call.attempts] == [201]
    assert clock.slept == []
    if name in ("a header of 200,000 bytes", "3,000 headers"):
        assert isinstance(ended, SessionUnreadableError)
        assert "the answer is not HTTP; its id is lost" in str(ended)
    else:
        assert isinstance(ended, PaymentLinkSession)
        assert ended.id == created
    assert_true(ended, server)


async def test_a_refusal_that_is_refused(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """A 4xx with a head that aiohttp refuses still proves that nothing was created."""
    said = refusal("422 Unprocessable Content", "X-Odd: a\x00b", body=b'{"message": "no such"}')
    async with FaultServer.playing(answer(said)) as server:
        ended = await attempt(connect(server), order)
    assert type(ended) is RequestRefusedError
    assert ended.status == 422
    assert "no such" in str(ended)
    assert clock.slept == []
    assert_true(ended, server)


@pytest.mark.parametrize("way", ["dripped", "cancelled"])
async def test_a_head_that_never_ends(
    connect: Connect, order: PaymentLinkSessionRequest, way: str
) -> None:
    """A status line is proof, also when the deadline or a cancellation comes before its head."""

    async def play(wire: Wire) -> None:
        await wire.read_request()
        await wire.send(framed(wire.create())[:30])
        await asyncio.sleep(3600)

    async with FaultServer.playing(play) as server:
        client = connect(server, attempt_timeout=0.3 if way == "dripped" else 60)
        call = asyncio.create_task(attempt(client, order, "key"))
        if way == "cancelled":
            await asyncio.sleep(0.3)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            ended = await attempt(client, order, "key")
        else:
            ended = await call
        await client.aclose()
    assert isinstance(ended, SessionUnreadableError)
    assert len(server.created) == len(server.ledger) == 1


LONG_HEADS: dict[str, bytes] = {
    "a header of 64 KiB": b"Content-Security-Policy: " + b"a" * 65_536 + b"\r\n",
    "1,000 headers": b"".join(b"X-Header-%d: v\r\n" % n for n in range(1000)),
}


@pytest.mark.parametrize("status", ["201 Created", "422 Unprocessable Content"])
@pytest.mark.parametrize("name", LONG_HEADS)
async def test_a_long_head_is_read(
    connect: Connect, order: PaymentLinkSessionRequest, name: str, status: str
) -> None:
    """However much a server or a proxy adds to the head, the status line is proof."""
    said = framed(BODY, status=status).replace(b"\r\n", b"\r\n" + LONG_HEADS[name], 1)
    async with FaultServer.playing(answer(said)) as server:
        ended = await attempt(connect(server), order)
    assert len(server.ledger) == 1
    if status.startswith("201"):
        assert isinstance(ended, PaymentLinkSession)
        assert ended.id == "pls_9"
    else:
        assert type(ended) is RequestRefusedError


AFTER_THE_ANSWER: dict[str, bytes] = {
    "one byte": b"x",
    "a line break": b"\r\n",
    "a trailer": b"",
}


@pytest.mark.parametrize("name", AFTER_THE_ANSWER)
async def test_a_stray_byte_makes_one_session(
    connect: Connect, order: PaymentLinkSessionRequest, name: str
) -> None:
    """Whatever follows an answer, what was asked for once exists once."""

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            said = framed(wire.create()) + AFTER_THE_ANSWER[name]
            if name == "a trailer":
                said = framed(wire.create(), "chunked")[:-2] + b"X-Checksum: 1\r\n\r\n"
            await wire.send(said)

    async with FaultServer.playing(play) as server:
        ended = await attempt(connect(server), order)
    assert len(server.created) == 1
    assert isinstance(ended, PaymentLinkSession | OutcomeUnknownError)
    assert_true(ended, server)


LATER: dict[str, bytes] = {
    "400": refusal("400 Bad Request"),
    "401": refusal("401 Unauthorized"),
    "422": refusal("422 Unprocessable Content"),
    "429": refusal("429 Too Many Requests", "Retry-After: 100000"),
}


@pytest.mark.parametrize("later", LATER)
async def test_doubt_is_sticky(
    connect: Connect, order: PaymentLinkSessionRequest, later: str
) -> None:
    """A refusal after a lost answer doesn't undo the doubt: a session may exist."""
    async with FaultServer.playing(cut_answer(0), answer(LATER[later])) as server:
        ended = await attempt(connect(server), order)
    assert type(ended) is OutcomeUnknownError
    assert ended.status == int(later)
    assert ended.call.outcome is Outcome.UNKNOWN
    assert ended.call.possible_duplicates == 1
    assert_true(ended, server)


async def test_doubt_survives_a_refused_connection(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Connections refused after a lost answer don't undo the doubt either."""
    async with FaultServer.playing(cut_answer(0)) as server:

        async def close_the_door(wire: Wire) -> None:
            await wire.read_request()
            wire.create()
            assert server._server is not None
            server._server.close()
            wire.close()

        server.plays = [close_the_door]
        ended = await attempt(connect(server), order)
    assert type(ended) is OutcomeUnknownError
    outcomes = [a.outcome for a in ended.call.attempts]
    assert outcomes[0] is Outcome.UNKNOWN
    assert set(outcomes[1:]) == {Outcome.NOT_SENT}
    assert_true(ended, server)


async def test_a_refused_connection_is_retried_soon(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """Nobody listening: retried with full jitter from 0.2 s, and nothing can exist."""
    async with FaultServer.playing(serve) as server:
        url = server.url
    ended = await attempt(connect(url), order)
    assert type(ended) is NotSentError
    assert "connection refused" in str(ended)
    assert len(ended.call.attempts) == 7
    assert all(a.outcome is Outcome.NOT_SENT for a in ended.call.attempts)
    assert all(slept <= 0.2 * 2**nth for nth, slept in enumerate(clock.slept))


@pytest.mark.frame_network
async def test_a_host_that_does_not_exist(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A name that can't be resolved is *nothing was sent*, and says so."""
    ended = await attempt(connect("https://frame.invalid", retry=ONCE), order)
    assert type(ended) is NotSentError
    assert "the host name can't be resolved" in str(ended)


async def test_a_429_pauses_everyone(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """After a 429, calls that had no part in it wait as well, and don't start all at once."""
    said = refusal("429 Too Many Requests", "Retry-After: 20")
    async with FaultServer.playing(answer(said)) as server:
        client = connect(server, retry=ONCE)
        first = await attempt(client, order, "first")
        before = len(server.ledger)
        second = await attempt(client, order, "second")
    assert isinstance(first, RateLimitedError)
    assert before == 1
    assert isinstance(second, PaymentLinkSession)
    waited = second.call.attempts[0].window
    assert waited is not None
    assert 19 < waited < 21


async def test_a_pause_that_can_not_fit(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """A call whose deadline is before the end of the pause fails at once; nothing was sent."""
    said = refusal("429 Too Many Requests", "Retry-After: 500")
    async with FaultServer.playing(answer(said)) as server:
        client = connect(server, retry=ONCE)
        await attempt(client, order, "first")
        second = await attempt(client, order, "second")
    assert type(second) is WindowFullError
    assert "no place in the rate window before the deadline" in str(second)
    assert 499 < second.fits_in < 501
    assert second.call.attempts == ()
    assert clock.slept == []


async def test_retries_end(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """A server that is always down gets Frame's schedule: within 30 s, then the truth."""
    async with FaultServer.playing(answer(*[refusal("503 Service Unavailable")] * 20)) as server:
        ended = await attempt(connect(server, timeout=300), order)
    assert isinstance(ended, OutcomeUnknownError)
    assert [round(s - 0.25) for s in clock.slept] == [1, 2, 4, 8]
    assert "max_elapsed" in str(ended)
    assert ended.call.possible_duplicates == 5
    assert_true(ended, server)


async def test_the_budget_stops_a_storm(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """When everything fails, the client's budget ends the retries: 35 of them, not 6 a call."""
    async with FaultServer.playing(answer(*[refusal("500 Oh no")] * 500)) as server:
        client = connect(server, retry=RetryPolicy(max_retries=6, max_elapsed=1e6), timeout=1e6)
        ended = [await attempt(client, order, f"k{n}") for n in range(40)]
    assert len(server.ledger) == 40 + 500 // 14
    assert "too many calls of this client are failing" in str(ended[-1])


BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"<html>",
    "no id": b'{"status": "open"}',
    "cut": b'{"id": "pls_9", "livemode": fal',
    "a list": b"[]",
    "over 1 MiB": b'{"id": "pls_9", "x": "' + b"y" * 1_100_000 + b'"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_after_a_2xx_never_again(
    connect: Connect, order: PaymentLinkSessionRequest, name: str
) -> None:
    """A 2xx whose body can't be used is a session that exists: an error, never a retry."""
    body = BAD_BODIES[name]
    async with FaultServer.playing(answer(framed(body))) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, SessionUnreadableError)
    assert ended.call.outcome is Outcome.CREATED
    assert len(server.ledger) == 1
    assert ended.session_id == ("pls_9" if b"pls_9" in body else None)
    assert len(str(ended)) < 500
    assert str(ended).isprintable()


ODD_BODIES: dict[str, bytes] = {
    "not UTF-8": b'{"id": "pls_9", "x": "\xff"}',
    "wrong type": b'{"id": "pls_9", "livemode": "false"}',
    "deep": b'{"id": "pls_9", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "huge number": b'{"id": "pls_9", "x": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", ODD_BODIES)
async def test_after_a_2xx_odd_fields_cost_nothing(
    connect: Connect, order: PaymentLinkSessionRequest, name: str
) -> None:
    """A 2xx with an id is a session in hand, whatever else is in its body."""
    async with FaultServer.playing(answer(framed(ODD_BODIES[name]))) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, PaymentLinkSession)
    assert (ended.id, ended.livemode) == ("pls_9", None)
    assert len(server.ledger) == 1


async def test_a_compressed_answer_is_read(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """An answer compressed without being asked for is read; a bomb is cut off at 1 MiB."""

    def whole(body: bytes) -> bytes:
        said = gzip.compress(body)
        head = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        return head % len(said) + said

    bomb = whole(b'{"id": "' + b"x" * 2**26 + b'"}')
    async with FaultServer.playing(answer(whole(session_body("pls_9")), bomb)) as server:
        client = connect(server)
        good = await attempt(client, order, "good")
        bad = await attempt(client, order, "bad")
    assert isinstance(good, PaymentLinkSession)
    assert good.id == "pls_9"
    assert isinstance(bad, SessionUnreadableError)
    assert "larger than 1 MiB" in str(bad)


def packed(coding: str, body: bytes) -> bytes:
    """A body in a content coding."""
    if coding == "raw deflate":
        packer = zlib.compressobj(wbits=-15)
        return packer.compress(body) + packer.flush()
    return zlib.compress(body) if coding == "deflate" else gzip.compress(body)


@pytest.mark.parametrize(
    ("coding", "said", "cut"),
    [
        ("deflate", "deflate", None),
        ("raw deflate", "deflate", None),
        ("gzip", "", None),  # a proxy has lost the header
        ("gzip", "identity", None),
        ("gzip", "GZip, identity", None),
        ("gzip", "x-gzip", None),
        ("gzip", "gzip", -4),  # its length is missing
        ("gzip", "gzip", -8),  # its checksum too
        ("deflate", "deflate", -2),
    ],
)
async def test_a_compressed_answer_is_read_as_far_as_it_goes(
    connect: Connect, order: PaymentLinkSessionRequest, coding: str, said: str, cut: int | None
) -> None:
    """A session whose text came whole is read, however it was compressed, or named, or cut."""
    body = packed(coding, session_body("pls_9"))[:cut]
    named = f"Content-Encoding: {said}\r\n" if said else ""
    head = f"HTTP/1.1 201 Created\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    async with FaultServer.playing(answer(head.encode() + body)) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.id == "pls_9"


@pytest.mark.parametrize("declared", [0, 500])
async def test_the_id_in_a_compressed_answer_that_is_cut(
    connect: Connect, order: PaymentLinkSessionRequest, declared: int
) -> None:
    """The id is found in what came of a compressed answer, also if the connection broke."""
    said = b'{"id": "pls_9", "x": "' + os.urandom(400).hex().encode() + b'"}'
    body = gzip.compress(said)[:200]
    head = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    data = head % (len(body) + declared) + body
    play = answer(data) if not declared else say_and_close(data)
    async with FaultServer.playing(play) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, SessionUnreadableError)
    assert ended.session_id == "pls_9"


def say_and_close(data: bytes) -> Play:
    """Answer with less than was declared."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            await wire.send(data)
            wire.close()

    return play


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://pay.framepayments.com/s/1", True),
        ("http://127.0.0.1:8642/pay/1", True),
        ("http://pay.framepayments.com/s/1", False),
        ("javascript:alert(1)", False),
        ("https://pay.framepayments.com\\@evil.example", False),
        ("//evil.example", False),
        ("", False),
    ],
)
async def test_no_unsafe_page_is_handed_out(
    connect: Connect, order: PaymentLinkSessionRequest, url: str, *, kept: bool
) -> None:
    """An address that is neither https nor loopback http never reaches a payer."""
    import json

    body = json.dumps({"id": "pls_9", "url": url}).encode()
    async with FaultServer.playing(answer(framed(body))) as server:
        ended = await attempt(connect(server), order)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.url == (url if kept else None)
    assert url == "" or kept or url not in repr(ended.extra)


# Connections ------------------------------------------------------------------------


def push(data: bytes, *, then_close: bool = False, wait: float = 0.05) -> Play:
    """Answer one request properly, then say something unasked; then serve."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            await wire.send(framed(wire.create()))
            await asyncio.sleep(wait)
            await wire.send(data)
            if then_close:
                wire.close()
            else:
                await serve(wire)

    return play


PUSHES: dict[str, Play] = {
    "a forged 201": push(framed(session_body("pls_FORGED"))),
    "a forged 201 with the answer": push(framed(session_body("pls_FORGED")), wait=0),
    "half a forged 201": push(framed(session_body("pls_FORGED"))[:30]),
    "a 408": push(refusal("408 Request Timeout")),
    "a 408, then closed": push(refusal("408 Request Timeout"), then_close=True),
    "garbage": push(b"\x00\xffgarbage\r\n"),
    "nothing, then closed": push(b"", then_close=True),
}


@pytest.mark.parametrize("name", PUSHES)
async def test_what_was_said_unasked_is_not_heard(
    connect: Connect, order: PaymentLinkSessionRequest, name: str
) -> None:
    """Whatever a server says on an idle connection never reaches the next call."""
    async with FaultServer.playing(PUSHES[name], serve) as server:
        client = connect(server)
        first = await attempt(client, order, "first")
        await asyncio.sleep(0.15)
        second = await attempt(client, order, "second")
    assert isinstance(first, PaymentLinkSession)
    assert isinstance(second, PaymentLinkSession)
    assert second.id.endswith("second")
    assert [a.reused for a in second.call.attempts] == [False]
    assert_true(second, server, "second")


def push_from_a_thread(data: bytes) -> Play:
    """Answer one request properly, then say something while the event loop is blocked."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            await wire.send(framed(wire.create()))
            sock: socket.socket = wire.writer.get_extra_info("socket")

            def push() -> None:
                with socket.socket(fileno=os.dup(sock.fileno())) as line:
                    line.sendall(data) if data else line.shutdown(socket.SHUT_RDWR)

            threading.Timer(0.05, push).start()
            await serve(wire)

    return play


@pytest.mark.parametrize(
    "data", [framed(session_body("pls_FORGED")), b"HTTP/1.1 201", b""], ids=["201", "half", "FIN"]
)
async def test_what_the_event_loop_has_not_seen_is_not_heard(
    connect: Connect, order: PaymentLinkSessionRequest, data: bytes
) -> None:
    """What arrived on an idle connection, unread as yet, costs the next call nothing."""
    async with FaultServer.playing(push_from_a_thread(data), serve) as server:
        client = connect(server)
        await attempt(client, order, "first")
        time.sleep(0.15)  # so that it arrives unseen
        second = await attempt(client, order, "second")
    assert isinstance(second, PaymentLinkSession)
    assert second.id.endswith("second")
    assert [a.reused for a in second.call.attempts] == [False]
    assert_true(second, server, "second")


async def test_a_connection_that_closes_as_the_request_leaves(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A reused connection closed under the request is doubt, and the call is tried again."""

    async def one_then_close_on_the_next(wire: Wire) -> None:
        if await wire.read_request():
            await wire.send(framed(wire.create()))
            await wire.read_bytes(1)
            wire.close()

    async with FaultServer.playing(one_then_close_on_the_next, serve) as server:
        client = connect(server)
        await attempt(client, order, "first")
        ended = await attempt(client, order, "second")
    assert isinstance(ended, PaymentLinkSession)
    assert ended.call.attempts[0].reused is True
    assert ended.call.possible_duplicates == 1
    assert_true(ended, server, "second")


async def test_a_reset_of_everything_under_load(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """When all connections are reset at once, every call still ends with the truth."""

    async def slowly(wire: Wire) -> None:
        while await wire.read_request():
            await asyncio.sleep(0.02)
            await wire.send(framed(wire.create()))

    async with FaultServer.playing(slowly) as server:
        client = connect(server, max_in_flight=50, clock=None)
        calls = [asyncio.create_task(attempt(client, order, f"k{n}")) for n in range(300)]
        for _ in range(4):
            await asyncio.sleep(0.06)
            server.reset_all()
        ended = await asyncio.gather(*calls)
    assert sum(e.call.possible_duplicates for e in ended) >= 10
    assert sum(isinstance(e, PaymentLinkSession) for e in ended) >= 10
    for number, one in enumerate(ended):
        assert_true(one, server, f"k{number}")


LARGE = PaymentLinkSessionRequest(line_items=[LineItem(product="p" * 1000) for _ in range(12_000)])
"""More than the buffers of both sides hold."""


def reading(wire: Wire) -> asyncio.ReadTransport:
    """The half of a connection that reads."""
    return cast("asyncio.ReadTransport", wire.writer.transport)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_answer_before_the_request_was_read(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    authority: trustme.CA,
    scheme: str,
) -> None:
    """A connection that still has something to send isn't used for the next call."""

    async def early(wire: Wire) -> None:
        reading(wire).pause_reading()
        await asyncio.sleep(0.1)
        await wire.send(refusal("413 Content Too Large"))
        await asyncio.sleep(10)

    tls = presenting(authority.issue_cert("localhost")) if scheme == "https" else None
    options = {"tls": trusting(authority)} if tls else {}
    async with FaultServer.playing(early, serve, tls=tls) as server:
        client = connect(server, **options)
        large = await attempt(client, LARGE, "large")
        ended = await attempt(client, order, "next", timeout=2.0, retry=ONCE)
    assert type(large) is RequestRefusedError
    assert isinstance(ended, PaymentLinkSession)
    assert [a.reused for a in ended.call.attempts] == [False]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_request_that_was_given_up_goes_no_further(
    connect: Connect, authority: trustme.CA, how: str, scheme: str
) -> None:
    """What of a request wasn't sent by then never is: it neither arrives later nor stays."""
    begun, given_up = asyncio.Event(), asyncio.Event()
    arrived: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def late(wire: Wire) -> None:
        reading(wire).pause_reading()
        begun.set()
        await given_up.wait()
        reading(wire).resume_reading()
        arrived.set_result(await wire.read_request())

    tls = presenting(authority.issue_cert("localhost")) if scheme == "https" else None
    options = {"tls": trusting(authority)} if tls else {}
    async with FaultServer.playing(late, tls=tls) as server:
        client = connect(server, **options)
        task = asyncio.create_task(attempt(client, LARGE, timeout=3.0, retry=ONCE))
        if how == "cancelled":
            await begun.wait()
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait({task})
        else:
            assert type(await task) is OutcomeUnknownError
        given_up.set()
        assert await asyncio.wait_for(arrived, 30) is False


class SlowStore(MemoryStore):
    """Takes its time to give a place in the window."""

    slow = False

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`."""
        await asyncio.sleep(0.2 * (self.slow))
        return await super().enter(window, token, lane, hold, pace=pace)


async def test_a_call_without_time_left_sends_nothing(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A place in the window that comes after the deadline isn't used: that would be doubt."""
    store = SlowStore()
    async with FaultServer.playing(serve) as server:
        client = connect(server, store=store, rate_limit=RateLimit(50), clock=None)
        await attempt(client, order, "first")  # leaves a connection that can be used at once
        store.slow = True
        ended = await attempt(client, order, "late", timeout=0.1)
        await asyncio.sleep(0.05)
    assert type(ended) is NotSentError
    assert "timed out" in str(ended)
    assert not server.created_for("late")
    assert_true(ended, server, "late")


async def test_waiting_at_the_gate_is_never_doubt(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A call whose time runs out while it waits for a connection slot sent nothing."""
    async with FaultServer.playing(hang) as server:
        client = connect(server, max_in_flight=1)
        busy = asyncio.create_task(attempt(client, order, "busy", timeout=1.0, retry=ONCE))
        await asyncio.sleep(0.05)
        ended = await attempt(client, order, "waiting", timeout=0.2)
        await busy
    assert type(ended) is NotSentError
    assert "waiting for a connection slot" in str(ended)
    assert_true(ended, server, "waiting")


# TLS --------------------------------------------------------------------------------


async def test_over_tls(
    connect: Connect, order: PaymentLinkSessionRequest, authority: trustme.CA
) -> None:
    """With an authority of one's own, calls go over TLS and reuse their connection."""
    tls = presenting(authority.issue_cert("localhost"))
    async with FaultServer.playing(serve, tls=tls) as server:
        client = connect(server, tls=trusting(authority))
        first = await attempt(client, order, "first")
        second = await attempt(client, order, "second")
    assert isinstance(first, PaymentLinkSession)
    assert isinstance(second, PaymentLinkSession)
    assert second.call.attempts[0].reused is True


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    from datetime import UTC, datetime, timedelta

    return authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))


BAD_CERTIFICATES: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "another authority": lambda _: trustme.CA().issue_cert("localhost"),
    "another host": lambda authority: authority.issue_cert("shop.example"),
    "expired": _expired,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the server's side of a failed handshake
@pytest.mark.parametrize("name", BAD_CERTIFICATES)
async def test_a_bad_certificate_is_final(
    connect: Connect, order: PaymentLinkSessionRequest, authority: trustme.CA, name: str
) -> None:
    """A certificate that can't be trusted ends the call at once, with nothing sent."""
    tls = presenting(BAD_CERTIFICATES[name](authority))
    async with FaultServer.playing(serve, tls=tls) as server:
        ended = await attempt(connect(server, tls=trusting(authority)), order)
    assert type(ended) is CertificateError
    assert len(ended.call.attempts) == 1
    assert not server.ledger


async def test_plain_text_where_tls_was_expected(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A server that doesn't speak TLS gets nothing of the request."""
    async with FaultServer.playing(answer(b"")) as server:
        url = server.url.replace("http://", "https://")
        ended = await attempt(connect(url, retry=ONCE), order, timeout=3.0)
    assert type(ended) is NotSentError
    assert not any(b"sk_sandbox" in seen.received for seen in server.ledger)


async def test_a_tls_handshake_that_stalls(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A handshake that never ends is left after connect_timeout: nothing was sent."""
    async with FaultServer.playing(deaf) as server:
        url = server.url.replace("http://", "https://")
        client = connect(url, retry=ONCE, connect_timeout=0.3, attempt_timeout=500)
        async with asyncio.timeout(30):
            ended = await attempt(client, order, timeout=1_000)
    assert type(ended) is NotSentError
