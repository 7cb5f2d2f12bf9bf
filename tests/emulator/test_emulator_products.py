"""Products from a file, sessions that are there from the start, and a sign of life."""

import json
import subprocess
import sys
import urllib.request
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
MUG = {"id": "prod_mug", "name": "Blue <Mug>", "price": 1490}
PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FORM = {
    "email": "ada@mail.example",
    "card_number": "4242424242424242",
    "card_expiry": "12/34",
    "card_cvc": "123",
}
Connect = Callable[..., aiohttp.ClientSession]


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """A file with a mug in euros, and its picture."""
    (tmp_path / "mug.png").write_bytes(PIXEL)
    file = tmp_path / "products.json"
    file.write_text(json.dumps([{**MUG, "currency": "eur", "picture": "mug.png"}]))
    return file


async def checkout(http: aiohttp.ClientSession, *names: str) -> tuple[str, str]:
    """The page of a new session, and its address."""
    items = [{"product": name, "quantity_maximum": 5} for name in names]
    url = (await (await http.post(PATH, json={"line_items": items})).json())["url"]
    return await (await http.get(url)).text(), url


async def test_a_mug_is_a_mug(products: Path, connect: Connect) -> None:
    """The page shows a product of the file by its name, price, currency and picture."""
    async with Emulator(products=products) as emulator, connect(emulator) as http:
        page, url = await checkout(http, "prod_mug")
        paid = await (await http.post(url, data=FORM)).text()
    assert "Blue &lt;Mug&gt;" in page
    assert "EUR\N{NO-BREAK SPACE}14.90" in page
    assert 'src="data:image/png;base64,iVBOR' in page
    assert "those that the emulator was given" in page
    assert "EUR\N{NO-BREAK SPACE}14.90" in paid


async def test_other_products_are_made_up(products: Path, connect: Connect) -> None:
    """A product that isn't in the file is made up as before, and the page says so."""
    async with Emulator(products=products) as emulator, connect(emulator) as http:
        page, _ = await checkout(http, "prod_mug", "prod_other")
    assert "Blue &lt;Mug&gt;" in page
    assert "made up by the emulator" in page
    assert "<svg class=" in page


@pytest.mark.asyncio(loop_scope="session")
async def test_the_total_follows_in_that_currency(
    products: Path, connect: Connect, browser: Browser
) -> None:
    """In the browser a changed quantity changes the total, written as the server writes it."""
    async with Emulator(products=products) as emulator, connect(emulator) as http:
        _, url = await checkout(http, "prod_mug")
        page = await browser.new_page()
        await page.goto(url)
        await page.get_by_label("Quantity").select_option("3")
        assert await page.locator("h1 output").inner_text() == "EUR\N{NO-BREAK SPACE}44.70"
        await page.close()


async def test_loaded_sessions_have_them_too(products: Path, tmp_path: Path) -> None:
    """After a restart with the state file, the same session has the same products."""
    state = tmp_path / "state.json"
    async with Emulator(products=products, state=state) as emulator:
        (made,) = emulator.create([{"line_items": [{"product": "prod_mug"}]}])
    async with (
        Emulator(products=products, state=state) as emulator,
        aiohttp.ClientSession(emulator.base_url) as http,
    ):
        assert "Blue &lt;Mug&gt;" in await (await http.get(f"/pay/{made}")).text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "must be a list of products"),
        ("[5]", "product 1: must be an object"),
        ([{**MUG, "prise": 1}], "product 1: 'prise' is no field; known are id, name, price"),
        ([{"id": "a", "name": "b"}], "product 1: price is missing"),
        ([{**MUG, "price": 14.9}], "product 1: price must be a whole number of hundredths"),
        ([{**MUG, "price": True}], "product 1: price must be a whole number of hundredths"),
        ([{**MUG, "price": -1}], "product 1: price must be a whole number of hundredths"),
        ([{**MUG, "name": ""}], "product 1: name must be filled"),
        ([{**MUG, "currency": "euro"}], "product 1: currency must be three letters"),
        ([{**MUG, "picture": "mug.exe"}], "product 1: picture must end in .gif"),
        ([{**MUG, "picture": "large.png"}], "product 1: picture must have at most 256 KiB"),
        ([MUG, MUG], "product 2: id is the one of another product"),
        ([MUG, {**MUG, "id": "b", "currency": "EUR"}], "must have the same currency"),
    ],
)
def test_what_are_no_products_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    """A wrong file is refused by its name, with the product and the field."""
    file = tmp_path / "products.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    (tmp_path / "large.png").write_bytes(b"x" * (256 * 1024 + 1))
    with pytest.raises(ValueError, match=rf"^{file}: ") as caught:
        Emulator(products=file)
    assert said in str(caught.value)


