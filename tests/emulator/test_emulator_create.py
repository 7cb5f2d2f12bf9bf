"""Creating sessions: the answer, and what the ledger says about it."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from attrs.exceptions import FrozenInstanceError
from support.shown import shows

from frame_async.emulator import Emulator, LedgerEntry
from frame_async.emulator.state.sessions import Session, Sessions

PATH = "/v1/payment_link_sessions"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
Connect = Callable[..., aiohttp.ClientSession]


async def create(http: aiohttp.ClientSession, body: object, **headers: str) -> dict[str, Any]:
    """Send a body that should be accepted; return the session object."""
    answer = await http.post(PATH, json=body, headers=headers)
    assert answer.status == 201, await answer.text()
    session: dict[str, Any] = await answer.json()
    return session


async def test_session_reads_as_in_the_reference(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A minimal request gives every field of the reference, in its order, and the address."""
    session = await create(http, order)
    assert UUID.fullmatch(session["id"])
    expected = {
        "id": session["id"],
        "customer_email": None,
        "payment_status": "unpaid",
        "phone_number_collection": False,
        "shipping_address_collection": False,
        "status": "open",
        "client_reference_id": None,
        "object": "payment_link.session",
        "expires": 1_800_086_400,
        "created": 1_800_000_000,
        "updated": 1_800_000_000,
        "livemode": False,
        "customer": None,
        "account": None,
        "payment_method": None,
        "url": f"{emulator.base_url}/pay/{session['id']}",
    }
    assert list(session.items()) == list(expected.items())


