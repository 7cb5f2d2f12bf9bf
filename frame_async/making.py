"""Making frozen instances quickly, where all values are known to be good."""

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import field, fields, make_class

T = TypeVar("T")


def maker_of(cls: type[T]) -> Callable[..., T]:
    """A function that takes the values of all fields, in order, and makes an instance.

    A frozen class guards itself even while it is made, which costs five times what setting
    its fields does. Here a subclass without the guard is filled, and then told that it is
    the class itself. No default, converter or validator is asked.
    """
    unguarded = make_class(
        f"_{cls.__name__}",
        {each.name: field() for each in fields(cls)},  # type: ignore[arg-type]  # an attrs class
        bases=(cls,),
        slots=True,
        class_body={"__setattr__": object.__setattr__, "__delattr__": object.__delattr__},
        eq=False,
        repr=False,
    )

    def make(*values: Any) -> T:
        made = unguarded(*values)
        made.__class__ = cls
        return made  # type: ignore[no-any-return]  # a `cls` by now

    return make