def test_products_may_be_objects() -> None:
    """In code, a list of objects does as well, and is checked as the file is."""
    assert Emulator(products=[MUG]).products.known["prod_mug"].price == 1490
    with pytest.raises(ValueError, match=r"^products: product 1: id is missing"):
        Emulator(products=[{}])


def test_a_file_that_is_not_there() -> None:
    """A missing file or picture is the system's error, by its name."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        Emulator(products="nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        Emulator(products=[{**MUG, "picture": "nowhere.png"}])


async def test_sessions_can_be_made_without_a_request() -> None:
    """All of them are made, or none: a wrong one says which it is."""
    good = {"line_items": [{"product": "p"}], "client_reference_id": "order-1"}
    async with Emulator() as emulator:
        with pytest.raises(ValueError, match=r"^body 2 is not valid: .*line_items.*is missing"):
            emulator.create([good, {}])
        assert emulator.created() == ()
        assert emulator.create([good, good]) == emulator.created("order-1")
        assert emulator.ledger == ()


def start(*options: str) -> "subprocess.Popen[str]":
    """The command, under way."""
    command = [sys.executable, "-m", "frame_async.emulator", "--port", "0", "--log", "off"]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *options], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("form", ["lines", "list"])
def test_the_command_seeds_sessions_once(form: str, products: Path, tmp_path: Path) -> None:
    """`--seed-sessions` makes the sessions of a file, and not again over a restart."""
    file, bodies = tmp_path / "seeds", [{"line_items": [{"product": f"p{n}"}]} for n in range(2)]
    lines = "\n".join(json.dumps(body) for body in bodies)
    file.write_text(f"{lines}\n\n" if form == "lines" else json.dumps(bodies))
    options = ("--seed-sessions", str(file), "--products", str(products))
    for _ in range(2):
        with start(*options, "--state", str(tmp_path / "state")) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[4]
            with urllib.request.urlopen(f"{url}/_emulator/sessions") as answer:
                sessions = json.load(answer)["sessions"]
            with urllib.request.urlopen(f"{url}/health") as answer:
                assert (answer.status, json.load(answer)) == (200, {"status": "ok"})
            process.terminate()
            assert process.stdout.read().endswith(" 0 requests, 2 sessions\n")
        assert [each["line_items"][0]["product"] for each in sessions] == ["p1", "p0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is neither JSON Lines nor a JSON list"),
        (b"\xff", "is neither JSON Lines nor a JSON list"),
        (b"[" * 100_000, "is neither JSON Lines nor a JSON list"),
        (b"5", "request 1: must be an object"),
        (b'{"line_items": [{"product": "p"}]}\n{}', 'request 2: {"line_items": ["is missing"]}'),
        (b'{"line_items": [{"product": "p"}], "acount": 1}', "acount: Frame would ignore that"),
        (None, "No such file"),
    ],
)
def test_wrong_seeds_are_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    """A wrong file ends the command with 2 before it listens, and says what is wrong where."""
    file = tmp_path / "seeds"
    if content is not None:
        file.write_bytes(content)
    with start("--seed-sessions", str(file)) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert "Traceback" not in err
    assert said in " ".join(err.split())


async def test_health_is_in_no_ledger(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    """Somebody who looks every second whether it runs fills no ledger; a POST is refused."""
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405)):
        assert (await http.request(method, "/health")).status == status
    assert emulator.ledger == ()
