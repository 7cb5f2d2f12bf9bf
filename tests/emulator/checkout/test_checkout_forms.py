"""The checkout page over plain HTTP: what a form may say, and what it gets."""

import asyncio
import base64
import hashlib
import io
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.insides import only_session_of, sessions_of
from support.shops import read_payload
from support.shown import shows

from frame_async.emulator import Emulator
from frame_async.emulator.checkout.catalog import Choice, choice_of
from frame_async.emulator.checkout.instruments import CARDS, words_for
from frame_async.emulator.state.products import Shelf, made_up

PATH = "/v1/payment_link_sessions"
CARD = {"card_number": "4242424242424242", "card_expiry": "12/34", "card_cvc": "123"}
ACCOUNT = {"method": "bank", "routing_number": "110000000", "account_number": "000123456789"}
PAID = {"email": "ada@example.com", **CARD}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0  # 15 January 2027

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock in the test's hand."""
    return Clock()


@pytest.fixture
async def emulator(clock: Clock) -> AsyncIterator[Emulator]:
    """An emulator without a rate limit, whose time stands still."""
    async with Emulator(limit=None, clock=clock, bank_delay=60) as running:
        yield running


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the emulator."""
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with aiohttp.ClientSession(emulator.base_url, headers=headers) as session:
        yield session


async def create(http: aiohttp.ClientSession, **fields: Any) -> str:
    """Create a session and return its address."""
    body = {"line_items": [{"product": "prod_1"}], **fields}
    answer = await http.post(PATH, json=body)
    assert answer.status == 201, await answer.text()
    url: str = (await answer.json())["url"]
    return url


async def send(http: aiohttp.ClientSession, url: str, form: Any, **more: Any) -> tuple[int, str]:
    """Send a form; return the status and the page, or where it leads."""
    answer = await http.post(url, data=form, allow_redirects=False, **more)
    return answer.status, answer.headers.get("Location") or await answer.text()


def errors_of(html: str) -> set[str]:
    """The fields that a page says something is wrong with."""
    return set(re.findall(r'class="error" id="(\w+)-error"', html))


async def test_page_is_self_contained(http: aiohttp.ClientSession) -> None:
    """The page loads nothing, and its headers forbid that it ever does."""
    answer = await http.get(await create(http))
    html = await answer.text()
    assert "src=" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith("frame-ancestors 'none'; form-action 'self'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = html.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", html)


async def test_page_escapes_what_it_shows(http: aiohttp.ClientSession) -> None:
    """Markup in anything that a merchant sent is shown, not obeyed, on form and result."""
    evil = "<script>alert('1')</script>\"&"
    shown = "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;"
    items = [{"product": evil}]
    url = await create(http, line_items=items, client_reference_id=evil, customer_email=evil)
    html = await (await http.get(url)).text()
    assert (html.count("<script"), html.count(shown)) == (1, 3)
    await send(http, url, PAID)
    html = await (await http.get(url)).text()
    assert (html.count("<script"), html.count(shown)) == (0, 1)


async def test_page_with_a_way_out_may_lead_there(http: aiohttp.ClientSession) -> None:
    """A session that names an address lets its form lead on, and a page without a form nowhere."""
    url = await create(http, success_url="http://shop.example/")
    policy = (await http.get(url)).headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'self' http: https:")
    policy = (await http.get("/pay/nothing")).headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'none'")


@pytest.mark.parametrize(
    "path", ["", "nothing", "<b>x</b>", "%00", "a/b", "{id}/x", "{id}/challenge/x", "{id}//"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_address_is_a_page_too(
    http: aiohttp.ClientSession, path: str, method: str
) -> None:
    """An address that is not known gets 404 and a page that repeats nothing of it."""
    session_id = (await create(http)).rpartition("/")[2]
    answer = await http.request(method, f"/pay/{path.format(id=session_id)}", data={})
    assert answer.status == 404
    html = await answer.text()
    assert "No such payment link session" in html
    assert "<b>" not in html


async def test_head_has_no_body(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """HEAD tells that the page is there without sending it."""
    url = await create(http)
    answer = await http.head(url)
    assert answer.status == 200
    assert await answer.read() == b""
    assert emulator.ledger[-1].session_id == url.rpartition("/")[2]


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({}, {"email", "card_number", "card_expiry", "card_cvc"}),
        ({**PAID, "email": " "}, {"email"}),
        ({**PAID, "email": "a b@example.com"}, {"email"}),
        ({**PAID, "email": f"{'a' * 200}@example.com"}, {"email"}),
        ({**PAID, "card_number": "4242 4242 4242 4241"}, {"card_number"}),
        (
            {**PAID, "card_number": "".join(chr(0xFF10 + int(digit)) for digit in "4242" * 4)},
            {"card_number"},
        ),
        ({**PAID, "card_expiry": "12/26"}, {"card_expiry"}),
        ({**PAID, "card_expiry": "0/34"}, {"card_expiry"}),
        ({**PAID, "card_expiry": "²/34"}, {"card_expiry"}),
        ({**PAID, "card_cvc": "12345"}, {"card_cvc"}),
        ({**PAID, "quantity_0": "2"}, {"quantity_0"}),
        ({**PAID, "method": "saved"}, set()),  # there is none, so the card counts
        ({"method": "saved"}, {"email", "card_number", "card_expiry", "card_cvc"}),
        ({"method": "bank"}, {"email", "routing_number", "account_number"}),
        ({"email": "a@b", **ACCOUNT, "routing_number": "021000021"}, {"routing_number"}),
        ({"email": "a@b", **ACCOUNT, "account_number": "1"}, {"account_number"}),
    ],
)
async def test_form_is_checked(
    http: aiohttp.ClientSession, form: dict[str, str], wrong: set[str]
) -> None:
    """Each field that is wrong is said so, all of them at once, and nothing is paid."""
    status, html = await send(http, await create(http), form)
    assert status == (422 if wrong else 303)
    assert errors_of(html) == wrong


@pytest.mark.parametrize("expiry", ["01/27", "1/27", "0127", "01 / 2027", "12-34", " 12 / 34 "])
async def test_dates_as_people_write_them(http: aiohttp.ClientSession, expiry: str) -> None:
    """A card is good until the end of its month, however the date is written."""
    status, _ = await send(http, await create(http), {**PAID, "card_expiry": expiry})
    assert status == 303


async def test_what_is_not_collected_is_not_asked(http: aiohttp.ClientSession) -> None:
    """Phone and address are asked for when the session says so, and only then."""
    html = await (await http.get(await create(http))).text()
    assert 'name="phone"' not in html
    assert 'name="ship_city"' not in html
    url = await create(http, phone_number_collection=True, shipping_address_collection=True)
    _, html = await send(http, url, PAID)
    needed = {"ship_name", "ship_line1", "ship_city", "ship_postal_code", "ship_country"}
    assert errors_of(html) == {"phone", *needed}


@pytest.mark.parametrize(
    ("bounds", "quantity", "fine"),
    [
        ({}, "1", True),
        ({}, "2", False),
        ({}, "0", False),
        ({"quantity_minimum": 2}, "99", True),
        ({"quantity_minimum": 2}, "1", False),
        ({"quantity_minimum": 150}, "150", True),
        ({"quantity_maximum": 3}, "3", True),
        ({"quantity_maximum": 3}, "0", False),
        ({"quantity_minimum": 0, "quantity_maximum": 3}, "0", False),  # for nothing is bought
        ({"quantity_maximum": 0}, "0", False),
        ({"quantity_minimum": 2, "quantity_maximum": 2}, "2", True),
        ({"quantity_minimum": 1, "quantity_maximum": 10**400}, "999999", True),
        ({"quantity_minimum": 10**400}, "999999", True),
        ({"quantity_maximum": 10**400}, "1000000", False),
        ({"quantity_maximum": 5}, "1e0", False),
        ({"quantity_maximum": 5}, "-1", False),
        ({"quantity_maximum": 5}, "+1", False),
        ({"quantity_maximum": 5}, "٣", False),
        ({"quantity_maximum": 5}, "9" * 5000, False),
    ],
)
async def test_quantity_bounds(
    http: aiohttp.ClientSession, bounds: dict[str, int], quantity: str, fine: bool
) -> None:
    """A quantity is taken within its bounds, both included, and nowhere else."""
    url = await create(http, line_items=[{"product": "prod_1", **bounds}])
    assert (await http.get(url)).status == 200
    status, html = await send(http, url, {**PAID, "quantity_0": quantity})
    assert status == (303 if fine else 422)
    assert errors_of(html) == (set() if fine else {"quantity_0"})


def test_products_are_stable() -> None:
    """A product id stands for the same product today and tomorrow, another one for another."""
    product = made_up("prod_1")
    assert (product.name, Shelf().money(product.price)) == ("Olive Pen", "$52.00")
    assert len({made_up(f"prod_{n}").name for n in range(100)}) > 80
    assert made_up("é\u2028").price > 0


def test_usual_quantity_is_one_or_the_nearest() -> None:
    """What is chosen at first is one, or the bound next to it."""
    assert choice_of({}) == Choice(1, 1, 1)
    assert choice_of({"quantity_minimum": 0}) == Choice(0, 99, 1)
    assert choice_of({"quantity_minimum": 4}) == Choice(4, 99, 4)
    assert choice_of({"quantity_maximum": 0}) == Choice(0, 0, 0)


@pytest.mark.parametrize(
    "code",
    [
        "fraudulent",
        "lost_card",
        "stolen_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
    ],
)
def test_codes_that_a_payer_must_not_learn(code: str) -> None:
    """Six codes read as a generic decline does."""
    assert words_for(code) == words_for("generic_decline")


@pytest.mark.parametrize("number", [n for n, how in CARDS.items() if how.failure_code])
async def test_every_declining_card_says_why(http: aiohttp.ClientSession, number: str) -> None:
    """Every test card that declines does, by words that never name its code."""
    url = await create(http)
    status, html = await send(http, url, {**PAID, "card_number": number})
    if CARDS[number].challenge:
        assert (status, html.rpartition("/")[2]) == (303, "challenge")
        return
    assert status == 402
    alert = html.split('role="alert"')[1].split("</div>")[0]
    assert words_for(str(CARDS[number].failure_code)) in alert.replace("&#x27;", "'")


async def test_card_data_is_nowhere(
    emulator: Emulator, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither page, ledger, log, state nor repr holds a card, a date, a code or an account."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "card_number": "4726843338079575",
        "card_expiry": "11/39",
        "card_cvc": "8317",
        "routing_number": "021000021",
        "account_number": "000333333335",
    }
    url = await create(http, phone_number_collection=True)
    pages = [
        await send(http, url, {**secrets, "method": m, "email": "x"}) for m in ("card", "bank")
    ]
    pages.append(await send(http, url, {"email": "a@b", "phone": "+1 202 555", **secrets}))
    assert [status for status, _ in pages] == [422, 422, 402]
    last = {"email": "a@b", "phone": "+1 202 555", **secrets}
    await send(http, url, {**last, "method": "bank", "routing_number": "110000000"})
    session = only_session_of(emulator)
    kept = [repr(emulator), repr(emulator.ledger), repr(session), str(session.dump()), caplog.text]
    assert session.payment_status == "processing"
    for secret in secrets.values():
        assert not any(shows(text, secret) for text in kept)
    for _, html in pages:  # the list of test values is on every page
        shown = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)
        assert not any(f'value="{secret}"' in shown for secret in secrets.values())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "{own}"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Origin": "{own}"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "{own}0"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 403),
    ],
)
async def test_only_the_page_itself_may_send_the_form(
    emulator: Emulator, http: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    """A form that a browser says another site has sent is refused, before it is read."""
    url = await create(http)
    filled = {name: text.format(own=emulator.base_url) for name, text in headers.items()}
    got, html = await send(http, url, {"action": "cancel"}, headers=filled)
    assert got == status
    session = sessions_of(emulator).get(url.rpartition("/")[2])
    assert session is not None
    assert session.state == ("canceled" if status == 303 else "open")
    assert status == 303 or "another site" in html


async def test_what_is_no_form(http: aiohttp.ClientSession) -> None:
    """JSON, an unknown action, endless fields and a huge form are refused and do nothing."""
    url = await create(http)
    assert (await http.post(url, json={})).status == 415
    assert (await send(http, url, {"action": "steal"}))[0] == 400
    assert (await send(http, url, {f"f{n}": "" for n in range(100)}))[0] == 400
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await send(http, url, io.BytesIO(b"x" * 1_100_000), headers=kind))[0] == 413
    assert (await send(http, url, b"\xff%ff=%ff&&=&;", headers=kind))[0] == 422
    assert (await http.put(url)).status == 405


async def test_repeated_forms_lead_to_the_same_place(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Twenty forms at once pay once, and each of them leads to the shop."""
    url = await create(
        http, success_url="http://shop.example/thanks", cancel_url="http://x.example"
    )
    answers = await asyncio.gather(*(send(http, url, PAID) for _ in range(20)))
    assert {status for status, _ in answers} == {303}
    assert {read_payload(where)["result"] for _, where in answers} == {"paid"}
    session = only_session_of(emulator)
    transfer = session.transfer
    assert (await send(http, url, {"action": "cancel"}))[1].startswith("http://shop.example/")
    assert (await send(http, url, {**PAID, **ACCOUNT}))[1].startswith("http://shop.example/")
    assert session.transfer is transfer
    assert (session.state, session.payment_status) == ("complete", "paid")


