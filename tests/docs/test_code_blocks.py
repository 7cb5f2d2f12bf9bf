"""Every Python block of the documentation runs, as it stands, against an emulator."""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"  # followed word for word by test_tutorial.py
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {TUTORIAL})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an emulator in a process of its own."""
    command = [sys.executable, "-m", "frame_async.emulator", "--port", "0", "--limit", "none"]
    command += ["--log", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield found.group()
        process.terminate()


HERE = "http://127.0.0.1:8642"
"""Where the emulator of a reader listens."""


class Page:
    """One page's examples, run in order, in one namespace and on one event loop."""

    def __init__(self, runner: asyncio.Runner, server: str) -> None:
        self._runner, self._server = runner, server
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def evaluate(self, example: Example) -> None:
        code: CodeType = compile(
            "\n" * example.line + example.parsed.replace(HERE, self._server),
            example.path,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        result = eval(code, self._names)
        if inspect.iscoroutine(result):
            self._runner.run(result)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of the page runs without an error, after those before it."""
    # A key of its own, so that pages don't share what this process remembers.
    monkeypatch.setenv("FRAME_SECRET_KEY", f"sk_sandbox_{abs(hash(page))}")
    monkeypatch.setenv("FRAME_API_BASE_URL", server)
    with asyncio.Runner() as runner:
        parser = CodeBlockParser("python", Page(runner, server).evaluate)
        for example in Sybil([parser]).parse(page).examples():
            example.evaluate()


def test_the_readme_s_first_snippet(server: str) -> None:
    """Pasted into a file, it prints four short lines, as the README shows them."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```python\n(import asyncio.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert found
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", found[1].replace(HERE, server)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    assert shape(ran.stdout.replace(server, HERE)) == shape(found[2])
    assert max(map(len, found[2].splitlines())) <= 80


def shape(text: str) -> str:
    """A text without the digits of ids and times."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9.+:-]+", "#", text)
