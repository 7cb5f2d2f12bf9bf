"""Payment link sessions: ``POST /v1/payment_link_sessions``, once or many times."""

import logging
from collections.abc import AsyncIterable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Final, Literal, Unpack, overload

from attrs import evolve, fields

from frame_async.calls import Call
from frame_async.engine.engine import Engine
from frame_async.engine.operation import CallOptions, Operation
from frame_async.engine.pool import BulkItem, BulkResults, CallPool, Source, T
from frame_async.errors import ClientClosedError, Problem, ValidationError
from frame_async.models.payment_methods import BankAccount, Card
from frame_async.models.requests import (
    PaymentLinkSessionFields,
    PaymentLinkSessionRequest,
    shield,
)
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.credentials import is_safe_page
from frame_async.protocol.idempotency import check_key
from frame_async.protocol.redaction import clean
from frame_async.protocol.retry import RetryPolicy, check_retry
from frame_async.protocol.window import Lane
from frame_async.secret import Secret
from frame_async.serialization import dump, dump_fields, load_session, salvage_id
from frame_async.shapes import is_listing, is_mapping, name_of

DAY: Final = 86_400.0
"""Seconds; as long as a session lives if its request doesn't say (Frame reference, expires_in)."""

Inputs = (
    Iterable[PaymentLinkSessionRequest | BulkItem[T]]
    | AsyncIterable[PaymentLinkSessionRequest | BulkItem[T]]
)
"""What a bulk run can be made of."""

_logger = logging.getLogger("frame_async")


def load(body: bytes, call: Call, http_to: Collection[str] = ()) -> PaymentLinkSession:
    """The session in an answer.

    What can't be read of it is logged once: the paths of the fields, never a value. An address
    that isn't an https page is withheld from payers, and stands nowhere in the session; plain
    HTTP is for this machine and the hosts in `http_to`.

    Raises:
        UnreadableError: there is none in it.
    """
    session = load_session(body, call)
    if session.unread and not call.replayed:
        _logger.warning(
            "%s: session %s was created, but fields of its answer can't be read: %s",
            call.idempotency_key,
            clean(session.id),
            ", ".join(session.unread),
        )
    if session.url is None or is_safe_page(session.url, http_to):
        return session
    _logger.warning(
        "%s: the address of session %s is not an https page and was withheld",
        call.idempotency_key,
        clean(session.id),
    )
    return evolve(session, url=None)


def lifetime(request: PaymentLinkSessionRequest) -> float:
    """Seconds that the session lives, as asked for."""
    asked = request.expires_in
    return float(asked) if isinstance(asked, int) else DAY


def secrets_of(request: PaymentLinkSessionRequest) -> tuple[str, ...]:
    """Values that an answer may echo and a message must not: payment method data."""
    data: object = request.payment_method_data
    if data is None:
        return ()
    if isinstance(data, Card | BankAccount):
        data = {a.name: getattr(data, a.name) for a in fields(type(data))}
    if not is_mapping(data):
        return ()
    return tuple(_strings({name: item for name, item in data.items() if name != "type"}))


def _strings(value: Any) -> Iterator[str]:
    if is_mapping(value):
        value = list(value.values())
    if is_listing(value):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str | int) and len(str(value)) > 2:
        yield str(value)


CREATE: Final = Operation[PaymentLinkSessionRequest, PaymentLinkSession](
    method="POST",
    path="/payment_link_sessions",
    if_unreadable="a session was created",
    if_unknown="a session may exist",
    if_refused="nothing was created",
    dump=dump,
    dump_fields=dump_fields,
    load=load,
    salvage_id=salvage_id,
    secrets=secrets_of,
    lifetime=lifetime,
)


