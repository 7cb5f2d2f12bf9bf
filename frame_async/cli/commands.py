"""The commands; each imports what it needs when it runs, so that ``--help`` is quick."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem, get_completion_class

from frame_async._version import __version__
from frame_async.cli import completing, options
from frame_async.cli.create_command import create
from frame_async.cli.doctor_command import doctor
from frame_async.cli.fleet_commands import bulk_status, fleet, worker


class _Commands(click.Group):
    """The commands; one of them, ``bulk status``, has a name of two words."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, but not one of two words, of which a shell would make two."""
        found = super().shell_complete(ctx, incomplete)
        return [item for item in found if " " not in str(item.value)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[:2] == ["bulk", "status"]:  # a file of that name is ./status
            args = ["bulk status", *args[2:]]
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="frame-async %(version)s")
def cli() -> None:
    """Create Frame Payments payment link sessions."""


cli.add_command(create)
cli.add_command(doctor)
cli.add_command(bulk_status)
cli.add_command(worker)
cli.add_command(fleet)


@cli.command("help", short_help="Explain a command.")
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=completing.names)
def explain(names: tuple[str, ...]) -> None:
    """Explain a command, as its --help does."""
    cli([*names, "--help"], prog_name="frame-async")


@cli.command(short_help="Print a script that completes words in your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands and options; it goes into your shell's settings.

    \b
    bash:  echo 'eval "$(frame-async completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(frame-async completion zsh)"' >> ~/.zshrc
    fish:  frame-async completion fish \\
               > ~/.config/fish/completions/frame-async.fish
    """  # noqa: D301  # click wants the character itself
    complete = get_completion_class(shell)
    if complete is not None:
        click.echo(complete(cli, {}, "frame-async", "_FRAME_ASYNC_COMPLETE").source())


@cli.command(short_help="Create a session for each order of a file, on the emulator.")
@click.argument("orders", type=click.Path(dir_okay=False, path_type=Path), required=False)
@options.count("--limit", 160, None, "Requests a minute that the emulator takes.")
@options.count("--concurrency", 8, 100, "Requests in flight at a time.")
@click.option("--all", "show_all", is_flag=True, help="Show every session, not the first ten.")
def demo(orders: Path | None, limit: int, concurrency: int, show_all: bool) -> None:
    """Create a session for each order of a CSV file, on the emulator.

    Needs no account, no key and no network: the emulator runs inside this command, on a
    free loopback port. Without ORDERS, the example file that comes with the package is
    read; three of its rows are wrong on purpose.
    """
    from frame_async.cli.demo import run_demo

    sys.exit(run_demo(orders, limit=limit, concurrency=concurrency, show_all=show_all))


@cli.command(
    cls=options.GroupedCommand,
    groups={
        "Input": "--format --sheet --encoding --delimiter --quote --map --set --key",
        "Before anything is sent": "--check --strict",
        "Output": "--output --output-format --raw-csv --rewrite --state --json",
        "Frame": "--mode --emulator --limit --concurrency --store --proxy --new-key",
        "When something goes wrong": "--on-unknown --again --grace --patience --verbose --every",
        "Many hosts": "--queue --run",
    },
    short_help="Create a session for each row of a file.",
    epilog="How far a run in a queue is: `frame-async bulk status --queue URL`; see its --help.",
)
@click.argument(
    "orders", type=click.Path(path_type=Path, allow_dash=True), shell_complete=completing.files
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where results go, one line per row: JSON Lines, or CSV if it ends in .csv.",
)
@click.option("--check", "check_only", is_flag=True, help="Check every row, and send nothing.")
@click.option("--strict", is_flag=True, help="Send nothing if any row is wrong.")
@click.option(
    "--format",
    "input_format",
    type=click.Choice(["csv", "jsonl", "parquet", "xlsx"]),
    help="Format of ORDERS, if its name doesn't tell.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    callback=options.encoding,
    help="Encoding of ORDERS, such as utf-16 or windows-1252.",
)
@click.option(
    "--delimiter",
    default="",
    callback=options.character,
    help="What separates the cells of CSV; tab for a tab. [default: as the header tells]",
)
@click.option(
    "--quote",
    default='"',
    show_default=True,
    callback=options.character,
    help="What may be around the cells of CSV; none for nothing.",
)
@click.option(
    "--sheet", default="", help="Which sheet of a workbook (.xlsx). [default: the first shown]"
)
@options.output_format
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="COLUMN=FIELD",
    help="A column of another name; COLUMN= leaves it out, *= all that aren't named. May be "
    "repeated.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=VALUE",
    help="The same value for every row. May be repeated.",
)
@click.option(
    "--key",
    "key_column",
    default="",
    metavar="COLUMN",
    help="The column by which a later run recognizes a row, whatever else has changed in it; auto: "
    "that of client_reference_id, if each row has its own. [default: the whole row]",
)
@click.option(
    "--mode",
    type=click.Choice(["sandbox", "live"]),
    help="What the API key and every session must be; live has to be said.",
)
@click.option("--emulator", "on_emulator", is_flag=True, help="Run on the embedded emulator.")
@options.limit("Requests a minute")
@options.count("--concurrency", 32, 10_000, "Requests in flight at a time.")
@click.option(
    "--on-unknown",
    default="retry",
    show_default=True,
    type=click.Choice(["retry", "hold"]),
    help="For a row whose session may exist: send it again and list it as possibly doubled, or "
    "leave it and list it as unknown.",
)
@click.option(
    "--again",
    multiple=True,
    type=click.Choice(["refused", "invalid", "unknown", "changed"]),
    help="Send rows again that ended so; changed: send rows that have changed since, as new ones. "
    "May be repeated.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that records what is done. [default: OUTPUT.state]",
)
@options.store("Store of keys and rate window, if shared with others")
@options.proxy
@click.option(
    "--raw-csv",
    is_flag=True,
    help="Write CSV cells that a spreadsheet would run as formulas without an apostrophe.",
)
@click.option(
    "--rewrite",
    is_flag=True,
    help="Only write OUTPUT again from the state file; nothing is read or sent.",
)
@click.option("--new-key", is_flag=True, help="Go on with another API key of the same merchant.")
@options.seconds("--grace", 30.0, "Seconds that requests on the wire get after the first Ctrl-C.")
@options.seconds("--patience", 600.0, "Seconds without an answer after which the run stops.")
@options.seconds(
    "--every",
    10.0,
    "Seconds between two lines of progress, where there is no terminal for a bar.",
    above=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@options.verbose
@click.option(
    "--queue",
    metavar="URL|@FILE",
    callback=options.address,
    help="Send nothing, but enqueue the rows in this PostgreSQL database, for "
    "`frame-async worker` on any number of hosts; @ and a file with the URL is better.",
)
@click.option(
    "--run", metavar="NAME", help="With --queue: what this run is called. [default: the file]"
)
def bulk(**given: Any) -> None:
    """Create a session for each row of ORDERS, a CSV, JSON or Parquet file, or - .

    The whole file is checked before the first request. The same command again goes on
    where the last run stopped, whatever stopped it.

    \b
    Exit status: 0 all created, 1 some rows refused, 3 some rows unknown, 2 usage
    or input, 4 stopped by a condition (disk, store, key, network), 130 or 143 by
    a signal.

    With --queue nothing is sent here: see `frame-async worker` and `frame-async bulk
    status`. Rows are enqueued once, also when the command is killed and run again.
    """  # noqa: D301  # click wants the character itself
    try:
        from frame_async.cli.bulk import run_bulk
        from frame_async.cli.bulk_command import Command
    except KeyboardInterrupt:  # click would make a 1 of it, which says that rows were refused
        sys.exit(130)
    if given["queue"] is not None:
        _refuse_unused()
    _leave_store(given)
    sys.exit(run_bulk(Command(**given)))


def _leave_store(given: dict[str, Any]) -> None:
    """Forget a store that the environment names, where it isn't meant."""
    source = click.get_current_context().get_parameter_source("store")
    if source is ParameterSource.ENVIRONMENT and (given["queue"] or given["on_emulator"]):
        given["store"] = None


_UNUSED = ("concurrency", "proxy", "grace", "patience", "every")


def _refuse_unused() -> None:
    """Options that say how rows are sent mean nothing where none are."""
    context = click.get_current_context()
    for name in _UNUSED:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} is for the worker: with --queue, nothing is sent here"
            )


