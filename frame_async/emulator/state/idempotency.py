"""Idempotency keys, for those who ask for them.

Frame V1 does not look at ``Idempotency-Key`` (Frame reference, idempotency), so
the emulator does not either unless told to. Told to, it follows the IETF draft
``draft-ietf-httpapi-idempotency-key-header``: the same key with the same payload
gets the first answer again, whether success or error; while the first is being
worked on, 409; with another payload, 422; a malformed key, 400. In the draft the
header is a string in double quotes; most clients send it bare, and both are taken
as the same key. Keys belong to the API key they came with.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import define, field

from frame_async.emulator.api.answers import ApiAnswer, RefusedError, bad_request, error_answer

from .weights import KEPT

_LONGEST = 255
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # RFC 8941, a string
_ESCAPE = re.compile(r"\\(.)")


@define(eq=False)
class RememberedKey:
    """What is remembered of one idempotency key."""

    fingerprint: bytes | None
    """SHA-256 of the request body it first came with; ``None``, which any body fits,
    when that could not be kept over a restart because the body held payment data."""
    may_be_kept: bool = True
    """Whether the fingerprint may go into a state file."""
    answer: ApiAnswer | None = None
    """What was answered; ``None`` while that is not yet on its way."""
    session_id: str | None = None
    """The session in that answer, if it has one."""
    size: int = 1_000
    """How many bytes of memory it takes, about."""


@define(eq=False)
class Idempotency:
    """The idempotency keys seen so far."""

    limit: int | None = None
    """Most keys that are remembered, the newest; ``None`` sets no number."""
    most_bytes: int = field(default=KEPT, kw_only=True)
    """Most bytes that they take with their answers, about; the newest is kept in any case."""
    _bytes: int = field(init=False, default=0)
    _records: OrderedDict[tuple[str, str], RememberedKey] = field(
        init=False, factory=OrderedDict[tuple[str, str], RememberedKey], repr=False
    )

    def claim(
        self, api_key: str, header: Sequence[str], body: bytes, *, may_be_kept: bool = True
    ) -> RememberedKey:
        """Return the record of a key, a new one or one that has its answer.

        Args:
            api_key: The name of the API key, see `keys.KeyNames`.
            header: All ``Idempotency-Key`` headers of the request.
            body: The body as it came.
            may_be_kept: Whether a digest of the body may be written to a file.

        Raises:
            RefusedError: 400 for a key that is malformed, 409 while the first request
                is in progress, 422 when the key came with another body before.
        """
        fingerprint = sha256(body).digest()
        name = (api_key, _key_of(header))
        known = self._records.get(name)
        if known is None:
            return self._add(name, RememberedKey(fingerprint, may_be_kept))
        return _same_and_done(known, fingerprint)

    def expect(self, record: RememberedKey, answer: ApiAnswer) -> None:
        """Make room for the answer that a key will be remembered with."""
        record.size += len(answer.body)
        self._bytes += len(answer.body)
        self._make_room()

    def release(self, record: RememberedKey) -> None:
        """Forget a claimed key whose request came to nothing, so that it can be sent again."""
        names = [name for name, known in self._records.items() if known is record]
        for name in names:
            self._bytes -= self._records.pop(name).size

    def clear(self) -> None:
        """Forget all keys."""
        self._records.clear()
        self._bytes = 0

    def dump(self) -> list[dict[str, Any]]:
        """Return the keys that have their answer, as plain JSON values."""
        return list(self._dumped())

    def load(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take over keys that were dumped."""
        self.clear()
        for values in records:
            digest = values["fingerprint"]
            answer = ApiAnswer(values["status"], values["body"].encode(), dict(values["headers"]))
            record = RememberedKey(
                None if digest is None else bytes.fromhex(digest), digest is not None
            )
            record.answer, record.session_id = answer, values["session_id"]
            self._add((str(values["api_key"]), str(values["key"])), record)
            self.expect(record, answer)

    def _dumped(self) -> Iterator[dict[str, Any]]:
        for (api_key, key), record in list(self._records.items()):
            if record.answer is None or record.answer.repeated:
                continue
            digest = record.fingerprint if record.may_be_kept else None
            yield {
                "api_key": api_key,
                "key": key,
                "fingerprint": None if digest is None else digest.hex(),
                "status": record.answer.status,
                "headers": dict(record.answer.headers),
                "body": record.answer.body.decode(),
                "session_id": record.session_id,
            }

    def _add(self, name: tuple[str, str], record: RememberedKey) -> RememberedKey:
        self._records[name] = record
        self._bytes += record.size
        self._make_room()
        return record

    def _make_room(self) -> None:
        while len(self._records) > 1 and self._is_full():
            self._bytes -= self._records.popitem(last=False)[1].size

    def _is_full(self) -> bool:
        too_many = self.limit is not None and len(self._records) > self.limit
        return too_many or self._bytes > self.most_bytes


def _key_of(header: Sequence[str]) -> str:
    """Return the key itself, without the quotes that it may have."""
    if len(header) > 1:
        raise bad_request(400, "Idempotency-Key must be sent once.")
    key = header[0]
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        if quoted is None:
            raise bad_request(400, "Idempotency-Key is no string as RFC 8941 has it.")
        key = _ESCAPE.sub(r"\1", quoted[1])
    if not 0 < len(key) <= _LONGEST:
        raise bad_request(400, "Idempotency-Key must have 1 to 255 characters.")
    return key


def _same_and_done(known: RememberedKey, fingerprint: bytes) -> RememberedKey:
    if known.fingerprint is not None and known.fingerprint != fingerprint:
        raise _conflict(422, "This Idempotency-Key was used before with another body.")
    if known.answer is None:
        raise _conflict(409, "A request with this Idempotency-Key is still in progress.")
    return known


def _conflict(status: int, message: str) -> RefusedError:
    return RefusedError(error_answer(status, "idempotency_error", message))
