"""Idempotency keys, when the emulator is told to heed them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]
Until = Callable[[Callable[[], object]], Awaitable[None]]
KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator that heeds idempotency keys."""
    async with Emulator(limit=None, idempotency=True, envelope="cli") as running:
        yield running


async def test_same_key_same_body_gets_the_first_answer(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A repeated request gets the stored answer, marked as such, and creates nothing."""
    first = await http.post(PATH, json=order, headers=KEY)
    again = await http.post(PATH, json=order, headers=KEY)
    assert (first.status, again.status) == (201, 201)
    assert await first.json() == await again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers["X-Request-Id"] != again.headers["X-Request-Id"]
    (made,) = emulator.created()
    assert [entry.session_id for entry in emulator.ledger] == [made, made]
    assert [entry.replayed for entry in emulator.ledger] == [False, True]


async def test_errors_are_replayed_too(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The first answer comes again even if it was a refusal of the body."""
    first = await http.post(PATH, json={}, headers=KEY)
    again = await http.post(PATH, json={}, headers=KEY)
    assert (first.status, again.status) == (422, 422)
    assert await first.json() == await again.json()
    assert [entry.replayed for entry in emulator.ledger] == [False, True]


async def test_same_key_other_body_is_refused(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A key that comes with another body gets 422 and creates nothing."""
    await http.post(PATH, json=order, headers=KEY)
    answer = await http.post(PATH, json=order | {"expires_in": 900}, headers=KEY)
    assert answer.status == 422
    assert (await answer.json())["error"]["type"] == "idempotency_error"
    assert len(emulator.created()) == 1


async def test_key_in_progress_is_refused(
    connect: Connect, order: dict[str, Any], until: Until
) -> None:
    """While the first request waits for its answer, a second gets 409; later the answer."""
    options: dict[str, Any] = {"idempotency": True, "envelope": "cli"}
    async with Emulator(latency=0.5, **options) as emulator, connect(emulator) as http:
        first = asyncio.create_task(http.post(PATH, json=order, headers=KEY))
        await until(emulator.created)
        second = await http.post(PATH, json=order, headers=KEY)
        assert second.status == 409
        assert (await second.json())["error"]["type"] == "idempotency_error"
        assert (await first).status == 201
        third = await http.post(PATH, json=order, headers=KEY)
        assert (third.status, third.headers["Idempotent-Replayed"]) == (201, "true")
        assert len(emulator.created()) == 1


async def test_answer_that_nobody_waited_for_is_replayed(
    connect: Connect, order: dict[str, Any]
) -> None:
    """After a timeout the same key gives the session that the lost answer told of."""
    async with Emulator(idempotency=True, latency=0.3) as emulator, connect(emulator) as http:
        timeout = aiohttp.ClientTimeout(total=0.1)
        with pytest.raises(TimeoutError):
            await http.post(PATH, json=order, headers=KEY, timeout=timeout)
        await asyncio.sleep(0.4)
        answer = await http.post(PATH, json=order, headers=KEY)
        assert (await answer.json())["id"] == emulator.created()[0]
        assert len(emulator.created()) == 1


async def test_keys_belong_to_the_api_key(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """The same idempotency key under another API key is another key."""
    await http.post(PATH, json=order, headers=KEY)
    other = {"Authorization": "Bearer sk_sandbox_other"}
    answer = await http.post(PATH, json=order, headers=KEY | other)
    assert "Idempotent-Replayed" not in answer.headers
    assert len(emulator.created()) == 2


async def test_requests_without_a_key_are_not_tied(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Without the header, equal requests stay two requests."""
    await http.post(PATH, json=order)
    await http.post(PATH, json=order)
    assert len(emulator.created()) == 2


@pytest.mark.parametrize(
    ("key", "status"), [("", 400), ("x" * 256, 400), ("x" * 255, 201), ("x", 201)]
)
async def test_malformed_keys_are_refused(
    http: aiohttp.ClientSession, order: dict[str, Any], key: str, status: int
) -> None:
    """A key has from 1 to 255 characters."""
    answer = await http.post(PATH, json=order, headers={"Idempotency-Key": key})
    assert answer.status == status


async def test_replays_take_places_in_the_window(connect: Connect, order: dict[str, Any]) -> None:
    """A replay is a request like any other for the rate limit."""
    async with Emulator(idempotency=True, limit=2) as emulator, connect(emulator) as http:
        sent = [await http.post(PATH, json=order, headers=KEY) for _ in range(3)]
        assert [answer.status for answer in sent] == [201, 201, 429]


@pytest.mark.parametrize(
    ("sent", "same"),
    [('"key-1"', True), ("key-1", True), ('"key-2"', False), ('"a \\"b\\" \\\\"', False)],
)
async def test_quotes_are_not_part_of_a_key(
    http: aiohttp.ClientSession, order: dict[str, Any], sent: str, same: bool
) -> None:
    """The draft's quoted string and the bare one that most clients send are the same key."""
    await http.post(PATH, json=order, headers=KEY)
    answer = await http.post(PATH, json=order, headers={"Idempotency-Key": sent})
    assert answer.status == 201
    assert ("Idempotent-Replayed" in answer.headers) is same


@pytest.mark.parametrize("key", ['"key', '"ke"y"', '"key\\a"', '"key";a=1', '""', '"é"'])
async def test_broken_strings_are_refused(
    http: aiohttp.ClientSession, order: dict[str, Any], key: str
) -> None:
    """What begins with a quote must be a string as RFC 8941 has it, and not empty."""
    answer = await http.post(PATH, json=order, headers={"Idempotency-Key": key})
    assert answer.status == 400


async def test_two_keys_are_refused(http: aiohttp.ClientSession, order: dict[str, Any]) -> None:
    """A request with two keys has none that counts."""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await http.post(PATH, json=order, headers=headers)).status == 400


async def test_a_key_is_free_again_after_a_failure(
    http: aiohttp.ClientSession, order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the emulator itself fails, the same request can be sent again with its key."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("frame_async.emulator.api.creation.problems_of", fail)
        assert (await http.post(PATH, json=order, headers=KEY)).status == 500
    assert (await http.post(PATH, json=order, headers=KEY)).status == 201
