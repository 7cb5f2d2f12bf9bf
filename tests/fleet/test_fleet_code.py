"""Runs from code: requests enqueued, and results read, without a file."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.fleet_runs import KEY, asked, asking, drained, fleet_on

from frame_async import PaymentLinkSessionRequest
from frame_async.bulk import BulkItem
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, ValidationError
from frame_async.fleet import Fleet, FleetResult


async def read(fleet: Fleet, run: str = "orders", **how: Any) -> list[FleetResult]:
    return [result async for result in fleet.results(run, **how)]


async def test_requests_get_one_session_each(database: str) -> None:
    """Enqueued twice and added to: one session for each, and its result in the order given."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        first = await fleet.enqueue(asking("a", "b"), run="orders")
        again = await fleet.enqueue(asking("a", "b", "c"), run="orders")
        assert (first.added, again.added, list(again.changed)) == (2, 1, [])
        assert await read(fleet) == []
        await drained(fleet)
        found = await read(fleet, wait=True)
        assert [result.reference for result in found] == ["a", "b", "c"]
        assert [result.session_id for result in found] == [
            emulator.created(name)[0] for name in "abc"
        ]
        assert len(emulator.ledger) == 3
        (one, *_) = found
        assert (one.result, one.possible_duplicates, one.error, one.row) == ("created", 0, None, 1)
        assert isinstance(one.expires, datetime)
        progress = await fleet.runs.progress((await fleet.runs.all())[0], 0)
        assert (progress.total, progress.finished) == (3, True)


async def test_any_iterable_does(database: str) -> None:
    """An async generator, and equal requests in one call: as many sessions as were asked for."""

    async def orders() -> AsyncIterator[PaymentLinkSessionRequest]:
        for request in asking(*["same"] * 3):
            yield request

    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        assert (await fleet.enqueue(orders(), run="orders")).added == 3
        assert (await fleet.enqueue(orders(), run="orders")).added == 0
        assert (await fleet.enqueue([], run="nothing")).added == 0
        assert await read(fleet, "nothing", wait=True) == []
        await drained(fleet)
        assert len(emulator.created("same")) == 3


async def test_a_key_stands_for_its_request(database: str) -> None:
    """A request under a known key isn't enqueued; a changed one is named; a second is refused."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        one, two = asking("one", "two")
        given = [BulkItem(one, "order-1"), BulkItem(two, "order-2"), BulkItem(two, "order-1")]
        assert (await fleet.enqueue(given, run="orders")).added == 3
        changed = await fleet.enqueue([BulkItem(two, "order-1")], run="orders")
        assert (changed.added, list(changed.changed)) == (0, [1])
        await drained(fleet)
        *created, refused = await read(fleet)
        assert [result.reference for result in created] == ["one", "two"]
        assert (refused.result, refused.problems[0].path) == ("invalid", "idempotency_key")
        with pytest.raises(ConfigurationError, match="was begun with --key"):
            await fleet.enqueue([one], run="orders")
        with pytest.raises(ValidationError, match=r"requests\[1\]\.idempotency_key"):
            await fleet.enqueue([BulkItem(one, "k"), two], run="mixed")


async def test_what_must_not_lie_in_a_queue_does_not(database: str) -> None:
    """Card data and what is no request are refused by place, and nothing of them is kept."""
    card = {"type": "card", "card_number": "4242424242424242"}
    secret = asking("card", customer="cus_1", payment_method_data=card)
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        with pytest.raises(ValidationError, match=r"requests\[1\]\.payment_method_data") as caught:
            await fleet.enqueue([*asking("a"), *secret], run="orders")
        assert "4242" not in str(caught.value)
        wrong: Any = [{"client_reference_id": "a"}]
        with pytest.raises(ValidationError, match=r"requests\[0\]\.request"):
            await fleet.enqueue(wrong, run="orders")
    assert "4242" not in str(await asked(database, "SELECT r::text FROM frame_async_bulk_rows r"))


async def test_a_run_that_is_not_there(database: str) -> None:
    """Reading the results of an unknown run is an error, not an empty one."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        with pytest.raises(ConfigurationError, match="there is no run orders"):
            await read(fleet)


async def test_refused_and_unknown_say_why(database: str) -> None:
    """A refusal has its status and words; with hold, a row in doubt is left as unknown."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        emulator.add_fault("refuse", status=422, reference="no")
        emulator.add_fault("create_and_drop", reference="lost")
        await fleet.enqueue(asking("yes", "no", "lost"), run="orders", hold=True)
        await drained(fleet)
        yes, no, lost = await read(fleet, wait=True)
        assert (yes.result, no.result, lost.result) == ("created", "refused", "unknown")
        assert no.error_status == 422
        assert no.error
        assert (lost.session_id, lost.possible_duplicates) == (None, 1)
        assert len(emulator.created("lost")) == 1


async def test_the_example_of_the_how_to(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the how-to shows runs as it stands, on a database and with a worker."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "fleet.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "fleet.enqueue(" in block]
    names: dict[str, Any] = {}
    exec(example, names)  # our own page
    names["QUEUE"] = database
    async with Emulator(limit=None) as emulator:
        monkeypatch.setenv("FRAME_SECRET_KEY", KEY)
        monkeypatch.setenv("FRAME_API_BASE_URL", emulator.base_url)
        assert await names["enqueue_orders"]([1, 2, 3]) == 3
        assert await names["enqueue_orders"]([2, 3, 4]) == 1
        async with fleet_on(database, emulator) as fleet:
            await drained(fleet)
        await names["show_results"]()
        shown = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert shown == [
            [f"order-{n}", "created", emulator.created(f"order-{n}")[0], "None"]
            for n in range(1, 5)
        ]
