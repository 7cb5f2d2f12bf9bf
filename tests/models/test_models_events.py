"""Events: what they are about, read without believing in shapes."""

import copy
import pickle
from typing import Any

import pytest

from frame_async.models import Event, EventType


def event(type_: str = EventType.TRANSFER_SUCCEEDED, **data: Any) -> Event:
    """An event of a type, with this data."""
    return Event(id="evt_1", type=type_, data=data)


@pytest.mark.parametrize(
    ("about", "session"),
    [
        (event("payment_link.created", id="pl_1", object="payment_link"), None),
        (event("payment_link.created", id="pl_1", name="Mug", link_id="x", status="active"), None),
        (event("payment_link.created", id="pl_1", payment_link_session="ses_1"), "ses_1"),
        (event("payment_link.created", id="ses_1", object="payment_link.session"), "ses_1"),
        (event("session.paid", id="ses_1", object="payment_link_session"), "ses_1"),
        (event(id="x", object=["payment_link_session"]), None),
        (event(id="tr_1", payment_link_session="ses_1"), "ses_1"),
        (event("charge_intent.succeeded", payment_link_session="ses_1"), "ses_1"),
        (event("transfer.teleported", payment_link_session={"id": "ses_1"}), "ses_1"),
        (event(payment_link_session={"id": 1}), None),
        (event(payment_link_session={}), None),
        (event(payment_link_session={"id": "s", "object": "payment_link.session"}), "s"),
        (event(payment_link_session={"id": "s", "object": "payment_link_session"}), "s"),
        (event(payment_link_session={"id": "plink_1", "object": "payment_link"}), None),
        (event(payment_link_session={"id": "x", "object": None}), None),
        (event(payment_link_session={"id": "x", "object": ["payment_link_session"]}), None),
        (event(payment_link_session=["ses_1"]), None),
        (event(payment_link_session=None), None),
        (event(payment_link_session=""), None),
        (event(id="tr_1"), None),
        (event("payment_links.counted", id="count_1"), None),
        (event(), None),
    ],
)
def test_the_session_of_an_event(about: Event, session: str | None) -> None:
    """The session's id is found where the event's type has it, or is None."""
    assert about.session_id == session


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({}, {}),
        ({"id": "tr_1", "object": "transfer", "status": "succeeded", "amount": 100}, {}),
        (
            {
                "charge_intent": "ci_1", "account": "acc_1", "account_id": "acc_1",
                "metadata": {"order": "42", "n": 7, "no": None, "": " ", "flag": True, "x": ["y"]},
                "reference": "order-42", "failure_reason": "x",
            },
            {
                "data.reference": "order-42", "data.metadata.order": "42", "data.metadata.n": "7",
                "data.charge_intent": "ci_1", "data.account": "acc_1", "data.account_id": "acc_1",
            },
        ),
        (
            {
                "payment_link_session": {"id": "s", "object": "payment_link.session",
                                         "client_reference_id": "o"},
                "charge_intent": {"id": "ci_1", "metadata": {"order": "o"}, "customer": {"id": "c"},
                                  "account": None},
            },
            {
                "data.payment_link_session.id": "s",
                "data.payment_link_session.client_reference_id": "o",
                "data.charge_intent.id": "ci_1", "data.charge_intent.metadata.order": "o",
                "data.charge_intent.customer.id": "c",
            },
        ),
        ({"id": "s", "object": "payment_link_session", "customer": 1.5}, {"data.id": "s"}),
        ({"id": "pl_1", "object": "payment_link", "link_id": "x", "name": "Mug"}, {}),
        ({"metadata": ["order-42"], "reference": {"id": "x"}, "client_reference_id": ""}, {}),
    ],
    ids=range(7),
)  # fmt: skip
def test_references(data: dict[str, Any], found: dict[str, str]) -> None:
    """Each value that may tie an event to an order comes with its path, and no other."""
    assert event(**data).references() == found


@pytest.mark.parametrize("name", ["client_reference_id", "failure_code", "failure_reason"])
def test_what_data_tells(name: str) -> None:
    """Reference and failure code are read from the data; what is no text is None."""
    values: list[Any] = ["order-42", None, "", 1, ["order-42"], {}]
    events = [Event(id="evt_1", type="t", data={name: value}) for value in values]
    assert [getattr(each, name) for each in events] == ["order-42"] + [None] * 5
    assert getattr(event(), name) is None


def test_a_repr_tells_of_no_payer() -> None:
    """The repr has id and type, and nothing of data or extra."""
    shown = repr(Event(id="evt_1", type="t", data={"x": "secret"}, extra={"y": "secret"}))
    assert "evt_1" in shown
    assert "secret" not in shown


def test_events_travel() -> None:
    """An event can be compared, hashed, copied and pickled, for a queue between."""
    one = event(id="tr_1")
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one
        assert hash(other) == hash(one)
    assert one != event(id="tr_2")
