"""One tree of errors: drawn as it is, told apart by class, on one line, ready to travel."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async import errors
from frame_async.calls import Attempt, Call, Outcome
from frame_async.errors import (
    CallError,
    EventInFlightError,
    FrameError,
    IdempotencyConflictError,
    NothingCreatedError,
    OutcomeUnknownError,
    Problem,
    RedirectError,
    RequestRefusedError,
    ServerAnswer,
    SessionUnreadableError,
    UnreadableError,
    UsageError,
    ValidationError,
    WebhookError,
    WrongModeError,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALL = Call(
    idempotency_key="key",
    attempts=(Attempt(outcome=Outcome.REFUSED, started=NOON, duration=0.5, request_id="req_1"),),
    outcome=Outcome.REFUSED,
)
ANSWER = ServerAnswer(
    422,
    type="validation_error",
    code="invalid",
    message="no",
    field_errors={"a.b": ("x", "y")},
    request_id="req_1",
)
PROBLEMS = [Problem("a", "is bad", "mend it"), Problem("b[0]", "is worse", "leave it")]

ALL = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, BaseException)
}
CALL_ERRORS = {name: cls for name, cls in ALL.items() if issubclass(cls, CallError)}


def made(cls: type[FrameError]) -> FrameError:
    """An error of a class, with everything that it can carry."""
    if issubclass(cls, ValidationError | UnreadableError):
        return cls("what", PROBLEMS)
    if issubclass(cls, IdempotencyConflictError):
        return cls("key", ("expires_in", "line_items"))
    if issubclass(cls, SessionUnreadableError):
        return cls("message", CALL, ANSWER, "ses_1", PROBLEMS)
    if issubclass(cls, CallError):
        return cls("message", CALL, ANSWER)
    if issubclass(cls, WrongModeError):
        return cls("ses_1", livemode=True)
    if issubclass(cls, WebhookError | RedirectError):
        return cls("message", signed=True)
    return cls("message")


def drawn() -> dict[str, str]:
    """Each class of the tree in the module's docstring, with the one that it hangs on."""
    parents: list[str] = []
    found: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        drawing = re.fullmatch(r"    ((?:[│ ] {3})*)([├└]── )?(\w+Error)(?:  .*)?", line)
        if drawing:
            depth = len(drawing[1]) // 4 + bool(drawing[2])
            parents[depth:] = [drawing[3]]
            found[drawing[3]] = parents[depth - 1] if depth else "Exception"
    return found


# --- the tree ------------------------------------------------------------------------


def test_the_drawing_is_the_tree() -> None:
    """The drawing in the docstring has every error of the module, below its real parent."""
    assert drawn() == {name: cls.__bases__[0].__name__ for name, cls in ALL.items()}


def test_errors_have_one_parent_and_end_in_error() -> None:
    """Every class has one parent, one root, a docstring and a name that ends in Error."""
    for name, cls in ALL.items():
        assert len(cls.__bases__) == 1
        assert issubclass(cls, FrameError)
        assert cls.__doc__
        assert name == cls.__name__
        assert name.endswith("Error")


def test_no_error_shadows_a_builtin() -> None:
    """No name is also that of a builtin exception."""
    import builtins

    assert not [name for name in ALL if hasattr(builtins, name)]


@pytest.mark.parametrize("cls", CALL_ERRORS.values(), ids=CALL_ERRORS)
def test_each_call_error_answers_one_question(cls: type[CallError]) -> None:
    """An error of a call says *nothing was created* or *it may exist*, and never both."""
    sides = [issubclass(cls, NothingCreatedError), issubclass(cls, OutcomeUnknownError)]
    assert sum(sides) == (0 if cls is CallError else 1)
    assert not issubclass(cls, UsageError)


# --- what they carry -----------------------------------------------------------------


