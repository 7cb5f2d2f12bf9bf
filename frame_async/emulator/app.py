"""From a request to an answer: routes, the ledger, the latency.

Everything about a request is decided as soon as it is complete; latency only
holds the answer back. So a client that gives up waiting has left a session
behind, which is the case that is hard on clients.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import web
from attrs import define

from .answers import Answer, RefusedError, bad_request
from .clocks import Clock
from .exchanges import Exchange
from .ledger import Ledger

Handle: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
"""Decides the answer to one exchange; may raise `RefusedError`."""

Methods: TypeAlias = Mapping[str, Handle]
"""What to do for each HTTP method of a path."""


@define(kw_only=True, eq=False)
class App:
    """Answers requests by the routes it is given."""

    routes: Mapping[str, Methods]
    """By exact path."""
    families: Mapping[str, Methods]
    """By the first part of the path, ``/pay/`` for instance."""
    ledger: Ledger
    """Gets one entry for each request."""
    clock: Clock
    """Says when a request arrived."""
    latency: float
    """Seconds by which every answer is held back."""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request of aiohttp's."""
        exchange = Exchange(request, self.clock())
        answer = await self._recorded(exchange)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
        finally:
            exchange.settle(answer)
        return to_response(answer, exchange.request_id)

    async def _recorded(self, exchange: Exchange) -> Answer:
        try:
            answer = await self._answer(exchange)
            exchange.status = answer.status
        finally:
            self.ledger.append(exchange.entry(self.ledger.next_sequence()))
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


def to_response(answer: Answer, request_id: str) -> web.Response:
    """Make aiohttp's response of an answer."""
    headers = {**answer.headers, "X-Request-Id": request_id}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
