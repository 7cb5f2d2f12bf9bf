"""What an ended call means: one table, complete, and read by all."""

import errno
import inspect

import pytest

from frame_async import errors
from frame_async.calls import Attempt, Call, Outcome
from frame_async.errors import (
    CallInFlightError,
    CertificateError,
    FrameError,
    IdempotencyConflictError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRefusedError,
    SessionUnreadableError,
    StoreError,
    UnreadableError,
    ValidationError,
    WindowFullError,
)
from frame_async.protocol.dispositions import (
    DISPOSITIONS,
    Heard,
    disposition_of,
    exit_status_of,
    exit_status_of_rows,
    heard_of,
    may_go_on,
)
from frame_async.protocol.retry import RetryPolicy

INHERITED = {UnreadableError, ValidationError}
"""Mistakes as any other: what their parents say of them is meant."""


def made(cls: type[errors.CallError], attempts: int = 0, duplicates: int = 0) -> errors.CallError:
    """An error of a call with so many attempts."""
    from datetime import UTC, datetime

    attempt = Attempt(outcome=Outcome.UNKNOWN, started=datetime.now(UTC), duration=0.1)
    return cls("no", Call(attempts=(attempt,) * attempts, possible_duplicates=duplicates))


def test_every_error_class_has_its_disposition() -> None:
    """Each class of the tree of errors is in the table, or inherits on purpose."""
    public = {
        cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, FrameError)
    }
    assert set(DISPOSITIONS) | INHERITED == public
    assert not set(DISPOSITIONS) & INHERITED


def test_the_nearest_class_counts() -> None:
    """A class of one's own means what its parent means; what is none of ours is a mistake."""

    class ShopError(CertificateError):
        pass

    assert disposition_of(made(ShopError)) is DISPOSITIONS[CertificateError]
    assert disposition_of(KeyError("x")) is DISPOSITIONS[FrameError]


@pytest.mark.parametrize(
    ("cls", "stops"),
    [
        (CertificateError, (True, True)),
        (errors.AuthenticationError, (True, True)),
        (errors.PermissionDeniedError, (True, True)),
        (StoreError, (True, False)),
        (NotSentError, (False, False)),
        (errors.NotFoundError, (False, False)),
        (RateLimitedError, (False, False)),
    ],
)
def test_what_stops_a_run(cls: type[errors.CallError], stops: tuple[bool, bool]) -> None:
    """What can't go better with the next call stops a run; a worker waits for its store."""
    found = disposition_of(made(cls))
    assert (found.stops_run, found.stops_worker) == stops


@pytest.mark.parametrize(
    ("cls", "attempts", "duplicates", "on"),
    [
        (OutcomeUnknownError, 1, 6, True),
        (OutcomeUnknownError, 1, 7, False),
        (CallInFlightError, 0, 9, True),
        (SessionUnreadableError, 1, 0, False),
        (RateLimitedError, 1, 0, True),
        (RequestRefusedError, 1, 0, False),
        (WindowFullError, 0, 0, True),
    ],
)
def test_what_is_tried_again(
    cls: type[errors.CallError], attempts: int, duplicates: int, on: bool
) -> None:
    """A row is open while nothing is settled; in doubt, as often as the policy grants."""
    error = made(cls, attempts, duplicates)
    assert may_go_on(error, error.call, RetryPolicy()) is on


def test_holding_in_doubt_is_final() -> None:
    """With on_unknown="raise", a row in doubt isn't tried again, but a claimed one is."""
    policy = RetryPolicy(on_unknown="raise")
    doubt, claimed = made(OutcomeUnknownError, 1, 1), made(CallInFlightError)
    assert not may_go_on(doubt, doubt.call, policy)
    assert may_go_on(claimed, claimed.call, policy)


@pytest.mark.parametrize(
    ("cls", "attempts", "heard"),
    [
        (OutcomeUnknownError, 1, Heard.SILENCE),
        (OutcomeUnknownError, 0, Heard.NOTHING),
        (NotSentError, 0, Heard.SILENCE),
        (CallInFlightError, 0, Heard.NOTHING),
        (SessionUnreadableError, 1, Heard.ANSWER),
        (RequestRefusedError, 1, Heard.ANSWER),
        (RateLimitedError, 1, Heard.FULL),
        (WindowFullError, 0, Heard.FULL),
        (StoreError, 0, Heard.NOTHING),
    ],
)
def test_what_is_heard_of_the_server(
    cls: type[errors.CallError], attempts: int, heard: Heard
) -> None:
    """A call without an attempt tells nothing of the server, unless it didn't get there."""
    error = made(cls, attempts)
    assert heard_of(error, error.call) is heard


def test_a_replayed_session_tells_nothing_of_the_server() -> None:
    """A session from the store, like a conflict of keys, doesn't end an outage."""
    assert heard_of(None, Call(replayed=True)) is Heard.NOTHING
    assert heard_of(IdempotencyConflictError("k", ()), Call()) is Heard.NOTHING
    assert heard_of(None, made(NotSentError, 1).call) is Heard.ANSWER


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "full"), 4),
        (OSError(errno.ENOENT, "none"), 2),
        (made(StoreError), 4),
        (errors.ConfigurationError("no"), 2),
        (errors.WebhookError("no"), 1),
        (ZeroDivisionError(), 4),
    ],
)
def test_how_a_command_ends(error: BaseException, status: int) -> None:
    """2 says that the command is wrong, 4 that the same command goes on."""
    assert exit_status_of(error) == status


def test_how_a_command_about_rows_ends() -> None:
    """What is open goes before doubt, and doubt before a refusal."""
    assert exit_status_of_rows(is_open=True, unknown=1, refused=1) == 4
    assert exit_status_of_rows(is_open=True, signal=15) == 143
    assert exit_status_of_rows(is_open=False, unknown=1, refused=1, signal=15) == 3
    assert exit_status_of_rows(is_open=False, refused=1) == 1
    assert exit_status_of_rows(is_open=False) == 0
