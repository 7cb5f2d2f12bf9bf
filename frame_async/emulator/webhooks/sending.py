"""Webhooks: events, signed and delivered as Frame does it, and a log of the deliveries.

Headers, signature and body are those of Frame's reference (webhooks). An event is
delivered at least once: anything but a 2xx answer within 5 seconds is tried again, up
to three times. No timestamp is signed, so a receiver has to remember event ids.
"""

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from io import BytesIO
from secrets import token_hex
from typing import Any

import aiohttp
from attrs import define, evolve, field

from frame_async.emulator.api import checks
from frame_async.emulator.api.answers import encode
from frame_async.emulator.state.clocks import Clock
from frame_async.emulator.state.randomness import new_id
from frame_async.emulator.state.weights import KEPT, weight

from .deliveries import Delivery, DeliveryAttempt, Endpoint
from .targets import Resolver, TargetError, Targets

__all__ = ["BACKOFF", "Delivery", "DeliveryAttempt", "Endpoint", "Webhooks"]

ANSWER_WITHIN = 5.0
"""Seconds that an endpoint has to answer, connecting included."""

AT_ONCE = 20
"""Most requests at a time."""


class Wire:
    """The connections to endpoints. Made while an event loop runs, and closed with it."""

    def __init__(self, targets: Targets) -> None:
        self.gate = asyncio.Semaphore(AT_ONCE)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=Resolver(targets),
                use_dns_cache=False,  # addresses are judged at every delivery
                socket_factory=targets.open_socket,
                force_close=True,  # one that was kept may be dying, which would cost an attempt
            ),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Frame-Robot v1.0.0", "Content-Type": "application/json"},
        )

    async def post(self, endpoint: Endpoint, delivery: Delivery) -> tuple[int | None, str | None]:
        """Make one request; return the status answered, or why there was none."""
        headers = {
            "X-Frame-Signature": f"sha256={_sign(endpoint.secret, delivery.body)}",
            "X-Frame-Event": delivery.event_type,
            "X-Frame-Webhook-Id": endpoint.id,
        }
        try:
            # What the endpoint says beyond its status is of no interest, and not read.
            async with self._session.post(
                endpoint.url, data=BytesIO(delivery.body), headers=headers, allow_redirects=False
            ) as response:
                return response.status, None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return None, _reason(error)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


def _sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_WITHIN:g} s"
    cause = error.__cause__ if isinstance(error.__cause__, TargetError) else error
    return str(cause) or type(error).__name__


BACKOFF = (1.0, 4.0, 16.0)
"""Seconds before each of the three repetitions."""

_MOST_PENDING = 10_000
_MOST_ENDPOINTS = 1_000
_LARGEST = 10_000


