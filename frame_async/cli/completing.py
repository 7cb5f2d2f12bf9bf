"""What a shell may complete where click doesn't know it."""

from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of commands for ``help``, and what may follow them."""
    given = "".join(f"{name} " for name in ctx.params["names"])
    known = [name for name in _all(ctx.find_root().command) if name.startswith(given)]
    found = [name.removeprefix(given) for name in known]
    return [name for name in found if name.startswith(incomplete) and " " not in name]


def _all(command: click.Command, before: str = "") -> Iterator[str]:
    """All names of commands, with those of the groups that they are in."""
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield f"{before}{name}"
        yield from _all(below, f"{before}{name} ")


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, or the second word of ``bulk status`` where no file begins so."""
    is_word = incomplete and "status".startswith(incomplete)
    if is_word and not any(path.name.startswith(incomplete) for path in Path().iterdir()):
        return [CompletionItem("status")]
    return [CompletionItem(incomplete, type="file")]


def types(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Types of events that are published."""
    from frame_async.cli.webhooks import published_types

    return [name for name in published_types() if name.startswith(incomplete)]
