"""The payment: who pays, where it goes, how it is paid, and Frame's published test values."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from .elements import ICONS, select, text_field
from .forms import SHIPPING, Entered
from .instruments import BANK_ACCOUNTS, CARDS, ROUTING_NUMBER, SUCCEEDS, Behaviour
from .markup import NOTHING, Markup, attributes, html

_ADDRESS = (
    ("ship_name", "Full name", "name"),
    ("ship_line1", "Street and number", "address-line1"),
    ("ship_line2", "Apartment, floor", "address-line2"),
    ("ship_city", "City", "address-level2"),
    ("ship_state", "State or region", "address-level1"),
    ("ship_postal_code", "Postal code", "postal-code"),
    ("ship_country", "Country", "country-name"),
)


def payment_column(entered: Entered, total: str) -> Markup:
    """Make the payment's side of the page."""
    ends = datetime.fromtimestamp(entered.session.expires, UTC)
    return html(
        '<section class="payment" aria-label="Payment"><div class="column">'
        "{problems}{contact}{shipping}{method}"
        '<button class="primary" name="action" value="pay">{lock}'
        "<span>Pay <span data-total>{total}</span></span></button>"
        '<p class="fine">This link can be paid until '
        '<time datetime="{iso}">{ends} UTC</time>.</p>{samples}</div></section>',
        problems=_problems(entered),
        contact=_contact(entered),
        shipping=_shipping(entered),
        method=_method(entered),
        lock=ICONS["lock"],
        total=total,
        iso=f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        ends=f"{ends:%d %B %Y, %H:%M}",
        samples=samples(),
    )


def _problems(entered: Entered) -> Markup:
    if not (entered.declined or entered.errors):
        return NOTHING
    links = [
        html('<li><a href="#{name}">{text}</a></li>', name=name, text=text)
        for name, text in entered.errors.items()
    ]
    return html(
        '<div class="alert" role="alert" tabindex="-1" autofocus>{icon}'
        "<div><h2>{words}</h2>{links}</div></div>",
        icon=ICONS["unknown"],
        words=entered.declined or "Please check what you entered",
        links=html("<ul>{links}</ul>", links=links) if links else None,
    )


def _contact(entered: Entered) -> Markup:
    phone = entered.session.given.get("phone_number_collection")
    return html(
        '<fieldset><legend>Contact</legend><div class="grid">{email}{phone}</div></fieldset>',
        email=_text(entered, "email", "E-mail", type="email", autocomplete="email"),
        phone=_text(entered, "phone", "Phone", type="tel", autocomplete="tel") if phone else None,
    )


def _shipping(entered: Entered) -> Markup:
    if not entered.session.given.get("shipping_address_collection"):
        return NOTHING
    return html(
        '<fieldset><legend>Shipping address</legend><div class="grid">{fields}</div></fieldset>',
        fields=[
            _text(
                entered,
                name,
                label,
                optional=not SHIPPING[name],
                autocomplete=f"shipping {token}",
            )
            for name, label, token in _ADDRESS
        ],
    )


def _method(entered: Entered) -> Markup:
    saved = entered.session.given.get("payment_method")
    chosen = entered.values.get("method")
    methods = {"saved": "Saved"} if saved else {}
    methods |= {"card": "Card", "bank": "Bank account"}
    return html(
        '<fieldset class="methods"><legend>Payment method</legend>'
        "{foreign}{tabs}{saved}{card}{bank}</fieldset>",
        foreign=_foreign(entered.session.not_payable),
        tabs=[
            _tab(name, label, chosen=name == (chosen if chosen in methods else "card"))
            for name, label in methods.items()
        ],
        saved=_saved(saved) if saved else None,
        card=_card(entered),
        bank=_bank(entered),
    )


def _foreign(kind: str | None) -> Markup:
    if kind is None:
        return NOTHING
    text = '<p class="fine">The shop gave <code>{kind}</code>, which can\'t be paid with here.</p>'
    return html(text, kind=kind)


def _tab(name: str, label: str, *, chosen: bool) -> Markup:
    """Make a radio button and its label; the style sheet shows the panel of the chosen one."""
    return html(
        '<input class="unseen" type="radio" name="method" id="by-{name}" value="{name}"{checked}>'
        '<label class="tab" for="by-{name}">{icon}{label}</label>',
        name=name,
        checked=attributes(checked=chosen),
        icon=ICONS[name],
        label=label,
    )


