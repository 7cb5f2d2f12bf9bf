"""The admin API: what it shows and changes, and whom it refuses."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import aiohttp
import pytest
from attrs import Factory, define, evolve, frozen
from support.shown import shows

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
API = "/_emulator/"
Connect = Callable[..., aiohttp.ClientSession]


async def ask(http: aiohttp.ClientSession, path: str, status: int = 200, **query: Any) -> Any:
    """Read something of the admin API."""
    answer = await http.get(API + path, params=query)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def tell(
    http: aiohttp.ClientSession, method: str, path: str, body: object = None, status: int = 200
) -> Any:
    """Change something through the admin API."""
    sent: dict[str, Any] = {} if body is None else {"json": body}
    answer = await http.request(method, API + path, **sent)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def create(http: aiohttp.ClientSession, *references: str, **more: Any) -> list[str]:
    """Create a session for each reference; return the ids."""
    ids: list[str] = []
    for reference in references:
        body = {"line_items": [{"product": "p"}], "client_reference_id": reference, **more}
        ids.append((await (await http.post(PATH, json=body)).json())["id"])
    return ids


async def test_ledger_is_paged_newest_first(http: aiohttp.ClientSession) -> None:
    """Pages follow each other without a gap or an overlap, to the end."""
    await create(http, *"abcde")
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = await ask(http, "ledger", **query)
        seen += [entry["sequence"] for entry in page["entries"]]
        query["before"] = page["next_before"]
    assert (seen, page["next_before"], page["requests"]) == ([5, 4, 3, 2, 1], None, 5)


async def test_ledger_can_be_asked_by_reference(http: aiohttp.ClientSession) -> None:
    """With a reference only its requests come, with all there is to know of them."""
    first, _, second = await create(http, "a", "b", "a")
    page = await ask(http, "ledger", reference="a")
    assert [entry["session_id"] for entry in page["entries"]] == [second, first]
    assert page["entries"][0]["body"]["client_reference_id"] == "a"
    assert (await ask(http, "ledger", reference="none"))["entries"] == []


async def test_looking_is_not_in_the_ledger(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Neither the admin API nor the pages leave a trace or take a place in the window."""
    for path in ("/", "/docs", "/openapi.json", f"{API}snapshot", f"{API}nothing"):
        await http.get(path)
    assert emulator.ledger == ()


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("ledger", {"limit": "0"}),
        ("ledger", {"limit": "501"}),
        ("ledger", {"limit": "²"}),
        ("ledger", {"limit": "-1"}),
        ("ledger", {"limit": "1e2"}),
        ("ledger", {"before": "0"}),
        ("ledger", {"before": "9" * 5000}),
        ("sessions", {"limit": ""}),
    ],
)
async def test_bad_queries_are_refused(
    http: aiohttp.ClientSession, path: str, query: dict[str, str]
) -> None:
    """A number that is none, or out of range, is 422 by its name."""
    answer = await ask(http, path, 422, **query)
    assert list(answer["error"]["errors"]) == list(query)


async def test_sessions_are_paged_newest_first(http: aiohttp.ClientSession, clock: Any) -> None:
    """Sessions come newest first, by reference or all, as they are now."""
    ids = await create(http, "a", "b", "a", expires_in=900)
    page = await ask(http, "sessions", limit=2)
    assert [session["id"] for session in page["sessions"]] == [ids[2], ids[1]]
    rest = await ask(http, "sessions", limit=2, after=page["next_after"])
    assert [session["id"] for session in rest["sessions"]] == [ids[0]]
    assert (rest["next_after"], rest["created"]) == (None, 3)
    of_a = await ask(http, "sessions", reference="a", limit=1)
    assert of_a["sessions"][0]["id"] == ids[2]
    assert (await ask(http, "sessions", reference="a", after=ids[2]))["sessions"][0]["id"] == ids[0]
    clock.now += 900
    one = await ask(http, f"sessions/{ids[0]}")
    assert (one["status"], one["line_items"]) == ("expired", [{"product": "p"}])
    await ask(http, "sessions/nothing", 404)
    await ask(http, "sessions", 404, after="nothing")


