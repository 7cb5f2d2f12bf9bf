"""Idempotency keys, for those who ask for them.

Frame V1 does not look at ``Idempotency-Key`` (Frame reference, idempotency), so
the emulator does not either unless told to. Told to, it follows the IETF draft
``draft-ietf-httpapi-idempotency-key-header``: the same key with the same payload
gets the first answer again, whether success or error; while the first is being
worked on, 409; with another payload, 422. Keys belong to the API key they came
with and are kept as long as the emulator lives.
"""

from hashlib import sha256

from attrs import define, field

from .answers import Answer, RefusedError, bad_request, error_answer

_LONGEST = 255


@define(eq=False)
class Record:
    """What is remembered of one idempotency key."""

    fingerprint: bytes
    """SHA-256 of the request body it first came with."""
    answer: Answer | None = None
    """What was answered; ``None`` while that is not yet on its way."""
    session_id: str | None = None
    """The session in that answer, if it has one."""


@define(eq=False)
class Idempotency:
    """The idempotency keys seen so far."""

    _records: dict[tuple[str, str], Record] = field(
        init=False, factory=dict[tuple[str, str], Record], repr=False
    )

    def claim(self, api_key: str, idempotency_key: str, body: bytes) -> Record:
        """Return the record of a key, a new one or one that has its answer.

        Raises:
            RefusedError: 400 for a key that is empty or longer than 255
                characters, 409 while the first request is in progress, 422 when
                the key came with another body before.
        """
        if not 0 < len(idempotency_key) <= _LONGEST:
            raise bad_request(400, "Idempotency-Key must have 1 to 255 characters.")
        fingerprint = sha256(body).digest()
        name = (api_key, idempotency_key)
        known = self._records.get(name)
        if known is None:
            known = self._records[name] = Record(fingerprint)
            return known
        return _same_and_done(known, fingerprint)


def _same_and_done(known: Record, fingerprint: bytes) -> Record:
    if known.fingerprint != fingerprint:
        raise _conflict(422, "This Idempotency-Key was used before with another body.")
    if known.answer is None:
        raise _conflict(409, "A request with this Idempotency-Key is still in progress.")
    return known


def _conflict(status: int, message: str) -> RefusedError:
    return RefusedError(error_answer(status, "idempotency_error", message))
