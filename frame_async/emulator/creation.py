"""``POST /v1/payment_link_sessions``: the one call that there is.

Frame documents no way to read, list, change or expire a session (Frame
reference, payment link sessions), so the emulator has none either.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from attrs import define

from .answers import Answer, RefusedError, error_answer, json_answer
from .bodies import decode_object, read_body, redact
from .books import Books
from .endings import SILENCE, gateway_page, replacement
from .exchanges import Exchange
from .faults import Fault, Stage
from .keys import Key, read_key
from .rules import problems_of, unknown_fields_of

PATH = "/v1/payment_link_sessions"


@define(kw_only=True, eq=False)
class Creation:
    """Creates payment link sessions."""

    books: Books
    """Sessions, windows, keys and faults."""
    retry_after: bool
    """Whether a 429 carries ``Retry-After``. Frame does not say."""
    page_url: Callable[[str], str]
    """Gives the address of the hosted page of a session id."""

    async def __call__(self, exchange: Exchange) -> Answer:
        """Create a session, or say why not.

        Key and rate window are judged by the head of the request, so every
        authenticated request takes a place in the window, whatever its body.

        Raises:
            RefusedError: With the answer to give.
            ConnectionError: The client left before its request was complete.
        """
        if fault := self.books.faults.at_head(exchange.received):
            return exchange.suffer(fault, SILENCE)
        exchange.key = read_key(exchange.request.headers.getall("Authorization", ()))
        name = self.books.key_names.of(exchange.key.require())
        self._enter_window(name, exchange.key, exchange.received)
        raw = await read_body(exchange.request)
        body = decode_object(raw)
        exchange.body, exchange.unknown_fields = redact(body), unknown_fields_of(body)
        fault = self._fault_of(body, exchange.received)
        if fault is not None and fault.action.stage is Stage.INSTEAD:
            return exchange.suffer(fault, replacement(fault, exchange.received))
        answer = self._processed(exchange, name, raw, body)
        return answer if fault is None else _damaged(exchange, fault, answer)

    def _enter_window(self, name: str, key: Key, now: float) -> None:
        wait = self.books.windows.enter(name, PATH, now)
        self.books.usage.note(name, key.label, now, accepted=not wait)
        if wait:
            limit, period = self.books.windows.limit, self.books.windows.period
            message = f"More than {limit} requests in {period:g} s with this key."
            answer = error_answer(429, "rate_limit_error", message)
            when = {"Retry-After": str(ceil(wait))} if self.retry_after else {}
            raise RefusedError(answer.plus(when))

    def _fault_of(self, body: Mapping[str, Any], now: float) -> Fault | None:
        reference = body.get("client_reference_id")
        return self.books.faults.at_body(reference if isinstance(reference, str) else None, now)

    def _processed(
        self, exchange: Exchange, name: str, raw: bytes, body: Mapping[str, Any]
    ) -> Answer:
        """Do what the request asks for, once if its idempotency key counts."""
        try:
            answer = self._once(exchange, name, raw, body) or self._create(exchange, body)
        except RefusedError:
            raise
        except BaseException:
            if self.books.idempotency is not None and exchange.record is not None:
                self.books.idempotency.release(exchange.record)
            raise
        exchange.processed(answer)
        return answer

    def _once(
        self, exchange: Exchange, name: str, raw: bytes, body: Mapping[str, Any]
    ) -> Answer | None:
        """Claim the idempotency key, if it counts; return the answer it already has."""
        if self.books.idempotency is None or exchange.idempotency_key is None:
            return None
        header = exchange.request.headers.getall("Idempotency-Key")
        record = self.books.idempotency.claim(name, header, raw, may_be_kept=exchange.body == body)
        if record.answer is None:
            exchange.record = record
            return None
        exchange.session_id, exchange.replayed = record.session_id, True
        return record.answer.plus({"Idempotent-Replayed": "true"})

    def _create(self, exchange: Exchange, body: Mapping[str, Any]) -> Answer:
        if problems := problems_of(body):
            message = "The payment link session is not valid."
            return error_answer(422, "validation_error", message, problems)
        session = self.books.sessions.create(body, exchange.received)
        exchange.session_id = session.id
        shown = session.as_json(exchange.received)
        return json_answer(201, {**shown, "url": self.page_url(session.id)})


def _damaged(exchange: Exchange, fault: Fault, answer: Answer) -> Answer:
    """Return what a fault leaves of an answer, and note how it ends."""
    if fault.do == "create_and_fail":
        return exchange.suffer(fault, gateway_page(fault))
    return exchange.suffer(fault, answer)
