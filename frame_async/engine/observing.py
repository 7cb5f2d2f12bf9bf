"""All observers of a client, and the log."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.observers import Observer, logger

_OF_TRACES: Final = ("traceparent", "tracestate")


@frozen(eq=False, repr=False)
class Observers:
    """Writes the log, then calls all observers of a client; none can disturb a call or another.

    One line of the log for each event of a call; none holds a secret or a request body.
    """

    observers: Sequence[Observer]

    def attempt_started(
        self, key: str, number: int, started: datetime, elapsed: float
    ) -> dict[str, str]:
        """See `Observer.attempt_started`."""
        headers: dict[str, str] = {}
        for observer in self.observers:
            try:
                given = observer.attempt_started(key, number, started, elapsed)
                headers |= {name: given[name] for name in _OF_TRACES if _is_sound(given.get(name))}
            except Exception as error:  # noqa: BLE001  # an observer only watches
                _note_failure(error)
        return headers

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """See `Observer.attempt_ended`; a first, successful attempt is logged at DEBUG."""
        level = logging.INFO
        if attempt.outcome is Outcome.UNKNOWN:
            level = logging.WARNING
        elif attempt.outcome is Outcome.CREATED and number == 1:
            level = logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s: attempt %d %s", key, number, _describe_attempt(attempt))
        for observer in reversed(self.observers):  # what each began is within that of the last
            try:
                observer.attempt_ended(key, number, attempt)
            except Exception as error:  # noqa: BLE001  # the same
                _note_failure(error)

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """See `Observer.waiting`; logged at INFO."""
        logger.info("%s: waiting %.2f s (%s)", key, seconds, why)
        for observer in self.observers:
            try:
                observer.waiting(key, seconds, why)
            except Exception as error:  # noqa: BLE001  # the same
                _note_failure(error)

    def call_ended(self, call: Call) -> None:
        """See `Observer.call_ended`; logged at INFO if there was more than one attempt."""
        level = logging.INFO if len(call.attempts) > 1 or call.cancelled else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", call)
        for observer in self.observers:
            try:
                observer.call_ended(call)
            except Exception as error:  # noqa: BLE001  # the same
                _note_failure(error)


def _is_sound(value: object) -> bool:
    """Whether it can be sent: what can't would fail the call."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _note_failure(error: BaseException) -> None:
    """An observer raised something: say so, and by which class, for its text is not ours."""
    logger.error("an observer raised %s and was ignored", type(error).__name__)


def _describe_attempt(attempt: Attempt) -> str:
    facts = [
        f"HTTP {attempt.status}" if attempt.status else "",
        attempt.reason,
        f"{attempt.duration:.3f} s",
        {True: "reused connection", False: "new connection", None: ""}[attempt.reused],
        f"request id {attempt.request_id}" if attempt.request_id else "",
    ]
    return f"{attempt.outcome}: " + ", ".join(fact for fact in facts if fact)
