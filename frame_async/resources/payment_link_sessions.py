"""Payment link sessions: ``POST /v1/payment_link_sessions``."""

import os

from attrs import frozen

from frame_async.errors import Problem, ValidationError
from frame_async.hidden import Hidden
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.idempotency import check_key, mint
from frame_async.protocol.retry import RetryPolicy
from frame_async.resources.verdicts import error_of, secrets_of, session_of
from frame_async.serialization import dump
from frame_async.transport.delivery import Delivery


@frozen
class Defaults:
    """What a call uses when its caller doesn't say otherwise."""

    timeout: float
    """Seconds for the whole call."""
    retry: RetryPolicy


class PaymentLinkSessions:
    """Creates payment link sessions; reached as ``client.payment_link_sessions``."""

    def __init__(self, delivery: Delivery, defaults: Defaults, key: Hidden[str]) -> None:
        self._delivery = delivery
        self._key = key
        self._defaults = defaults

    async def create(
        self,
        request: PaymentLinkSessionRequest,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> PaymentLinkSession:
        """Create one payment link session and return it.

        Args:
            request: what is asked for; it has checked itself on construction.
            idempotency_key: your own key for this call, 1 to 255 visible ASCII
                characters; without one, a random UUID is minted. It is sent unchanged
                on every attempt. Frame V1 ignores it (Frame's documentation of
                idempotency), so a retry after a lost answer may create a second
                session: ``session.call.possible_duplicates`` says how many.
            timeout: seconds for the whole call: waiting, attempts and sleeps; the
                client's ``timeout`` by default.
            retry: how to try again; the client's ``retry`` by default.

        Raises:
            ValidationError: the request, key or timeout breaks a rule; nothing was sent.
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
            NothingCreatedError: certainly no session; `RequestRefusedError` when the
                server said no, `NotSentError` when it can't have heard of the request.
            OutcomeUnknownError: a session may exist that can't be handed over.
        """
        check_request(request)
        key = mint(os.urandom) if idempotency_key is None else check_key(idempotency_key)
        seconds = self._defaults.timeout if timeout is None else check_timeout(timeout)
        policy = check_retry(self._defaults.retry if retry is None else retry)
        body = Hidden(dump(request))
        delivered = await self._delivery.deliver(body, key, policy, seconds)
        session = session_of(delivered)
        if session is not None:
            return session
        raise error_of(delivered, Hidden(secrets_of(request, self._key.reveal())))


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
