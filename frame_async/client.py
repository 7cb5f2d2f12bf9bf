"""The client: has what it is given checked, puts the engine together, owns its lifetime."""

import random
import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from attrs import evolve

from frame_async.engine.attempts import Attempts
from frame_async.engine.clock import SystemClock
from frame_async.engine.engine import Engine
from frame_async.engine.http import Http
from frame_async.engine.idempotency import KeyLeases
from frame_async.engine.limiter import QUANTILE, Limiter, RateLimiter
from frame_async.engine.observing import Observers
from frame_async.engine.sessions import HttpSettings
from frame_async.engine.unlimited import Unlimited
from frame_async.errors import ConfigurationError
from frame_async.logs import set_up_from_environment
from frame_async.observers import CREATE_SESSION, Observer
from frame_async.protocol.addresses import (
    check_headers,
    find_base_url,
    find_http_hosts,
    find_proxy,
)
from frame_async.protocol.clock import Clock
from frame_async.protocol.credentials import (
    Mode,
    require_sandbox,
)
from frame_async.protocol.retry import RetryBudget, RetryPolicy, check_retry
from frame_async.protocol.window import RateLimit
from frame_async.resources.payment_link_sessions import PaymentLinkSessions
from frame_async.resources.requests import ApiResponse, Requests
from frame_async.secret import Secret, refuse_pickling
from frame_async.settings import (
    boxed,
    check_counts,
    check_limits,
    check_on_store_error,
    check_quantile,
    check_remember,
    check_seconds,
    find_key,
    find_store,
    limit_of,
    scope_of,
)
from frame_async.stores import MemoryStore, Store, Window


