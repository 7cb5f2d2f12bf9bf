"""The story of a call in the log ``frame_async``: at INFO if it was retried, else at DEBUG."""

import logging
from typing import Final

from frame_async.calls import Attempt, Call, Outcome
from frame_async.observers import Observer

logger = logging.getLogger("frame_async")

# Python 3.11 takes as long to find a member of an enum as for twenty plain names.
_CREATED: Final = Outcome.CREATED
_UNKNOWN: Final = Outcome.UNKNOWN


class Story(Observer):
    """Writes one line for each event of a call; no line holds a secret or a request body."""

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """Tell the first, successful attempt at DEBUG, an unknown outcome at WARNING."""
        level = logging.INFO
        if attempt.outcome is _UNKNOWN:
            level = logging.WARNING
        elif attempt.outcome is _CREATED and number == 1:
            level = logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s: attempt %d %s", key, number, _told(attempt))

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """Tell how long and why at INFO."""
        logger.info("%s: waiting %.2f s (%s)", key, seconds, why)

    def call_ended(self, call: Call) -> None:
        """Tell the end at INFO if there was more than one attempt, else at DEBUG."""
        level = logging.INFO if call.retries or call.cancelled else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s: %s", call.idempotency_key, _summed_up(call))


def complain(error: BaseException) -> None:
    """An observer raised something: say so, and by which class, for its text is not ours."""
    logger.error("an observer raised %s and was ignored", type(error).__name__)


def _told(attempt: Attempt) -> str:
    facts = [
        f"HTTP {attempt.status}" if attempt.status else "",
        attempt.reason,
        f"{attempt.duration:.3f} s",
        {True: "reused connection", False: "new connection", None: ""}[attempt.reused],
        f"request id {attempt.request_id}" if attempt.request_id else "",
    ]
    return f"{attempt.outcome}: " + ", ".join(fact for fact in facts if fact)


def _summed_up(call: Call) -> str:
    tries, doubles = len(call.attempts), call.possible_duplicates
    told = "cancelled, " if call.cancelled else ""
    told += f"{call.outcome} after {tries} attempt{'' if tries == 1 else 's'}"
    told += f" in {call.elapsed:.3f} s"
    if doubles:
        told += f"; {doubles} of them may have created a session that nobody has"
    return told
