"""Sessions as they are kept: dumped and loaded, paid and settled."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from support.insides import only_session_of, sessions_of
from support.shops import open_shop

from frame_async.emulator import Emulator
from frame_async.emulator.state.sessions import Session

PATH = "/v1/payment_link_sessions"
FORM = {
    "email": "ada@example.com",
    "phone": "+1 202 555 0123",
    "ship_name": "Ada",
    "ship_line1": "1 Way",
    "ship_city": "Turin",
    "ship_postal_code": "10100",
    "ship_country": "Italy",
    "method": "bank",
    "routing_number": "110000000",
    "account_number": "000222222227",
}
BODY = {
    "line_items": [{"product": "prod_1", "quantity_maximum": 3}, {"product": "prod_2"}],
    "client_reference_id": "order-1",
    "success_url": "http://shop.example/?a=1",
    "cancel_url": "http://shop.example/cart",
    "phone_number_collection": True,
    "shipping_address_collection": True,
    "payment_method_data": {"type": "card", "card_number": "1"},
}
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def dumped() -> dict[str, Any]:
    """A dump of a session with a bank payment in progress."""
    return {
        "id": "60574c6d-2f16-4b03-a852-079fffd087db",
        "created": 1_800_000_000,
        "expires": 1_800_086_400,
        "line_items": [{"product": "prod_1"}],
        "given": {"client_reference_id": "order-1", "success_url": "http://shop.example"},
        "updated": 1_800_000_001,
        "state": "complete",
        "payment_status": "processing",
        "order": {
            "quantities": [1],
            "amount": 5200,
            "method": "bank",
            "email": "ada@example.com",
            "phone": None,
            "shipping": {"city": "Turin"},
        },
        "transfer": {"id": "t-1", "settles": 1_800_000_002.5, "failure_code": "account_closed"},
    }


async def test_dump_and_load(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """What is dumped is JSON, and loads to the same session, in every state on the way."""
    body = {**BODY, "payment_method_data": {"type": "ach"}}
    del body["payment_method_data"]
    url = (await (await http.post(PATH, json=body)).json())["url"]
    session = only_session_of(emulator)
    seen = []
    for form in ({"action": "update"}, FORM):
        await http.post(url, data=form, allow_redirects=False)
        text = json.dumps(session.dump(), allow_nan=False)
        loaded = Session.load(json.loads(text))
        assert loaded.dump() == session.dump()
        assert loaded.as_json(0) == session.as_json(0)
        assert (loaded.success_url, loaded.cancel_url) == (BODY["success_url"], BODY["cancel_url"])
        assert FORM["account_number"] not in text
        seen.append(loaded.payment_status)
    assert seen == ["unpaid", "processing"]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("id", 1, "id"),
        ("created", "1", "created"),
        ("created", None, "created"),
        ("line_items", [], "line_items"),
        ("line_items", {}, "line_items"),
        ("given", None, "given"),
        ("given", {"card_number": "4242"}, "given.card_number"),
        ("given", {"success_url": "javascript:alert(1)"}, "success_url"),
        ("state", "paid", "state"),
        ("payment_status", "open", "payment_status"),
        ("order", None, "order"),
        ("order", [], "order"),
        ("transfer", None, "transfer"),
        ("order.quantities", [1, 1], "quantities"),
        ("order.quantities", [-1], "quantities"),
        ("order.amount", 1.5, "amount"),
        ("order.method", "cash", "method"),
        ("order.shipping", {"city": 1}, "shipping"),
        ("transfer.settles", None, "settles"),
        ("transfer.settles", "soon", "settles"),
        ("transfer.failure_code", 3, "failure_code"),
    ],
)
def test_what_is_no_dump(dumped: dict[str, Any], path: str, value: Any, named: str) -> None:
    """A dump that someone has damaged is refused, by the name of what is wrong."""
    *way, last = path.split(".")
    place = dumped
    for part in way:
        place = place[part]
    place[last] = value
    with pytest.raises(ValueError, match=named):
        Session.load(dumped)
    del place[last]
    with pytest.raises(ValueError, match=last):
        Session.load(dumped)


async def test_loaded_payment_goes_on(dumped: dict[str, Any], clock: Any, until: Until) -> None:
    """A bank payment that was in progress when its session was dumped ends after loading."""
    async with open_shop() as shop:
        clock.now = 1_800_000_002.0
        emulator = Emulator(clock=clock, webhooks=(f"{shop.url}/hook",))
        sessions_of(emulator).add(Session.load(dumped))
        session = only_session_of(emulator)
        async with emulator:
            await asyncio.sleep(0)
            assert session.payment_status == "processing"
            clock.now += 1
            await until(lambda: session.payment_status == "failed")
            await emulator.webhooks.settled()
        event = json.loads(shop.deliveries[0][1])
    assert (event["type"], event["data"]["id"]) == ("transfer.failed", "t-1")
    assert event["data"]["failure_reason"] == "account_closed"
    assert emulator.created("order-1") == (dumped["id"],)


async def test_payment_in_progress_survives_a_restart(
    http: aiohttp.ClientSession, emulator: Emulator, clock: Any, until: Until
) -> None:
    """A closed emulator settles nothing; started again it does."""
    url = (await (await http.post(PATH, json={"line_items": [{"product": "p"}]})).json())["url"]
    await http.post(url, data={**FORM, "account_number": "000123456789"})
    session = only_session_of(emulator)
    assert session.payment_status == "processing"
    await emulator.aclose()
    clock.now += 3600
    await asyncio.sleep(0.1)
    assert session.payment_status == "processing"
    async with emulator:
        await until(lambda: session.payment_status == "paid")


async def test_forgotten_session_is_not_settled(
    http: aiohttp.ClientSession, emulator: Emulator, clock: Any, until: Until
) -> None:
    """A session that was cleared away while its bank payment was on the way causes no event."""
    url = (await (await http.post(PATH, json={"line_items": [{"product": "p"}]})).json())["url"]
    await http.post(url, data=FORM)
    session = only_session_of(emulator)
    sessions_of(emulator).clear()
    again = (await (await http.post(PATH, json={"line_items": [{"product": "p"}]})).json())["url"]
    clock.now += 1
    await http.post(again, data=FORM)
    clock.now += 3600
    await until(lambda: only_session_of(emulator).payment_status == "failed")
    assert session.payment_status == "processing"


async def test_bank_delay_of_nothing(order: dict[str, Any], until: Until, clock: Any) -> None:
    """With no delay a bank payment is processing for a moment only, even if time stands still."""
    async with (
        Emulator(limit=None, bank_delay=0, clock=clock) as emulator,
        aiohttp.ClientSession(headers={"Authorization": "Bearer sk_sandbox_1"}) as http,
    ):
        answer = await http.post(f"{emulator.base_url}{PATH}", json=order)
        await http.post((await answer.json())["url"], data=FORM)
        session = only_session_of(emulator)
        await until(lambda: session.payment_status == "failed")
