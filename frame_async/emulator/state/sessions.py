"""Payment link sessions, as the emulator keeps them.

Fields and their order are those of the reference's example answer (Frame
reference, create a payment link session). Payment method data is not kept; of a kind that
can't be paid with here, its ``type`` is.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from attrs import define, field

from frame_async.emulator.api import checks
from frame_async.emulator.api.checks import Check
from frame_async.emulator.api.validation import foreign_kind_of, problems_of

from .orders import Challenge, Order, Transfer, checked, or_null
from .products import Shelf
from .randomness import NewId, new_id
from .weights import KEPT, weight

DAY = 86_400
"""Seconds that a session stays open unless ``expires_in`` says otherwise."""

Status: TypeAlias = Literal["open", "complete", "canceled", "expired"]
"""Whether a session can still be paid. Frame documents ``open`` only."""

PaymentStatus: TypeAlias = Literal["unpaid", "processing", "paid", "failed"]
"""How the payment stands. Frame documents ``unpaid`` only."""


@define(eq=False)
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
    """The fields of the request that are kept."""
    updated: int
    """When it last changed, in seconds since the epoch; expiry is no change."""
    state: Literal["open", "complete", "canceled"] = "open"
    """What has been done with it; `status` knows the time as well."""
    payment_status: PaymentStatus = "unpaid"
    """How its payment stands. A declined card leaves it ``unpaid``."""
    order: Order | None = None
    """What the payer chose and entered, once they have paid."""
    transfer: Transfer | None = None
    """The payment, from when it was accepted for processing."""
    shelf: Shelf = field(factory=Shelf, repr=False)
    """What its products are called and cost here; not dumped."""
    challenge: Challenge | None = field(default=None, repr=False)
    """A 3-D Secure challenge in progress; not dumped, so it is lost with the process."""

    @property
    def client_reference_id(self) -> str | None:
        """The merchant's own reference."""
        return self.given.get("client_reference_id")

    @property
    def success_url(self) -> str | None:
        """Where a payer goes after paying."""
        return self.given.get("success_url")

    @property
    def cancel_url(self) -> str | None:
        """Where a payer goes after cancelling."""
        return self.given.get("cancel_url")

    @property
    def not_payable(self) -> str | None:
        """The type of payment method data that can't be paid with here."""
        return foreign_kind_of(self.given)

    def status(self, now: float) -> Status:
        """Return the status at `now` (epoch seconds): only an open session expires."""
        return "expired" if self.state == "open" and now >= self.expires else self.state

    def as_json(self, now: float) -> dict[str, object]:
        """Return the session object of the reference, as it reads at `now`."""
        given = self.given.get
        return {
            "id": self.id,
            "customer_email": given("customer_email"),
            "payment_status": self.payment_status,
            "phone_number_collection": given("phone_number_collection", False),
            "shipping_address_collection": given("shipping_address_collection", False),
            "status": self.status(now),
            "client_reference_id": given("client_reference_id"),
            "object": "payment_link.session",
            "expires": self.expires,
            "created": self.created,
            "updated": self.updated,
            "livemode": False,
            "customer": given("customer"),
            "account": given("account"),
            "payment_method": given("payment_method"),
        }

    def dump(self) -> dict[str, object]:
        """Return all that is kept of the session as plain JSON values.

        There is no card or bank data in it, but there is what the payer entered.
        """
        return {
            "id": self.id,
            "created": self.created,
            "expires": self.expires,
            "line_items": [dict(item) for item in self.line_items],
            "given": dict(self.given),
            "updated": self.updated,
            "state": self.state,
            "payment_status": self.payment_status,
            "order": None if self.order is None else self.order.dump(),
            "transfer": None if self.transfer is None else self.transfer.dump(),
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """Make a session of what `dump` returned.

        Raises:
            ValueError: It is something else; the message names the field.
        """
        known = checked(values, _DUMPED)
        _check_request(known["given"], known["line_items"])
        order, transfer = known.pop("order"), known.pop("transfer")
        session = cls(
            **known,
            order=None if order is None else Order.load(order),
            transfer=None if transfer is None else Transfer.load(transfer),
        )
        _check_payment(session)
        return session


@define(eq=False)
class Sessions:
    """The sessions made so far, the expired ones too."""

    limit: int | None = None
    """Most sessions that are kept, the newest; ``None`` sets no number."""
    most_bytes: int = field(default=KEPT, kw_only=True)
    """Most bytes that they take, about; the newest is kept whatever it takes."""
    new_id: NewId = field(default=new_id, repr=False)
    """Makes their ids."""
    shelf: Shelf = field(factory=Shelf, kw_only=True, repr=False)
    """The products."""
    count: int = field(init=False, default=0)
    """How many were made, those that went too."""
    on_create: Callable[[Session], object] | None = field(default=None, repr=False)
    """Is called with each session that `create` makes."""
    _bytes: int = field(init=False, default=0)
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
            given=_known(body, _KEPT) | _kind(body),
            updated=made,
        )
        self.count += 1
        self.add(session)
        if self.on_create is not None:
            self.on_create(session)
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
        self._bytes = self.count = 0

    def restore(self, sessions: Iterable[Session], count: int) -> None:
        """Take over the sessions of an earlier run, oldest first."""
        self.clear()
        for session in sessions:
            self.add(session)
        self.count = count

    def add(self, session: Session) -> None:
        """Take in a session that was made before, such as a loaded one."""
        session.shelf = self.shelf
        self._by_id[session.id] = session
        self._bytes += _size(session)
        if session.client_reference_id is not None:
            self._by_reference.setdefault(session.client_reference_id, {})[session.id] = None
        while len(self._by_id) > 1 and self._is_full():
            self._forget_oldest()

    def _is_full(self) -> bool:
        too_many = self.limit is not None and len(self._by_id) > self.limit
        return too_many or self._bytes > self.most_bytes

    def _forget_oldest(self) -> None:
        _, session = self._by_id.popitem(last=False)
        self._bytes -= _size(session)
        reference = session.client_reference_id
        if reference is not None:
            ids = self._by_reference[reference]
            del ids[session.id]
            if not ids:
                del self._by_reference[reference]


