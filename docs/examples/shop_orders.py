"""The shops' orders, in a file; ``python shop_orders.py`` lists the payments for a person."""

import json
import os
import secrets
import sqlite3
from typing import NamedTuple

from frame_async.webhooks import Event


class Order(NamedTuple):
    number: str
    product: str
    status: str
    tries: int

    @property
    def key(self) -> str:
        """The idempotency key: the same until the payer cancels, whatever else happens."""
        return self.number if self.tries == 0 else f"{self.number}-{self.tries}"


class Orders:
    """Orders by number: open, returned when the payer came back, paid when Frame says so."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, product TEXT,"
            " status TEXT DEFAULT 'open', tries INTEGER DEFAULT 0, session TEXT, payment TEXT)"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS unmatched (event TEXT PRIMARY KEY, why TEXT, known TEXT)"
        )

    def add(self, product: str) -> str:
        number = f"order-{secrets.token_hex(6)}"
        self._db.execute("INSERT INTO orders (number, product) VALUES (?, ?)", (number, product))
        return number

    def get(self, number: str) -> Order | None:
        query = "SELECT number, product, status, tries FROM orders WHERE number = ?"
        row = self._db.execute(query, (number,)).fetchone()
        return None if row is None else Order(*row)

    def opened(self, number: str, session: str) -> None:
        """This is the session that the payer was sent to."""
        self._db.execute("UPDATE orders SET session = ? WHERE number = ?", (session, number))

    def returned(self, number: str) -> None:
        """The payer came back from paying: a hint for a friendly page, and no proof."""
        change = "UPDATE orders SET status = 'returned' WHERE number = ? AND status = 'open'"
        self._db.execute(change, (number,))

    def cancelled(self, session: str) -> None:
        """The session is of no more use, so the next payment gets another one."""
        change = "UPDATE orders SET tries = tries + 1, session = NULL WHERE session = ?"
        self._db.execute(f"{change} AND status = 'open'", (session,))

    def order_of(self, event: Event) -> str | None:
        """The one order that an event names; None if it names none, or several.

        The only place that ties a payment to an order. Frame publishes no field of a transfer
        that certainly does, so every value that may is looked up, as an order's number or as
        its session.
        """
        named = self._named_by(event)
        return named[0] if len(named) == 1 else None

    def _named_by(self, event: Event) -> list[str]:
        query = "SELECT number FROM orders WHERE ? IN (number, session)"
        values = set(event.references().values())
        found = {row[0] for value in values for row in self._db.execute(query, (value,))}
        return sorted(found)

    def receive(self, event: Event) -> None:
        """A payment landed: its order is paid, or a person has to look at it."""
        number = self.order_of(event)
        if number is None:
            self._leave_to_a_person(event, "it names no order, or several")
        elif self._paid(number, event.id):
            print(f"{number} is paid: ship it", flush=True)
        elif self._payment_of(number) != event.id:
            self._leave_to_a_person(event, "its order is paid already, by another payment")

    def failed(self, event: Event) -> None:
        """A payment failed: of no interest while its payer can pay on, and then for a person."""
        number = self.order_of(event)
        order = None if number is None else self.get(number)
        if order is not None and order.status == "returned":
            self._leave_to_a_person(event, "it failed, and its payer came back and waits")

    def _paid(self, number: str, payment: str) -> bool:
        """From open or returned to paid; True for the one who made it so, and ships it."""
        change = "UPDATE orders SET status = 'paid', payment = ? WHERE number = ?"
        return self._db.execute(f"{change} AND status != 'paid'", (payment, number)).rowcount == 1

    def _payment_of(self, number: str) -> str:
        query = "SELECT payment FROM orders WHERE number = ?"
        return str(self._db.execute(query, (number,)).fetchone()[0])

    def _leave_to_a_person(self, event: Event, why: str) -> None:
        known = {
            "type": event.type,
            "created": str(event.created),
            "id": event.data.get("id"),
            "amount": event.data.get("amount"),
            "references": event.references(),
            "orders": self._named_by(event),
        }
        row = (event.id, why, json.dumps(known))
        self._db.execute("INSERT OR IGNORE INTO unmatched VALUES (?, ?, ?)", row)
        print(f"a payment for a person to look at ({event.id}): {why}", flush=True)

    def unmatched(self) -> list[tuple[str, str, str]]:
        """The payments for a person: the event's id, why, and what is known, as JSON."""
        return self._db.execute("SELECT event, why, known FROM unmatched ORDER BY rowid").fetchall()

    def close(self) -> None:
        self._db.close()


if __name__ == "__main__":
    for row in Orders(os.environ.get("SHOP_DATABASE", "shop.sqlite")).unmatched():
        print(*row)
