"""What the emulator sends, which was written without this code, is what the receiver reads."""

from support.signing import SECRET

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.desk import Arrival, Desk
from frame_async.emulator import Emulator
from frame_async.webhooks import EventType, WebhookReceiver


async def test_the_emulators_webhooks_are_genuine() -> None:
    """An event of the emulator's comes in, verifies, and names its session and reference."""
    told: list[Arrival] = []
    order = PaymentLinkSessionRequest(
        client_reference_id="order-42", line_items=[LineItem(product="prod_1")]
    )
    async with (
        Desk(WebhookReceiver(SECRET), None, told.append) as desk,
        Emulator(limit=None, webhooks=[(desk.url, SECRET)]) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url) as frame,
    ):
        session = await frame.payment_link_sessions.create(order)
        await emulator.webhooks.settled()
    (arrival,) = told
    event = arrival.event
    assert event is not None
    assert (arrival.status, event.type) == (200, EventType.PAYMENT_LINK_CREATED)
    assert (event.session_id, event.client_reference_id) == (session.id, "order-42")
    assert (event.livemode, event.created) == (False, session.created)
