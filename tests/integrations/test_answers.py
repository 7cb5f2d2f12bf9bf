"""What a framework answers: the right status, and nothing that a payer must not know."""

import asyncio
import inspect
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest
from support.signing import SECRET, event_body, signed

from frame_async import FrameClient, errors
from frame_async.calls import Attempt, Call, Outcome
from frame_async.errors import (
    CallError,
    EventInFlightError,
    FrameError,
    IdempotencyConflictError,
    Problem,
    RedirectError,
    RequestAbandonedError,
    ServerAnswer,
    StoreError,
    UnreadableError,
    ValidationError,
    WebhookError,
    WindowFullError,
    WrongModeError,
)
from frame_async.integrations._abandoned import unless_gone
from frame_async.integrations._answers import (
    RECEIVED,
    answer_of,
    read_body,
    receive,
)
from frame_async.integrations._clients import ClientOptions
from frame_async.models import Event
from frame_async.stores import MemoryStore
from frame_async.webhooks import Turn, WebhookReceiver

TOLD = "sEcrEt"
"""In everything that an error holds; in no answer."""

CALL = Call(
    idempotency_key=TOLD,
    outcome=Outcome.UNKNOWN,
    possible_duplicates=1,
    attempts=(
        Attempt(
            outcome=Outcome.UNKNOWN,
            started=datetime.now(UTC),
            duration=0.1,
            reason=TOLD,
            request_id=TOLD,
        ),
    ),
)
SAID = ServerAnswer(422, TOLD, TOLD, TOLD, {TOLD: (TOLD,)}, TOLD)

ALL: set[type[FrameError]] = {
    cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, FrameError)
}


def made(cls: type[FrameError]) -> FrameError:
    """An error that holds as much as it can."""
    build: Any = cls
    if issubclass(cls, ValidationError | UnreadableError):
        return build(TOLD, [Problem(TOLD, TOLD, TOLD)])  # type: ignore[no-any-return]
    if issubclass(cls, IdempotencyConflictError):
        return build(TOLD, (TOLD,))  # type: ignore[no-any-return]
    if issubclass(cls, WrongModeError):
        return build(TOLD, livemode=True)  # type: ignore[no-any-return]
    if issubclass(cls, CallError):
        return build(TOLD, CALL, SAID)  # type: ignore[no-any-return]
    return build(TOLD)  # type: ignore[no-any-return]


STATUSES = {
    "FrameError": (500, None),
    "UsageError": (500, None),
    "ConfigurationError": (500, None),
    "ValidationError": (500, None),
    "IdempotencyConflictError": (409, None),
    "ClientClosedError": (500, None),
    "EventLoopError": (500, None),
    "UnreadableError": (500, None),
    "WrongModeError": (500, None),
    "CallError": (500, None),
    "NothingCreatedError": (500, None),
    "NotSentError": (503, "not_created"),
    "CertificateError": (502, "not_created"),
    "WindowFullError": (503, "not_created"),
    "StoreError": (503, "not_created"),
    "RequestRefusedError": (502, "not_created"),
    "AuthenticationError": (500, "not_created"),
    "PermissionDeniedError": (500, "not_created"),
    "NotFoundError": (500, "not_created"),
    "RateLimitedError": (503, "not_created"),
    "OutcomeUnknownError": (502, "unknown"),
    "CallInFlightError": (503, "unknown"),
    "SessionUnreadableError": (502, "unknown"),
    "ReceivedError": (500, None),
    "WebhookError": (400, None),
    "RedirectError": (400, None),
    "EventInFlightError": (503, None),
    "RequestAbandonedError": (499, None),
}


def test_every_error_has_its_answer() -> None:
    """Each public error makes the status and the outcome of the table."""
    answers = {cls.__name__: answer_of(made(cls)) for cls in ALL}
    found = {name: (one.status, one.body.get("outcome")) for name, one in answers.items()}
    assert found == STATUSES


@pytest.mark.parametrize("cls", sorted(ALL, key=str))
def test_an_answer_tells_nothing_of_the_error(cls: type[FrameError]) -> None:
    """No message, key, id or word of the server is in an answer, which is a problem detail."""
    error = made(cls)
    assert TOLD in str(error)
    answer = answer_of(error)
    assert TOLD not in answer.content.decode() + str(answer.headers)
    body = json.loads(answer.content)
    assert body["type"] == "about:blank"
    assert body["status"] == answer.status
    assert body["title"]
    assert set(body) <= {"type", "title", "status", "detail", "outcome"}
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_may_pass_says_when_to_come_back() -> None:
    """Each 503 has Retry-After in whole seconds, and nothing else has."""
    for cls in ALL:
        answer = answer_of(made(cls))
        assert ("Retry-After" in answer.headers) == (answer.status == 503), cls
        assert int(answer.headers.get("Retry-After", "1")) >= 1


