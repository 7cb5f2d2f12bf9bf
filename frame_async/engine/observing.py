"""All observers of a client, and the one that writes the log."""

import logging
from collections.abc import Sequence

from attrs import define

from frame_async.calls import Attempt, Call, Outcome
from frame_async.observers import Observer, logger


@define(eq=False, repr=False)
class Observers:
    """All observers of a client, called in turn; none can disturb a call or another."""

    observers: Sequence[Observer]

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """See `Observer.attempt_ended`."""
        for observer in self.observers:
            try:
                observer.attempt_ended(key, number, attempt)
            except Exception as error:  # noqa: BLE001  # an observer only watches
                _note_failure(error)

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """See `Observer.waiting`."""
        for observer in self.observers:
            try:
                observer.waiting(key, seconds, why)
            except Exception as error:  # noqa: BLE001  # the same
                _note_failure(error)

    def call_ended(self, call: Call) -> None:
        """See `Observer.call_ended`."""
        for observer in self.observers:
            try:
                observer.call_ended(call)
            except Exception as error:  # noqa: BLE001  # the same
                _note_failure(error)


class LogObserver(Observer):
    """Writes one line for each event of a call; no line holds a secret or a request body."""

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """The first, successful attempt at DEBUG, an unknown outcome at WARNING."""
        level = logging.INFO
        if attempt.outcome is Outcome.UNKNOWN:
            level = logging.WARNING
        elif attempt.outcome is Outcome.CREATED and number == 1:
            level = logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s: attempt %d %s", key, number, _describe_attempt(attempt))

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """How long and why, at INFO."""
        logger.info("%s: waiting %.2f s (%s)", key, seconds, why)

    def call_ended(self, call: Call) -> None:
        """The end, at INFO if there was more than one attempt, else at DEBUG."""
        level = logging.INFO if call.retries or call.cancelled else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", call)


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
