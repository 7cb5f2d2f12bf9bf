"""The client: checks what it is given, wires the house together, owns its lifetime."""

import os
import random
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from frame_async.errors import ConfigurationError
from frame_async.hidden import Hidden, refuse_pickling
from frame_async.observers import Audience, Observer
from frame_async.protocol.clock import Clock
from frame_async.protocol.credentials import (
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    KEY_VARIABLE,
    Mode,
    check_api_key,
    normal_base_url,
)
from frame_async.protocol.pause import Pause
from frame_async.protocol.retry import RetryBudget, RetryPolicy
from frame_async.resources.payment_link_sessions import Defaults, PaymentLinkSessions, check_retry
from frame_async.transport.clock import SystemClock
from frame_async.transport.delivery import Delivery
from frame_async.transport.session import HttpSession
from frame_async.transport.story import Story, complain


class FrameClient:
    """A client of the Frame Payments API, for one API key.

    Make one per process and keep it; it holds the connections. Use it as
    ``async with FrameClient() as frame:``, or call `aclose` when done.

    Args:
        api_key: secret key; by default, ``FRAME_SECRET_KEY`` from the environment.
        base_url: with or without a trailing ``/v1``; by default ``FRAME_API_BASE_URL``
            from the environment, else Frame's production host. Plain HTTP is accepted
            for loopback only.
        timeout: seconds that one call may take in all: waiting, attempts, sleeps.
        attempt_timeout: seconds that one attempt may take, at most.
        connect_timeout: seconds that opening one connection may take, at most.
        max_in_flight: HTTP exchanges at a time, at most; further ones wait their turn.
        retry: how calls try again.
        tls: a TLS context of your own, for example with a private authority; by default
            TLS 1.2 or newer, verified against the system's authorities.
        observers: told what happens in each call, for metrics and traces.
        clock: where time comes from; for tests.

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
        tls: ssl.SSLContext | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        hidden, api_key = Hidden(api_key), None  # a traceback shows local variables
        key, self._mode = _key(hidden)
        self._base_url = _base_url(base_url)
        _check_seconds(timeout=timeout, attempt_timeout=attempt_timeout)
        _check_seconds(connect_timeout=connect_timeout)
        _check_limit(max_in_flight)
        self._session = HttpSession(
            f"{self._base_url}/payment_link_sessions",
            key,
            limit=max_in_flight,
            connect_timeout=connect_timeout,
            tls=tls,
        )
        delivery = Delivery(
            session=self._session,
            clock=SystemClock() if clock is None else clock,
            random=random.random,
            budget=RetryBudget(),
            pause=Pause(),
            audience=Audience((Story(), *observers), complain),
            attempt_timeout=attempt_timeout,
        )
        defaults = Defaults(timeout, RetryPolicy() if retry is None else check_retry(retry))
        self._payment_link_sessions = PaymentLinkSessions(delivery, defaults, key)

    @property
    def payment_link_sessions(self) -> PaymentLinkSessions:
        """Create payment link sessions."""
        return self._payment_link_sessions

    @property
    def mode(self) -> Mode:
        """Which of Frame's worlds the API key belongs to, judged by its prefix."""
        return self._mode

    @property
    def base_url(self) -> str:
        """The address that requests go to, with its ``/v1``."""
        return self._base_url

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._session.closed

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
        await self._session.aclose()

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
        if not hasattr(self, "_session"):  # refused: a traceback may still show it
            return "<FrameClient unusable>"
        state = "closed" if self.closed else "open"
        return f"<FrameClient {self._base_url} mode={self._mode} {state}>"

    def __reduce__(self) -> str:
        refuse_pickling("a FrameClient")


def _key(given: Hidden[str | None]) -> tuple[Hidden[str], Mode]:
    source = "api_key"
    if given.reveal() is None:
        given, source = Hidden(os.environ.get(KEY_VARIABLE)), KEY_VARIABLE
    mode = check_api_key(given, source)
    return Hidden(str(given.reveal())), mode


def _base_url(given: str | None) -> str:
    if given is not None:
        return normal_base_url(given)
    found = os.environ.get(BASE_URL_VARIABLE)
    if found == "":
        raise ConfigurationError(f"{BASE_URL_VARIABLE} is set but empty; give it a URL or unset it")
    return normal_base_url(DEFAULT_BASE_URL if found is None else found, BASE_URL_VARIABLE)


def _check_seconds(**values: object) -> None:
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < 1e9:  # type: ignore[operator]  # a number by now
            raise ConfigurationError(f"{name} must be a number of seconds above 0")


def _check_limit(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError("max_in_flight must be an integer, 1 or more")
