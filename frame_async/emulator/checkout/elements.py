"""What the pages are made of: form fields with what is wrong with them, icons and pictures."""

from collections.abc import Iterable, Mapping
from typing import LiteralString

from frame_async.emulator.state.products import Product

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


_FAVICON: LiteralString = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%230f6b4f'/%3E"
    "%3Cpath d='M9 16.5l5 5 9-11' fill='none' stroke='white' stroke-width='3.5' "
    "stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E"
)
FAVICON = _FAVICON
"""The icon of the tab, as an address that holds it."""


def _icon(paths: LiteralString) -> Markup:
    return html(
        '<svg class="icon" viewBox="0 0 24 24" width="24" height="24" fill="none" '
        'stroke="currentColor" stroke-width="1.75" stroke-linecap="round" '
        'stroke-linejoin="round" aria-hidden="true">{paths}</svg>',
        paths=Markup(paths),
    )


_ALERT = '<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5.5m0 3.2v.1"/>'

ICONS: Mapping[str, Markup] = {
    "paid": _icon('<circle cx="12" cy="12" r="9"/><path d="m8 12.4 2.8 2.8L16.2 9.4"/>'),
    "processing": _icon('<circle cx="12" cy="12" r="9"/><path d="M12 7v5.2l3.2 2"/>'),
    "failed": _icon('<circle cx="12" cy="12" r="9"/><path d="m9 9 6 6m0-6-6 6"/>'),
    "canceled": _icon('<circle cx="12" cy="12" r="9"/><path d="M8.2 12h7.6"/>'),
    "expired": _icon(
        '<path d="M7 3.5h10M7 20.5h10M8 3.5c0 4.6 2.4 6 4 8.5 1.6-2.5 4-3.9 4-8.5'
        'M8 20.5c0-4.6 2.4-6 4-8.5 1.6 2.5 4 3.9 4 8.5"/>'
    ),
    "unknown": _icon(_ALERT),
    "alert": _icon(_ALERT),
    "card": _icon(
        '<rect x="3" y="5.5" width="18" height="13" rx="2.5"/><path d="M3 10h18M7 15h3"/>'
    ),
    "bank": _icon('<path d="m3.5 9.5 8.5-5 8.5 5zM5.5 9.5v8m4.3-8v8m4.4-8v8m4.3-8v8M3.5 20h17"/>'),
    "saved": _icon('<path d="M7 4h10a1 1 0 0 1 1 1v15l-6-4-6 4V5a1 1 0 0 1 1-1z"/>'),
    "back": _icon('<path d="M19 12H5m6-6-6 6 6 6"/>'),
    "lock": _icon(
        '<rect x="5" y="10.5" width="14" height="9.5" rx="2"/>'
        '<path d="M8 10.5V8a4 4 0 0 1 8 0v2.5"/>'
    ),
}

_MOTIFS: tuple[LiteralString, ...] = (
    '<circle cx="18" cy="31" r="13" opacity=".55"/><circle cx="31" cy="19" r="9"/>',
    '<path d="M0 48 20 14l15 34z" opacity=".55"/><path d="m20 48 15-24 13 24z"/>',
    '<path d="M24 6a18 18 0 0 1 18 18H24z"/><path d="M24 42A18 18 0 0 1 6 24h18z" opacity=".55"/>',
    '<path d="M9 9h18v18H9z" opacity=".55"/><rect x="20" y="20" width="19" height="19" rx="9.5"/>',
)


def picture_of(product: Product) -> Markup:
    """Show a product's picture, or draw two shapes in its colour."""
    if product.picture is not None:
        return html(
            '<img class="picture" width="48" height="48" alt="" src="{source}">',
            source=product.picture,
        )
    return html(
        '<svg class="picture" viewBox="0 0 48 48" width="48" height="48" aria-hidden="true">'
        '<rect width="48" height="48" fill="hsl({hue} 58% 88%)"/>'
        '<g fill="hsl({hue} 42% 46%)">{motif}</g></svg>',
        hue=product.hue,
        motif=Markup(_MOTIFS[product.motif]),
    )
