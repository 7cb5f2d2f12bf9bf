"""The shops' orders, in a file."""

import secrets
import sqlite3
from typing import NamedTuple


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
    """Orders by number; each becomes paid once, whoever says so and however often."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS orders (number TEXT PRIMARY KEY, product TEXT,"
            " status TEXT DEFAULT 'open', tries INTEGER DEFAULT 0, session TEXT)"
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

    def paid(self, number: str) -> bool:
        """From open to paid; True for the one who made it so, and ships it."""
        change = "UPDATE orders SET status = 'paid' WHERE number = ? AND status = 'open'"
        return self._db.execute(change, (number,)).rowcount == 1

    def cancelled(self, session: str) -> None:
        """The session is of no more use, so the next payment gets another one."""
        change = "UPDATE orders SET tries = tries + 1, session = NULL WHERE session = ?"
        self._db.execute(change, (session,))

    def close(self) -> None:
        self._db.close()