@define(kw_only=True, eq=False)
class Webhooks:
    """The endpoints, and the deliveries to them."""

    clock: Clock = field(repr=False)
    """Dates events and attempts."""
    targets: Targets = field(factory=Targets, repr=False)
    """Where something may be delivered."""
    backoff: Sequence[float] = BACKOFF
    """Seconds to wait before each repetition; there are as many as numbers."""
    log_limit: int = 1_000
    """Most deliveries in the log, the newest."""
    most_bytes: int = KEPT
    """Most bytes of bodies in the log, and of those on their way."""
    _endpoints: dict[str, Endpoint] = field(init=False, factory=dict[str, Endpoint], repr=False)
    _log: dict[str, Delivery] = field(init=False, factory=dict[str, Delivery], repr=False)
    _tasks: set[asyncio.Task[None]] = field(
        init=False, factory=set["asyncio.Task[None]"], repr=False
    )
    _pending: int = field(init=False, default=0)
    """Bytes on their way."""
    _wire: Wire | None = field(init=False, default=None, repr=False)

    @property
    def wanted(self) -> bool:
        """Whether there is any endpoint: without one an event need not be made."""
        return bool(self._endpoints)

    def register(
        self, url: str, *, secret: str | None = None, events: Sequence[str] = ("*",)
    ) -> Endpoint:
        """Add an endpoint; without a secret it gets a random one of 32 characters.

        Raises:
            ValueError: The address is no HTTP(S) URL or leads to another machine by a
                name that is not allowed, the secret is none that receivers take, or no event
                is named.
        """
        self.targets.check(url)
        if secret is not None and (fault := checks.secret_fault(secret)):
            raise ValueError(f"secret {fault}")
        if isinstance(events, str) or not events or not all(events):
            raise ValueError("events must be a list of event types, or of '*' for all")
        if weight((url, secret, events)) > _LARGEST or len(self._endpoints) >= _MOST_ENDPOINTS:
            raise ValueError("url, secret and events must be short, and endpoints 1,000 at most")
        endpoint = Endpoint(
            id=new_id(),
            url=url,
            secret=token_hex(16) if secret is None else secret,
            events=tuple(events),
            created=self.clock(),
        )
        self._endpoints[endpoint.id] = endpoint
        return endpoint

    def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint, and give up what is on its way there; tell whether it existed."""
        return self._endpoints.pop(endpoint_id, None) is not None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints, oldest first."""
        return tuple(self._endpoints.values())

    def deliveries(self) -> tuple[Delivery, ...]:
        """Return the deliveries in the log as they stand now, newest last."""
        return tuple(self._log.values())

    def emit(self, type: str, data: Mapping[str, object]) -> str:  # noqa: A002 - the event's field
        """Send an event to every endpoint that wants it, and return its id at once.

        It needs a running event loop as soon as there is an endpoint.
        """
        event_id = f"evt_{new_id().replace('-', '')}"
        endpoints = [one for one in self._endpoints.values() if one.wants(type)]
        if endpoints:
            body = self._encode(event_id, type, data)
            for endpoint in endpoints:
                self._send(endpoint, Delivery.begin(endpoint, event_id, type, body))
        return event_id

    def resend(self, delivery_id: str) -> Delivery | None:
        """Deliver the same bytes to the same endpoint once more, as a new delivery.

        ``None`` when the delivery is no longer in the log, or its endpoint was removed.
        """
        old = self._log.get(delivery_id)
        endpoint = None if old is None else self._endpoints.get(old.endpoint_id)
        if old is None or endpoint is None:
            return None
        again = Delivery.begin(endpoint, old.event_id, old.event_type, old.body)
        return self._send(endpoint, again)

    def clear(self) -> None:
        """Empty the log. Deliveries on their way go on, unseen."""
        self._log.clear()

    async def settled(self) -> None:
        """Wait until nothing is on its way any more, repetitions included."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def aclose(self) -> None:
        """Give up what is on its way and close all connections; endpoints stay registered."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for delivery in self.deliveries():
            if delivery.state == "pending":
                self._give_up(delivery, "the emulator was closed")
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    def _encode(self, event_id: str, event_type: str, data: Mapping[str, object]) -> bytes:
        event = {
            "id": event_id,
            "object": "event",
            "type": event_type,
            "created": int(self.clock()),
            "livemode": False,
            "data": data,
        }
        return encode(event).encode("ascii")

    def _send(self, endpoint: Endpoint, delivery: Delivery) -> Delivery:
        self._log[delivery.id] = delivery
        logged = sum(len(each.body) for each in self._log.values())
        while len(self._log) > self.log_limit or logged > self.most_bytes:
            logged -= len(self._log.pop(next(iter(self._log))).body)
        if len(self._tasks) >= _MOST_PENDING or self._pending > self.most_bytes:
            return self._give_up(delivery, "too many deliveries were pending")
        task = asyncio.get_running_loop().create_task(self._deliver(endpoint, delivery))
        self._tasks.add(task)
        self._pending += len(delivery.body)
        task.add_done_callback(lambda task: self._arrive(task, delivery))
        return delivery

    def _arrive(self, task: asyncio.Task[None], delivery: Delivery) -> None:
        self._tasks.discard(task)
        self._pending -= len(delivery.body)

    async def _deliver(self, endpoint: Endpoint, delivery: Delivery) -> None:
        for pause in (0.0, *self.backoff):
            await asyncio.sleep(pause)
            if endpoint.id not in self._endpoints:
                self._give_up(delivery, "the endpoint was removed")
                return
            attempt = await self._attempt(endpoint, delivery)
            arrived = attempt.status is not None and 200 <= attempt.status < 300
            delivery = self._note(
                delivery,
                attempts=(*delivery.attempts, attempt),
                state="delivered" if arrived else "pending",
            )
            if arrived:
                return
        self._note(delivery, state="failed")

    async def _attempt(self, endpoint: Endpoint, delivery: Delivery) -> DeliveryAttempt:
        wire = self._wire = self._wire or Wire(self.targets)
        async with wire.gate:
            at, began = self.clock(), asyncio.get_running_loop().time()
            status, error = await wire.post(endpoint, delivery)
            seconds = asyncio.get_running_loop().time() - began
        return DeliveryAttempt(at=at, status=status, error=error, seconds=seconds)

    def _give_up(self, delivery: Delivery, reason: str) -> Delivery:
        return self._note(delivery, state="failed", given_up=reason)

    def _note(self, delivery: Delivery, **changes: Any) -> Delivery:
        now = evolve(delivery, **changes)
        if delivery.id in self._log:
            self._log[delivery.id] = now
        return now
