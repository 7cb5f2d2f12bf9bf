"""From a request to an answer: routes, the ledger, the latency, and how it ends.

Everything about a request is decided as soon as it is complete; latency only
holds the answer back. So a client that gives up waiting has left a session
behind, which is the case that is hard on clients.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import web
from attrs import define, field

from .answers import Answer, RefusedError, bad_request
from .books import Books
from .endings import USUAL, finish, usual_response
from .exchanges import Exchange

Handle: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
"""Decides the answer to one exchange; may raise `RefusedError`."""

Methods: TypeAlias = Mapping[str, Handle]
"""What to do for each HTTP method of a path."""

Aside: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers what is no call of the API: for those who run the emulator."""


@define(kw_only=True, eq=False)
class App:
    """Answers requests by the routes it is given."""

    routes: Mapping[str, Methods]
    """By exact path."""
    families: Mapping[str, Methods]
    """By the first part of the path, ``/pay/`` for instance."""
    aside: Aside
    """Answers what is at the paths that `is_aside` names, outside of the ledger."""
    is_aside: Callable[[str], bool]
    """Tells whether a path is none of the API's."""
    books: Books
    """Clock, ledger, latency and the ids of requests."""
    _busy: set[asyncio.Transport] = field(init=False, factory=set[asyncio.Transport])

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of aiohttp's."""
        if self.is_aside(request.path):
            return await self.aside(request)
        exchange = Exchange(request, self.books.clock(), self.books.chances.request_ids())
        transport = request.transport
        if transport is not None:
            self._busy.add(transport)
        try:
            return await self._answered(exchange)
        finally:
            if transport is not None:
                self._busy.discard(transport)

    async def _answered(self, exchange: Exchange) -> web.StreamResponse:
        answer = await self._recorded(exchange)
        ending = exchange.ending
        try:
            if seconds := exchange.latency + ending.seconds:
                await asyncio.sleep(seconds)
        finally:
            exchange.settle()
        if ending is USUAL:
            return usual_response(exchange.request, answer, exchange.request_id)
        return await finish(exchange.request, answer, exchange.request_id, ending, self._idle)

    async def _recorded(self, exchange: Exchange) -> Answer:
        try:
            answer = await self._answer(exchange)
            exchange.status = answer.status or None
            exchange.latency = self.books.latency(self.books.chances.latency)
        finally:
            ledger = self.books.ledger
            ledger.append(exchange.entry(ledger.next_sequence()))
        return answer

    async def _answer(self, exchange: Exchange) -> Answer:
        try:
            return await self._route(exchange.request)(exchange)
        except RefusedError as refused:
            return refused.answer

    def _route(self, request: web.BaseRequest) -> Handle:
        methods = self.routes.get(request.path) or self._family(request.path)
        if methods is None:
            raise bad_request(404, "The emulator has nothing here. Every API path is under /v1.")
        handle = methods.get(request.method)
        if handle is None:
            refused = bad_request(405, "Frame has no such call: this path takes another method.")
            raise RefusedError(refused.answer.plus({"Allow": ", ".join(methods)}))
        return handle

    def _family(self, path: str) -> Methods | None:
        return next((m for start, m in self.families.items() if path.startswith(start)), None)

    def _idle(self, transport: asyncio.Transport) -> bool:
        return transport not in self._busy
