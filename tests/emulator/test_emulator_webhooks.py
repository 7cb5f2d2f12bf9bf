"""Webhooks: what is delivered, how often, where to, and what is remembered of it."""

import asyncio
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.shops import HOOK_SECRET, Shop, open_shop

from frame_async.emulator import Emulator
from frame_async.emulator.webhooks import sending
from frame_async.emulator.webhooks.sending import BACKOFF, Delivery, Endpoint, Webhooks
from frame_async.emulator.webhooks.targets import Resolver, TargetError, Targets

PATH = "/v1/payment_link_sessions"
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A server that takes deliveries."""
    async with open_shop() as running:
        yield running


@pytest.fixture
async def webhooks(clock: Any) -> AsyncIterator[Webhooks]:
    """Webhooks that repeat at once."""
    hooks = Webhooks(clock=clock, backoff=(0, 0, 0))
    yield hooks
    await hooks.aclose()


async def test_delivery_is_as_frames(webhooks: Webhooks, shop: Shop, clock: Any) -> None:
    """Headers, body and signature are those of Frame's reference."""
    endpoint = webhooks.register(f"{shop.url}/hook", secret=HOOK_SECRET)
    event_id = webhooks.emit("transfer.succeeded", {"amount": 1, "name": "Grüße"})
    await webhooks.settled()
    ((headers, body),) = shop.deliveries
    signature = hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Frame-Signature"] == f"sha256={signature}"
    assert headers["X-Frame-Event"] == "transfer.succeeded"
    assert headers["X-Frame-Webhook-Id"] == endpoint.id
    assert headers["User-Agent"] == "Frame-Robot v1.0.0"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "id": event_id,
        "object": "event",
        "type": "transfer.succeeded",
        "created": int(clock.now),
        "livemode": False,
        "data": {"amount": 1, "name": "Grüße"},
    }
    assert event_id.startswith("evt_")
    assert len(event_id) == 36


async def test_log_tells_of_the_delivery(webhooks: Webhooks, shop: Shop, clock: Any) -> None:
    """The log has what was sent, to whom, and how it went."""
    endpoint = webhooks.register(f"{shop.url}/hook")
    event_id = webhooks.emit("a", {})
    (pending,) = webhooks.deliveries()
    assert (pending.state, pending.attempts) == ("pending", ())
    await webhooks.settled()
    (delivery,) = webhooks.deliveries()
    assert (delivery.id, delivery.state) == (pending.id, "delivered")
    assert (delivery.event_id, delivery.event_type) == (event_id, "a")
    assert (delivery.endpoint_id, delivery.url) == (endpoint.id, endpoint.url)
    assert delivery.body == shop.deliveries[0][1]
    (attempt,) = delivery.attempts
    assert (attempt.at, attempt.status, attempt.error) == (clock.now, 204, None)
    assert attempt.seconds > 0


@pytest.mark.parametrize(
    ("answers", "attempts", "state"),
    [
        ([500], 2, "delivered"),
        ([404, 302, 100 + 99, 200], 4, "delivered"),
        ([500, 500, 500, 299], 4, "delivered"),
        ([500, 500, 500, 500, 200], 4, "failed"),
    ],
)
async def test_three_repetitions(
    webhooks: Webhooks, shop: Shop, answers: list[int], attempts: int, state: str
) -> None:
    """Whatever is no 2xx is delivered again, the same bytes, up to three times."""
    statuses = [400 if status == 199 else status for status in answers]
    shop.answers = list(statuses)
    webhooks.register(f"{shop.url}/hook")
    webhooks.emit("a", {})
    await webhooks.settled()
    (delivery,) = webhooks.deliveries()
    assert delivery.state == state
    seen = [attempt.status for attempt in delivery.attempts]
    assert seen == [*statuses, 204][:attempts]
    assert len({body for _, body in shop.deliveries}) == 1
    assert len(shop.deliveries) == attempts
    assert shop.visits == []  # a redirect is not followed


