"""Options that several commands have, and how ``--help`` lists them."""

import codecs
import os
import shlex
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])


class GroupedCommand(click.Command):
    """A command whose ``--help`` lists its options under headings."""

    def __init__(self, *args: Any, groups: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.groups = {heading: names.split() for heading, names in groups.items()}
        """The long names of options, by heading; the others come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, heading by heading."""
        rows = {
            parameter.opts[-1]: record
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(ctx)) is not None
        }
        for heading, names in self.groups.items():
            with formatter.section(heading):
                formatter.write_dl([rows.pop(name) for name in names if name in rows])
        with formatter.section("Other options"):
            formatter.write_dl(list(rows.values()))


def seconds(
    name: str, default: float, what: str, *, least: float = 0, above: bool = False
) -> Callable[[C], C]:
    """An option with a number of seconds: ``least`` or more, or more than that with ``above``."""
    kind = _Seconds(min=least, min_open=above)
    return click.option(
        name, default=default, show_default=True, type=kind, metavar="SECONDS", help=what
    )


class _Seconds(click.FloatRange):
    """A finite number in a range: nan is in none, and click lets it through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a mistake in the usage."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{number} is no number of seconds.", param, ctx)
        return number


def count(name: str, default: int, most: int | None, what: str) -> Callable[[C], C]:
    """An option with a whole number, from 1 to ``most``."""
    kind = click.IntRange(1, most)
    return click.option(name, default=default, show_default=True, type=kind, metavar="N", help=what)


def limit(what: str) -> Callable[[C], C]:
    """The option with the rate limit."""
    said = f"{what}; 0 for no limit. [default: 160 live, 50 sandbox]"
    return click.option("--limit", type=click.IntRange(min=0), metavar="N", help=said)


def store(what: str) -> Callable[[C], C]:
    """The option with the store, which the environment may name as well."""
    return click.option(
        "--store",
        envvar="FRAME_STORE_URL",
        show_envvar=True,
        metavar="URL|@FILE",
        callback=address,
        help=f"{what}: a URL, or @ and a file with it, which no list of processes shows.",
    )


def proxy(command: C) -> C:
    """The option with the proxy; FRAME_PROXY is the client's to read."""
    return click.option(
        "--proxy",
        metavar="URL|environment|@FILE",
        callback=address,
        help="The HTTP proxy to Frame: a URL, or @ and a file with it, which no list of processes "
        "shows, or environment for what HTTPS_PROXY and NO_PROXY say. [default: FRAME_PROXY]",
    )(command)


def address(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    """A URL, which may have a password; behind an @ stands the file that it is in."""
    if not given or not given.startswith("@"):
        return given or None
    path = Path(given[1:])
    try:
        text = path.read_text("utf-8").strip()
        others = os.name != "nt" and path.stat().st_mode & 0o077
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "it isn't text"
        raise click.BadParameter(f"the file {path} can't be read: {why}") from None
    if len(text.split()) != 1:
        raise click.BadParameter(f"the file {path} must hold one URL, and nothing else")
    if others:
        click.echo(
            f"the file {path} is not for you alone: chmod 600 {shlex.quote(str(path))}", err=True
        )
    return text


def output_format(command: C) -> C:
    """The option with the format of what is written."""
    return click.option(
        "--output-format",
        type=click.Choice(["jsonl", "csv"]),
        help="Format of the output, if its name doesn't tell.",
    )(command)


def verbose(command: C) -> C:
    """The option that has every retry logged."""
    return click.option("-v", "--verbose", is_flag=True, help="Log every retry.")(command)


def encoding(_: click.Context, __: click.Parameter, name: str) -> str:
    """A name of an encoding that Python knows."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise click.BadParameter("is no encoding; such are utf-8, utf-16, windows-1252") from None
    return "utf-8" if codecs.lookup(name).name == "utf-8" else name


def character(_: click.Context, __: click.Parameter, text: str) -> str:
    """One character, or a word for it; or nothing."""
    found = {"tab": "\t", "\\t": "\t", "none": ""}.get(text, text)
    if len(found) > 1 or found in ("\n", "\r"):
        raise click.BadParameter("must be one character, and no line break")
    return found
