"""Payment link sessions, as the emulator keeps them.

Fields and their order are those of the reference's example answer (Frame
reference, create a payment link session). Payment method data is not kept.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from .ids import new_id

DAY = 86_400
"""Seconds that a session stays open unless ``expires_in`` says otherwise."""


@frozen
class Session:
    """One payment link session."""

    id: str
    """A random UUID, as Frame's are."""
    created: int
    """When it was made, in seconds since the epoch."""
    expires: int
    """From when on it cannot be paid any more, in seconds since the epoch."""
    line_items: Sequence[Mapping[str, Any]]
    """The products asked for, with the fields that the reference names."""
    given: Mapping[str, Any] = field(repr=False)
    """The fields of the request that the answer repeats."""

    @property
    def client_reference_id(self) -> str | None:
        """The merchant's own reference."""
        return self.given.get("client_reference_id")

    def status(self, now: float) -> str:
        """Return ``open``, or ``expired`` once `now` (epoch seconds) has reached `expires`."""
        return "open" if now < self.expires else "expired"

    def as_json(self, now: float) -> dict[str, object]:
        """Return the session object of the reference, as it reads at `now`."""
        given = self.given.get
        return {
            "id": self.id,
            "customer_email": given("customer_email"),
            "payment_status": "unpaid",
            "phone_number_collection": given("phone_number_collection", False),
            "shipping_address_collection": given("shipping_address_collection", False),
            "status": self.status(now),
            "client_reference_id": given("client_reference_id"),
            "object": "payment_link.session",
            "expires": self.expires,
            "created": self.created,
            "updated": self.created,
            "livemode": False,
            "customer": given("customer"),
            "account": given("account"),
            "payment_method": given("payment_method"),
        }


@define(eq=False)
class Sessions:
    """All sessions made so far, the expired ones too."""

    _by_id: dict[str, Session] = field(init=False, factory=dict[str, Session], repr=False)
    _by_reference: defaultdict[str, list[str]] = field(
        init=False, factory=lambda: defaultdict(list), repr=False
    )

    def create(self, body: Mapping[str, Any], now: float) -> Session:
        """Make a session from a request body that the rules have passed."""
        made = int(now)
        session = Session(
            id=new_id(),
            created=made,
            expires=made + body.get("expires_in", DAY),
            line_items=tuple(_known(item, _ITEM) for item in body["line_items"]),
            given=_known(body, _REPEATED),
        )
        self._by_id[session.id] = session
        if session.client_reference_id is not None:
            self._by_reference[session.client_reference_id].append(session.id)
        return session

    def get(self, session_id: str) -> Session | None:
        """Return the session of that id, if there is one."""
        return self._by_id.get(session_id)

    def ids(self, reference: str | None = None) -> tuple[str, ...]:
        """Return the ids made, oldest first: all, or those of one merchant reference."""
        if reference is None:
            return tuple(self._by_id)
        return tuple(self._by_reference.get(reference, ()))


_ITEM = ("product", "quantity_minimum", "quantity_maximum")
_REPEATED = (
    "customer",
    "account",
    "customer_email",
    "client_reference_id",
    "phone_number_collection",
    "shipping_address_collection",
    "payment_method",
)


def _known(source: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}
