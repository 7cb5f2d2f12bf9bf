"""Any other path of the API, through the same engine."""

import json
import traceback
from decimal import Decimal
from typing import Any

import pytest
from support.faults import FaultServer, answer, cut_answer, framed, lose_request, refusal

from frame_async import (
    FrameClient,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RequestRefusedError,
    RetryPolicy,
    ValidationError,
)
from frame_async.emulator import Emulator
from frame_async.errors import (
    ConfigurationError,
    IdempotencyConflictError,
    NotFoundError,
    SessionUnreadableError,
    UnreadableError,
    WindowFullError,
)
from frame_async.stores import MemoryStore

MUG = {"name": "Mug", "description": "Blue", "default_price": 3250, "purchase_type": "one_time"}
QUICK = RetryPolicy(backoff=0.0, jitter=0.0, not_sent_backoff=0.0)


def connect(server: FaultServer, **options: Any) -> FrameClient:
    """A client of a fault server, without a rate limit."""
    options = {"rate_limit": None, "store": MemoryStore(), "retry": QUICK} | options
    return FrameClient("sk_sandbox_1", base_url=server.url, **options)


def shown_of(error: Exception) -> str:
    """What an error and the library's own frames show, with variables."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [str(each.locals) for each in trace.stack if "/frame_async/" in each.filename]
    return "".join(ours) + str(error)


async def test_create_read_and_list(frame: FrameClient) -> None:
    """What is created is read and listed, each with the record of its call."""
    made = await frame.request("POST", "/v1/products", json=MUG)
    assert made.data["name"] == made["name"] == "Mug"
    assert made.call.attempts[0].status == 201
    read = await frame.request("GET", f"/v1/products/{made['id']}")
    assert read.data == made.data
    listed = await frame.request("GET", "/v1/products", params={"per_page": 5, "page": None})
    assert [each["id"] for each in listed["data"]] == [made["id"]]


async def test_pages(frame: FrameClient) -> None:
    """All objects come, page after page, newest first."""
    for number in range(7):
        person = {"name": f"n{number}", "email": "a@b.example"}
        await frame.request("POST", "/v1/customers", json=person)
    names = [each["name"] async for each in frame.pages("/v1/customers", params={"per_page": 3})]
    assert names == [f"n{number}" for number in reversed(range(7))]
    assert [each async for each in frame.pages("/v1/products")] == []


async def test_pages_that_never_end() -> None:
    """A server that always has more, and answers the same, ends the pages by an error."""
    page = framed(b'{"data": [{"id": "a"}], "meta": {"has_more": true}}')
    seen: list[str] = []
    async with FaultServer.playing(answer(page, page)) as server, connect(server) as frame:
        with pytest.raises(UnreadableError, match="is the same on page 2 as on the page before"):
            async for each in frame.pages("/v1/products"):
                seen.append(each["id"])  # noqa: PERF401  # what came before the error counts
    assert seen == ["a"]


async def test_what_is_not_there(frame: FrameClient) -> None:
    """A 404 is an error with the server's words, in Frame's envelope."""
    for path in ("/v1/products/nobody", "/v1/transfers", "/v1/customers/1/cards"):
        with pytest.raises(NotFoundError, match="it was refused: HTTP 404"):
            await frame.request("GET", path)
    with pytest.raises(RequestRefusedError, match="must be filled"):
        await frame.request("POST", "/v1/products", json={"name": "Mug"})


async def test_reading_is_repeated_freely() -> None:
    """A GET whose answer is lost is asked again, whatever the policy, and makes no duplicate."""
    policy = RetryPolicy(on_unknown="raise", backoff=0.0, jitter=0.0)
    plays = (lose_request(), cut_answer(0), answer(framed(b'{"a": 1}', status="200 OK")))
    async with FaultServer.playing(*plays) as server, connect(server, retry=policy) as frame:
        read = await frame.request("GET", "/v1/products", params={"q": "a b&c", "live": True})
    assert read.data == {"a": 1}
    assert len(server.ledger) == 3
    assert read.call.possible_duplicates == 0
    assert server.ledger[0].received.startswith(b"GET /v1/products?q=a%20b%26c&live=true HTTP/1.1")


async def test_reading_in_vain() -> None:
    """A GET that never has an answer says so, and admits no duplicate."""
    once = RetryPolicy(max_retries=1, backoff=0.0, jitter=0.0)
    async with FaultServer.playing(lose_request(), lose_request()) as server:
        async with connect(server, retry=once) as frame:
            with pytest.raises(OutcomeUnknownError, match=r"^no answer came: ") as failed:
                await frame.request("GET", "/v1/products")
    assert failed.value.call.possible_duplicates == 0


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_writing_goes_by_the_outcome(method: str) -> None:
    """What may have taken effect is admitted, and not repeated where the policy says so."""
    policy = RetryPolicy(on_unknown="raise")
    async with FaultServer.playing(cut_answer(0)) as server, connect(server, retry=policy) as frame:
        with pytest.raises(OutcomeUnknownError, match=r"^it may have taken effect: ") as failed:
            await frame.request(method, "/v1/products/p_1", json={"name": "Cup"})
    assert failed.value.call.possible_duplicates == 1
    assert len(server.ledger) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_is_sent_again_by_aiohttp_is_admitted(method: str) -> None:
    """Aiohttp sends an idempotent method (RFC 9110 9.2.2) twice by itself: both are counted."""
    once = RetryPolicy(on_unknown="raise")
    lost = (cut_answer(0), cut_answer(0))
    async with FaultServer.playing(*lost) as server, connect(server, retry=once) as frame:
        with pytest.raises(OutcomeUnknownError) as failed:
            await frame.request(method, "/v1/products/p_1")
    assert failed.value.call.possible_duplicates == len(server.ledger)


async def test_a_key_of_ones_own() -> None:
    """The same key with the same request replays its answer; with another one, it conflicts."""
    made = framed(b'{"id": "p_1"}')
    async with FaultServer.playing(answer(made, made)) as server, connect(server) as frame:
        first = await frame.request("POST", "/v1/products", json=MUG, idempotency_key="mug")
        again = await frame.request("POST", "/v1/products", json=MUG, idempotency_key="mug")
        assert (again.data, again.call.replayed) == (first.data, True)
        for path, body in (("/v1/products", {**MUG, "name": "Cup"}), ("/v1/customers", MUG)):
            with pytest.raises(IdempotencyConflictError):
                await frame.request("POST", path, json=body, idempotency_key="mug")
    assert len(server.ledger) == 1


async def test_answers_without_json() -> None:
    """An empty answer is None; one that isn't JSON is an error."""
    plays = answer(b"HTTP/1.1 204 No Content\r\n\r\n", framed(b"<html>", status="200 OK"))
    async with FaultServer.playing(plays) as server, connect(server) as frame:
        assert (await frame.request("DELETE", "/v1/products/p_1")).data is None
        with pytest.raises(SessionUnreadableError, match="it succeeded, but its answer can't"):
            await frame.request("GET", "/v1/products")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("get", "/v1/products"), "method: is none"),
        (("GET", "/products"), "path: must begin with /v1/"),
        (("GET", "/v1/products?page=1"), "path: must begin with /v1/ and have no query"),
        (("GET", "/v1/../admin"), "path: must begin with /v1/"),
        (("GET", "/v1/pro ducts"), "path: must begin with /v1/"),
        (("GET", "/v1/products\r\nX: 1"), "path: must begin with /v1/"),
        (("GET", "//evil.example/v1/"), "path: must begin with /v1/"),
        (("POST", "/v1/payment_link_sessions"), "path: has a call of its own"),
    ],
)
async def test_what_is_refused(frame: FrameClient, arguments: tuple[str, str], words: str) -> None:
    """A method or path that can't be is refused by name, before anything is sent."""
    with pytest.raises(ValidationError, match=words):
        await frame.request(*arguments)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), r"\.a: must be a JSON value, not object"),
        (Decimal("1.5"), r"\.a: must be a JSON value, not Decimal"),
        (b"x", r"\.a: must be a JSON value, not bytes"),
        (float("nan"), r"\.a: must be a JSON value, not nan"),
        ("\ud800", r"\.a: has a character that UTF-8 can't carry"),
        (["x", {1, 2}], r"\.a\[1\]: must be a JSON value, not set"),
        (10**400, r"\.a: must be from -9007199254740991 to 9007199254740991"),
    ],
)
async def test_values_that_are_refused(
    frame: FrameClient, emulator: Emulator, value: object, words: str
) -> None:
    """What JSON can't carry, or not without loss, is refused by its place in body and query."""
    with pytest.raises(ValidationError, match="json" + words):
        await frame.request("POST", "/v1/products", json={"a": value})
    for asked in (frame.request("GET", "/v1/products", params={"a": value}), listed(frame, value)):
        with pytest.raises(ValidationError, match="params" + words):
            await asked
    assert not emulator.ledger