class PaymentLinkSessions:
    """Creates payment link sessions; reached as ``client.payment_link_sessions``."""

    def __init__(
        self,
        engine: Engine,
        timeout: float,
        policy: RetryPolicy,
        http_to: Collection[str] = (),
    ) -> None:
        self._operation = evolve(CREATE, load=partial(load, http_to=http_to)) if http_to else CREATE
        self._engine = engine
        self._timeout = timeout
        self._policy = policy

    @overload
    async def create(
        self,
        request: PaymentLinkSessionRequest,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.INTERACTIVE,
    ) -> PaymentLinkSession: ...
    @overload
    async def create(
        self,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.INTERACTIVE,
        **fields: Unpack[PaymentLinkSessionFields],
    ) -> PaymentLinkSession: ...
    async def create(
        self,
        request: PaymentLinkSessionRequest | None = None,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.INTERACTIVE,
        **fields: Any,
    ) -> PaymentLinkSession:
        """Create one payment link session and return it.

        Args:
            request: what is asked for; it has checked itself on construction.
            fields: in place of a request, its fields, as `PaymentLinkSessionRequest.from_dict`
                takes them.
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
        if fields or not isinstance(request, PaymentLinkSessionRequest):
            given, fields = Secret[object](request), shield(fields)
            del request  # whatever it is: a traceback shows local variables
            request = request_of(given, fields)
        options = self._options(timeout, retry, lane, idempotency_key)
        return await self._engine.run(self._operation, request, options)

    def create_many(
        self,
        inputs: Inputs[T],
        *,
        max_in_flight: int = 32,
        ordered: bool = False,
        timeout: float = DAY,
        retry: RetryPolicy | None = None,
        lane: Lane | Literal["interactive", "bulk"] = Lane.BULK,
        mode: Literal["sandbox", "live"] | None = None,
    ) -> BulkResults[T]:
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
        ends the run: a key that is not accepted (401, 403), a certificate that can't be
        trusted, a store that can't answer, a client that was closed, the wrong mode, an
        exception of the input itself. Then no further input is taken, the results of
        everything in flight still come, and after them the exception is raised.

        Raises:
            ValidationError: an argument can't be used; nothing was taken or sent.
        """
        given = Secret(inputs)
        del inputs  # whatever it is: a traceback shows local variables
        options = self._options(timeout, retry, lane, run=(source := Source(check_inputs(given))))

        async def create(item: BulkItem[Any]) -> PaymentLinkSession:
            if self._engine.attempts.limiter.naps.ended:
                raise ClientClosedError("the client was closed")
            check_request(Secret(item.request))
            key = item.idempotency_key
            key = None if key is None else check_key(key, self._engine.api_key)
            return await self._engine.run(self._operation, item.request, evolve(options, key=key))

        return BulkResults(
            CallPool(
                source=source,
                create=create,
                workers=check_count(max_in_flight),
                ordered=ordered,
                dismiss=lambda: self._engine.attempts.limiter.dismiss(source),
                livemode=check_mode(mode),
            )
        )

    def _options(
        self,
        timeout: float | None,
        retry: RetryPolicy | None,
        lane: Lane | Literal["interactive", "bulk"],
        key: str | None = None,
        run: object = None,
    ) -> CallOptions:
        """How a call is made, checked."""
        return CallOptions(
            key=None if key is None else check_key(key, self._engine.api_key),
            timeout=self._timeout if timeout is None else check_timeout(timeout),
            policy=self._policy if retry is None else check_retry(retry),
            lane=lane if type(lane) is Lane else check_lane(lane),
            run=run,
        )


def check_lane(lane: object) -> Lane:
    """A lane, by itself or by its name."""
    if lane in ("interactive", "bulk"):
        return Lane(lane)
    problem = Problem("lane", "is not a lane", 'pass "interactive" or "bulk"')
    raise ValidationError("invalid call", [problem])


def check_inputs(given: Secret[Inputs[Any]]) -> Inputs[Any]:
    """Inputs of a bulk run: something to iterate over, and not by mistake."""
    inputs = given.reveal()
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


def request_of(given: Secret[object], fields: dict[str, Any]) -> PaymentLinkSessionRequest:
    """The request that is given, or that the fields make.

    Raises:
        ValidationError: it is none, something in them is wrong, or both are given.
    """
    if not fields:
        return check_request(given)
    if given.reveal() is None:
        return PaymentLinkSessionRequest.from_dict(fields)
    names = ", ".join(map(name_of, fields))
    problem = Problem(
        "request", f"can't go together with {names}", "pass a request or its fields, not both"
    )
    raise ValidationError("invalid call", [problem])


def check_request(given: Secret[object]) -> PaymentLinkSessionRequest:
    """Refuse anything but a request, with the fix for the likely mistake."""
    request = given.reveal()
    if isinstance(request, PaymentLinkSessionRequest):
        return request
    found = "None" if request is None else type(request).__name__
    fix = "pass PaymentLinkSessionRequest(line_items=[...], ...)"
    if is_mapping(request):
        fix = "pass PaymentLinkSessionRequest.from_dict(...) of it, or its fields with **"
    request = None  # what follows raises, and a traceback shows local variables
    problem = Problem("request", f"must be a PaymentLinkSessionRequest, not {found}", fix)
    raise ValidationError("invalid call", [problem])


def check_timeout(timeout: object) -> float:
    """Seconds for a call: a number above 0 and below 1e9."""
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < 1e9:
        return float(timeout)
    problem = Problem("timeout", "must be a number of seconds above 0", "pass for example 30.0")
    raise ValidationError("invalid call", [problem])
