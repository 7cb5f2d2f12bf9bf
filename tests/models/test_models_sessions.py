"""What is answered, and the record of the call that it came from."""

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve, fields
from attrs.exceptions import FrozenInstanceError

from frame_async import models
from frame_async.errors import SessionUnreadableError, ValidationError
from frame_async.models import (
    Attempt,
    Call,
    Outcome,
    PaymentLinkSession,
    PaymentStatus,
    SessionStatus,
)
from frame_async.serialization import load_session

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def attempt(**given: Any) -> Attempt:
    """An attempt that was refused."""
    usual: dict[str, Any] = {"outcome": Outcome.REFUSED, "started": NOON, "duration": 0.5}
    return Attempt(**(usual | given))


SESSION = PaymentLinkSession(
    id="ses_1", created=NOON, extra={"new": [1]}, call=Call(attempts=(attempt(),))
)


def test_the_fields_are_those_of_the_reference() -> None:
    """Every field of Frame's example is there by its name, beside four of our own."""
    assert {a.name for a in fields(PaymentLinkSession)} == {
        "id", "customer_email", "payment_status", "phone_number_collection",
        "shipping_address_collection", "status", "client_reference_id", "object", "expires",
        "created", "updated", "livemode", "customer", "account", "payment_method",
        "url", "extra", "unread", "call",
    }  # fmt: skip


def test_only_the_id_is_certain() -> None:
    """All other fields of an answer are None unless they are there."""
    session = PaymentLinkSession(id="ses_1")
    others = {a.name for a in fields(PaymentLinkSession)} - {"id", "extra", "unread", "call"}
    assert {getattr(session, name) for name in others} == {None}
    assert (session.extra, session.unread, session.call) == ({}, (), Call())
    with pytest.raises(TypeError, match="id"):
        PaymentLinkSession()  # type: ignore[call-arg]


def test_the_published_words_are_constants() -> None:
    """The values that Frame's reference shows can be compared with plain strings."""
    assert SessionStatus.OPEN == "open"
    assert PaymentStatus.UNPAID == "unpaid"


@pytest.mark.parametrize("record", [SESSION, SESSION.call, attempt()])
def test_records_are_frozen_and_slotted(record: Any) -> None:
    """No field of a record can be set after the fact."""
    for name in (*(a.name for a in fields(type(record))), "stranger"):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, None)
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, evolve, lambda record: pickle.loads(pickle.dumps(record))]
)
@pytest.mark.parametrize("record", [SESSION, SESSION.call, attempt()])
def test_records_copy(record: Any, copied: Callable[[Any], Any]) -> None:
    """A copied or pickled record is equal and hashes alike."""
    other = copied(record)
    assert other == record
    assert hash(other) == hash(record)
    assert repr(other) == repr(record)


def test_a_session_is_the_same_whichever_call_it_came_from() -> None:
    """The record of the call doesn't count when sessions are compared; unknown fields do."""
    assert evolve(SESSION, call=Call()) == SESSION
    assert evolve(SESSION, extra={}) != SESSION


def test_a_copied_session_keeps_its_call() -> None:
    """The record, which doesn't count when sessions are compared, travels all the same."""
    assert pickle.loads(pickle.dumps(SESSION)).call == SESSION.call


def test_a_repr_of_a_session_is_short() -> None:
    """Neither unknown fields nor the record of the call are in the repr."""
    assert "extra" not in repr(SESSION)
    assert "call" not in repr(SESSION)
    assert repr(SESSION).startswith("PaymentLinkSession(id='ses_1', ")


@pytest.mark.parametrize(("attempts", "retries"), [(0, 0), (1, 0), (2, 1), (7, 6)])
def test_retries_are_the_attempts_after_the_first(attempts: int, retries: int) -> None:
    """A call that tried nothing has no retries, and neither has one that tried once."""
    assert Call(attempts=(attempt(),) * attempts).retries == retries


@pytest.mark.parametrize(
    ("ids", "last"),
    [([], None), ([None], None), (["a"], "a"), (["a", None], "a"), (["a", "b", None, ""], "b")],
)
def test_the_request_id_is_the_last_one(ids: list[str | None], last: str | None) -> None:
    """The id to quote is that of the latest attempt that had one."""
    assert Call(attempts=tuple(attempt(request_id=name) for name in ids)).request_id == last


def test_outcomes_are_words() -> None:
    """The four outcomes are strings, as logs and metrics need them."""
    assert [str(outcome) for outcome in Outcome] == ["created", "refused", "not_sent", "unknown"]


def test_the_room_lists_what_it_offers() -> None:
    """Every name in `__all__` exists, sorted, once."""
    assert all(hasattr(models, name) for name in models.__all__)
    assert len(set(models.__all__)) == len(models.__all__)


# --- plain values --------------------------------------------------------------------


FULL = PaymentLinkSession(
    id="pls_1",
    status="open",
    expires=datetime(2026, 6, 10, 18, 24, 41, 123456, tzinfo=UTC),
    created=datetime(2026, 6, 9, tzinfo=UTC),
    livemode=False,
    customer="cus_1",
    url="https://pay.example/1",
    extra={"shiny": {"new": [1, None]}, "extra": 1, "customer": {"id": "cus_1"}},
)


