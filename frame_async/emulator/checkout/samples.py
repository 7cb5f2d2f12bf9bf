"""Frame's published test values, as the page lists them."""

from collections.abc import Iterable, Mapping

from frame_async.emulator.instruments import (
    BANK_ACCOUNTS,
    CARDS,
    ROUTING_NUMBER,
    SUCCEEDS,
    Behaviour,
)

from .markup import Markup, html

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
        "<p>Any security code and any date to come will do.</p>"
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
