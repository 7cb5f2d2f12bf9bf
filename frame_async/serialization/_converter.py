"""The one cattrs converter, and all of its hooks.

- ``str``, ``bool``: exactly that type, never coerced (cattrs would turn "false" into True)
- ``datetime``: epoch seconds or ISO 8601, to an aware datetime in UTC
- ``Call``, ``Mapping``: taken as they are
- request classes: fields that were not given are left out; what was given is written
- payment method data: taken out of its box at the last moment
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Final, TypeVar, get_args

from cattrs.errors import ClassValidationError
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter

from frame_async.calls import Call
from frame_async.errors import Problem
from frame_async.models.not_given import NotGiven
from frame_async.models.payment_methods import BankAccount, Card, PaymentMethodData
from frame_async.models.requests import LineItem, PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession

T = TypeVar("T")

_ISO_8601: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII
)


_PLAIN: Final = frozenset((str, int, bool, NotGiven))


class MismatchError(Exception):
    """A value of another type than expected; `describe` turns it into a `Problem`."""


def exactly(expected: type[T]) -> Callable[[object, object], T]:
    """A hook that takes values of one type and refuses all others."""

    def hook(value: object, _: object) -> T:
        if type(value) is not expected:
            raise MismatchError(f"must be {expected.__name__}, not {type(value).__name__}")
        return value

    return hook


def moment(value: object, _: object = None) -> datetime:
    """Epoch seconds or ISO 8601 to an aware datetime in UTC; no offset means UTC."""
    if type(value) is int or type(value) is float:
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise MismatchError("must be a time between the years 1 and 9999") from None
    if isinstance(value, str) and _ISO_8601.fullmatch(value):
        return _from_iso(value)
    raise MismatchError(f"must be epoch seconds or an ISO 8601 time, not {type(value).__name__}")


def _from_iso(value: str) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise MismatchError("must be a time that exists") from None


def describe(error: BaseException, path: str = "") -> list[Problem]:
    """Every problem in what cattrs raised, each with its path."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        found = [p for e, note in noted for p in describe(e, f"{path}.{note.name}".lstrip("."))]
        return found + [problem for e in others for problem in describe(e, path)]
    if isinstance(error, KeyError):
        return [Problem(str(error.args[0]), "is missing", "the answer must have it")]
    return [Problem(path, str(error), "nothing is coerced")]


def _or_none(expected: type[T]) -> Callable[[object, object], T | None]:
    """The same as `exactly`, or None: one call instead of the three that cattrs would make."""

    def hook(value: object, _: object) -> T | None:
        if value is None or type(value) is expected:
            return value
        raise MismatchError(f"must be {expected.__name__}, not {type(value).__name__}")

    return hook


def _moment_or_none(value: object, _: object) -> datetime | None:
    return None if value is None else moment(value)


def _leave_out_the_not_given(
    converter: MsgspecJsonConverter, cls: type, **overrides: Any
) -> Callable[[Any], Any]:
    # The default of every optional field is NOT_GIVEN, so what cattrs calls "equal to
    # the default" is exactly what nobody gave.
    return make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **overrides)


def _make_converter() -> MsgspecJsonConverter:
    converter = make_converter(detailed_validation=True)
    for plain in (str, bool):
        converter.register_structure_hook(plain, exactly(plain))
        converter.register_structure_hook_func(_is(plain | None), _or_none(plain))
    converter.register_structure_hook(datetime, moment)
    converter.register_structure_hook_func(_is(datetime | None), _moment_or_none)
    converter.register_structure_hook(Call, lambda value, _: value)
    converter.register_structure_hook_func(_is(Mapping[str, Any]), lambda value, _: value)
    converter.register_unstructure_hook_func(_is_plain, identity)  # cattrs then asks nobody
    always = {"type": override(omit=False, omit_if_default=False)}
    for cls, kept in ((LineItem, {}), (Card, always), (BankAccount, always)):
        converter.register_unstructure_hook(cls, _leave_out_the_not_given(converter, cls, **kept))
    converter.register_unstructure_hook(PaymentMethodData, dict)
    converter.register_unstructure_hook(
        PaymentLinkSessionRequest,
        _leave_out_the_not_given(converter, PaymentLinkSessionRequest),
    )
    converter.register_structure_hook(
        PaymentLinkSession, make_dict_structure_fn(PaymentLinkSession, converter)
    )
    return converter


def _is(wanted: object) -> Callable[[object], bool]:
    return lambda found: found == wanted


def _is_plain(found: object) -> bool:
    """Whether a field's type is a union of what JSON has, or nothing given."""
    return isinstance(found, UnionType) and _PLAIN.issuperset(get_args(found))


converter: Final = _make_converter()