@pytest.mark.parametrize("cls", CALL_ERRORS.values(), ids=CALL_ERRORS)
def test_a_call_error_carries_its_call_and_the_answer(cls: type[CallError]) -> None:
    """The record of the call, and each part of what the server said, can be read from it."""
    error = made(cls)
    assert isinstance(error, cls)
    assert error.call is CALL
    assert error.answer is ANSWER
    assert (error.status, error.type, error.code) == (422, "validation_error", "invalid")
    assert error.field_errors == {"a.b": ("x", "y")}
    assert error.request_id == "req_1"


def test_a_call_error_without_an_answer() -> None:
    """Without an answer there is no status, type, code or field error."""
    error = NothingCreatedError("message", Call())
    assert (error.answer, error.status, error.type, error.code) == (None, None, None, None)
    assert error.field_errors == {}
    assert error.request_id is None


def test_an_unreadable_session_carries_its_id_and_problems() -> None:
    """What could be salvaged from the answer of a created session is on the error."""
    error = SessionUnreadableError("message", CALL, session_id="ses_1", problems=PROBLEMS)
    assert error.session_id == "ses_1"
    assert error.problems == tuple(PROBLEMS)
    bare = SessionUnreadableError("message", CALL)
    assert (bare.session_id, bare.problems, bare.answer) == (None, (), None)


@pytest.mark.parametrize("cls", [ValidationError, UnreadableError])
def test_problems_are_listed(cls: Any) -> None:
    """The message has what is wrong, then each problem; the problems are a tuple."""
    error = cls("invalid thing", PROBLEMS)
    assert error.problems == tuple(PROBLEMS)
    assert str(error) == "invalid thing: a: is bad (mend it); b[0]: is worse (leave it)"


@pytest.mark.parametrize("cls", [WebhookError, RedirectError])
def test_what_came_in_is_unsigned_until_proven(cls: Any) -> None:
    """An error about something received says that it wasn't signed, unless told otherwise."""
    assert cls("message").signed is False
    assert cls("message", signed=True).signed is True


def test_an_event_in_flight_names_the_event() -> None:
    """The error has the id, and tells what to answer."""
    error = EventInFlightError("evt_1")
    assert error.event_id == "evt_1"
    assert str(error) == (
        "another handler is working on the event evt_1 "
        "(answer 503, so that Frame delivers it again)"
    )


def many(count: int) -> list[Problem]:
    """Problems at the paths f0, f1 and so on."""
    return [Problem(f"f{n}", "is bad", "mend it") for n in range(count)]


@pytest.mark.parametrize(
    ("count", "end"),
    [
        (3, "f2: is bad (mend it)"),
        (4, "f2: is bad (mend it); and 1 more, see .problems: f3"),
        (15, "and 12 more, see .problems: " + ", ".join(f"f{n}" for n in range(3, 15))),
        (16, "and 13 more, see .problems: " + ", ".join(f"f{n}" for n in range(3, 15)) + ", ..."),
    ],
)
def test_many_problems_are_shortened(count: int, end: str) -> None:
    """Three problems are told in full, twelve more by path; `.problems` has them all."""
    error = ValidationError("invalid thing", many(count))
    assert str(error).startswith("invalid thing: f0: is bad (mend it); f1: is bad (mend it); f2")
    assert str(error).endswith(end)
    assert len(error.problems) == count


# --- their messages ------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL.values(), ids=ALL)
def test_a_message_is_the_string_of_the_error(cls: type[FrameError]) -> None:
    """`str`, `message` and the only argument are the same text."""
    error = made(cls)
    assert str(error) == error.message == error.args[0]
    assert len(error.args) == 1


