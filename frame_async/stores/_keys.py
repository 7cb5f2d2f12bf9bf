"""The life of one key, pure: what a claim finds, and what may be changed by whom."""

from enum import StrEnum
from typing import Final

from attrs import define

from frame_async.errors import IdempotencyConflictError
from frame_async.protocol.fingerprints import differing_fields
from frame_async.stores.interface import Claim, Claimed, Done, InDoubt, InFlight

LAPSED_KEEP: Final = 7 * 86_400.0
"""Seconds that a claim is remembered after its lease ran out: its process died, and what
it may have created expires within a day (Frame API reference)."""


class State(StrEnum):
    """Where a key is in its life."""

    CLAIMED = "claimed"
    DOUBT = "doubt"
    DONE = "done"


@define
class KeyRecord:
    """What is remembered of one key."""

    fingerprint: str
    state: State
    token: str
    until: float
    """When the lease runs out (claimed), or when the record is forgotten (otherwise)."""
    doubts: int = 0
    """Attempts that may have created a session that nobody has."""
    body: bytes = b""
    process: str = ""
    """Which process has claimed it, where the store can tell."""

    def expired(self, now: float) -> bool:
        """Whether it is to be forgotten; a claim turns into doubt first, for `LAPSED_KEEP`."""
        return self.until + (LAPSED_KEEP if self.state is State.CLAIMED else 0.0) <= now


@define(kw_only=True)
class Change:
    """How a claim goes on, or ends."""

    state: State
    seconds: float
    """How long the lease runs, or the record is kept, from now."""
    doubts: int = 0
    body: bytes = b""

    def ended_as(self, record: KeyRecord) -> bool:
        """Whether a claim ended in just this way before."""
        asked = (self.state, self.doubts, self.body)
        return asked == (record.state, record.doubts, record.body)


def claim(
    found: KeyRecord | None, key: str, fingerprint: str, token: str, now: float, lease: float
) -> tuple[Claim, KeyRecord | None]:
    """What a claim finds, and the record to write; None to leave it as it is.

    Raises:
        IdempotencyConflictError: the key stands for another request.
    """
    until = now + lease
    if found is None or found.expired(now):
        # A process that dies from here on leaves one attempt in doubt.
        return Claimed(token), KeyRecord(fingerprint, State.CLAIMED, token, until, 1)
    if found.fingerprint != fingerprint:
        raise IdempotencyConflictError(key, differing_fields(found.fingerprint, fingerprint))
    if found.state is State.DONE:
        return Done(found.body), None
    if found.state is State.CLAIMED and now < found.until:
        return InFlight(found.until - now), None
    taken = KeyRecord(fingerprint, State.CLAIMED, token, until, found.doubts + 1, found.body)
    return (InDoubt(token, found.doubts) if found.doubts else Claimed(token)), taken


def owned(found: KeyRecord | None, token: str) -> KeyRecord | None:
    """The record, if the claim with that token still stands."""
    if found is None or found.state is not State.CLAIMED or found.token != token:
        return None
    return found


def change(
    found: KeyRecord | None, token: str, change: Change, now: float
) -> tuple[bool, KeyRecord | None]:
    """Whether a claim goes on or ends as asked for, and the record to write, if any.

    Ending it again in the very same way is fine, and changes nothing.
    """
    mine = owned(found, token)
    if mine is not None:
        until = now + change.seconds
        record = KeyRecord(mine.fingerprint, change.state, token, until, change.doubts, change.body)
        return True, record
    if found is None or found.token != token or found.expired(now):
        return False, None
    return change.ended_as(found), None