async def test_cancelled_session_takes_no_money(
    emulator: Emulator, http: aiohttp.ClientSession, clock: Clock
) -> None:
    """What was cancelled stays so, and says when it changed; time does not make it expire."""
    url = await create(http, success_url="http://shop.example/thanks")
    clock.now += 5
    assert await send(http, url, {"action": "cancel"}) == (303, url[url.index("/pay/") :])
    assert await send(http, url, PAID) == (303, url[url.index("/pay/") :])
    session = only_session_of(emulator)
    clock.now += 100_000
    shown = session.as_json(clock.now)
    assert (shown["status"], shown["payment_status"]) == ("canceled", "unpaid")
    assert shown["updated"] == session.created + 5


@pytest.mark.parametrize(("later", "open_still"), [(899.5, True), (900, False)])
async def test_session_expires(
    http: aiohttp.ClientSession, clock: Clock, later: float, open_still: bool
) -> None:
    """A session can be paid until its end and no more from that second on."""
    url = await create(http, expires_in=900, success_url="http://shop.example")
    clock.now += later
    html = await (await http.get(url)).text()
    assert ("has expired" in html) is not open_still
    _, where = await send(http, url, PAID)
    assert where.startswith("http://shop.example?" if open_still else "/pay/")


async def test_challenge_can_be_answered_once_only(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """An answer without a challenge, or to one that is over, does nothing."""
    url = await create(http)
    home = (303, url[url.index("/pay/") :])
    for answer in ("approve", "fail"):
        assert await send(http, url, {"action": answer, "challenge": ""}) == home
    page = await http.get(f"{url}/challenge", allow_redirects=False)
    assert (page.status, page.headers["Location"]) == home
    await send(http, url, {**PAID, "card_number": "4000000000003220"})
    session = only_session_of(emulator)
    assert session.challenge is not None
    wrong = {"action": "approve", "challenge": "00000000-0000-4000-8000-000000000000"}
    assert await send(http, url, wrong) == home
    assert session.payment_status == "unpaid"
    form = {"action": "fail", "challenge": session.challenge.id}
    assert (await send(http, url, form))[0] == 402
    assert await send(http, url, {**form, "action": "approve"}) == home
    assert session.payment_status == "unpaid"