_ITEM = ("product", "quantity_minimum", "quantity_maximum")
_KEPT = (
    "customer",
    "account",
    "customer_email",
    "client_reference_id",
    "phone_number_collection",
    "shipping_address_collection",
    "payment_method",
    "success_url",
    "cancel_url",
)

_DUMPED: Mapping[str, Check] = {
    "id": checks.text,
    "created": checks.integer(at_least=0),
    "expires": checks.integer(at_least=0),
    "line_items": lambda value: [] if checks.is_list(value) else ["must be an array"],
    "given": checks.mapping,
    "updated": checks.integer(at_least=0),
    "state": checks.one_of("open", "complete", "canceled"),
    "payment_status": checks.one_of("unpaid", "processing", "paid", "failed"),
    "order": or_null(checks.mapping),
    "transfer": or_null(checks.mapping),
}


def _check_request(given: Mapping[str, Any], line_items: Sequence[Any]) -> None:
    kept = {**_known(given, _KEPT), **_kind(given)}
    if stranger := next((name for name in given if kept.get(name) != given[name]), None):
        raise ValueError(f"given.{stranger} is not a field that is kept")
    for name in problems_of({**given, "line_items": line_items}):
        raise ValueError(f"{name} breaks a rule of the API")


def _check_payment(session: Session) -> None:
    order, transfer = session.order, session.transfer
    if order is not None and len(order.quantities) != len(session.line_items):
        raise ValueError("order.quantities must have one number for each of line_items")
    if session.payment_status == "unpaid":
        return
    if order is None or transfer is None:
        raise ValueError("payment_status needs an order and a transfer")
    if session.payment_status == "processing" and transfer.settles is None:
        raise ValueError("transfer.settles is missing")


def _kind(body: Mapping[str, Any]) -> dict[str, Any]:
    kind = foreign_kind_of(body)
    return {} if kind is None else {"payment_method_data": {"type": kind}}


def _size(session: Session) -> int:
    return weight((session.given, session.line_items))


def _known(source: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}
