"""``POST /v1/payment_link_sessions``: the one call that there is.

Frame documents no way to read, list, change or expire a session (Frame
reference, payment link sessions), so the emulator has none either.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from attrs import define

from frame_async.emulator.faults.rules import Fault, Stage
from frame_async.emulator.faults.wire import SILENCE, gateway_page, replacement
from frame_async.emulator.state.emulator_state import EmulatorState

from .answers import ApiAnswer, RefusedError, error_answer, json_answer
from .bodies import decode_object, read_body, redact
from .context import RequestContext, hidden
from .envelopes import enveloped
from .keys import read_key
from .validation import given_of, problems_of, remarks_of, unknown_fields_of

PATH = "/v1/payment_link_sessions"


@define(kw_only=True, eq=False)
class Creation:
    """Creates payment link sessions."""

    state: EmulatorState
    """Sessions, windows, keys and faults."""
    retry_after: bool
    """Whether a 429 carries ``Retry-After``. Frame does not say."""
    page_url: Callable[[str], str]
    """Gives the address of the hosted page of a session id."""

    async def __call__(self, context: RequestContext) -> ApiAnswer:
        """Create a session, or say why not.

        Key and rate window are judged by the head of the request, so every
        authenticated request takes a place in the window, whatever its body.

        Raises:
            RefusedError: With the answer to give.
            ConnectionError: The client left before its request was complete.
        """
        if fault := self.state.faults.at_head(context.received):
            return context.suffer(fault, SILENCE)
        context.key = read_key(context.request.headers.getall("Authorization", ()))
        name = self.state.key_names.of(context.key.require())
        enter_window(self.state, name, PATH, context, retry_after=self.retry_after)
        raw = await read_body(context.request)
        body = decode_object(raw)
        context.body, context.unknown_fields = redact(body), unknown_fields_of(body)
        context.remarks = remarks_of(body)
        fault = self._fault_of(body, context.received)
        if fault is not None and fault.action.stage is Stage.INSTEAD:
            return context.suffer(fault, replacement(fault, context.received))
        answer = self._processed(context, name, raw, body)
        return answer if fault is None else _damaged(context, fault, answer)

    def _fault_of(self, body: Mapping[str, Any], now: float) -> Fault | None:
        reference = body.get("client_reference_id")
        return self.state.faults.at_body(reference if isinstance(reference, str) else None, now)

    def _processed(
        self, context: RequestContext, name: str, raw: bytes, body: Mapping[str, Any]
    ) -> ApiAnswer:
        """Do what the request asks for, once if its idempotency key counts."""
        try:
            answer = self._once(context, name, raw, body) or self._create(context, body)
        except RefusedError:
            raise
        except BaseException:
            if self.state.idempotency is not None and context.record is not None:
                self.state.idempotency.release(context.record)
            raise
        answer = enveloped(answer, self.state.envelope)
        if self.state.idempotency is not None and context.record is not None:
            self.state.idempotency.expect(context.record, answer)
        context.processed(answer)
        return answer

    def _once(
        self, context: RequestContext, name: str, raw: bytes, body: Mapping[str, Any]
    ) -> ApiAnswer | None:
        """Claim the idempotency key, if it counts; return the answer it already has."""
        if self.state.idempotency is None or context.idempotency_key is None:
            return None
        header = [hidden(key) for key in context.request.headers.getall("Idempotency-Key")]
        record = self.state.idempotency.claim(name, header, raw, may_be_kept=context.body == body)
        if record.answer is None:
            context.record = record
            return None
        context.session_id, context.replayed = record.session_id, True
        return record.answer.plus({"Idempotent-Replayed": "true"})

    def _create(self, context: RequestContext, body: Mapping[str, Any]) -> ApiAnswer:
        if problems := problems_of(body):
            message = "The payment link session is not valid."
            return error_answer(422, "validation_error", message, problems)
        session = self.state.sessions.create(given_of(body), context.received)
        context.session_id = session.id
        shown = session.as_json(context.received)
        return json_answer(201, {**shown, "url": self.page_url(session.id)})


def enter_window(
    state: EmulatorState, name: str, endpoint: str, context: RequestContext, *, retry_after: bool
) -> None:
    """Take a place in the rate window of a merchant and an endpoint.

    Raises:
        RefusedError: 429, there is none.
    """
    wait = state.windows.enter(name, endpoint, context.received)
    label = "" if context.key is None else context.key.label
    state.usage.note(name, label, context.received, accepted=not wait)
    if wait:
        limit, period = state.windows.limit, state.windows.period
        message = f"More than {limit} requests in {period:g} s with this key."
        answer = error_answer(429, "rate_limit_error", message)
        raise RefusedError(answer.plus({"Retry-After": str(ceil(wait))} if retry_after else {}))


def _damaged(context: RequestContext, fault: Fault, answer: ApiAnswer) -> ApiAnswer:
    """Return what a fault leaves of an answer, and note how it ends."""
    if fault.do == "create_and_fail":
        return context.suffer(fault, gateway_page(fault))
    return context.suffer(fault, answer)
