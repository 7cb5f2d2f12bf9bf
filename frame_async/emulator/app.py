"""From a request to an answer: routes, the ledger, the latency, and how it ends.

Everything about a request is decided as soon as it is complete; latency only
holds the answer back. So a client that gives up waiting has left a session
behind, which is the case that is hard on clients.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import web
from attrs import define, field

from .api.answers import ApiAnswer, RefusedError, bad_request
from .api.context import RequestContext
from .api.envelopes import enveloped
from .api.hosts import require_own_host
from .api.http import usual_response
from .faults.wire import USUAL, finish
from .state.emulator_state import EmulatorState
from .state.ledger import LedgerEntry

_LOGGER = logging.getLogger("frame_async.emulator")

Handle: TypeAlias = Callable[[RequestContext], Awaitable[ApiAnswer]]
"""Decides the answer to one request; may raise `RefusedError`."""

Methods: TypeAlias = Mapping[str, Handle]
"""What to do for each HTTP method of a path."""

AdminHandler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers what is no call of the API: for those who run the emulator."""


@define(kw_only=True, eq=False)
class App:
    """Answers requests by the routes it is given."""

    routes: Mapping[str, Methods]
    """By exact path."""
    families: Mapping[str, Methods]
    """By the first part of the path, ``/pay/`` for instance."""
    admin: AdminHandler
    """Answers what is at the paths that `is_admin_path` names, outside of the ledger."""
    is_admin_path: Callable[[str], bool]
    """Tells whether a path is none of the API's."""
    own_hosts: frozenset[str]
    """The names that it answers to, beside those of this machine."""
    allow_remote: bool
    """Whether other machines may reach it."""
    state: EmulatorState
    """Clock, ledger, latency and the ids of requests."""
    on_request: Callable[[LedgerEntry], object] | None = None
    """Is called with each entry of the ledger."""
    _busy: set[asyncio.Transport] = field(init=False, factory=set[asyncio.Transport])

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of aiohttp's."""
        if self.is_admin_path(request.path):
            return await self.admin(request)
        context = RequestContext(request, self.state.clock(), self.state.randomness.request_ids())
        transport = request.transport
        if transport is not None:
            self._busy.add(transport)
        try:
            return await self._answered(context)
        finally:
            if transport is not None:
                self._busy.discard(transport)

    async def _answered(self, context: RequestContext) -> web.StreamResponse:
        answer = await self._recorded(context)
        wire = context.wire
        try:
            if seconds := context.latency + wire.seconds:
                await asyncio.sleep(seconds)
        finally:
            context.settle()
        if wire is USUAL:
            return usual_response(context.request, answer, context.request_id)
        return await finish(context.request, answer, context.request_id, wire, self._idle)

    async def _recorded(self, context: RequestContext) -> ApiAnswer:
        try:
            answer = await self._answer(context)
            context.status = answer.status or None
            context.latency = self.state.latency(self.state.randomness.latency)
        finally:
            ledger = self.state.ledger
            entry = context.entry(ledger.next_sequence())
            ledger.append(entry)
            self._report(entry)
        return answer

    def _report(self, entry: LedgerEntry) -> None:
        """Tell whoever watches; that they fail is nothing that a client has to do with."""
        if self.on_request is None:
            return
        try:
            self.on_request(entry)
        except Exception:
            _LOGGER.exception("on_request failed on request %d", entry.sequence)

    async def _answer(self, context: RequestContext) -> ApiAnswer:
        try:
            require_own_host(context.request, self.own_hosts, remote=self.allow_remote)
            answer = await self._route(context.request)(context)
        except RefusedError as refused:
            answer = refused.answer
        return enveloped(answer, self.state.envelope)

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
