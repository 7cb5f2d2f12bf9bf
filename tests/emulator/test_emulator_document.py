"""The OpenAPI document: the emulator keeps to it, and so do the client's classes.

The client and the emulator share no code. Here they meet, over the wire and in the document.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
import schemathesis
from attrs import fields_dict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from frame_async import (
    BankAccount,
    Card,
    FrameClient,
    LineItem,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    ValidationError,
)
from frame_async.emulator import Emulator
from frame_async.stores import MemoryStore

PATH = "/v1/payment_link_sessions"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEY = {"Authorization": "Bearer sk_sandbox_emulator"}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """An emulator on a loop of its own, for tools that are not asynchronous."""
    loop, emulator = asyncio.new_event_loop(), Emulator(limit=None, ledger_limit=1000)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(emulator.start(), loop).result(10)
    yield emulator.base_url
    asyncio.run_coroutine_threadsafe(emulator.aclose(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


UNSAYABLE = {
    "must be an integer",  # 900.0 is one for JSON Schema, and none for a strict reader
    "must be greater than or equal to quantity_minimum",
    "must be an HTTP(S) URL",  # a pattern is no parser
    "must be valid Unicode",
}
"""What the emulator finds wrong and no schema can say."""


def messages_in(problems: Any) -> Iterator[str]:
    """Every message of an error envelope."""
    for problem in problems.values() if isinstance(problems, dict) else problems:
        if isinstance(problem, str):
            yield problem
        else:
            yield from messages_in(problem)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_schemathesis_finds_nothing(base_url: str, mode: GenerationMode) -> None:
    """Whatever fits the document is created or refused as it says, and so is what does not."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    case = schema[PATH]["POST"].as_strategy(generation_mode=mode)
    answered: set[int] = set()

    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=case)
    def run(case: Any) -> None:
        response = case.call(headers=KEY)
        answered.add(response.status_code)
        case.validate_response(response, headers=KEY, excluded_checks=[positive_data_acceptance])
        if mode is GenerationMode.POSITIVE and response.status_code == 422:
            details = response.json()["error_details"]
            del details["message"]
            assert set(messages_in(details)) <= UNSAYABLE

    run()
    assert (201 if mode is GenerationMode.POSITIVE else 422) in answered


async def document_of(http: aiohttp.ClientSession) -> dict[str, Any]:
    """The document, as it is served."""
    answer = await http.get("/openapi.json")
    assert answer.content_type == "application/json"
    document: dict[str, Any] = await answer.json()
    return document


@pytest.fixture
async def schemas(http: aiohttp.ClientSession) -> dict[str, Any]:
    """The schemas of the document."""
    schemas: dict[str, Any] = (await document_of(http))["components"]["schemas"]
    return schemas


async def test_it_is_a_document_of_openapi_3_1(http: aiohttp.ClientSession) -> None:
    """It says its version, the call, the key it asks for, and every status."""
    document = await document_of(http)
    assert document["openapi"] == "3.1.0"
    operation = document["paths"][PATH]["post"]
    assert {"201", "400", "401", "422", "429"} <= set(operation["responses"])
    assert document["security"] == [{"key": []}]
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": DIALECT} | schema)


async def test_its_example_is_accepted(http: aiohttp.ClientSession) -> None:
    """The example creates a session whose every field is in the document."""
    document = await document_of(http)
    example = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"][
        "example"
    ]
    answer = await http.post(PATH, json=example)
    session = await answer.json()
    assert answer.status == 201
    assert list(session) == document["components"]["schemas"]["PaymentLinkSession"]["required"]


def test_the_client_knows_the_same_fields(base_url: str) -> None:
    """Requests, line items and payment methods have just the document's fields."""
    schemas = schemathesis.openapi.from_url(f"{base_url}/openapi.json").raw_schema
    request = schemas["components"]["schemas"]["PaymentLinkSessionRequest"]["properties"]
    assert set(fields_dict(PaymentLinkSessionRequest)) - {"extra"} == set(request)
    assert set(fields_dict(LineItem)) == set(request["line_items"]["items"]["properties"])
    kinds = {
        kind["properties"]["type"]["const"]: set(kind["properties"])
        for kind in request["payment_method_data"]["oneOf"]
        if "const" in kind.get("properties", {}).get("type", {})
    }
    assert kinds == {"card": set(fields_dict(Card)), "ach": set(fields_dict(BankAccount))}
    session = schemas["components"]["schemas"]["PaymentLinkSession"]["properties"]
    assert set(session) <= set(fields_dict(PaymentLinkSession))


