"""A database that can't be reached is said once in the log, and not by each attempt.

psycopg's pools log every attempt to connect, which is hundreds of lines for a restart of
the server. Pools that are ours, by their names, say the first of an outage.
"""

import logging
from threading import Lock
from typing import Final


class OnceAnOutage(logging.Filter):
    """Lets the first line about a pool through, until it is connected again."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, bool] = {}
        self._lock = Lock()

    def watch(self, pool: str) -> str:
        """Be about the pools of that name; the same name."""
        with self._lock:
            self._said.setdefault(pool, False)
        return pool

    def over(self, pool: str) -> None:
        """One of them is connected: the next line is of another outage."""
        with self._lock:
            self._said[pool] = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        names = record.args if isinstance(record.args, tuple) else ()
        pool = next((name for name in names if isinstance(name, str) and name in self._said), None)
        if pool is None or record.levelno < logging.WARNING:
            return True
        with self._lock:
            said, self._said[pool] = self._said[pool], True
        return not said


outages: Final = OnceAnOutage()
logging.getLogger("psycopg.pool").addFilter(outages)
