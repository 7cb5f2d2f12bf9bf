"""A small shop: it takes orders to Frame, and learns from Frame that they were paid."""

import os
from collections.abc import Mapping

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.errors import EventInFlightError, RedirectError, StoreError, WebhookError
from frame_async.webhooks import Event, EventType, RedirectSigner, WebhookReceiver


class Shop:
    """Orders by number, which of them are paid, and payments that a person has to look at."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.paid: list[str] = []
        self.for_a_person: list[Event] = []
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
        self.sessions[number] = session.id
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
        """Ship what was paid, and leave what names no order to a person."""
        if event.type != EventType.TRANSFER_SUCCEEDED:
            return
        number = self.order_of(event)
        if number is None:
            self.for_a_person.append(event)
        else:
            self.paid.append(number)

    def order_of(self, event: Event) -> str | None:
        """The one order that an event names, by its number or its session; else None."""
        named = set(event.references().values())
        found = [number for number, session in self.sessions.items() if named & {number, session}]
        return found[0] if len(found) == 1 else None

    def thank(self, url: str) -> str:
        """What the payer reads on coming back: an order is returned, and paid by webhook."""
        try:
            redirect = self.redirects.verify(url)
        except RedirectError:
            return "Thank you. We will write to you."
        status = "paid" if redirect.client_reference_id in self.paid else "returned"
        return f"Thank you. Your order {redirect.client_reference_id} is {status}."