@given(text=st.text(max_size=3000))
def test_a_message_is_one_short_line(text: str) -> None:
    """Whatever text an error is made of, its message has no line break and a bounded length."""
    message = FrameError(text).message
    assert len(message) <= 1000
    assert len(message.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", message)
    message.encode()


def test_a_long_message_ends_in_dots() -> None:
    """A message of exactly 1,000 characters stays; a longer one is cut and says so."""
    assert FrameError("x" * 1000).message == "x" * 1000
    assert FrameError("x" * 1001).message == "x" * 997 + "..."


def test_control_characters_become_spaces() -> None:
    """A run of control characters, line separators and half surrogates becomes one space."""
    assert FrameError("a\r\n\x1b[31mb\u2028\ud800c").message == "a [31mb c"


@pytest.mark.parametrize("cls", [ValidationError, UnreadableError])
def test_a_hostile_path_does_not_break_the_line(cls: Any) -> None:
    """A line break in a problem doesn't get into the message."""
    assert "\n" not in str(cls("what", [Problem("a\nb", "is\x00bad", "mend\rit")]))


# --- what a server said --------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (ServerAnswer(500), "HTTP 500: no reason given"),
        (ServerAnswer(407), "HTTP 407: the proxy wants its user and password"),
        (ServerAnswer(422, type="t"), "HTTP 422: t"),
        (ServerAnswer(422, type="t", code="c"), "HTTP 422: c"),
        (ServerAnswer(422, type="t", code="c", message="m"), "HTTP 422: m"),
        (ANSWER, "HTTP 422: no [a.b: x, y]"),
        (
            ServerAnswer(422, message="m", field_errors={"a": ("x",), "": ("y", "z")}),
            "HTTP 422: m [a: x; y, z]",
        ),
        (
            ServerAnswer(422, message="m", field_errors={f"f{n}": ("x",) for n in range(3)}),
            "HTTP 422: m [f0: x; f1: x; f2: x]",
        ),
        (
            ServerAnswer(422, message="m", field_errors={f"f{n}": ("x",) for n in range(4)}),
            "HTTP 422: m [f0: x; f1: x; f2: x; and 1 more, see .field_errors]",
        ),
        (
            ServerAnswer(422, message="m", field_errors={f"f{n}": ("x",) for n in range(5)}),
            "HTTP 422: m [f0: x; f1: x; f2: x; and 2 more, see .field_errors]",
        ),
    ],
)
def test_an_answer_as_text(answer: ServerAnswer, text: str) -> None:
    """An answer reads as status, the best reason there is, and its first field errors."""
    assert str(answer) == text


def test_answers_compare_and_hash() -> None:
    """Equal answers are equal and hash alike; the field errors count for equality."""
    other = copy.deepcopy(ANSWER)
    assert other == ANSWER
    assert hash(other) == hash(ANSWER)
    assert ServerAnswer(422) != ServerAnswer(422, field_errors={"a": ("x",)})


# --- travelling ----------------------------------------------------------------------

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def pickled(protocol: int) -> Callable[[Any], Any]:
    """A way to copy, through a pickle of this protocol."""
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": pickled(protocol) for protocol in PROTOCOLS},
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cls", ALL.values(), ids=ALL)
def test_errors_travel(cls: type[FrameError], copied: Callable[[Any], Any]) -> None:
    """Pickled or copied, an error keeps its class, message and everything that it carries."""
    error = made(cls)
    error.add_note("seen by the caller")
    other = copied(error)
    assert other is not error
    assert type(other) is cls
    assert str(other) == str(error)
    assert other.args == error.args
    assert vars(other) == vars(error)
    assert other.__notes__ == ["seen by the caller"]


def test_a_copy_does_not_share_what_it_carries() -> None:
    """Setting an attribute of a copy leaves the original alone."""
    error = RequestRefusedError("message", CALL, ANSWER)
    other = copy.copy(error)
    other.answer = None
    assert error.answer is ANSWER


class ShopError(RequestRefusedError):
    """A user's own class, with a constructor of its own."""

    def __init__(self, *, order: str) -> None:
        super().__init__(f"order {order}", CALL)
        self.order = order


def test_a_users_subclass_travels() -> None:
    """A subclass with another constructor, keyword-only even, pickles without help."""
    other = pickle.loads(pickle.dumps(ShopError(order="1")))
    assert (type(other), str(other), other.order, other.call) == (
        ShopError,
        "order 1",
        "1",
        CALL,
    )
