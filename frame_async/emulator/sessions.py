"""Payment link sessions, as the emulator keeps them.

Fields and their order are those of the reference's example answer (Frame
reference, create a payment link session). Payment method data is not kept.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from .ids import NewId, new_id

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

    def dump(self) -> dict[str, Any]:
        """Return the session as plain JSON values, to be kept in a file."""
        return {
            "id": self.id,
            "created": self.created,
            "expires": self.expires,
            "line_items": [dict(item) for item in self.line_items],
            "given": dict(self.given),
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "Session":
        """Make the session that was dumped.

        Raises:
            KeyError: These are not the values of a session.
            TypeError: The same.
        """
        items = tuple(dict(item) for item in values["line_items"])
        given = dict(values["given"])
        return cls(values["id"], values["created"], values["expires"], items, given)

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
    """The sessions made so far, the expired ones too."""

    limit: int | None = None
    """Most sessions that are kept, the newest; ``None`` keeps all."""
    new_id: NewId = field(default=new_id, repr=False)
    """Makes their ids."""
    count: int = field(init=False, default=0)
    """How many were made, those that went too."""
    _by_id: OrderedDict[str, Session] = field(
        init=False, factory=OrderedDict[str, Session], repr=False
    )
    _by_reference: dict[str, dict[str, None]] = field(  # ids in order, and quick to take out
        init=False, factory=dict[str, dict[str, None]], repr=False
    )

    def create(self, body: Mapping[str, Any], now: float) -> Session:
        """Make a session from a request body that the rules have passed."""
        made = int(now)
        session = Session(
            id=self.new_id(),
            created=made,
            expires=made + body.get("expires_in", DAY),
            line_items=tuple(_known(item, _ITEM) for item in body["line_items"]),
            given=_known(body, _REPEATED),
        )
        self.count += 1
        self._keep(session)
        return session

    def get(self, session_id: str) -> Session | None:
        """Return the session of that id, if there is one."""
        return self._by_id.get(session_id)

    def ids(self, reference: str | None = None) -> tuple[str, ...]:
        """Return the ids made, oldest first: all, or those of one merchant reference."""
        if reference is None:
            return tuple(self._by_id)
        return tuple(self._by_reference.get(reference, ()))

    def newest(self, reference: str | None = None) -> Iterator[Session]:
        """Return the sessions kept, newest first: all, or those of one merchant reference."""
        if reference is None:
            return reversed(self._by_id.values())
        return (self._by_id[one] for one in reversed(self._by_reference.get(reference, {})))

    def oldest(self) -> tuple[Session, ...]:
        """Return the sessions kept, oldest first."""
        return tuple(self._by_id.values())

    def clear(self) -> None:
        """Forget all sessions."""
        self._by_id.clear()
        self._by_reference.clear()
        self.count = 0

    def restore(self, sessions: Iterable[Session], count: int) -> None:
        """Take over the sessions of an earlier run, oldest first."""
        self.clear()
        for session in sessions:
            self._keep(session)
        self.count = count

    def _keep(self, session: Session) -> None:
        if self.limit is not None and len(self._by_id) >= self.limit:
            self._forget_oldest()
        self._by_id[session.id] = session
        if session.client_reference_id is not None:
            self._by_reference.setdefault(session.client_reference_id, {})[session.id] = None

    def _forget_oldest(self) -> None:
        _, session = self._by_id.popitem(last=False)
        reference = session.client_reference_id
        if reference is not None:
            ids = self._by_reference[reference]
            del ids[session.id]
            if not ids:
                del self._by_reference[reference]


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
