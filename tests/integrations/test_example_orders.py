"""The example shops' orders: what ties a payment to one, and what is left to a person."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frame_async.webhooks import Event, EventType

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The shops' orders, in a file of the test's."""
    monkeypatch.syspath_prepend(EXAMPLES)
    from shop_orders import Orders  # type: ignore[import-not-found]  # no package

    opened = Orders(str(tmp_path / "shop.sqlite"))
    yield opened
    opened.close()
    del sys.modules["shop_orders"]


def landed(event_id: str = "evt_1", **data: Any) -> Event:
    """A payment that landed."""
    return Event(id=event_id, type=EventType.TRANSFER_SUCCEEDED, data=data)


def status(orders: Any, number: str) -> str:
    """How an order stands."""
    found: str = orders.get(number).status
    return found


@pytest.mark.parametrize(
    "naming",
    [
        lambda number: {"reference": number},
        lambda number: {"metadata": {"anything": number}},
        lambda number: {"client_reference_id": number},
        lambda _: {"payment_link_session": "ses_1"},
        lambda number: {"client_reference_id": number, "payment_link_session": "ses_1"},
    ],
)
def test_whatever_names_the_order_makes_it_paid(
    orders: Any, naming: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order is found by its number or its session, wherever the event has it; once."""
    number = orders.add("prod_3")
    orders.add("prod_3")
    orders.opened(number, "ses_1")
    event = landed(**naming(number), charge_intent="ci_1")
    for _ in range(2):  # a handler that was cut off runs again
        orders.receive(event)
    assert (orders.order_of(event), status(orders, number)) == (number, "paid")
    assert orders.unmatched() == []
    assert capsys.readouterr().out == f"{number} is paid: ship it\n"


def test_several_orders_are_never_guessed(orders: Any) -> None:
    """A payment that names two orders pays neither; a person sees both names, and the amount."""
    first, second = sorted([orders.add("prod_3"), orders.add("prod_3")])
    event = landed(reference=first, metadata={"order": second}, amount=4_200, id="tr_1")
    orders.receive(event)
    assert orders.order_of(event) is None
    assert (status(orders, first), status(orders, second)) == ("open", "open")
    ((event_id, why, known),) = orders.unmatched()
    assert (event_id, why) == ("evt_1", "it names no order, or several")
    assert json.loads(known) == {
        "type": "transfer.succeeded",
        "created": "None",
        "id": "tr_1",
        "amount": 4_200,
        "references": {"data.reference": first, "data.metadata.order": second},
        "orders": [first, second],
    }


@pytest.mark.parametrize("data", [{}, {"reference": "order-x"}, {"charge_intent": "ci_1"}])
def test_a_payment_that_names_no_order_is_listed_once(orders: Any, data: dict[str, Any]) -> None:
    """A payment without an order changes none, and a repeated delivery is one line."""
    number = orders.add("prod_3")
    for _ in range(2):
        orders.receive(landed(**data))
    assert status(orders, number) == "open"
    assert len(orders.unmatched()) == 1


def test_a_second_payment_of_an_order_is_for_a_person(orders: Any) -> None:
    """Another payment that names a paid order isn't swallowed: somebody may get money back."""
    number = orders.add("prod_3")
    orders.receive(landed("evt_1", reference=number))
    orders.receive(landed("evt_2", reference=number))
    ((event_id, why, _),) = orders.unmatched()
    assert (event_id, why) == ("evt_2", "its order is paid already, by another payment")


def test_returned_is_not_paid(orders: Any) -> None:
    """A payer who came back makes an open order returned; the payment makes it paid, for good."""
    number = orders.add("prod_3")
    orders.opened(number, "ses_1")
    orders.returned(number)
    assert status(orders, number) == "returned"
    orders.cancelled("ses_1")  # an old address, opened again
    assert (status(orders, number), orders.get(number).key) == ("returned", number)
    orders.receive(landed(reference=number))
    orders.returned(number)
    assert status(orders, number) == "paid"


def test_a_payer_who_waits_for_a_payment_that_failed(orders: Any) -> None:
    """A bank may refuse after the payer came back: a person is told; before, the payer pays on."""
    number = orders.add("prod_3")
    failure = Event(id="evt_1", type=EventType.TRANSFER_FAILED, data={"reference": number})
    nameless = Event(id="evt_2", type=EventType.TRANSFER_FAILED, data={"charge_intent": "ci_1"})
    orders.failed(failure)
    orders.failed(nameless)
    assert (status(orders, number), orders.unmatched()) == ("open", [])
    orders.returned(number)
    for event in (failure, nameless, failure):
        orders.failed(event)
    ((event_id, why, known),) = orders.unmatched()
    assert (event_id, why) == ("evt_1", "it failed, and its payer came back and waits")
    assert json.loads(known)["orders"] == [number]
    assert status(orders, number) == "returned"
    orders.receive(landed("evt_3", reference=number))
    orders.failed(Event(id="evt_4", type=EventType.TRANSFER_FAILED, data={"reference": number}))
    assert (status(orders, number), len(orders.unmatched())) == ("paid", 1)
