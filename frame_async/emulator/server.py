"""The emulator as an object: its options, and its life from start to close."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from attrs import Factory, define, field, setters

from .app import App
from .checkout import PREFIX, Checkout
from .clocks import Clock, steady_clock
from .connections import Acceptor
from .creation import PATH, Creation
from .idempotency import Idempotency
from .ledger import Ledger, LedgerEntry
from .options import (
    delays,
    endpoints,
    filled,
    host_names,
    loopback_or_allowed,
    not_negative,
    on_or_off,
    or_none,
    positive,
    seconds,
    whole,
)
from .payments import Payments
from .sessions import Session, Sessions
from .targets import Targets
from .webhooks import BACKOFF, Webhooks
from .window import Windows

_GRACE = 0.1
_BACKLOG = 1024
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@define(kw_only=True, eq=False, on_setattr=setters.frozen)
class Emulator:
    """A local stand-in for the Frame Payments API.

    Use it as ``async with Emulator() as emulator:`` or call `start` and `aclose`.
    It may be started again after it was closed and then still knows everything.
    Options can't be changed once it is made.

    Raises:
        ValueError: An option is out of its range, or `host` is not loopback.
        TypeError: An option has the wrong type.
    """

    host: str = field(default="127.0.0.1", validator=loopback_or_allowed)
    """Where to listen: a loopback address or ``localhost``, which means 127.0.0.1."""
    port: int = field(default=0, validator=whole(0, 65_535))
    """Port to listen on; 0 takes a free one."""
    limit: int | None = field(default=50, validator=or_none(whole(1)))
    """Requests that each key may make within `period`; ``None`` for no limit. Frame's
    default is 50 for sandbox keys and 160 live (Frame reference, rate limits)."""
    period: float = field(default=60.0, validator=positive)
    """Seconds that the rolling window spans."""
    retry_after: bool = field(default=True, validator=on_or_off)
    """Whether a 429 carries ``Retry-After`` in whole seconds. Frame does not say."""
    count_refused: bool = field(default=False, validator=on_or_off)
    """Whether refused requests take a place in the window. Frame does not say."""
    idempotency: bool = field(default=False, validator=on_or_off)
    """Whether ``Idempotency-Key`` is heeded, as the IETF draft has it. Frame V1 ignores it."""
    latency: float = field(default=0.0, validator=not_negative)
    """Seconds by which each answer is held back. What it says is decided before."""
    bank_delay: float = field(default=2.0, validator=not_negative)
    """Seconds that a bank payment is processing, by `clock`."""
    redirect_secret: str = field(default="emulator_redirect_secret", repr=False, validator=filled)
    """Signs the payload on ``success_url`` and ``cancel_url``."""
    _endpoints: Sequence[tuple[str, str | None]] = field(
        default=(), alias="webhooks", repr=False, converter=endpoints
    )
    """Endpoints to register: an address each, or an address and its secret."""
    allow_webhooks_to: frozenset[str] = field(default=frozenset(), converter=host_names, repr=False)
    """Names of hosts that webhooks may go to although they are not this machine."""
    webhook_backoff: Sequence[float] = field(
        default=BACKOFF, converter=seconds, validator=delays, repr=False
    )
    """Seconds before each repetition of a webhook that was not taken."""
    ledger_limit: int | None = field(default=None, validator=or_none(whole(1)))
    """Most entries that the ledger keeps, the newest; ``None`` keeps all."""
    allow_remote: bool = field(default=False, validator=on_or_off)
    """Whether `host` may be an address that others can reach."""
    clock: Clock = field(factory=steady_clock, repr=False)
    """Gives the time in seconds since the epoch, for sessions and for the window."""

    _webhooks: Webhooks = field(
        init=False, repr=False, default=Factory(lambda self: self._make_webhooks(), takes_self=True)
    )
    _sessions: Sessions = field(
        init=False,
        repr=False,
        default=Factory(lambda self: Sessions(self._announce), takes_self=True),
    )
    _payments: Payments = field(
        init=False, repr=False, default=Factory(lambda self: self._make_payments(), takes_self=True)
    )
    _app: App = field(
        init=False, repr=False, default=Factory(lambda self: self._make_app(), takes_self=True)
    )
    _listening: "_Listening | None" = field(
        init=False, repr=False, default=None, on_setattr=setters.NO_OP
    )

    @property
    def api_key(self) -> str:
        """A key that the emulator accepts, as it does any other sandbox key."""
        return "sk_sandbox_emulator"

    @property
    def base_url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:41234``, without ``/v1``.

        Raises:
            RuntimeError: It is not running.
        """
        return self._running().url

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every request so far, oldest first, in the order in which answers were decided.

        Bytes that are no readable HTTP request are answered but not entered.
        """
        return self._app.ledger.entries()

    @property
    def webhooks(self) -> Webhooks:
        """The endpoints and the deliveries; register an endpoint here at any time."""
        return self._webhooks

    def created(self, reference: str | None = None) -> tuple[str, ...]:
        """Return the ids of all sessions made, or of those with one ``client_reference_id``.

        Oldest first. They are complete whatever `ledger_limit` is, and an answer that
        was repeated for an idempotency key counts once.
        """
        return self._sessions.ids(reference)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: It is running already.
            OSError: The address can't be had, because its port is in use for instance.
        """
        if self._listening is not None:
            raise RuntimeError("the emulator is running already")
        acceptor = Acceptor(self._app.handle)
        host = "127.0.0.1" if self.host == "localhost" else self.host
        server = await asyncio.get_running_loop().create_server(
            acceptor, host, self.port, backlog=_BACKLOG
        )
        address, port = server.sockets[0].getsockname()[:2]
        self._listening = _Listening(server, acceptor, _url(address, port))
        self._payments.resume()

    async def aclose(self) -> None:
        """Stop listening and close all connections; does nothing when not running.

        Idle connections close at once, those with a request in progress within a
        fraction of a second.
        """
        listening = self._listening
        if listening is None:
            return
        listening.server.close()
        try:
            await listening.acceptor.end(_GRACE)
            await listening.server.wait_closed()
        finally:
            self._listening = None
            await self._payments.aclose()
            await self._webhooks.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _make_app(self) -> App:
        checkout = Checkout(
            sessions=self._sessions,
            payments=self._payments,
            redirect_secret=self.redirect_secret,
        )
        return App(
            routes={PATH: {"POST": self._make_creation()}},
            families={
                PREFIX: {"GET": checkout.show, "HEAD": checkout.show, "POST": checkout.submit}
            },
            ledger=Ledger(self.ledger_limit),
            clock=self.clock,
            latency=self.latency,
        )

    def _make_creation(self) -> Creation:
        limit, period, count_refused = self.limit, self.period, self.count_refused
        return Creation(
            sessions=self._sessions,
            windows=None if limit is None else Windows(limit, period, count_refused),
            retry_after=self.retry_after,
            idempotency=Idempotency() if self.idempotency else None,
            page_url=self._page_url,
        )

    def _make_webhooks(self) -> Webhooks:
        webhooks = Webhooks(
            clock=self.clock,
            targets=Targets(self.allow_webhooks_to),
            backoff=self.webhook_backoff,
        )
        for url, secret in self._endpoints:
            webhooks.register(url, secret=secret)
        return webhooks

    def _make_payments(self) -> Payments:
        return Payments(
            sessions=self._sessions,
            clock=self.clock,
            bank_delay=self.bank_delay,
            announce=self._webhooks.emit,
        )

    def _announce(self, session: Session) -> None:
        if self._webhooks.wanted:  # most often there is nobody to tell
            url = self._page_url(session.id)
            shown = session.as_json(self.clock())
            self._webhooks.emit("payment_link.created", {**shown, "url": url})

    def _page_url(self, session_id: str) -> str:
        return f"{self.base_url}{PREFIX}{session_id}"

    def _running(self) -> "_Listening":
        if self._listening is None:
            raise RuntimeError("the emulator is not running: use it as `async with Emulator()`")
        return self._listening


@define(eq=False)
class _Listening:
    """What there is while the emulator runs."""

    server: asyncio.Server
    acceptor: Acceptor
    url: str


def _url(address: str, port: int) -> str:
    ip = ip_address(address)
    reachable = _LOOPBACK[ip.version] if ip.is_unspecified else address
    return f"http://[{reachable}]:{port}" if ip.version == 6 else f"http://{reachable}:{port}"
