"""What became of one row of a run, as code reads it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from attrs import field, fields, frozen

from frame_async.errors import Problem


@frozen(kw_only=True)
class FleetResult:
    """What became of one row, once and for all."""

    row: int
    """Which row of its run it is, counted from 1."""
    line: int
    """The line of the file on which it begins; of a request from code, which of
    its `Fleet.enqueue` it was."""
    reference: str | None
    """Its ``client_reference_id``."""
    result: Literal["created", "refused", "invalid", "unknown"]
    """``"refused"`` by Frame, ``"invalid"`` before anything was sent; ``"unknown"`` when a session
    may exist that nobody has."""
    session_id: str | None = None
    """Id of the session; only of a created one."""
    status: str | None = None
    """The session's."""
    payment_status: str | None = None
    """The session's."""
    expires: datetime | None = None
    """When the session ends."""
    url: str | None = field(default=None, repr=False)
    """Where its payer is sent."""
    error: str | None = None
    """Why there is no session; None when there is one."""
    error_status: int | None = None
    """The HTTP status of a refusal."""
    problems: Sequence[Problem] = ()
    """Every rule that an invalid row breaks."""
    possible_duplicates: int = 0
    """Sessions that may exist beside this one, or beside none."""
    attempts: int = 0
    """Requests that were sent by the worker that had it last."""
    idempotency_key: str | None = None
    """The key that it was sent with."""


_PLAIN: Final = frozenset(name.name for name in fields(FleetResult)) - {"expires", "error"}


def read_result(line: Mapping[str, Any]) -> FleetResult:
    """The result that a line of the output says."""
    given: dict[str, Any] = {name: value for name, value in line.items() if name in _PLAIN}
    if expires := line.get("expires"):
        given["expires"] = datetime.fromisoformat(expires)
    if error := line.get("error"):
        given["error"], given["error_status"] = error["message"], error.get("status")
        given["problems"] = tuple(
            Problem(one["path"], one["rule"], one["fix"]) for one in error.get("problems", ())
        )
    return FleetResult(**given)
