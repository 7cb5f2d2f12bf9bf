"""The receiver: verifies and reads webhooks, and says whose turn it is."""

import os
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self

from frame_async.engine.clock import SystemClock
from frame_async.errors import (
    ConfigurationError,
    Problem,
    UnreadableError,
    ValidationError,
    WebhookError,
)
from frame_async.models.events import Event
from frame_async.protocol.clock import Clock
from frame_async.protocol.signatures import (
    SECRET_VARIABLE,
    Headers,
    Secrets,
    check_secrets,
    sent_digest,
)
from frame_async.secret import Secret, refuse_pickling
from frame_async.serialization.events import load_event
from frame_async.stores import MemoryStore, Store, default_store, open_store
from frame_async.webhooks.once import Turn, take_turn

LARGEST_BODY: Final = 1_048_576
"""Bytes of a body, at most, unless the receiver is told otherwise: 1 MiB."""

_DAY: Final = 86_400.0
_SCOPE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class WebhookReceiver:
    """Verifies and reads webhooks, and remembers which events were acted upon.

    The signature covers the body and no time, so a delivery can be repeated by anyone who
    saw it: the id of the event is all the protection there is. Act inside `once`.

    Args:
        secrets: the secret of the webhook endpoint as Frame shows it (with ``whsec_`` if it
            has that), or several while one replaces another; by default
            ``FRAME_WEBHOOK_SECRET`` from the environment.
        store: where events are remembered: a URL such as ``sqlite:///path`` or
            ``redis://host/0``, or a `Store`. By default the memory of this process, which
            a restart empties.
        max_bytes: bytes of a body, at most; larger ones are refused before they are hashed.
        keep_for: days that an event is remembered.
        lease: seconds after which the turn of a process that died may be taken over. It
            should be shorter than the time over which Frame redelivers.
        scope: goes before each event id in the store; give handlers that act on the same
            events independently a scope of their own.
        clock: where time comes from; for tests.

    Raises:
        ConfigurationError: an argument or environment variable can't be used. The message
            names it and never shows a secret.
    """

    def __init__(
        self,
        secrets: str | Sequence[str] | None = None,
        *,
        store: Store | str | None = None,
        max_bytes: int = LARGEST_BODY,
        keep_for: float = 30.0,
        lease: float = 10.0,
        scope: str = "webhook",
        clock: Clock | None = None,
    ) -> None:
        # A traceback shows local variables, so what is secret is boxed first.
        secret, secrets = Secret[object](secrets), None
        url, store = (Secret(store), None) if isinstance(store, str) else (None, store)
        self._secrets = _checked(secret)
        _check_limit(max_bytes)
        _check_positive(keep_for=keep_for, lease=lease)
        self._max_bytes, self._keep, self._lease = max_bytes, keep_for * _DAY, lease
        self._scope = _check_scope(scope)
        self._clock = SystemClock() if clock is None else clock
        self._owns_store = url is not None
        self._store = _store(url, store, self._clock)

    @property
    def max_bytes(self) -> int:
        """Bytes of a body, at most."""
        return self._max_bytes

    def verify(self, body: bytes, headers: Headers) -> Event:
        """The event in a webhook, once its signature is found to be right.

        Names of headers count in any case. The signature header must be there once, as
        ``sha256=`` and 64 hexadecimal digits in either case. Nothing else of the headers is
        looked at, because nothing else is signed by them: the event's type is the body's.

        Args:
            body: the bytes as they came, before any parsing.
            headers: those of the request: a mapping, or pairs of strings.

        Raises:
            WebhookError: don't trust it, or it can't be read; answer 400. It shows neither
                body nor headers nor secrets.
            ValidationError: what was passed are no bytes, or no headers: a mistake in the
                code that calls this.
        """
        # What is raised below has this frame in its traceback.
        raw, body = Secret[Any](body), b""
        given, headers = Secret(headers), ()
        content = self._content(raw)
        digest = sent_digest(given)
        if not self._secrets.match(content.reveal(), digest):
            raise WebhookError(
                "the signature doesn't match the body: another secret, or not the raw bytes "
                "that were sent"
            )
        try:
            return load_event(content.reveal())
        except UnreadableError as error:
            why = error.message
        raise WebhookError(f"signed, but unusable: {why}", signed=True)

    def _content(self, raw: Secret[Any]) -> Secret[bytes]:
        size = _size(raw)
        if size is None:
            found = type(raw.reveal()).__name__
            fix = "pass the raw bytes of the request's body, not what was parsed from them"
            problem = Problem("body", f"must be bytes, not {found}", fix)
            raise ValidationError("unusable webhook", [problem])
        if size > self._max_bytes:
            raise WebhookError(f"the body is larger than {self._max_bytes} bytes")
        return Secret(bytes(raw.reveal()))

    def once(self, event: Event) -> AbstractAsyncContextManager[Turn]:
        """Act on an event inside; `Turn.first` is true for one handler only.

        When the block ends, the event is remembered. When it raises or is cancelled, the
        event is free again, so that Frame's next delivery has another try: then answer
        with a status that is not 2xx. When the process dies inside, the turn passes on
        after the lease, and `Turn.interrupted` says so.

        Raises:
            EventInFlightError: another handler is working on the event; answer 503.
            StoreError: the store can't answer, so nothing may be done; answer 503.
        """
        # What only this process remembers can't be taken over by another.
        lease = self._lease if self._store.shared else _DAY
        name = f"{self._scope}:{event.id}"
        return take_turn(self._store, self._clock, name, event.id, lease, self._keep)

    async def aclose(self) -> None:
        """Close the store, if it was given as a URL; once is enough."""
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
        return "<WebhookReceiver>"

    def __reduce__(self) -> str:
        refuse_pickling("a WebhookReceiver")


def _checked(given: Secret[object]) -> Secrets:
    source = "secrets"
    if given.reveal() is None:
        given, source = Secret(os.environ.get(SECRET_VARIABLE)), SECRET_VARIABLE
        if given.reveal() is None:
            raise ConfigurationError(
                f"no webhook secret: pass secrets=... or set {SECRET_VARIABLE} to the secret "
                "of the webhook endpoint"
            )
    return check_secrets(given, source)


def _check_limit(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError("max_bytes must be an integer, 1 or more")


def _check_positive(**values: object) -> None:
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < 1e6:  # type: ignore[operator]  # a number by now
            unit = "days" if name == "keep_for" else "seconds"
            raise ConfigurationError(f"{name} must be a number of {unit} above 0")


def _check_scope(scope: object) -> str:
    if isinstance(scope, str) and _SCOPE.fullmatch(scope):
        return scope
    raise ConfigurationError("scope must be 1 to 64 letters, digits, or _ . -")


def _store(url: Secret[str] | None, given: Store | None, clock: Clock) -> Store:
    if url is not None:
        return open_store(url)
    if given is not None and not hasattr(given, "claim"):
        raise ConfigurationError("store must be a URL such as sqlite:///path, or a Store")
    if given is None and not isinstance(clock, SystemClock):
        return MemoryStore(now=clock.monotonic)  # another time than that of the others
    return default_store() if given is None else given


def _size(raw: Secret[Any]) -> int | None:
    """Bytes of a body; None when it is none."""
    binary = isinstance(raw.reveal(), bytes | bytearray | memoryview)
    return memoryview(raw.reveal()).nbytes if binary else None
