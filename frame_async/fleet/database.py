"""What runs need of a database."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Record = Mapping[str, Any]


class Database(Protocol):
    """A PostgreSQL database that has procrastinate's tables.

    Raises, from every method:
        StoreError: it can't answer; the statement may have been carried out.
    """

    async def fetch(self, statement: str, **values: Any) -> Sequence[Record]:
        """The rows of a statement, which is a transaction of its own."""
        ...

    async def run(self, statement: str, **values: Any) -> None:
        """Carry out one statement, or several without values."""
        ...
