"""How the rooms of one client are put together; loaded when the first client is made."""

import random
import ssl
from typing import NamedTuple

from frame_async.observers import Audience, Observer
from frame_async.protocol.clock import Clock
from frame_async.protocol.retry import RetryBudget, RetryPolicy
from frame_async.protocol.window import RateLimit
from frame_async.resources.keyed import KeyedCalls
from frame_async.resources.payment_link_sessions import Defaults, PaymentLinkSessions
from frame_async.secret import Secret
from frame_async.stores import Store, Window
from frame_async.transport.delivery import Delivery, Turnstile
from frame_async.transport.line import Line, OpenRoad
from frame_async.transport.session import HttpSession
from frame_async.transport.story import Story, complain


class Settings(NamedTuple):
    """What a client was given, checked; times are in seconds.

    A tuple, because so many fields make attrs' way of defining a class three times as dear.
    """

    key: Secret[str]
    base_url: str
    scope: str
    timeout: float
    attempt_timeout: float
    connect_timeout: float
    max_in_flight: int
    policy: RetryPolicy
    limit: RateLimit | None
    store: Store
    proceed: bool
    claim_lease: float
    remember: float
    tls: ssl.SSLContext | None
    observers: tuple[Observer, ...]
    clock: Clock


def wire(settings: Settings) -> tuple[HttpSession, Turnstile, PaymentLinkSessions]:
    """The connections, the line before the rate window, and what a user calls."""
    session = HttpSession(
        f"{settings.base_url}/payment_link_sessions",
        settings.key,
        limit=settings.max_in_flight,
        connect_timeout=settings.connect_timeout,
        tls=settings.tls,
    )
    turnstile = _turnstile(settings)
    watching = (observer.bind(settings.base_url) for observer in settings.observers)
    delivery = Delivery(
        session=session,
        clock=settings.clock,
        random=random.random,
        budget=RetryBudget(),
        turnstile=turnstile,
        audience=Audience((Story(), *watching), complain),
        attempt_timeout=settings.attempt_timeout,
        proceed=settings.proceed,
    )
    keyed = KeyedCalls(
        store=settings.store,
        scope=settings.scope,
        clock=settings.clock,
        lease=settings.claim_lease,
        keep=settings.remember,
        proceed=settings.proceed,
        delivery=delivery,
    )
    defaults = Defaults(timeout=settings.timeout, retry=settings.policy)
    return session, turnstile, PaymentLinkSessions(delivery, keyed, defaults, settings.key)


def _turnstile(settings: Settings) -> Turnstile:
    if settings.limit is None:
        return OpenRoad(settings.clock, settings.policy.jitter, random.random)
    return Line(settings.store, Window(settings.scope, settings.limit), settings.clock)