class _Emulator(click.Command):
    """The emulator's command, which is loaded when more than its name is asked for."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        from frame_async.emulator.command import emulator

        return emulator.make_context(info_name, args, parent, **extra)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from frame_async.emulator.command import emulator

        return emulator.get_params(ctx)


cli.add_command(_Emulator("emulator", short_help="Run the local stand-in for the Frame API."))


@cli.group()
def webhook() -> None:
    """Verify webhooks, listen for them, or send one."""


def _secrets(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where secrets are; never on the command line, which others see."""
    from_file = click.option(
        "--secret-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the endpoint's secret; several while they change, one a line.",
    )
    from_environment = click.option(
        "--secret-env",
        default="FRAME_WEBHOOK_SECRET",
        show_default=True,
        metavar="NAME",
        help="Environment variable with the endpoint's secret.",
    )
    return from_file(from_environment(command))


@webhook.command(short_help="Check the signature of a webhook.")
@click.argument("body", type=click.File("rb"), default="-")
@click.option("--signature", required=True, help="The header X-Frame-Signature: sha256=...")
@_secrets
def verify(body: BinaryIO, signature: str, secret_file: Path | None, secret_env: str) -> None:
    """Check the signature of a webhook's BODY, a file with the raw bytes or "-".

    Exit status 0: genuine; 1: not, or unusable; 2: no usable secret.
    """
    from frame_async.cli.webhooks import run_verify

    sys.exit(run_verify(body, signature, secret_file, secret_env))


