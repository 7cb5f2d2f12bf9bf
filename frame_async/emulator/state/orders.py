"""What a payer leaves with a session: an order, a transfer, a challenge to pass.

None of it holds a card or bank account number, nor a part of one.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias, cast

from attrs import asdict, field, frozen

from frame_async.emulator.api import checks
from frame_async.emulator.api.checks import Check, is_list, is_object

from .randomness import new_id

Method: TypeAlias = Literal["card", "bank", "saved"]
"""How a payer pays; ``saved`` is the ``payment_method`` of the request."""


@frozen(kw_only=True)
class Order:
    """What a payer chose and entered."""

    quantities: tuple[int, ...]
    """How many of each line item."""
    amount: int
    """The total in cents."""
    method: Method
    """How they pay."""
    email: str = field(repr=False)
    """Their e-mail address."""
    phone: str | None = field(default=None, repr=False)
    """Their phone number, where the session collects it."""
    shipping: Mapping[str, str] | None = field(default=None, repr=False)
    """Their address by part, where the session collects it."""

    def dump(self) -> dict[str, object]:
        """Return plain JSON values, to keep."""
        return {**asdict(self), "quantities": list(self.quantities)}

    @classmethod
    def load(cls, values: object) -> Self:
        """Make an order of what `dump` returned.

        Raises:
            ValueError: It is something else; the message names the field.
        """
        known = checked(values, _ORDER)
        known["quantities"] = tuple(known["quantities"])
        return cls(**known)


@frozen(kw_only=True)
class Transfer:
    """A payment on its way, or one that has ended."""

    id: str = field(factory=new_id)
    """A random UUID."""
    settles: float | None = None
    """When a bank payment will end, in seconds since the epoch; ``None`` for a card."""
    failure_code: str | None = None
    """Why it fails, already while it is on its way; ``None`` when it succeeds."""

    def dump(self) -> dict[str, object]:
        """Return plain JSON values, to keep."""
        return asdict(self)

    @classmethod
    def load(cls, values: object) -> Self:
        """Make a transfer of what `dump` returned.

        Raises:
            ValueError: It is something else; the message names the field.
        """
        return cls(**checked(values, _TRANSFER))


@frozen(kw_only=True)
class Challenge:
    """A 3-D Secure challenge that a payer has yet to answer."""

    order: Order
    """What is paid for when it is passed."""
    failure_code: str | None
    """Why the payment fails even then; ``None`` when it succeeds."""
    id: str = field(factory=new_id)
    """A random UUID, so that an old tab can't answer a new challenge."""


def checked(values: object, fields: Mapping[str, Check]) -> dict[str, Any]:
    """Return the values of exactly these fields, all of which must be there and sound.

    Raises:
        ValueError: They are not; the message names the first field that is wrong.
    """
    if not is_object(values):
        raise ValueError("must be an object")
    for name, wrong in checks.fields(values, fields, required=fields).items():
        raise ValueError(f"{name} {cast('list[str]', wrong)[0]}")
    return {name: values[name] for name in fields}


def or_null(check: Check) -> Check:
    """Make a check that lets ``None`` through and leaves the rest to another one."""
    return lambda value: [] if value is None else check(value)


def number(value: object) -> list[str]:
    """Check for a number of seconds, whole or not."""
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return [] if sound else ["must be a number"]


def _whole_numbers(value: object) -> list[str]:
    sound = is_list(value) and all(checks.is_integer(one) and one >= 0 for one in value)
    return [] if sound else ["must be a list of integers"]


def _texts(value: object) -> list[str]:
    sound = is_object(value) and all(isinstance(part, str) for part in value.values())
    return [] if sound else ["must be a hash of strings"]


_ORDER: Mapping[str, Check] = {
    "quantities": _whole_numbers,
    "amount": checks.integer(at_least=0),
    "method": checks.one_of("card", "bank", "saved"),
    "email": checks.text,
    "phone": or_null(checks.text),
    "shipping": or_null(_texts),
}
_TRANSFER: Mapping[str, Check] = {
    "id": checks.text,
    "settles": or_null(number),
    "failure_code": or_null(checks.text),
}
