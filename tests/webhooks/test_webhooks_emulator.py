"""What the emulator sends, which was written without this code, is what the receiver reads."""

from collections.abc import Callable

import aiohttp
import pytest
from support.signing import SECRET

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.stores import MemoryStore
from frame_async.webhooks import Event, EventType, RedirectResult, RedirectSigner, WebhookReceiver
from frame_async.webhooks.listen import Arrival, Listener

Told = Callable[[str], tuple[str | None, dict[str, str]]]
CARD = {"email": "ada@mail.example", "card_expiry": "12/34", "card_cvc": "123"}


def named(event: Event) -> dict[str, str]:
    """What an event refers to beside the charge intent, which each transfer has."""
    found = event.references()
    assert found.pop("data.charge_intent")
    return found


async def test_the_emulators_webhooks_are_genuine() -> None:
    """An event of the emulator's comes in, verifies, and names no session that it isn't of."""
    arrivals: list[Arrival] = []
    order = PaymentLinkSessionRequest(
        client_reference_id="order-42", line_items=[LineItem(product="prod_1")]
    )
    async with (
        Listener(WebhookReceiver(SECRET), None, arrivals.append) as listener,
        Emulator(limit=None, webhooks=[(listener.url, SECRET)]) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url) as frame,
    ):
        session = await frame.payment_link_sessions.create(order)
        await emulator.webhooks.settled()
    (arrival,) = arrivals
    event = arrival.event
    assert event is not None
    assert (arrival.status, event.type) == (200, EventType.PAYMENT_LINK_CREATED)
    assert (event.session_id, event.references()) == (None, {})
    assert (event.livemode, event.created) == (False, session.created)


@pytest.mark.parametrize(
    ("assumed", "told"),
    [
        ([], lambda _: (None, {})),
        (
            ["reference-in-metadata"],
            lambda _: (None, {"data.metadata.client_reference_id": "order-42"}),
        ),
        (
            ["client-reference-id-in-transfer"],
            lambda _: (None, {"data.client_reference_id": "order-42"}),
        ),
        (["session-events"], lambda found: (found, {"data.payment_link_session": found})),
    ],
    ids=["as published", "metadata", "transfer", "session"],
)
async def test_a_payment_comes_back_twice(assumed: list[str], told: Told) -> None:
    """A paid session brings the payer back with a genuine hint, and a webhook with the truth.

    What the webhook refers to is what is assumed of it, beside its charge intent.
    """
    arrivals: list[Arrival] = []
    receiver = WebhookReceiver(SECRET, store=MemoryStore())
    order = PaymentLinkSessionRequest(
        client_reference_id="order-42",
        success_url="https://shop.example/thanks?order=42#top",
        line_items=[LineItem(product="prod_1")],
    )
    async with (
        Listener(receiver, None, arrivals.append) as listener,
        Emulator(limit=None, webhooks=[(listener.url, SECRET)], assume=assumed) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url) as frame,
        aiohttp.ClientSession() as browser,
    ):
        session = await frame.payment_link_sessions.create(order)
        assert session.url is not None
        form = {**CARD, "card_number": "4242424242424242"}
        paid = await browser.post(session.url, data=form, allow_redirects=False)
        await emulator.webhooks.settled()
        back = paid.headers["Location"]
        hint = RedirectSigner(emulator.redirect_secret).verify(back)
    assert back.startswith("https://shop.example/thanks?order=42&")
    assert back.endswith("#top")
    assert (hint.session, hint.client_reference_id) == (session.id, "order-42")
    assert hint.result == RedirectResult.PAID
    events = {a.event.type: a.event for a in arrivals if a.event is not None}
    truth = events[EventType.TRANSFER_SUCCEEDED]
    assert told(session.id) == (truth.session_id, named(truth))
    turns = []
    for _ in range(2):
        async with receiver.once(truth) as turn:
            turns.append(turn.first)
    assert turns == [True, False]


@pytest.mark.parametrize("number", ["4726846912498186", "4726840306461785"])
async def test_a_decline_is_told(number: str) -> None:
    """A declined card brings a genuine event of a failed transfer."""
    arrivals: list[Arrival] = []
    order = PaymentLinkSessionRequest(
        client_reference_id="order-42", line_items=[LineItem(product="prod_1")]
    )
    async with (
        Listener(WebhookReceiver(SECRET), None, arrivals.append) as listener,
        Emulator(limit=None, webhooks=[(listener.url, SECRET)]) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url) as frame,
        aiohttp.ClientSession() as browser,
    ):
        session = await frame.payment_link_sessions.create(order)
        assert session.url is not None
        form = {**CARD, "card_number": number}
        await browser.post(session.url, data=form, allow_redirects=False)
        await emulator.webhooks.settled()
    types = [a.event.type for a in arrivals if a.event is not None]
    assert EventType.TRANSFER_FAILED in types
    assert EventType.TRANSFER_SUCCEEDED not in types
