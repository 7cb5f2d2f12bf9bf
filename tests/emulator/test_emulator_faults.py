"""Faults: when they happen, what a client sees of them, and what the ledger says."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from frame_async.emulator import Emulator, Fault, FaultRecord
from frame_async.emulator.api.answers import json_answer
from frame_async.emulator.api.http import serialized
from frame_async.emulator.faults.retry_after import FORMS, asctime, imf_fixdate, rfc850
from frame_async.emulator.faults.rules import ACTIONS

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]
Until = Callable[[Callable[[], object]], Awaitable[None]]
BODY = b'{"line_items": [{"product": "prod_1"}], "client_reference_id": "ref-1"}'


def request_bytes(body: bytes = BODY, more: str = "") -> bytes:
    """A good request, as it goes over the wire."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk_sandbox_emulator\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


class Wire:
    """A plain socket to the emulator."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """Everything that comes until the connection ends; a reset is an error."""
        return await asyncio.wait_for(self.reader.read(), 30)


@pytest.fixture
async def wire(emulator: Emulator) -> AsyncIterator[Wire]:
    """A connection to the emulator."""
    parts = urlsplit(emulator.base_url)
    wire = Wire(*await asyncio.open_connection(parts.hostname, parts.port))
    yield wire
    wire.writer.close()


async def statuses(http: aiohttp.ClientSession, body: Any, count: int) -> list[int]:
    """Send a body some times; 0 stands for a connection that broke."""
    seen: list[int] = []
    for _ in range(count):
        try:
            seen.append((await http.post(PATH, json=body)).status)
        except aiohttp.ClientConnectionError:
            seen.append(0)
    return seen


async def test_refuse_answers_what_it_is_told(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`refuse` answers with the status, type and body given, and creates nothing."""
    emulator.add_fault("refuse", status=418, body="<p>☕</p>", content_type="text/html; x=y")
    answer = await http.post(PATH, json=order)
    assert (answer.status, await answer.text()) == (418, "<p>☕</p>")
    assert answer.headers["Content-Type"] == "text/html; x=y"
    assert emulator.created() == ()
    (entry,) = emulator.ledger
    assert (entry.status, entry.session_id) == (418, None)
    assert entry.fault == FaultRecord(id="fault_1", do="refuse", evidence="answered 418")


