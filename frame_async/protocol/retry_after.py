"""``Retry-After`` in every spelling (RFC 9110, sections 5.6.7 and 10.2.3)."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 1e9
"""Seconds; what is asked beyond is cut to this, and never fits a deadline anyway."""

_SECONDS: Final = re.compile(r"[0-9]+")
_DAY: Final = r"(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?"
_MONTH: Final = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_DATE: Final = re.compile(
    rf"{_DAY}, [0-9]{{2}} {_MONTH} [0-9]{{4}} {_TIME} GMT"  # IMF-fixdate
    rf"|{_DAY}, [0-9]{{2}}-{_MONTH}-[0-9]{{2}} {_TIME} GMT"  # RFC 850
    rf"|{_DAY} {_MONTH} [ 0-9][0-9] {_TIME} [0-9]{{4}}"  # asctime
)


def seconds_to_wait(values: Iterable[str], date: str | None, now: float) -> float | None:
    """Seconds that a server asks to wait, or None when it says nothing that makes sense.

    A repeated header counts with its longest value. A date is measured from the answer's
    own ``Date`` header where there is one, since clocks differ; else from `now`, in
    seconds since the epoch. A date that has passed means 0.
    """
    reference = http_date(date) if date else None
    waits = [_one(value, now if reference is None else reference) for value in values]
    return max((wait for wait in waits if wait is not None), default=None)


def _one(value: str, reference: float) -> float | None:
    value = value.strip(" \t")
    if _SECONDS.fullmatch(value):
        digits = value.lstrip("0") or "0"
        return min(float(digits) if len(digits) < 12 else LONGEST, LONGEST)
    moment = http_date(value)
    return None if moment is None else min(max(0.0, moment - reference), LONGEST)


def http_date(value: str) -> float | None:
    """Seconds since the epoch of an HTTP-date in any of its three forms, or None."""
    value = value.strip(" \t")
    if not _DATE.fullmatch(value):
        return None
    try:
        return _aware(parsedate_to_datetime(value)).timestamp()
    except (ValueError, OverflowError):
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