@pytest.mark.parametrize("session", [FULL, PaymentLinkSession(id="pls_2")], ids=["full", "empty"])
def test_a_session_as_plain_values(session: PaymentLinkSession) -> None:
    """`to_dict` gives JSON's own types, and `from_dict` the same session again."""
    plain = session.to_dict()
    assert PaymentLinkSession.from_dict(json.loads(json.dumps(plain))) == session
    assert plain["id"] == session.id
    assert "call" not in plain


def test_the_plain_values_of_a_session() -> None:
    """Times are in ISO 8601, what is missing is None, other fields stand beside the known ones."""
    plain = FULL.to_dict()
    assert plain["expires"] == "2026-06-10T18:24:41.123456+00:00"
    assert (plain["status"], plain["updated"], plain["livemode"]) == ("open", None, False)
    assert (plain["shiny"], plain["customer"]) == ({"new": [1, None]}, {"id": "cus_1"})


def test_frames_answer_is_read_too() -> None:
    """`from_dict` takes an answer of Frame; what is of another type than expected is in `extra`."""
    session = PaymentLinkSession.from_dict(
        {"id": "pls_1", "created": 1781115881, "updated": "2026-06-10T18:24:41", "expires": True}
    )
    assert session.created == datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)
    assert session.updated == session.created
    assert (session.expires, session.extra) == (None, {"expires": True})


IDS: list[Any] = ["a", 5, True, " ", "", {"id": "q"}]
NO_OBJECTS: list[Any] = [[{"id": "c"}], {}, 5, True]
DAYS: list[Any] = ["2026-06-11", "2026-W01-1", "soon", "", 1e9]


@pytest.mark.parametrize(
    "answer",
    [
        *({"id": 7}, {"id": {"id": "s"}}, {"id": {"id": 7}}),
        *({"id": "s", "account": {"id": one}} for one in IDS),
        *({"id": "s", "customer": one} for one in NO_OBJECTS),
        *({"id": "s", "expires": one} for one in DAYS),
        *({"id": "s", "expires": f"2026-06-11T10:00:00{zone}"} for zone in ("", "Z", "+02:00")),
        {"id": "s", "livemode": "false", "status": 5, "url": {"href": "x"}, "more": [None]},
    ],
)
def test_an_answer_is_read_as_the_client_reads_it(answer: dict[str, Any]) -> None:
    """`from_dict` and the reader of answers make one session of one answer, and of its values."""
    read = load_session(json.dumps(answer).encode(), Call())
    for given in (answer, read.to_dict()):
        made = PaymentLinkSession.from_dict(given)
        assert (made, made.extra, made.unread) == (read, read.extra, read.unread)
        assert repr(made) == repr(read)


@pytest.mark.parametrize(
    "given",
    [
        *({}, [], "pls_1", None),
        *({"id": found} for found in (None, True, 1.5, "", " ", "\u200b", {}, {"id": " "})),
    ],
)
def test_what_is_no_session(given: Any) -> None:
    """Without an id there is no session, and the error says so."""
    with pytest.raises(ValidationError, match="id: is missing or blank"):
        PaymentLinkSession.from_dict(given)


def test_the_address_of_the_checkout_page() -> None:
    """`checkout_url` is the address, or an error with the session's id and its call."""
    assert FULL.checkout_url == "https://pay.example/1"
    bare = PaymentLinkSession(id="pls_2", call=Call(idempotency_key="k"))
    with pytest.raises(SessionUnreadableError, match="session pls_2 has no address") as caught:
        bare.checkout_url  # noqa: B018
    assert caught.value.session_id == "pls_2"
    assert caught.value.call == bare.call


# --- calls ---------------------------------------------------------------------------


ATTEMPT = Attempt(outcome=Outcome.CREATED, started=datetime(2026, 6, 9, tzinfo=UTC), duration=1.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Call(), "not_sent after 0 attempts in 0.000 s"),
        (
            Call(idempotency_key="k", attempts=(ATTEMPT,), outcome=Outcome.CREATED, elapsed=1.25),
            "k: created after 1 attempt in 1.250 s",
        ),
        (
            Call(idempotency_key="k", attempts=(ATTEMPT,) * 2, possible_duplicates=1),
            (
                "k: not_sent after 2 attempts in 0.000 s; 1 of them may have created a session"
                " that nobody has"
            ),
        ),
        (
            Call(idempotency_key="k", replayed=True, outcome=Outcome.CREATED),
            "k: created earlier, from the store",
        ),
        (Call(cancelled=True), "cancelled, not_sent after 0 attempts in 0.000 s"),
        (Call(store_error="a\nb"), "not_sent after 0 attempts in 0.000 s; a b"),
    ],
    ids=range(6),
)
def test_a_call_on_one_line(call: Call, said: str) -> None:
    """`str` of a call says on one line what happened."""
    assert str(call) == said
