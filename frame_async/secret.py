"""A box for values that must never show themselves.

API keys, request bodies and payment method data travel through the package in
this box, so that a repr, a log line or a traceback that prints local variables
shows the box and not what is in it.
"""

from typing import Generic, NoReturn, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """Holds one value, shows nothing of it, and refuses to be pickled.

    Two boxes are never equal and can't be told apart by looking at them.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """Return the value; call it only where the value is used up at once."""
        return self._value

    def __repr__(self) -> str:
        return "<hidden>"

    def __copy__(self) -> "Secret[T_co]":
        return self

    def __deepcopy__(self, memo: object) -> "Secret[T_co]":
        return self

    def __reduce__(self) -> NoReturn:
        refuse_pickling("a secret")


def refuse_pickling(what: str) -> NoReturn:
    """Raise the `TypeError` that keeps secrets out of pickles."""
    raise TypeError(f"{what} can't be pickled: it would carry a secret out of this process")
