"""One request on its way through the emulator, and what is noted about it."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from aiohttp import web
from attrs import define, field

from frame_async.emulator.faults.rules import Fault
from frame_async.emulator.faults.wire import USUAL, WireBehaviour, behaviour_of
from frame_async.emulator.state.idempotency import RememberedKey
from frame_async.emulator.state.ledger import FaultRecord, LedgerEntry

from .answers import ApiAnswer
from .keys import Key

_API_KEY = re.compile(r"[sp]k_[A-Za-z]+_[^\s,;\"']+")


def hidden(text: str) -> str:
    """The text, with a digest in place of each API key."""
    return _API_KEY.sub(_digest, text)


def _digest(found: re.Match[str]) -> str:
    return f"[hidden {sha256(found[0].encode('utf-8', 'surrogateescape')).hexdigest()[:8]}]"


@define(eq=False)
class RequestContext:
    """A request on its way, and the notes that become its entry in the ledger."""

    request: web.BaseRequest
    """The request as aiohttp parsed it."""
    received: float
    """When its head was read, in seconds since the epoch."""
    request_id: str
    """A random UUID, sent back as ``X-Request-Id``."""
    key: Key | None = field(init=False, default=None)
    """What the ``Authorization`` header held, where one is asked for."""
    body: Mapping[str, Any] | None = field(init=False, default=None)
    """The body, redacted."""
    unknown_fields: tuple[str, ...] = field(init=False, default=())
    """Paths of the fields that Frame would ignore."""
    remarks: tuple[str, ...] = field(init=False, default=())
    """What nobody outside Frame can say of the body."""
    status: int | None = field(init=False, default=None)
    """The status decided on."""
    session_id: str | None = field(init=False, default=None)
    """The session in the answer."""
    replayed: bool = field(init=False, default=False)
    """Whether the answer repeats an earlier one."""
    record: RememberedKey | None = field(init=False, default=None)
    """The idempotency record that this request claimed and has to complete."""
    latency: float = field(init=False, default=0.0)
    """Seconds by which the answer is held back, beside a fault's."""
    wire: WireBehaviour = field(init=False, default=USUAL)
    """How it ends on the wire."""
    fault: FaultRecord | None = field(init=False, default=None)
    """What a fault does to it."""
    _true_answer: ApiAnswer | None = field(init=False, default=None)

    @property
    def idempotency_key(self) -> str | None:
        """The ``Idempotency-Key`` header, honoured or not."""
        return self._header("Idempotency-Key")

    def _header(self, name: str) -> str | None:
        """A header, with a digest in place of each API key that was put there by mistake."""
        value = self.request.headers.get(name)
        return None if value is None else hidden(value)

    def suffer(self, fault: Fault, answer: ApiAnswer) -> ApiAnswer:
        """Let a fault end this exchange, whose answer would be `answer`, in its own way."""
        self.wire, self.fault = behaviour_of(fault, answer, self.request_id)
        return answer

    def processed(self, answer: ApiAnswer) -> None:
        """Note what the request itself came to, whatever a fault makes of it."""
        self._true_answer = answer

    def settle(self) -> None:
        """Complete the idempotency record, if one was claimed: the answer is on its way."""
        if self.record is not None:
            self.record.session_id = self.session_id
            self.record.answer = self._true_answer

    def entry(self, sequence: int) -> LedgerEntry:
        """Put the notes into an entry of the ledger."""
        reference = self.body.get("client_reference_id") if self.body else None
        return LedgerEntry(
            sequence=sequence,
            request_id=self.request_id,
            received=self.received,
            method=self.request.method,
            path=self.request.path,
            idempotency_key=self.idempotency_key,
            client_reference_id=reference if isinstance(reference, str) else None,
            body=self.body,
            status=self.status,
            session_id=self.session_id,
            replayed=self.replayed,
            unknown_fields=self.unknown_fields,
            user_agent=self._header("User-Agent"),
            key_mode=self.key.mode if self.key else None,
            key_suffix=self.key.suffix if self.key else "",
            latency=self.latency,
            fault=self.fault,
            remarks=self.remarks,
        )
