"""From the cells of a row to the request that they describe.

Columns have the names of Frame's request fields. Nested ones are written with dots,
``line_items.0.product``, or as JSON in one cell, ``line_items``. An empty cell means
"not given", and so does a ``null``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache, partial
from typing import Any, Final

from attrs import evolve, fields, frozen

from frame_async.bulk.meaning import meant
from frame_async.bulk.unpacking import NOT_UTF_8
from frame_async.errors import Problem, UnreadableError, ValidationError
from frame_async.models.requests import REQUEST_FIELDS, LineItem, PaymentLinkSessionRequest
from frame_async.serialization import load_json
from frame_async.shapes import is_listing, is_mapping

STRANGER: Final = "is not a field of the request"
"""The rule that a column breaks whose name no request knows."""

_ITEM_FIELDS: Final = tuple(a.name for a in fields(LineItem))
_ITEM_COLUMN: Final = re.compile(rf"line_items\.(0|[1-9][0-9]{{0,2}})\.({'|'.join(_ITEM_FIELDS)})")
_FIRST: Final = "line_items.0.product"
_KNOWN: Final = (*REQUEST_FIELDS, *(f"line_items.0.{name}" for name in _ITEM_FIELDS))
_INTEGER: Final = re.compile(r"([+-]?[0-9]{1,18})(?:[.,]0*)?")  # 3600.0 of pandas, 3600,0 of Excel
_STRAY_BYTES: Final = re.compile(r"[\ud800-\udfff]")
_WORDS: Final = {"true": True, "false": False}
_LONGEST_SHOWN: Final = 40
_LONGEST_NAME: Final = 60
_UNLIKE_NAMES: Final = frozenset("@{}[]")
_FEWEST_LETTERS: Final = 5
_MOST_DIGITS: Final = 8
_ITEM_PATH: Final = re.compile(r"line_items\[([0-9]+)\](.*)")


_ADVICE: Final = (
    ('pass a list such as [LineItem(product="prod_1")]', f"write a product's id into {_FIRST}"),
    ("pass LineItem(product=...)", 'write an object such as {"product": "prod_1"}'),
    ("pass Card, BankAccount or a mapping", "write an object"),
    ("pass an int", "write a whole number"),
    ("pass a str", "write text"),
    ("pass a dict", "write an object"),
    ("pass True", "write true"),
    ("or False", "or false"),
)
"""What the advice to whoever writes code is for whoever writes a file."""


class _Cell(Exception):  # noqa: N818  # never leaves this module
    """A cell that can't be read; its arguments are the rule and the fix."""


def _utf_8(cell: str) -> str:
    if not cell.isascii() and _STRAY_BYTES.search(cell):
        raise _Cell(*NOT_UTF_8)
    return cell


def _text(cell: str) -> str:
    return cell


def _integer(cell: str, example: int = 3) -> int:
    found = _INTEGER.fullmatch(cell.strip())  # of more than `int` takes for a space
    if found is None:
        advice = f"write digits only, such as {example}"
        raise _Cell(f"must be a whole number, not {_shown(cell)}", advice)
    return int(found.group(1))


def _flag(cell: str) -> bool:
    try:
        return _WORDS[cell.strip().lower()]
    except KeyError:
        pass
    raise _Cell(f"must be true or false, not {_shown(cell)}", "write true or false")


def _json(cell: str) -> Any:
    try:
        return meant(load_json(cell.encode(), "cell"))
    except UnreadableError as error:
        rule = error.problems[0].rule
    raise _Cell(rule, "write JSON, or use one column for each value")


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "expires_in": partial(_integer, example=3600),
    "quantity_minimum": _integer,
    "quantity_maximum": _integer,
    "phone_number_collection": _flag,
    "shipping_address_collection": _flag,
    "line_items": _json,
    "payment_method_data": _json,
}


def check_columns(names: Sequence[str]) -> list[Problem]:
    """Everything that is wrong with a header: unknown, doubled or missing columns.

    Those without a name are left out.
    """
    problems = [
        _stranger(name, number)
        for number, name in enumerate(names, 1)
        if name and not is_column(name)
    ]
    repeated = sorted({name for name in names if names.count(name) > 1 and is_column(name)})
    problems += [
        Problem(name, "is there twice", "keep one of the two columns") for name in repeated
    ]
    if "line_items" not in names and not any(_ITEM_COLUMN.fullmatch(name) for name in names):
        problems.append(Problem(_FIRST, "is missing", "add this column with the product's id"))
    return problems


def is_column(name: str) -> bool:
    """Whether a column of that name describes a part of a request."""
    return name in REQUEST_FIELDS or _ITEM_COLUMN.fullmatch(name) is not None


