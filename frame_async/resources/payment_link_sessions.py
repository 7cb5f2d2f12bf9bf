"""Payment link sessions: ``POST /v1/payment_link_sessions``, once or many times."""

import os
from collections.abc import AsyncIterable, Iterable
from typing import Final, Literal

from attrs import frozen

from frame_async.errors import Problem, ValidationError
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.protocol.idempotency import check_key, mint
from frame_async.protocol.retry import RetryPolicy, check_retry
from frame_async.protocol.window import Lane
from frame_async.resources.keyed import KeyedCalls
from frame_async.resources.many import BulkItem, BulkResults, Engine, Source
from frame_async.resources.verdicts import error_of, secrets_of, session_of
from frame_async.secret import Secret
from frame_async.serialization import dump, dump_fields
from frame_async.shapes import is_mapping
from frame_async.transport.delivery import Assignment, Delivered, Delivery

DAY: Final = 86_400.0
"""Seconds."""

Inputs = (
    Iterable[PaymentLinkSessionRequest | BulkItem]
    | AsyncIterable[PaymentLinkSessionRequest | BulkItem]
)
"""What a bulk run can be made of."""


@frozen(kw_only=True, eq=False, repr=False)
class Defaults:
    """What a call uses when its caller doesn't say otherwise."""

    timeout: float
    """Seconds for the whole call."""
    retry: RetryPolicy


class PaymentLinkSessions:
    """Creates payment link sessions; reached as ``client.payment_link_sessions``."""

    def __init__(
        self, delivery: Delivery, keyed: KeyedCalls, defaults: Defaults, key: Secret[str]
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
        return await self._create(
            request,
            None if idempotency_key is None else check_key(idempotency_key),
            self._defaults.timeout if timeout is None else check_timeout(timeout),
            self._defaults.retry if retry is None else check_retry(retry),
            check_lane(lane),
        )

    def create_many(
        self,
        inputs: Inputs,
        *,
        max_in_flight: int = 32,
        ordered: bool = False,
        timeout: float = DAY,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.BULK,
        mode: Literal["sandbox", "live"] | None = None,
    ) -> BulkResults:
        """Create a session for each input; iterate over the results with ``async for``.

        One `BulkResult` per input, as it finishes. Inputs are taken as results are: at most
        ``max_in_flight`` are between the two, so memory stays flat however many there are.
        A plain iterator is asked on the event loop, and holds it up while it thinks.

        Args:
            inputs: requests, or `BulkItem` with a key of your own, which survives crashes.
            max_in_flight: calls at a time, at most; the client's own ``max_in_flight`` holds
                as well.
            ordered: whether results come in the order of the inputs; one slow call then
                holds back those after it.
            timeout: seconds for each call, waiting for the rate window included; a day, by
                default, because only attempts and retries should be in a hurry, and they
                have limits of their own.
            retry: how each call tries again; the client's ``retry`` by default.
            lane: ``"bulk"`` leaves a tenth of the rate window free for payers.
            mode: what every session has to be; the first that isn't ends the run with
                `WrongModeError`. Without it, whatever the API key gives is fine.

        An error of one input is a value, ``result.error``. What makes going on senseless
        ends the run: a key that is not accepted (401, 403), a store that can't answer, a
        client that was closed, the wrong mode, an exception of the input itself. Then no
        further input is taken, the results of everything in flight still come, and after
        them the exception is raised.

        Raises:
            ValidationError: an argument can't be used; nothing was taken or sent.
        """
        options = _Options(
            timeout=check_timeout(timeout),
            retry=self._defaults.retry if retry is None else check_retry(retry),
            lane=check_lane(lane),
        )
        source = Source(check_inputs(inputs))

        async def create(item: BulkItem) -> PaymentLinkSession:
            check_request(item.request)
            key = None if item.idempotency_key is None else check_key(item.idempotency_key)
            return await self._create(
                item.request, key, options.timeout, options.retry, options.lane, source
            )

        return BulkResults(
            Engine(
                source=source,
                create=create,
                workers=check_count(max_in_flight),
                ordered=ordered,
                dismiss=lambda: self._delivery.turnstile.dismiss(source),
                livemode=check_mode(mode),
            )
        )

    async def _create(
        self,
        request: PaymentLinkSessionRequest,
        key: str | None,
        timeout: float,
        policy: RetryPolicy,
        lane: Lane,
        party: object = None,
    ) -> PaymentLinkSession:
        """Make one call, whose parameters have been checked."""
        if key is None:
            body, fingerprint = Secret(dump(request)), ""
            minted = key = mint(os.urandom)
        else:
            body, fingerprint, minted = *_told(request), ""
        assignment = Assignment(
            body,
            key,
            policy,
            self._delivery.clock.monotonic() + timeout,
            lane,
            party,
            minted,
        )

        def finish(delivered: Delivered) -> PaymentLinkSession:
            session = session_of(delivered)
            if session is not None:
                return session
            raise error_of(delivered, Secret(secrets_of(request, self._key.reveal())))

        if minted:
            return finish(await self._delivery.deliver(assignment))
        self._delivery.session.open()
        return await self._keyed.run(assignment, fingerprint, finish)


def _told(request: PaymentLinkSessionRequest) -> tuple[Secret[bytes], str]:
    """The body of a request, boxed, because a traceback shows local variables; its fingerprint."""
    body, fields = dump_fields(request)
    return Secret(body), make_fingerprint(fields)


@frozen(kw_only=True, eq=False, repr=False)
class _Options:
    timeout: float
    retry: RetryPolicy
    lane: Lane


def check_lane(lane: object) -> Lane:
    """A lane, by itself or by its name."""
    if type(lane) is Lane:
        return lane
    if lane in ("interactive", "bulk"):
        return Lane(lane)
    problem = Problem("lane", "is not a lane", 'pass "interactive" or "bulk"')
    raise ValidationError("invalid call", [problem])


def check_inputs(inputs: Inputs) -> Inputs:
    """Inputs of a bulk run: something to iterate over, and not by mistake."""
    iterable = hasattr(inputs, "__iter__") or hasattr(inputs, "__aiter__")
    if iterable and not is_mapping(inputs) and not isinstance(inputs, str | bytes):
        return inputs
    found = type(inputs).__name__
    del inputs  # what follows raises, and a traceback shows local variables
    problem = Problem(
        "inputs", f"must be an iterable of requests, not {found}", "pass a list or a generator"
    )
    raise ValidationError("invalid bulk run", [problem])


def check_count(count: object) -> int:
    """How many calls may be in flight at a time: an integer, 1 or more."""
    if isinstance(count, int) and not isinstance(count, bool) and count >= 1:
        return count
    problem = Problem("max_in_flight", "must be an integer, 1 or more", "pass for example 32")
    raise ValidationError("invalid bulk run", [problem])


def check_mode(mode: object) -> bool | None:
    """What ``livemode`` every session must have, if it matters."""
    if mode is None or mode in ("sandbox", "live"):
        return None if mode is None else mode == "live"
    problem = Problem("mode", "is not a mode", 'pass "sandbox", "live" or None')
    raise ValidationError("invalid bulk run", [problem])


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
