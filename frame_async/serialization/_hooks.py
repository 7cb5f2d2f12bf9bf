"""All hooks of the one cattrs converter; the only file that loads cattrs.

- ``str``, ``bool``: exactly that type, never coerced (cattrs would turn "false" into True)
- ``datetime``: epoch seconds or ISO 8601, to an aware datetime in UTC
- ``Call``, ``Mapping``: taken as they are
- request classes: fields that were not given are left out; what was given is written
- payment method data: taken out of its box at the last moment
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import UnionType
from typing import Any, Final, TypeVar, get_args

from cattrs import Converter
from cattrs.errors import ClassValidationError
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.not_given import NotGiven
from frame_async.models.payment_methods import BankAccount, Card, PaymentMethodData
from frame_async.models.requests import LineItem, PaymentLinkSessionRequest
from frame_async.serialization._values import MismatchError, moment

T = TypeVar("T")

_PLAIN: Final = frozenset((str, int, bool, NotGiven))


def exactly(expected: type[T]) -> Callable[[object, object], T]:
    """A hook that takes values of one type and refuses all others."""

    def hook(value: object, _: object) -> T:
        if type(value) is not expected:
            raise MismatchError(f"must be {expected.__name__}, not {type(value).__name__}")
        return value

    return hook


def _or_none(expected: type[T]) -> Callable[[object, object], T | None]:
    """The same as `exactly`, or None: one call instead of the three that cattrs would make."""

    def hook(value: object, _: object) -> T | None:
        if value is None or type(value) is expected:
            return value
        raise MismatchError(f"must be {expected.__name__}, not {type(value).__name__}")

    return hook


def _moment_or_none(value: object, _: object) -> datetime | None:
    return None if value is None else moment(value)


def _leave_out_the_not_given(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    # The default of every optional field is NOT_GIVEN, so what cattrs calls "equal to
    # the default" is exactly what nobody gave.
    always = override(omit=False, omit_if_default=False)
    kept: dict[str, Any] = {"type": always} if cls in (Card, BankAccount) else {}
    return make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **kept)


def make() -> MsgspecJsonConverter:
    """A converter with all hooks; the function of a class is generated when one comes by."""
    converter = make_converter(detailed_validation=True)
    for plain in (str, bool):
        converter.register_structure_hook(plain, exactly(plain))
        converter.register_structure_hook_func(_is(plain | None), _or_none(plain))
    converter.register_structure_hook(datetime, moment)
    converter.register_structure_hook_func(_is(datetime | None), _moment_or_none)
    converter.register_structure_hook(Call, lambda value, _: value)
    converter.register_structure_hook_func(_is(Mapping[str, Any]), lambda value, _: value)
    converter.register_unstructure_hook_func(_is_plain, identity)  # cattrs then asks nobody
    converter.register_unstructure_hook(PaymentMethodData, dict)
    for cls in (PaymentLinkSessionRequest, LineItem, Card, BankAccount):
        converter.register_unstructure_hook_factory(_is(cls), _leave_out_the_not_given)
    return converter


def _is(wanted: object) -> Callable[[object], bool]:
    return lambda found: found == wanted


def _is_plain(found: object) -> bool:
    """Whether a field's type is a union of what JSON has, or nothing given."""
    return isinstance(found, UnionType) and _PLAIN.issuperset(get_args(found))


def structured(converter: Converter, decoded: Mapping[str, Any], cls: type[T], what: str) -> T:
    """Build an instance; see `_converter.structure`."""
    try:
        return converter.structure(decoded, cls)
    except ClassValidationError as error:
        problems = _described(error)
    raise UnreadableError(what, problems)


def _described(error: BaseException, path: str = "") -> list[Problem]:
    """Every problem in what cattrs raised, each with its path."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        found = [p for e, note in noted for p in _described(e, f"{path}.{note.name}".lstrip("."))]
        return found + [problem for e in others for problem in _described(e, path)]
    if isinstance(error, KeyError):
        return [Problem(str(error.args[0]), "is missing", "the answer must have it")]
    return [Problem(path, str(error), "nothing is coerced")]
