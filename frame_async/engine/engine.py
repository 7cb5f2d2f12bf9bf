"""One call, from top to bottom: its key, its attempts, what is remembered, and its result."""

import asyncio
from typing import Any, TypeVar
from uuid import uuid4

from attrs import frozen

from frame_async.calls import Outcome
from frame_async.engine import results
from frame_async.engine.attempts import Attempts
from frame_async.engine.exchange import Course, Ended
from frame_async.engine.idempotency import KeyLeases, Lease
from frame_async.engine.operation import CallOptions, Operation
from frame_async.errors import UnreadableError
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.secret import Secret

R = TypeVar("R")
T = TypeVar("T")


@frozen(kw_only=True, eq=False, repr=False)
class Engine:
    """Runs operations for one client: not twice, not too fast, and true about what happened."""

    attempts: Attempts
    idempotency: KeyLeases
    api_key: Secret[str]

    async def run(self, operation: Operation[R, T], request: R, options: CallOptions) -> T:
        """Make one call, whose parameters have been checked; what it created.

        Raises:
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
            IdempotencyConflictError: the key stands for another request.
            CallError: it ended without something to hand over.
        """
        attempts = self.attempts
        attempts.http.open()
        now = attempts.clock.monotonic()
        course = Course(options=options, started=now, deadline=now + options.timeout)
        try:
            if options.key is None:
                course.key = course.token = str(uuid4())
                course.body = operation.dump(request)
                ended = await attempts.run(operation, course, None)
            else:
                ended = await self._keyed(operation, request, course, options.key)
        except asyncio.CancelledError:
            ended_at = attempts.clock.monotonic()
            attempts.observers.call_ended(course.record(ended_at, cancelled=True))
            raise
        if not ended.call.replayed:
            attempts.observers.call_ended(ended.call)
        if ended.call.outcome is not Outcome.CREATED:
            secrets = Secret((*operation.secrets(request), self.api_key.reveal()))
            raise results.error_of(operation, ended, secrets)
        try:
            return operation.load(ended.exchange.body, ended.call)
        except UnreadableError as error:
            fault = error
        raise results.unreadable(operation, ended, fault)

    async def _keyed(
        self, operation: Operation[R, Any], request: R, course: Course, key: str
    ) -> Ended:
        """The same for a key of its caller's own, which is remembered."""
        course.key = key
        course.body, fields = operation.dump_fields(request)
        fingerprint = make_fingerprint(fields)
        del fields  # a traceback shows local variables
        lease = Lease(
            self.idempotency,
            course,
            fingerprint,
            operation.lifetime(request),
            operation.if_unknown,
            Secret(operation.secrets(request)),
        )
        async with lease:
            if lease.replay is not None:
                return lease.replay
            return await lease.settle(await self.attempts.run(operation, course, lease))
