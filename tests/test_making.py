"""Records behave as if attrs had written their methods, however they were made."""

import copy
import pickle
from typing import Any, cast

import pytest
from attrs import field, frozen
from attrs.exceptions import FrozenInstanceError

from frame_async.calls import Call
from frame_async.errors import Problem
from frame_async.making import Record, maker_of


@frozen(eq=False, repr=False)
class Ours(Record):
    name: str
    counts: dict[str, int] = field(factory=dict[str, int], hash=False)
    note: str = field(default="", eq=False)
    secret: str = field(default="", repr=False)


def made_by_attrs(**values: Any) -> Any:
    """An instance of the same class with all methods generated."""

    @frozen
    class Ours:
        name: str
        counts: dict[str, int] = field(factory=dict[str, int], hash=False)
        note: str = field(default="", eq=False)
        secret: str = field(default="", repr=False)

    Ours.__qualname__ = "Ours"
    return Ours(**values)


SOME: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "b"},
    {"name": "a", "counts": {"x": 1}},
    {"name": "a", "note": "other"},
    {"name": "a", "secret": "other"},
    {"name": "a", "counts": {"x": 1}, "note": "other", "secret": "other"},
]


@pytest.mark.parametrize("one", SOME, ids=str)
def test_a_record_shows_what_attrs_would_show(one: dict[str, Any]) -> None:
    """The repr is that of attrs, without fields that never show."""
    assert repr(Ours(**one)) == repr(made_by_attrs(**one))


@pytest.mark.parametrize("one", SOME, ids=str)
@pytest.mark.parametrize("other", SOME, ids=str)
def test_records_are_equal_when_attrs_would_say_so(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Equality heeds the fields that are to be compared, and equal records hash the same."""
    first, second = made_by_attrs(**one), made_by_attrs(**other)
    expected = all(
        getattr(first, name) == getattr(second, name) for name in ("name", "counts", "secret")
    )
    assert (Ours(**one) == Ours(**other)) is expected
    assert (Ours(**one) != Ours(**other)) is not expected
    if expected:
        assert hash(Ours(**one)) == hash(Ours(**other))


def test_the_hash_leaves_out_what_can_not_be_hashed() -> None:
    """A field with ``hash=False`` may hold a dict, and doesn't change the hash."""
    assert hash(Ours("a", {"x": 1})) == hash(Ours("a", {"x": 2}))
    assert hash(Ours("a")) != hash(Ours("b"))


def test_a_record_is_unequal_to_one_of_another_class() -> None:
    """The same values in another class, or in a subclass, are something else."""

    class Other(Ours):
        pass

    assert Ours("a") != Other("a")
    assert Ours("a") != made_by_attrs(name="a")
    assert Ours("a") != cast("Any", "a")


def test_a_made_instance_is_like_any_other() -> None:
    """It has the class, the guard, the equality and the copies of one from the constructor."""
    made = maker_of(Problem)("path", "rule", "fix")
    assert type(made) is Problem
    assert made == Problem("path", "rule", "fix")
    assert repr(made) == "Problem(path='path', rule='rule', fix='fix')"
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)
    with pytest.raises(FrozenInstanceError):
        made.path = "other"  # type: ignore[misc]


def test_a_maker_wants_all_values() -> None:
    """Nothing is left at a default: a value too few, or too many, is refused."""
    make = maker_of(Call)
    for values in (7, 9):
        with pytest.raises(TypeError):
            make(*range(values))
