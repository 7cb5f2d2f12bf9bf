"""One call, from top to bottom: its key, its attempts, what is remembered, and its result."""

import asyncio
import os
from typing import Any, TypeVar

from attrs import frozen

from frame_async.calls import Outcome
from frame_async.engine import results
from frame_async.engine.attempts import Attempts, Course
from frame_async.engine.http import Http
from frame_async.engine.idempotency import NO_LEASE, KeyLeases, Lease, NoLease
from frame_async.engine.limiter import RateLimiter, Unlimited
from frame_async.engine.observing import Observers
from frame_async.engine.operation import CallOptions, Operation
from frame_async.protocol.clock import Clock
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.protocol.idempotency import mint
from frame_async.secret import Secret

R = TypeVar("R")
T = TypeVar("T")


@frozen(kw_only=True, eq=False, repr=False)
class Engine:
    """Runs operations for one client: not twice, not too fast, and true about what happened."""

    http: Http
    limiter: RateLimiter | Unlimited
    attempts: Attempts
    idempotency: KeyLeases
    observers: Observers
    clock: Clock
    api_key: Secret[str]

    async def run(self, operation: Operation[R, T], request: R, options: CallOptions) -> T:
        """Make one call, whose parameters have been checked; what it created.

        Raises:
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
            IdempotencyConflictError: the key stands for another request.
            CallError: it ended without something to hand over.
        """
        self.http.open()
        course, lease = self._begin(operation, request, options)
        try:
            async with lease:
                ended = lease.replay
                if ended is None:
                    exchange = await self.attempts.run(operation, course, lease)
                    ended = await lease.settle(course.end(exchange, self.clock.monotonic()))
        except asyncio.CancelledError:
            self.observers.call_ended(course.record(self.clock.monotonic(), cancelled=True))
            raise
        if lease.replay is None:
            self.observers.call_ended(ended.call)
        if ended.call.outcome is Outcome.CREATED:
            return results.load(operation, ended)
        raise results.error_of(ended, self._secrets(operation, request))

    def _begin(
        self, operation: Operation[R, Any], request: R, options: CallOptions
    ) -> tuple[Course, Lease | NoLease]:
        """A call about to be made, and the lease of its key."""
        started = self.clock.monotonic()
        body, fingerprint = _written(operation, request, options)
        minted = mint(os.urandom) if options.key is None else ""
        course = Course(
            body=body,
            key=options.key or minted,
            policy=options.policy,
            lane=options.lane,
            run=options.run,
            started=started,
            deadline=started + options.timeout,
            token=minted,
        )
        if options.key is None:
            return course, NO_LEASE
        lifetime = operation.lifetime(request)
        return course, self.idempotency.lease(course, fingerprint, lifetime)

    def _secrets(self, operation: Operation[R, Any], request: R) -> Secret[tuple[str, ...]]:
        """What an error must not show, should the answer echo it."""
        return Secret((*operation.secrets(request), self.api_key.reveal()))


def _written(
    operation: Operation[R, Any], request: R, options: CallOptions
) -> tuple[Secret[bytes], str]:
    """The body, boxed since a traceback shows local variables; its fingerprint, if it has a key."""
    if options.key is None:
        return Secret(operation.dump(request)), ""
    body, fields = operation.dump_fields(request)
    return Secret(body), make_fingerprint(fields)