async def test_refuse_is_an_error_in_the_envelope_by_default(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Without a body `refuse` answers 503 in Frame's envelope."""
    emulator.add_fault("refuse")
    answer = await http.post(PATH, json=order)
    assert answer.status == 503
    assert (await answer.json())["error"]["type"] == "api_error"


@pytest.mark.parametrize("status", [200, 204, 302, 499, 599, 799, 999])
async def test_refuse_takes_any_final_status(emulator: Emulator, wire: Wire, status: int) -> None:
    """Any status that can end an exchange goes over the wire as it is."""
    emulator.add_fault("refuse", status=status, body="")
    await wire.send(request_bytes(more="Connection: close\r\n"))
    assert (await wire.rest()).startswith(f"HTTP/1.1 {status} ".encode())


async def test_delay_holds_the_answer_back(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`delay` creates the session at once and answers later."""
    emulator.add_fault("delay", seconds=30)
    with pytest.raises(TimeoutError):
        await http.post(PATH, json=order, timeout=aiohttp.ClientTimeout(total=0.2))
    assert len(emulator.created()) == 1
    fault = emulator.ledger[0].fault
    assert fault is not None
    assert fault.evidence == "answered 201, 30 s late"


async def test_drop_before_reading_reads_nothing(emulator: Emulator, wire: Wire) -> None:
    """A head alone is enough for the connection to break; the body is never asked for."""
    emulator.add_fault("drop_before_reading")
    await wire.send(request_bytes()[: -len(BODY)])
    assert await wire.rest() == b""
    (entry,) = emulator.ledger
    assert (entry.status, entry.body, entry.session_id, entry.key_mode) == (None, None, None, None)
    assert entry.fault is not None
    assert entry.fault.evidence == "sent nothing, closed"
    assert emulator.created() == ()


async def test_read_and_drop_creates_nothing(emulator: Emulator, wire: Wire) -> None:
    """The request is read and in the ledger, but nothing is made and nothing answered."""
    emulator.add_fault("read_and_drop")
    await wire.send(request_bytes())
    assert await wire.rest() == b""
    assert (emulator.ledger[0].status, emulator.ledger[0].client_reference_id) == (None, "ref-1")
    assert emulator.created() == ()


async def test_create_and_drop_leaves_a_session(emulator: Emulator, wire: Wire) -> None:
    """The session is there, and nobody was told."""
    emulator.add_fault("create_and_drop")
    await wire.send(request_bytes())
    assert await wire.rest() == b""
    assert len(emulator.created("ref-1")) == 1
    (entry,) = emulator.ledger
    assert (entry.status, entry.session_id) == (201, emulator.created()[0])


@pytest.mark.parametrize("do", ["drop_before_reading", "read_and_drop", "create_and_drop"])
async def test_connections_can_be_reset(emulator: Emulator, wire: Wire, do: str) -> None:
    """With `reset` the client sees a reset instead of an end."""
    emulator.add_fault(do, reset=True)
    await wire.send(request_bytes())
    with pytest.raises(ConnectionResetError):
        await wire.rest()
    assert emulator.ledger[0].fault is not None
    assert emulator.ledger[0].fault.evidence == "sent nothing, reset"


@pytest.mark.parametrize("at", [0, 1, 17, 180, 100_000])
async def test_truncate_sends_so_many_bytes(emulator: Emulator, wire: Wire, at: int) -> None:
    """`create_and_truncate` sends the first bytes of its answer, head included, and no more."""
    emulator.add_fault("create_and_truncate", at=at)
    await wire.send(request_bytes())
    got = await wire.rest()
    assert b"HTTP/1.1 201 Created\r\n"[:at].startswith(got[:22])
    (entry,) = emulator.ledger
    assert entry.fault is not None
    said = re.fullmatch(r"sent (\d+) of (\d+) bytes, closed", entry.fault.evidence)
    assert said is not None
    assert len(got) == int(said[1]) == min(at, int(said[2]))
    assert len(emulator.created()) == 1


@pytest.mark.parametrize(("options", "status"), [({}, 502), ({"status": 500}, 500)])
async def test_create_and_fail_answers_as_a_proxy(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    options: dict[str, Any],
    status: int,
) -> None:
    """The session is made, and the client gets a proxy's HTML."""
    emulator.add_fault("create_and_fail", **options)
    answer = await http.post(PATH, json=order)
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert f"<h1>{status} " in await answer.text()
    assert (emulator.ledger[0].status, len(emulator.created())) == (status, 1)


async def test_hang_never_answers(emulator: Emulator, wire: Wire, until: Until) -> None:
    """`hang` reads, creates nothing, says nothing, and ends when the client leaves."""
    emulator.add_fault("hang")
    await wire.send(request_bytes())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(), 0.2)
    assert (emulator.created(), emulator.ledger[0].status) == ((), None)
    wire.writer.close()
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_hang_may_end(emulator: Emulator, wire: Wire) -> None:
    """With a time, the connection of a hanging request is closed after it."""
    emulator.add_fault("create_and_hang", seconds=0.05)
    await wire.send(request_bytes())
    assert await wire.rest() == b""
    assert len(emulator.created()) == 1


async def test_hanging_does_not_hold_up_the_end(order: dict[str, Any], connect: Connect) -> None:
    """An emulator with a hanging request closes as quickly as any."""
    async with Emulator() as emulator, connect(emulator) as http:
        emulator.add_fault("hang")
        waiting = asyncio.create_task(http.post(PATH, json=order))
        async with asyncio.timeout(30):
            while not emulator.ledger:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
            await emulator.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await waiting


async def test_idle_connections_are_closed_unannounced(emulator: Emulator, wire: Wire) -> None:
    """`close_idle` answers without `Connection: close`, and then closes."""
    emulator.add_fault("close_idle", seconds=0.05, times=1)
    await wire.send(request_bytes())
    head = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 30)
    assert b"HTTP/1.1 201" in head
    assert b"connection: close" not in head.lower()
    rest = await wire.rest()
    assert rest.endswith(b"}")
    assert len(emulator.created()) == 1


async def test_busy_connections_are_not_closed(emulator: Emulator, wire: Wire) -> None:
    """A request that is being worked on when the time comes gets its answer."""
    emulator.add_fault("close_idle", seconds=0.05, times=1)
    emulator.add_fault("delay", seconds=0.3)
    await wire.send(request_bytes() + request_bytes(more="Connection: close\r\n"))
    assert (await wire.rest()).count(b"HTTP/1.1 201 ") == 2


WHEN = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


def test_three_spellings_of_a_date() -> None:
    """A date is written as RFC 9110 shows its three forms."""
    at = WHEN.timestamp()
    assert imf_fixdate(at) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert rfc850(at) == "Sunday, 06-Nov-94 08:49:37 GMT"
    assert asctime(at) == "Sun Nov  6 08:49:37 1994"


