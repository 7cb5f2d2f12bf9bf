"""Files that were not made for us: which column is which field, and what is the same for all."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import field, frozen

from frame_async.bulk.columns import STRANGER, check_columns, is_column, nearest_column
from frame_async.errors import Problem, ValidationError
from frame_async.shapes import name_of

T = TypeVar("T")

LAYOUT: Final = "unusable layout"
"""What an error says first when options are wrong, and not the file."""

_EMPTY: Final = Problem("", "is empty", "give each row a value of its own in the key column")


@frozen
class Layout:
    """How the columns of a file become the fields of a request.

    Raises:
        ValidationError: a field that no request has, or one that is given twice.
    """

    renames: Mapping[str, str] = field(factory=dict[str, str])
    """Field by column; an empty field leaves the column out."""
    constants: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Value by field, the same for every row, written as in a CSV cell."""
    key: str = ""
    """A column whose values tell the rows apart, whatever their order; empty to count them."""

    def __attrs_post_init__(self) -> None:
        fields = [*(name for name in self.renames.values() if name), *self.constants]
        problems = [_no_field(name) for name in fields if not is_column(name)]
        problems += [_twice(name) for name in sorted(set(fields)) if fields.count(name) > 1]
        if problems:
            raise ValidationError(LAYOUT, problems)

    def problems_of(self, columns: Sequence[str]) -> list[Problem]:
        """Everything that is wrong with the columns of a file, in the file's own words."""
        problems = [
            Problem(name_of(name), "is not a column of the file", "check the name")
            for name in [*self.renames, *([self.key] if self.key else [])]
            if name not in columns
        ]
        repeated = {name for name in columns if columns.count(name) > 1}
        fields = [self.renames.get(name, name) for name in columns if not self._left_out(name)]
        if not repeated:
            problems += [_twice(name) for name in fields if name in self.constants]
        return problems + check_columns([*fields, *(c for c in self.constants if c not in fields)])

    def fields_of(self, cells: Mapping[str, str]) -> dict[str, str]:
        """The cells of a row, by field, and what is the same for every row."""
        return {**self.renamed(cells), **self.constants}

    def renamed(self, values: Mapping[str, T]) -> dict[str, T]:
        """The values of a row, by field."""
        if not self.renames and not self.key:
            return dict(values)
        return {
            self.renames.get(name, name): value
            for name, value in values.items()
            if not self._left_out(name)
        }

    def key_problems(self, key: str) -> tuple[Problem, ...]:
        """What is wrong with a row's value in the key column, if one was named."""
        if not self.key or key:
            return ()
        return (Problem(name_of(self.key), _EMPTY.rule, _EMPTY.fix),)

    def _left_out(self, column: str) -> bool:
        if column in self.renames:
            return not self.renames[column]
        return bool(column) and column == self.key and not is_column(column)


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """Pairs such as ``name=value``, each name once.

    Raises:
        ValidationError: a pair without ``=``, or a name that is there twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise _bad_pair(option, "must have the form name=value", "write for example a=b")
        if name.strip() in found:
            raise _bad_pair(option, f"names {name_of(name.strip())} twice", "keep one of the two")
        found[name.strip()] = value
    return found


def _bad_pair(option: str, rule: str, fix: str) -> ValidationError:
    return ValidationError(LAYOUT, [Problem(option, rule, fix)])


def _no_field(name: Any) -> Problem:
    shown = name_of(name)
    close = nearest_column(shown)
    fix = f"did you mean {close}?" if close else "see the columns in the docs"
    return Problem(shown, STRANGER, fix)


def _twice(name: str) -> Problem:
    return Problem(name, "is given twice", "keep one of the two")


PLAIN: Final = Layout()
"""The columns have the names of fields."""
