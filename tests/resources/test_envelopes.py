"""Errors over the wire, in every envelope that Frame uses: the client reads all of them."""

from typing import Any

import pytest
from attrs import evolve

from frame_async import FrameClient, RetryPolicy
from frame_async.emulator import Emulator
from frame_async.errors import NothingCreatedError, ServerAnswer

ENVELOPES = ["standard", "cli", "node", "php", "ruby", "text"]
SAID = "It is not valid."
WHOLE = f"{SAID} name must be filled. description must be filled."
FIELDS = {"name": ("must be filled",), "description": ("must be filled",)}
PRODUCT = {"default_price": 1_000, "purchase_type": "one_time"}
READ = {
    "standard": ServerAnswer(422, message=SAID, field_errors=FIELDS),
    "cli": ServerAnswer(422, message=SAID, type="validation_error", field_errors=FIELDS),
    "node": ServerAnswer(422, message=WHOLE, code="validation_error"),
    "php": ServerAnswer(422, message=WHOLE, code="422"),  # PHP has numbers for codes
    "ruby": ServerAnswer(422, message=WHOLE),
    "text": ServerAnswer(422, message=WHOLE),
}


async def refused(emulator: Emulator, body: Any, key: str = "") -> ServerAnswer:
    """What is read of a refusal, without what differs from call to call."""
    key = key or emulator.api_key
    async with FrameClient(
        key, base_url=emulator.base_url, retry=RetryPolicy(max_retries=0), rate_limit=None
    ) as frame:
        with pytest.raises(NothingCreatedError) as caught:
            await frame.request("POST", "/v1/products", json=body)
    answer = caught.value.answer
    assert answer is not None
    assert answer.request_id
    return evolve(answer, request_id=None)


@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_a_422_is_read(envelope: str) -> None:
    """What is wrong in which field is read, from its own place or from the message."""
    async with Emulator(envelope=envelope) as emulator:
        answer = await refused(emulator, PRODUCT)
    assert answer == READ[envelope]


@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_other_refusals_are_read(envelope: str) -> None:
    """A wrong key and a full window say why, in every envelope."""
    async with Emulator(envelope=envelope, limit=1) as emulator:
        unknown = await refused(emulator, {}, key="rk_unknown_0123456789")
        await refused(emulator, PRODUCT)
        full = await refused(emulator, PRODUCT)
    assert (unknown.status, full.status) == (401, 429)
    assert "key" in str(unknown.message)
    assert full.message == "More than 1 requests in 60 s with this key."
