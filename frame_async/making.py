"""Records, cheap to define and cheap to make.

attrs writes and compiles the methods of each class when it is defined, which is most of what
making the first client costs. What a class doesn't need written for itself is here, once.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import Attribute, AttrsInstance, fields

T = TypeVar("T")


class Record:
    """Equality, hash and repr by fields, as attrs would generate them, for frozen classes.

    Meant for ``@frozen(eq=False, repr=False)``: that takes half of what `frozen` alone takes.
    ``field(eq=False)``, ``hash=False`` and ``repr=False`` are heeded.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers narrow a union by `==` unless it is somebody's own

        def __eq__(self, other: object) -> bool:
            if other.__class__ is not self.__class__:
                return NotImplemented
            compared = (a.name for a in _fields(self) if a.eq)
            return all(getattr(self, name) == getattr(other, name) for name in compared)

    def __hash__(self) -> int:
        hashed = (a.name for a in _fields(self) if (a.eq if a.hash is None else a.hash))
        return hash((self.__class__, *(getattr(self, name) for name in hashed)))

    def __repr__(self) -> str:
        shown = (f"{a.name}={getattr(self, a.name)!r}" for a in _fields(self) if a.repr)
        return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _fields(record: object) -> "Iterable[Attribute[Any]]":
    return cast("Iterable[Attribute[Any]]", fields(type(cast("AttrsInstance", record))))


def maker_of(cls: type[T]) -> Callable[..., T]:
    """A function that takes the values of all fields, in order, and makes an instance.

    A frozen class guards itself even while it is made, which costs five times what setting
    its fields does. Here a subclass without the guard is filled, and then told that it is
    the class itself. No default, converter or validator is asked.
    """
    names = [a.name for a in fields(cast("type[AttrsInstance]", cls))]
    # One function, compiled; a class of attrs takes three times as long.
    lines = [f"def fill(self, {', '.join(names)}):", *(f"  self.{name} = {name}" for name in names)]
    made: dict[str, Callable[..., None]] = {}
    exec("\n".join(lines), {}, made)  # noqa: S102  # of field names and nothing else
    body = {
        "__slots__": (),
        "__init__": made["fill"],
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    unguarded = cast("Any", type(f"_{cls.__name__}", (cls,), body))

    def make(*values: Any) -> T:
        filled = unguarded(*values)
        filled.__class__ = cls
        return filled  # type: ignore[no-any-return]  # a `cls` by now

    return make
