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
from .exchanges import Exchange
from .idempotency import Idempotency
from .keys import read_key
from .rules import problems_of, unknown_fields_of
from .sessions import Sessions
from .window import Windows

PATH = "/v1/payment_link_sessions"


@define(kw_only=True, eq=False)
class Creation:
    """Creates payment link sessions."""

    sessions: Sessions
    """Keeps what is created."""
    windows: Windows | None
    """The rate windows; ``None`` when there is no limit."""
    retry_after: bool
    """Whether a 429 carries ``Retry-After``. Frame does not say."""
    idempotency: Idempotency | None
    """The idempotency keys; ``None`` when they are ignored, as Frame V1 does."""
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
        exchange.key = read_key(exchange.request.headers.getall("Authorization", ()))
        api_key = exchange.key.require()
        self._enter_window(api_key, exchange.received)
        raw = await read_body(exchange.request)
        body = decode_object(raw)
        exchange.body, exchange.unknown_fields = redact(body), unknown_fields_of(body)
        return self._once(exchange, api_key, raw) or self._create(exchange, body)

    def _enter_window(self, api_key: str, now: float) -> None:
        if self.windows is None:
            return
        wait = self.windows.enter(api_key, PATH, now)
        if wait:
            limit, period = self.windows.limit, self.windows.period
            message = f"More than {limit} requests in {period:g} s with this key."
            answer = error_answer(429, "rate_limit_error", message)
            when = {"Retry-After": str(ceil(wait))} if self.retry_after else {}
            raise RefusedError(answer.plus(when))

    def _once(self, exchange: Exchange, api_key: str, raw: bytes) -> Answer | None:
        """Claim the idempotency key, if it counts; return the answer it already has."""
        if self.idempotency is None or exchange.idempotency_key is None:
            return None
        record = self.idempotency.claim(api_key, exchange.idempotency_key, raw)
        if record.answer is None:
            exchange.record = record
            return None
        exchange.session_id, exchange.replayed = record.session_id, True
        return record.answer.plus({"Idempotent-Replayed": "true"})

    def _create(self, exchange: Exchange, body: Mapping[str, Any]) -> Answer:
        if problems := problems_of(body):
            message = "The payment link session is not valid."
            return error_answer(422, "validation_error", message, problems)
        session = self.sessions.create(body, exchange.received)
        exchange.session_id = session.id
        shown = session.as_json(exchange.received)
        return json_answer(201, {**shown, "url": self.page_url(session.id)})
