"""The command ``frame-async doctor``: its options; the work is in `doctor`."""

import sys

import click

from frame_async.cli import options


@click.command(
    cls=options.GroupedCommand,
    groups={
        "What is checked": "--store --proxy --timeout",
        "What is unknown": "--probe --product --yes",
        "What is shown": "--json",
    },
    short_help="Check key, address, network, clock and store.",
)
@options.store("Check this store too, such as sqlite:///frame.db")
@options.proxy
@options.seconds("--timeout", 10.0, "Seconds that each check may take.", above=True)
@click.option(
    "--probe",
    is_flag=True,
    help="Send four requests to learn what Frame's reference leaves open; sandbox keys only.",
)
@click.option("--product", metavar="ID", help="With --probe: a product of your sandbox.")
@click.option("--yes", is_flag=True, help="With --probe: don't ask first.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def doctor(
    *,
    store: str | None,
    proxy: str | None,
    timeout: float,
    probe: bool,
    product: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Check everything that a call needs: API key, address, DNS, TLS, clock, store.

    The settings are those that a program would find: FRAME_SECRET_KEY,
    FRAME_API_BASE_URL, FRAME_ALLOW_HTTP_TO and FRAME_PROXY. The key is not sent, unless
    with --probe.

    --probe creates one session or two in your sandbox, which expire after 15 minutes, and sends
    one invalid request and one with a wrong key. Its report can be pasted: it has no secret in it.

    Exit status: 0 all is well; 1 something is wrong, with its fix; 2 usage.
    """
    from frame_async.cli.doctor import Examination, run_doctor

    if probe and not product:
        raise click.UsageError("--probe creates a session: name a product with --product")
    if probe and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "--probe sends four requests: say --yes, since nobody can be asked"
            )
        click.confirm("Send four requests to your sandbox?", abort=True, err=True)
    examination = Examination(
        store=store,
        proxy=proxy,
        timeout=timeout,
        product=product if probe else None,
        as_json=as_json,
    )
    sys.exit(run_doctor(examination))