@pytest.mark.parametrize(
    ("fits_in", "said"),
    [
        (0.0, "1"),
        (2.0, "2"),
        (2.1, "3"),
        (59.01, "60"),
        (-1.0, "1"),
        (float("inf"), "86400"),
        (float("nan"), "86400"),
    ],
)
def test_a_full_window_says_when_it_fits(fits_in: float, said: str) -> None:
    """Retry-After is what the window knows, rounded up, never 0 and a day at most."""
    error = WindowFullError("full", Call(), None, fits_in)
    assert answer_of(error).headers["Retry-After"] == said


def test_a_mistake_shows_no_detail() -> None:
    """A mistake in the program makes a bare 500, with its traceback in the log."""
    assert set(answer_of(made(ValidationError)).body) == {"type", "title", "status"}


def test_an_error_is_logged_by_class_and_message(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the class and the message, as loudly as it matters."""
    caplog.set_level(logging.INFO, "frame_async")
    answer_of(StoreError("the store is down"))
    answer_of(WebhookError("forged"))
    answer_of(RedirectError("forged"))
    answer_of(RedirectError("signed, but odd", signed=True))
    answer_of(errors.ConfigurationError("no key"))
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [
        ("WARNING", "StoreError: the store is down"),
        ("WARNING", "WebhookError: forged"),
        ("INFO", "RedirectError: forged"),
        ("WARNING", "RedirectError: signed, but odd"),
        ("ERROR", "ConfigurationError: no key"),
    ]
    assert [record.exc_info is not None for record in caplog.records] == [False] * 4 + [True]


def test_a_strangers_message_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is none of our errors may say anything, so only its class is logged."""
    assert answer_of(RuntimeError(TOLD)).status == 500
    assert "RuntimeError" in caplog.text
    assert TOLD not in caplog.text


# --- webhooks ------------------------------------------------------------------------


class Acts:
    """Writes down what it is called with; fails as often as it is told to."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.seen: list[tuple[str, bool]] = []

    async def __call__(self, event: Event, turn: Turn) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.seen.append((event.id, turn.first))


@pytest.fixture
def receiver() -> WebhookReceiver:
    return WebhookReceiver(SECRET, store=MemoryStore())


async def test_a_webhook_is_acted_upon_once(receiver: WebhookReceiver) -> None:
    """The first delivery and a later one are both a 200; only the first one acts."""
    act, body = Acts(), event_body()
    assert await receive(receiver, body, signed(body), act) == RECEIVED
    assert await receive(receiver, body, signed(body), act) == RECEIVED
    assert act.seen == [("evt_0123", True)]
    assert RECEIVED.status == 200


async def test_a_forged_webhook_is_a_400(receiver: WebhookReceiver) -> None:
    """A signature of another secret is refused, and nothing acts."""
    act, body = Acts(), event_body()
    assert (await receive(receiver, body, signed(body, "other"), act)).status == 400
    assert (await receive(receiver, body, {}, act)).status == 400
    assert act.seen == []


async def test_a_webhook_meanwhile_is_a_503(receiver: WebhookReceiver) -> None:
    """While one handler works on an event, another delivery is put off."""
    body, began, go = event_body(), asyncio.Event(), asyncio.Event()

    async def slow(_: Event, __: Turn) -> None:
        began.set()
        await go.wait()

    first = asyncio.create_task(receive(receiver, body, signed(body), slow))
    await began.wait()
    answer = await receive(receiver, body, signed(body), Acts())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    go.set()
    assert (await first).status == 200


async def test_a_failing_action_comes_through_and_is_tried_again(
    receiver: WebhookReceiver,
) -> None:
    """What an action raises is the framework's 500; a call's error is answered; then it acts."""
    act, body = Acts(ZeroDivisionError(), StoreError("down")), event_body()
    with pytest.raises(ZeroDivisionError):
        await receive(receiver, body, signed(body), act)
    assert (await receive(receiver, body, signed(body), act)).status == 503
    assert (await receive(receiver, body, signed(body), act)).status == 200
    assert act.seen == [("evt_0123", True)]


async def test_a_store_that_is_down_is_a_503() -> None:
    """When the store can't say whose turn it is, nothing acts and Frame comes again."""

    class Down(MemoryStore):
        async def claim(self, *_: Any) -> Any:
            raise StoreError("down")

    act, body = Acts(), event_body()
    answer = await receive(WebhookReceiver(SECRET, store=Down()), body, signed(body), act)
    assert answer.status == 503
    assert act.seen == []


async def test_a_body_is_read_up_to_its_limit() -> None:
    """A body of just the limit is read; one byte more is refused, and the rest left alone."""
    asked = 0

    async def chunks(*sizes: int) -> AsyncIterator[bytes]:
        nonlocal asked
        for size in sizes:
            asked += 1
            yield b"x" * size

    assert await read_body(chunks(4, 0, 6), 10) == b"x" * 10
    asked = 0
    with pytest.raises(WebhookError, match="larger than 10 bytes"):
        await read_body(chunks(4, 7, 100, 100), 10)
    assert asked == 2


# --- abandoned work ------------------------------------------------------------------


class Work:
    """Work that takes until it is told to end, and notes how it ended."""

    def __init__(self) -> None:
        self.began, self.go, self.tidied = asyncio.Event(), asyncio.Event(), False

    async def __call__(self) -> str:
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # keeping the books
            self.tidied = True
            raise
        return "done"


async def never() -> None:
    await asyncio.Event().wait()


async def test_work_that_is_waited_for_ends_as_it_does() -> None:
    """Its result or its error comes through, and nothing is left running."""
    work = Work()
    work.go.set()
    assert await unless_gone(work(), never()) == "done"

    async def fail() -> None:
        raise StoreError("down")

    with pytest.raises(StoreError):
        await unless_gone(fail(), never())
    assert len(asyncio.all_tasks()) == 1


async def test_work_that_nobody_waits_for_is_cancelled() -> None:
    """When whoever asked has gone, the work is cancelled and has kept its books by then."""
    work = Work()
    with pytest.raises(RequestAbandonedError):
        await unless_gone(work(), work.began.wait())
    assert work.tidied
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_caller_cancels_the_work() -> None:
    """The caller's own cancellation passes on, after the books were kept."""
    work = Work()
    task = asyncio.create_task(unless_gone(work(), never()))
    await work.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.tidied
    assert len(asyncio.all_tasks()) == 1


async def test_failing_to_watch_is_no_end() -> None:
    """When the watching fails, its error comes through; it isn't taken for someone leaving."""
    work = Work()

    async def broken() -> None:
        await work.began.wait()
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        await unless_gone(work(), broken())
    assert work.tidied


# --- options, extras -----------------------------------------------------------------


def test_the_options_are_those_of_the_client() -> None:
    """Every option of FrameClient can be passed on, with its own type."""
    parameters = inspect.signature(FrameClient).parameters
    assert list(ClientOptions.__annotations__) == list(parameters)
    hints = get_type_hints(ClientOptions)
    for name, parameter in parameters.items():
        told = str(parameter.annotation).replace("'", "").replace("ssl.SSLContext", "SSLContext")
        names = {getattr(part, "__name__", str(part)) for part in get_args(hints[name])}
        if names and "Literal" not in told:
            assert all(part in told for part in names - {"NoneType", "Sequence"}), name


@pytest.mark.parametrize(
    ("module", "missing", "fix"),
    [
        ("fastapi", "fastapi", r"pip install 'frame-async[fastapi]'"),
        ("django", "django", r"pip install 'frame-async[django]'"),
        ("starlette", "starlette", r"pip install starlette"),
        ("litestar", "litestar", r"pip install 'frame-async[litestar]'"),
        ("quart", "quart", r"pip install 'frame-async[quart]'"),
    ],
)
def test_a_missing_framework_is_named(module: str, missing: str, fix: str) -> None:
    """Importing an integration without its framework says what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None; import frame_async.integrations.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: frame_async.integrations.{module} needs" in done.stderr
    assert fix in done.stderr


def test_event_in_flight_is_for_frame() -> None:
    """The answer to a second delivery tells Frame to come again, and names no event."""
    answer = answer_of(EventInFlightError("evt_1"))
    assert answer.status == 503
    assert "evt_1" not in answer.content.decode()
