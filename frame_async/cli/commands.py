"""The commands; each imports what it needs when it runs, so that ``--help`` is quick."""

import sys
from pathlib import Path

import click

from frame_async._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="frame-async %(version)s")
def cli() -> None:
    """Create Frame Payments payment link sessions."""


@cli.command()
@click.argument("orders", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--limit",
    default=160,
    show_default=True,
    type=click.IntRange(min=1),
    help="Requests a minute that the emulator takes.",
)
@click.option(
    "--concurrency",
    default=8,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Requests in flight at a time.",
)
def demo(orders: Path | None, limit: int, concurrency: int) -> None:
    """Create a session for each order of a CSV file, on the emulator.

    Needs no account, no key and no network: the emulator runs inside this command, on a
    free loopback port. Without ORDERS, the example file that comes with the package is
    read; three of its rows are wrong on purpose.
    """
    from frame_async.cli.demo import run_demo

    sys.exit(run_demo(orders, limit=limit, concurrency=concurrency))


@cli.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run the local stand-in for the Frame API; see `emulator --help`."""
    from frame_async.emulator.__main__ import main

    sys.exit(main(list(arguments)))
