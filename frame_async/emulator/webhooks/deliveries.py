"""What is known of webhooks: the endpoints, and the deliveries to them."""

from typing import Literal, TypeAlias

from attrs import field, frozen

from frame_async.emulator.state.randomness import new_id

State: TypeAlias = Literal["pending", "delivered", "failed"]
"""How a delivery stands."""


@frozen(kw_only=True)
class Endpoint:
    """Where events are delivered."""

    id: str
    """A random UUID, sent as ``X-Frame-Webhook-Id``."""
    url: str
    """The address."""
    secret: str = field(repr=False)
    """Signs what is delivered; used as it is, also when it begins with ``whsec_``."""
    events: tuple[str, ...] = ("*",)
    """The types of events it wants; ``*`` stands for all."""
    created: float
    """When it was registered, in seconds since the epoch."""

    def wants(self, event_type: str) -> bool:
        """Tell whether events of this type are delivered here."""
        return "*" in self.events or event_type in self.events


@frozen(kw_only=True)
class DeliveryAttempt:
    """One request to an endpoint."""

    at: float
    """When it began, in seconds since the epoch."""
    status: int | None
    """The status answered; ``None`` without an answer."""
    error: str | None
    """Why there was no answer; ``None`` when there was one."""
    seconds: float
    """How long it took."""


@frozen(kw_only=True)
class Delivery:
    """One event on its way to one endpoint, as it stands now."""

    id: str
    """A random UUID."""
    event_id: str
    """The id of the event."""
    event_type: str
    """The type of the event, such as ``transfer.succeeded``."""
    endpoint_id: str
    """The id of the endpoint."""
    url: str
    """Where it goes."""
    body: bytes = field(repr=False)
    """The bytes that are sent and signed."""
    attempts: tuple[DeliveryAttempt, ...] = ()
    """The attempts so far, oldest first."""
    state: State = "pending"
    """Whether it has arrived, or will be tried no more."""
    given_up: str | None = None
    """Why it failed before all attempts were made; ``None`` when they were."""

    @classmethod
    def begin(cls, endpoint: Endpoint, event_id: str, event_type: str, body: bytes) -> "Delivery":
        """Make a delivery that has yet to be attempted."""
        return cls(
            id=new_id(),
            event_id=event_id,
            event_type=event_type,
            endpoint_id=endpoint.id,
            url=endpoint.url,
            body=body,
        )
