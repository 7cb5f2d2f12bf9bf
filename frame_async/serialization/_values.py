"""Values of an answer, of the right type or refused: nothing is coerced."""

import re
from datetime import UTC, datetime
from typing import Final

_ISO_8601: Final = re.compile(
    r"(?a)\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?"
)


class MismatchError(Exception):
    """A value of another type than expected; its text says so, for a `Problem`."""


def moment(value: object, _: object = None) -> datetime:
    """Epoch seconds or ISO 8601 to an aware datetime in UTC; no offset means UTC.

    Raises:
        MismatchError: it is neither, or no time that exists.
    """
    if type(value) is int or type(value) is float:
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise MismatchError("must be a time between the years 1 and 9999") from None
    if type(value) is str and _ISO_8601.fullmatch(value):
        return _from_iso(value)
    raise MismatchError(f"must be epoch seconds or an ISO 8601 time, not {type(value).__name__}")


def _from_iso(value: str) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise MismatchError("must be a time that exists") from None