def test_backoff_is_a_second_then_longer() -> None:
    """Repetitions wait 1, 4 and 16 seconds, unless an option says otherwise."""
    assert BACKOFF == (1.0, 4.0, 16.0)
    assert Webhooks(clock=time.time).backoff == BACKOFF


async def test_repetition_waits(shop: Shop, clock: Any, monkeypatch: Any) -> None:
    """The backoff's numbers are what is slept, in order."""
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("frame_async.emulator.webhooks.sending.asyncio.sleep", sleep)
    webhooks = Webhooks(clock=clock)
    shop.answers = [500] * 4
    webhooks.register(f"{shop.url}/hook")
    webhooks.emit("a", {})
    await webhooks.settled()
    await webhooks.aclose()
    assert [seconds for seconds in slept if seconds] == [1.0, 4.0, 16.0]


async def test_nobody_listens(webhooks: Webhooks) -> None:
    """A refused connection is an attempt with its reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        webhooks.register(f"http://127.0.0.1:{taken.getsockname()[1]}/hook")
        webhooks.emit("a", {})
        await webhooks.settled()
    (delivery,) = webhooks.deliveries()
    assert delivery.state == "failed"
    assert [attempt.status for attempt in delivery.attempts] == [None] * 4
    assert all("Cannot connect" in str(attempt.error) for attempt in delivery.attempts)


async def test_silent_endpoint_is_not_waited_for(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that takes the request and says nothing costs a bounded time."""
    monkeypatch.setattr(sending, "ANSWER_WITHIN", 0.05)
    hooks = Webhooks(clock=time.time, backoff=())
    writers = []  # kept, for a writer that goes takes its connection along
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        hooks.register(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        hooks.emit("a", {})
        await hooks.settled()
        (delivery,) = hooks.deliveries()
        assert delivery.attempts[0].error == "no answer within 0.05 s"
    finally:
        await hooks.aclose()
        for writer in writers:
            writer.close()
        server.close()


async def test_only_the_events_asked_for(webhooks: Webhooks, shop: Shop) -> None:
    """An endpoint that names events gets those, and one that names none gets all."""
    webhooks.register(f"{shop.url}/hook", events=["b", "c"])
    everything = webhooks.register(f"{shop.url}/hook")
    for name in ("a", "b"):
        webhooks.emit(name, {})
    await webhooks.settled()
    got = sorted(
        (one.event_type, one.endpoint_id == everything.id) for one in webhooks.deliveries()
    )
    assert got == [("a", True), ("b", False), ("b", True)]


async def test_resend(webhooks: Webhooks, shop: Shop) -> None:
    """A delivery can be made again: the same event and bytes under a new id."""
    endpoint = webhooks.register(f"{shop.url}/hook")
    webhooks.emit("a", {})
    await webhooks.settled()
    (first,) = webhooks.deliveries()
    again = webhooks.resend(first.id)
    assert again is not None
    assert (again.event_id, again.body, again.state) == (first.event_id, first.body, "pending")
    await webhooks.settled()
    assert [one.state for one in webhooks.deliveries()] == ["delivered", "delivered"]
    assert shop.deliveries[0][1] == shop.deliveries[1][1]
    assert webhooks.resend("nothing") is None
    webhooks.remove(endpoint.id)
    assert webhooks.resend(first.id) is None


async def test_removed_endpoint_gets_nothing_more(webhooks: Webhooks, shop: Shop) -> None:
    """Removing an endpoint ends its deliveries, and says so in the log."""
    endpoint = webhooks.register(f"{shop.url}/hook")
    webhooks.emit("a", {})
    assert webhooks.remove(endpoint.id)
    assert not webhooks.remove(endpoint.id)
    webhooks.emit("b", {})
    await webhooks.settled()
    (delivery,) = webhooks.deliveries()
    assert (delivery.state, delivery.given_up) == ("failed", "the endpoint was removed")
    assert shop.deliveries == []
    assert webhooks.endpoints() == ()


async def test_log_is_bounded(shop: Shop, clock: Any) -> None:
    """The log keeps the newest deliveries, and loses none that is on its way."""
    webhooks = Webhooks(clock=clock, log_limit=3)
    webhooks.register(f"{shop.url}/hook")
    events = [webhooks.emit("a", {"n": n}) for n in range(10)]
    await webhooks.settled()
    await webhooks.aclose()
    assert [one.event_id for one in webhooks.deliveries()] == events[-3:]
    assert len(shop.deliveries) == 10


async def test_too_many_are_given_up(
    webhooks: Webhooks, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of pending deliveries the next ones fail at once, and say why."""
    monkeypatch.setattr("frame_async.emulator.webhooks.sending._MOST_PENDING", 2)
    webhooks.register(f"{shop.url}/hook")
    for _ in range(3):
        webhooks.emit("a", {})
    assert [one.state for one in webhooks.deliveries()] == ["pending", "pending", "failed"]
    assert webhooks.deliveries()[-1].given_up == "too many deliveries were pending"


async def test_closing_gives_up_and_leaves_nothing_behind(
    shop: Shop, clock: Any, until: Until
) -> None:
    """Closing ends what is on its way, also what has not begun; it can be used again."""
    webhooks = Webhooks(clock=clock, backoff=(3600,))
    shop.answers = [500]
    webhooks.register(f"{shop.url}/hook")
    webhooks.emit("a", {})
    await until(lambda: webhooks.deliveries()[0].attempts)
    webhooks.emit("b", {})
    await webhooks.aclose()
    assert {one.given_up for one in webhooks.deliveries()} == {"the emulator was closed"}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    webhooks.emit("c", {})
    await webhooks.settled()
    await webhooks.aclose()
    assert webhooks.deliveries()[-1].state == "delivered"


async def test_secret_is_hidden_and_never_empty(webhooks: Webhooks, shop: Shop) -> None:
    """Without a secret an endpoint gets 32 random characters; no repr shows one."""
    endpoint = webhooks.register(f"{shop.url}/hook")
    assert len(endpoint.secret) == 32
    assert endpoint.secret != webhooks.register(f"{shop.url}/hook").secret
    assert endpoint.secret not in repr(endpoint) + repr(webhooks)
    for secret in ("", "\ud800", "a", "whsec_", "whsec_" + "a" * 15, "a" * 15, "a b" * 9, "é" * 20):
        with pytest.raises(ValueError, match="secret"):
            webhooks.register(f"{shop.url}/hook", secret=secret)
    for events in ((), "transfer.failed", ("",)):
        with pytest.raises(ValueError, match="events"):
            webhooks.register(f"{shop.url}/hook", events=events)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/hook",
        "http://127.8.9.10/",
        "https://[::1]:8443/hook",
        "http://localhost/hook",
        "http://shop.localhost:3000/",
        "http://Allowed.example/hook",
        "http://10.1.2.3/",
    ],
)
def test_targets_that_are_taken(url: str) -> None:
    """This machine, by address or name, and what was allowed by name."""
    Targets(frozenset(("allowed.example", "10.1.2.3"))).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "http://allowed.example.evil/",
        "http://sub.allowed.example/",
        "http://10.1.2.4/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest",
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://localhost.evil.example/",
        "http://evil.example#@127.0.0.1/",
        "http://127.0.0.1@evil.example/",
        "http://user:pw@127.0.0.1/",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1 .evil.example/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1",
        "",
    ],
)
def test_targets_that_are_refused(url: str) -> None:
    """Everything else is refused when it is registered, with a word on why."""
    with pytest.raises(ValueError, match="url"):
        Targets(frozenset(("allowed.example", "10.1.2.3"))).check(url)


class Lying(aiohttp.ThreadedResolver):
    """Resolves every name to an address of the test's choice."""

    address = "192.0.2.1"

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        one = {"hostname": host, "host": self.address, "port": port, "family": socket.AF_INET}
        return [{**one, "proto": 0, "flags": 0}]


async def test_name_that_leads_elsewhere_by_then(
    webhooks: Webhooks, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local name whose address is another machine's is refused at each delivery."""
    connected = []
    monkeypatch.setattr(sending, "Resolver", lambda targets: Resolver(targets, resolver=Lying))
    monkeypatch.setattr(Targets, "open_socket", lambda *_: connected.append(1))
    webhooks.register(shop.url.replace("127.0.0.1", "hooks.localhost") + "/hook")
    webhooks.emit("a", {})
    await webhooks.settled()
    (delivery,) = webhooks.deliveries()
    assert delivery.state == "failed"
    assert delivery.attempts[0].error == "hooks.localhost does not lead to this machine"
    assert connected == []


async def test_last_look_at_the_address() -> None:
    """No socket is opened to an address that nothing has admitted, even past the resolver."""
    targets = Targets(frozenset(("allowed.example",)))
    place = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 80))
    with pytest.raises(TargetError, match=r"192\.0\.2\.1"):
        targets.open_socket(place)
    resolver = Resolver(targets, resolver=Lying)
    with pytest.raises(TargetError):
        await resolver.resolve("other.example", 80)
    await resolver.resolve("allowed.example", 80)
    targets.open_socket(place).close()
    await resolver.close()


async def test_last_look_is_taken(clock: Any) -> None:
    """An address that nobody has checked is refused before anything is sent to it."""
    endpoint = Endpoint(id="e", url="http://192.0.2.1/hook", secret="s", created=0)
    wire = sending.Wire(Targets())
    answer = await wire.post(endpoint, Delivery.begin(endpoint, "evt_1", "a", b"{}"))
    await wire.aclose()
    assert answer[0] is None
    assert "is not this machine" in str(answer[1])


async def test_name_of_this_machine(webhooks: Webhooks, shop: Shop) -> None:
    """A local name reaches this machine."""
    webhooks.register(shop.url.replace("127.0.0.1", "localhost") + "/hook")
    webhooks.emit("a", {})
    await webhooks.settled()
    assert webhooks.deliveries()[0].state == "delivered"


async def test_large_event(webhooks: Webhooks, shop: Shop) -> None:
    """An event as large as a request may be is delivered like any other."""
    webhooks.register(f"{shop.url}/large")
    webhooks.emit("a", {"reference": "é" * 200_000})
    await webhooks.settled()
    assert webhooks.deliveries()[0].state == "delivered"


async def test_emulator_announces_sessions(shop: Shop, order: dict[str, Any]) -> None:
    """With session-events each session made is announced as its maker got it, no refused one."""
    hooks = ((f"{shop.url}/hook", HOOK_SECRET),)
    assumed = frozenset({"session-events"})
    async with Emulator(limit=None, webhooks=hooks, assume=assumed) as emulator:
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        async with aiohttp.ClientSession(emulator.base_url, headers=headers) as http:
            answer = await http.post(PATH, json={**order, "client_reference_id": "order-1"})
            await http.post(PATH, json={})
            session = await answer.json()
        await emulator.webhooks.settled()
    (event,) = shop.events
    assert (event["type"], event["data"]) == ("payment_link.created", session)


async def test_without_endpoints_nothing_is_made(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any], monkeypatch: Any
) -> None:
    """With nobody to tell, creating a session does not even make its event."""
    monkeypatch.setattr(Webhooks, "emit", lambda *_: pytest.fail("an event was made"))
    assert (await http.post(PATH, json=order)).status == 201
    assert emulator.webhooks.deliveries() == ()


def test_options_are_checked_by_what_they_say() -> None:
    """An emulator refuses an endpoint on another machine, and takes one allowed by name."""
    with pytest.raises(ValueError, match=r"shop\.example"):
        Emulator(webhooks=("http://shop.example/hook",))
    allowed = frozenset(("SHOP.example",))
    emulator = Emulator(webhooks=("http://shop.example/hook",), allow_webhooks_to=allowed)
    (endpoint,) = emulator.webhooks.endpoints()
    assert endpoint.url == "http://shop.example/hook"
    endpoint_and_secret = ("http://127.0.0.1/", "s3cret-s3cret-s3cret")
    hidden = Emulator(webhooks=(endpoint_and_secret,), redirect_secret="t0p" * 6)
    assert "s3cret" not in repr(hidden)
    assert "t0p" not in repr(hidden)
