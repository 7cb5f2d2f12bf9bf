"""Errors come in the envelope that was asked for, Frame's standard one by default."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import jsonschema_rs
import pytest

from frame_async.emulator import Emulator

PATH = "/v1/payment_link_sessions"
WRONG = {"line_items": [{"product": ""}], "expires_in": 5}
SAID = "The payment link session is not valid."
FIELDS = {
    "expires_in": ["must be greater than or equal to 900"],
    "line_items": {"0": {"product": ["must be filled"]}},
}
WHOLE = (
    f"{SAID} line_items.0.product must be filled. expires_in must be greater than or equal to 900."
)
BODIES: dict[str, Any] = {
    "standard": {
        "error": "Unprocessable Entity",
        "error_details": {"message": SAID, **FIELDS},
    },
    "cli": {"error": {"type": "validation_error", "message": SAID, "errors": FIELDS}},
    "node": {"code": "validation_error", "message": WHOLE},
    "php": {"error": {"message": WHOLE, "code": "422"}},
    "ruby": {"error": WHOLE},
    "text": WHOLE,
}
Connect = Callable[..., aiohttp.ClientSession]


async def read(answer: aiohttp.ClientResponse, envelope: str) -> Any:
    """The body of an answer, which is sent as what it is."""
    if envelope == "text":
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        return await answer.text()
    return await answer.json()


@pytest.mark.parametrize("envelope", BODIES)
async def test_a_wrong_session_is_refused_in_it(envelope: str, connect: Connect) -> None:
    """Every problem of a 422 is said, by field where the envelope has a place for that."""
    async with Emulator(envelope=envelope) as emulator, connect(emulator) as http:
        answer = await http.post(PATH, json=WRONG)
        body = await read(answer, envelope)
    assert (answer.status, body) == (422, BODIES[envelope])


@pytest.mark.parametrize("envelope", BODIES)
async def test_every_refusal_is_in_it(envelope: str, connect: Connect) -> None:
    """Keys, routes, limits, faults, broken HTTP and what is replayed all fit the document."""
    async with (
        Emulator(envelope=envelope, limit=3, idempotency=True) as emulator,
        connect(emulator) as http,
    ):
        document = await (await http.get("/openapi.json")).json()
        schema = {
            **document["components"]["schemas"]["Error"],
            "components": document["components"],
        }
        fits = jsonschema_rs.validator_for(schema).is_valid
        key = {"Idempotency-Key": "k"}
        emulator.add_fault("refuse", status=503, times=1, reference="faulty")
        answers = [
            await http.post(PATH, json=WRONG, headers={"Authorization": "Bearer x"}),
            await http.get("/v1/nothing"),
            await http.post(PATH, json={"client_reference_id": "faulty"}),
            await http.post(PATH, json=WRONG, headers=key),
            await http.post(PATH, json=WRONG, headers=key),
            await http.post(PATH, json=WRONG),
            await http.post(PATH, json=WRONG, headers={"Host": "evil.example"}),
        ]
        bodies = [await read(answer, envelope) for answer in answers]
    assert [answer.status for answer in answers] == [401, 404, 503, 422, 422, 429, 403]
    assert bodies[3] == bodies[4] == BODIES[envelope]
    assert [body for body in bodies if not fits(body)] == []


@pytest.mark.parametrize("envelope", BODIES)
async def test_what_is_no_http_is_refused_in_it(envelope: str) -> None:
    """Bytes that never became a request are answered in the same envelope."""
    async with Emulator(envelope=envelope) as emulator:
        port = int(emulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GARBAGE\r\n\r\n")
        body = (await reader.read()).partition(b"\r\n\r\n")[2].decode()
        writer.close()
    said = "This is not readable as HTTP."
    assert (body if envelope == "text" else said) == said
    assert envelope == "text" or said in json.dumps(json.loads(body))


async def test_the_admin_api_keeps_its_own(connect: Connect) -> None:
    """The dashboard reads the emulator's own errors, whatever the API speaks."""
    async with Emulator(envelope="ruby") as emulator, connect(emulator) as http:
        answer = await http.get("/_emulator/nothing")
        assert (await answer.json())["error"]["message"]


async def test_it_is_shown(connect: Connect) -> None:
    """Dashboard, document and page say which envelope it is."""
    async with Emulator(envelope="text") as emulator, connect(emulator) as http:
        snapshot = await (await http.get("/_emulator/snapshot")).json()
        document = await (await http.get("/openapi.json")).json()
        page = await (await http.get("/docs")).text()
    assert snapshot["settings"]["envelope"] == "text"
    refused = document["paths"][PATH]["post"]["responses"]["422"]["content"]
    assert list(refused) == ["text/plain"]
    assert "line_items.0.product must be filled." in page


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("standart", ValueError, "did you mean standard?"),
        ("xml", ValueError, "known are standard, cli, node, php, ruby, text"),
        (None, TypeError, "envelope must be a name"),
    ],
)
def test_an_unknown_envelope_is_refused(wrong: Any, error: type[Exception], said: str) -> None:
    """A name that there is not is refused, with what was meant."""
    with pytest.raises(error, match=said):
        Emulator(envelope=wrong)
