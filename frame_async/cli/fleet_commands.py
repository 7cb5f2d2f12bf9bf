"""The commands of a fleet; each imports what it needs when it runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from frame_async.cli import options


def _queue(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--queue",
        required=True,
        metavar="URL|@FILE",
        callback=options.address,
        help="The PostgreSQL database with the queue: a URL, or @ and a file with it. A password "
        "may come from there, PGPASSWORD or ~/.pgpass, so that no list of processes shows it.",
    )(command)


@click.command("bulk status")
@_queue
@click.option("--run", metavar="NAME", help="Which run. [default: the only one, or all]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    help="Write the results so far there, one line per row: JSON Lines, or CSV by its name.",
)
@options.output_format
@click.option("--wait", is_flag=True, help="Wait until every row has its result.")
@options.seconds(
    "--every", 10.0, "Seconds between two lines of progress while waiting.", above=True
)
@click.option(
    "--reconcile",
    is_flag=True,
    help="First give each open row a new job whose job is gone from the queue.",
)
@click.option("--forget", is_flag=True, help="Then delete the run and its results, if it is done.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def bulk_status(**given: Any) -> None:
    """Show how far a run in a queue is, and write its results.

    Created, failed, in doubt, waiting, in progress; results a minute, the share of the rate
    window that is in use, and the time left that follows. Needs no API key.

    \b
    Exit status: 0 all created, 1 some rows refused, 3 some rows unknown, 2 usage,
    4 rows are open (or the database can't answer), 130 or 143 by a signal.
    """  # noqa: D301  # click wants the character itself
    from frame_async.cli.fleet_status import Status, run_status

    sys.exit(run_status(Status(**given)))


@click.command(short_help="Create sessions for the rows that `bulk --queue` enqueued.")
@_queue
@options.store("Store of keys and rate window, if it isn't the queue's database")
@options.proxy
@options.limit("Requests that Frame takes in each period, from all workers together")
@options.seconds("--period", 60.0, "Seconds of that period.", above=True)
@options.count("--concurrency", 16, 1_000, "Rows in progress at a time.")
@options.seconds("--attempt-timeout", 15.0, "Seconds that one attempt may take.", above=True)
@options.seconds(
    "--stalled-after",
    30.0,
    "Seconds without a sign of life after which another worker counts as dead, and its "
    "rows are handed out again. The same for all workers.",
    least=1,
)
@options.seconds("--grace", 30.0, "Seconds that rows in progress get after the first signal.")
@click.option("--drain", is_flag=True, help="Stop when the queue is empty.")
@options.seconds("--every", 60.0, "Seconds between two lines about how it goes.", above=True)
@options.verbose
def worker(**given: Any) -> None:
    """Create sessions for the rows that `frame-async bulk --queue` enqueued.

    Run as many workers as you like.

    The API key comes from FRAME_SECRET_KEY, and only rows that were enqueued for that key
    are taken. All workers share one rate window. A row is fetched when there is a place for
    it in the window, and not before.

    The first SIGTERM or SIGINT takes no more rows and lets those in progress finish; the
    second gives them back. Rows of a worker that was killed are taken over by others.

    \b
    Exit status: 0 stopped by a signal, or the queue is empty (--drain), 2 usage,
    4 stopped by a condition (key, certificate, wrong mode, database at the
    start).
    """  # noqa: D301  # click wants the character itself
    from frame_async.cli.fleet_worker import Worker, run_worker

    sys.exit(run_worker(Worker(**given)))


@click.group()
def fleet() -> None:
    """The database of runs that many hosts work off."""


@fleet.command(short_help="Print the SQL of the tables and functions.")
@click.option("--procrastinate", is_flag=True, help="procrastinate's tables too: a new database.")
@click.option("--grant", metavar="ROLE", default="", help="Let that role use what is created.")
def schema(procrastinate: bool, grant: str) -> None:
    """Print the SQL of the tables and functions, for one who may create them.

    Workers and `bulk --queue` create what is missing by themselves, where they may. Where
    they may not, let somebody else run this, with `psql -v ON_ERROR_STOP=1`; again after
    each upgrade of frame-async. It changes nothing that is right already.
    """
    from frame_async.cli.fleet_status import print_schema

    sys.exit(print_schema(grant, with_procrastinate=procrastinate))
