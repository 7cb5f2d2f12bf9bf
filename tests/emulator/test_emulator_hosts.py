"""The emulator answers to its own names alone, whatever is asked of it."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
FOREIGN = ["evil.example", "evil.example:8642", "api.framepayments.com", "emulator", "192.0.2.7"]
OWN = ["localhost", "LOCALHOST.:99", "shop.localhost:1", "127.1.2.3", "[::1]:80"]


@pytest.mark.parametrize("host", FOREIGN)
async def test_a_foreign_host_is_refused_everywhere(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any], host: str
) -> None:
    """API, checkout, admin API and pages refuse it, and nothing is created or paid."""
    made = await (await http.post(PATH, json=order)).json()
    page = made["url"].removeprefix(emulator.base_url)
    headers = {"Host": host}
    for method, path in (
        ("POST", PATH),
        ("GET", page),
        ("POST", page),
        ("GET", "/nothing"),
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("GET", "/_emulator/snapshot"),
    ):
        answer = await http.request(
            method, path, headers=headers, json=order if path == PATH else None
        )
        assert (answer.status, path) == (403, path)
        assert "Host is not the emulator's own" in (await answer.json())["error"]["message"]
    assert len(emulator.created()) == 1
    assert [entry.status for entry in emulator.ledger][:2] == [201, 403]


@pytest.mark.parametrize("host", OWN)
async def test_own_names_are_taken_with_any_port(
    http: aiohttp.ClientSession, order: dict[str, Any], host: str
) -> None:
    """Loopback names and addresses are the emulator's, through whatever tunnel they come."""
    for path in (PATH, "/_emulator/reset"):
        headers = {"Host": host}
        body = order if path == PATH else {}
        assert (await http.post(path, json=body, headers=headers)).status in (200, 201)


async def test_containers_have_names(
    connect: Callable[..., aiohttp.ClientSession], order: dict[str, Any]
) -> None:
    """Where other machines are let in, a name without a dot is the emulator's own."""
    async with Emulator(allow_remote=True) as emulator, connect(emulator) as http:
        for host, status in (("emulator:8642", 201), ("192.0.2.7", 201), ("evil.example", 403)):
            answer = await http.post(PATH, json=order, headers={"Host": host})
            assert answer.status == status