def nearest_column(name: str) -> str | None:
    """The column that was probably meant; None when nothing is like it."""
    whole = next((known for known in _KNOWN if known.endswith(f".{name}")), None)
    letters = _letters(name)
    if whole is None and len(letters) >= _FEWEST_LETTERS:  # "E-Mail", "Reference ID"
        whole = next((known for known in _KNOWN if _letters(known).endswith(letters)), None)
    close = get_close_matches(name, _KNOWN, n=1)
    return whole or (close[0] if close else None)


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def column_shown(name: object) -> str:
    """A column's name as it is written; ``?`` for what doesn't look like one.

    A file without a header has data in its first line: nothing of that is to be shown that
    may be a card number or worse.
    """
    if type(name) is not str or not name.isprintable() or len(name) > _LONGEST_NAME:
        return "?"
    secret = sum(c.isdigit() for c in name) > _MOST_DIGITS or "sk_" in name
    return "?" if secret or not name or set(name) & _UNLIKE_NAMES else name


def _stranger(name: str, number: int) -> Problem:
    shown = column_shown(name)
    close = nearest_column(shown)
    fix = f"did you mean {close}?" if close else "rename or remove the column"
    return Problem(f"column {number}" if shown == "?" and number else shown, STRANGER, fix)


def build_request(
    cells: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> PaymentLinkSessionRequest:
    """The request that a row describes: its cells, and what it has as JSON values.

    Raises:
        ValidationError: everything that is wrong with the row, each with its path.
    """
    request, problems = _built(cells, given or {})
    del cells, given  # what follows may raise, and a traceback shows local variables
    if request is None or problems:
        raise ValidationError("invalid row", problems)
    return request


def _built(
    cells: Mapping[str, str], given: Mapping[str, Any]
) -> tuple[PaymentLinkSessionRequest | None, list[Problem]]:
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    items: dict[int, dict[str, Any]] = {}
    for name, value in given.items():
        if is_column(name) or name == "extra":
            place = _place(name)
            place.put(_written(value) if place.reader is _text else value, values, items)
        else:
            problems.append(_stranger(name, 0))
    for name, cell in cells.items():
        if cell.strip():
            place = _place(name)
            try:
                place.put(place.reader(_utf_8(cell)), values, items)
            except _Cell as fault:
                problems.append(Problem(_path(name), *fault.args))
    indexes = sorted(items)
    if items:
        if "line_items" in values:
            fix = "use one column of JSON, or one for each value"
            problems.append(Problem("line_items", "is given twice", fix))
        values["line_items"] = [items[index] for index in indexes]
    elif is_listing(found := values.get("line_items")):
        values["line_items"] = [_with_product(item) for item in found]
    try:
        return PaymentLinkSessionRequest.from_dict(values), problems
    except ValidationError as error:
        found = [_in_columns(_advised(problem), indexes) for problem in error.problems]
    return None, problems + _unless_known(found, problems)


def _written(value: Any) -> Any:
    """A number that stands for a name, such as 1001 for an order, as it is written."""
    return str(value) if type(value) is int else value


def _with_product(item: Any) -> Any:
    named = is_mapping(item) and type(item.get("product")) is int
    return {**item, "product": _written(item["product"])} if named else item


@frozen(eq=False)
class _Place:
    """What a column stands for."""

    field: str
    """A field of the request, or of a line item."""
    item: int | None
    """The index of that line item."""
    reader: Callable[[str], Any]
    """What makes a value of a cell."""

    def put(self, value: object, values: dict[str, Any], items: dict[int, dict[str, Any]]) -> None:
        """Put a value into the request, or into its line item; None is none."""
        if value is None:
            return
        if self.item is None:
            values[self.field] = value
        else:
            items.setdefault(self.item, {})[self.field] = value


@lru_cache(maxsize=1_000)
def _place(column: str) -> _Place:
    """The columns of a file are the same in each row."""
    reader = _READERS.get(column.rpartition(".")[2], _text)
    found = _ITEM_COLUMN.fullmatch(column)
    if found is None:
        return _Place(column, None, reader)
    return _Place(found.group(2), int(found.group(1)), reader)


def _path(column: str) -> str:
    """The place in the request that a column stands for."""
    place = _place(column)
    return column_shown(column) if place.item is None else f"line_items[{place.item}].{place.field}"


def _advised(problem: Problem) -> Problem:
    fix = problem.fix
    for code, file in _ADVICE:
        fix = fix.replace(code, file)
    return evolve(problem, fix=fix)


def _in_columns(problem: Problem, indexes: Sequence[int]) -> Problem:
    """The problem with the number that its item has in the columns, where some may be empty."""
    found = _ITEM_PATH.fullmatch(problem.path)
    if not indexes or found is None:
        return problem
    return evolve(problem, path=f"line_items[{indexes[int(found.group(1))]}]{found.group(2)}")


def _unless_known(found: Iterable[Problem], known: Iterable[Problem]) -> list[Problem]:
    """Leave out what a cell that couldn't be read already explains."""
    paths = {problem.path for problem in known}
    missing = {p for p in paths if p.startswith("line_items")}
    return [
        problem
        for problem in found
        if problem.path not in paths and not (problem.path == "line_items" and missing)
    ]


def _shown(text: str) -> str:
    if sum(c.isdigit() for c in text) > _MOST_DIGITS:
        return "a long number"  # a card or account number that went astray
    line = "".join(c if c.isprintable() else "?" for c in text.strip())
    return f'"{line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 3] + "..."}"'