@pytest.mark.parametrize("form", FORMS)
async def test_throttle_says_when_in_every_form(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any], clock: Any, form: str
) -> None:
    """429 with each form of Retry-After, by the emulator's own clock, creating nothing."""
    clock.now = WHEN.timestamp()
    emulator.add_fault("throttle", retry_after=form, wait=90)
    answer = await http.post(PATH, json=order)
    assert (answer.status, emulator.created()) == (429, ())
    assert (await answer.json())["error"]["type"] == "rate_limit_error"
    values = answer.headers.getall("Retry-After", [])
    expected = {
        "absent": [],
        "seconds": ["90"],
        "imf-fixdate": ["Sun, 06 Nov 1994 08:51:07 GMT"],
        "rfc850": ["Sunday, 06-Nov-94 08:51:07 GMT"],
        "asctime": ["Sun Nov  6 08:51:07 1994"],
        "past": ["Sun, 06 Nov 1994 07:49:37 GMT"],
        "huge": ["9" * 30],
        "negative": ["-90"],
        "nonsense": ["soon"],
        "repeated": ["90", "95"],
    }
    assert values == expected[form]
    if form in ("imf-fixdate", "rfc850"):
        assert parsedate_to_datetime(values[0]) == WHEN + timedelta(seconds=90)


