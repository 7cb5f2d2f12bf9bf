"""HTML put together from templates, in which every value is escaped unless it is HTML.

``html('<p class="{kind}">{text}</p>', kind="note", text="1 < 2")`` is the `Markup`
``<p class="note">1 &lt; 2</p>``. Always write the quotes around attributes.
"""

from collections.abc import Iterable
from html import escape
from typing import LiteralString, TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Value: TypeAlias = "str | int | Iterable[Markup] | None"
"""What a template takes: text, a number, nothing, `Markup`, or several of that."""

NOTHING = Markup()
"""HTML that is empty."""


def html(template: LiteralString, /, **values: Value) -> Markup:
    """Fill the fields of a template."""
    return Markup(template.format_map({name: _safe(value) for name, value in values.items()}))


def attributes(**values: str | bool | None) -> Markup:
    """Write attributes, each with a space before it: ``True`` is a bare name.

    ``None`` and ``False`` leave one out. An underscore becomes a hyphen, and one at
    the end falls away.
    """
    return Markup("".join(_attribute(name, value) for name, value in values.items()))


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def _safe(value: Value) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, str | int):
        return escape(str(value))
    return "" if value is None else "".join(value)
