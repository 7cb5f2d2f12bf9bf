"""One row of a file: a request, or what is wrong with it."""

from attrs import frozen

from frame_async.errors import Problem
from frame_async.models.requests import PaymentLinkSessionRequest


@frozen
class Row:
    """One row of a file: the request that it describes, or what is wrong with it."""

    line: int
    """Line of the file on which the row begins, counted from 1; its number in Parquet."""
    reference: str
    """Its ``client_reference_id`` as written; empty when it has none."""
    request: PaymentLinkSessionRequest | None
    """The request; None when the row is wrong."""
    problems: tuple[Problem, ...] = ()
    """Everything that is wrong with the row; empty when nothing is."""
    number: int = 0
    """Which row of the file it is, counted from 1, without the header and blank lines."""
    key: str = ""
    """What the key column says, when one was named."""
