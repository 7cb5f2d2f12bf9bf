"""What an attempt proved, decided from what was observed and from nothing else.

The phase that was reached, the status that was seen, and how it ended are evidence;
the class of an exception is none, because HTTP clients raise the same one for "still
waiting for a connection" and for "the server had it all".

====================================  =========================  ============
status seen                           ended                      outcome
====================================  =========================  ============
2xx                                   however                    CREATED
3xx                                   however                    REFUSED
408, 4xx that RFC 9110's registry     however                    UNKNOWN
does not assign
other 4xx                             however                    REFUSED
5xx, every other number               however                    UNKNOWN
none, before a connection had it      however                    NOT_SENT
none, a connection had it             provably never written     NOT_SENT
none, a connection had it             any other way              UNKNOWN
====================================  =========================  ============
"""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from frame_async.calls import Outcome


class Phase(IntEnum):
    """How far an attempt came; each phase includes those before it."""

    GATE = 0
    """Waiting for one of the client's own connection slots."""
    CONNECT = 1
    """Looking for a connection: pool, DNS, TCP, TLS."""
    SEND = 2
    """The request was handed to a connection: from here on it may arrive."""
    ANSWER = 3
    """The head of an answer was read: its status is known."""
    DONE = 4
    """The body of the answer was read to its end."""


class Ending(StrEnum):
    """How an attempt ended; the words are those that users read."""

    COMPLETE = ""
    TIMED_OUT = "timed out"
    NO_CONNECTION = "no connection"
    BAD_CERTIFICATE = "the server's certificate can't be trusted"
    NEVER_WRITTEN = "the connection closed before a byte was written"
    DISCONNECTED = "the connection broke"
    GARBLED = "the answer is not HTTP"
    UNUSABLE = "the answer can't be used"
    SESSION_CLOSED = "the client was closed"
    NO_PLACE = "no place in the rate window before the deadline"
    DISMISSED = "its run was stopped before it was sent"
    STORE_FAILED = "the store can't answer"
    TAKEN_OVER = "another call took the idempotency key over"
    CANCELLED = "cancelled"
    FAILED = "an unforeseen failure"


class Evidence(NamedTuple):
    """What was observed of one attempt."""

    phase: Phase
    ending: Ending = Ending.COMPLETE
    status: int | None = None


# IANA HTTP status code registry; 418 is listed there as unused.
ASSIGNED_4XX: Final = frozenset({*range(400, 418), *range(421, 427), 428, 429, 431, 451})
REQUEST_TIMEOUT: Final = 408
TOO_MANY_REQUESTS: Final = 429


def judge(evidence: Evidence) -> Outcome:
    """The outcome that the evidence proves; in doubt, `Outcome.UNKNOWN`."""
    phase, ending, status = evidence
    if status is None:
        unwritten = phase is Phase.SEND and ending is Ending.NEVER_WRITTEN
        return Outcome.NOT_SENT if phase < Phase.SEND or unwritten else Outcome.UNKNOWN
    if 200 <= status <= 299:
        return Outcome.CREATED
    if 300 <= status <= 399 or (status in ASSIGNED_4XX and status != REQUEST_TIMEOUT):
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def sum_up(outcomes: Sequence[Outcome], doubts: int = 0) -> Outcome:
    """What the attempts of a call prove together, in their order.

    A session in hand is one. Without one, doubt is sticky: after an attempt that is
    `Outcome.UNKNOWN`, or with `doubts` from earlier calls with the same key, a refusal or
    an unsent attempt doesn't undo it.
    """
    if outcomes and outcomes[-1] is Outcome.CREATED:
        return Outcome.CREATED
    if doubts or Outcome.UNKNOWN in outcomes:
        return Outcome.UNKNOWN
    return outcomes[-1] if outcomes else Outcome.NOT_SENT
