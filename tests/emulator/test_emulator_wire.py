"""Bad bytes: what no well-behaved client sends, sent over a plain socket."""

import asyncio
import io
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
LIMIT = 1024**2
Until = Callable[[Callable[[], object]], Awaitable[None]]
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk_sandbox_SECRETSECRET\r\n"
)
JSON = "Content-Type: application/json\r\n"


def address(emulator: Emulator) -> tuple[str, int]:
    """The emulator's host and port."""
    parts = urlsplit(emulator.base_url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


async def talk(emulator: Emulator, *parts: str | bytes) -> bytes:
    """Send bytes, say that this was all, and return everything that comes back."""
    reader, writer = await asyncio.open_connection(*address(emulator))
    for part in parts:
        writer.write(part.encode("latin-1") if isinstance(part, str) else part)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def framed(body: bytes, more: str = "") -> bytes:
    """A request with a body, after which the connection ends."""
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (HEAD + JSON + more + length).encode("latin-1") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"line_items": NaN}',
        b'{"line_items": -Infinity}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"line_items": [{"product": "p"}]}',
        '{"line_items": [{"product": "p"}]}'.encode("utf-16"),
        b'{"expires_in": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"null",
        b"[]",
        b'"text"',
        b"1",
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_no_json_object_is_400(
    emulator: Emulator, http: aiohttp.ClientSession, body: bytes
) -> None:
    """A body that is not a JSON object in UTF-8 gets 400 in the envelope and creates nothing."""
    headers = {"Content-Type": "application/json"}
    answer = await http.post(PATH, data=body, headers=headers)
    assert answer.status == 400
    assert (await answer.json())["error"]["type"] == "invalid_request_error"
    assert emulator.created() == ()
    assert (emulator.ledger[0].status, emulator.ledger[0].body) == (400, None)


