"""The command ``frame-async create``: its options; the work is in `create`."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from frame_async.cli import options

_QUANTITY: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_LASTING: Final = re.compile(r"([0-9]{1,6})([smh]?)")
_FIELDS: Final = (
    "client_reference_id",
    "customer_email",
    "success_url",
    "cancel_url",
    "expires_in",
)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


def _quantity(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Quantities such as ``3`` or ``1-4``: the fewest and the most of each."""
    found = [_QUANTITY.fullmatch(text) for text in texts]
    if not all(found):
        raise click.BadParameter("must be a number or two, such as 3 or 1-4")
    return [(each[1], each[2] or each[1]) for each in found if each]


def _lasting(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """A time such as ``30m``, in seconds."""
    if text is None:
        return None
    found = _LASTING.fullmatch(text)
    if found is None:
        raise click.BadParameter("must be a number of seconds, or such as 900s, 30m or 12h")
    return str(int(found[1]) * _SECONDS[found[2]])


def _filled(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.strip():  # a variable of the shell that isn't set
        raise click.BadParameter("is empty; give it a value, or leave the option out")
    return text


def _field(name: str, destination: str, what: str, metavar: str = "TEXT") -> Callable[..., Any]:
    """An option that is a field of the request."""
    return click.option(name, destination, metavar=metavar, callback=_filled, help=what)


@click.command(
    cls=options.GroupedCommand,
    groups={
        "The session": "--product --quantity --reference --email --success-url --cancel-url "
        "--expires-in --set",
        "The call": "--key --store --mode --emulator --proxy --timeout",
        "What is shown": "--json --open --qr --verbose",
    },
    short_help="Create one session and print its address.",
)
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="ID",
    help="Id of a product. May be repeated.",
)
@click.option(
    "--quantity",
    "quantities",
    multiple=True,
    metavar="N|MIN-MAX",
    callback=_quantity,
    help="How many the payer may choose: once for all products, or once for each.",
)
@_field("--reference", "client_reference_id", "Your own reference, such as the order's number.")
@_field("--email", "customer_email", "The payer's e-mail address.")
@_field("--success-url", "success_url", "Where the payer goes after paying.", "URL")
@_field("--cancel-url", "cancel_url", "Where the payer goes after giving up.", "URL")
@click.option(
    "--expires-in",
    metavar="TIME",
    callback=_lasting,
    help="How long the payer may take, 15m to 24h. [default: 24h]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Any other field of the request. May be repeated.",
)
@click.option(
    "--key",
    metavar="KEY",
    callback=_filled,
    help="Idempotency key: with --store, the same key gives the same session again.",
)
@options.store("Where keys and the rate window are remembered, such as sqlite:///frame.db")
@click.option(
    "--mode",
    type=click.Choice(["sandbox", "live"]),
    help="Which mode the API key is for; live has to be said.",
)
@click.option("--emulator", "on_emulator", is_flag=True, help="Try it on an emulator, no account.")
@options.proxy
@options.seconds("--timeout", 30.0, "Seconds that the call may take in all.", above=True)
@click.option("--json", "as_json", is_flag=True, help="Print session and call as JSON.")
@click.option("--open", "opens", is_flag=True, help="Open the payment page in a browser.")
@click.option("--qr", "as_code", is_flag=True, help="Show the address as a QR code.")
@options.verbose
def create(**given: Any) -> None:
    """Create one payment link session; print its address and what happened.

    \b
    frame-async create --emulator --product prod_mug --quantity 1-4 --open
    frame-async create --product prod_mug --reference order-7 \\
        --key order-7 --store sqlite:///frame.db

    The API key is read from FRAME_SECRET_KEY, the address of the API from
    FRAME_API_BASE_URL.

    \b
    Exit status: 0 created, 1 refused, 3 unknown (a session may exist), 2 usage,
    4 not created because of a condition (store, API key, network), 130 by
    Ctrl-C.
    """  # noqa: D301  # click wants the character itself
    from frame_async.cli.create import Create, run_create

    if given["on_emulator"] and given["proxy"]:
        raise click.UsageError("--proxy leads to Frame: it doesn't go together with --emulator")
    fields = {name: given.pop(name) for name in _FIELDS}
    sys.exit(run_create(Create(fields=fields, **given)))