async def test_throttle_takes_any_value(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """What is no name of a form is the header itself; nothing given means one second."""
    emulator.add_fault("throttle", retry_after="1.5, 2", times=1)
    emulator.add_fault("throttle")
    first, second = await http.post(PATH, json=order), await http.post(PATH, json=order)
    assert first.headers["Retry-After"] == "1.5, 2"
    assert second.headers["Retry-After"] == "1"


async def test_every_nth_request(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`every=3` is the third, the sixth, and so on."""
    fault = emulator.add_fault("refuse", every=3)
    assert await statuses(http, order, 7) == [201, 201, 503, 201, 201, 503, 201]
    assert (fault.seen, fault.fired) == (7, 2)


async def test_so_many_times(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`times=2` is over after the second."""
    emulator.add_fault("refuse", times=2)
    assert await statuses(http, order, 4) == [503, 503, 201, 201]


async def test_for_a_time(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """`lasting=60` is over when the emulator's clock says so."""
    emulator.add_fault("refuse", lasting=60)
    emulator.advance(59.5)
    assert await statuses(http, order, 1) == [503]
    emulator.advance(0.5)
    assert await statuses(http, order, 1) == [201]


async def test_by_reference(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Only requests with the reference suffer, and only they are counted."""
    emulator.add_fault("refuse", reference="a", every=2)
    asked = [order | {"client_reference_id": name} for name in ("a", "b", "a", "b")]
    seen = [(await statuses(http, body, 1))[0] for body in asked]
    assert seen == [201, 201, 503, 201]


async def test_by_probability_and_seed(connect: Connect, order: dict[str, Any]) -> None:
    """A probability of one half strikes about half, and with one seed the same ones."""
    runs: list[list[int]] = []
    for seed in (7, 7, 8):
        async with Emulator(limit=None, seed=seed) as emulator, connect(emulator) as http:
            emulator.add_fault("refuse", probability=0.5)
            runs.append(await statuses(http, order, 60))
    assert runs[0] == runs[1] != runs[2]
    assert 10 < runs[0].count(503) < 50


@pytest.mark.parametrize(("probability", "status"), [(0, 201), (1, 503)])
async def test_certain_probabilities(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    probability: float,
    status: int,
) -> None:
    """0 is never and 1 is always."""
    emulator.add_fault("refuse", probability=probability)
    assert await statuses(http, order, 20) == [status] * 20


async def test_first_rule_that_says_now_wins(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """Only one fault happens to a request: the first in the list that would."""
    emulator.add_fault("refuse", status=500, every=2)
    second = emulator.add_fault("refuse", status=503)
    assert await statuses(http, order, 4) == [503, 500, 503, 500]
    assert second.seen == 2


async def test_faults_can_be_removed_and_switched(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A fault that is off or gone does nothing."""
    fault = emulator.add_fault(Fault(do="refuse"))
    assert emulator.faults == (fault,)
    fault.on = False
    assert await statuses(http, order, 1) == [201]
    fault.on = True
    assert await statuses(http, order, 1) == [503]
    assert emulator.remove_fault(fault)
    assert not emulator.remove_fault("fault_1")
    assert await statuses(http, order, 1) == [201]
    emulator.add_fault("refuse")
    emulator.clear_faults()
    assert not emulator.faults


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"headers": {"Authorization": "Bearer pk_x"}}, 401),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
async def test_refused_requests_are_left_alone(
    emulator: Emulator, http: aiohttp.ClientSession, sent: dict[str, Any], status: int
) -> None:
    """A request that is refused for its key or its body is none that a fault is asked about."""
    fault = emulator.add_fault("create_and_drop")
    body: dict[str, Any] = {} if "data" in sent else {"json": {}}
    assert (await http.post(PATH, **body, **sent)).status == status
    assert fault.seen == 0


async def test_an_invalid_request_can_suffer(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The answer 422 can get lost like any other."""
    emulator.add_fault("create_and_drop")
    assert await statuses(http, {}, 1) == [0]
    assert (emulator.ledger[0].status, emulator.created()) == (422, ())


async def test_a_lost_answer_is_replayed(connect: Connect, order: dict[str, Any]) -> None:
    """With idempotency on, the key of a dropped or damaged answer gives the true one later."""
    async with Emulator(idempotency=True) as emulator, connect(emulator) as http:
        emulator.add_fault("create_and_drop", times=1)
        emulator.add_fault("create_and_fail", times=1)
        key = {"Idempotency-Key": "key-1"}
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(PATH, json=order, headers=key)
        assert (await http.post(PATH, json=order, headers=key)).status == 502
        answer = await http.post(PATH, json=order, headers=key)
        assert (answer.status, (await answer.json())["id"]) == (201, emulator.created()[0])
        assert len(emulator.created()) == 1


@pytest.mark.parametrize(
    ("do", "options", "error"),
    [
        ("explode", {}, ValueError),
        ("refuse", {"every": 0}, ValueError),
        ("refuse", {"every": True}, ValueError),
        ("refuse", {"times": 1.5}, ValueError),
        ("refuse", {"probability": 1.1}, ValueError),
        ("refuse", {"probability": float("nan")}, ValueError),
        ("refuse", {"probability": "1"}, ValueError),
        ("refuse", {"lasting": -1}, ValueError),
        ("refuse", {"lasting": float("inf")}, ValueError),
        ("refuse", {"seconds": "1"}, ValueError),
        ("refuse", {"status": 199}, ValueError),
        ("refuse", {"status": 1000}, ValueError),
        ("refuse", {"body": b"x"}, TypeError),
        ("refuse", {"body": "\ud800"}, ValueError),
        ("refuse", {"reference": 5}, TypeError),
        ("refuse", {"content_type": "a\r\nX-Evil: 1"}, ValueError),
        ("refuse", {"content_type": 1}, TypeError),
        ("refuse", {"at": 3}, ValueError),
        ("refuse", {"reset": True}, ValueError),
        ("throttle", {"retry_after": "1\r\nX-Evil: 1"}, ValueError),
        ("throttle", {"retry_after": "9" * 1001}, ValueError),
        ("throttle", {"wait": 86_401}, ValueError),
        ("create_and_drop", {"reset": 1}, TypeError),
        ("create_and_truncate", {}, ValueError),
        ("create_and_truncate", {"at": -1}, ValueError),
        ("delay", {}, ValueError),
        ("drop_before_reading", {"reference": "a"}, ValueError),
    ],
)
def test_faults_are_checked(do: str, options: dict[str, Any], error: type[Exception]) -> None:
    """An option out of its range, or that means nothing to a fault, is refused by its name."""
    name = next(iter(options), {"create_and_truncate": "at", "delay": "seconds"}.get(do, "do"))
    with pytest.raises(error, match=f"^{name} "):
        Emulator().add_fault(do, **options)


def test_unknown_options_are_refused() -> None:
    """A misspelt option is an error."""
    with pytest.raises(TypeError, match="evry"):
        Emulator().add_fault("refuse", evry=2)


def test_a_fault_belongs_to_one_list() -> None:
    """A fault can't be added twice, and there is an end to how many there can be."""
    emulator = Emulator()
    fault = emulator.add_fault("refuse")
    with pytest.raises(ValueError, match="before"):
        emulator.add_fault(fault)
    for _ in range(999):
        emulator.add_fault("refuse", times=1)
    with pytest.raises(ValueError, match="thousand"):
        emulator.add_fault("refuse")


def test_every_kind_is_described() -> None:
    """Each kind of fault is explained in the dashboard, by the same name."""
    from importlib.resources import files

    script = files("frame_async.emulator.admin").joinpath("assets/dashboard.js").read_text()
    explained = re.findall(r"^  (\w+): \"[A-Z].*\.\",$", script, re.MULTILINE)
    assert explained == list(ACTIONS)


def test_serialized_answers_are_http() -> None:
    """An answer that is cut off is cut from what would have gone out."""
    whole = serialized(json_answer(201, {"a": 1}), "id-1")
    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Created\r\nContent-Type: application/json")
    assert b"\r\nX-Request-Id: id-1\r\nContent-Length: 7\r\n" in head
    assert body == b'{"a":1}'
    assert serialized(json_answer(799, {}), "x").startswith(b"HTTP/1.1 799 Unknown\r\n")
