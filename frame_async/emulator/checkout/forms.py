"""The form of the checkout page: what a payer sent, what is wrong with it, and what to show again.

Card and bank account numbers are looked up here and go no further.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web
from attrs import define, field, frozen

from frame_async.emulator.api.answers import bad_request
from frame_async.emulator.api.bodies import read_body
from frame_async.emulator.state.orders import Method, Order
from frame_async.emulator.state.sessions import Session

from .catalog import choice_of
from .instruments import BANK_ACCOUNTS, CARDS, ROUTING_NUMBER, SUCCEEDS, Behaviour

Values: TypeAlias = Mapping[str, str]
"""The fields of a form by name."""

SHIPPING: Mapping[str, str] = {
    "ship_name": "Enter the name of who gets it.",
    "ship_line1": "Enter the street and house number.",
    "ship_line2": "",
    "ship_city": "Enter the town or city.",
    "ship_state": "",
    "ship_postal_code": "Enter the postal code.",
    "ship_country": "Enter the country.",
}
"""The fields of a shipping address, with the words for a missing one; empty: optional."""

_SECRET = frozenset(("card_number", "card_expiry", "card_cvc", "routing_number", "account_number"))
_LONGEST = 200
_MOST_FIELDS = 64  # beside one quantity for each line item

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+?[0-9 ()./-]{5,30}")
_EXPIRY = re.compile(r"([0-9]{1,2})\s*[/-]?\s*(?:20)?([0-9]{2})")
_SEPARATORS = re.compile(r"[\s-]+")


async def read_form(request: web.BaseRequest, session: Session) -> dict[str, str]:
    """Read a form; of a name that occurs twice the last value counts.

    Raises:
        RefusedError: It is no form, or none of this page.
        ConnectionError: The client left before the form was complete.
    """
    raw = await read_body(request, "application/x-www-form-urlencoded")
    most = _MOST_FIELDS + len(session.line_items)
    try:
        pairs = parse_qsl(
            raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=most
        )
    except ValueError:  # its message may repeat what came in
        raise bad_request(400, "The form has too many fields.") from None
    return dict(pairs)


def shown(values: Values) -> dict[str, str]:
    """Return the values that the page may show again: no card and no account."""
    return {name: value for name, value in values.items() if name not in _SECRET}


def quantities_of(session: Session, values: Values) -> tuple[int, ...]:
    """Return how many of each line item the payer chose; what can't be read is the usual."""
    entry = Entry(session, values, 0.0)
    return tuple(entry.quantity(index) for index in range(len(session.line_items)))


def total_of(session: Session, quantities: tuple[int, ...]) -> int:
    """Return what that many of each line item cost together, in cents."""
    items = zip(session.line_items, quantities, strict=True)
    price_of = session.shelf.product_of
    return sum(price_of(item["product"]).price * quantity for item, quantity in items)


