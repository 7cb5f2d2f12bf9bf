"""Files that were not made for us: which column is which field, and what is the same for all."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeVar

from attrs import field, fields, frozen

from frame_async.bulk.columns import (
    STRANGER,
    check_columns,
    column_shown,
    is_column,
    nearest_column,
)
from frame_async.bulk.meaning import on_one_line
from frame_async.errors import Problem, ValidationError

T = TypeVar("T")

LAYOUT: Final = "unusable layout"
"""What an error says first when options are wrong, and not the file."""

SEE_COLUMNS: Final = "see the columns in the docs"
"""The advice for a field that no request has, and that is like none."""

OTHERS: Final = "*"
"""Stands for all columns that aren't named, and have no field's name."""
_OTHERS: Final = Problem(OTHERS, "can't be a field", "leave other columns out with *=")
_EMPTY: Final = Problem("", "is empty", "give each row a value of its own in the key column")


def _on_one_line(renames: Mapping[str, str]) -> Mapping[str, str]:
    return {on_one_line(name): field for name, field in renames.items()}


@frozen
class Layout:
    """How the columns of a file become the fields of a request.

    Raises:
        ValidationError: a field that no request has, or one that is given twice.
    """

    renames: Mapping[str, str] = field(factory=dict[str, str], converter=_on_one_line)
    """Field by column; an empty field leaves the column out, ``*`` all that are no fields."""
    constants: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Value by field, the same for every row, written as in a CSV cell."""
    key: str = field(default="", converter=on_one_line)
    """A column whose values tell the rows apart, whatever their order; empty to count them."""

    def __attrs_post_init__(self) -> None:
        fields = [*(name for name in self.renames.values() if name), *self.constants]
        problems = [_no_field(name) for name in fields if not is_column(name)]
        problems += [_twice(name) for name in sorted(set(fields)) if fields.count(name) > 1]
        if self.renames.get(OTHERS):
            problems.append(_OTHERS)
        if problems:
            raise ValidationError(LAYOUT, problems)

    def __repr__(self) -> str:
        # A value may be refused before all are there, and tools show what a traceback holds.
        there = (each.name for each in fields(type(self)) if each.repr and hasattr(self, each.name))
        return f"Layout({', '.join(f'{name}={getattr(self, name)!r}' for name in there)})"

    def problems_of(self, columns: Sequence[str]) -> list[Problem]:
        """Everything that is wrong with the columns of a file, in the file's own words."""
        problems = [
            _no_column(name, columns)
            for name in [*self.renames, *([self.key] if self.key else [])]
            if name not in columns and name != OTHERS
        ]
        repeated = {name for name in columns if name and columns.count(name) > 1}
        fields = ["" if self._left_out(name) else self.renames.get(name, name) for name in columns]
        if not repeated:
            problems += [_twice(name) for name in fields if name in self.constants]
        return problems + check_columns([*fields, *(c for c in self.constants if c not in fields)])

    @property
    def reference_column(self) -> str:
        """The column with the ``client_reference_id``; empty where it is the same for all rows."""
        if "client_reference_id" in self.constants:
            return ""
        named = (name for name, found in self.renames.items() if found == "client_reference_id")
        return next(named, "client_reference_id")

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
        return (Problem(column_shown(self.key), _EMPTY.rule, _EMPTY.fix),)

    def _left_out(self, column: str) -> bool:
        if column in self.renames:
            return not self.renames[column]
        others = not column or column == self.key or OTHERS in self.renames
        return others and not is_column(column)


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """Pairs such as ``name=value``, each name once.

    Raises:
        ValidationError: a pair without ``=``, or a name that is there twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = on_one_line(name)
        if not equals or not name:
            raise _bad_pair(option, "must have the form name=value", "write for example a=b")
        if name in found:
            raise _bad_pair(option, f"names {column_shown(name)} twice", "keep one of the two")
        found[name] = value
    return found


def _bad_pair(option: str, rule: str, fix: str) -> ValidationError:
    return ValidationError(LAYOUT, [Problem(option, rule, fix)])


def _no_column(name: str, columns: Sequence[str]) -> Problem:
    close = get_close_matches(name, columns, n=1)
    near = column_shown(close[0]) if close else "?"
    fix = "check the name" if near == "?" else f"did you mean {near}?"
    return Problem(column_shown(name), "is not a column of the file", fix)


def _no_field(name: str) -> Problem:
    shown = column_shown(name)
    close = nearest_column(shown)
    fix = f"did you mean {close}?" if close else SEE_COLUMNS
    return Problem(shown, STRANGER, fix)


def _twice(name: str) -> Problem:
    return Problem(name, "is given twice", "keep one of the two")


PLAIN: Final = Layout()
"""The columns have the names of fields."""
