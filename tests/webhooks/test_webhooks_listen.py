"""The listener: what comes in goes on byte for byte, and its answer comes back."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from attrs import define, field
from support.signing import OTHER, SECRET, event_body, signed

from frame_async.errors import ConfigurationError
from frame_async.webhooks import LARGEST_BODY, WebhookReceiver, listen
from frame_async.webhooks.listen import Arrival, Listener, check_target


@define
class Target:
    """A shop that notes what it gets, and answers what it is told to."""

    url: str = ""
    answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n"
    heads: list[bytes] = field(factory=list)
    bodies: list[bytes] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        if self.answer is None:
            await reader.read()
        else:
            writer.write(self.answer)
        writer.close()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """A target that runs."""
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks?shop=1"
    yield target
    server.close()


@pytest.fixture
def arrivals() -> list[Arrival]:
    """What a listener reported."""
    return []


@pytest.fixture
async def listener(target: Target, arrivals: list[Arrival]) -> AsyncIterator[Listener]:
    """A listener in front of the target."""
    async with Listener(WebhookReceiver(SECRET), target.url, arrivals.append) as running:
        yield running


async def send(
    listener: Listener, body: bytes, headers: dict[str, str], path: str = "/", method: str = "POST"
) -> bytes:
    """Send a request, as Frame does, on a connection of its own; the whole answer."""
    host, _, port = listener.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{method} {path} HTTP/1.1", "Host: listener", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


async def test_a_webhook_goes_on_as_it_came(
    listener: Listener, target: Target, arrivals: list[Arrival]
) -> None:
    """The body is the same bytes, the headers are the same and in order, none is added."""
    body = event_body()
    answer = await send(listener, body, signed(body), "/any/path?x=1")
    assert status(answer) == 204
    assert target.bodies == [body]
    lines = target.heads[0].decode().split("\r\n")
    assert lines[0] == "POST /hooks?shop=1 HTTP/1.1"
    names = [line.partition(":")[0] for line in lines[1:-2]]
    assert sorted(names) == sorted([*signed(body), "Host", "Content-Length"])
    for name, value in signed(body).items():
        assert f"{name}: {value}" in lines
    (arrival,) = arrivals
    assert arrival.event is not None
    assert (arrival.event.id, arrival.refusal, arrival.status) == ("evt_0123", "", 204)
    assert (arrival.trouble, arrival.seconds > 0, arrival.at > 1e9) == ("", True, True)


async def test_a_forged_webhook_goes_on_too(
    listener: Listener, target: Target, arrivals: list[Arrival]
) -> None:
    """What isn't believed is reported and forwarded, so that the shop's own refusal is seen."""
    target.answer = b"HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\nnever"
    body = event_body()
    answer = await send(listener, body, signed(body, OTHER))
    assert status(answer) == 400
    assert b"never" not in answer
    assert target.bodies == [body]
    assert arrivals[0].event is None
    assert "the signature doesn't match" in arrivals[0].refusal
    await send(listener, b"", {})
    assert arrivals[1].refusal == "the header X-Frame-Signature is missing"
    assert target.bodies[1] == b""


async def test_coded_bodies_stay_coded(
    listener: Listener, target: Target, arrivals: list[Arrival]
) -> None:
    """A compressed body is verified and forwarded as the bytes that were sent."""
    body = gzip.compress(event_body())
    await send(listener, body, signed(body) | {"Content-Encoding": "gzip"})
    assert target.bodies == [body]
    assert b"Content-Encoding: gzip" in target.heads[0]
    assert arrivals[0].refusal.startswith("signed, but unusable")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302),
        (b"", 502),
        (b"nonsense\r\n\r\n", 502),
    ],
)
async def test_the_targets_answer_is_the_senders(
    listener: Listener, target: Target, arrivals: list[Arrival], answer: bytes, code: int
) -> None:
    """The sender gets the target's status; a redirect isn't followed, no answer is a 502."""
    target.answer = answer
    body = event_body()
    assert status(await send(listener, body, signed(body))) == code
    assert arrivals[0].status == code
    assert arrivals[0].trouble.startswith("no answer: ") == (code == 502)
    assert len(target.heads) == 1


async def test_a_target_that_is_not_there(arrivals: list[Arrival]) -> None:
    """Without anyone at the target, the sender gets a 502, and the trouble is reported."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    body = event_body()
    async with Listener(WebhookReceiver(SECRET), url, arrivals.append) as listener:
        assert status(await send(listener, body, signed(body))) == 502
    assert arrivals[0].event is not None
    assert arrivals[0].trouble == "no answer: ClientConnectorError"


