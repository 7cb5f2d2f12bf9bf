"""What the admin API and the dashboard ask of the part that sends webhooks."""

from collections.abc import Sequence
from typing import Protocol


class Endpoint(Protocol):
    """Where events go."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def url(self) -> str:
        """The address that events are posted to."""
        ...

    @property
    def secret(self) -> str:
        """What its events are signed with."""
        ...

    @property
    def events(self) -> Sequence[str]:
        """The types of events that it wants; ``*`` for all."""
        ...

    @property
    def created(self) -> float:
        """When it was registered, in seconds since the epoch."""
        ...


class DeliveryAttempt(Protocol):
    """One POST of an event."""

    @property
    def at(self) -> float:
        """When it was made, in seconds since the epoch."""
        ...

    @property
    def status(self) -> int | None:
        """The status answered, if there was an answer."""
        ...

    @property
    def error(self) -> str | None:
        """What went wrong, if there was no answer."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


class Delivery(Protocol):
    """An event on its way to one endpoint."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def event_id(self) -> str:
        """The id of the event."""
        ...

    @property
    def event_type(self) -> str:
        """The type of the event."""
        ...

    @property
    def endpoint_id(self) -> str:
        """The endpoint that it goes to."""
        ...

    @property
    def url(self) -> str:
        """The address that it goes to."""
        ...

    @property
    def attempts(self) -> Sequence[DeliveryAttempt]:
        """Every POST so far."""
        ...

    @property
    def state(self) -> str:
        """``pending``, ``delivered`` or ``failed``."""
        ...

    @property
    def body(self) -> bytes:
        """What is sent."""
        ...


class WebhookDesk(Protocol):
    """Registers endpoints, and knows what was delivered."""

    def register(
        self, url: str, *, secret: str | None = None, events: Sequence[str] = ("*",)
    ) -> Endpoint:
        """Add an endpoint; `ValueError` for an address that is not allowed."""
        ...

    def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint; tell whether there was one."""
        ...

    def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints."""
        ...

    def deliveries(self) -> Sequence[Delivery]:
        """Return all deliveries, newest last."""
        ...

    def clear(self) -> None:
        """Forget all deliveries."""
        ...

    def resend(self, delivery_id: str) -> Delivery | None:
        """Deliver an event once more; ``None`` when there is no such delivery."""
        ...