@webhook.command(short_help="Receive webhooks, verify them, and forward them.")
@click.option("--forward-to", metavar="URL", help="Hand each webhook on to this address.")
@click.option(
    "--port",
    default=8643,
    show_default=True,
    type=click.IntRange(0, 65_535),
    metavar="N",
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--allow-remote", is_flag=True, help="Let URL be on another machine.")
@_secrets
def listen(
    forward_to: str | None,
    port: int,
    allow_remote: bool,
    secret_file: Path | None,
    secret_env: str,
) -> None:
    """Receive webhooks on loopback, verify them, and forward them as they came.

    Prints a line for each: when, what, whether it is genuine, and what URL answered, which
    is the answer that the sender gets. What is not genuine is forwarded too, so that you
    see your own code refuse it. Without --forward-to, 200 or 400 is answered.
    """
    from frame_async.cli.webhooks import run_listen

    sys.exit(run_listen(forward_to, port, secret_file, secret_env, allow_remote=allow_remote))


@webhook.command()
@click.argument("event_type", metavar="EVENT", shell_complete=completing.types)
@click.option("--to", metavar="URL", help="Where it goes; without it, the webhook is printed.")
@click.option("--reference", metavar="TEXT", help="The field data.reference, such as order-42.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Any field of the event, by its path, such as data.amount=1900: JSON, or else text. "
    "May be repeated.",
)
@click.option(
    "--tamper",
    type=click.Choice(["body", "secret", "unsigned", "malformed", "not-json"]),
    help="Send a bad one, to see it refused: a body changed after it was signed, a signature "
    "under another secret, none, one of another form, a body that is no JSON.",
)
@click.option("--allow-remote", is_flag=True, help="Let URL be on another machine.")
@_secrets
def send(event_type: str, secret_file: Path | None, secret_env: str, **given: Any) -> None:
    """Send a webhook as Frame would, to try the code that receives it.

    \b
    frame-async webhook send transfer.succeeded --reference order-42 \\
        --to http://127.0.0.1:8000/webhooks

    EVENT is a type such as transfer.succeeded, transfer.failed, charge_intent.succeeded or
    payment_link.created; the fields are those that Frame publishes. Which of them carries
    your order isn't published: set the one that your code reads.

    \b
    Exit status: 0 taken (2xx), or refused (4xx) if it was bad on purpose; 1 the
    other way round; 2 usage; 4 no answer.
    """  # noqa: D301  # click wants the character itself
    from frame_async.cli.webhooks import Send, run_send

    sys.exit(run_send(Send(kind=event_type, **given), secret_file, secret_env))
