"""Payment link sessions: ``POST /v1/payment_link_sessions``."""

import os
from typing import Literal

from attrs import frozen

from frame_async.errors import Problem, ValidationError
from frame_async.hidden import Hidden
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.protocol.idempotency import check_key, mint
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import Lane
from frame_async.resources.keyed import KeyedCalls
from frame_async.resources.verdicts import error_of, secrets_of, session_of
from frame_async.serialization import canonical_fields, dump
from frame_async.transport.delivery import Assignment, Delivered, Delivery


@frozen(kw_only=True)
class Defaults:
    """What a call uses when its caller doesn't say otherwise."""

    timeout: float
    """Seconds for the whole call."""
    retry: RetryPolicy


class PaymentLinkSessions:
    """Creates payment link sessions; reached as ``client.payment_link_sessions``."""

    def __init__(
        self, delivery: Delivery, keyed: KeyedCalls, defaults: Defaults, key: Hidden[str]
    ) -> None:
        self._delivery = delivery
        self._keyed = keyed
        self._defaults = defaults
        self._key = key

    async def create(
        self,
        request: PaymentLinkSessionRequest,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.INTERACTIVE,
    ) -> PaymentLinkSession:
        """Create one payment link session and return it.

        Args:
            request: what is asked for; it has checked itself on construction.
            idempotency_key: your own key for what this call is about, 1 to 255 visible
                ASCII characters, such as an order number or `IdempotencyKey.derive`. The
                same key with the same request gives the same session, whoever asks and
                however often, as long as the session lives and the client's store
                remembers. Without one, a random UUID is minted and nothing is remembered.
                The key is sent on every attempt; Frame V1 ignores it (Frame's documentation
                of idempotency), so a retry after a lost answer may create a second
                session: ``session.call.possible_duplicates`` says how many.
            timeout: seconds for the whole call: waiting, attempts and sleeps; the
                client's ``timeout`` by default.
            retry: how to try again; the client's ``retry`` by default.
            lane: who waits: ``"interactive"`` for a payer, served first; ``"bulk"`` for a
                worker, which leaves a tenth of the rate window free for payers.

        Raises:
            ValidationError: the request, key or an option breaks a rule; nothing was sent.
            IdempotencyConflictError: the key stands for another request.
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
            NothingCreatedError: certainly no session; `RequestRefusedError` when the
                server said no, `WindowFullError` when the rate window has no place in
                time, `StoreError` when the store can't answer, `NotSentError` when the
                server can't have heard of the request for another reason.
            CallInFlightError: another process is working on the same key.
            OutcomeUnknownError: a session may exist that can't be handed over.
        """
        check_request(request)
        assignment = Assignment(
            body=Hidden(dump(request)),
            key=mint(os.urandom) if idempotency_key is None else check_key(idempotency_key),
            policy=check_retry(self._defaults.retry if retry is None else retry),
            deadline=self._deadline(timeout),
            lane=check_lane(lane),
        )

        def finish(delivered: Delivered) -> PaymentLinkSession:
            session = session_of(delivered)
            if session is not None:
                return session
            raise error_of(delivered, Hidden(secrets_of(request, self._key.reveal())))

        if idempotency_key is None:
            return finish(await self._delivery.deliver(assignment))
        self._delivery.session.open()
        return await self._keyed.run(
            assignment, make_fingerprint(canonical_fields(request)), finish
        )

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._defaults.timeout if timeout is None else check_timeout(timeout)
        return self._delivery.clock.monotonic() + seconds


def check_lane(lane: object) -> Lane:
    """A lane, by itself or by its name."""
    if lane in ("interactive", "bulk"):
        return Lane(lane)
    problem = Problem("lane", "is not a lane", 'pass "interactive" or "bulk"')
    raise ValidationError("invalid call", [problem])


def check_request(request: object) -> None:
    """Refuse anything but a request, with the fix for the likely mistake."""
    if not isinstance(request, PaymentLinkSessionRequest):
        found = type(request).__name__
        request = None  # what follows raises, and a traceback shows local variables
        problem = Problem(
            "request",
            f"must be a PaymentLinkSessionRequest, not {found}",
            "pass PaymentLinkSessionRequest(line_items=[...], ...)",
        )
        raise ValidationError("invalid call", [problem])


def check_timeout(timeout: object) -> float:
    """Seconds for a call: a number above 0 and below 1e9."""
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < 1e9:
        return float(timeout)
    problem = Problem("timeout", "must be a number of seconds above 0", "pass for example 30.0")
    raise ValidationError("invalid call", [problem])


def check_retry(retry: object) -> RetryPolicy:
    """A retry policy, or a clear refusal."""
    if isinstance(retry, RetryPolicy):
        return retry
    problem = Problem("retry", "must be a RetryPolicy", "pass RetryPolicy(max_retries=...)")
    raise ValidationError("invalid call", [problem])
