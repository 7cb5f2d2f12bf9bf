"""Records are values: compared and hashed by their fields, shown by them, never changed."""

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from frame_async.calls import Attempt, Call, Outcome
from frame_async.engine.pool import BulkItem, BulkResult
from frame_async.errors import Problem, ServerAnswer
from frame_async.models import Event, LineItem, PaymentLinkSession, PaymentLinkSessionRequest
from frame_async.models.redirects import Redirect
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import RateLimit
from frame_async.stores import Claimed, Done, InDoubt, InFlight, Window

NOW = datetime(2026, 6, 10, 18, 24, 41, tzinfo=UTC)
REQUEST = PaymentLinkSessionRequest(line_items=[LineItem(product="p")])
ATTEMPT = Attempt(outcome=Outcome.CREATED, status=201, started=NOW, duration=0.5)

# One of each, and a field with another value.
VALUES: list[tuple[Any, dict[str, Any]]] = [
    (Problem("path", "rule", "fix"), {"rule": "other"}),
    (ServerAnswer(422, message="no"), {"status": 400}),
    (ATTEMPT, {"status": 200}),
    (Call(idempotency_key="k", attempts=(ATTEMPT,)), {"idempotency_key": "other"}),
    (PaymentLinkSession(id="s", created=NOW), {"created": None}),
    (Event(id="e", type="transfer.succeeded"), {"type": "transfer.failed"}),
    (Redirect(session="s", result="paid"), {"result": "canceled"}),
    (RetryPolicy(), {"max_retries": 1}),
    (RateLimit(160), {"per": 1.0}),
    (Window("name", RateLimit(160)), {"name": "other"}),
    (Claimed("t"), {"token": "other"}),
    (InDoubt("t", 1), {"doubts": 2}),
    (InFlight(1.0), {"lease": 2.0}),
    (Done(b"x"), {"body": b"y"}),
    (BulkItem(REQUEST, "k"), {"idempotency_key": None}),
    (BulkResult(0, BulkItem(REQUEST), PaymentLinkSession(id="s")), {"index": 1}),
]
each_value = pytest.mark.parametrize(
    ("value", "change"), VALUES, ids=[type(value).__name__ for value, _ in VALUES]
)


@each_value
def test_a_record_is_equal_by_its_fields(value: Any, change: dict[str, Any]) -> None:
    """One with the same fields is equal and hashes alike, one with another field isn't."""
    same = evolve(value)
    assert same is not value
    assert same == value
    assert hash(same) == hash(value)
    assert evolve(value, **change) != value
    assert value != "something else"


@each_value
def test_a_record_survives_copying_and_pickling(value: Any, change: dict[str, Any]) -> None:
    """A deep copy and a pickle of a record are equal to it."""
    assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)


@each_value
def test_a_record_shows_its_fields_and_keeps_them(value: Any, change: dict[str, Any]) -> None:
    """Its repr has class and fields by name, and no field can be set."""
    (name,) = change
    shown = f"{name}={getattr(value, name)!r}"
    assert repr(value).startswith(f"{type(value).__name__}(")
    assert shown in repr(value) or getattr(value, name) is None
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)


def test_what_tells_of_a_payer_or_a_call_does_not_show() -> None:
    """The repr of a session has neither unknown fields nor its call, which don't count as equal."""
    session = PaymentLinkSession(id="s", extra={"x": 1}, call=Call(idempotency_key="k"))
    assert "extra" not in repr(session)
    assert "call" not in repr(session)
    assert session == evolve(session, call=Call())
    assert session != evolve(session, extra={})
    assert hash(session) == hash(evolve(session, extra={}))


def test_what_a_caller_attached_does_not_make_an_item_another() -> None:
    """The context of an item of a bulk run isn't compared, and may be unhashable."""
    assert BulkItem(REQUEST, context=[1]) == BulkItem(REQUEST)
    assert hash(BulkItem(REQUEST, context=[1])) == hash(BulkItem(REQUEST))