async def test_last_of_two_equal_names_counts(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Of a name that occurs twice the last value is taken."""
    body = b'{"client_reference_id": "a", "line_items": [{"product": "p"}], '
    body += b'"client_reference_id": "b"}'
    answer = await http.post(PATH, data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 201
    assert len(emulator.created("b")) == 1


async def test_half_a_character_is_refused_and_answered(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A lone surrogate, which JSON can spell, breaks neither the answer nor the ledger."""
    body = b'{"line_items": [{"product": "\\ud800"}], "\\udfff": 1}'
    answer = await http.post(PATH, data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 422
    assert "must be valid Unicode" in await answer.text()
    assert emulator.ledger[0].unknown_fields == ("\udfff",)


async def test_numbers_beyond_floats_are_no_integers(http: aiohttp.ClientSession) -> None:
    """1e400 and 900.0 are JSON numbers but no integers."""
    for number in (b"1e400", b"900.0"):
        body = b'{"line_items": [{"product": "p"}], "expires_in": ' + number + b"}"
        answer = await http.post(PATH, data=body, headers={"Content-Type": "application/json"})
        assert answer.status == 422


async def test_largest_body_is_one_mebibyte(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A body of exactly 1 MiB is read, one byte more gets 413."""
    base = json.dumps(order).encode()
    headers = {"Content-Type": "application/json"}
    for size, status in ((LIMIT, 201), (LIMIT + 1, 413)):
        data = io.BytesIO(base.ljust(size))
        assert (await http.post(PATH, data=data, headers=headers)).status == status


async def test_chunked_body_is_counted(http: aiohttp.ClientSession) -> None:
    """A body without a length gets 413 as soon as it is too large."""

    async def chunks() -> Any:
        for _ in range(24):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    answer = await http.post(PATH, data=chunks(), headers=headers)
    assert answer.status == 413
    assert (await answer.json())["error"]["message"] == "The body is larger than 1 MiB."


async def test_announced_size_is_enough_to_refuse(emulator: Emulator) -> None:
    """A length beyond the limit is refused before the body comes."""
    answer = await talk(
        emulator, HEAD, JSON, f"Content-Length: {LIMIT + 1}\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_connection_serves_on_after_a_refused_body(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """After a 401 and a 413 the same client is served as if nothing had been."""
    headers = {"Content-Type": "application/json"}
    bad = await http.post(PATH, json=order, headers={"Authorization": "Bearer x"})
    huge = await http.post(PATH, data=io.BytesIO(b" " * (LIMIT + 1)), headers=headers)
    good = await http.post(PATH, json=order)
    assert [bad.status, huge.status, good.status] == [401, 413, 201]


async def test_compressed_body_is_refused(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A content coding gets 415; nothing is unpacked."""
    for coding in ("gzip", "deflate", "br"):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = await http.post(PATH, data=b"\x1f\x8b", headers=headers)
        assert answer.status == 415
    answer = await http.post(PATH, json=order, headers={"Content-Encoding": "identity"})
    assert answer.status == 201


async def send_broken_chunks(base_url: str, pause: float) -> bytes:
    """Send a body in chunks that are none, and return what comes back."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write((HEAD + JSON + "Transfer-Encoding: chunked\r\n\r\n").encode())
    await asyncio.sleep(pause)
    writer.write(b"9\r\n4242SECRET\r\n{}\r\n")
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


@pytest.mark.parametrize("pause", [0, 0.1])
async def test_broken_chunks_are_refused(
    emulator: Emulator, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that are none get 400 or, when aiohttp keeps that to itself, 408."""
    monkeypatch.setattr("frame_async.emulator.api.bodies.PATIENCE", 0.3)
    answer = await send_broken_chunks(emulator.base_url, pause)
    assert answer.split(b" ")[1] in (b"400", b"408")
    assert b'"invalid_request_error"' in answer
    assert b"X-Request-Id: " in answer
    assert emulator.created() == ()


async def test_broken_chunks_are_400_without_extensions() -> None:
    """With aiohttp's parser in Python they get 400, and no log repeats them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "frame_async.emulator", "--port", "0", "--log", "off"),
        env=os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    answer = await send_broken_chunks(line.split()[4].decode(), 0.1)
    process.terminate()
    _, errors = await process.communicate()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"not framed" in answer
    assert errors == b""


async def test_body_that_does_not_come_is_408(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that stops in the middle of its body is not waited for without end."""
    monkeypatch.setattr("frame_async.emulator.api.bodies.PATIENCE", 0.2)
    answer = await talk(emulator, HEAD, JSON, "Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert emulator.ledger[0].status == 408


async def test_body_that_comes_late_is_read(emulator: Emulator, order: dict[str, Any]) -> None:
    """A body that follows its head after a while, in two pieces, is as good as any."""
    request = framed(json.dumps(order).encode())
    reader, writer = await asyncio.open_connection(*address(emulator))
    for piece in (request[:-20], request[-20:-10], request[-10:]):
        writer.write(piece)
        await asyncio.sleep(0.05)
    assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 201 ")
    writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        "GARBAGE sk_sandbox_SECRETSECRET\r\n\r\n",
        f"POST {PATH} HTTP/1.1\r\nAuthorization: Bearer sk_sandbox_SECRET\x00SECRET\r\n\r\n",
        f"POST {PATH} HTTP/1.1\r\nsk_sandbox_SECRETSECRET\r\n\r\n",
        f"POST {PATH} HTTP/1.1\r\nsk sandbox SECRETSECRET: 1\r\n\r\n",
        HEAD + "X: " + "SECRET" * 2000 + "\r\n\r\n",
        HEAD + "Content-Length: 1SECRET\r\n\r\n",
        HEAD + "Content-Length: -1\r\n\r\n",
        HEAD + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + "".join(f"X-{n}: SECRET\r\n" for n in range(500)) + "\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        f"POST {PATH} HTTP/9.9\r\nX: sk_sandbox_SECRETSECRET\r\n\r\n",
        "POST http://[::SECRET/ HTTP/1.1\r\n\r\n",
    ],
)
async def test_unreadable_http_is_400_and_not_repeated(
    emulator: Emulator, raw: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be read as HTTP gets 400 with a request id; neither answer nor log repeats it."""
    caplog.set_level(0)
    answer = await talk(emulator, raw)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"X-Request-Id: " in answer
    assert b'"invalid_request_error"' in answer
    assert b"SECRET" not in answer
    assert "SECRET" not in caplog.text
    assert emulator.ledger == ()


@pytest.mark.parametrize(
    "target", ["http://other.example/x", "/%ff%00", "/v1/../v1/x", "//", "/pay//"]
)
async def test_odd_targets_are_404(emulator: Emulator, target: str) -> None:
    """Whatever stands for a path, it is answered, and with 404."""
    raw = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await talk(emulator, raw)).startswith(b"HTTP/1.1 404 ")


async def test_absolute_target_reaches_the_path(emulator: Emulator, order: dict[str, Any]) -> None:
    """A target with scheme and host, as sent to proxies, means its path."""
    raw = framed(json.dumps(order).encode()).replace(
        PATH.encode(), b"http://other.example" + PATH.encode(), 1
    )
    assert (await talk(emulator, raw)).startswith(b"HTTP/1.1 201 ")


async def test_connect_is_refused(emulator: Emulator) -> None:
    """The emulator is no proxy."""
    raw = "CONNECT other.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    status = (await talk(emulator, raw)).split(b" ")[1]
    assert status in (b"400", b"404", b"405")


async def test_upgrade_is_not_followed(emulator: Emulator, order: dict[str, Any]) -> None:
    """A request that would rather speak WebSocket is answered in HTTP."""
    body = json.dumps(order).encode()
    raw = framed(body, "Upgrade: websocket\r\n")
    assert (await talk(emulator, raw)).startswith(b"HTTP/1.1 201 ")


async def test_odd_header_values_are_harmless(emulator: Emulator, order: dict[str, Any]) -> None:
    """Bytes that are no text in a user agent and an idempotency key disturb nothing."""
    more = "User-Agent: \xff\xfe\r\nIdempotency-Key: \xe9\r\n"
    answer = await talk(emulator, framed(json.dumps(order).encode(), more))
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert emulator.ledger[0].idempotency_key is not None


async def test_expectation_is_met_before_the_body(
    emulator: Emulator, order: dict[str, Any]
) -> None:
    """A client that asks first is told to go on, and then answered."""
    body = json.dumps(order).encode()
    reader, writer = await asyncio.open_connection(*address(emulator))
    writer.write(
        f"{HEAD}{JSON}Expect: 100-continue\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    assert await asyncio.wait_for(reader.readline(), 30) == b"HTTP/1.1 100 Continue\r\n"
    writer.write(body)
    assert b"HTTP/1.1 201 " in await asyncio.wait_for(reader.read(), 30)
    writer.close()


async def test_expectation_is_not_met_without_a_key(emulator: Emulator) -> None:
    """A client that asks first with a bad key gets 401 and need not send its body."""
    head = HEAD.replace("sk_sandbox", "rk") + JSON
    answer = await talk(
        emulator, head, "Expect: 100-continue\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in answer


async def test_client_that_leaves_mid_request_creates_nothing(
    emulator: Emulator, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body and then a reset: no session, an entry without status, a quiet log."""
    _, writer = await asyncio.open_connection(*address(emulator))
    writer.write((HEAD + JSON + "Content-Length: 100\r\n\r\n").encode() + b'{"line_items":')
    await writer.drain()
    await asyncio.sleep(0.1)
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    await until(lambda: emulator.ledger)
    assert (emulator.ledger[0].status, emulator.ledger[0].body) == (None, None)
    assert emulator.created() == ()
    assert caplog.text == ""


async def test_client_that_leaves_before_the_answer_has_its_session(
    order: dict[str, Any], until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole request and then a reset: the session is there, and the log is quiet."""
    async with Emulator(latency=0.2) as emulator:
        _, writer = await asyncio.open_connection(*address(emulator))
        writer.write(framed(json.dumps(order).encode()))
        await writer.drain()
        await until(lambda: emulator.ledger)
        writer.transport.abort()
        await asyncio.sleep(0.4)
        assert emulator.ledger[0].status == 201
        assert len(emulator.created()) == 1
    assert caplog.text == ""


async def test_pipelined_requests_are_answered_in_order(
    emulator: Emulator, order: dict[str, Any]
) -> None:
    """Requests sent without waiting get their answers one after the other."""
    body = json.dumps(order).encode()
    one = (HEAD + JSON + f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    answer = await talk(emulator, one, one, framed(b"{}"))
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", answer)
    assert statuses == [b"201", b"201", b"422"]


async def test_own_failure_is_500_in_the_envelope(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug of the emulator's own is told as such, in the envelope and in its log."""
    import frame_async.emulator.api.creation as creation

    def fail(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(creation, "problems_of", fail)
    answer = await http.post(PATH, json=order)
    assert answer.status == 500
    assert (await answer.json())["error"]["type"] == "api_error"
    assert answer.headers["X-Request-Id"]
    assert "a bug" in caplog.text
    assert emulator.ledger[0].status is None
