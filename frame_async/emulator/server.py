"""The emulator as an object: its options, and its life from start to close."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Self

from attrs import Factory, define, field, fields, setters

from .api.http import Acceptor
from .app import App
from .assembly import make_payments, make_state, make_webhooks
from .checkout import PREFIX
from .checkout.payments import Payments
from .faults.latency import Setting
from .faults.rules import Fault
from .listening import Listening, lengthen_queues, url_of
from .options import (
    assumptions,
    delays,
    endpoints,
    envelope,
    file_or_none,
    host_names,
    latency_setting,
    loopback_or_allowed,
    not_negative,
    on_or_off,
    or_none,
    own_names,
    positive,
    seconds,
    secret,
    what_is_set,
    whole,
    whole_or_text,
)
from .routes import make_app
from .seeds import make_sessions
from .state.clocks import Clock, steady_clock
from .state.emulator_state import EmulatorState
from .state.ledger import LedgerEntry
from .state.persistence import Persistence
from .state.products import Shelf, shelf_of
from .state.randomness import Seed
from .state.sessions import Session
from .webhooks.published import created_data
from .webhooks.sending import BACKOFF, Webhooks

_GRACE = 0.1
_AT_ONCE = 8  # accepted before any is looked at: fewer than descriptors are spared


@define(kw_only=True, eq=False, on_setattr=setters.frozen)
class Emulator:
    """A local stand-in for the Frame Payments API.

    Use it as ``async with Emulator() as emulator:`` or call `start` and `aclose`.
    It may be started again after it was closed and then still knows everything.
    Options can't be changed once it is made, except by the methods that do so.

    Raises:
        ValueError: An option is out of its range, or `host` is not loopback.
        TypeError: An option has the wrong type.
        OSError: A file of latencies or products can't be read.
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
    """Whether ``Idempotency-Key`` is honoured, as the IETF draft has it. Frame V1 ignores it."""
    envelope: str = field(default="standard", validator=envelope)
    """What errors come in: ``"standard"``, or what Frame's clients read otherwise,
    ``"cli"``, ``"node"``, ``"php"``, ``"ruby"``, or plain ``"text"``."""
    latency: Setting = field(default=0.0, validator=latency_setting)
    """By how much each answer is held back: seconds, a distribution such as
    ``"lognormal(median=180ms, p99=900ms)"``, ``"uniform(1ms, 5ms)"`` or ``"constant(20ms)"``,
    or the path of a file with measured milliseconds, one a line. What an answer says is
    decided before."""
    bank_delay: float = field(default=2.0, validator=not_negative)
    """Seconds that a bank payment is processing, by `clock`."""
    redirect_secret: str = field(default="emulator_redirect_secret", repr=False, validator=secret)
    """Signs the payload on ``success_url`` and ``cancel_url``."""
    _endpoints: Sequence[tuple[str, str | None]] = field(
        default=(), alias="webhooks", repr=False, converter=endpoints
    )
    """Endpoints to register: an address each, or an address and its secret."""
    allow_webhooks_to: frozenset[str] = field(default=frozenset(), converter=host_names, repr=False)
    """Names of hosts that webhooks may go to although they are not this machine."""
    assume: frozenset[str] = field(default=frozenset(), converter=assumptions)
    """What is assumed of events beyond what Frame publishes: ``"reference-in-metadata"``,
    ``"client-reference-id-in-transfer"``, ``"session-events"``."""
    webhook_backoff: Sequence[float] = field(
        default=BACKOFF, converter=seconds, validator=delays, repr=False
    )
    """Seconds before each repetition of a webhook that was not taken."""
    ledger_limit: int | None = field(default=None, validator=or_none(whole(1)))
    """Most entries that the ledger keeps, the newest; ``None`` sets no number. They take
    64 MiB at most in any case."""
    session_limit: int | None = field(default=None, validator=or_none(whole(1)))
    """Most sessions, and idempotency keys, that are kept, the newest; ``None`` sets no
    number. They take 64 MiB each at most in any case."""
    products: Shelf = field(default=None, converter=shelf_of, repr=False)
    """Names, prices and pictures of products: the path of a JSON file with a list of objects,
    or such objects, each with ``id``, ``name``, ``price`` (in hundredths) and perhaps
    ``currency`` (the same for all) and ``picture`` (an image file). They are made up otherwise."""
    seed: Seed = field(default=None, validator=whole_or_text)
    """Makes ids, latencies and faults the same for the same requests in the same order;
    ``None`` for a run that is never the same."""
    state: str | PathLike[str] | None = field(default=None, validator=file_or_none)
    """A file that keeps sessions, ledger and windows over a restart; for one emulator at a
    time, which is checked. Made with mode 0600 if it is not there."""
    allow_remote: bool = field(default=False, validator=on_or_off)
    """Whether `host` may be an address that others can reach."""
    on_request: Callable[[LedgerEntry], object] | None = field(default=None, repr=False)
    """Is called with each new entry of the ledger, for a log of requests. When it raises, that
    is logged, and the client has its answer all the same."""
    allow_hosts: frozenset[str] = field(default=frozenset(), converter=own_names, repr=False)
    """Further names it goes by in ``Host``; those without a dot need `allow_remote` alone."""
    clock: Clock = field(factory=steady_clock, repr=False)
    """Gives the time in seconds since the epoch, for sessions and for the window."""
    _state: EmulatorState = field(
        init=False,
        repr=False,
        default=Factory(lambda self: make_state(self, self._announce), takes_self=True),
    )
    _webhooks: Webhooks = field(
        init=False,
        repr=False,
        default=Factory(
            lambda self: make_webhooks(self, self._state, self._endpoints), takes_self=True
        ),
    )
    _payments: Payments = field(
        init=False,
        repr=False,
        default=Factory(
            lambda self: make_payments(self, self._state, self._webhooks), takes_self=True
        ),
    )
    _app: App = field(
        init=False, repr=False, default=Factory(lambda self: self._make_app(), takes_self=True)
    )
    _persistence: Persistence | None = field(
        init=False,
        repr=False,
        default=Factory(lambda self: self._make_persistence(), takes_self=True),
    )
    _listening: Listening | None = field(
        init=False, repr=False, default=None, on_setattr=setters.NO_OP
    )
    __repr__ = what_is_set

    @property
    def api_key(self) -> str:
        """A key that the emulator accepts, as it does any other sandbox key."""
        return "sk_sandbox_emulator"

    @property
    def base_url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:41234``, without ``/v1``.

        Opened in a browser, it is the dashboard.

        Raises:
            RuntimeError: It is not running.
        """
        return self._running().url

    @property
    def own_hosts(self) -> frozenset[str]:
        """The names that it answers to, beside those of this machine."""
        return self.allow_hosts | {str(self.host).lower()}  # not checked yet when it is made

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """The requests kept, oldest first, in the order in which answers were decided.

        Bytes that are no readable HTTP request are answered but not entered, and
        neither are the dashboard and the admin API.
        """
        return self._state.ledger.entries()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that were added, in order; each tells how often it `fired`."""
        return self._state.faults.all()

    @property
    def webhooks(self) -> Webhooks:
        """The endpoints and the deliveries; register an endpoint here at any time."""
        return self._webhooks

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests came and how many sessions were made, those that are gone too."""
        return self._state.ledger.count, self._state.sessions.count

    def created(self, reference: str | None = None) -> tuple[str, ...]:
        """Return the ids of all sessions kept, or of those with one ``client_reference_id``.

        Oldest first. They are complete whatever `ledger_limit` is, unless `session_limit` or
        64 MiB were reached, and an answer that was repeated for an idempotency key counts once.
        """
        return self._state.sessions.ids(reference)

    def add_fault(self, fault: Fault | str, **options: Any) -> Fault:
        """Make something go wrong: a `Fault`, or the name of a kind and its options.

        ``emulator.add_fault("create_and_drop", every=3, times=2)``

        Raises:
            ValueError: An option is out of its range or means nothing to that fault.
            TypeError: There is no such option.
        """
        rule = Fault(do=fault, **options) if isinstance(fault, str) else fault
        return self._state.faults.add(rule, self._state.clock())

    def remove_fault(self, fault: Fault | str) -> bool:
        """Take a fault out, by itself or by its id; tell whether it was there."""
        return self._state.faults.remove(fault if isinstance(fault, str) else fault.id)

    def clear_faults(self) -> None:
        """Take all faults out."""
        self._state.faults.clear()

    def change_limit(self, limit: int | None, period: float | None = None) -> None:
        """Set another rate limit, for requests from now on; `period` stays unless given.

        Requests that were let in still count. After a time without a limit none do.

        Raises:
            ValueError: A value is out of its range.
            TypeError: A value has the wrong type.
        """
        options: dict[str, Any] = {"limit": limit}
        options |= {} if period is None else {"period": period}
        for name, value in options.items():
            attribute = getattr(fields(Emulator), name)
            attribute.validator(self, attribute, value)
        for name, value in options.items():
            object.__setattr__(self, name, value)
        self._state.change_limit(self.limit, float(self.period))

    def advance(self, seconds: float) -> None:
        """Move the emulator's time forward: sessions expire and windows roll, at once.

        Latency and delays are waited for in real time all the same.

        Raises:
            ValueError: `seconds` is negative, or the clock would be ten years ahead.
        """
        self._state.clock.advance(seconds)

    def reset(self) -> None:
        """Forget every request, session, idempotency key and fault, and all time advanced.

        Limits, latency and webhook endpoints stay as they are. With a `seed`, ids,
        latencies and faults are those of the beginning again.
        """
        self._state.reset()

    def create(self, bodies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """Make sessions of request bodies, without a request; return their ids.

        It takes no place in a window and is in no ledger. Start the emulator before.

        Raises:
            ValueError: A body isn't valid, and then nothing is made; the message says which.
        """
        return make_sessions(self._state, bodies)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: It is running already.
            OSError: The address can't be had, because its port is in use for instance,
                or the state file can't be read or written.
            ValueError: The state file is none, or damaged, or another emulator uses it; it is
                left as it is.
        """
        if self._listening is not None:
            raise RuntimeError("the emulator is running already")
        acceptor = Acceptor(self._app.handle, self.envelope)
        host = "127.0.0.1" if self.host == "localhost" else self.host
        loop = asyncio.get_running_loop()
        if self._persistence is not None:
            await self._persistence.begin()
        try:
            server = await loop.create_server(acceptor, host, self.port, backlog=_AT_ONCE)
            lengthen_queues(server)
        except BaseException:
            await self._end_persistence()
            raise
        address, port = server.sockets[0].getsockname()[:2]
        self._listening = Listening(server, acceptor, url_of(address, port))
        self._payments.resume()

    async def aclose(self) -> None:
        """Stop listening and close all connections; does nothing when not running.

        Idle connections close at once, those with a request in progress within a
        fraction of a second.

        Raises:
            OSError: The state file can't be written. Everything is closed all the same.
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
            await self._end_persistence()

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

    async def _end_persistence(self) -> None:
        if self._persistence is not None:
            await self._persistence.end()

    def _make_app(self) -> App:
        return make_app(self, self._state, self._payments, self._page_url)

    def _announce(self, session: Session) -> None:
        if self._webhooks.wanted:  # most often there is nobody to tell
            url = self._page_url(session.id)
            data = created_data(session, self._state.clock(), url, self.assume)
            self._webhooks.emit("payment_link.created", data)

    def _page_url(self, session_id: str) -> str:
        return f"{self.base_url}{PREFIX}{session_id}"

    def _make_persistence(self) -> Persistence | None:
        return None if self.state is None else Persistence(self.state, self._state)

    def _running(self) -> Listening:
        if self._listening is None:
            raise RuntimeError("the emulator is not running: use it as `async with Emulator()`")
        return self._listening
