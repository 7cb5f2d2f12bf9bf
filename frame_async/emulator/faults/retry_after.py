"""Every form of ``Retry-After`` that a client may meet, right ones and wrong ones.

RFC 9110 allows seconds and HTTP-dates, and asks recipients to read three spellings of
the latter. Which of them Frame sends, if any, is not known.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import TypeAlias

Form: TypeAlias = Callable[[float, float], tuple[str, ...]]
"""Makes the header's values from the time now and the seconds to wait."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOUR = 3600.0


def imf_fixdate(when: float) -> str:
    """Write a time as HTTP prefers it: ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    at = _utc(when)
    day, month = _DAYS[at.weekday()][:3], _MONTHS[at.month - 1]
    return f"{day}, {at:%d} {month} {at.year:04} {at:%H:%M:%S} GMT"


def rfc850(when: float) -> str:
    """Write a time in the obsolete form ``Sunday, 06-Nov-94 08:49:37 GMT``."""
    at = _utc(when)
    return f"{_DAYS[at.weekday()]}, {at:%d}-{_MONTHS[at.month - 1]}-{at:%y %H:%M:%S} GMT"


def asctime(when: float) -> str:
    """Write a time as C does: ``Sun Nov  6 08:49:37 1994``."""
    at = _utc(when)
    return (
        f"{_DAYS[at.weekday()][:3]} {_MONTHS[at.month - 1]} {at.day:2} {at:%H:%M:%S} {at.year:04}"
    )


FORMS: Mapping[str, Form] = {
    "absent": lambda _now, _wait: (),
    "seconds": lambda _now, wait: (str(ceil(wait)),),
    "imf-fixdate": lambda now, wait: (imf_fixdate(now + wait),),
    "rfc850": lambda now, wait: (rfc850(now + wait),),
    "asctime": lambda now, wait: (asctime(now + wait),),
    "past": lambda now, _wait: (imf_fixdate(now - _HOUR),),
    "huge": lambda _now, _wait: ("9" * 30,),
    "negative": lambda _now, wait: (f"-{ceil(wait)}",),
    "nonsense": lambda _now, _wait: ("soon",),
    "repeated": lambda _now, wait: (str(ceil(wait)), str(ceil(wait) + 5)),
}
"""The forms by name; see the functions for how they read."""


def _utc(when: float) -> datetime:
    return datetime.fromtimestamp(ceil(when), UTC)