def _saved(payment_method: str) -> Markup:
    text = '<p class="panel saved">Pays with <code>{id}</code>, which always works here.</p>'
    return html(text, id=payment_method)


def _card(entered: Entered) -> Markup:
    return html(
        '<div class="panel card grid">{number}{expiry}{cvc}</div>',
        number=_digits(entered, "card_number", "Card number", "cc-number", "4242 4242 4242 4242"),
        expiry=_digits(entered, "card_expiry", "Expiry date", "cc-exp", "MM / YY"),
        cvc=_digits(entered, "card_cvc", "Security code", "cc-csc", "CVC"),
    )


def _bank(entered: Entered) -> Markup:
    kinds = (("checking", "Checking"), ("savings", "Savings"))
    return html(
        '<div class="panel bank grid"><div class="field"><label for="account_type">Account type'
        '</label>{kind}</div>{routing}{account}<p class="fine">A bank payment takes a while: '
        "the shop learns later how it ends.</p></div>",
        kind=select("account_type", kinds, entered.values.get("account_type", "checking")),
        routing=_digits(entered, "routing_number", "Routing number", "off", "110000000"),
        account=_digits(entered, "account_number", "Account number", "off", "000123456789"),
    )


def _digits(entered: Entered, name: str, label: str, autocomplete: str, sample: str) -> Markup:
    more = {"inputmode": "numeric", "autocomplete": autocomplete, "placeholder": sample}
    return _text(entered, name, label, **more)


def _text(entered: Entered, name: str, label: str, **more: Any) -> Markup:
    return text_field(name, label, entered.values, entered.errors, **more)


_AMERICAN = 15  # digits of a card number that is written 4-6-5


def samples() -> Markup:
    """List every test card and account with what it does."""
    return _SAMPLES


def _build() -> Markup:
    good = {number: how for number, how in CARDS.items() if how == SUCCEEDS}
    asking = {number: how for number, how in CARDS.items() if how.challenge}
    bad = {n: how for n, how in CARDS.items() if n not in good and n not in asking}
    return html(
        '<details class="samples"><summary>Test cards and accounts</summary>'
        "<p>Any security code and any future date will do.</p>"
        "{good}{asking}{bad}"
        "<p>Routing number <code>{routing}</code>.</p>{accounts}</details>",
        good=_table("Cards that work", "card", good),
        asking=_table("Cards with a 3-D Secure challenge", "card", asking),
        bad=_table("Cards that are declined", "card", bad),
        routing=ROUTING_NUMBER,
        accounts=_table("Bank accounts", "account", BANK_ACCOUNTS),
    )


def _table(caption: str, kind: str, rows: Mapping[str, Behaviour]) -> Markup:
    return html(
        '<table><caption>{caption}</caption><thead class="unseen"><tr><th scope="col">Number</th>'
        '<th scope="col">Result</th><th scope="col">Fill in</th></tr></thead>'
        "<tbody>{rows}</tbody></table>",
        caption=caption,
        rows=[_row(number, kind, behaviour) for number, behaviour in rows.items()],
    )


def _row(number: str, kind: str, behaviour: Behaviour) -> Markup:
    spaced = _grouped(number) if kind == "card" else number
    return html(
        "<tr><td><code>{number}</code></td><td>{result}</td><td>"
        '<button type="button" hidden data-{kind}="{number}" aria-label="Use {number}">Use</button>'
        "</td></tr>",
        number=spaced,
        kind=kind,
        result=_breakable(behaviour.failure_code or "succeeds"),
    )


def _breakable(code: str) -> Markup:
    """Let a code go over the end of a line after each of its words."""
    *words, last = (html("{word}", word=word) for word in code.split("_"))
    return Markup("".join(f"{word}_<wbr>" for word in words) + last)


def _grouped(number: str) -> str:
    sizes = (4, 6, 5) if len(number) == _AMERICAN else (4, 4, 4, 4)
    return " ".join(_cut(number, sizes))


def _cut(text: str, sizes: Iterable[int]) -> Iterable[str]:
    for size in sizes:
        yield text[:size]
        text = text[size:]


_SAMPLES = _build()