async def listed(frame: FrameClient, value: object) -> object:
    """The first of a list that is asked for with that parameter."""
    return await anext(aiter(frame.pages("/v1/products", params={"a": value})))


async def test_shapes_that_are_refused(frame: FrameClient, emulator: Emulator) -> None:
    """A body that holds itself, names that aren't text, and a nested query are refused."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValidationError, match="is nested too deeply"):
        await frame.request("POST", "/v1/products", json=endless)
    with pytest.raises(ValidationError, match="has a name that isn't a plain string"):
        await frame.request("POST", "/v1/products", json={1: 2})
    for nested in ({"b": 1}, [[1]]):
        with pytest.raises(ValidationError, match=r"params\.a: is nested"):
            await frame.request("GET", "/v1/products", params={"a": nested})
    assert not emulator.ledger


async def test_bodies_that_are_refused(frame: FrameClient, emulator: Emulator) -> None:
    """A body that isn't JSON, or that goes with GET, is refused, and never shown."""
    for method, body in (("POST", {"cvc": object(), "n": "h1dden"}), ("GET", {"n": "h1dden"})):
        with pytest.raises(ValidationError) as refused:
            await frame.request(method, "/v1/products", json=body)
        assert "h1dden" not in shown_of(refused.value)
    assert not emulator.ledger