async def test_a_target_that_never_answers(
    target: Target, arrivals: list[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that takes too long is given up with a 504."""
    monkeypatch.setattr(listen, "PATIENCE", 0.05)
    target.answer = None
    body = event_body()
    async with Listener(WebhookReceiver(SECRET), target.url, arrivals.append) as listener:
        assert status(await send(listener, body, signed(body))) == 504
    assert arrivals[0].trouble == "no answer within 0.05 s"


async def test_without_a_target(arrivals: list[Arrival]) -> None:
    """Without a target, a genuine webhook is answered 200 and any other 400."""
    body = event_body()
    async with Listener(WebhookReceiver(SECRET), None, arrivals.append) as listener:
        assert status(await send(listener, body, signed(body))) == 200
        assert status(await send(listener, body, signed(body, OTHER))) == 400
    assert [arrival.status for arrival in arrivals] == [200, 400]


async def test_only_posts_of_some_size(
    listener: Listener, target: Target, arrivals: list[Arrival]
) -> None:
    """Other methods aren't forwarded; a body over a mebibyte is refused, one of it isn't."""
    assert status(await send(listener, b"", {}, method="GET")) == 405
    assert arrivals == []
    body = event_body() + b" " * (LARGEST_BODY - len(event_body()))
    assert status(await send(listener, body, signed(body))) == 204
    assert status(await send(listener, body + b" ", signed(body))) == 413
    assert arrivals[1].refusal == "the body is larger than 1048576 bytes"
    assert len(target.bodies) == 1


async def test_it_listens_on_loopback_only_while_open(arrivals: list[Arrival]) -> None:
    """It has an address of this machine while it is open, and none before or after."""
    listener = Listener(WebhookReceiver(SECRET), None, arrivals.append)
    with pytest.raises(RuntimeError, match="closed"):
        assert listener.url
    async with listener:
        assert listener.url.startswith("http://127.0.0.1:")
        port = int(listener.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with Listener(WebhookReceiver(SECRET), None, arrivals.append, port=port):
                pass
    with pytest.raises(RuntimeError, match="closed"):
        assert listener.url
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_it_closes_while_a_target_hangs(target: Target, arrivals: list[Arrival]) -> None:
    """A webhook that the target never answers doesn't keep it open."""
    target.answer = None
    body = event_body()
    async with asyncio.timeout(30):
        async with Listener(WebhookReceiver(SECRET), target.url, arrivals.append) as listener:
            sending = asyncio.create_task(send(listener, body, signed(body)))
            while not target.bodies:  # noqa: ASYNC110  # the target sets no event
                await asyncio.sleep(0.001)
        await asyncio.wait({sending})
    if not sending.cancelled() and sending.exception() is None:
        assert sending.result() == b""


GOOD_TARGETS = [
    "http://127.0.0.1:8000/hooks",
    "http://127.9.9.9",
    "http://localhost:1/x?y=1",
    "https://[::1]:8000/",
]
BAD_TARGETS: dict[str, str] = {
    "": "must be a URL",
    "127.0.0.1:8000": "must be a URL",
    "ftp://127.0.0.1/": "must be a URL",
    "http://": "must be a URL",
    "http://127.0.0.1:0/": "must be a URL",
    "http://127.0.0.1:99999/": "must be a URL",
    "http://127.0.0.1/ x": "must be a URL",
    "http://127.0.0.1/\n": "must be a URL",
    "http://[::1/": "must be a URL",
    "http://user:pass@127.0.0.1/": "must not have user information",
    "http://127.0.0.1@evil.example/": "must not have user information",
    "http://shop.example/": "must be on this machine",
    "http://127.0.0.1.evil.example/": "must be on this machine",
    "http://localhost.evil.example/": "must be on this machine",
    "http://0.0.0.0/": "must be on this machine",
    "http://10.0.0.1/": "must be on this machine",
    "http://2130706433/": "must be on this machine",
    "http://[::ffff:127.0.0.1]/": "must be on this machine",
}


@pytest.mark.parametrize("url", GOOD_TARGETS)
def test_targets_on_this_machine(url: str) -> None:
    """A URL of this machine is taken as it is."""
    assert check_target(url, allow_remote=False) == url


@pytest.mark.parametrize(("url", "says"), BAD_TARGETS.items())
def test_targets_elsewhere(url: str, says: str) -> None:
    """What may lead to another machine is refused, unless remote targets are allowed."""
    with pytest.raises(ConfigurationError, match=says):
        check_target(url, allow_remote=False)
    check: Callable[[], str] = lambda: check_target(url, allow_remote=True)  # noqa: E731
    if says == "must be on this machine":
        assert check() == url
    else:
        with pytest.raises(ConfigurationError, match=says):
            check()