async def test_session_repeats_what_was_asked(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """What the request says of payer, reference and collection comes back in the answer."""
    asked = {
        "account": "acc_1",
        "customer_email": "a@example.com",
        "client_reference_id": "Bestellung №1",
        "phone_number_collection": True,
        "shipping_address_collection": True,
        "payment_method": "pm_1",
    }
    session = await create(http, order | asked | {"expires_in": 900})
    assert asked.items() <= session.items()
    assert session["expires"] - session["created"] == 900


async def test_customer_comes_back_too(http: aiohttp.ClientSession, order: dict[str, Any]) -> None:
    """A customer instead of an account comes back as such."""
    session = await create(http, order | {"customer": "cus_1"})
    assert (session["customer"], session["account"]) == ("cus_1", None)


async def test_ids_are_never_the_same(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """The same request sent twice makes two sessions, as at Frame."""
    first, second = await create(http, order), await create(http, order)
    assert first["id"] != second["id"]
    assert emulator.created() == (first["id"], second["id"])


async def test_created_can_be_asked_by_reference(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`created` tells the sessions of one reference, oldest first, and of no other."""
    ids = [
        (await create(http, order | {"client_reference_id": reference}))["id"]
        for reference in ("a", "b", "a")
    ]
    await create(http, order)
    assert emulator.created("a") == (ids[0], ids[2])
    assert emulator.created(reference="b") == (ids[1],)
    assert emulator.created("c") == ()
    assert len(emulator.created()) == 4


async def test_idempotency_key_is_ignored(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A repeated Idempotency-Key makes a second session, as at Frame, and is written down."""
    await create(http, order, **{"Idempotency-Key": "key-1"})
    await create(http, order, **{"Idempotency-Key": "key-1"})
    assert len(emulator.created()) == 2
    assert [entry.idempotency_key for entry in emulator.ledger] == ["key-1", "key-1"]


async def test_ledger_tells_the_whole_exchange(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The entry of a created session has everything a test could ask for."""
    body = {
        "line_items": [{"product": "p", "quantity_minimum": 1, "color": "red"}],
        "client_reference_id": "ref-1",
        "acount": "acc_1",
    }
    headers = {"Idempotency-Key": "key-1", "User-Agent": "a-test/1"}
    answer = await http.post(f"{PATH}?debug=1", json=body, headers=headers)
    session = await answer.json()
    assert emulator.ledger == (
        LedgerEntry(
            sequence=1,
            request_id=answer.headers["X-Request-Id"],
            received=1_800_000_000.25,
            method="POST",
            path=PATH,
            idempotency_key="key-1",
            client_reference_id="ref-1",
            body={
                "line_items": [{"product": "p", "quantity_minimum": 1, "color": "[hidden]"}],
                "client_reference_id": "ref-1",
                "acount": "[hidden]",
            },
            status=201,
            session_id=session["id"],
            replayed=False,
            unknown_fields=("acount", "line_items.0.color"),
            user_agent="a-test/1",
            key_mode="sandbox",
            key_suffix="ator",
        ),
    )


async def test_what_nobody_can_say_of_frame_is_remarked(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Null and an unknown kind of payment method are taken; the ledger says so, no value."""
    wallet = {"type": "apple_pay", "token": "Zyxwv"}
    body = {**order, "expires_in": None, "customer_email": None, "payment_method_data": wallet}
    answer = await http.post(PATH, json=body)
    assert answer.status == 201
    session = await answer.json()
    assert session["expires"] - session["created"] == 86_400
    (entry,) = emulator.ledger
    assert entry.remarks == (
        "expires_in is null: taken as not given, which Frame may see otherwise",
        "customer_email is null: taken as not given, which Frame may see otherwise",
        "payment_method_data of type apple_pay can't be paid with here",
    )
    assert "Zyxwv" not in str(entry)
    snapshot = await (await http.get("/_emulator/snapshot")).json()
    assert snapshot["sessions"][0]["not_payable"] == "apple_pay"
    assert snapshot["requests"][0]["remarks"] == list(entry.remarks)
    page = await (await http.get(f"/pay/{session['id']}")).text()
    assert "<code>apple_pay</code>, which can't be paid with here" in page
    assert LedgerEntry.load(json.loads(json.dumps(entry.dump()))) == entry


def test_of_a_foreign_payment_method_only_the_type_is_kept() -> None:
    """A session's state has the type, which comes back, and nothing else of the data."""
    wallet = {"type": "apple_pay", "token": "Zyxwv"}
    session = Sessions().create(
        {"line_items": [{"product": "p"}], "payment_method_data": wallet}, 0
    )
    assert "Zyxwv" not in str(session.dump())
    assert Session.load(session.dump()).not_payable == session.not_payable == "apple_pay"
    smuggled = {**session.dump(), "given": {"payment_method_data": wallet}}
    with pytest.raises(ValueError, match="payment_method_data is not a field that is kept"):
        Session.load(smuggled)


async def test_ledger_entries_are_hashable_and_frozen(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Entries go into sets, and nobody changes one by mistake."""
    await create(http, order)
    (entry,) = emulator.ledger
    assert len({entry, emulator.ledger[0]}) == 1
    with pytest.raises(FrozenInstanceError):
        entry.status = 500  # type: ignore[misc]


async def test_ledger_keeps_refusals_too(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Each request has its entry, with the status it got and no session when refused."""
    await http.post(PATH, json={"client_reference_id": 5})
    await http.post(PATH, json={"client_reference_id": "ref-1"})
    await http.post(PATH, json=[])
    await http.get("/v1/nothing")
    await http.delete(PATH)
    seen = [(e.sequence, e.method, e.status, e.client_reference_id) for e in emulator.ledger]
    assert seen == [
        (1, "POST", 422, None),
        (2, "POST", 422, "ref-1"),
        (3, "POST", 400, None),
        (4, "GET", 404, None),
        (5, "DELETE", 405, None),
    ]
    assert all(entry.session_id is None for entry in emulator.ledger)
    assert [entry.key_mode for entry in emulator.ledger] == ["sandbox"] * 3 + [None] * 2


async def test_ledger_can_be_bounded(connect: Connect, order: dict[str, Any]) -> None:
    """With a limit the ledger keeps the newest entries and goes on counting."""
    async with Emulator(limit=None, ledger_limit=2) as emulator, connect(emulator) as http:
        for _ in range(5):
            await create(http, order)
        assert [entry.sequence for entry in emulator.ledger] == [4, 5]
        assert len(emulator.created()) == 5


SECRETS: dict[str, dict[str, Any]] = {
    "in its place": {
        "payment_method_data": {
            "type": "card",
            "card_number": "4242424242424242",
            "exp_month": "12",
            "exp_year": "2030",
            "cvc": "987",
        }
    },
    "incomplete": {"payment_method_data": {"type": "card", "card_number": "4242424242424242"}},
    "no object": {"payment_method_data": "4242424242424242"},
    "misspelt": {"payment_methd_data": {"card_number": "4242424242424242"}},
    "in another field": {"payment_method": {"card_number": "4242424242424242"}},
    "in a list": {"customer": ["4242424242424242"]},
    "in an item": {"line_items": [{"product": {"card_number": "4242424242424242"}}]},
    "beside an item": {"line_items": [{"product": "p", "card_number": "4242424242424242"}]},
    "instead of an item": {"line_items": ["4242424242424242"]},
    "instead of items": {"line_items": {"card_number": "4242424242424242"}},
}


@pytest.mark.parametrize("where", SECRETS)
async def test_card_data_is_kept_nowhere(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A card number is in no ledger entry, answer, page or log, wherever it was put."""
    caplog.set_level(0)
    answer = await http.post(PATH, json=order | SECRETS[where])
    text = await answer.text()
    kept = repr(emulator.ledger) + text + caplog.text
    for session_id in emulator.created():
        page = await (await http.get(f"/pay/{session_id}")).text()
        kept += page.replace("4242 4242 4242 4242", "the sample that is on every page")
    assert "4242424242424242" not in kept
    assert not shows(kept, "4242")
    assert not shows(json.dumps(emulator.ledger[0].body), "987")
    assert "[hidden]" in repr(emulator.ledger[0].body)


async def test_every_answer_has_a_request_id(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Created, refused, unknown or a page: each answer has an id of its own, as in the ledger."""
    answers = [
        await http.post(PATH, json=order),
        await http.post(PATH, json={}),
        await http.get("/v1/nothing"),
        await http.get("/pay/nothing"),
    ]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == 4
    assert [entry.request_id for entry in emulator.ledger] == ids


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("POST", f"{PATH}/", 404),
        ("GET", f"{PATH}/some-id", 404),
        ("POST", "/payment_link_sessions", 404),
        ("GET", "/v1", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/pay/some-id", 405),
    ],
)
async def test_other_calls_are_refused_in_the_envelope(
    http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """A path that is not there is 404, a method that it does not take 405 with Allow."""
    answer = await http.request(method, path)
    assert answer.status == status
    assert (await answer.json())["error"]["type"] == "invalid_request_error"
    allowed = {PATH: "POST", "/pay/some-id": "GET, HEAD, POST"}
    assert answer.headers.get("Allow") == (allowed[path] if status == 405 else None)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("application/json ;x=y", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_body_must_be_called_json(
    http: aiohttp.ClientSession, order: dict[str, Any], content_type: str, status: int
) -> None:
    """Only a JSON content type is taken, whatever its case and parameters; others get 415."""
    data = json.dumps(order).encode()
    answer = await http.post(PATH, data=data, headers={"Content-Type": content_type})
    assert answer.status == status


async def test_latency_holds_the_answer_back_not_the_session(
    connect: Connect, order: dict[str, Any]
) -> None:
    """A client that gives up waiting leaves a session behind, in the books at once."""
    async with Emulator(latency=30) as emulator, connect(emulator) as http:
        with pytest.raises(TimeoutError):
            await http.post(PATH, json=order, timeout=aiohttp.ClientTimeout(total=0.2))
        assert len(emulator.created()) == 1
        assert emulator.ledger[0].status == 201


async def test_latency_is_waited_for(connect: Connect, order: dict[str, Any]) -> None:
    """Each answer, a refusal too, takes at least the latency."""
    async with Emulator(latency=0.2) as emulator, connect(emulator) as http:
        for body in (order, {}):
            shorter = asyncio.create_task(asyncio.sleep(0.19))
            await http.post(PATH, json=body)
            assert shorter.done()
