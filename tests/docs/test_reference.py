"""The reference leaves nothing out: every public name, every option of every command."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from frame_async.cli.commands import cli
from frame_async.emulator.command import emulator

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DIRECTIVE = re.compile(r"\.\. (?:auto(?:class|function|data)|py:data):: ([\w.]+)")
WHOLE = re.compile(r"\.\. automodule:: ([\w.]+)\n +:members:")
MODULES = (
    "frame_async",
    "frame_async.models",
    "frame_async.errors",
    "frame_async.bulk",
    "frame_async.emulator",
    "frame_async.fleet",
    "frame_async.observers",
    "frame_async.stores",
    "frame_async.testing",
    "frame_async.webhooks",
)
INTERNAL = {"Audience", "default_store", "open_store"}  # the client's own, taking boxed secrets
SOURCE = "".join(page.read_text() for page in REFERENCE.glob("*.md"))


def public(module: str) -> list[str]:
    """What a module offers: its list, or what it defines without an underscore."""
    found = importlib.import_module(module)
    own = [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module
    ]
    return [name for name in getattr(found, "__all__", own) if not name.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name(module: str) -> None:
    """Each public name of each public module has its entry."""
    shown = {path.rpartition(".")[2] for path in DIRECTIVE.findall(SOURCE)}
    for whole in WHOLE.findall(SOURCE):
        shown |= set(public(whole))
    assert [name for name in public(module) if name not in shown | INTERNAL] == []


def options(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """Every option of a command and of those below it."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from options(below, f"{path} {name}")
    for parameter in command.params:
        for flag in parameter.opts if isinstance(parameter, click.Option) else ():
            yield path, flag


def test_every_option() -> None:
    """Each option of each command is in the table of its command."""
    page = (REFERENCE / "command-line.md").read_text()
    sections = {part.split("`")[1]: part for part in page.split("\n## ")[1:]}
    wanted = [*options(cli, "frame-async"), *options(emulator, "frame-async emulator")]
    missing = [
        (path, flag)
        for path, flag in wanted
        if flag not in "".join(text for name, text in sections.items() if name.startswith(path))
        and flag not in ("--help", "--version")
    ]
    assert missing == []
