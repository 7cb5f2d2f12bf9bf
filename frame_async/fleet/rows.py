"""Rows of a file on their way to a queue: which may go, and as what."""

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from frame_async.bulk.checking import Checked, Rows, with_repeated
from frame_async.bulk.lines import line_of_wrong
from frame_async.bulk.rows import Row
from frame_async.bulk.state import digest
from frame_async.errors import Problem
from frame_async.fleet.runs import FleetRow
from frame_async.serialization import dump, dump_json

SECRET: Final = Problem(
    "payment_method_data",
    "is secret, and a queue keeps requests in the clear until they were sent",
    "name a payment_method that exists, or run the file without --queue",
)
"""What is wrong with card and account numbers in a queue."""


@define
class OpenRows:
    """The rows of a file; those with data that must not lie in a queue are wrong."""

    _source: Rows
    secret: int = field(init=False, default=0)
    """How many of those there were, in the last reading."""

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning.

        Raises:
            ValidationError: the file or its header can't be used.
            OSError: it can't be read.
        """
        self.secret = 0
        for row in self._source.rows():
            if row.request is None or row.request.payment_method_data is None:
                yield row
            else:
                self.secret += 1
                yield evolve(row, request=None, problems=(SECRET,))


def queued(row: Row, checked: Checked, key_column: str) -> FleetRow:
    """What goes to the queue for a row of a checked file."""
    row = with_repeated(row, checked, key_column)
    known_as = checked.known_as(row)
    if row.request is None:
        line = dump_json(line_of_wrong(row)).decode()
        return FleetRow(known_as, evolve(row, request=None), 0, None, line)
    return FleetRow(known_as, row, digest(row.request), dump(row.request).decode())