async def test_what_is_secret_is_not_repeated() -> None:
    """Card data that the server repeats in its refusal isn't in the error's words."""
    said = json.dumps({"error": "4242424242424242 is wrong, and so is 123-45"}).encode()
    play = answer(refusal("422 No", body=said))
    async with FaultServer.playing(play) as server, connect(server) as frame:
        card = {"card_number": "4242424242424242", "ssn": "123-45"}
        with pytest.raises(RequestRefusedError) as refused:
            await frame.request("POST", "/v1/payment_methods", json=card)
    shown = shown_of(refused.value)
    assert "4242424242424242" not in shown
    assert "123-45" not in shown


async def test_windows_of_their_own(emulator: Emulator) -> None:
    """Each endpoint has its own rate window, as given or as the client's."""
    limits = {"GET /v1/products/{id}": RateLimit(1, per=600), "GET /v1/customers": None}
    async with FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        rate_limit=RateLimit(2, per=600),
        rate_limits=limits,
        store=MemoryStore(),
        timeout=1.0,
    ) as frame:
        for path in ("/v1/products/a1", "/v1/products/b2"):
            with pytest.raises(NotFoundError if path.endswith("a1") else WindowFullError):
                await frame.request("GET", path)
        for _ in range(2):
            await frame.request("GET", "/v1/products")
        with pytest.raises(WindowFullError):
            await frame.request("GET", "/v1/products")
        for _ in range(3):
            await frame.request("GET", "/v1/customers")


@pytest.mark.parametrize(
    "limits", [[], {"products": RateLimit(1)}, {"GET /v1/products": 5}, {"get /v1/x": None}]
)
def test_limits_that_are_refused(limits: object) -> None:
    """Limits are of endpoints, each a method and a path."""
    with pytest.raises(ConfigurationError, match="rate_limits must map endpoints"):
        FrameClient("sk_sandbox_x", rate_limits=limits)  # type: ignore[arg-type]


async def test_a_server_that_is_not_there() -> None:
    """Without a connection, nothing was sent."""
    async with FaultServer.playing() as server:
        frame = connect(server, retry=RetryPolicy(max_retries=0))
    async with frame:
        with pytest.raises(NotSentError):
            await frame.request("GET", "/v1/products")