TEXTS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20
)
COUNTS = st.integers(0, 10**6)
ITEMS = st.builds(LineItem, product=TEXTS, quantity_minimum=COUNTS) | st.builds(
    LineItem, product=TEXTS, quantity_maximum=COUNTS
)
METHODS = st.builds(
    Card, card_number=TEXTS, exp_month=st.just("12"), exp_year=st.just("2030"), cvc=TEXTS
) | st.builds(
    BankAccount,
    account_type=st.sampled_from(["checking", "savings"]),
    account_number=TEXTS,
    routing_number=TEXTS,
)


@st.composite
def requests(draw: st.DrawFn) -> PaymentLinkSessionRequest:
    """A request that the client lets through."""

    def maybe(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | values)

    owner = draw(st.sampled_from(["customer", "account", "customer_email", ""]))
    owned = owner in ("customer", "account")
    owners = {owner: draw(TEXTS)} if owner else {}
    if owner == "customer_email":
        owners = {owner: "payer@example.com"}
    urls = st.sampled_from(["https://shop.example/ok?a=1#b", "http://localhost:8000/"])
    return PaymentLinkSessionRequest(
        line_items=draw(st.lists(ITEMS, min_size=1, max_size=3)),
        client_reference_id=maybe(TEXTS),
        success_url=maybe(urls),
        cancel_url=maybe(urls),
        expires_in=maybe(st.integers(900, 86_400)),
        phone_number_collection=maybe(st.booleans()),
        shipping_address_collection=maybe(st.booleans()),
        payment_method=maybe(TEXTS) if owned else None,
        payment_method_data=maybe(METHODS),
        **owners,  # type: ignore[arg-type]
    )


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(requests(), min_size=5, max_size=8))
def test_what_the_client_sends_fits_the_document(
    base_url: str, made: list[PaymentLinkSessionRequest]
) -> None:
    """Every request that the client's classes let through fits the document, and is created."""
    asyncio.run(_create_and_compare(base_url, made))


async def _create_and_compare(base_url: str, made: list[PaymentLinkSessionRequest]) -> None:
    async with (
        FrameClient(
            "sk_sandbox_emulator", base_url=base_url, rate_limit=None, store=MemoryStore()
        ) as frame,
        aiohttp.ClientSession(base_url) as http,
    ):
        validator = validator_of((await document_of(http))["components"]["schemas"])
        for request in made:
            session = await frame.payment_link_sessions.create(request)
            ledger = await (await http.get("/_emulator/ledger?limit=1")).json()
            (entry,) = ledger["entries"]
            assert (entry["session_id"], entry["unknown_fields"]) == (session.id, [])
            entry["body"].pop("payment_method_data", None)  # hidden, and judged by the emulator
            validator.validate(entry["body"])


def validator_of(schemas: dict[str, Any]) -> jsonschema_rs.Validator:
    """What judges the body of a request by the document."""
    schema = {"$ref": "#/components/schemas/PaymentLinkSessionRequest"}
    return jsonschema_rs.validator_for(schema | {"components": {"schemas": schemas}})


async def test_what_the_document_refuses_the_client_refuses(schemas: dict[str, Any]) -> None:
    """Each way to break the document is one that the client's classes know too."""
    line = {"line_items": [{"product": "p"}]}
    broken: list[dict[str, Any]] = [
        {"line_items": []},
        {"line_items": [{"product": ""}]},
        {"line_items": [{"product": "p", "quantity_minimum": -1}]},
        line | {"customer": "c", "account": "a"},
        line | {"customer": "c", "customer_email": "a@example.com"},
        line | {"payment_method": "pm"},
        line | {"expires_in": 899},
        line | {"expires_in": 86_401},
        line | {"expires_in": True},
        line | {"success_url": "ftp://shop.example"},
        line | {"cancel_url": "/back"},
        line | {"client_reference_id": ""},
        line | {"client_reference_id": 5},
        line | {"phone_number_collection": "yes"},
    ]
    validator = validator_of(schemas)
    for body in broken:
        assert not validator.is_valid(body), body
        with pytest.raises(ValidationError):
            items = [LineItem(**item) for item in body["line_items"]]
            PaymentLinkSessionRequest(**{**body, "line_items": items})


async def test_the_page_shows_every_field_and_status(http: aiohttp.ClientSession) -> None:
    """The rendered document has all fields, rules and statuses of the other."""
    document = await document_of(http)
    html = await (await http.get("/docs")).text()
    schemas = document["components"]["schemas"]
    for name in (
        *schemas["PaymentLinkSessionRequest"]["properties"],
        *schemas["PaymentLinkSession"]["properties"],
    ):
        assert f"<code>{name}</code>" in html
    for status in document["paths"][PATH]["post"]["responses"]:
        assert f">{status}</span>" in html
    assert "integer or null, from 900 to 86400; 86400 if absent" in html
    assert json.dumps("validation_error").replace('"', "&quot;") in html