async def test_faults_can_be_run_from_outside(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A fault is added, listed, switched off, and removed."""
    added = await tell(http, "POST", "faults", {"do": "refuse", "status": 500, "every": 1})
    assert (added["id"], added["every"], added["on"], added["fired"]) == ("fault_1", 1, True, 0)
    assert (await http.post(PATH, json=order)).status == 500
    await tell(http, "PATCH", "faults/fault_1", {"on": False})
    assert (await http.post(PATH, json=order)).status == 201
    (listed,) = (await ask(http, "faults"))["faults"]
    assert (listed["on"], listed["fired"], listed["seen"], listed["spent"]) == (False, 1, 1, False)
    await tell(http, "DELETE", "faults/fault_1")
    assert emulator.faults == ()
    await tell(http, "DELETE", "faults/fault_1", status=404)
    await tell(http, "PATCH", "faults/fault_1", {"on": True}, status=404)
    await tell(http, "POST", "faults", {"do": "hang"})
    assert (await tell(http, "DELETE", "faults"))["faults"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "faults", {}, "do"),
        ("POST", "faults", {"do": "explode"}, "do"),
        ("POST", "faults", {"do": []}, "do"),
        ("POST", "faults", {"do": {"a": 1}}, "do"),
        ("POST", "faults", {"do": "refuse", "evry": 2}, "body"),
        ("POST", "faults", {"do": "refuse", "id": "fault_9"}, "body"),
        ("POST", "faults", {"do": "refuse", "every": 1.0}, "every"),
        ("POST", "faults", {"do": "refuse", "body": {}}, "body"),
        ("POST", "faults", {"do": "delay"}, "seconds"),
        ("PATCH", "limits", {"limit": 0}, "limit"),
        ("PATCH", "limits", {"limit": True}, "limit"),
        ("PATCH", "limits", {"period": None}, "period"),
        ("PATCH", "limits", {"period": "1"}, "period"),
        ("PATCH", "limits", {"period": 0}, "period"),
        ("PATCH", "limits", {"rate": 5}, "body"),
        ("POST", "clock", {}, "advance"),
        ("POST", "clock", {"advance": -1}, "advance"),
        ("POST", "clock", {"advance": True}, "advance"),
        ("POST", "clock", {"advance": 10**400}, "advance"),
        ("POST", "clock", {"advance": 4e8}, "advance"),
        ("POST", "reset", {"everything": True}, "body"),
    ],
)
async def test_mistakes_are_named(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    body: object,
    field: str,
) -> None:
    """A body with a mistake is 422, names the field, and changes nothing."""
    answer = await tell(http, method, path, body, status=422)
    assert list(answer["error"]["errors"]) == [field]
    assert (emulator.faults, emulator.limit, emulator.period) == ((), None, 60.0)
    assert (await ask(http, "clock"))["offset"] == 0


async def test_switch_must_be_a_boolean(http: aiohttp.ClientSession) -> None:
    """Only true and false switch a fault."""
    await tell(http, "POST", "faults", {"do": "hang"})
    await tell(http, "PATCH", "faults/fault_1", {"on": "off"}, status=422)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b'{"do": "hang"}', "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
async def test_bodies_must_be_json(
    http: aiohttp.ClientSession, sent: dict[str, Any], status: int
) -> None:
    """A body that is no JSON object, or not called JSON, is refused as the API itself does."""
    assert (await http.post(f"{API}faults", **sent)).status == status


async def test_limits_change_while_it_runs(
    connect: Connect, clock: Any, order: dict[str, Any]
) -> None:
    """A new limit counts at once, for what was let in before too."""
    async with Emulator(limit=3, clock=clock) as emulator, connect(emulator) as http:
        await create(http, "a", "b")
        await tell(http, "PATCH", "limits", {"limit": 2})
        assert (emulator.limit, emulator.period) == (2, 60.0)
        answer = await http.post(PATH, json=order)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
        limits = await tell(http, "PATCH", "limits", {"limit": 3, "period": 10})
        assert (limits["limit"], limits["period"]) == (3, 10)
        assert (await http.post(PATH, json=order)).status == 201
        assert (await http.post(PATH, json=order)).headers["Retry-After"] == "10"
        await tell(http, "PATCH", "limits", {"limit": None})
        assert (await http.post(PATH, json=order)).status == 201
        emulator.change_limit(1)
        assert [(await http.post(PATH, json=order)).status for _ in range(2)] == [201, 429]


async def test_time_can_be_advanced(connect: Connect, clock: Any, order: dict[str, Any]) -> None:
    """After an advance windows have rolled and sessions have expired."""
    async with Emulator(limit=1, clock=clock) as emulator, connect(emulator) as http:
        (made,) = await create(http, "a", expires_in=900)
        assert (await http.post(PATH, json=order)).status == 429
        moved = await tell(http, "POST", "clock", {"advance": 900})
        assert moved == {"now": clock.now + 900, "offset": 900}
        assert (await ask(http, f"sessions/{made}"))["status"] == "expired"
        assert (await http.post(PATH, json=order)).status == 201
        assert emulator.ledger[-1].received == clock.now + 900


async def test_reset_forgets_everything(connect: Connect, order: dict[str, Any]) -> None:
    """After a reset the emulator is as new, and a seeded run begins again."""
    async with Emulator(limit=1, seed=5, idempotency=True) as emulator, connect(emulator) as http:
        key = {"Idempotency-Key": "key-1"}
        first = await (await http.post(PATH, json=order, headers=key)).json()
        emulator.add_fault("hang", reference="x")
        emulator.advance(5)
        await tell(http, "POST", "reset")
        assert (emulator.ledger, emulator.created(), emulator.faults) == ((), (), ())
        assert (await ask(http, "clock"))["offset"] == 0
        answer = await http.post(PATH, json=order, headers=key)
        assert answer.status == 201
        assert "Idempotent-Replayed" not in answer.headers
        assert (await answer.json())["id"] == first["id"]
        assert emulator.ledger[0].sequence == 1


async def test_snapshot_has_what_the_dashboard_shows(
    connect: Connect, order: dict[str, Any]
) -> None:
    """One answer tells totals, windows, requests, sessions, warnings, faults and settings."""
    async with Emulator(limit=2, latency="uniform(0s, 1ms)", seed="s") as emulator:
        async with connect(emulator) as http:
            emulator.add_fault("create_and_fail", every=2)
            for more in ({}, {"acount": 1}, {"line_items": [{"product": "p", "n": 1}] * 2}):
                await http.post(PATH, json=order | more)
            shown = await ask(http, "snapshot")
            of_one = await ask(http, "snapshot", reference="a")
    assert shown["counts"] == {
        "requests": 3,
        "created": 2,
        "visits": 0,
        "statuses": {"201": 1, "502": 1, "429": 1},
        "faults_fired": 1,
    }
    assert shown["warnings"] == {"acount": 1}
    (series,) = shown["usage"]["series"]
    assert (series["label"], series["accepted"][-1], series["refused"][-1]) == (
        "sandbox …ator",
        2,
        1,
    )
    assert [entry["status"] for entry in shown["requests"]] == [429, 502, 201]
    assert shown["requests"][1]["fault"]["evidence"] == "answered 502"
    assert "body" not in shown["requests"][0]
    assert len(shown["sessions"]) == 2
    assert shown["settings"]["latency"] == "uniform(0ms, 1ms)"
    assert shown["webhooks"] == {"endpoints": [], "deliveries": []}
    assert (of_one["requests"], of_one["sessions"]) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{API}nothing", 404),
        ("GET", API, 404),
        ("GET", f"{API}faults/x", 405),
        ("POST", f"{API}snapshot", 405),
        ("GET", f"{API}reset", 405),
        ("POST", f"{API}webhooks/deliveries/x/resend", 404),
        ("DELETE", f"{API}webhooks/endpoints/x", 404),
        ("POST", "/", 405),
        ("DELETE", "/docs", 405),
    ],
)
async def test_other_calls_are_refused(
    http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """What is not there is 404, and nothing is ever changed by a GET."""
    answer = await http.request(method, path)
    assert answer.status == status
    assert (await answer.json())["error"]["type"] == "invalid_request_error"
    assert ("Allow" in answer.headers) is (status == 405)


STRANGE: list[dict[str, str]] = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8642"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "notlocalhost"},
    {"Host": "[::1].evil.example"},
    {"Host": ""},
    {"Host": "emulator"},
    {"Host": "192.0.2.7:8642"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "http://[::"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", STRANGE, ids=str)
@pytest.mark.parametrize(("method", "path"), [("GET", "snapshot"), ("POST", "reset")])
async def test_web_pages_from_elsewhere_are_refused(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    headers: dict[str, str],
    method: str,
    path: str,
) -> None:
    """A page at another address, and one whose name leads here, reads and changes nothing."""
    await create(http, "a")
    answer = await http.request(method, API + path, headers=headers)
    assert answer.status == 403
    assert (await answer.json())["error"]["type"] == "permission_error"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert len(emulator.created()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:1"},
        {"Host": "LOCALHOST"},
        {"Host": "localhost."},
        {"Host": "a.localhost:99"},
        {"Host": "[::1]:1"},
        {"Host": "127.1.2.3"},
        {"Host": "localhost:1", "Origin": "http://localhost:1", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_programs_and_own_pages_are_let_in(
    http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """Programs, what a person typed, and the dashboard itself may use it."""
    assert (await http.post(f"{API}reset", headers=headers)).status == 200


async def test_two_hosts_are_none(emulator: Emulator) -> None:
    """A request with two Host headers, or none, is let in nowhere."""
    host, port = emulator.base_url.removeprefix("http://").split(":")
    for lines in ("Host: localhost\r\nHost: localhost\r\n", ""):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {API}snapshot HTTP/1.0\r\n{lines}\r\n".encode())
        status = (await asyncio.wait_for(reader.read(), 30)).split(b" ")[1]
        assert status in (b"400", b"403")
        writer.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("emulator:8642", 200),
        ("host.docker.internal", 200),
        ("192.0.2.7", 200),
        ("evil.example", 403),
    ],
)
async def test_names_of_containers_are_taken_when_remote(
    connect: Connect, host: str, status: int
) -> None:
    """Where other machines are let in, names without a dot are too, and strangers are not."""
    async with Emulator(allow_remote=True) as emulator, connect(emulator) as http:
        assert (await http.get(f"{API}clock", headers={"Host": host})).status == status


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
async def test_links_may_lead_to_pages(http: aiohttp.ClientSession, path: str) -> None:
    """A link elsewhere may open a page, but no script elsewhere may read it."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await http.get(path, headers=link)).status == 200
    script = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert (await http.get(path, headers=script)).status == 403
    assert (await http.get(path, headers={"Host": "evil.example"})).status == 403


async def test_nothing_secret_is_shown(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """No card and no key is in anything that the admin API shows."""
    card = {"type": "card", "card_number": "4242424242424242", "cvc": "987"}
    headers = {"Authorization": "Bearer sk_sandbox_SECRETSECRET1234"}
    await http.post(PATH, json=order | {"payment_method_data": card}, headers=headers)
    await http.post(PATH, json=order | {"card": "4242424242424242"}, headers=headers)
    for path in ("snapshot", "ledger", "sessions"):
        text = str(await ask(http, path))
        assert "4242424242424242" not in text
        assert not shows(text, "987")
        assert "SECRET" not in text
    assert emulator.ledger[0].key_suffix == "1234"


@frozen
class FakeEndpoint:
    id: str
    url: str
    secret: str
    events: Sequence[str]
    created: float = 0.0


@frozen
class FakeAttempt:
    at: float
    status: int | None
    error: str | None
    seconds: float = 0.1


@frozen
class FakeDelivery:
    id: str
    attempts: Sequence[FakeAttempt]
    state: str = "failed"
    event_id: str = "evt_1"
    event_type: str = "transfer.succeeded"
    endpoint_id: str = "we_1"
    url: str = "http://127.0.0.1:9/hook"
    body: bytes = b'{"id":"evt_1"}'


@define
class FakeWebhooks:
    """Stands for the part that sends webhooks, with what it has agreed to have."""

    made: list[FakeEndpoint] = Factory(list)
    sent: list[FakeDelivery] = Factory(list)

    def register(
        self, url: str, *, secret: str | None = None, events: Sequence[str] = ("*",)
    ) -> FakeEndpoint:
        if "127.0.0.1" not in url:
            raise ValueError("must be on this machine, unless allowed by name")
        self.made.append(FakeEndpoint("we_1", url, secret or "generated", events))
        return self.made[-1]

    def remove(self, endpoint_id: str) -> bool:
        before, self.made = self.made, [each for each in self.made if each.id != endpoint_id]
        return len(before) > len(self.made)

    def endpoints(self) -> Sequence[FakeEndpoint]:
        return tuple(self.made)

    def deliveries(self) -> Sequence[FakeDelivery]:
        return tuple(self.sent)

    def clear(self) -> None:
        self.sent = []

    def resend(self, delivery_id: str) -> FakeDelivery | None:
        for delivery in self.sent:
            if delivery.id == delivery_id:
                return evolve(delivery, state="pending")
        return None


@pytest.fixture
def webhooks(emulator: Emulator) -> FakeWebhooks:
    """Webhooks of the emulator."""
    fake = FakeWebhooks()
    emulator._state.webhooks = cast("Any", fake)
    return fake


async def test_endpoints_are_registered_and_removed(
    webhooks: FakeWebhooks, http: aiohttp.ClientSession
) -> None:
    """An endpoint's secret is in the answer to its registration and nowhere else."""
    url = "http://127.0.0.1:9/hook"
    made = await tell(http, "POST", "webhooks/endpoints", {"url": url, "events": ["a.b"]})
    assert (made["id"], made["secret"], made["events"]) == ("we_1", "generated", ["a.b"])
    listed = await ask(http, "webhooks/endpoints")
    assert listed["endpoints"][0]["url"] == url
    for path in ("webhooks/endpoints", "snapshot"):
        assert "generated" not in str(await ask(http, path))
    await tell(http, "DELETE", "webhooks/endpoints/we_1")
    await tell(http, "DELETE", "webhooks/endpoints/we_1", status=404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://example.com"}, "url"),
        ({"url": "http://127.0.0.1", "secret": ""}, "secret"),
        ({"url": "http://127.0.0.1", "events": []}, "events"),
        ({"url": "http://127.0.0.1", "events": [1]}, "events"),
        ({"url": "http://127.0.0.1", "event": "a"}, "body"),
    ],
)
async def test_bad_endpoints_are_refused(
    webhooks: FakeWebhooks, http: aiohttp.ClientSession, body: object, field: str
) -> None:
    """An endpoint that can't be is 422 by its field."""
    answer = await tell(http, "POST", "webhooks/endpoints", body, status=422)
    assert list(answer["error"]["errors"]) == [field]
    assert webhooks.made == []


async def test_deliveries_are_shown_and_resent(
    webhooks: FakeWebhooks, http: aiohttp.ClientSession
) -> None:
    """Deliveries come newest first with their attempts, and can be sent again."""
    webhooks.sent = [
        FakeDelivery("d1", (FakeAttempt(1.0, None, "timeout"), FakeAttempt(2.0, 500, None))),
        FakeDelivery("d2", ()),
    ]
    shown = (await ask(http, "webhooks/deliveries"))["deliveries"]
    assert [delivery["id"] for delivery in shown] == ["d2", "d1"]
    assert [attempt["status"] for attempt in shown[1]["attempts"]] == [None, 500]
    assert shown[1]["body"] == '{"id":"evt_1"}'
    assert len((await ask(http, "webhooks/deliveries", limit=1))["deliveries"]) == 1
    assert (await tell(http, "POST", "webhooks/deliveries/d1/resend"))["state"] == "pending"
    await tell(http, "POST", "webhooks/deliveries/d3/resend", status=404)
    assert (await ask(http, "snapshot"))["webhooks"]["deliveries"][0]["id"] == "d2"


async def test_pages_allow_what_they_hold_and_nothing_else(http: aiohttp.ClientSession) -> None:
    """Style and script are in the policy by digest, and nothing comes from outside."""
    import base64
    import hashlib

    for path in ("/", "/docs"):
        answer = await http.get(path)
        html, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        for tag in ("style", "script"):
            for content in re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL):
                digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
                assert f"{tag}-src 'sha256-{digest}'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "{{" not in html
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", html)
        assert not re.search(r"\son\w+=|style=", html)
        head = await http.head(path)
        assert (head.status, await head.read()) == (200, b"")


async def test_a_delivery_is_seen_and_sent_again(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """What the emulator really sent is shown with its attempts, resent, and forgotten."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/hook"
        made = await tell(http, "POST", "webhooks/endpoints", {"url": url})
        assert len(made["secret"]) == 32
        await create(http, "a")
        await emulator.webhooks.settled()
        (first,) = (await ask(http, "webhooks/deliveries"))["deliveries"]
        assert (first["event_type"], first["state"]) == ("payment_link.created", "delivered")
        await tell(http, "POST", f"webhooks/deliveries/{first['id']}/resend")
        await emulator.webhooks.settled()
        assert len(heard) == 2
        await tell(http, "POST", "reset")
        shown = (await ask(http, "snapshot"))["webhooks"]
        assert (len(shown["endpoints"]), shown["deliveries"]) == (1, [])
    with pytest.raises(ValueError, match=r"loopback|machine|allow"):
        emulator.webhooks.register("https://example.com/hook")