@define(eq=False)
class Entry:
    """Reads one form field by field, and notes what is wrong."""

    session: Session
    """The session that is paid."""
    values: Values = field(repr=False)
    """What came."""
    now: float
    """The time in seconds since the epoch: cards expire."""
    errors: dict[str, str] = field(init=False, factory=dict[str, str])
    """What is wrong, by field, in words for the payer."""

    def read(self) -> tuple[Order, Behaviour]:
        """Read everything. What it returns counts only when there are no `errors`."""
        quantities = tuple(self.quantity(index) for index in range(len(self.session.line_items)))
        if not any(quantities):
            self.errors.setdefault("quantity_0", "Choose at least one thing.")
        email = self._matching("email", _EMAIL, "Enter an e-mail address, like name@example.com.")
        phone = self._phone()
        shipping = self._shipping()
        method, behaviour = self._method()
        order = Order(
            quantities=quantities,
            amount=total_of(self.session, quantities),
            method=method,
            email=email,
            phone=phone,
            shipping=shipping,
        )
        return order, behaviour

    def quantity(self, index: int) -> int:
        """Read the quantity of a line item; one that was not sent is the usual one."""
        name, choice = f"quantity_{index}", choice_of(self.session.line_items[index])
        text = self.values.get(name, str(choice.usual)).strip()
        number = int(text) if re.fullmatch("[0-9]{1,9}", text) else -1
        if choice.least <= number <= choice.most:
            return number
        self.errors[name] = (
            f"Enter {choice.least}."
            if choice.least == choice.most
            else f"Enter a number from {choice.least} to {choice.most}."
        )
        return choice.usual

    def _text(self, name: str, missing: str) -> str:
        text = self.values.get(name, "").strip()
        if not text and missing:
            self.errors[name] = missing
        if len(text) > _LONGEST:
            self.errors[name] = f"Enter at most {_LONGEST} characters."
        return text

    def _matching(self, name: str, pattern: re.Pattern[str], wrong: str) -> str:
        text = self._text(name, wrong)
        if name not in self.errors and not pattern.fullmatch(text):
            self.errors[name] = wrong
        return text

    def _phone(self) -> str | None:
        if not self.session.given.get("phone_number_collection"):
            return None
        return self._matching("phone", _PHONE, "Enter a phone number, like +1 202 555 0123.")

    def _shipping(self) -> dict[str, str] | None:
        if not self.session.given.get("shipping_address_collection"):
            return None
        texts = {name: self._text(name, missing) for name, missing in SHIPPING.items()}
        return {name.removeprefix("ship_"): text for name, text in texts.items() if text}

    def _method(self) -> tuple[Method, Behaviour]:
        name = self.values.get("method", "card")
        if name == "bank":
            return "bank", self._bank_account()
        if name == "saved" and self.session.given.get("payment_method"):
            return "saved", SUCCEEDS
        return "card", self._card()

    def _card(self) -> Behaviour:
        behaviour = self._known("card_number", CARDS, "card")
        expiry = _EXPIRY.fullmatch(self.values.get("card_expiry", "").strip())
        if expiry is None or not 1 <= int(expiry[1]) <= 12:
            self.errors["card_expiry"] = "Enter month and year, like 12 / 34."
        elif self._is_past(int(expiry[1]), 2000 + int(expiry[2])):
            self.errors["card_expiry"] = "Enter a date that is not past."
        if not re.fullmatch("[0-9]{3,4}", self.values.get("card_cvc", "").strip()):
            self.errors["card_cvc"] = "Enter the 3 or 4 digits."
        return behaviour

    def _bank_account(self) -> Behaviour:
        if self._digits("routing_number") != ROUTING_NUMBER:
            self.errors["routing_number"] = f"Enter the test routing number, {ROUTING_NUMBER}."
        return self._known("account_number", BANK_ACCOUNTS, "account")

    def _known(self, name: str, known: Mapping[str, Behaviour], what: str) -> Behaviour:
        digits = self._digits(name)
        behaviour = known.get(digits)
        if behaviour is None:
            self.errors[name] = (
                f"This is not one of Frame's test {what}s. Pick one from the list below: "
                "real ones are never taken here."
                if digits
                else f"Enter the number of a test {what}."
            )
        return behaviour or SUCCEEDS

    def _digits(self, name: str) -> str:
        return _SEPARATORS.sub("", self.values.get(name, ""))

    def _is_past(self, month: int, year: int) -> bool:
        today = datetime.fromtimestamp(self.now, UTC)
        return (year, month) < (today.year, today.month)


@frozen
class Entered:
    """One state of the form."""

    session: Session
    """The session that is paid."""
    values: Values = field(converter=shown, repr=False)
    """The fields, except those of a card or an account, which are never shown again."""
    errors: Values = field(factory=dict[str, str])
    """What is wrong, by field."""
    declined: str | None = None
    """Why the payment was declined, in words for the payer."""

    @property
    def quantities(self) -> tuple[int, ...]:
        """How many of each line item."""
        return quantities_of(self.session, self.values)
