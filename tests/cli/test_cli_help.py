"""What the commands say of themselves, and how they are completed, in a terminal of 80 columns."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from frame_async._version import __version__
from frame_async.cli.commands import cli


def commands(
    command: click.Command, *names: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, with their names."""
    yield names, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, *names, *name.split())


COMMANDS = dict(commands(cli))


def run(*words: str, **more: Any) -> str:
    """Run the command in this process, as in 80 columns; what it says."""
    ran = CliRunner().invoke(cli, words, prog_name="frame-async", terminal_width=80, **more)
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal(names: tuple[str, ...]) -> None:
    """No line of help is wider than 80 columns, and no summary is cut off."""
    shown = run(*names, "--help")
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    summaries = shown.partition("Commands:")[2].splitlines()
    assert [line for line in summaries if line.endswith("...")] == []


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_by_name(names: tuple[str, ...]) -> None:
    """`help COMMAND` says what `COMMAND --help` says."""
    assert run("help", *names) == run(*names, "--help")


@pytest.mark.parametrize("names", [["nothing"], ["webhook", "nothing"]])
def test_help_of_nothing(names: list[str]) -> None:
    """A command that isn't there is named, with exit status 2."""
    ran = CliRunner().invoke(cli, ["help", *names])
    assert (ran.exit_code, "No such command" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    "names", [n for n, c in COMMANDS.items() if hasattr(c, "groups")], ids=" ".join
)
def test_every_option_has_its_heading(names: tuple[str, ...]) -> None:
    """Under "Other options" there is only --help, and no heading names an option that isn't."""
    command: Any = COMMANDS[names]
    given = {param.opts[-1] for param in command.params if isinstance(param, click.Option)}
    listed = [name for group in command.groups.values() for name in group]
    assert sorted(listed) == sorted(given)
    assert run(*names, "--help").partition("Other options:")[2].split()[:2] == ["-h,", "--help"]


def test_versions() -> None:
    """-V and --version say the version."""
    assert run("-V") == run("--version") == f"frame-async {__version__}\n"


def test_bulk_names_its_sister() -> None:
    """The help of bulk says that `bulk status` is there."""
    assert "`frame-async bulk status --queue URL`" in " ".join(run("bulk", "--help").split())


def test_a_misspelt_command() -> None:
    """A misspelt command or option is answered with the one that was probably meant."""
    ran = CliRunner().invoke(cli, ["craete"])
    assert (ran.exit_code, "create" in ran.stderr) == (2, True)
    ran = CliRunner().invoke(cli, ["create", "--prodct", "p"])
    assert (ran.exit_code, "--product" in ran.stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str) -> None:
    """Each script calls the command, and its shell can read it, where it is installed."""
    script = run("completion", shell)
    assert f"_FRAME_ASYNC_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=30)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cr"], {"create"}),
        (["webhook", "s"], {"send"}),
        (["create", "--pro"], {"--product", "--proxy"}),
        (["create", "--mode", ""], {"sandbox", "live"}),
        (["b"], {"bulk"}),
        (["bulk", "stat"], {"status"}),
        (["bulk", "status", "--for"], {"--forget"}),
        (["help", "b"], {"bulk"}),
        (["help", "bulk", ""], {"status"}),
        (["help", "webhook", "l"], {"listen"}),
        (["webhook", "send", "transfer."], {"transfer.succeeded", "transfer.failed"}),
        (["emulator", "--seed-"], {"--seed-sessions"}),
    ],
)
def test_completing_words(words: list[str], expected: set[str], tmp_path: Path) -> None:
    """Commands, options and choices are completed by the command itself, as bash asks for it."""
    asked = {
        "_FRAME_ASYNC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["frame-async", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "import sys; from frame_async.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | asked,
        cwd=tmp_path,
    )
    assert ran.stderr == ""
    assert {line.partition(",")[2] for line in ran.stdout.splitlines()} == expected
