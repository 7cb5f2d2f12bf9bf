"""Clients of many merchants in one process, for platforms."""

import asyncio
import os
import ssl
from collections import OrderedDict
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Self, Unpack

from frame_async.client import FrameClient
from frame_async.engine.http import make_shared_session
from frame_async.engine.opened import Opened, leave_behind
from frame_async.engine.tls import default_tls_context, without_key_log
from frame_async.errors import ClientClosedError, ConfigurationError
from frame_async.protocol.addresses import find_base_url, find_http_hosts
from frame_async.protocol.credentials import check_api_key
from frame_async.secret import Secret, refuse_pickling
from frame_async.settings import ClientOptions, boxed, check_counts, find_store

_NOT_HERE: Final = frozenset(("api_key", "clock"))


class FrameClients:
    """A `FrameClient` for each API key, all with one store and over shared connections.

    ::

        async with FrameClients(store="postgresql:///platform") as clients:
            frame = await clients.of(merchant.secret_key)
            session = await frame.payment_link_sessions.create(...)

    Each merchant keeps what is theirs: the key, the rate window, the idempotency keys. A client
    at rest is small and holds no connection, so letting go of one costs its merchant nothing.

    Args:
        at_most: clients that are kept; those that were asked for least recently are let go of.
            Whoever has one may go on using it.
        max_connections: open connections to Frame, of all merchants together.
        options: those of `FrameClient`, for every merchant, but ``api_key`` and ``clock``.
            ``max_in_flight`` counts for each merchant; with ``http``, its connections are used.

    Raises:
        ConfigurationError: an argument or environment variable can't be used.
    """

    def __init__(
        self,
        *,
        at_most: int = 10_000,
        max_connections: int = 100,
        **options: Unpack[ClientOptions],
    ) -> None:
        given: Secret[dict[str, Any]] = Secret({**options})
        options = ClientOptions()  # a traceback shows local variables
        check_counts(at_most=at_most, max_connections=max_connections)
        if found := _NOT_HERE.intersection(given.reveal()):
            raise ConfigurationError(f"{min(found)} can't be given for all merchants")
        hosts = find_http_hosts(given.reveal().get("allow_http_to"))
        base_url = find_base_url(Secret(given.reveal().get("base_url")), hosts)
        self._http, tls = given.reveal().get("http"), given.reveal().get("tls")
        if self._http is None:
            given.reveal().pop("tls", None)
        self._tls: ssl.SSLContext | bool = True
        if self._http is None and base_url.startswith("https:"):
            self._tls = default_tls_context() if tls is None else without_key_log(tls)
        self._store, self._owns_store = find_store(*boxed(given.reveal().pop("store", None)))
        self._options, self._at_most, self._max_connections = given, at_most, max_connections
        self._clients: OrderedDict[bytes, FrameClient] = OrderedDict()
        self._opened: Opened | None = None
        self._closed = False

    async def of(self, api_key: str) -> FrameClient:
        """The client of the merchant with that secret key; the same as long as it is kept.

        Raises:
            ConfigurationError: the key can't be one.
            ClientClosedError: all were closed.
            EventLoopError: they are open on another event loop.
        """
        given, api_key = Secret[str | None](api_key), ""  # a traceback shows local variables
        if self._closed:
            raise ClientClosedError("FrameClients is closed; make another one")
        self._open()
        check_api_key(given, "api_key")
        key = Secret(str.__str__(given.reveal() or ""))  # an enum's own text is another
        known_by = sha256(key.reveal().encode()).digest()
        client = self._clients.get(known_by)
        if client is None:
            client = self._clients[known_by] = self._make(key)
            if len(self._clients) > self._at_most:
                self._clients.popitem(last=False)
        self._clients.move_to_end(known_by)
        return client

    def _open(self) -> None:
        """Have a session on the running event loop, in this process."""
        if self._http is not None:
            return
        self._leave_others()
        if self._opened is None:
            session = make_shared_session(self._tls, self._max_connections)
            loop, process = asyncio.get_running_loop(), os.getpid()
            self._opened = Opened(loop, process, asyncio.Semaphore(), session, ours=True)

    def _leave_others(self) -> None:
        """Let go of what another event loop or the parent process opened."""
        if self._opened is not None and not self._opened.is_here():
            leave_behind(self._opened, os.getpid())
            self._opened = None
            self._clients.clear()

    def _make(self, key: Secret[str]) -> FrameClient:
        session = self._http if self._opened is None else self._opened.session
        shared = {"store": self._store, "http": session}
        options: Secret[dict[str, Any]] = Secret({**self._options.reveal(), **shared})
        return FrameClient(key.reveal(), **options.reveal())

    async def aclose(self) -> None:
        """Close all clients and connections, and the store if it was given as a URL.

        Raises:
            EventLoopError: they are open on another event loop; nothing was closed.
        """
        self._leave_others()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
        self._closed = True
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()
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

    def __len__(self) -> int:
        """How many clients are kept."""
        return len(self._clients)

    def __repr__(self) -> str:
        if not hasattr(self, "_closed"):  # refused: a traceback may still show it
            return "<FrameClients unusable>"
        return f"<FrameClients of {len(self)} merchants, {'closed' if self._closed else 'open'}>"

    def __reduce__(self) -> str:
        refuse_pickling("FrameClients")
