"""The one cattrs converter: it alone makes objects of what was read, and what is written of them.

Everything is built when this package is imported, and that is when a client is made: no call
finds anything left to build, on its way into an error neither.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, cast, get_args

from attrs import AttrsInstance, fields
from cattrs import Converter
from cattrs.errors import ClassValidationError
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.payment_methods import BankAccount, Card, PaymentMethodData
from frame_async.models.requests import LineItem, PaymentLinkSessionRequest
from frame_async.models.sessions import ISO_8601

T = TypeVar("T")

_SCALARS: Final = frozenset((str, int, bool, NoneType))


class MismatchError(Exception):
    """A value of another type than expected; its text says so, for a `Problem`."""


def make() -> Converter:
    """A converter with all hooks, and with the functions that write requests.

    Read:

    - ``str``, ``bool``: exactly that type (cattrs would make ``True`` of ``"false"``)
    - ``datetime``: epoch seconds or ISO 8601, to an aware datetime in UTC
    - one of these or None: the same, or None
    - ``Mapping``, ``Call``: taken as they are

    Written:

    - strings, integers, booleans or None: as they are
    - request classes: without the fields that were not given
    - payment method data: out of its box, at the last moment
    """
    converter = Converter()
    converter.register_structure_hook(str, _exactly(str))
    converter.register_structure_hook(bool, _exactly(bool))
    converter.register_structure_hook(datetime, moment)
    converter.register_structure_hook_factory(_is_optional, _or_none)
    converter.register_structure_hook(Call, _as_it_is)
    converter.register_structure_hook_func(_is_mapping, _as_it_is)
    converter.register_unstructure_hook_func(_is_scalar, identity)
    converter.register_unstructure_hook_func(_is_mapping, dict)
    converter.register_unstructure_hook(PaymentMethodData, dict)
    for cls in (LineItem, Card, BankAccount, PaymentLinkSessionRequest):
        converter.register_unstructure_hook(cls, _without_the_not_given(cls, converter))
    return converter


def _exactly(expected: type, *others: type) -> Callable[[object, object], Any]:
    allowed = (expected, *others)

    def hook(value: object, _: object) -> Any:
        if type(value) not in allowed:
            raise MismatchError(f"must be {expected.__name__}, not {type(value).__name__}")
        return value

    return hook


def _or_none(annotation: Any, converter: Converter) -> Callable[[object, object], Any]:
    (expected,) = {*get_args(annotation)} - {NoneType}
    if expected in _SCALARS:
        return _exactly(expected, NoneType)
    read = converter.get_structure_hook(expected)
    return lambda value, _: None if value is None else read(value, expected)


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
    if type(value) is str and ISO_8601.fullmatch(value):
        return _from_iso(value)
    raise MismatchError(f"must be epoch seconds or an ISO 8601 time, not {type(value).__name__}")


def _from_iso(value: str) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise MismatchError("must be a time that exists") from None


def _as_it_is(value: object, _: object) -> Any:
    return value


def _is_optional(found: object) -> bool:
    return (
        isinstance(found, UnionType) and len(get_args(found)) == 2 and NoneType in get_args(found)
    )


def _is_mapping(found: object) -> bool:
    return found == Mapping[str, Any]


def _is_scalar(found: object) -> bool:
    return isinstance(found, UnionType) and _SCALARS.issuperset(get_args(found))


def _without_the_not_given(cls: Any, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    # The default of every optional field is None, so what cattrs calls "equal to the
    # default" is exactly what nobody gave.
    always = override(omit=False, omit_if_default=False)
    kept: dict[str, Any] = {"type": always} if cls in (Card, BankAccount) else {}
    if cls is PaymentLinkSessionRequest:
        kept["extra"] = override(omit=True)  # goes beside the fields, not below them
    return make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **kept)


_converter: Final = make()


def writer(cls: type[T]) -> Callable[[T], dict[str, Any]]:
    """A function that gives what JSON needs of an instance."""
    return _converter.get_unstructure_hook(cls)


def reader(cls: type[T], what: str, ours: Collection[str] = ()) -> Callable[..., T]:
    """A function that builds an instance out of a decoded JSON object.

    Unknown fields go to ``extra``; those in `ours` are keyword arguments, which JSON can't
    set. The function raises `UnreadableError`, named after `what`, with every value
    that is missing or of a wrong type, and its path.
    """
    build: Callable[[object, type[T]], T] = _converter.get_structure_hook(cls)
    known = {a.name for a in fields(cast("type[AttrsInstance]", cls))} - {"extra", *ours}

    def read(decoded: Mapping[str, Any], **given: object) -> T:
        extra = {name: value for name, value in decoded.items() if name not in known}
        try:
            return build({**decoded, "extra": extra, **given}, cls)
        except ClassValidationError as error:
            problems = _problems_of(error)
        raise UnreadableError(what, problems)

    return read


def _problems_of(error: BaseException, path: str = "") -> list[Problem]:
    """Every problem in what cattrs raised, each with its path."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        found = [p for e, note in noted for p in _problems_of(e, f"{path}.{note.name}".lstrip("."))]
        return found + [problem for e in others for problem in _problems_of(e, path)]
    if isinstance(error, KeyError):
        return [Problem(str(error.args[0]), "is missing", "the answer must have it")]
    return [Problem(path, str(error), "nothing is coerced")]
