"""Form fields: a label, a control, and what is wrong with it right under it."""

from collections.abc import Iterable, Mapping

from .forms import Values
from .markup import NOTHING, Markup, attributes, html


def text_field(
    name: str,
    label: str,
    values: Values,
    errors: Values,
    *,
    optional: bool = False,
    **more: str,
) -> Markup:
    """Make a line of text to fill in; `more` are attributes such as ``autocomplete``.

    Nothing is ``required`` for the browser: it would hold back a form because of a
    field that is not shown. The server says what is missing.
    """
    return html(
        '<div class="field" data-field="{name}"><label for="{name}">{label}{optional}</label>'
        "<input{attributes}>{error}</div>",
        name=name,
        label=label,
        optional=html(" <span>(optional)</span>") if optional else None,
        attributes=attributes(
            id=name,
            name=name,
            value=values.get(name),
            aria_required=None if optional else "true",
            **{"type": "text", **more, **control_attributes(name, errors)},
        ),
        error=error_of(name, errors),
    )


def select(
    name: str,
    options: Iterable[tuple[str, str]],
    chosen: str,
    more: Mapping[str, str] | None = None,
) -> Markup:
    """Make a choice among a few; `options` are values with what is shown for them."""
    return html(
        '<select id="{name}" name="{name}"{more}>{options}</select>',
        name=name,
        more=attributes(**(more or {})),
        options=[
            html(
                "<option{attributes}>{shown}</option>",
                attributes=attributes(value=value, selected=value == chosen),
                shown=shown,
            )
            for value, shown in options
        ],
    )


def control_attributes(name: str, errors: Values) -> dict[str, str]:
    """Return the attributes that tie a control to what is said about it."""
    if name not in errors:
        return {}
    return {"aria_invalid": "true", "aria_describedby": f"{name}-error"}


def error_of(name: str, errors: Values) -> Markup:
    """Say what is wrong with a field, if anything is."""
    if name not in errors:
        return NOTHING
    return html('<p class="error" id="{name}-error">{error}</p>', name=name, error=errors[name])