class FrameClient:
    """A client of the Frame Payments API, for one API key.

    Make one per process and keep it; it holds the connections. Use it as
    ``async with FrameClient() as frame:``, or call `aclose` when done.

    Args:
        api_key: secret key; by default, ``FRAME_SECRET_KEY`` from the environment.
        base_url: with or without a trailing ``/v1``; by default ``FRAME_API_BASE_URL``
            from the environment, else Frame's production host. Plain HTTP is accepted
            for loopback, and for ``allow_http_to``.
        timeout: seconds that one call may take in all: waiting, attempts, sleeps.
        attempt_timeout: seconds that one attempt may take, at most.
        connect_timeout: seconds that opening one connection may take, at most.
        max_in_flight: HTTP exchanges at a time, at most; further ones wait their turn.
        retry: how calls try again.
        rate_limit: how many requests Frame takes in its rolling window. ``"mode"`` means
            what Frame publishes (Frame rate limits page): 160 a minute for
            ``sk_production_`` keys, 50 for ``sk_sandbox_`` keys and for keys with another
            prefix. None means no limit of our own.
        store: where idempotency keys and the rate window are remembered: a URL
            (``memory://``, ``sqlite:///path`` for the processes of a host, ``redis://`` or
            ``postgresql://`` for a fleet) or a `Store`; by default, one memory for all
            clients of this process.
        on_store_error: what a call does when the store can't answer: ``"raise"`` sends
            nothing, ``"proceed"`` sends nevertheless, without key or place in the rate
            window, and admits it in ``call.store_error``.
        claim_lease: seconds after which the claim of a process that died is found in doubt; one
            of the same host is found so at once in a file.
        remember: seconds that a key of your own is remembered at least; by default, as long
            as its session was asked to live, and an hour.
        tls: a TLS context of your own, for example with a private authority; by default
            TLS 1.2 or newer, verified against the system's authorities.
        http: an ``aiohttp.ClientSession`` of your own that sends, with its connector, proxy,
            traces and middlewares; it stays yours to close.
        proxy: URL of an HTTP proxy, ``http://user:password@host:3128`` or ``https://``, or
            ``"environment"`` for what ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and
            ``NO_PROXY`` say when the client is made; by default ``FRAME_PROXY`` from the
            environment, else none.
        headers: further headers of every request, such as a gateway's token. A
            ``User-Agent`` goes before ours. Values never show in any text.
        observers: told what happens in each call, for metrics and traces.
        clock: where time comes from; for tests.
        rate_limits: rate windows of other endpoints, such as
            ``{"POST /v1/charge_intents": RateLimit(3000)}``, with ``{id}`` for ids; by default
            what Frame publishes for each (Frame rate limits page).
        attempt_quantile: share of the latest attempts that would have ended in what is left
            of a call's deadline, for the call to take a place in the rate window; 0 for any.
        allow_http_to: hosts beyond loopback to which plain HTTP is accepted, with sandbox keys
            only: an emulator in another container, ``("emulator",)``. By default
            ``FRAME_ALLOW_HTTP_TO`` from the environment, separated by commas.

    Raises:
        ConfigurationError: an argument or environment variable can't be used. The
            message names it and never shows a secret.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float = 30.0,
        attempt_timeout: float = 15.0,
        connect_timeout: float = 5.0,
        max_in_flight: int = 100,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | Literal["mode"] | None = "mode",
        store: Store | str | None = None,
        on_store_error: Literal["raise", "proceed"] = "raise",
        claim_lease: float = 10.0,
        remember: float = 0.0,
        tls: ssl.SSLContext | None = None,
        http: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        rate_limits: Mapping[str, RateLimit | None] | None = None,
        attempt_quantile: float = QUANTILE,
        allow_http_to: Collection[str] | None = None,
    ) -> None:
        # A traceback shows local variables, so what is secret is boxed first.
        secret, api_key = Secret(api_key), None
        address, base_url = Secret(base_url), None
        through, proxy = Secret[object](proxy), None
        own_headers, headers = Secret[Any](headers), None
        store_url, store = boxed(store)
        set_up_from_environment()
        key, self._mode = find_key(secret)
        http_to = find_http_hosts(allow_http_to)
        self._base_url = find_base_url(address, http_to)
        require_sandbox(self._base_url, self._mode)
        check_seconds(timeout=timeout, attempt_timeout=attempt_timeout)
        check_seconds(connect_timeout=connect_timeout, claim_lease=claim_lease)
        check_counts(max_in_flight=max_in_flight)
        check_remember(remember)
        clock = SystemClock() if clock is None else clock
        if store_url is None and store is None and not isinstance(clock, SystemClock):
            store = MemoryStore(now=clock.monotonic)  # another time than that of the others
        self._store, self._owns_store = find_store(store_url, store)
        self._scope = scope_of(key, self._base_url)
        policy = RetryPolicy() if retry is None else check_retry(retry)
        if http is not None and tls is not None:
            raise ConfigurationError("tls can't be given with http: its connector has its own")
        self._http = Http(
            HttpSettings(
                base_url=self._base_url,
                key=key,
                limit=max_in_flight,
                connect_timeout=connect_timeout,
                tls=tls,
                session=http,
                proxy=find_proxy(through, self._base_url),
                headers=check_headers(own_headers, key),
            )
        )
        self._observers = observers
        limit = limit_of(rate_limit, self._mode)
        self._quantile = check_quantile(attempt_quantile)
        self._unlimited = Unlimited(clock, policy.jitter, random.random)
        self._limiter: Limiter = self._unlimited
        if limit is not None:
            window = Window(self._scope, limit)
            self._limiter = RateLimiter(self._store, window, clock, self._quantile)
        proceed = check_on_store_error(on_store_error) == "proceed"
        engine = Engine(
            attempts=Attempts(
                http=self._http,
                clock=clock,
                random=random.random,
                budget=RetryBudget(),
                limiter=self._limiter,
                observers=self._observing(CREATE_SESSION),
                timeout=attempt_timeout,
                proceed=proceed,
            ),
            idempotency=KeyLeases(
                store=self._store,
                scope=self._scope,
                clock=clock,
                lease_seconds=claim_lease,
                keep=float(remember),
                proceed=proceed,
            ),
            api_key=key,
        )
        self._payment_link_sessions = PaymentLinkSessions(engine, timeout, policy, http_to)
        self._engine, self._clock = engine, clock
        self._limits = check_limits(rate_limits, limit, self._mode)
        self._engines: dict[str, Engine] = {}
        self._requests = Requests(self._engine_of, timeout, policy)

    @property
    def payment_link_sessions(self) -> PaymentLinkSessions:
        """Create payment link sessions."""
        return self._payment_link_sessions

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> ApiResponse:
        """Make a request of any other part of Frame's API; its JSON, decoded, with its `Call`.

        GET and HEAD are repeated freely, since they change nothing; anything else by the same
        rules as ``create``, and a possible duplicate is counted in the same way.

        Args:
            method: ``GET``, ``HEAD``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
            path: from ``/v1/`` on, without a query.
            params: the query; None values are left out.
            json: the body.
            idempotency_key: your own key, as in ``create``: the same key with the same request
                gives the same answer from the store. Frame honours it for some calls.
            timeout: seconds for the whole call; the client's by default.
            retry: how to try again; the client's by default.

        Raises:
            ValidationError: an argument can't be used; nothing was sent.
            CallError: as ``create``.
            UnreadableError: the answer isn't JSON.
        """
        body, json = Secret(json), None  # a traceback shows local variables
        return await self._requests.request(
            method, path, params, body, idempotency_key, timeout, retry
        )

    def pages(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> AsyncIterator[Any]:
        """Iterate over all objects of a list, page by page: ``async for each in frame.pages(...)``.

        Pages are those of Frame's lists, ``meta`` and ``data`` (Frame's Node SDK); ``timeout``
        and ``retry`` hold for each page, and errors are those of `request`.
        """
        options = {
            "json": Secret(None),
            "idempotency_key": None,
            "timeout": timeout,
            "retry": retry,
        }
        return self._requests.pages(path, params, options)

    def _engine_of(self, endpoint: str) -> Engine:
        """The engine with the rate window of an endpoint."""
        if endpoint not in self._engines:
            limiter: Limiter = self._unlimited
            limit = self._limits(endpoint)
            if limit is not None:
                window = Window(f"{self._scope}:{endpoint}", limit)
                limiter = RateLimiter(self._store, window, self._clock, self._quantile)
            observers = self._observing(endpoint)
            attempts = evolve(self._engine.attempts, limiter=limiter, observers=observers)
            self._engines[endpoint] = evolve(self._engine, attempts=attempts)
        return self._engines[endpoint]

    def _observing(self, endpoint: str) -> Observers:
        return Observers([observer.bind(self._base_url, endpoint) for observer in self._observers])

    @property
    def mode(self) -> Mode:
        """Which of Frame's worlds the API key belongs to, judged by its prefix."""
        return self._mode

    @property
    def base_url(self) -> str:
        """The address that requests go to, with its ``/v1``."""
        return self._base_url

    @property
    def scope(self) -> str:
        """What stands for API key and address in a store; neither can be read from it."""
        return self._scope

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._http.closed

    def stop_waiting(self) -> None:
        """End the calls that wait for a place in the rate window, or sleep before a retry.

        Each hears at once that it was not sent, or that its outcome is unknown, if an attempt
        was. From now on nobody waits: a call for which there is a place goes on, and what
        is on the wire comes to its end. Runs of ``create_many`` take no more inputs, and end
        with `ClientClosedError`. For a process that is told to stop; to be called on the event
        loop of the client, for instance with ``loop.call_soon_threadsafe``.
        """
        for each in (self._engine, *self._engines.values()):
            each.attempts.limiter.close()

    async def aclose(self) -> None:
        """Close all connections, and the store if it was given as a URL; once is enough.

        Whoever waits hears it at once; see `stop_waiting`.

        Raises:
            EventLoopError: it is open on another event loop; nothing was closed.
        """
        self._http.leave_others()
        self.stop_waiting()
        await self._http.aclose()
        if self._owns_store:
            await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_payment_link_sessions"):  # refused: a traceback may still show it
            return "<FrameClient unusable>"
        state = "closed" if self.closed else "open"
        return f"<FrameClient {self._base_url} mode={self._mode} {state}>"

    def __reduce__(self) -> str:
        refuse_pickling("a FrameClient")
