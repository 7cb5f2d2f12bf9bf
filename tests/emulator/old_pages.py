"""The hosted page of a session."""

from typing import Any

import aiohttp
import pytest

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"


async def page_of(http: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    """Create a session and return the HTML at its address."""
    session = await (await http.post(PATH, json=body)).json()
    answer = await http.get(session["url"])
    assert answer.status == 200
    return await answer.text()


async def test_page_says_what_the_session_is(http: aiohttp.ClientSession) -> None:
    """The page tells status, reference, products with their quantities, and the end."""
    items = [
        {"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 5},
        {"product": "prod_2", "quantity_minimum": 2},
        {"product": "prod_3", "quantity_maximum": 0},
        {"product": "prod_4"},
    ]
    html = await page_of(http, {"line_items": items, "client_reference_id": "ref-1"})
    for text in (
        "Status: open",
        "Reference: ref-1",
        "prod_1, at least 1 and at most 5<",
        "prod_2, at least 2<",
        "prod_3, at most 0<",
        "prod_4, any quantity<",
        "Expires: 2027-01-16 08:00:00 UTC",
        "no money moves",
    ):
        assert text in html


async def test_page_without_reference_says_so(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A session without a reference shows none."""
    assert "Reference: none" in await page_of(http, order)


async def test_page_escapes_what_it_shows(http: aiohttp.ClientSession) -> None:
    """Markup in a reference or a product is shown, not obeyed."""
    evil = "<script>alert('1')</script>\"&"
    html = await page_of(http, {"line_items": [{"product": evil}], "client_reference_id": evil})
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;") == 2


async def test_page_is_self_contained(http: aiohttp.ClientSession, order: dict[str, Any]) -> None:
    """The page loads nothing, and its headers forbid that it ever does."""
    session = await (await http.post(PATH, json=order)).json()
    answer = await http.get(session["url"])
    html = await answer.text()
    assert "src=" not in html
    assert "href=" not in html
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_policy_lets_the_style_through(
    http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """The hash in the policy is that of the one style element."""
    import base64
    import hashlib

    session = await (await http.post(PATH, json=order)).json()
    answer = await http.get(session["url"])
    style = (await answer.text()).split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("later", "status"), [(899.5, "open"), (900, "expired")])
async def test_session_expires(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    clock: Any,
    later: float,
    status: str,
) -> None:
    """A session is open until its end and expired from that second on."""
    clock.now = 1_800_000_000.0
    await http.post(PATH, json=order | {"expires_in": 900})
    clock.now += later
    answer = await http.get(f"/pay/{emulator.created()[0]}")
    assert f"Status: {status}" in await answer.text()


@pytest.mark.parametrize("session_id", ["", "nothing", "<b>x</b>", "%00", "a/b"])
async def test_unknown_session_is_a_page_too(http: aiohttp.ClientSession, session_id: str) -> None:
    """An id that is not known gets 404 and a page that repeats nothing of it."""
    answer = await http.get(f"/pay/{session_id}")
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    html = await answer.text()
    assert "No such payment link session" in html
    assert "<b>" not in html


async def test_head_has_no_body(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """HEAD tells that the page is there without sending it."""
    await http.post(PATH, json=order)
    answer = await http.head(f"/pay/{emulator.created()[0]}")
    assert answer.status == 200
    assert await answer.read() == b""
    assert emulator.ledger[-1].session_id == emulator.created()[0]
