"""Events say what Frame publishes, and more only where an assumption of that name is made."""

import asyncio
import itertools
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from support.shops import HOOK_SECRET, open_shop

from frame_async.emulator import Emulator
from frame_async.emulator.webhooks.published import ASSUMPTIONS

PATH = "/v1/payment_link_sessions"
FORM = {"email": "ada@mail.example", "card_expiry": "12/34", "card_cvc": "123"}
PAYS, DECLINES = "4242424242424242", "4726843338079575"
ORDER = {
    "line_items": [{"product": "prod_1"}],
    "client_reference_id": "order-42",
    "account": "acc_1",
}
PLAIN = {"line_items": [{"product": "prod_1"}]}
PUBLISHED = {
    "id",
    "object",
    "amount",
    "status",
    "metadata",
    "charge_intent",
    "account",
    "account_id",
    "reference",
    "failure_reason",
}


async def events_of(
    card: str, *assumed: str, order: dict[str, Any] = ORDER
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Create a session and pay it; its id, and the data of the events by their type."""
    async with (
        open_shop() as shop,
        Emulator(webhooks=[(f"{shop.url}/hook", HOOK_SECRET)], assume=assumed) as emulator,
        aiohttp.ClientSession(emulator.base_url) as http,
    ):
        key = {"Authorization": f"Bearer {emulator.api_key}"}
        session = await (await http.post(PATH, json=order, headers=key)).json()
        form = {**FORM, "card_number": card}
        await http.post(f"/pay/{session['id']}", data=form, allow_redirects=False)
        await emulator.webhooks.settled()
        return session["id"], {event["type"]: event["data"] for event in shop.events}


@pytest.mark.parametrize(
    ("card", "name", "status", "reason"),
    [
        (PAYS, "transfer.succeeded", "succeeded", None),
        (DECLINES, "transfer.failed", "failed", "stolen_card"),
    ],
)
async def test_a_transfer_has_the_published_fields(
    card: str, name: str, status: str, reason: str | None
) -> None:
    """By default a transfer has what Frame publishes, and nothing of the session or the order."""
    session_id, events = await events_of(card)
    data = events[name]
    assert set(data) == PUBLISHED
    assert (data["status"], data["failure_reason"]) == (status, reason)
    assert (data["account"], data["account_id"], data["reference"]) == ("acc_1", "acc_1", None)
    assert data["metadata"] == {}
    assert session_id not in str(events)
    assert "order-42" not in str(events)


async def test_the_charge_intent_is_the_one_that_the_transfer_names() -> None:
    """The two events of one payment belong together by the charge intent's id."""
    _, events = await events_of(PAYS)
    charge = events["charge_intent.succeeded"]
    assert events["transfer.succeeded"]["charge_intent"] == charge["id"]
    assert charge["account"] == {"id": "acc_1", "object": "account"}
    assert charge["customer"] is None


async def test_a_created_link_is_none_of_the_sessions() -> None:
    """By default payment_link.created has a link of the dashboard, by an id of its own."""
    session_id, events = await events_of(PAYS)
    link = events["payment_link.created"]
    assert {"id", "name", "status", "link_id"} <= set(link)
    assert link["object"] == "payment_link"
    assert session_id not in str(link)


async def test_the_reference_may_be_assumed_in_metadata() -> None:
    """With reference-in-metadata, transfer and charge intent have it there and nowhere else."""
    session_id, events = await events_of(PAYS, "reference-in-metadata")
    for name in ("transfer.succeeded", "charge_intent.succeeded"):
        assert events[name].pop("metadata") == {"client_reference_id": "order-42"}
    assert "order-42" not in str(events)
    assert session_id not in str(events)


async def test_without_a_reference_metadata_stays_empty() -> None:
    """A session without a reference leaves nothing to put into metadata."""
    order = {"line_items": ORDER["line_items"]}
    _, events = await events_of(PAYS, "reference-in-metadata", order=order)
    data = events["transfer.succeeded"]
    assert (data["metadata"], data["account"], data["account_id"]) == ({}, None, None)


async def test_the_reference_may_be_assumed_in_the_transfer() -> None:
    """With client-reference-id-in-transfer, the transfer has the field and nothing else has."""
    session_id, events = await events_of(PAYS, "client-reference-id-in-transfer")
    assert events["transfer.succeeded"].pop("client_reference_id") == "order-42"
    assert "order-42" not in str(events)
    assert session_id not in str(events)


async def test_events_may_be_assumed_to_tell_of_sessions() -> None:
    """With session-events, the session itself is announced, and payments name it."""
    session_id, events = await events_of(PAYS, "session-events")
    assert events["payment_link.created"]["id"] == session_id
    assert events["payment_link.created"]["object"] == "payment_link.session"
    for name in ("transfer.succeeded", "charge_intent.succeeded"):
        assert events[name]["payment_link_session"] == session_id
    assert set(events["transfer.succeeded"]) == {*PUBLISHED, "payment_link_session"}


@pytest.mark.parametrize(
    "assumed",
    [each for n in range(4) for each in itertools.combinations(sorted(ASSUMPTIONS), n)],
    ids=" ".join,
)
async def test_events_are_those_of_the_document(assumed: tuple[str, ...]) -> None:
    """Whatever is assumed, each event fits what the document says of it, to the last field."""
    async with Emulator(assume=assumed) as emulator, aiohttp.ClientSession() as http:
        document = await (await http.get(f"{emulator.base_url}/openapi.json")).json()
        page = await (await http.get(f"{emulator.base_url}/docs")).text()
    seen = set[str]()
    orders: list[dict[str, Any]] = [ORDER, PLAIN]
    for card, order in itertools.product((PAYS, DECLINES), orders):
        _, events = await events_of(card, *assumed, order=order)
        for name, data in events.items():
            body = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
            described = body["schema"]["properties"]["data"]
            whole = {**described, "components": document["components"]}
            assert jsonschema_rs.is_valid(whole, data), (name, data)
            assert "$ref" in described or set(described["properties"]) == set(data)
            seen.add(name)
    assert seen == set(document["webhooks"])
    assert all(f"<code>{name}</code>" in page for name in seen)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["reference-in-metdata"], "did you mean reference-in-metadata"),
        (["zzz"], "known are reference-in-metadata, client-reference-id-in-transfer, session"),
    ],
)
def test_an_unknown_assumption_is_refused(wrong: list[str], said: str) -> None:
    """A name that there is not is refused, with the ones that come near it."""
    with pytest.raises(ValueError, match=said):
        Emulator(assume=wrong)


@pytest.mark.parametrize("wrong", ["session-events", [5]])
def test_assumptions_are_a_set_of_names(wrong: Any) -> None:
    """One text, which would be taken letter by letter, is refused as a type."""
    with pytest.raises(TypeError, match="assume must be a set of names"):
        Emulator(assume=wrong)


async def test_assumptions_are_shown() -> None:
    """Dashboard and document say which assumptions are made, and the document which exist."""
    async with (
        Emulator(assume={"session-events"}) as emulator,
        aiohttp.ClientSession(emulator.base_url) as http,
    ):
        paths = ("/_emulator/snapshot", "/openapi.json")
        answers = await asyncio.gather(*(http.get(path) for path in paths))
        snapshot, document = [await answer.json() for answer in answers]
        page = await (await http.get("/docs")).text()
    assert snapshot["settings"]["assumed"] == ["session-events"]
    told = {each["name"]: each["assumed"] for each in document["info"]["x-assumptions"]}
    assert told == {
        "reference-in-metadata": False,
        "client-reference-id-in-transfer": False,
        "session-events": True,
    }
    assert "`session-events`" in document["info"]["description"]
    assert "<code>session-events</code>" in page
