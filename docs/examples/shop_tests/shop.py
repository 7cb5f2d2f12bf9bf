"""A small shop: it takes orders to Frame, and learns from Frame that they were paid."""

import os
from collections.abc import Mapping

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.errors import EventInFlightError, RedirectError, StoreError, WebhookError
from frame_async.webhooks import Event, EventType, RedirectSigner, WebhookReceiver


class Shop:
    """Orders by number, and which of them are paid."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.webhooks = WebhookReceiver(store=os.environ.get("SHOP_STORE", "memory://"))
        self.redirects = RedirectSigner(os.environ["SHOP_REDIRECT_SECRET"])

    async def check_out(self, number: str) -> str:
        """The address of the page where the payer pays for an order."""
        request = PaymentLinkSessionRequest(
            client_reference_id=number,
            line_items=[LineItem(product="prod_mug")],
            success_url="https://shop.example/thanks",
            expires_in=900,
        )
        async with FrameClient() as frame:
            session = await frame.payment_link_sessions.create(request, idempotency_key=number)
        return session.url or ""

    async def receive(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The HTTP status to answer to a webhook."""
        try:
            event = self.webhooks.verify(body, headers)
        except WebhookError:
            return 400
        try:
            async with self.webhooks.once(event) as turn:
                if turn.first:
                    self.act(event)
        except (EventInFlightError, StoreError):
            return 503
        return 200

    def act(self, event: Event) -> None:
        """Ship what was paid."""
        if event.type == EventType.TRANSFER_SUCCEEDED and event.client_reference_id:
            self.paid.append(event.client_reference_id)

    def thank(self, url: str) -> str:
        """What the payer reads on coming back: a hint; what is shipped, the webhook says."""
        try:
            redirect = self.redirects.verify(url)
        except RedirectError:
            return "Thank you. We will write to you."
        return f"Thank you. Your order {redirect.client_reference_id} is {redirect.result}."
